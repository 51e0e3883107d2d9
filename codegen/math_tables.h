// math_tables.h: polynomial coefficients, lowest first; made by coefficients.py.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_CODEGEN_MATH_TABLES_H
#define INGOT_CODEGEN_MATH_TABLES_H
// clang-format off

// (exp(r) - 1 - r) / r^2; error -27.65 bits
static const double exp_f32[] = {
    0x1.fffffc0000000p-2,
    0x1.55548a0000000p-3,
    0x1.5559160000000p-5,
    0x1.123fc60000000p-7,
    0x1.6a1a880000000p-10,
};

// the same; error -59.9 bits
static const double exp_f64[] = {
    0x1.0000000000000p-1,
    0x1.555555555555cp-3,
    0x1.55555555554fap-5,
    0x1.111111110e95ep-7,
    0x1.6c16c16c325e4p-10,
    0x1.a01a01b4ab586p-13,
    0x1.a01a01302b552p-16,
    0x1.71dded27aef30p-19,
    0x1.27e5bba4be5fcp-22,
    0x1.af712349bb79fp-26,
    0x1.1e39bd539a51fp-29,
};

// the same, small results exact; error -28.95 bits
static const double expm1_f32[] = {
    0x1.0000000000000p-1,
    0x1.5555540000000p-3,
    0x1.5554b20000000p-5,
    0x1.1112960000000p-7,
    0x1.6d73b80000000p-10,
    0x1.9eb23e0000000p-13,
};

// the same; error -59.0 bits
static const double expm1_f64[] = {
    0x1.0000000000000p-1,
    0x1.5555555555555p-3,
    0x1.5555555555559p-5,
    0x1.11111111110f4p-7,
    0x1.6c16c16c14cffp-10,
    0x1.a01a01a02a71cp-13,
    0x1.a01a01ae0ac9bp-16,
    0x1.71de3a15f82d1p-19,
    0x1.27e4cb401895bp-22,
    0x1.ae6529080834fp-26,
    0x1.1f8ce53d879bap-29,
    0x1.60657e22da402p-33,
};

// (log(1+f) - f + f^2/2) / f^3; error -28.2 bits
static const double log_f32[] = {
    0x1.5555480000000p-2,
    -0x1.0000060000000p-2,
    0x1.99a4b60000000p-3,
    -0x1.555c4e0000000p-3,
    0x1.2337680000000p-3,
    -0x1.fc21f40000000p-4,
    0x1.e6f0580000000p-4,
    -0x1.de3c7e0000000p-4,
    0x1.1458460000000p-4,
};

// (atanh(s) - s) / s^3 of s^2, |s| <= (sqrt 2 - 1) / (sqrt 2 + 1); error -60.92 bits
static const double atanh_f64[] = {
    0x1.5555555555555p-2,
    0x1.9999999999eaap-3,
    0x1.249249241df75p-3,
    0x1.c71c726890958p-4,
    0x1.745cd95cb5037p-4,
    0x1.3b217e94db232p-4,
    0x1.0f4a4803e85f6p-4,
    0x1.100a9221075d1p-4,
};

// (tanh(x) - x) / x^3 of x^2, |x| <= 0.64; error -26.56 bits
static const double tanh_f32[] = {
    -0x1.55552a0000000p-2,
    0x1.1105520000000p-3,
    -0x1.b7fd500000000p-5,
    0x1.50820c0000000p-6,
    -0x1.6e69a00000000p-8,
};

// (sin(x) - x) / x^3 of x^2, for results of 32 bits; error -37.43 bits
static const double sin_f32[] = {
    -0x1.5555554c04b89p-3,
    0x1.11110811dcc54p-7,
    -0x1.a00f32aa55ba6p-13,
    0x1.6cbecc522aedap-19,
};

// (cos(x) - 1 + x^2/2) / x^4 of x^2, for results of 32 bits; error -43.03 bits
static const double cos_f32[] = {
    0x1.5555554ecf6dbp-5,
    -0x1.6c16b80ef839dp-10,
    0x1.a010c4b385107p-16,
    -0x1.2417df78f189dp-22,
};

// the same, for 64 bits; error -57.34 bits
static const double sin_f64[] = {
    -0x1.5555555555555p-3,
    0x1.111111111110ap-7,
    -0x1.a01a01a0188b2p-13,
    0x1.71de3a530b5b1p-19,
    -0x1.ae64525b91f56p-26,
    0x1.61206ba622634p-33,
    -0x1.aa91bcf6546f0p-41,
};

// the same, for 64 bits; error -59.97 bits
static const double cos_f64[] = {
    0x1.5555555555555p-5,
    -0x1.6c16c16c16c0fp-10,
    0x1.a01a01a018c08p-16,
    -0x1.27e4fb75dcfb4p-22,
    0x1.1eed8c7ef2e64p-29,
    -0x1.93930e75f2244p-37,
    0x1.aab2c5c45d142p-45,
};

