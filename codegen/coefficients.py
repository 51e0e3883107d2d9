#!/usr/bin/env python3
"""Prints the coefficient tables of math_tables.h: minimax polynomials and rational functions (needs mpmath).

SPDX-License-Identifier: Apache-2.0

    python3 codegen/coefficients.py > codegen/math_tables.h

Each row says: name, function to approximate, interval, number of coefficients, weight of the error. The
polynomial p(t) minimises max |(p(t) - f(t)) * w(t)| by the Remez exchange; coefficients are printed lowest first and
rounded to the type that uses them, after which the polynomial is checked again. Rational functions come from least
squares whose weights follow the error (Loeb, Lawson), which needs no first guess.
"""

import math
import struct
import sys
from fractions import Fraction

import mpmath as mp

mp.mp.dps = 60


def solve(points, f, w, n):
    """p(x) + (-1)^i e / w(x) = f(x) at n + 1 points."""
    a = mp.matrix(n + 1, n + 1)
    b = mp.matrix(n + 1, 1)
    for i, x in enumerate(points):
        for k in range(n):
            a[i, k] = x**k
        a[i, n] = (-1) ** i / w(x)
        b[i] = f(x)
    s = mp.lu_solve(a, b)
    return [s[k] for k in range(n)], abs(s[n])


def extrema(err, lo, hi, n):
    """Alternating extrema of err on a fine grid, refined by golden sections of the neighbourhood."""
    steps = 60 * (n + 2)
    # Chebyshev spacing: extrema crowd at the ends.
    xs = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * i / steps) for i in range(steps + 1)]
    ys = [err(x) for x in xs]
    best = []
    for i in range(steps + 1):
        left = ys[i - 1] if i else None
        right = ys[i + 1] if i < steps else None
        y = ys[i]
        peak = (left is None or abs(y) >= abs(left) or left * y < 0) and (
            right is None or abs(y) >= abs(right) or right * y < 0
        )
        if not peak:
            continue
        if best and best[-1][1] * y > 0:
            if abs(y) > abs(best[-1][1]):
                best[-1] = (xs[i], y)
        else:
            best.append((xs[i], y))
    while len(best) > n + 1:
        best.pop(0 if abs(best[0][1]) < abs(best[-1][1]) else -1)
    return [x for x, _ in best]


def remez(f, lo, hi, n, w):
    lo, hi = mp.mpf(lo), mp.mpf(hi)
    points = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / (n + 1)) for i in range(n + 1)]
    c = None
    for _ in range(12):
        c, e = solve(points, f, w, n)
        err = lambda x: (mp.polyval(c[::-1], x) - f(x)) * w(x)
        new = extrema(err, lo, hi, n)
        if len(new) < n + 1:
            break
        worst = max(abs(err(x)) for x in new)
        points = new
        if worst < e * mp.mpf("1.0001"):
            break
    return c


def to_f32(x):
    return struct.unpack("f", struct.pack("f", float(x)))[0]


ROWS = []


def row(name, bits, n, lo, hi, f, w=lambda x: mp.mpf(1), note=""):
    ROWS.append((name, bits, n, lo, hi, f, w, note))


LN2_2 = mp.log(2) / 2 * mp.mpf("1.01")


def exp_tail(r):  # (exp(r) - 1 - r) / r^2
    return mp.mpf(1) / 2 + r / 6 + r * r / 24 + r**3 / 120 if abs(r) < mp.mpf("1e-12") else (mp.expm1(r) - r) / r**2


row("exp_f32", 32, 5, -LN2_2, LN2_2, exp_tail, lambda r: r**2 / mp.exp(r) + mp.mpf("1e-30"), "(exp(r) - 1 - r) / r^2")
row("exp_f64", 64, 11, -LN2_2, LN2_2, exp_tail, lambda r: r**2 / mp.exp(r) + mp.mpf("1e-30"), "the same")
row("expm1_f32", 32, 6, -LN2_2, LN2_2, exp_tail, lambda r: abs(r) / mp.exp(r) + mp.mpf("1e-30"), "the same, small results exact")
row("expm1_f64", 64, 12, -LN2_2, LN2_2, exp_tail, lambda r: abs(r) / mp.exp(r) + mp.mpf("1e-30"), "the same")

# log(1 + f) = f - f^2/2 + f^3 P(f), sqrt(1/2) <= 1 + f < sqrt(2)


def log_tail(x):
    if abs(x) < mp.mpf("1e-10"):
        return mp.mpf(1) / 3 - x / 4 + x * x / 5
    return (mp.log1p(x) - x + x * x / 2) / x**3


def log_weight(x):
    return abs(x**3 / mp.log1p(x)) if abs(x) > mp.mpf("1e-12") else x**2


SQ = mp.sqrt(2)
row("log_f32", 32, 9, 1 / SQ - 1, SQ - 1, log_tail, lambda x: log_weight(x) + mp.mpf("1e-30"), "(log(1+f) - f + f^2/2) / f^3")


