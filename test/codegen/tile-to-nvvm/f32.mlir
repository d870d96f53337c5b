// Products of f32 as their precision says, and copies from tensors that are aligned to their elements alone.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(canonicalize,cse,tile-set-schedule{query=shared}),fovea-schedule)' -o %t.mlir
// RUN: fovea-translate %t.mlir | FileCheck %s

tile.program @products {
  %T = tile.axis "T"
  %q = tile.tensor "q" "input" ["T", "D"] : !tile.view<?x16xf32>
  %k = tile.tensor "k" "input" ["T", "D"] : !tile.view<?x16xf32>
  %h = tile.tensor "h" "input" ["T", "D"] : !tile.view<?x16xbf16>
  %n = tile.tensor "n" "input" ["T", "D"] {alignment = 2} : !tile.view<?x16xbf16>
  %o = tile.tensor "o" "output" ["T", "T"] : !tile.view<?x?xf32>
  %c0 = arith.constant 0 : index

  // CHECK-LABEL: .entry once
  // CHECK: cp.async.cg.shared.global
  // CHECK: ldmatrix.sync.aligned.m8n8.x4.shared.b16
  // CHECK: cvt.rna.tf32.f32
  // CHECK: mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
  // CHECK-NOT: bar.warp.sync
  tile.launch "once" ["T"] (%t = %T) {
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %a = tile.load %q[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %b = tile.load %k[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %s = tile.dot %a, %b, %zero contract [1, 1] precision "tf32" : tensor<64x16xf32>, tensor<64x16xf32> -> tensor<64x64xf32>
    tile.store %s, %o[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x?xf32>
  }

  // Each step's products from 0, added with rounding.
  // CHECK-LABEL: .entry thrice
  // CHECK-COUNT-3: mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
  // CHECK: add.rn.f32
  tile.launch "thrice" ["T"] (%t = %T) {
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %a = tile.load %q[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %b = tile.load %k[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %s = tile.dot %a, %b, %zero contract [1, 1] precision "3xtf32" : tensor<64x16xf32>, tensor<64x16xf32> -> tensor<64x64xf32>
    tile.store %s, %o[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x?xf32>
  }

  // What was 16 bits wide has no rest: nothing to round.
  // CHECK-LABEL: .entry widened
  // CHECK-NOT: cvt.rna.tf32.f32
  // CHECK: mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
  // CHECK-NOT: cvt.rna.tf32.f32
  // CHECK-LABEL: .entry plain
  tile.launch "widened" ["T"] (%t = %T) {
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %a = tile.load %h[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<64x16xbf16>
    %x = arith.extf %a : tensor<64x16xbf16> to tensor<64x16xf32>
    %s = tile.dot %x, %x, %zero contract [1, 1] precision "3xtf32" : tensor<64x16xf32>, tensor<64x16xf32> -> tensor<64x64xf32>
    tile.store %s, %o[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x?xf32>
  }

  // CHECK-NOT: mma.sync
  // CHECK: ld.shared.v4
  // CHECK: fma.rn.f32
  // CHECK-NOT: mma.sync
  // CHECK-LABEL: .entry narrow
  tile.launch "plain" ["T"] (%t = %T) {
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %a = tile.load %q[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %b = tile.load %k[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %s = tile.dot %a, %b, %zero contract [1, 1] precision "fma" : tensor<64x16xf32>, tensor<64x16xf32> -> tensor<64x64xf32>
    tile.store %s, %o[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x?xf32>
  }

  // CHECK-NOT: cp.async.cg
  // CHECK: ld.global.b16
  // CHECK: st.shared.v4
  // CHECK-NOT: cp.async.cg
  tile.launch "narrow" ["T"] (%t = %T) {
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %a = tile.load %n[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<64x16xbf16>
    %s = tile.dot %a, %a, %zero contract [1, 1] : tensor<64x16xbf16>, tensor<64x16xbf16> -> tensor<64x64xf32>
    tile.store %s, %o[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x?xf32>
  }

  // What is not finite is left out of the product, and looked for where there was any.
  // CHECK-LABEL: .entry hides_once
  // CHECK: mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
  // CHECK: selp.f32
  // CHECK: mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
  // CHECK: vote.sync.any
  // CHECK-NOT: mma.sync
  // CHECK: shfl.sync.idx
  tile.launch "hides_once" ["T"] (%t = %T) {
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %none = arith.constant dense<0.0> : tensor<64x16xf32>
    %a = tile.load %q[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %b = tile.load %k[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %v = tile.load %k[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %s = tile.dot %a, %b, %zero contract [1, 1] precision "tf32" : tensor<64x16xf32>, tensor<64x16xf32> -> tensor<64x64xf32>
    %p = tile.dot %s, %v, %none contract [1, 0] precision "tf32" {hides} : tensor<64x64xf32>, tensor<64x16xf32> -> tensor<64x16xf32>
    tile.store %p, %o[%c0, %c0] dims [0, 1] : tensor<64x16xf32>, !tile.view<?x?xf32>
  }

  // A multiply-add counts where its weight is not 0.
  // CHECK-LABEL: .entry hides_plain
  // CHECK: setp.neu.f32
  // CHECK: fma.rn.f32
  // CHECK-NEXT: selp.f32
  // CHECK-NOT: vote.sync
  tile.launch "hides_plain" ["T"] (%t = %T) {
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %none = arith.constant dense<0.0> : tensor<64x16xf32>
    %a = tile.load %q[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %b = tile.load %k[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %v = tile.load %k[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    %s = tile.dot %a, %b, %zero contract [1, 1] precision "fma" : tensor<64x16xf32>, tensor<64x16xf32> -> tensor<64x64xf32>
    %p = tile.dot %s, %v, %none contract [1, 0] precision "fma" {hides} : tensor<64x64xf32>, tensor<64x16xf32> -> tensor<64x16xf32>
    tile.store %p, %o[%c0, %c0] dims [0, 1] : tensor<64x16xf32>, !tile.view<?x?xf32>
  }
}
