// Slices, concatenations, running sums and scalar stores that do not fit.
// RUN: fovea-opt %s --split-input-file --verify-diagnostics

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{sums f32 and keeps the type of its source}}
%y, %t = tile.scan %x dim 0 : tensor<16x32xf32> -> tensor<32x16xf32>, tensor<32xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xbf16>
// expected-error @+1 {{sums f32 and keeps the type of its source}}
%y, %t = tile.scan %x dim 0 : tensor<16x32xbf16> -> tensor<16x32xbf16>, tensor<32xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{runs along one dimension of a tile of rank 1 or 2}}
%y, %t = tile.scan %x dim 2 : tensor<16x32xf32> -> tensor<16x32xf32>, tensor<32xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{has a total that is not the source without dimension 1}}
%y, %t = tile.scan %x dim 1 : tensor<16x32xf32> -> tensor<16x32xf32>, tensor<32xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16xf32>
// expected-error @+1 {{has a total that is not the source without dimension 0}}
%y, %t = tile.scan %x dim 0 : tensor<16xf32> -> tensor<16xf32>, tensor<1xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{changes the element type}}
%y = tile.slice %x dim 1 offset 0 : tensor<16x32xf32> -> tensor<16x8xbf16>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{cuts one dimension of a tile and keeps its rank}}
%y = tile.slice %x dim 1 offset 0 : tensor<16x32xf32> -> tensor<16xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{changes the size of dimension 0}}
%y = tile.slice %x dim 1 offset 0 : tensor<16x32xf32> -> tensor<8x8xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{keeps 16 indices from 24 of 32}}
%y = tile.slice %x dim 1 offset 24 : tensor<16x32xf32> -> tensor<16x16xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{keeps 16 indices from -8 of 32}}
%y = tile.slice %x dim 1 offset -8 : tensor<16x32xf32> -> tensor<16x16xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{joins at least one tile along one of its dimensions}}
%y = tile.concat %x dim 2 : tensor<16x32xf32> -> tensor<16x32xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{changes the element type}}
%y = tile.concat %x, %x dim 1 : tensor<16x32xf32>, tensor<16x32xf32> -> tensor<16x64xf16>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
%z = arith.constant dense<0.0> : tensor<32xf32>
// expected-error @+1 {{changes the rank}}
%y = tile.concat %x, %z dim 1 : tensor<16x32xf32>, tensor<32xf32> -> tensor<16x64xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
%z = arith.constant dense<0.0> : tensor<8x32xf32>
// expected-error @+1 {{changes the size of dimension 0}}
%y = tile.concat %x, %z dim 1 : tensor<16x32xf32>, tensor<8x32xf32> -> tensor<16x64xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x32xf32>
// expected-error @+1 {{joins 64 indices in a tile of 72}}
%y = tile.concat %x, %x dim 1 : tensor<16x32xf32>, tensor<16x32xf32> -> tensor<16x72xf32>

// -----

%c = arith.constant 0 : index
%x = arith.constant 0.0 : f32
%v = tile.tensor "v" "output" ["T"] : !tile.view<?xf32>
// expected-error @+1 {{has 2 indices for a view of rank 1}}
tile.store_scalar %x, %v[%c, %c] : f32, !tile.view<?xf32>

// -----

%c = arith.constant 0 : index
%x = arith.constant 0 : i32
%v = tile.tensor "v" "output" ["T"] : !tile.view<?xf32>
// expected-error @+1 {{moves elements of type 'i32' where the view holds 'f32'}}
tile.store_scalar %x, %v[%c] : i32, !tile.view<?xf32>
