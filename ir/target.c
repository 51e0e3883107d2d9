// target.c: the machines code is generated for.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

#include <stdlib.h>
#include <unistd.h>

#define KiB << 10

// What goes beyond the level below, by LLVM's names; the loader checks for it.
#define V2     "cx16,popcnt,sahf,sse3,sse4.1,sse4.2,ssse3"
#define V3     V2 ",avx,avx2,bmi,bmi2,f16c,fma,lzcnt,movbe"
#define V4     V3 ",avx512bw,avx512cd,avx512dq,avx512f,avx512vl"
#define ZNVER4 V4 ",avx512bf16,avx512vnni"

#define X86 .triple = "x86_64-unknown-linux-gnu", .pointer_bytes = 8, .runtime = "x86_64", .dot16 = true
#define ARM64                                                                                                \
  .triple = "aarch64-unknown-linux-gnu", .cpu = "generic", .pointer_bytes = 8, .runtime = "aarch64",         \
  .costs = COSTS
#define ARM32                                                                                                \
  .triple = "armv7-unknown-linux-gnueabihf", .cpu = "generic", .pointer_bytes = 4, .runtime = "armv7",       \
  .costs = COSTS
#define RISCV                                                                                                \
  .triple = "riscv64-unknown-linux-gnu", .cpu = "generic-rv64", .pointer_bytes = 8, .runtime = "riscv64",    \
  .costs = COSTS
#define CORTEX_M                                                                                             \
  .triple = "thumbv7em-unknown-none-eabihf", .pointer_bytes = 4, .runtime = "thumbv7em", .costs = COSTS,     \
  .bare = true

// Close for Skylake, Zen 5 and NEON cores; tiles for AVX2 fitted on Zen 3 (bench/cost_model).
#define WINOGRAD_COSTS                                                                                       \
  .peak = 0.9, .short_rows = 2, .memory_bytes = 6, .memory_share = 0.6, .transform_2 = 70, .transform_4 = 150
#define COSTS                                                                                                \
  { .latency = 4.4, .load_share = 0.1, .l2_bytes = 28, .l2_share = 0.05, WINOGRAD_COSTS }
#define COSTS_AVX2                                                                                           \
  { .latency = 4.4, .load_share = 0.1, .l2_bytes = 28, .l2_share = 0.1, WINOGRAD_COSTS }

#define LEVEL1                                                                                               \
  X86, .costs = COSTS, .cpu = "x86-64", .features = "", .needs = "", .vector_bytes = 16, .vector_regs = 16
#define LEVEL2                                                                                               \
  X86, .costs = COSTS, .cpu = "x86-64-v2", .features = "", .needs = V2, .dot8 = true, .vector_bytes = 16,    \
       .vector_regs = 16
#define LEVEL3                                                                                               \
  X86, .costs = COSTS_AVX2, .cpu = "x86-64-v3", .needs = V3, .dot8 = true, .vector_bytes = 32,               \
       .vector_regs = 16, .fma = true, .masked = true
#define LEVEL4                                                                                               \
  X86, .costs = COSTS, .cpu = "x86-64-v4", .dot8 = true, .vector_bytes = 64, .vector_regs = 32, .fma = true, \
       .masked = true
#define NEON ARM64, .vector_bytes = 16, .vector_regs = 32, .fma = true
#define SVE(bits, scale)                                                                                     \
  ARM64, .features = "+neon,+dotprod,+sve", .needs = "dotprod,sve,sve" #bits, .vector_bytes = (bits) / 8,    \
         .vector_regs = 32, .fma = true, .masked = true, .vscale = (scale)
#define NEON32                                                                                               \
  ARM32, .features = "+neon,+vfp4", .needs = "neon,vfp4", .vector_bytes = 16, .vector_regs = 16, .fma = true
#define RVV(bits)                                                                                            \
  RISCV, .features = "+m,+a,+f,+d,+c,+v,+zvl" #bits "b", .needs = "v,zvl" #bits "b",                         \
         .vector_bytes = (bits) / 8, .vector_regs = 32, .fma = true, .masked = true
#define CACHES(a, b, c)     .l1 = (a)KiB, .l2 = (b)KiB, .l3 = (c)KiB
#define SPEED(clock, units) .ghz = (clock), .fmas = (units)

