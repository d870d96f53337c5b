// What the interpreter accepts and refuses of schedules: copies, barriers, claims, channels, turns, products in flight.

// RUN: fovea-tile-run %s --all
// RUN: fovea-opt %s --verify-roundtrip -o /dev/null

tile.program @read_after_wait_and_barrier {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %t = tile.smem_read %s[%c0] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
    tile.barrier
    tile.copy_start %x[%c1, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %u = tile.smem_read %s[%c0] of view %x[%c1, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @some_rows_of_a_stage {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %y = tile.tensor "y" "output" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c3 = arith.constant 3 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<1x19x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<1x19x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %t = tile.smem_read %s[%c0] of view %x[%c3, %c0] dims [0, 1] : !tile.view<16x8xbf16> {row = 3 : i64} : !tile.smem<1x19x8xbf16, 0> -> tensor<16x8xbf16>
    tile.store %t, %y[%c0, %c0] dims [0, 1] : tensor<16x8xbf16>, !tile.view<16x8xbf16>
  }
}

tile.program @stages_are_independent {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_start %x[%c1, %c0] dims [0, 1] to %s[%c1] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 1
    tile.barrier
    %t = tile.smem_read %s[%c0] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
    tile.copy_wait 0
    tile.barrier
    %u = tile.smem_read %s[%c1] of view %x[%c1, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @a_predicate_that_is_false_copies_nothing {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %f = arith.constant false
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %t = tile.smem_read %s[%c0] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
    tile.copy_start %x[%c1, %c0] dims [0, 1] to %s[%c0] if %f : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %u = tile.smem_read %s[%c0] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @written_tiles_are_read_back {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    %k = arith.constant dense<1.0> : tensor<16x8xbf16>
    %k2 = arith.constant dense<2.0> : tensor<16x8xbf16>
    tile.smem_write %k to %s[%c0] : tensor<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.barrier
    %u = tile.smem_read %s[%c0] of tile %k : tensor<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
    tile.barrier
    tile.smem_write %k2 to %s[%c0] : tensor<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.barrier
    %v = tile.smem_read %s[%c0] of tile %k2 : tensor<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @rings_share_bytes_after_a_barrier {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc at 0 : !tile.smem<2x16x8xbf16, 0>
    %r = tile.smem_alloc at 256 : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c1] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %t = tile.smem_read %s[%c1] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
    tile.barrier
    tile.copy_start %x[%c1, %c0] dims [0, 1] to %r[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %u = tile.smem_read %r[%c0] of view %x[%c1, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_never_written attributes {expected_error = "tile.smem_read reads a stage that was never written"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    %t = tile.smem_read %s[%c0] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_no_wait attributes {expected_error = "reads a stage before its copy has landed: no copy_wait covers the copy begun at "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.barrier
    %t = tile.smem_read %s[%c0] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_wait_too_weak attributes {expected_error = "reads a stage before its copy has landed"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c1] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 1
    tile.barrier
    %t = tile.smem_read %s[%c1] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_not_committed attributes {expected_error = "reads a stage before its copy has landed"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_wait 0
    tile.barrier
    %t = tile.smem_read %s[%c0] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_no_barrier_after_wait attributes {expected_error = "reads a stage without a barrier since it was written at "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    %t = tile.smem_read %s[%c0] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_no_barrier_after_write attributes {expected_error = "reads a stage without a barrier since it was written at "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    %k = arith.constant dense<1.0> : tensor<16x8xbf16>
    %k2 = arith.constant dense<2.0> : tensor<16x8xbf16>
    tile.smem_write %k to %s[%c0] : tensor<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    %u = tile.smem_read %s[%c0] of tile %k : tensor<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_overwritten_while_read attributes {expected_error = "overwrites a stage without a barrier since it was read"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %t = tile.smem_read %s[%c0] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
    tile.copy_start %x[%c1, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
  }
}

tile.program @negative_overwritten_in_flight attributes {expected_error = "overwrites a stage while a copy into it is under way"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_start %x[%c1, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
  }
}

tile.program @negative_written_in_flight attributes {expected_error = "overwrites a stage while a copy into it is under way"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    %k = arith.constant dense<1.0> : tensor<16x8xbf16>
    %k2 = arith.constant dense<2.0> : tensor<16x8xbf16>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.smem_write %k to %s[%c0] : tensor<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
  }
}

tile.program @negative_written_twice attributes {expected_error = "overwrites a stage without a barrier since it was written at "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    %k = arith.constant dense<1.0> : tensor<16x8xbf16>
    %k2 = arith.constant dense<2.0> : tensor<16x8xbf16>
    tile.smem_write %k to %s[%c0] : tensor<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.smem_write %k2 to %s[%c0] : tensor<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
  }
}

tile.program @negative_shared_bytes_read attributes {expected_error = "reads a stage whose bytes were overwritten at "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc at 0 : !tile.smem<2x16x8xbf16, 0>
    %r = tile.smem_alloc at 256 : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c1] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    tile.copy_start %x[%c1, %c0] dims [0, 1] to %r[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %t = tile.smem_read %s[%c1] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_shared_bytes_in_flight attributes {expected_error = "overwrites a stage while a copy into it is under way"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc at 0 : !tile.smem<2x16x8xbf16, 0>
    %r = tile.smem_alloc at 256 : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c1] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %r[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
  }
}

tile.program @negative_other_indices attributes {expected_error = "claims x[1, 0], but the stage holds x[0, 0]"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %t = tile.smem_read %s[%c0] of view %x[%c1, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_claims_a_view attributes {expected_error = "claims x[0, 0], but the stage holds a tile written at "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    %k = arith.constant dense<1.0> : tensor<16x8xbf16>
    %k2 = arith.constant dense<2.0> : tensor<16x8xbf16>
    tile.smem_write %k to %s[%c0] : tensor<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.barrier
    %t = tile.smem_read %s[%c0] of view %x[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_claims_a_tile attributes {expected_error = "claims a tile that was written, but the stage holds x[0, 0]"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    %k = arith.constant dense<1.0> : tensor<16x8xbf16>
    %k2 = arith.constant dense<2.0> : tensor<16x8xbf16>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    %u = tile.smem_read %s[%c0] of tile %k : tensor<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_claims_another_tile attributes {expected_error = "claims a tile other than the one that was written at "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    %k = arith.constant dense<1.0> : tensor<16x8xbf16>
    %k2 = arith.constant dense<2.0> : tensor<16x8xbf16>
    tile.smem_write %k to %s[%c0] : tensor<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.barrier
    %u = tile.smem_read %s[%c0] of tile %k2 : tensor<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @negative_no_such_stage attributes {expected_error = "names stage 2 of a ring of 2"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c2 = arith.constant 2 : index
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %s[%c2] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
  }
}

tile.program @negative_view_changed attributes {expected_error = "claims w[0, 0], which has changed since it was copied"} {
  %w = tile.workspace "w" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  tile.launch "a" [] () {
    %a = arith.constant dense<1.0> : tensor<16x8xbf16>
    %b = arith.constant dense<2.0> : tensor<16x8xbf16>
    %s = tile.smem_alloc : !tile.smem<2x16x8xbf16, 0>
    tile.store %a, %w[%c0, %c0] dims [0, 1] : tensor<16x8xbf16>, !tile.view<16x8xbf16>
    tile.copy_start %w[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<16x8xbf16> -> !tile.smem<2x16x8xbf16, 0>
    tile.copy_commit
    tile.copy_wait 0
    tile.barrier
    tile.store %b, %w[%c0, %c0] dims [0, 1] : tensor<16x8xbf16>, !tile.view<16x8xbf16>
    %t = tile.smem_read %s[%c0] of view %w[%c0, %c0] dims [0, 1] : !tile.view<16x8xbf16> : !tile.smem<2x16x8xbf16, 0> -> tensor<16x8xbf16>
  }
}

tile.program @two_readers_take_everything {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 2 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" warps 4 registers 40 {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
        tile.put %x[%c1, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
      }
      tile.role "q" count 2 warps 4 registers 40 (%id) {
        %t = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
        tile.release %c : !tile.channel<1x16x8xbf16, 0>
        %u = tile.take %c of view %x[%c1, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
        tile.release %c : !tile.channel<1x16x8xbf16, 0>
      }
    }
  }
}

tile.program @negative_reader_is_missing attributes {expected_error = "never ends: p waits for a free stage of the channel of "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 2 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" warps 4 registers 40 {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
        tile.put %x[%c1, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
      }
      tile.role "q" warps 4 registers 40 {
        %t = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
        tile.release %c : !tile.channel<1x16x8xbf16, 0>
      }
    }
  }
}

tile.program @negative_nothing_put attributes {expected_error = "never ends: q waits for tile 0 of the channel of "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" warps 4 registers 40 {
      }
      tile.role "q" warps 4 registers 40 {
        %t = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
      }
    }
  }
}

tile.program @negative_not_all_taken attributes {expected_error = "ends although a reader has not taken all 1 tiles that were put into the channel of "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" warps 4 registers 40 {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
      }
      tile.role "q" warps 4 registers 40 {
      }
    }
  }
}

tile.program @negative_too_many_readers attributes {expected_error = "takes from a channel that has 1 readers already"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" warps 4 registers 40 {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
      }
      tile.role "q" count 2 warps 4 registers 40 (%id) {
        %t = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
      }
    }
  }
}

tile.program @negative_two_producers attributes {expected_error = "puts into a channel that another role instance puts into"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" count 2 warps 4 registers 40 (%id) {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
      }
      tile.role "q" warps 4 registers 40 {
        %t = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
        tile.release %c : !tile.channel<1x16x8xbf16, 0>
        %u = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
        tile.release %c : !tile.channel<1x16x8xbf16, 0>
      }
    }
  }
}

tile.program @negative_other_tile attributes {expected_error = "claims x[1, 0], but the stage holds x[0, 0], put at "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" warps 4 registers 40 {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
      }
      tile.role "q" warps 4 registers 40 {
        %t = tile.take %c of view %x[%c1, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
      }
    }
  }
}

