// Slices and concatenations cost no instruction; running sums exchange one register per lane bit.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule),fovea-schedule)' -o %t.mlir
// RUN: FileCheck %s --check-prefix=LEVEL < %t.mlir
// RUN: fovea-translate %t.mlir --kernels | FileCheck %s

// LEVEL: tile.launch "rows" {{.*}} schedule {{.*}}warps = 2
// LEVEL: tile.launch "halves" {{.*}} schedule {{.*}}warps = 4
tile.program @parts {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x64xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x64xf32>
  %z = tile.tensor "z" "output" ["D"] : !tile.view<64xf32>
  %f = tile.tensor "f" "input" ["N"] : !tile.view<?xf32>
  %g = tile.tensor "g" "output" ["N"] : !tile.view<?xf32>
  %t = tile.tensor "t" "output" ["1"] : !tile.view<1xf32>

  // Of 16 rows of a warp, 8 are spread over lanes: three exchanges for each of 32 registers.
  // CHECK: kernel rows threads 64
  // CHECK: .entry rows
  // CHECK-COUNT-96: shfl.sync.bfly
  // CHECK-NOT: shfl
  // CHECK: ret;
  tile.launch "rows" ["N"] (%i = %n) {
    %a = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<32x64xf32>
    %s, %total = tile.scan %a dim 0 : tensor<32x64xf32> -> tensor<32x64xf32>, tensor<64xf32>
    tile.store %s, %y[%i, %c0] dims [0, 1] : tensor<32x64xf32>, !tile.view<?x64xf32>
    tile.store %total, %z[%c0] dims [0] : tensor<64xf32>, !tile.view<64xf32>
  }
  // CHECK: .entry vector
  // CHECK-COUNT-12: shfl.sync.bfly
  // CHECK-NOT: shfl
  // Four rows of each thread, and once the total.
  // CHECK-COUNT-5: st.global.b32
  // CHECK-NOT: st.global
  // CHECK: ret;
  tile.launch "vector" ["N"] (%i = %n) {
    %a = tile.load %f[%i] dims [0] pad 0.0 : f32 : !tile.view<?xf32> -> tensor<128xf32>
    %s, %total = tile.scan %a dim 0 : tensor<128xf32> -> tensor<128xf32>, f32
    tile.store %s, %g[%i] dims [0] : tensor<128xf32>, !tile.view<?xf32>
    tile.store_scalar %total, %t[%c0] : f32, !tile.view<1xf32>
  }
  // CHECK: .entry halves
  // CHECK-NOT: shfl
  // CHECK-NOT: st.shared
  // CHECK-NOT: bar.sync
  // Two columns at once, once: 64 x 64 elements of 128 threads.
  // CHECK-COUNT-16: st.global.v2
  // CHECK-NOT: st.global
  // CHECK: ret;
  tile.launch "halves" ["N"] (%i = %n) {
    %a = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<64x64xf32>
    %p = tile.slice %a dim 1 offset 0 : tensor<64x64xf32> -> tensor<64x24xf32>
    %q = tile.slice %a dim 1 offset 24 : tensor<64x64xf32> -> tensor<64x40xf32>
    %r = tile.concat %q, %p dim 1 : tensor<64x40xf32>, tensor<64x24xf32> -> tensor<64x64xf32>
    tile.store %r, %y[%i, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x64xf32>
  }
}
