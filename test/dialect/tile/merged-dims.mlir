// A dimension that runs over a box of two others, slices of domains, sizes that a program computes.
// RUN: fovea-opt %s --verify-roundtrip -o /dev/null
// RUN: fovea-opt %s --mlir-print-op-generic | fovea-opt --verify-roundtrip -o /dev/null
// RUN: fovea-tile-run %s --program merged --axes B=2,T=11,H=6,G=3 --compare %s --compare-program plain
// RUN: fovea-tile-run %s --program merged --axes B=1,T=1,H=2,G=2 --compare %s --compare-program plain
// RUN: fovea-tile-run %s --program sliced --axes T=200 --compare %s --compare-program whole
// RUN: fovea-tile-run %s --program sliced --axes T=5 --compare %s --compare-program whole
// RUN: not fovea-tile-run %s --program merged --axes B=1,T=3,H=2,G=3 2>&1 | FileCheck %s --check-prefix=LARGE
// LARGE: tile.merge_dims merges more elements than 'x' has, or a dimension that is merged
// RUN: not fovea-tile-run %s --program nothing --axes T=3 2>&1 | FileCheck %s --check-prefix=SIZE
// SIZE: tile.computed_axis computes the size 0 for 'n'; expected at least 1
// RUN: not fovea-tile-run %s --program sliced --axes T=3,n=4 2>&1 | FileCheck %s --check-prefix=NAME
// NAME: tile.computed_axis has the name of an axis: 'n'
// RUN: not fovea-tile-run %s --program backwards --axes T=3 2>&1 | FileCheck %s --check-prefix=BACK
// BACK: tile.domain_slice begins at tile -1 and has 1 tiles

// The rows of each group of G heads, token by token, plus a number for each token and one for each head.
tile.program @merged {
  %B = tile.axis "B"
  %T = tile.axis "T"
  %H = tile.axis "H"
  %G = tile.axis "G"
  %zero = arith.constant 0 : index
  %x = tile.tensor "x" "input" ["B", "T", "H", "8"] : <?x?x?x8xf32>
  %t = tile.tensor "t" "input" ["B", "T"] : <?x?xf32>
  %h = tile.tensor "h" "input" ["H"] : <?xf32>
  %y = tile.tensor "y" "output" ["B", "T", "H", "8"] : <?x?x?x8xf32>
  %xs = tile.merge_dims %x dims [1, 2] sizes (%T, %G) : !tile.view<?x?x?x8xf32> -> !tile.view<?x?x?x?x8xf32>
  %ys = tile.merge_dims %y dims [1, 2] sizes (%T, %G) : !tile.view<?x?x?x8xf32> -> !tile.view<?x?x?x?x8xf32>
  %ts = tile.merge_dims %t dims [1, -1] sizes (%T, %G) : !tile.view<?x?xf32> -> !tile.view<?x?x?xf32>
  %hs = tile.merge_dims %h dims [-1, 0] sizes (%T, %G) : !tile.view<?xf32> -> !tile.view<?x?xf32>
  %groups = arith.divui %H, %G : index
  %rows = arith.muli %T, %G : index
  %c16 = arith.constant 16 : index
  %tiles = arith.ceildivui %rows, %c16 : index
  tile.launch "merged" ["B", "H", "T"] (%b = %B, %g = %groups, %n = %tiles) {
    %first = arith.muli %n, %c16 : index
    %head = arith.muli %g, %G : index
    %a = tile.load %xs[%b, %zero, %head, %first, %zero] dims [3, 4] pad 0.0 : f32 : !tile.view<?x?x?x?x8xf32> -> tensor<16x8xf32>
    %u = tile.load %ts[%b, %zero, %first] dims [2] pad 0.0 : f32 : !tile.view<?x?x?xf32> -> tensor<16xf32>
    %v = tile.load %hs[%head, %first] dims [1] pad 0.0 : f32 : !tile.view<?x?xf32> -> tensor<16xf32>
    %w = arith.addf %u, %v : tensor<16xf32>
    %ww = tile.broadcast %w dims [0] : tensor<16xf32> -> tensor<16x8xf32>
    %s = arith.addf %a, %ww : tensor<16x8xf32>
    tile.store %s, %ys[%b, %zero, %head, %first, %zero] dims [3, 4] : tensor<16x8xf32>, !tile.view<?x?x?x?x8xf32>
  }
}

