// What the chunk form of a recurrence is made of: parsed, verified, printed, and again.
// RUN: fovea-opt %s | fovea-opt | FileCheck %s

// CHECK: tile.tensor "h" "carry"
// CHECK: tile.smem_write %{{.*}} : tensor<64xf32> -> !tile.smem<1x1x64xf32, 0>
tile.program @carried {
  %h = tile.tensor "h" "carry" ["64"] : !tile.view<64xf32>
  tile.launch "forward" [] () {
    %c0 = arith.constant 0 : index
    %x = tile.load %h[%c0] dims [0] pad 0.0 : f32 : !tile.view<64xf32> -> tensor<64xf32>
    %s = tile.smem_alloc : !tile.smem<1x1x64xf32, 0>
    tile.smem_write %x to %s[%c0] : tensor<64xf32> -> !tile.smem<1x1x64xf32, 0>
    tile.barrier
    %y = tile.smem_read %s[%c0] of tile %x : tensor<64xf32> : !tile.smem<1x1x64xf32, 0> -> tensor<64xf32>
    tile.store %y, %h[%c0] dims [0] : tensor<64xf32>, !tile.view<64xf32>
  }
}

// CHECK-LABEL: tile.program @chunks
tile.program @chunks {
  %T = tile.axis "T"
  %k = tile.tensor "k" "input" ["T", "64"] : !tile.view<?x64xbf16>
  %g = tile.tensor "g" "input" ["T", "64"] : !tile.view<?x64xf32>
  tile.launch "forward" [] () {
    %c0 = arith.constant 0 : index
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %one = arith.constant 1.0 : f32
    // CHECK: tile.recurrence from %{{.*}} to %{{.*}} step 64 init(%{{.*}}, %{{.*}} : tensor<64x64xf32>, f32) {
    // CHECK-NEXT: ^bb0(%{{.*}}: index, %{{.*}}: tensor<64x64xf32>, %{{.*}}: f32):
    %s:2 = tile.recurrence from %c0 to %T step 64 init (%zero, %one : tensor<64x64xf32>, f32) {
    ^bb0(%start: index, %state: tensor<64x64xf32>, %scalar: f32):
      %keys = tile.load %k[%start, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xbf16> -> tensor<64x64xbf16>
      %steps = tile.load %g[%start, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<64x64xf32>
      // CHECK: tile.scan %{{.*}} dim 0 : tensor<64x64xf32> -> tensor<64x64xf32>, tensor<64xf32>
      %sums, %total = tile.scan %steps dim 0 : tensor<64x64xf32> -> tensor<64x64xf32>, tensor<64xf32>
      // CHECK: tile.decayed_dot %{{.*}}, %{{.*}}, %{{.*}} strict : tensor<64x64xbf16>, tensor<64x64xbf16>, tensor<64x64xf32> -> tensor<64x64xf32>
      %p = tile.decayed_dot %keys, %keys, %sums strict : tensor<64x64xbf16>, tensor<64x64xbf16>, tensor<64x64xf32> -> tensor<64x64xf32>
      // CHECK: tile.unit_tril_inverse %{{.*}} : tensor<64x64xf32>
      %x = tile.unit_tril_inverse %p : tensor<64x64xf32>
      // CHECK: tile.transpose %{{.*}} : tensor<64x64xf32> -> tensor<64x64xf32>
      %t = tile.transpose %x : tensor<64x64xf32> -> tensor<64x64xf32>
      %next = arith.addf %state, %t : tensor<64x64xf32>
      // CHECK: tile.recurrence_yield %{{.*}}, %{{.*}} : tensor<64x64xf32>, f32
      tile.recurrence_yield %next, %scalar : tensor<64x64xf32>, f32
    }
    // CHECK: tile.recurrence from %{{.*}} to %{{.*}} step 16 reverse {
    tile.recurrence from %c0 to %T step 16 reverse {
    ^bb0(%start: index):
      %steps = tile.load %g[%start, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<16x64xf32>
      // CHECK: tile.scan %{{.*}} dim 0 reverse :
      %sums, %total = tile.scan %steps dim 0 reverse : tensor<16x64xf32> -> tensor<16x64xf32>, tensor<64xf32>
      // CHECK: tile.decayed_dot %{{.*}}, %{{.*}}, %{{.*}} reverse :
      %p = tile.decayed_dot %sums, %sums, %sums reverse : tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32> -> tensor<16x16xf32>
      // CHECK: tile.decayed_dot %{{.*}}, %{{.*}}, %{{.*}} exclusive reverse :
      %e = tile.decayed_dot %sums, %sums, %sums exclusive reverse : tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32> -> tensor<16x16xf32>
      // CHECK: tile.decayed_dot %{{.*}}, %{{.*}}, %{{.*}} reverse bounded :
      %m = tile.decayed_dot %sums, %sums, %sums reverse bounded : tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32> -> tensor<16x16xf32>
      // CHECK: tile.unit_tril_inverse %{{.*}} reverse : tensor<16x16xf32>
      %x = tile.unit_tril_inverse %p reverse : tensor<16x16xf32>
      // CHECK: tile.unit_tril_inverse %{{.*}} reverse precision "tf32" : tensor<16x16xf32>
      %xt = tile.unit_tril_inverse %p reverse precision "tf32" : tensor<16x16xf32>
      // CHECK: tile.transpose %{{.*}} : tensor<16x64xf32> -> tensor<64x16xf32>
      %t = tile.transpose %sums : tensor<16x64xf32> -> tensor<64x16xf32>
      // CHECK: tile.recurrence_yield{{$}}
      tile.recurrence_yield
    }
  }
}