// (asin(x) - x) / x^3 of x^2, |x| <= 1/2; error -59.38 bits
static const double asin_f64[] = {
    0x1.5555555555553p-3,
    0x1.3333333333a67p-4,
    0x1.6db6db6d464d9p-5,
    0x1.f1c71ca9456dbp-6,
    0x1.6e8b9acf94af2p-6,
    0x1.1c4f884929492p-6,
    0x1.c9809097e5cccp-7,
    0x1.7ba751d5dcadfp-7,
    0x1.36ad3292cb4bap-7,
    0x1.48745ad775d37p-7,
    0x1.4d339f4af419ep-11,
    0x1.986fe182257aep-6,
    -0x1.ae9ceedfcbf45p-6,
    0x1.143da7f0d02dep-5,
};

// (atan(x) - x) / x^3 of x^2, |x| <= tan(pi/8); error -61.07 bits
static const double atan_f64[] = {
    -0x1.5555555555554p-2,
    0x1.99999999995a3p-3,
    -0x1.2492492470403p-3,
    0x1.c71c71b4c4043p-4,
    -0x1.745d145eae8ddp-4,
    0x1.3b13662725beep-4,
    -0x1.110bfca21321cp-4,
    0x1.e168fde414ca6p-5,
    -0x1.ab43becd81d5dp-5,
    0x1.700372d50eb1dp-5,
    -0x1.1019d72dcb0ffp-5,
    0x1.e959a2b45238bp-7,
};

// erf(x) / x - 1 of x^2, |x| <= 1; error -28.71 bits
static const double erf_small_f32[] = {
    0x1.06eba80000000p-3,
    -0x1.81273e0000000p-2,
    0x1.ce2cf80000000p-4,
    -0x1.b7f90e0000000p-6,
    0x1.5405b20000000p-8,
    -0x1.a3f7060000000p-11,
    0x1.496a400000000p-14,
};

// the same; error -56.3 bits
static const double erf_small_f64[] = {
    0x1.06eba8214db69p-3,
    -0x1.812746b0379e6p-2,
    0x1.ce2f21a042b20p-4,
    -0x1.b82ce3128499dp-6,
    0x1.565bcd0db02e5p-8,
    -0x1.c02db3d8ed21bp-11,
    0x1.f9a321a11d29bp-14,
    -0x1.f4d1df393b1dap-17,
    0x1.b9def19d0e8eep-20,
    -0x1.5f1d36ba96636p-23,
    0x1.f7a411de6f337p-27,
    -0x1.386abfde7a720p-30,
    0x1.0579a87faa1f2p-34,
};

// log(1 - erf(x)), 1 <= x <= 4; error -29.64 bits
static const double erf_large_f32[] = {
    0x1.963b860000000p-13,
    -0x1.212df20000000p+0,
    -0x1.442d180000000p-1,
    -0x1.bc66d80000000p-4,
    0x1.9df99c0000000p-6,
    -0x1.155f7c0000000p-8,
    0x1.d73af80000000p-12,
    -0x1.81cec20000000p-16,
    0x1.87302c0000000p-24,
};

// the same to 6; error -55.71 bits
static const double erf_large_f64[] = {
    0x1.d2911829afad0p-26,
    -0x1.20dd7ad091f7ap+0,
    -0x1.45f2c10bbd0f0p-1,
    -0x1.a4fd26e1101c1p-4,
    0x1.39bf03baffaabp-6,
    0x1.5dc0e717e9b6bp-13,
    -0x1.ab36b8fbe3214p-10,
    0x1.09b7149ad509ap-11,
    0x1.ecd423a5b69bcp-15,
    -0x1.1aa5e762cfdf7p-13,
    0x1.451df546b3489p-14,
    -0x1.f411d9bf77aadp-16,
    0x1.2507b356af847p-17,
    -0x1.0feac0a15c288p-19,
    0x1.930e2bb017734p-22,
    -0x1.d9d43e6c9053cp-25,
    0x1.b11e6f8abfbb5p-28,
    -0x1.292b1894926b6p-31,
    0x1.2014bd3e86363p-35,
    -0x1.5fc75e5148665p-40,
    0x1.96c2c4628b421p-46,
};

// erf(x) / x - slope of x^2 as a quotient, |x| <= 3.92; error -25.84 bits of 1
static const double erf_over_f32[] = {
    0x1.81bae60000000p-1,
    0x1.c97b4e0000000p-9,
    0x1.44c4800000000p-7,
    -0x1.de64d60000000p-10,
    -0x1.4980880000000p-13,
    -0x1.9ab5140000000p-17,
};
static const double erf_under_f32[] = {
    0x1.0000000000000p+0,
    0x1.01fcf80000000p-1,
    0x1.d6d9340000000p-4,
    0x1.f045280000000p-7,
    0x1.368aa60000000p-10,
    0x1.3f5d4a0000000p-15,
};
static const double erf_slope_f32 = 0x1.8000000000000p-2;
// Here the sum is exactly 1 in the arithmetic of f32, multiplications fused or not.
static const double erf_end_f32 = 0x1.f363340000000p+1;

#endif
