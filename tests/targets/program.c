// program.c: runs a model that it is linked with on made-up inputs and prints the outputs; with libc or without.
// SPDX-License-Identifier: Apache-2.0
//
// Compiled with -DMODEL=ingot_model_NAME -DPOOL=BYTES, hosted (the reference) or freestanding for any target. The
// outputs are printed as millionths, in whole numbers, so that no target needs to print floats. The reference also
// writes its inputs as .npy files and prints such files of outputs:
//   program [--inputs FOLDER | --outputs FOLDER]
#include "runtime/ingot_abi.h"

extern const struct ingot_model MODEL;

static _Alignas(128) char pool[POOL];
static uint64_t used;

static void *take(uint64_t bytes) {
  void *p = pool + used;
  used += (bytes + 127) & ~(uint64_t)127;
  return used <= POOL ? p : NULL;
}

// ---- the outside -----------------------------------------------------------------------------------------------

#if defined(HOSTED)
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void say(const char *s) {
  fputs(s, stdout);
}
static void leave(int code) {
  exit(code);
}
#elif defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
// Semihosting: the debugger, or the emulator, writes and ends.
static int host(int what, const void *arg) {
  register int r0 __asm__("r0") = what;
  register const void *r1 __asm__("r1") = arg;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}
static void say(const char *s) {
  host(4, s); // SYS_WRITE0
}
static void leave(int code) {
  const struct { unsigned reason, code; } end = {0x20026, (unsigned)code};
  host(0x20, &end); // SYS_EXIT_EXTENDED
}
#else
static long call(long n, long a, long b, long c) {
#if defined(__x86_64__)
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return r;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
#elif defined(__arm__)
  register long r7 __asm__("r7") = n, r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c;
  __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
  return r0;
#else
  register long a7 __asm__("a7") = n, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
  return a0;
#endif
}
#if defined(__x86_64__)
enum { WRITE = 1, EXIT = 60 };
#elif defined(__arm__)
enum { WRITE = 4, EXIT = 1 };
#else
enum { WRITE = 64, EXIT = 93 };
#endif
static void say(const char *s) {
  long n = 0;
  while (s[n]) n++;
  call(WRITE, 1, (long)s, n);
}
static void leave(int code) {
  call(EXIT, code, 0, 0);
}
#endif

static void say_number(int64_t v) {
  char text[24];
  int at = sizeof text;
  uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
  text[--at] = 0;
  text[--at] = '\n';
  do {
    uint64_t tenth = 0;
    for (int bit = 60; bit >= 0; bit--) // a division that needs no library
      if (left >= (uint64_t)10 << bit) left -= (uint64_t)10 << bit, tenth |= (uint64_t)1 << bit;
    text[--at] = (char)('0' + left);
    left = tenth;
  } while (left);
  if (v < 0) text[--at] = '-';
  say(text + at);
}

// ---- data ------------------------------------------------------------------------------------------------------

static int64_t elements(const struct ingot_tensor_info *t) {
  int64_t n = 1;
  for (int32_t d = 0; d < t->rank; d++) n *= t->dims[d].n;
  return n;
}

static void fill(const struct ingot_tensor_info *t, void *to, uint32_t seed) {
  for (int64_t i = 0, n = elements(t); i < n; i++) {
    seed = seed * 1664525 + 1013904223;
    if (t->dtype == INGOT_F32) ((float *)to)[i] = (float)(int32_t)(seed >> 16) * (1.0f / 32768) - 1;
    if (t->dtype == INGOT_I32) ((int32_t *)to)[i] = (int32_t)(seed >> 29);
    if (t->dtype == INGOT_I64) ((int64_t *)to)[i] = seed >> 29;
    if (t->dtype == INGOT_U8 || t->dtype == INGOT_I8) ((int8_t *)to)[i] = (int8_t)(seed >> 25);
    if (t->dtype == INGOT_BOOL) ((uint8_t *)to)[i] = seed >> 31;
  }
}

static int64_t element(const struct ingot_tensor_info *t, const void *data, int64_t i) {
  switch (t->dtype) {
  case INGOT_F32: return (int64_t)(int32_t)(((const float *)data)[i] * 1e6f);
  case INGOT_I32: return ((const int32_t *)data)[i];
  case INGOT_I64: return ((const int64_t *)data)[i];
  default: return ((const int8_t *)data)[i];
  }
}

// A few thousand elements tell as much as all.
static void print(const struct ingot_tensor_info *t, const void *data, int64_t n) {
  for (int64_t k = 0; k < n && k < 4096; k++) say_number(element(t, data, k));
}

static void print_output(ingot_ctx *c, int32_t i) {
  int64_t dims[INGOT_MAX_RANK], n = 1;
  ingot_output_shape(c, i, dims);
  for (int32_t d = 0; d < ingot_output_info(&MODEL, i)->rank; d++) n *= dims[d];
  print(ingot_output_info(&MODEL, i), ingot_output_data(c, i), n);
}

static int fail(const char *what) {
  say(what);
  say("\n");
  return 1;
}

// Everything that the specification of the freestanding form promises is tried: errors have texts, the model's room
// holds one context, a context may lie in the caller's memory.
static int check_errors(ingot_ctx *c) {
  if (ingot_set_input(c, -1, pool, INGOT_F32, 0, NULL, 0) != INGOT_E_ARGUMENT) return fail("no error");
  return *ingot_last_error(c) ? 0 : fail("an error without a text");
}