# atanh(s) = s + s^3 R(s^2); log(1 + f) = 2 atanh(f / (2 + f))
def atanh_tail(z):
    s = mp.sqrt(z)
    return mp.mpf(1) / 3 + z / 5 + z * z / 7 if z < mp.mpf("1e-12") else (mp.atanh(s) - s) / s**3


S_MAX = (SQ - 1) / (SQ + 1)
row("atanh_f64", 64, 8, 0, (S_MAX * mp.mpf("1.01")) ** 2, atanh_tail, lambda z: z + mp.mpf("1e-30"), "(atanh(s) - s) / s^3 of s^2, |s| <= (sqrt 2 - 1) / (sqrt 2 + 1)")


def tanh_tail(z):
    x = mp.sqrt(z)
    return -mp.mpf(1) / 3 + 2 * z / 15 - 17 * z * z / 315 if z < mp.mpf("1e-12") else (mp.tanh(x) - x) / x**3


row("tanh_f32", 32, 5, 0, mp.mpf("0.64") ** 2, tanh_tail, lambda z: z / (mp.tanh(mp.sqrt(z)) / mp.sqrt(z)) if z > 0 else mp.mpf("1e-30"), "(tanh(x) - x) / x^3 of x^2, |x| <= 0.64")


def sin_tail(z):
    x = mp.sqrt(z)
    return -mp.mpf(1) / 6 + z / 120 - z * z / 5040 if z < mp.mpf("1e-12") else (mp.sin(x) - x) / x**3