// Cache sizes are what is common for the level; only "native" looks at the machine. Vector registers and
// fma decide the register tiles; `masked` whether loop tails may use masked loads and stores. Named processors
// are a level, what they have beyond it, and LLVM's knowledge of how fast what is.
static const Target targets[] = {
    {.name = "x86-64-v3", LEVEL3, .features = "", CACHES(32, 512, 16384), SPEED(3, 2)},
    {.name = "x86-64-v4",
     LEVEL4,
     .features = "-prefer-256-bit",
     .needs = V4,
     CACHES(32, 1024, 16384),
     SPEED(3, 2)},
    {.name = "x86-64-v2", LEVEL2, CACHES(32, 256, 8192), SPEED(3, 1)},
    {.name = "x86-64", LEVEL1, CACHES(32, 256, 4096), SPEED(3, 1)},
    {.name = "haswell", LEVEL3, .features = "", .tune = "haswell", CACHES(32, 256, 8192), SPEED(3.4, 2)},
    {.name = "skylake", LEVEL3, .features = "", .tune = "skylake", CACHES(32, 256, 8192), SPEED(3.6, 2)},
    {.name = "alderlake",
     LEVEL3,
     .features = "",
     .tune = "alderlake",
     CACHES(48, 1280, 30720),
     SPEED(4.5, 2)},
    {.name = "znver2", LEVEL3, .features = "", .tune = "znver2", CACHES(32, 512, 16384), SPEED(3.4, 2)},
    {.name = "znver3", LEVEL3, .features = "", .tune = "znver3", CACHES(32, 512, 32768), SPEED(3.4, 2)},
    {.name = "skylake-avx512",
     LEVEL4,
     .features = "-prefer-256-bit",
     .needs = V4,
     .tune = "skylake-avx512",
     CACHES(32, 1024, 16384),
     SPEED(2.5, 2)},
    {.name = "icelake-server",
     LEVEL4,
     .features = "-prefer-256-bit,+avx512vnni",
     .needs = V4 ",avx512vnni",
     .tune = "icelake-server",
     CACHES(48, 1280, 32768),
     SPEED(2.6, 2)},
    {.name = "sapphirerapids",
     LEVEL4,
     .features = "-prefer-256-bit,+avx512vnni,+avx512bf16",
     .needs = ZNVER4,
     .tune = "sapphirerapids",
     CACHES(48, 2048, 32768),
     SPEED(2.6, 2)},
    {.name = "znver4",
     LEVEL4,
     .features = "-prefer-256-bit,+avx512vnni,+avx512bf16",
     .needs = ZNVER4,
     .tune = "znver4",
     CACHES(32, 1024, 32768),
     SPEED(3.7, 1)},
    {.name = "aarch64", NEON, .features = "+neon", .needs = "", CACHES(32, 512, 4096), SPEED(2, 1)},
    {.name = "aarch64-dotprod",
     NEON,
     .features = "+neon,+dotprod",
     .needs = "dotprod",
     CACHES(64, 512, 4096),
     SPEED(2.4, 2)},
    {.name = "aarch64-sve256", SVE(256, 2), CACHES(64, 1024, 32768), SPEED(2.6, 2)},
    {.name = "aarch64-sve512", SVE(512, 4), CACHES(64, 8192, 0), SPEED(2, 2)},
    {.name = "cortex-a53",
     NEON,
     .features = "+neon",
     .needs = "",
     .tune = "cortex-a53",
     CACHES(32, 512, 0),
     SPEED(1.4, 0.5)},
    {.name = "cortex-a72",
     NEON,
     .features = "+neon",
     .needs = "",
     .tune = "cortex-a72",
     CACHES(32, 1024, 0),
     SPEED(1.5, 1)},
    {.name = "cortex-a76",
     NEON,
     .features = "+neon,+dotprod",
     .needs = "dotprod",
     .tune = "cortex-a76",
     CACHES(64, 512, 2048),
     SPEED(2.4, 2)},
    {.name = "neoverse-n1",
     NEON,
     .features = "+neon,+dotprod",
     .needs = "dotprod",
     .tune = "neoverse-n1",
     CACHES(64, 1024, 32768),
     SPEED(2.6, 2)},
    {.name = "neoverse-v1", SVE(256, 2), .tune = "neoverse-v1", CACHES(64, 1024, 32768), SPEED(2.6, 2)},
    {.name = "armv7", NEON32, CACHES(32, 256, 1024), SPEED(1, 0.5)},
    {.name = "cortex-a7", NEON32, .tune = "cortex-a7", CACHES(32, 256, 0), SPEED(0.9, 0.25)},
    {.name = "riscv64",
     RISCV,
     .features = "+m,+a,+f,+d,+c",
     .needs = "",
     .vector_bytes = 4,
     .vector_regs = 32,
     .fma = true,
     CACHES(32, 256, 2048),
     SPEED(1.4, 1)},
    {.name = "riscv64-v", RVV(128), CACHES(32, 512, 2048), SPEED(1.6, 1)},
    {.name = "riscv64-v256", RVV(256), CACHES(32, 512, 2048), SPEED(1.6, 1)},
    {.name = "cortex-m4",
     CORTEX_M,
     .cpu = "cortex-m4",
     .features = "",
     .needs = "",
     .vector_bytes = 4,
     .vector_regs = 32,
     .fma = true,
     CACHES(16, 64, 0),
     SPEED(0.1, 1.0 / 3)},
    {.name = "cortex-m7",
     CORTEX_M,
     .cpu = "cortex-m7",
     .features = "",
     .needs = "",
     .vector_bytes = 4,
     .vector_regs = 32,
     .fma = true,
     CACHES(16, 64, 0),
     SPEED(0.4, 1)},
    {.name = "wasm32",
     .triple = "wasm32-unknown-unknown",
     .cpu = "generic",
     .features = "+simd128,+bulk-memory",
     .needs = "",
     .vector_bytes = 16,
     .vector_regs = 16,
     .pointer_bytes = 4,
     .runtime = "wasm32",
     .costs = COSTS,
     .bare = true,
     CACHES(32, 256, 2048),
     SPEED(3, 1)},
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
