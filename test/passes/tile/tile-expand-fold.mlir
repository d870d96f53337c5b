// A fold becomes a loop of online softmax in base 2.
// RUN: fovea-opt %s --tile-expand-fold --canonicalize --cse | FileCheck %s
// The loop computes what the fold means: the interpreter runs both, with tails, rows without keys, several terms.
// RUN: fovea-opt %s --tile-expand-fold --canonicalize --cse -o %t.mlir
// RUN: fovea-tile-run %t.mlir --program one --compare %s --compare-program one --axes T=40,S=50 --tolerance 1e-7
// RUN: fovea-tile-run %t.mlir --program one --compare %s --compare-program one --axes T=50,S=17 --tolerance 1e-7
// RUN: fovea-tile-run %t.mlir --program terms --compare %s --compare-program terms --axes T=40,S=50 --tolerance 1e-7
// RUN: fovea-tile-run %t.mlir --program terms --compare %s --compare-program terms --axes T=1,S=1 --tolerance 1e-7
// RUN: fovea-tile-run %t.mlir --program additive --compare %s --compare-program additive --axes T=40,S=50 --tolerance 1e-7
// RUN: fovea-tile-run %t.mlir --program additive --compare %s --compare-program additive --axes T=1,S=1 --tolerance 1e-7

