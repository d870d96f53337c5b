// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule,tile-assign-layouts,tile-stage-operands))' --split-input-file --verify-diagnostics

tile.program @limit {
  %T = tile.axis "T"
  %q = tile.tensor "q" "input" ["T", "D"] : !tile.view<?x16xbf16>
  %o = tile.tensor "o" "output" ["T", "T"] : !tile.view<?x?xf32>
  tile.launch "x" ["T"] (%t = %T) {
    %c0 = arith.constant 0 : index
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    // expected-error@+1 {{has a limit, which asynchronous copies do not know}}
    %a = tile.load %q[%c0, %c0] dims [0, 1] limit %t pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<64x16xbf16>
    %b = tile.load %q[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<64x16xbf16>
    %s = tile.dot %a, %b, %zero contract [1, 1] : tensor<64x16xbf16>, tensor<64x16xbf16> -> tensor<64x64xf32>
    tile.store %s, %o[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x?xf32>
  }
}
