// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A tensor-core attention forward kernel in the manner of FlashAttention-2 (arXiv 2307.08691): cp.async with two
// stages, ldmatrix, mma.sync on bf16, online softmax. FlashAttention.ptx is this file after `nvcc -ptx -arch=sm_80`.
#include <cstdint>

constexpr int D = 64, M = 64, N = 64, warps = 4;

__device__ inline uint32_t sharedAddress(const void *p) { return uint32_t(__cvta_generic_to_shared(p)); }

__device__ inline void copy16(uint32_t to, const void *from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
__device__ inline void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int n> __device__ inline void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory"); }

__device__ inline void ldmatrix4(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ inline void ldmatrix4Trans(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ inline void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ inline uint32_t pack(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
__device__ inline float exp2Fast(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}

// Rows of 64 bf16 are 128 bytes; 16-byte chunk c of row r lies at chunk c ^ (r & 7): no bank conflicts.
__device__ inline uint32_t swizzled(uint32_t base, int row, int chunk) {
  return base + row * 128 + ((chunk ^ (row & 7)) << 4);
}

__device__ inline void loadTile(uint32_t to, const uint16_t *from, int firstRow, int rows) {
  for (int n = threadIdx.x; n < N * 8; n += warps * 32) {
    const int row = n >> 3, chunk = n & 7;
    const bool inside = firstRow + row < rows;
    copy16(swizzled(to, row, chunk), from + (inside ? (size_t)(firstRow + row) * D + chunk * 8 : 0), inside ? 16 : 0);
  }
}

// q, k, v, o: [heads, length, 64] bf16; lse: [heads, length] f32. Grid: (ceil(length / 64), heads); 128 threads.
extern "C" __global__ void __launch_bounds__(128)
    flashAttention(const uint16_t *q, const uint16_t *k, const uint16_t *v, uint16_t *o, float *lse, int length,
                   float scaleLog2, int causal) {
  __shared__ __align__(1024) uint8_t memory[M * 128 + 4 * N * 128];
  const uint32_t sQ = sharedAddress(memory), sK = sQ + M * 128, sV = sK + 2 * N * 128;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const size_t head = (size_t)blockIdx.y * length * D;
  const int row0 = blockIdx.x * M;
  q += head;
  k += head;
  v += head;
  const int end = causal ? min(length, row0 + M) : length;
  const int tiles = (end + N - 1) / N;

  loadTile(sQ, q, row0, length);
  loadTile(sK, k, 0, length);
  loadTile(sV, v, 0, length);
  commit();

  float acc[8][4] = {};
  float maximum[2] = {-1e30f, -1e30f}, sum[2] = {0.f, 0.f};
  uint32_t qFragments[4][4];
  for (int t = 0; t < tiles; ++t) {
    const int stage = t & 1;
    if (t + 1 < tiles) {
      loadTile(sK + (stage ^ 1) * N * 128, k, (t + 1) * N, length);
      loadTile(sV + (stage ^ 1) * N * 128, v, (t + 1) * N, length);
    }
    commit();
    wait<1>();
    __syncthreads();
    if (t == 0)
      for (int c = 0; c < 4; ++c)
        ldmatrix4(qFragments[c], swizzled(sQ, warp * 16 + (lane & 15), c * 2 + (lane >> 4)));
    const uint32_t tileK = sK + stage * N * 128, tileV = sV + stage * N * 128;
    float s[8][4] = {};
    for (int j = 0; j < 8; j += 2)
      for (int c = 0; c < 4; ++c) {
        uint32_t b[4];
        ldmatrix4(b, swizzled(tileK, j * 8 + (lane & 7) + ((lane >> 4) << 3), c * 2 + ((lane >> 3) & 1)));
        mma(s[j], qFragments[c], b[0], b[1]);
        mma(s[j + 1], qFragments[c], b[2], b[3]);
      }
    for (int h = 0; h < 2; ++h) {
      const int row = row0 + warp * 16 + (lane >> 2) + 8 * h;
      float best = maximum[h];
      for (int j = 0; j < 8; ++j)
        for (int e = 0; e < 2; ++e) {
          const int column = t * N + j * 8 + (lane & 3) * 2 + e;
          float x = s[j][2 * h + e] * scaleLog2;
          if (column >= length || (causal && column > row))
            x = -1e30f;
          s[j][2 * h + e] = x;
          best = fmaxf(best, x);
        }
      best = fmaxf(best, __shfl_xor_sync(0xffffffff, best, 1));
      best = fmaxf(best, __shfl_xor_sync(0xffffffff, best, 2));
      const float correction = exp2Fast(maximum[h] - best);
      maximum[h] = best;
      float part = 0;
      for (int j = 0; j < 8; ++j)
        for (int e = 0; e < 2; ++e) {
          const float p = exp2Fast(s[j][2 * h + e] - best);
          s[j][2 * h + e] = p;
          part += p;
        }
      sum[h] = sum[h] * correction + part;
      for (int j = 0; j < 8; ++j) {
        acc[j][2 * h] *= correction;
        acc[j][2 * h + 1] *= correction;
      }
    }
    for (int c = 0; c < 4; ++c) {
      const uint32_t a[4] = {pack(s[2 * c][0], s[2 * c][1]), pack(s[2 * c][2], s[2 * c][3]),
                             pack(s[2 * c + 1][0], s[2 * c + 1][1]), pack(s[2 * c + 1][2], s[2 * c + 1][3])};
      for (int j = 0; j < 8; j += 2) {
        uint32_t b[4];
        ldmatrix4Trans(b, swizzled(tileV, c * 16 + (lane & 15), j + (lane >> 4)));
        mma(acc[j], a, b[0], b[1]);
        mma(acc[j + 1], a, b[2], b[3]);
      }
    }
    __syncthreads();
  }
  for (int h = 0; h < 2; ++h) {
    float total = sum[h];
    total += __shfl_xor_sync(0xffffffff, total, 1);
    total += __shfl_xor_sync(0xffffffff, total, 2);
    const int row = row0 + warp * 16 + (lane >> 2) + 8 * h;
    if (row >= length)
      continue;
    const float inverse = 1.f / total;
    for (int j = 0; j < 8; ++j)
      *reinterpret_cast<uint32_t *>(o + head + (size_t)row * D + j * 8 + (lane & 3) * 2) =
          pack(acc[j][2 * h] * inverse, acc[j][2 * h + 1] * inverse);
    if ((lane & 3) == 0)
      lse[(size_t)blockIdx.y * length + row] = (maximum[h] + log2f(total)) * 0.6931471805599453f;
  }
}
