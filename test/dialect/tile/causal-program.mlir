// Causal softmax attention at program level: one launch, one fold, an epilogue.

// RUN: fovea-opt %s --verify-roundtrip | FileCheck %s
// RUN: fovea-opt %s --mlir-print-op-generic | fovea-opt | FileCheck %s
// RUN: fovea-opt %s --emit-bytecode | fovea-opt | FileCheck %s
// RUN: fovea-tile-run %s --axes B=2,T=100,S=130,H=2 --precision rounded --compare %s --tolerance 5e-3
// RUN: not fovea-tile-run %s --axes B=1,T=100,S=100,H=1,D=32 2>&1 | FileCheck %s --check-prefix=SIZE
// RUN: not fovea-tile-run %s --axes B=1,T=100,H=1 2>&1 | FileCheck %s --check-prefix=AXIS

// CHECK: tile.program @causal choices
// CHECK: tile.launch "causal" ["B", "H", "T"]
// CHECK: %[[MAX:.*]], %[[SUM:.*]], %[[ACC:.*]] = tile.fold %{{.*}} scale %{{.*}} (%{{.*}}) {
// CHECK: tile.fold_yield %{{.*}} values(%{{.*}} : tensor<64x64xbf16>) terms [-1] * [0]
// CHECK: } mask (%{{.*}}) {
// CHECK: tile.mask_yield
// CHECK: } : tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>
// CHECK: arith.cmpf ogt, %[[SUM]]

// SIZE: error: the dimension 'D' has the size 32, but the program is made for 64
// AXIS: error: no size is given for the axis 'S'

tile.program @causal choices {query_tile = 64, key_tile = 64} {
  %B = tile.axis "B"
  %T = tile.axis "T"
  %S = tile.axis "S"
  %H = tile.axis "H"
  %q = tile.tensor "q" "input" ["B", "T", "H", "D"] : !tile.view<?x?x?x64xbf16>
  %k = tile.tensor "k" "input" ["B", "S", "H", "D"] : !tile.view<?x?x?x64xbf16>
  %v = tile.tensor "v" "input" ["B", "S", "H", "V"] : !tile.view<?x?x?x64xbf16>
  %o = tile.tensor "o" "output" ["B", "T", "H", "V"] : !tile.view<?x?x?x64xbf16>
  %lse = tile.tensor "lse" "output" ["B", "T", "H"] : !tile.view<?x?x?xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %nt = arith.ceildivui %T, %c64 : index
  %shift = arith.subi %S, %T : index
  tile.launch "causal" ["B", "H", "T"] (%b = %B, %h = %H, %t = %nt) {
    %scale = arith.constant 0.125 : f32
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %i0 = arith.muli %t, %c64 : index
    %first = arith.addi %i0, %shift : index
    %fhi = arith.addi %first, %c1 : index
    %hi = arith.addi %first, %c64 : index
    %qt = tile.load %q[%b, %i0, %h, %c0] dims [1, 3] pad 0.0 : bf16 : !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16>
    %dom = tile.domain ranges (%c0 to %hi) full (%c0 to %fhi) limit %S step 64
    %m, %l, %u = tile.fold %dom scale %scale (%j0) {
      %kt = tile.load %k[%b, %j0, %h, %c0] dims [1, 3] pad 0.0 : bf16 : !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16>
      %vt = tile.load %v[%b, %j0, %h, %c0] dims [1, 3] pad 0.0 : bf16 : !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16>
      %s = tile.dot %qt, %kt, %zero contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      tile.fold_yield %s values (%vt : tensor<64x64xbf16>) terms [-1] * [0] : tensor<64x64xf32>
    } mask (%j0) {
      %i = tile.iota %first : tensor<64xi32>
      %j = tile.iota %j0 : tensor<64xi32>
      %bi = tile.broadcast %i dims [0] : tensor<64xi32> -> tensor<64x64xi32>
      %bj = tile.broadcast %j dims [1] : tensor<64xi32> -> tensor<64x64xi32>
      %n = arith.index_cast %S : index to i32
      %bn = tile.splat %n : i32 -> tensor<64x64xi32>
      %before = arith.cmpi sle, %bj, %bi : tensor<64x64xi32>
      %inside = arith.cmpi slt, %bj, %bn : tensor<64x64xi32>
      %both = arith.andi %before, %inside : tensor<64x64xi1>
      tile.mask_yield %both : tensor<64x64xi1>
    } : tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>
    %z1 = arith.constant dense<0.0> : tensor<64xf32>
    %one = arith.constant dense<1.0> : tensor<64xf32>
    %some = arith.cmpf ogt, %l, %z1 : tensor<64xf32>
    %r = arith.divf %one, %l : tensor<64xf32>
    %inv = arith.select %some, %r, %z1 : tensor<64xi1>, tensor<64xf32>
    %binv = tile.broadcast %inv dims [0] : tensor<64xf32> -> tensor<64x64xf32>
    %of = arith.mulf %u, %binv : tensor<64x64xf32>
    %ob = arith.truncf %of : tensor<64x64xf32> to tensor<64x64xbf16>
    tile.store %ob, %o[%b, %i0, %h, %c0] dims [1, 3] : tensor<64x64xbf16>, !tile.view<?x?x?x64xbf16>
    %bs = tile.splat %scale : f32 -> tensor<64xf32>
    %sm = arith.mulf %m, %bs : tensor<64xf32>
    %ll = math.log %l : tensor<64xf32>
    %ls = arith.addf %sm, %ll : tensor<64xf32>
    %ninf = arith.constant dense<0xFF800000> : tensor<64xf32>
    %lf = arith.select %some, %ls, %ninf : tensor<64xi1>, tensor<64xf32>
    tile.store %lf, %lse[%b, %i0, %h] dims [1] : tensor<64xf32>, !tile.view<?x?x?xf32>
  }
}
