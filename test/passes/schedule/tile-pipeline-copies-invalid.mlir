// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-pipeline-copies))' --split-input-file --verify-diagnostics

tile.program @form {
  %T = tile.axis "T"
  %k = tile.tensor "k" "input" ["T", "D"] : !tile.view<?x64xbf16>
  tile.launch "x" ["T"] (%t = %T) schedule {stages = 2} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %ring = tile.smem_alloc : !tile.smem<1x64x64xbf16, 128>
    // expected-error@+1 {{copies in a form that tile-pipeline-copies does not know: barrier, copies, commit, wait, barrier expected}}
    scf.for %n = %c0 to %T step %c1 {
      tile.copy_start %k[%n, %c0] dims [0, 1] to %ring[%c0] : !tile.view<?x64xbf16> -> !tile.smem<1x64x64xbf16, 128>
      tile.copy_commit
      tile.copy_wait 0
      tile.barrier
    }
  }
}

// -----

tile.program @step {
  %T = tile.axis "T"
  %k = tile.tensor "k" "input" ["T", "D"] : !tile.view<?x64xbf16>
  tile.launch "x" ["T"] (%t = %T) schedule {stages = 2} {
    %c0 = arith.constant 0 : index
    %c2 = arith.constant 2 : index
    %ring = tile.smem_alloc : !tile.smem<1x64x64xbf16, 128>
    // expected-error@+1 {{copies in a loop that does not count from 0 by 1}}
    scf.for %n = %c0 to %T step %c2 {
      tile.barrier
      tile.copy_start %k[%n, %c0] dims [0, 1] to %ring[%c0] : !tile.view<?x64xbf16> -> !tile.smem<1x64x64xbf16, 128>
      tile.copy_commit
      tile.copy_wait 0
      tile.barrier
    }
  }
}