static int compute(ingot_ctx *c) {
  int64_t dims[INGOT_MAX_RANK];
  for (int32_t i = 0; i < ingot_input_count(&MODEL); i++) {
    const struct ingot_tensor_info *t = ingot_input_info(&MODEL, i);
    void *data = take((uint64_t)t->bytes);
    if (!data) return fail("the pool is too small");
    fill(t, data, (uint32_t)i + 1);
    for (int32_t d = 0; d < t->rank; d++) dims[d] = t->dims[d].n;
    if (ingot_set_input(c, i, data, t->dtype, t->rank, dims, (uint64_t)t->bytes))
      return fail(ingot_last_error(c));
  }
  for (int32_t i = 0; i < ingot_output_count(&MODEL); i++) {
    void *data = take((uint64_t)ingot_output_info(&MODEL, i)->bytes);
    if (!data) return fail("the pool is too small");
    if (ingot_set_output(c, i, data, (uint64_t)ingot_output_info(&MODEL, i)->bytes))
      return fail(ingot_last_error(c));
  }
  // A model with a state goes on from where the first run left it.
  for (int runs = MODEL.state_bytes > 0 ? 2 : 1; runs > 0; runs--) {
    if (ingot_run(c)) return fail(ingot_last_error(c));
    for (int32_t i = 0; i < ingot_output_count(&MODEL); i++) print_output(c, i);
  }
  return 0;
}

static int test(void) {
  ingot_ctx *c;
  static char error[160]; // static: compilers clear locals by calling memset, which there is none of
  static struct ingot_options o;
  o.size = sizeof o, o.threads = 1, o.error = error, o.error_size = sizeof error;
  if (ingot_ctx_create(&MODEL, &o, &c)) return fail(*error ? error : "no context");
  int code = check_errors(c);
  if (!code) code = compute(c);
  ingot_ctx_destroy(c);
  return code;
}

// ---- files -----------------------------------------------------------------------------------------------------

#if defined(HOSTED)
static FILE *open_file(const char *folder, const char *name, const char *mode) {
  char path[1000];
  snprintf(path, sizeof path, "%s/%s.npy", folder, name);
  FILE *f = fopen(path, mode);
  if (!f) perror(path), exit(1);
  return f;
}

// The header takes 128 bytes.
static void write_input(const char *folder, int32_t i) {
  static const char *const types[INGOT_DTYPE_END] = {
      [INGOT_BOOL] = "|b1", [INGOT_I8] = "|i1",  [INGOT_U8] = "|u1",
      [INGOT_I32] = "<i4",  [INGOT_I64] = "<i8", [INGOT_F32] = "<f4"};
  const struct ingot_tensor_info *t = ingot_input_info(&MODEL, i);
  char head[128] = "\223NUMPY\1\0\166";
  int at = 10 + sprintf(head + 10, "{'descr': '%s', 'fortran_order': False, 'shape': (", types[t->dtype]);
  for (int32_t d = 0; d < t->rank; d++) at += sprintf(head + at, "%lld, ", (long long)t->dims[d].n);
  at += sprintf(head + at, "), }");
  memset(head + at, ' ', sizeof head - (size_t)at);
  head[127] = '\n';
  FILE *f = open_file(folder, t->name, "wb");
  fill(t, pool, (uint32_t)i + 1);
  fwrite(head, 1, sizeof head, f);
  fwrite(pool, 1, (size_t)t->bytes, f);
  fclose(f);
}

static void print_file(const char *folder, int32_t i) {
  const struct ingot_tensor_info *t = ingot_output_info(&MODEL, i);
  unsigned char start[10];
  FILE *f = open_file(folder, t->name, "rb");
  if (fread(start, 1, sizeof start, f) == sizeof start) fseek(f, start[8] | start[9] << 8, SEEK_CUR);
  size_t bytes = fread(pool, 1, sizeof pool, f);
  print(t, pool, (int64_t)bytes * elements(t) / t->bytes);
  fclose(f);
}

int main(int argc, char **argv) {
  if (argc < 3) return test();
  if (strcmp(argv[1], "--inputs") == 0)
    for (int32_t i = 0; i < ingot_input_count(&MODEL); i++) write_input(argv[2], i);
  else
    for (int32_t i = 0; i < ingot_output_count(&MODEL); i++) print_file(argv[2], i);
  return 0;
}
#endif

// ---- the beginning ---------------------------------------------------------------------------------------------

#if !defined(HOSTED)
__attribute__((used)) static void begin(void) {
  leave(test());
  for (;;) {
  }
}
#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
extern char stack_top[];
static void reset(void) {
  *(volatile unsigned *)0xe000ed88 |= 0xf << 20; // the floating-point unit on
  __asm__ volatile("dsb\n isb");
  begin();
}
__attribute__((section(".vectors"), used)) static const struct {
  void *stack;
  void (*reset)(void), (*fault[14])(void);
} vectors = {stack_top, reset, {0}};
#elif defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp,%ebp\n and $-16,%rsp\n call begin\n");
#elif defined(__aarch64__) || defined(__arm__)
__asm__(".globl _start\n_start: b begin\n");
#else
__asm__(".globl _start\n_start: j begin\n");
#endif
#endif
