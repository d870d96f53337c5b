// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Functions compiled twice: by the host's compiler, and by nvcc into Differential.ptx. Only operations that round in
// one way, so that both give the same bits.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define FOVEA_BODY __device__ __forceinline__
#else
#include <cmath>
#define FOVEA_BODY inline
#endif

FOVEA_BODY uint32_t bitsOfFloat(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}
FOVEA_BODY float floatOfBits(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}

// A loop whose length differs from lane to lane.
FOVEA_BODY uint32_t collatz(uint32_t n) {
  uint64_t x = n % 10007 + 1;
  uint32_t steps = 0;
  while (x != 1 && steps < 500) {
    x = x & 1 ? 3 * x + 1 : x >> 1;
    ++steps;
  }
  return steps;
}

// Integer division of both signs and widths.
FOVEA_BODY uint32_t division(uint32_t a, uint32_t b) {
  const uint64_t wide = (uint64_t)a << 32 | b, by = (uint64_t)(b | 1) * 77;
  const int64_t s = (int64_t)wide, t = (int64_t)by * ((a & 1) ? -1 : 1);
  return (uint32_t)(wide / by) ^ (uint32_t)(wide % by) ^ (uint32_t)(s / t) ^ (uint32_t)(s % t) ^
         (uint32_t)((int32_t)a / ((int32_t)b | 1)) ^ (a % (b | 1));
}

// A local array with an index that is not known at compile time.
FOVEA_BODY uint32_t localArray(uint32_t a, uint32_t b) {
  uint32_t v[16];
  for (int i = 0; i < 16; ++i)
    v[i] = a * (2 * i + 1) + b;
  for (int i = 0; i < 40; ++i) {
    const uint32_t j = (a >> (i % 28)) & 15, k = (b >> (i % 27)) & 15;
    const uint32_t x = v[j];
    v[j] = v[k] + i;
    v[k] = x ^ (v[j] >> 3);
  }
  uint32_t r = 0;
  for (int i = 0; i < 16; ++i)
    r = r * 31 + v[i];
  return r;
}

FOVEA_BODY uint32_t decide(uint32_t a, uint32_t b) {
  switch (a % 9) {
  case 0:
    return b + 1;
  case 1:
    return b * 3;
  case 2:
    return b >> 5;
  case 3:
    return b << (a & 31);
  case 4:
    return ~b;
  case 5:
    return b ^ a;
  case 6:
    return b | 0x10101;
  case 7:
    return b & 0xff00ff;
  default:
    return a - b;
  }
}

// Rounded floating point: +, *, /, sqrt, fma, comparisons.
FOVEA_BODY uint32_t floats(uint32_t a, uint32_t b) {
  const float x = (float)(int32_t)a * 1.0e-3f, y = (float)(b % 100003) * 0.37f + 0.5f;
  float s = x / y + sqrtf(y) * fmaf(x, 0.25f, y);
  for (int i = 0; i < 5; ++i) {
    s = s * 0.5f + x / (y + (float)i);
    if (s > 1.0e6f)
      s -= 1.0e6f;
    else if (s < -1.0e6f)
      s = -s;
    s = fminf(fmaxf(s, -3.0e8f), 3.0e8f);
  }
  return bitsOfFloat(s) ^ (uint32_t)(int32_t)fminf(fmaxf(s, -2.0e9f), 2.0e9f);
}

FOVEA_BODY uint32_t doubles(uint32_t a, uint32_t b) {
  const double x = (double)(int32_t)a / 3.0, y = (double)b * 0.7 + 1.0;
  const double s = fma(x, y, 1.5) / y + sqrt(y);
  uint64_t bits;
  memcpy(&bits, &s, 8);
  return (uint32_t)bits ^ (uint32_t)(bits >> 32) ^ (uint32_t)(int64_t)floor(x);
}

FOVEA_BODY uint32_t narrow(uint32_t a, uint32_t b) {
  const int8_t c = (int8_t)a;
  const uint16_t d = (uint16_t)(b >> 3);
  const int16_t e = (int16_t)(a >> 7);
  return (uint32_t)(c * d) + (uint32_t)(int32_t)(e >> 2) + (uint32_t)(uint8_t)(c + d) * 65537u +
         (uint32_t)(int16_t)(d * e);
}

FOVEA_BODY uint32_t body(int which, uint32_t a, uint32_t b) {
  switch (which) {
  case 0:
    return collatz(a);
  case 1:
    return division(a, b);
  case 2:
    return localArray(a, b);
  case 3:
    return decide(a, b);
  case 4:
    return floats(a, b);
  case 5:
    return doubles(a, b);
  default:
    return narrow(a, b);
  }
}
