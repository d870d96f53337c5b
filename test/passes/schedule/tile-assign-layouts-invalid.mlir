// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-assign-layouts))' --split-input-file --verify-diagnostics

tile.program @record {
  %T = tile.axis "T"
  // expected-error@+1 {{has no schedule record}}
  tile.launch "x" ["T"] (%t = %T) {
  }
}

// -----

tile.program @shape {
  %T = tile.axis "T"
  %q = tile.tensor "q" "input" ["T", "D"] : !tile.view<?x16xf32>
  %o = tile.tensor "o" "output" ["T", "D"] : !tile.view<?x16xf32>
  tile.launch "x" ["T"] (%t = %T) schedule {warps = 4} {
    %c0 = arith.constant 0 : index
    // expected-error@+1 {{does not fit 4 warps of tensor-core fragments: rows must be a multiple of 64 and columns of 8}}
    %a = tile.load %q[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<48x16xf32>
    tile.store %a, %o[%c0, %c0] dims [0, 1] : tensor<48x16xf32>, !tile.view<?x16xf32>
  }
}
