// RUN: fovea-opt %s --split-input-file --verify-diagnostics

tile.program @same {
  %T = tile.axis "T"
  %x = tile.tensor "x" "input" ["T", "T"] : <?x?xf32>
  // expected-error @+1 {{merges two different dimensions, the outer and the inner one}}
  %y = tile.merge_dims %x dims [1, 1] sizes (%T, %T) : !tile.view<?x?xf32> -> !tile.view<?x?x?xf32>
}

// -----

tile.program @absent {
  %T = tile.axis "T"
  %x = tile.tensor "x" "input" ["T", "T"] : <?x?xf32>
  // expected-error @+1 {{merges dimension 2, which the view does not have}}
  %y = tile.merge_dims %x dims [0, 2] sizes (%T, %T) : !tile.view<?x?xf32> -> !tile.view<?x?x?xf32>
}

// -----

tile.program @place {
  %c4 = arith.constant 4 : index
  %x = tile.tensor "x" "input" ["8", "8", "16"] : <8x8x16xf32>
  // expected-error @+1 {{has another type than the view with the new dimension behind both: '!tile.view<8x8x16x16xf32>'}}
  %y = tile.merge_dims %x dims [0, 1] sizes (%c4, %c4) : !tile.view<8x8x16xf32> -> !tile.view<16x8x8x16xf32>
}

// -----

tile.program @inside {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %T = tile.axis "T"
  %x = tile.tensor "x" "input" ["T", "T"] : <?x?xf32>
  tile.launch "a" ["T"] (%i = %T) {
    scf.for %n = %c0 to %T step %c1 {
      // expected-error @+1 {{expects parent op to be one of 'tile.program, tile.launch'}}
      %y = tile.merge_dims %x dims [0, 1] sizes (%T, %T) : !tile.view<?x?xf32> -> !tile.view<?x?x?xf32>
    }
  }
}

// -----

tile.program @sms {
  %T = tile.axis "T"
  tile.launch "a" ["T"] (%i = %T) {
    // expected-error @+1 {{expects parent op 'tile.program'}}
    %n = tile.device_sms
  }
}