tile.program @negative_release_without_take attributes {expected_error = "releases a stage that this role does not hold"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" warps 4 registers 40 {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
      }
      tile.role "q" warps 4 registers 40 {
        tile.release %c : !tile.channel<1x16x8xbf16, 0>
      }
    }
  }
}

tile.program @negative_use_after_release attributes {expected_error = "arith.addf uses a tile whose stage has been released (launch 'a', work item [], role q)"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" warps 4 registers 40 {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
      }
      tile.role "q" warps 4 registers 40 {
        %t = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
        tile.release %c : !tile.channel<1x16x8xbf16, 0>
        %d = arith.addf %t, %t : tensor<16x8xbf16>
      }
    }
  }
}

tile.program @release_after_the_product {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" warps 4 registers 40 {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
      }
      tile.role "q" warps 4 registers 40 {
        %z = arith.constant dense<0.0> : tensor<16x16xf32>
        %t = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
        %k = tile.dot_start %t, %t, %z contract [1, 1] : tensor<16x8xbf16>, tensor<16x8xbf16> -> tensor<16x16xf32>
        %r = tile.dot_wait %k : tensor<16x16xf32>
        tile.release %c : !tile.channel<1x16x8xbf16, 0>
      }
    }
  }
}

tile.program @negative_release_before_the_product attributes {expected_error = "tile.dot_wait waits for a product that reads a stage which has been released meanwhile"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
    tile.roles {
      tile.role "p" warps 4 registers 40 {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
      }
      tile.role "q" warps 4 registers 40 {
        %z = arith.constant dense<0.0> : tensor<16x16xf32>
        %t = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
        %k = tile.dot_start %t, %t, %z contract [1, 1] : tensor<16x8xbf16>, tensor<16x8xbf16> -> tensor<16x16xf32>
        tile.release %c : !tile.channel<1x16x8xbf16, 0>
        %r = tile.dot_wait %k : tensor<16x16xf32>
      }
    }
  }
}

