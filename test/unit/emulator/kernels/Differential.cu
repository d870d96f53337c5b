// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The bodies as kernels, and small kernels of their own kind: a block reduction and a histogram. Differential.ptx is
// this file after `nvcc -ptx -arch=sm_80 -fmad=false`.
#include "Bodies.h"

template <int which> __device__ void run(const uint32_t *a, const uint32_t *b, uint32_t *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n)
    out[i] = body(which, a[i], b[i]);
}

#define KERNEL(which)                                                                                                  \
  extern "C" __global__ void body##which(const uint32_t *a, const uint32_t *b, uint32_t *out, int n) {                 \
    run<which>(a, b, out, n);                                                                                          \
  }
KERNEL(0)
KERNEL(1)
KERNEL(2)
KERNEL(3)
KERNEL(4)
KERNEL(5)
KERNEL(6)

// Sum over the grid: warps by shuffles, the block through shared memory, blocks by an atomic.
extern "C" __global__ void blockSum(const uint32_t *in, uint64_t *out, int n) {
  __shared__ uint64_t part[32];
  uint64_t sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    sum += in[i];
  for (int step = 16; step; step >>= 1)
    sum += __shfl_xor_sync(0xffffffff, sum, step);
  if ((threadIdx.x & 31) == 0)
    part[threadIdx.x >> 5] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0;
    for (int step = 16; step; step >>= 1)
      sum += __shfl_down_sync(0xffffffff, sum, step);
    if (threadIdx.x == 0)
      atomicAdd((unsigned long long *)out, (unsigned long long)sum);
  }
}

extern "C" __global__ void histogram(const uint32_t *in, uint32_t *out, int n) {
  extern __shared__ uint32_t bins[];
  for (int i = threadIdx.x; i < 64; i += blockDim.x)
    bins[i] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    atomicAdd(&bins[in[i] % 64], 1u);
  __syncthreads();
  for (int i = threadIdx.x; i < 64; i += blockDim.x)
    out[i] = bins[i];
}
