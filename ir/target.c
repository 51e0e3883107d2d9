// target.c: the machines code is generated for.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

#include <stdlib.h>
#include <unistd.h>

#define KiB << 10

// Cache sizes are what is common for the level; only "native" looks at the machine. Vector registers and
// fma decide the register tiles; `masked` whether loop tails may use masked loads and stores.
static const Target targets[] = {
    // name, triple, cpu, features, vector bytes, registers, fma, masked, cores, L1, L2, L3, pointer bytes
    {"x86-64-v3", "x86_64-unknown-linux-gnu", "x86-64-v3", "", 32, 16, true, true, 0, 32 KiB, 512 KiB,
     16384 KiB, 8},
    {"x86-64-v4", "x86_64-unknown-linux-gnu", "x86-64-v4", "-prefer-256-bit", 64, 32, true, true, 0, 32 KiB,
     1024 KiB, 16384 KiB, 8},
    {"x86-64-v2", "x86_64-unknown-linux-gnu", "x86-64-v2", "", 16, 16, false, false, 0, 32 KiB, 256 KiB,
     8192 KiB, 8},
    {"x86-64", "x86_64-unknown-linux-gnu", "x86-64", "", 16, 16, false, false, 0, 32 KiB, 256 KiB, 4096 KiB,
     8},
    {"aarch64", "aarch64-unknown-linux-gnu", "generic", "+neon", 16, 32, true, false, 0, 32 KiB, 512 KiB,
     4096 KiB, 8},
    {"armv7", "armv7-unknown-linux-gnueabihf", "generic", "+neon,+vfp4", 16, 16, true, false, 0, 32 KiB,
     256 KiB, 1024 KiB, 4},
    {"riscv64", "riscv64-unknown-linux-gnu", "generic-rv64", "+m,+a,+f,+d,+c", 8, 32, true, false, 0, 32 KiB,
     256 KiB, 2048 KiB, 8},
    {"wasm32", "wasm32-unknown-unknown", "generic", "+simd128", 16, 16, false, false, 0, 32 KiB, 256 KiB,
     2048 KiB, 4},
};

int target_count(void) {
  return ARRAY_LEN(targets);
}

const Target *target_at(int i) {
  return &targets[i];
}

static const Target *find_row(const char *name) {
  for (int i = 0; i < ARRAY_LEN(targets); i++)
    if (strcmp(targets[i].name, name) == 0) return &targets[i];
  return NULL;
}

// ---- native ---------------------------------------------------------------------------------------------

// The highest level that the machine we run on has.
static const Target *native_row(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  bool v3 =
      v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return find_row(v4 ? "x86-64-v4" : v3 ? "x86-64-v3" : v2 ? "x86-64-v2" : "x86-64");
#elif defined(__aarch64__)
  return find_row("aarch64");
#elif defined(__riscv)
  return find_row("riscv64");
#else
  return find_row("armv7");
#endif
}

// Bytes of a cache of the first core as sysfs says it ("512K"), 0 if it does not.
static int64_t cache_bytes(int index, int *level, bool *data) {
  char path[96], text[64];
  static const char *const names[] = {"level", "type", "size"};
  int64_t bytes = 0;
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, names[i]);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    if (!fgets(text, sizeof text, f)) text[0] = 0;
    fclose(f);
    if (i == 0) *level = atoi(text);
    if (i == 1) *data = text[0] != 'I'; // Data or Unified, not Instruction
    if (i == 2) bytes = atoll(text) << (strchr(text, 'M') ? 20 : strchr(text, 'K') ? 10 : 0);
  }
  return bytes;
}

static void read_caches(Target *t) {
  for (int i = 0; i < 8; i++) {
    int level = 0;
    bool data = false;
    int64_t bytes = cache_bytes(i, &level, &data);
    if (bytes <= 0 || !data) continue;
    if (level == 1) t->l1 = bytes;
    if (level == 2) t->l2 = bytes;
    if (level == 3) t->l3 = bytes;
  }
}

static const Target *target_native(Ctx *c) {
  const Target *row = native_row();
  Target *t = arena_dup(c->arena, row, sizeof *row);
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  t->cores = cores > 0 ? (int)cores : 0;
  read_caches(t);
  return t;
}

const Target *target_find(Ctx *c, const char *name) {
  return strcmp(name, "native") == 0 ? target_native(c) : find_row(name);
}

const Target *target_default(Ctx *c) {
  (void)c;
#if defined(__x86_64__)
  return find_row("x86-64-v3");
#else
  return native_row();
#endif
}