tile.program @negative_put_outside attributes {expected_error = "tile.put puts outside a role"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x8xbf16> -> !tile.channel<1x16x8xbf16, 0>
  }
}

tile.program @negative_take_outside attributes {expected_error = "tile.take takes outside a role"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 : !tile.channel<1x16x8xbf16, 0>
        %t = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x8xbf16, 0>, !tile.view<16x8xbf16> -> tensor<16x8xbf16>
  }
}

tile.program @negative_channels_share_bytes attributes {expected_error = "shares bytes with the channel of "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 at 0 : !tile.channel<1x16x8xbf16, 0>
    %d = tile.channel readers 1 at 128 : !tile.channel<1x16x8xbf16, 0>
  }
}

tile.program @negative_ring_in_channel attributes {expected_error = "shares bytes with the channel of "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %c = tile.channel readers 1 at 0 : !tile.channel<1x16x8xbf16, 0>
    %s = tile.smem_alloc at 128 : !tile.smem<2x16x8xbf16, 0>
  }
}

tile.program @negative_channel_in_ring attributes {expected_error = "shares bytes with a ring"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %s = tile.smem_alloc at 0 : !tile.smem<2x16x8xbf16, 0>
    %c = tile.channel readers 1 at 128 : !tile.channel<1x16x8xbf16, 0>
  }
}

tile.program @turns_go_round {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %o = tile.order 2
    tile.roles {
      tile.role "q" count 2 warps 4 registers 40 (%id) {
        tile.order_wait %o[%id]
        tile.order_signal %o[%id]
        tile.order_wait %o[%id]
        tile.order_signal %o[%id]
      }
    }
  }
}

tile.program @negative_turn_not_ended attributes {expected_error = "never ends: q#1 waits for its turn in the order of "} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %o = tile.order 2
    tile.roles {
      tile.role "q" count 2 warps 4 registers 40 (%id) {
        tile.order_wait %o[%id]
      }
    }
  }
}

tile.program @negative_turn_of_another attributes {expected_error = "ends the turn of instance 1, but instance 0 has it"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %o = tile.order 2
    tile.roles {
      tile.role "q" warps 4 registers 40 {
        tile.order_signal %o[%c1]
      }
    }
  }
}

tile.program @negative_no_such_instance attributes {expected_error = "names instance 2 of an order of 2"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %o = tile.order 2
    tile.roles {
      tile.role "q" count 3 warps 4 registers 40 (%id) {
        tile.order_signal %o[%id]
      }
    }
  }
}

tile.program @negative_turn_outside attributes {expected_error = "tile.order_wait waits outside a role"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    %o = tile.order 2
    tile.order_wait %o[%c1]
  }
}

tile.program @negative_too_many_roles attributes {expected_error = "has more than 32 role instances: a block has at most 32 warps"} {
  %x = tile.tensor "x" "input" ["16", "8"] : !tile.view<16x8xbf16>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.launch "a" [] () {
    tile.roles {
      tile.role "q" count 33 warps 4 registers 40 (%id) {
      }
    }
  }
}