def cos_tail(z):
    return mp.mpf(1) / 24 - z / 720 + z * z / 40320 if z < mp.mpf("1e-8") else (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


P4 = (mp.pi / 4 * mp.mpf("1.01")) ** 2
row("sin_f32", 64, 4, 0, P4, sin_tail, lambda z: z + mp.mpf("1e-30"), "(sin(x) - x) / x^3 of x^2, for results of 32 bits")
row("cos_f32", 64, 4, 0, P4, cos_tail, lambda z: z * z + mp.mpf("1e-30"), "(cos(x) - 1 + x^2/2) / x^4 of x^2, for results of 32 bits")
row("sin_f64", 64, 7, 0, P4, sin_tail, lambda z: z + mp.mpf("1e-30"), "the same, for 64 bits")
row("cos_f64", 64, 7, 0, P4, cos_tail, lambda z: z * z + mp.mpf("1e-30"), "the same, for 64 bits")


def asin_tail(z):
    x = mp.sqrt(z)
    return mp.mpf(1) / 6 + 3 * z / 40 + 15 * z * z / 336 if z < mp.mpf("1e-12") else (mp.asin(x) - x) / x**3


row("asin_f64", 64, 14, 0, mp.mpf("0.2501"), asin_tail, lambda z: z + mp.mpf("1e-30"), "(asin(x) - x) / x^3 of x^2, |x| <= 1/2")


def atan_tail(z):
    x = mp.sqrt(z)
    return -mp.mpf(1) / 3 + z / 5 - z * z / 7 if z < mp.mpf("1e-12") else (mp.atan(x) - x) / x**3


T8 = mp.tan(mp.pi / 8) * mp.mpf("1.01")
row("atan_f64", 64, 12, 0, T8**2, atan_tail, lambda z: z + mp.mpf("1e-30"), "(atan(x) - x) / x^3 of x^2, |x| <= tan(pi/8)")


# erf, small: erf(x) = x + x P(x^2)
def erf_small(z):
    x = mp.sqrt(z)
    return 2 / mp.sqrt(mp.pi) * (1 - z / 3 + z * z / 10) - 1 if z < mp.mpf("1e-14") else mp.erf(x) / x - 1


row("erf_small_f32", 32, 7, 0, mp.mpf(1), erf_small, lambda z: 1 / (1 + erf_small(z)), "erf(x) / x - 1 of x^2, |x| <= 1")
row("erf_small_f64", 64, 13, 0, mp.mpf(1), erf_small, lambda z: 1 / (1 + erf_small(z)), "the same")
# erf, large: log(1 - erf(x))
row("erf_large_f32", 32, 9, mp.mpf("0.98"), mp.mpf("4"), lambda x: mp.log(mp.erfc(x)), lambda x: mp.erfc(x), "log(1 - erf(x)), 1 <= x <= 4")
row("erf_large_f64", 64, 21, mp.mpf("0.98"), mp.mpf("6"), lambda x: mp.log(mp.erfc(x)), lambda x: mp.erfc(x), "the same to 6")


def rational(f, lo, hi, m, n, w, points=120, rounds=60):
    """p (m coefficients) over 1 + q (n) nearest to f, and the largest weighted error at the points."""
    xs = [lo + (hi - lo) * ((1 - mp.cos(mp.pi * i / (points - 1))) / 2) ** mp.mpf("1.5") for i in range(points)]
    fs, ws, ss = [f(x) for x in xs], [w(x) for x in xs], [x / hi for x in xs]
    share, below, best = [mp.mpf(1)] * points, [mp.mpf(1)] * points, None
    for step in range(rounds):
        rows = []
        for i, s in enumerate(ss):
            g = mp.sqrt(share[i]) * ws[i] / below[i]
            rows.append(([g * s**k for k in range(m)] + [-g * fs[i] * s ** (k + 1) for k in range(n)], g * fs[i]))
        normal, right = mp.matrix(m + n, m + n), mp.matrix(m + n, 1)
        for a in range(m + n):
            for b in range(a, m + n):
                normal[a, b] = normal[b, a] = mp.fsum(r[a] * r[b] for r, _ in rows)
            right[a] = mp.fsum(r[a] * y for r, y in rows)
        c = list(mp.lu_solve(normal, right))
        p, q = c[:m], [mp.mpf(1)] + c[m:]
        below = [mp.polyval(q[::-1], s) for s in ss]
        errors = [abs((mp.polyval(p[::-1], s) / b - y) * v) for s, b, y, v in zip(ss, below, fs, ws)]
        worst = max(errors)
        if best is None or worst < best[0]:
            best = (worst, [v / hi**k for k, v in enumerate(p)], [v / hi**k for k, v in enumerate(q)])
        if step >= 3:
            share = [a * e / worst for a, e in zip(share, errors)]
            share = [a / max(share) + mp.mpf("1e-12") for a in share]
    return best[1], best[2], best[0]


def round_f32(x):
    """A fraction, rounded once."""
    e = math.floor(math.log2(abs(float(x)))) - 23
    return Fraction(round(x / Fraction(2) ** e)) * Fraction(2) ** e


def odd_rational_f32(x, slope, p, q, fused):
    """slope x + x p(x^2) / q(x^2) in the arithmetic of f32, with fused multiply-add or without."""

    def multiply_add(a, b, c):
        return round_f32(a * b + c) if fused else round_f32(round_f32(a * b) + c)

    def horner(c):
        r = Fraction(c[-1])
        for v in c[-2::-1]:
            r = multiply_add(r, z, Fraction(v))
        return r

    z = round_f32(x * x)
    return multiply_add(x, slope, round_f32(round_f32(x * horner(p)) / horner(q)))


def emit_erf_ratio(out):
    """erf for sums with 1, where the error counts against 1: a rational function up to where it is exactly 1. What a
    straight line through the middle of erf(x) / x gives is taken out of it, so that its rounding counts for less."""
    end, slope = mp.mpf("3.92"), mp.mpf("0.375")
    p, q, worst = rational(
        lambda z: 1 + erf_small(z), mp.mpf(0), end**2, 6, 5, lambda z: mp.sqrt(z) + mp.mpf("0.05")
    )
    p = [a - slope * b for a, b in zip(p, q)]
    p, q = [to_f32(v) for v in p], [to_f32(v) for v in q]
    last = next(
        x
        for x in (to_f32(3.9 + i / 4096) for i in range(400))
        if all(odd_rational_f32(Fraction(x), Fraction(3, 8), p, q, fused) == 1 for fused in (True, False))
    )
    out.write(f"\n// erf(x) / x - slope of x^2 as a quotient, |x| <= 3.92; error {mp.nstr(mp.log(worst, 2), 4)} bits of 1\n")
    for name, c in (("erf_over_f32", p), ("erf_under_f32", q)):
        out.write(f"static const double {name}[] = {{\n" + "".join(f"    {v.hex()},\n" for v in c) + "};\n")
    out.write(f"static const double erf_slope_f32 = {float(slope).hex()};\n")
    out.write("// Here the sum is exactly 1 in the arithmetic of f32, multiplications fused or not.\n")
    out.write(f"static const double erf_end_f32 = {last.hex()};\n")


def emit(out):
    out.write("// math_tables.h: polynomial coefficients, lowest first; made by coefficients.py.\n")
    out.write("// SPDX-License-Identifier: Apache-2.0\n#ifndef INGOT_CODEGEN_MATH_TABLES_H\n#define INGOT_CODEGEN_MATH_TABLES_H\n// clang-format off\n")
    for name, bits, n, lo, hi, f, w, note in ROWS:
        c = remez(f, lo, hi, n, w)
        rounded = [to_f32(x) if bits == 32 else float(x) for x in c]
        worst = mp.mpf(0)
        for i in range(2001):
            x = mp.mpf(lo) + (mp.mpf(hi) - lo) * i / 2000
            worst = max(worst, abs((mp.polyval([mp.mpf(v) for v in rounded[::-1]], x) - f(x)) * w(x)))
        out.write(f"\n// {note}; error {mp.nstr(mp.log(worst, 2), 4)} bits\n")
        out.write(f"static const double {name}[] = {{\n")
        for v in rounded:
            out.write(f"    {v.hex()},\n")
        out.write("};\n")
        sys.stderr.write(f"{name} {n} {mp.nstr(mp.log(worst, 2), 5)}\n")
    emit_erf_ratio(out)
    out.write("\n#endif\n")


emit(sys.stdout)
