// What the interpreter refuses where a device would go on with rubbish.

// RUN: split-file %s %t
// RUN: not fovea-tile-run %t/unwritten.mlir 2>&1 | FileCheck %s --check-prefix=UNWRITTEN
// UNWRITTEN: unwritten.mlir:5:10: tile.load reads an element that was never written, of 'w' (launch 'a', work item [])

// RUN: not fovea-tile-run %t/other-item.mlir 2>&1 | FileCheck %s --check-prefix=OTHERITEM
// OTHERITEM: tile.load reads an element that another work item of this launch writes, of 'w' (launch 'a', work item [1])

// RUN: not fovea-tile-run %t/race.mlir 2>&1 | FileCheck %s --check-prefix=RACE
// RACE: tile.store writes an element of 'r' that another work item of this launch has written differently (launch 'a', work item [1])

// RUN: not fovea-tile-run %t/into-input.mlir 2>&1 | FileCheck %s --check-prefix=INPUT
// INPUT: tile.store writes into the input 'x'

// RUN: not fovea-tile-run %t/scalar.mlir 2>&1 | FileCheck %s --check-prefix=SCALAR
// SCALAR: tile.load_scalar has the index 4 in dimension 0 of 'x', whose size is 4

// RUN: not fovea-tile-run %t/far.mlir 2>&1 | FileCheck %s --check-prefix=FAR
// FAR: tile.load has an index beyond 2^40

// RUN: not fovea-tile-run %t/scale.mlir 2>&1 | FileCheck %s --check-prefix=SCALE
// SCALE: tile.fold has a scale that is not positive

// RUN: not fovea-tile-run %t/step.mlir 2>&1 | FileCheck %s --check-prefix=STEP
// STEP: scf.for has a step of 0; expected at least 1

// RUN: not fovea-tile-run %t/unknown.mlir 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: unknown.mlir:5:10: math.acosh is not known to the tile interpreter

// RUN: not fovea-tile-run %t/extent.mlir 2>&1 | FileCheck %s --check-prefix=EXTENT
// EXTENT: tile.launch has the extent -1

// RUN: not fovea-tile-run %t/items.mlir 2>&1 | FileCheck %s --check-prefix=ITEMS
// ITEMS: tile.launch has more than 2^30 work items: too many for the interpreter

//--- unwritten.mlir
tile.program @p {
  %w = tile.workspace "w" ["4"] : !tile.view<4xf32>
  tile.launch "a" [] () {
    %c0 = arith.constant 0 : index
    %t = tile.load %w[%c0] dims [0] pad 0.0 : f32 : !tile.view<4xf32> -> tensor<2xf32>
  }
}

//--- other-item.mlir
tile.program @p {
  %w = tile.workspace "w" ["4"] : !tile.view<4xf32>
  %c2 = arith.constant 2 : index
  tile.launch "a" ["i"] (%i = %c2) {
    %z = arith.constant dense<0.0> : tensor<1xf32>
    tile.store %z, %w[%i] dims [0] : tensor<1xf32>, !tile.view<4xf32>
    %c0 = arith.constant 0 : index
    %t = tile.load %w[%c0] dims [0] pad 0.0 : f32 : !tile.view<4xf32> -> tensor<1xf32>
  }
}

//--- race.mlir
tile.program @p {
  %r = tile.tensor "r" "output" ["4"] : !tile.view<4xi32>
  %c2 = arith.constant 2 : index
  %c0 = arith.constant 0 : index
  tile.launch "a" ["i"] (%i = %c2) {
    %z = tile.iota %i : tensor<4xi32>
    tile.store %z, %r[%c0] dims [0] : tensor<4xi32>, !tile.view<4xi32>
  }
}

//--- into-input.mlir
tile.program @p {
  %x = tile.tensor "x" "input" ["4"] : !tile.view<4xi32>
  %c0 = arith.constant 0 : index
  tile.launch "a" [] () {
    %z = tile.iota %c0 : tensor<4xi32>
    tile.store %z, %x[%c0] dims [0] : tensor<4xi32>, !tile.view<4xi32>
  }
}

//--- scalar.mlir
tile.program @p {
  %x = tile.tensor "x" "input" ["4"] : !tile.view<4xi32>
  %c4 = arith.constant 4 : index
  tile.launch "a" [] () {
    %z = tile.load_scalar %x[%c4] : !tile.view<4xi32> -> i32
  }
}

//--- far.mlir
tile.program @p {
  %x = tile.tensor "x" "input" ["4"] : !tile.view<4xi32>
  %far = arith.constant 9223372036854775807 : index
  tile.launch "a" [] () {
    %z = tile.load %x[%far] dims [0] pad 0 : i32 : !tile.view<4xi32> -> tensor<4xi32>
  }
}

//--- scale.mlir
tile.program @p {
  tile.launch "a" [] () {
    %c0 = arith.constant 0 : index
    %scale = arith.constant -1.0 : f32
    %d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
    %m, %l = tile.fold %d scale %scale (%j) {
      %s = arith.constant dense<0.0> : tensor<16x8xf32>
      tile.fold_yield %s terms [] * [] : tensor<16x8xf32>
    } mask (%j) {
      %k = arith.constant dense<true> : tensor<16x8xi1>
      tile.mask_yield %k : tensor<16x8xi1>
    } : tensor<16xf32>, tensor<16xf32>
  }
}

//--- step.mlir
tile.program @p {
  tile.launch "a" [] () {
    %c0 = arith.constant 0 : index
    scf.for %i = %c0 to %c0 step %c0 {
    }
  }
}

//--- unknown.mlir
tile.program @p {
  tile.launch "a" [] () {
    %c0 = arith.constant 0 : index
    %x = arith.constant dense<1.0> : tensor<4xf32>
    %y = math.acosh %x : tensor<4xf32>
  }
}

//--- extent.mlir
tile.program @p {
  %m = arith.constant -1 : index
  tile.launch "a" ["i"] (%i = %m) {
  }
}

//--- items.mlir
tile.program @p {
  %m = arith.constant 1000000000000 : index
  tile.launch "a" ["i", "j"] (%i = %m, %j = %m) {
  }
}
