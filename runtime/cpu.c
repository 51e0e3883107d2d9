// cpu.c: which instruction sets this processor has, by the names that LLVM gives them.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Feature {
  const char *name;
  bool (*has)(int a, int b);
  int a, b;
} Feature;

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

// Registers as cpuid leaf * 4 + {eax, ebx, ecx, edx}; leaf 7 means sub-leaf 0, EXT the leaf 0x80000001.
enum {
  L1C = 6,
  L1D = 7,
  L7B = 29,
  L7C = 30,
  L7D = 31,
  L7S1A = 128,
  EXTC = 200,
  XMM = 0,
  YMM = 6,
  ZMM = 0xe6
};

static unsigned cpuid_register(int r) {
  unsigned v[4] = {0};
  unsigned leaf = r == EXTC ? 0x80000001u : r == L7S1A ? 7 : (unsigned)r / 4;
  if (!__get_cpuid_count(leaf, r == L7S1A, &v[0], &v[1], &v[2], &v[3])) return 0;
  return v[r % 4 + (r == EXTC ? 2 : 0)];
}

// The register state that the operating system saves: XCR0.
static unsigned saved_state(void) {
  unsigned lo, hi;
  if (!(cpuid_register(L1C) & bit_OSXSAVE)) return 0;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return lo;
}

// `b`: bit number, and from bit 8 on what of XCR0 must be set.
static bool x86_has(int r, int b) {
  unsigned state = (unsigned)b >> 8;
  return (cpuid_register(r) >> (b & 31) & 1) && (saved_state() & state) == state;
}

#define X86(name, reg, bit, state)                                                                           \
  { name, x86_has, reg, (bit) | (state) << 8 }
static const Feature features[] = {
    X86("sse", L1D, 25, XMM),         X86("sse2", L1D, 26, XMM),       X86("sse3", L1C, 0, XMM),
    X86("ssse3", L1C, 9, XMM),        X86("sse4.1", L1C, 19, XMM),     X86("sse4.2", L1C, 20, XMM),
    X86("cx16", L1C, 13, XMM),        X86("popcnt", L1C, 23, XMM),     X86("movbe", L1C, 22, XMM),
    X86("aes", L1C, 25, XMM),         X86("pclmul", L1C, 1, XMM),      X86("sahf", EXTC, 0, XMM),
    X86("lzcnt", EXTC, 5, XMM),       X86("bmi", L7B, 3, XMM),         X86("bmi2", L7B, 8, XMM),
    X86("avx", L1C, 28, YMM),         X86("f16c", L1C, 29, YMM),       X86("fma", L1C, 12, YMM),
    X86("avx2", L7B, 5, YMM),         X86("avxvnni", L7S1A, 4, YMM),   X86("avx512f", L7B, 16, ZMM),
    X86("avx512dq", L7B, 17, ZMM),    X86("avx512cd", L7B, 28, ZMM),   X86("avx512bw", L7B, 30, ZMM),
    X86("avx512vl", L7B, 31, ZMM),    X86("avx512vbmi", L7C, 1, ZMM),  X86("avx512vnni", L7C, 11, ZMM),
    X86("avx512bf16", L7S1A, 5, ZMM), X86("avx512fp16", L7D, 23, ZMM),
};

#elif defined(__linux__) && (defined(__aarch64__) || defined(__arm__) || defined(__riscv))
#include <sys/auxv.h>

// Vector registers are at least so many bits long. (Kept apart from the list: only asked where there are any.)
static bool vector_bits(int bits, int unused) {
  (void)unused;
#if defined(__aarch64__)
  uint64_t bytes;
  if (!(getauxval(AT_HWCAP) >> 22 & 1)) return false;
  __asm__(".arch_extension sve\n cntb %0" : "=r"(bytes));
  return bytes * 8 >= (uint64_t)bits;
#elif defined(__riscv)
  uint64_t bytes;
  if (!(getauxval(AT_HWCAP) >> ('v' - 'a') & 1)) return false;
  __asm__("csrr %0, 0xc22" : "=r"(bytes)); // vlenb
  return bytes * 8 >= (uint64_t)bits;
#else
  return bits <= 128;
#endif
}

// Bits of AT_HWCAP (a = 16) and AT_HWCAP2 (a = 26), as the kernel documents them.
static bool hwcap_has(int a, int b) {
  return getauxval((unsigned long)a) >> b & 1;
}

static const Feature features[] = {
#if defined(__aarch64__)
    {"fp-armv8", hwcap_has, 16, 0},  {"neon", hwcap_has, 16, 1},     {"fullfp16", hwcap_has, 16, 10},
    {"rdm", hwcap_has, 16, 12},      {"dotprod", hwcap_has, 16, 20}, {"fp16fml", hwcap_has, 16, 23},
    {"sve", hwcap_has, 16, 22},      {"sve2", hwcap_has, 26, 1},     {"i8mm", hwcap_has, 26, 13},
    {"bf16", hwcap_has, 26, 14},     {"lse", hwcap_has, 16, 8},      {"sve256", vector_bits, 256, 0},
    {"sve512", vector_bits, 512, 0},
#elif defined(__arm__)
    {"vfp3", hwcap_has, 16, 13},
    {"d32", vector_bits, 128, 0},
    {"neon", hwcap_has, 16, 12},
    {"vfp4", hwcap_has, 16, 16},
#else
    {"m", hwcap_has, 16, 'm' - 'a'},  {"a", hwcap_has, 16, 'a' - 'a'},  {"f", hwcap_has, 16, 'f' - 'a'},
    {"d", hwcap_has, 16, 'd' - 'a'},  {"c", hwcap_has, 16, 'c' - 'a'},  {"v", hwcap_has, 16, 'v' - 'a'},
    {"zvl128b", vector_bits, 128, 0}, {"zvl256b", vector_bits, 256, 0}, {"zvl512b", vector_bits, 512, 0},
#endif
};

#else
static const Feature features[] = {{"", NULL, 0, 0}};
#endif

static bool same(const char *name, const char *s, size_t n) {
  return strlen(name) == n && memcmp(name, s, n) == 0;
}

static bool listed(const char *list, const char *s, size_t n) {
  for (;;) {
    size_t len = strcspn(list, ",");
    if (len == n && memcmp(list, s, n) == 0) return true;
    if (list[len] == 0) return false;
    list += len + 1;
  }
}

static bool cpu_has(const char *s, size_t n) {
  const char *allowed = getenv("INGOT_CPU");
  if (allowed && !listed(allowed, s, n)) return false;
  for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
    if (same(features[i].name, s, n)) return features[i].has && features[i].has(features[i].a, features[i].b);
  return false;
}

int ingot_cpu_check(const char *list, char *missing, size_t size) {
  while (list && *list) {
    bool must_not = *list == '-'; // LLVM's way to say that it is not used
    if (*list == '+') list++;
    size_t n = strcspn(list, ",");
    if (n > 0 && !must_not && !cpu_has(list, n)) {
      if (size > 0) snprintf(missing, size, "%.*s", (int)n, list);
      return INGOT_E_CPU;
    }
    list += n + (list[n] == ',');
  }
  return INGOT_OK;
}
