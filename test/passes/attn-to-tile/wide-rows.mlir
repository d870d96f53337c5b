// A reduction over more features than a tile has goes through them part by part, in a launch of its own, and so does what is
// stored.
// RUN: fovea-opt %s --attn-to-tile=chunk=32 --canonicalize --cse | FileCheck %s
// RUN: fovea-opt %s --attn-to-tile=chunk=32 -o %t.mlir
// RUN: fovea-opt %s --attn-to-tile=state=step -o %t.step.mlir
// RUN: fovea-tile-run %t.mlir --program norm --compare %t.step.mlir --compare-program norm --axes B=1,H=2,T=40

// CHECK-LABEL: tile.program @norm
// CHECK: tile.workspace "k_read" ["B", "H", "T", "V"] : <?x?x?x264xf32>
// CHECK: tile.launch "state_k"
// CHECK: tile.launch "norm"
// CHECK: tile.reduce "add" %{{.*}} dim 1 : tensor<64x96xf32> -> tensor<64xf32>
// CHECK: tile.reduce "add" %{{.*}} dim 1 : tensor<64x96xf32> -> tensor<64xf32>
// CHECK: arith.addf %{{.*}} : tensor<64xf32>
// CHECK: tile.reduce "add" %{{.*}} dim 1 : tensor<64x96xf32> -> tensor<64xf32>
// CHECK-COUNT-3: tile.store %{{.*}} : tensor<64x96xbf16>
// CHECK-NOT: tile.store
attn.attention @norm causal axes [B, T, H, K : 32, V : 264] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  %square = attn.mul %o, %o : real [B, T, H, V], real [B, T, H, V]
  %mean = attn.reduce mean %square over [V] : real [B, T, H, V]
  %eps = attn.constant real 1.0e-6
  %sum = attn.add %mean, %eps : real [B, T, H], real []
  %scale = attn.rsqrt %sum : real [B, T, H]
  %result = attn.mul %o, %scale : real [B, T, H, V], real [B, T, H]
  attn.output "o" %result [B, T, H, V] : real [B, T, H, V]
}