tile.program @plain {
  %B = tile.axis "B"
  %T = tile.axis "T"
  %H = tile.axis "H"
  %zero = arith.constant 0 : index
  %x = tile.tensor "x" "input" ["B", "T", "H", "8"] : <?x?x?x8xf32>
  %t = tile.tensor "t" "input" ["B", "T"] : <?x?xf32>
  %h = tile.tensor "h" "input" ["H"] : <?xf32>
  %y = tile.tensor "y" "output" ["B", "T", "H", "8"] : <?x?x?x8xf32>
  tile.launch "plain" ["B", "T", "H"] (%b = %B, %i = %T, %k = %H) {
    %a = tile.load %x[%b, %i, %k, %zero] dims [3] pad 0.0 : f32 : !tile.view<?x?x?x8xf32> -> tensor<8xf32>
    %u = tile.load_scalar %t[%b, %i] : !tile.view<?x?xf32> -> f32
    %v = tile.load_scalar %h[%k] : !tile.view<?xf32> -> f32
    %w = arith.addf %u, %v : f32
    %ww = tile.splat %w : f32 -> tensor<8xf32>
    %s = arith.addf %a, %ww : tensor<8xf32>
    tile.store %s, %y[%b, %i, %k, %zero] dims [3] : tensor<8xf32>, !tile.view<?x?x?x8xf32>
  }
}

// Each part copies its tiles of 16 tokens; the last parts have none where there are few.
tile.program @sliced {
  %T = tile.axis "T"
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %five = arith.constant 5 : index
  %n = tile.computed_axis "n" = %five
  %x = tile.tensor "x" "input" ["T"] : <?xf32>
  %y = tile.tensor "y" "output" ["T"] : <?xf32>
  %parts = tile.workspace "parts" ["n", "T"] : <?x?xf32>
  tile.launch "parts" ["n"] (%p = %n) {
    %all = tile.domain ranges(%zero to %T) full(%zero to %T) limit %T step 16
    %count = tile.domain_count %all
    %each = arith.ceildivui %count, %n : index
    %first = arith.muli %p, %each : index
    %some = tile.domain_slice %all from %first count %each
    %mine = tile.domain_count %some
    scf.for %k = %zero to %mine step %one {
      %start, %full = tile.domain_tile %some[%k]
      %a = tile.load %x[%start] dims [0] pad 0.0 : f32 : !tile.view<?xf32> -> tensor<16xf32>
      tile.store %a, %y[%start] dims [0] : tensor<16xf32>, !tile.view<?xf32>
    }
  }
}

tile.program @whole {
  %T = tile.axis "T"
  %c16 = arith.constant 16 : index
  %tiles = arith.ceildivui %T, %c16 : index
  %x = tile.tensor "x" "input" ["T"] : <?xf32>
  %y = tile.tensor "y" "output" ["T"] : <?xf32>
  tile.launch "whole" ["T"] (%n = %tiles) {
    %first = arith.muli %n, %c16 : index
    %a = tile.load %x[%first] dims [0] pad 0.0 : f32 : !tile.view<?xf32> -> tensor<16xf32>
    tile.store %a, %y[%first] dims [0] : tensor<16xf32>, !tile.view<?xf32>
  }
}

tile.program @nothing {
  %T = tile.axis "T"
  %none = arith.subi %T, %T : index
  %n = tile.computed_axis "n" = %none
}

tile.program @backwards {
  %T = tile.axis "T"
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %y = tile.tensor "y" "output" ["T"] : <?xf32>
  tile.launch "backwards" ["n"] (%p = %one) {
    %all = tile.domain ranges(%zero to %T) full(%zero to %T) limit %T step 16
    %before = arith.subi %zero, %one : index
    %some = tile.domain_slice %all from %before count %one
  }
}
