// format.c: texts of errors on bare machines: the part of snprintf that the executor uses.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct Out {
  char *to;
  size_t size, n; // n: of the whole text, cut or not
} Out;

static void put(Out *o, char c) {
  if (o->n + 1 < o->size) o->to[o->n] = c;
  o->n++;
}

static void put_text(Out *o, const char *s, int most) {
  for (int i = 0; (most < 0 || i < most) && s && s[i]; i++) put(o, s[i]);
}

// Division by the base digit by digit, so that 32-bit machines need no routine for 64-bit division.
static unsigned take_digit(uint64_t *v, unsigned base) {
  uint64_t quotient = 0, rest = 0;
  for (int bit = 63; bit >= 0; bit--) {
    rest = rest << 1 | (*v >> bit & 1);
    quotient <<= 1;
    if (rest >= base) rest -= base, quotient |= 1;
  }
  *v = quotient;
  return (unsigned)rest;
}

static void put_number(Out *o, uint64_t v, unsigned base, int width) {
  char digits[24];
  int n = 0;
  do digits[n++] = "0123456789abcdef"[take_digit(&v, base)];
  while (v || n < width);
  while (n) put(o, digits[--n]);
}

static void put_signed(Out *o, int64_t v) {
  if (v < 0) put(o, '-');
  put_number(o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, 0);
}

// One conversion, the text behind '%'; returns what follows it. va_list is passed by address, which C allows.
static const char *convert(Out *o, const char *f, va_list *ap) {
  int most = -1, width = 0;
  bool wide = false;
  for (; *f == '0' || (*f >= '1' && *f <= '9'); f++) width = width * 10 + (*f - '0');
  if (f[0] == '.' && f[1] == '*') most = va_arg(*ap, int), f += 2;
  for (; *f == 'l' || *f == 'z'; f++) wide = wide || f[1] == 'l';
  switch (*f) {
  case 'd': put_signed(o, wide ? va_arg(*ap, long long) : va_arg(*ap, int)); break;
  case 'u': put_number(o, wide ? va_arg(*ap, unsigned long long) : va_arg(*ap, unsigned), 10, 0); break;
  case 'x': put_number(o, va_arg(*ap, unsigned), 16, width); break;
  case 'p': put_text(o, "0x", -1), put_number(o, (uintptr_t)va_arg(*ap, void *), 16, 0); break;
  case 's': put_text(o, va_arg(*ap, const char *), most); break;
  default: put(o, *f); break;
  }
  return *f ? f + 1 : f;
}

typedef struct Arguments { // an array type on some machines, which a parameter would not stay
  va_list ap;
} Arguments;

int vsnprintf(char *to, size_t size, const char *fmt, va_list ap) {
  Out o = {to, size, 0};
  Arguments a;
  va_copy(a.ap, ap);
  while (*fmt) {
    if (*fmt == '%')
      fmt = convert(&o, fmt + 1, &a.ap);
    else
      put(&o, *fmt++);
  }
  va_end(a.ap);
  if (size) to[o.n < size ? o.n : size - 1] = 0;
  return (int)o.n;
}

int snprintf(char *to, size_t size, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(to, size, fmt, ap);
  va_end(ap);
  return n;
}
