// RUN: fovea-opt %s --split-input-file --verify-diagnostics

tile.program @offsets {
  %B = tile.axis "B"
  %o = tile.tensor "o" "input" ["B"] : <?xf32>
  tile.launch "a" ["B"] (%b = %B) {
    // expected-error @+1 {{reads offsets that are no rank-1 view of i32}}
    %start, %length = tile.sequence %o[%b] of %B most %B : !tile.view<?xf32>
  }
}

// -----

tile.program @absent {
  %B = tile.axis "B"
  %o = tile.tensor "o" "input" ["B"] : <?xf32>
  tile.launch "a" ["B"] (%b = %B) {
    // expected-error @+1 {{narrows dimension 1, which the view does not have}}
    %x = tile.narrow %o dim 1 from %b size %B : !tile.view<?xf32> -> !tile.view<?xf32>
  }
}

// -----

tile.program @type {
  %B = tile.axis "B"
  %o = tile.tensor "o" "input" ["8"] : <8xf32>
  tile.launch "a" ["B"] (%b = %B) {
    // expected-error @+1 {{has another type than the view with that dimension dynamic: '!tile.view<?xf32>'}}
    %x = tile.narrow %o dim 0 from %b size %B : !tile.view<8xf32> -> !tile.view<8xf32>
  }
}

// -----

tile.program @outside {
  %B = tile.axis "B"
  %o = tile.tensor "o" "input" ["B"] : <?xi32>
  // expected-error @+1 {{expects parent op 'tile.launch'}}
  %start, %length = tile.sequence %o[%B] of %B most %B : !tile.view<?xi32>
}

// -----

tile.program @nested {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %B = tile.axis "B"
  tile.launch "a" ["B"] (%b = %B) {
    %e = arith.cmpi eq, %b, %c0 : index
    scf.for %n = %c0 to %B step %c1 {
      // expected-error @+1 {{expects parent op 'tile.launch'}}
      tile.end_if %e
    }
  }
}
