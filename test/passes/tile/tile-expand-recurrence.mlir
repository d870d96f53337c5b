// A recurrence becomes a loop that counts chunks.
// RUN: fovea-opt %s --tile-expand-recurrence --canonicalize --cse | FileCheck %s
// The loop computes what the recurrence means.
// RUN: fovea-opt %s --tile-expand-recurrence --canonicalize --cse -o %t.mlir
// RUN: fovea-tile-run %t.mlir --program forward --compare %s --compare-program forward --axes T=40 --tolerance 0
// RUN: fovea-tile-run %t.mlir --program forward --compare %s --compare-program forward --axes T=1 --tolerance 0
// RUN: fovea-tile-run %t.mlir --program backward --compare %s --compare-program backward --axes T=40 --tolerance 0
// RUN: fovea-tile-run %t.mlir --program backward --compare %s --compare-program backward --axes T=5 --tolerance 0
// RUN: fovea-tile-run %t.mlir --program stateless --compare %s --compare-program stateless --axes T=40 --tolerance 0

// CHECK-LABEL: tile.program @forward
// CHECK: %[[T:.*]] = tile.axis "T"
// CHECK: %[[COUNT:.*]] = arith.ceildivui %[[T]], %c16
// CHECK: %[[END:.*]] = scf.for %[[N:.*]] = %c0 to %[[COUNT]] step %c1 iter_args(%[[S:.*]] = %{{.*}}) -> (tensor<16x8xf32>) {
// CHECK-NEXT: %[[START:.*]] = arith.muli %[[N]], %c16
// CHECK-NEXT: tile.load %{{.*}}[%[[START]], %c0]
// CHECK: scf.yield
// CHECK: tile.store %[[END]]
tile.program @forward {
  %T = tile.axis "T"
  %x = tile.tensor "x" "input" ["T", "8"] : !tile.view<?x8xf32>
  %o = tile.tensor "o" "output" ["T", "8"] : !tile.view<?x8xf32>
  %s = tile.tensor "s" "output" ["16", "8"] : !tile.view<16x8xf32>
  tile.launch "a" [] () {
    %c0 = arith.constant 0 : index
    %zero = arith.constant dense<1.0> : tensor<16x8xf32>
    %half = arith.constant dense<0.5> : tensor<16x8xf32>
    %end = tile.recurrence from %c0 to %T step 16 init (%zero : tensor<16x8xf32>) {
    ^bb0(%start: index, %state: tensor<16x8xf32>):
      %t = tile.load %x[%start, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x8xf32> -> tensor<16x8xf32>
      %kept = arith.mulf %state, %half : tensor<16x8xf32>
      %next = arith.addf %kept, %t : tensor<16x8xf32>
      tile.store %next, %o[%start, %c0] dims [0, 1] : tensor<16x8xf32>, !tile.view<?x8xf32>
      tile.recurrence_yield %next : tensor<16x8xf32>
    }
    tile.store %end, %s[%c0, %c0] dims [0, 1] : tensor<16x8xf32>, !tile.view<16x8xf32>
  }
}

// CHECK-LABEL: tile.program @backward
// CHECK: %[[END:.*]] = arith.maxsi %{{.*}}, %c3
// CHECK: %[[TOKENS:.*]] = arith.subi %[[END]], %c3
// CHECK: %[[COUNT:.*]] = arith.ceildivui %[[TOKENS]], %c16
// CHECK: %[[LAST:.*]] = arith.subi %[[COUNT]], %c1
// CHECK: scf.for %[[N:.*]] = %c0 to %[[COUNT]] step %c1
// CHECK-NEXT: %[[CHUNK:.*]] = arith.subi %[[LAST]], %[[N]]
// CHECK-NEXT: %[[AT:.*]] = arith.muli %[[CHUNK]], %c16
// CHECK-NEXT: arith.addi %[[AT]], %c3
tile.program @backward {
  %T = tile.axis "T"
  %x = tile.tensor "x" "input" ["T", "8"] : !tile.view<?x8xf32>
  %o = tile.tensor "o" "output" ["T", "8"] : !tile.view<?x8xf32>
  tile.launch "a" [] () {
    %c0 = arith.constant 0 : index
    %c3 = arith.constant 3 : index
    %zero = arith.constant dense<1.0> : tensor<16x8xf32>
    %half = arith.constant dense<0.5> : tensor<16x8xf32>
    %end = tile.recurrence from %c3 to %T step 16 reverse init (%zero : tensor<16x8xf32>) {
    ^bb0(%start: index, %state: tensor<16x8xf32>):
      %t = tile.load %x[%start, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x8xf32> -> tensor<16x8xf32>
      %kept = arith.mulf %state, %half : tensor<16x8xf32>
      %next = arith.addf %kept, %t : tensor<16x8xf32>
      %row = arith.subi %start, %c3 : index
      tile.store %next, %o[%row, %c0] dims [0, 1] : tensor<16x8xf32>, !tile.view<?x8xf32>
      tile.recurrence_yield %next : tensor<16x8xf32>
    }
  }
}

// CHECK-LABEL: tile.program @stateless
// CHECK: scf.for
// CHECK-NOT: tile.recurrence
tile.program @stateless {
  %T = tile.axis "T"
  %x = tile.tensor "x" "input" ["T", "8"] : !tile.view<?x8xf32>
  %o = tile.tensor "o" "output" ["T", "8"] : !tile.view<?x8xf32>
  tile.launch "a" [] () {
    %c0 = arith.constant 0 : index
    tile.recurrence from %c0 to %T step 16 {
    ^bb0(%start: index):
      %t = tile.load %x[%start, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x8xf32> -> tensor<16x8xf32>
      tile.store %t, %o[%start, %c0] dims [0, 1] : tensor<16x8xf32>, !tile.view<?x8xf32>
      tile.recurrence_yield
    }
  }
}

// What each chunk would load again is loaded in front of them: a vector, and a matrix that products alone take; not what the launch
// writes, nor a matrix of other uses.
// CHECK-LABEL: tile.program @invariant
// CHECK: tile.load {{.*}} -> tensor<8xf32>
// CHECK: tile.load {{.*}} -> tensor<8x8xf32>
// CHECK: scf.for
// CHECK: tile.load {{.*}} -> tensor<8xf32>
// CHECK: tile.load {{.*}} -> tensor<16x8xf32>
// CHECK: scf.yield
tile.program @invariant {
  %T = tile.axis "T"
  %w = tile.tensor "w" "param" ["8"] : !tile.view<8xf32>
  %m = tile.tensor "m" "param" ["8", "8"] : !tile.view<8x8xf32>
  %k = tile.tensor "k" "param" ["16", "8"] : !tile.view<16x8xf32>
  %o = tile.tensor "o" "output" ["8"] : !tile.view<8xf32>
  %s = tile.tensor "s" "output" ["16", "8"] : !tile.view<16x8xf32>
  tile.launch "a" [] () {
    %c0 = arith.constant 0 : index
    %zero = arith.constant dense<1.0> : tensor<16x8xf32>
    %ones = arith.constant dense<1.0> : tensor<8xf32>
    tile.store %ones, %o[%c0] dims [0] : tensor<8xf32>, !tile.view<8xf32>
    %end = tile.recurrence from %c0 to %T step 16 init (%zero : tensor<16x8xf32>) {
    ^bb0(%start: index, %state: tensor<16x8xf32>):
      %v = tile.load %w[%c0] dims [0] pad 0.0 : f32 : !tile.view<8xf32> -> tensor<8xf32>
      %u = tile.load %o[%c0] dims [0] pad 0.0 : f32 : !tile.view<8xf32> -> tensor<8xf32>
      %map = tile.load %m[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<8x8xf32> -> tensor<8x8xf32>
      %more = tile.load %k[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<16x8xf32> -> tensor<16x8xf32>
      %both = arith.addf %v, %u : tensor<8xf32>
      %wide = tile.broadcast %both dims [1] : tensor<8xf32> -> tensor<16x8xf32>
      %next = tile.dot %state, %map, %wide contract [1, 1] : tensor<16x8xf32>, tensor<8x8xf32> -> tensor<16x8xf32>
      %sum = arith.addf %next, %more : tensor<16x8xf32>
      tile.recurrence_yield %sum : tensor<16x8xf32>
    }
    tile.store %end, %s[%c0, %c0] dims [0, 1] : tensor<16x8xf32>, !tile.view<16x8xf32>
  }
}