// CHECK-LABEL: tile.program @one
// 0.125 * log2(e), rounded once.
// CHECK-DAG: %[[C:.*]] = arith.constant dense<0.180336878> : tensor<16x16xf32>
// CHECK-DAG: %[[CR:.*]] = arith.constant dense<0.180336878> : tensor<16xf32>
// CHECK-DAG: %[[NONE:.*]] = arith.constant dense<0xFF800000> : tensor<16xf32>
// CHECK-DAG: %[[NONES:.*]] = arith.constant dense<0xFF800000> : tensor<16x16xf32>
// CHECK-DAG: %[[ZERO:.*]] = arith.constant dense<0.000000e+00> : tensor<16xf32>
// CHECK: %[[COUNT:.*]] = tile.domain_count %[[D:.*]]
// CHECK: scf.for %[[N:.*]] = %{{.*}} to %[[COUNT]] {{.*}} iter_args(%[[M:.*]] = %[[NONE]], %[[L:.*]] = %[[ZERO]], %[[U:.*]] = %{{.*}})
// CHECK-NEXT: %[[J:.*]], %[[FULL:.*]] = tile.domain_tile %[[D]][%[[N]]]
// CHECK: %[[RAW:.*]] = tile.dot
// The mask stays a branch, and its computation inside it.
// CHECK: %[[S:.*]] = scf.if %[[FULL]]
// CHECK-NEXT: scf.yield %[[RAW]]
// CHECK-NEXT: } else {
// CHECK-NEXT: tile.iota %[[J]]
// CHECK: %[[MASKED:.*]] = arith.select %{{.*}}, %[[RAW]], %[[NONES]]
// CHECK-NEXT: scf.yield %[[MASKED]]
// CHECK: %[[ROWMAX:.*]] = tile.reduce "max" %[[S]] dim 1
// CHECK: %[[MAX:.*]] = arith.maxnumf %[[M]], %[[ROWMAX]]
// CHECK: %[[EMPTY:.*]] = arith.cmpf oeq, %[[MAX]], %[[NONE]]
// CHECK: %[[BASE:.*]] = arith.select %[[EMPTY]], %[[ZERO]], %[[MAX]]
// CHECK: %[[BC:.*]] = arith.mulf %[[BASE]], %[[CR]]
// CHECK: %[[NEG:.*]] = arith.negf %[[BC]]
// CHECK: %[[SHIFT:.*]] = tile.broadcast %[[NEG]] dims [0]
// One fma and one exponential per element.
// CHECK: %[[E:.*]] = math.fma %[[S]], %[[C]], %[[SHIFT]]
// CHECK: %[[P:.*]] = math.exp2 %[[E]]
// CHECK: %[[DIFF:.*]] = arith.subf %[[M]], %[[BASE]]
// CHECK: %[[DC:.*]] = arith.mulf %[[DIFF]], %[[CR]]
// CHECK: %[[DECAY:.*]] = math.exp2 %[[DC]]
// The sum takes the weights as they are, the product rounds them.
// CHECK: %[[ROWSUM:.*]] = tile.reduce "add" %[[P]] dim 1
// CHECK: %[[SUM:.*]] = math.fma %[[L]], %[[DECAY]], %[[ROWSUM]]
// CHECK: %[[ROUNDED:.*]] = arith.truncf %[[P]]
// CHECK: %[[ACROSS:.*]] = tile.broadcast %[[DECAY]] dims [0]
// CHECK: %[[KEPT:.*]] = arith.mulf %[[U]], %[[ACROSS]]
// What the mask hides must not reach the sum, NaN included: masked tiles have a product of their own.
// CHECK: %[[ACC:.*]] = scf.if %[[FULL]]
// CHECK-NEXT: %[[WHOLE:.*]] = tile.dot %[[ROUNDED]], %{{.*}}, %[[KEPT]] contract [1, 0] :
// CHECK-NEXT: scf.yield %[[WHOLE]]
// CHECK: %[[MASKEDSUM:.*]] = tile.dot %[[ROUNDED]], %{{.*}}, %[[KEPT]] contract [1, 0] {hides}
// CHECK-NEXT: scf.yield %[[MASKEDSUM]]
// CHECK: scf.yield %[[MAX]], %[[SUM]], %[[ACC]]
tile.program @one {
  %T = tile.axis "T"
  %S = tile.axis "S"
  %q = tile.tensor "q" "input" ["T", "16"] : !tile.view<?x16xbf16>
  %k = tile.tensor "k" "input" ["S", "16"] : !tile.view<?x16xbf16>
  %o = tile.tensor "o" "output" ["T", "16"] : !tile.view<?x16xf32>
  %m = tile.tensor "m" "output" ["T"] : !tile.view<?xf32>
  %l = tile.tensor "l" "output" ["T"] : !tile.view<?xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %tiles = arith.ceildivui %T, %c16 : index
  %shift = arith.subi %S, %T : index
  tile.launch "one" ["T"] (%t = %tiles) {
    %scale = arith.constant 0.125 : f32
    %zero = arith.constant dense<0.0> : tensor<16x16xf32>
    %i0 = arith.muli %t, %c16 : index
    %first = arith.addi %i0, %shift : index
    %fullHi = arith.addi %first, %c1 : index
    %hi = arith.addi %first, %c16 : index
    %qt = tile.load %q[%i0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<16x16xbf16>
    %i = tile.iota %first : tensor<16xi32>
    %n = arith.index_cast %S : index to i32
    %dom = tile.domain ranges (%c0 to %hi) full (%c0 to %fullHi) limit %S step 16
    %max, %sum, %u = tile.fold %dom scale %scale (%j0) {
      %kt = tile.load %k[%j0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<16x16xbf16>
      %s = tile.dot %qt, %kt, %zero contract [1, 1] : tensor<16x16xbf16>, tensor<16x16xbf16> -> tensor<16x16xf32>
      tile.fold_yield %s values (%kt : tensor<16x16xbf16>) terms [-1] * [0] : tensor<16x16xf32>
    } mask (%j0) {
      %j = tile.iota %j0 : tensor<16xi32>
      %bi = tile.broadcast %i dims [0] : tensor<16xi32> -> tensor<16x16xi32>
      %bj = tile.broadcast %j dims [1] : tensor<16xi32> -> tensor<16x16xi32>
      %bn = tile.splat %n : i32 -> tensor<16x16xi32>
      %before = arith.cmpi sle, %bj, %bi : tensor<16x16xi32>
      %inside = arith.cmpi slt, %bj, %bn : tensor<16x16xi32>
      %both = arith.andi %before, %inside : tensor<16x16xi1>
      tile.mask_yield %both : tensor<16x16xi1>
    } : tensor<16xf32>, tensor<16xf32>, tensor<16x16xf32>
    tile.store %u, %o[%i0, %c0] dims [0, 1] : tensor<16x16xf32>, !tile.view<?x16xf32>
    tile.store %max, %m[%i0] dims [0] : tensor<16xf32>, !tile.view<?xf32>
    tile.store %sum, %l[%i0] dims [0] : tensor<16xf32>, !tile.view<?xf32>
  }
}

// Coefficients are masked with the scores, multiplied once each, and rounded once for all values of a type. A scale that is no
// constant is multiplied by log2(e).
// CHECK-LABEL: tile.program @terms
// CHECK: %[[SC:.*]] = tile.load_scalar
// CHECK: %[[ABS:.*]] = math.absf %[[SC]]
// CHECK: %[[C:.*]] = arith.mulf %[[ABS]], %{{.*}} : f32
// CHECK: %[[CT:.*]] = tile.splat %[[C]] : f32 -> tensor<16x16xf32>
// CHECK: scf.for
// CHECK: %[[IF:.*]]:2 = scf.if
// CHECK-NEXT: scf.yield %[[S:.*]], %[[COEF:.*]] :
// CHECK: arith.select %[[MASK:.*]], %[[S]]
// CHECK: arith.select %[[MASK]], %[[COEF]], %{{.*}}
// CHECK: math.fma %[[IF]]#0, %[[CT]]
// CHECK: %[[P:.*]] = math.exp2 {{.*}} : tensor<16x16xf32>
// CHECK: %[[PC:.*]] = arith.mulf %[[P]], %[[IF]]#1
// CHECK: %[[R:.*]] = arith.truncf %[[PC]]
// CHECK: tile.dot %[[R]], %[[V1:.*]], %{{.*}} contract [1, 0]
// CHECK: tile.dot %[[R]], %[[V2:.*]], %{{.*}} contract [1, 0]
// CHECK: tile.reduce "add" %[[PC]] dim 1
// CHECK-NOT: arith.truncf %[[PC]]
tile.program @terms {
  %T = tile.axis "T"
  %S = tile.axis "S"
  %q = tile.tensor "q" "input" ["T", "16"] : !tile.view<?x16xbf16>
  %k = tile.tensor "k" "input" ["S", "16"] : !tile.view<?x16xbf16>
  %scales = tile.tensor "scale" "input" ["1"] : !tile.view<1xf32>
  %o = tile.tensor "o" "output" ["T", "16"] : !tile.view<?x16xf32>
  %o2 = tile.tensor "o2" "output" ["T", "16"] : !tile.view<?x16xf32>
  %o3 = tile.tensor "o3" "output" ["T"] : !tile.view<?xf32>
  %c0 = arith.constant 0 : index
  %c16 = arith.constant 16 : index
  %tiles = arith.ceildivui %T, %c16 : index
  tile.launch "terms" ["T"] (%t = %tiles) {
    %drawn = tile.load_scalar %scales[%c0] : !tile.view<1xf32> -> f32
    %scale = math.absf %drawn : f32
    %zero = arith.constant dense<0.0> : tensor<16x16xf32>
    %i0 = arith.muli %t, %c16 : index
    %qt = tile.load %q[%i0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<16x16xbf16>
    %n = arith.index_cast %S : index to i32
    %dom = tile.domain ranges (%c0 to %S) full (%c0 to %S) limit %S step 16
    %max, %sum, %u:3 = tile.fold %dom scale %scale (%j0) {
      %kt = tile.load %k[%j0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<16x16xbf16>
      %kf = arith.extf %kt : tensor<16x16xbf16> to tensor<16x16xf32>
      %kd = arith.addf %kf, %kf : tensor<16x16xf32>
      %k2 = arith.truncf %kd : tensor<16x16xf32> to tensor<16x16xbf16>
      %s = tile.dot %qt, %kt, %zero contract [1, 1] : tensor<16x16xbf16>, tensor<16x16xbf16> -> tensor<16x16xf32>
      // Minus infinity where there is no key.
      %abs = math.absf %s : tensor<16x16xf32>
      %l2 = math.log2 %abs : tensor<16x16xf32>
      tile.fold_yield %s coefficients (%l2 : tensor<16x16xf32>) values (%kt, %k2 : tensor<16x16xbf16>, tensor<16x16xbf16>) terms [0, 0, 0] * [0, 1, -1] : tensor<16x16xf32>
    } mask (%j0) {
      %j = tile.iota %j0 : tensor<16xi32>
      %bj = tile.broadcast %j dims [1] : tensor<16xi32> -> tensor<16x16xi32>
      %bn = tile.splat %n : i32 -> tensor<16x16xi32>
      %inside = arith.cmpi slt, %bj, %bn : tensor<16x16xi32>
      tile.mask_yield %inside : tensor<16x16xi1>
    } : tensor<16xf32>, tensor<16xf32>, tensor<16x16xf32>, tensor<16x16xf32>, tensor<16xf32>
    tile.store %u#0, %o[%i0, %c0] dims [0, 1] : tensor<16x16xf32>, !tile.view<?x16xf32>
    tile.store %u#1, %o2[%i0, %c0] dims [0, 1] : tensor<16x16xf32>, !tile.view<?x16xf32>
    tile.store %u#2, %o3[%i0] dims [0] : tensor<16xf32>, !tile.view<?xf32>
  }
}

// Additive: sums alone, nothing is decayed.
// CHECK-LABEL: tile.program @additive
// CHECK: scf.for {{.*}} iter_args(%[[L:.*]] = %{{.*}}, %[[U:.*]] = %{{.*}}, %[[C:.*]] = %{{.*}})
// CHECK-NOT: math.exp2
// CHECK-NOT: "max"
// CHECK: %[[W:.*]]:2 = scf.if
// CHECK: arith.select %{{.*}}, %{{.*}}, %[[ZERO:.*]] : tensor<16x16xi1>, tensor<16x16xf32>
// CHECK: arith.select %{{.*}}, %{{.*}}, %[[ZERO]] : tensor<16x16xi1>, tensor<16x16xf32>
// CHECK: %[[ROW:.*]] = tile.reduce "add" %[[W]]#0 dim 1
// CHECK: arith.addf %[[L]], %[[ROW]]
// CHECK: tile.dot {{.*}}, %[[U]] contract [1, 0]
// CHECK: arith.addf %[[C]]
tile.program @additive {
  %T = tile.axis "T"
  %S = tile.axis "S"
  %q = tile.tensor "q" "input" ["T", "16"] : !tile.view<?x16xbf16>
  %k = tile.tensor "k" "input" ["S", "16"] : !tile.view<?x16xbf16>
  %o = tile.tensor "o" "output" ["T", "16"] : !tile.view<?x16xf32>
  %l = tile.tensor "l" "output" ["T"] : !tile.view<?xf32>
  %s2 = tile.tensor "s2" "output" ["T"] : !tile.view<?xf32>
  %c0 = arith.constant 0 : index
  %c16 = arith.constant 16 : index
  %tiles = arith.ceildivui %T, %c16 : index
  tile.launch "additive" ["T"] (%t = %tiles) {
    %one = arith.constant 1.0 : f32
    %zero = arith.constant dense<0.0> : tensor<16x16xf32>
    %i0 = arith.muli %t, %c16 : index
    %qt = tile.load %q[%i0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<16x16xbf16>
    %dom = tile.domain ranges (%c0 to %S) full (%c0 to %S) limit %S step 16
    %max, %sum, %u, %squares = tile.fold %dom scale %one (%j0) {
      %kt = tile.load %k[%j0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<16x16xbf16>
      %s = tile.dot %qt, %kt, %zero contract [1, 1] : tensor<16x16xbf16>, tensor<16x16xbf16> -> tensor<16x16xf32>
      %w = math.absf %s : tensor<16x16xf32>
      %c = arith.mulf %w, %w : tensor<16x16xf32>
      tile.fold_yield %w coefficients (%c : tensor<16x16xf32>) values (%kt : tensor<16x16xbf16>) terms [-1, 0] * [0, -1] : tensor<16x16xf32>
    } mask (%j0) {
      %j = tile.iota %j0 : tensor<16xi32>
      %n = arith.index_cast %S : index to i32
      %bn = tile.splat %n : i32 -> tensor<16xi32>
      %inside = arith.cmpi slt, %j, %bn : tensor<16xi32>
      %both = tile.broadcast %inside dims [1] : tensor<16xi1> -> tensor<16x16xi1>
      tile.mask_yield %both : tensor<16x16xi1>
    } attributes {additive} : tensor<16xf32>, tensor<16xf32>, tensor<16x16xf32>, tensor<16xf32>
    tile.store %u, %o[%i0, %c0] dims [0, 1] : tensor<16x16xf32>, !tile.view<?x16xf32>
    tile.store %sum, %l[%i0] dims [0] : tensor<16xf32>, !tile.view<?xf32>
    tile.store %squares, %s2[%i0] dims [0] : tensor<16xf32>, !tile.view<?xf32>
  }
}
