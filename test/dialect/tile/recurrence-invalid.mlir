// RUN: fovea-opt %s --allow-unregistered-dialect --split-input-file --verify-diagnostics

%x = arith.constant dense<0.0> : tensor<16x64xf32>
// expected-error @+1 {{exchanges the dimensions of a rank-2 tile}}
%t = tile.transpose %x : tensor<16x64xf32> -> tensor<16x64xf32>

// -----

%x = arith.constant dense<0.0> : tensor<64xf32>
// expected-error @+1 {{exchanges the dimensions of a rank-2 tile}}
%t = tile.transpose %x : tensor<64xf32> -> tensor<64xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x64xf32>
// expected-error @+1 {{changes the element type}}
%t = tile.transpose %x : tensor<16x64xf32> -> tensor<64x16xbf16>

// -----

%x = arith.constant dense<0.0> : tensor<16x64xf32>
// expected-error @+1 {{inverts a square tile of f32, not 'tensor<16x64xf32>'}}
%t = tile.unit_tril_inverse %x : tensor<16x64xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x16xbf16>
// expected-error @+1 {{inverts a square tile of f32, not 'tensor<16x16xbf16>'}}
%t = tile.unit_tril_inverse %x reverse : tensor<16x16xbf16>

// -----

%x = arith.constant dense<0.0> : tensor<16x16xf32>
// expected-error @+1 {{has the precision '3xtf32'; expected f32 or tf32}}
%t = tile.unit_tril_inverse %x precision "3xtf32" : tensor<16x16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x64xbf16>
%b = arith.constant dense<0.0> : tensor<16x64xf16>
%g = arith.constant dense<0.0> : tensor<16x64xf32>
// expected-error @+1 {{multiplies rows of two rank-2 tiles of one shape and element type}}
%t = tile.decayed_dot %a, %b, %g : tensor<16x64xbf16>, tensor<16x64xf16>, tensor<16x64xf32> -> tensor<16x16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x64xbf16>
%g = arith.constant dense<0.0> : tensor<16x64xbf16>
// expected-error @+1 {{has exponents that are not f32 in the shape of its operands}}
%t = tile.decayed_dot %a, %a, %g : tensor<16x64xbf16>, tensor<16x64xbf16>, tensor<16x64xbf16> -> tensor<16x16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x64xbf16>
%g = arith.constant dense<0.0> : tensor<16xf32>
// expected-error @+1 {{has exponents that are not f32 in the shape of its operands}}
%t = tile.decayed_dot %a, %a, %g : tensor<16x64xbf16>, tensor<16x64xbf16>, tensor<16xf32> -> tensor<16x16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x64xf32>
// expected-error @+1 {{gives a tile of f32 with a row and a column for each of 16 rows}}
%t = tile.decayed_dot %a, %a, %a strict : tensor<16x64xf32>, tensor<16x64xf32>, tensor<16x64xf32> -> tensor<16x64xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x64xf16>
%g = arith.constant dense<0.0> : tensor<16x64xf32>
// expected-error @+1 {{is bounded with operands of f16, whose range its factors may leave}}
%t = tile.decayed_dot %a, %a, %g bounded : tensor<16x64xf16>, tensor<16x64xf16>, tensor<16x64xf32> -> tensor<16x16xf32>

// -----

%c0 = arith.constant 0 : index
// expected-error @+1 {{has a step below 1}}
tile.recurrence from %c0 to %c0 step 0 {
^bb0(%start: index):
  tile.recurrence_yield
}

// -----

%c0 = arith.constant 0 : index
// expected-error @+1 {{has a body whose arguments are not the first token of a chunk and the states}}
tile.recurrence from %c0 to %c0 step 16 {
^bb0(%start: index, %s: f32):
  tile.recurrence_yield
}

// -----

%c0 = arith.constant 0 : index
%s = arith.constant dense<0.0> : tensor<16x64xf32>
// expected-error @+1 {{has a body whose arguments are not the first token of a chunk and the states}}
%r = tile.recurrence from %c0 to %c0 step 16 init (%s : tensor<16x64xf32>) {
^bb0(%start: i32, %state: tensor<16x64xf32>):
  tile.recurrence_yield %state : tensor<16x64xf32>
}

// -----

%c0 = arith.constant 0 : index
%s = arith.constant 0.0 : f32
%r = tile.recurrence from %c0 to %c0 step 16 init (%s : f32) {
^bb0(%start: index, %state: f32):
  // expected-error @+1 {{yields states of other types than the recurrence begins with}}
  tile.recurrence_yield
}

// -----

%c0 = arith.constant 0 : index
// expected-error @+1 {{ends its body with tile.recurrence_yield}}
tile.recurrence from %c0 to %c0 step 16 {
^bb0(%start: index):
  "some.terminator"() : () -> ()
}

// -----

// expected-error @+1 {{expects parent op 'tile.recurrence'}}
tile.recurrence_yield
