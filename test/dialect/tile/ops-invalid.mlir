// RUN: fovea-opt %s --split-input-file --verify-diagnostics

// expected-error @+1 {{has the role 'result'; expected input, param, output or carry}}
%q = tile.tensor "q" "result" ["T", "D"] : !tile.view<?x64xbf16>

// -----

// expected-error @+1 {{names 1 dimensions for a view of rank 2}}
%q = tile.tensor "q" "input" ["T"] : !tile.view<?x64xbf16>

// -----

// expected-error @+1 {{names 3 dimensions for a view of rank 2}}
%w = tile.workspace "w" ["B", "T", "D"] : !tile.view<?x64xf32>

// -----

tile.program @negative_launch_extents {
  %T = tile.axis "T"
  // expected-error @+1 {{needs one extent and one index for each of its 2 axes}}
  tile.launch "a" ["B", "T"] (%t = %T) {
  }
}

// -----

tile.program @negative_launch_index_type {
  %T = tile.axis "T"
  // expected-error @+1 {{has an axis whose index is not of type index}}
  "tile.launch"(%T) <{name = "a", axes = ["T"]}> ({
  ^bb0(%t: i32):
  }) : (index) -> ()
}

// -----

%T = tile.axis "T"
// expected-error @+1 {{belongs directly in a tile.program}}
tile.launch "a" ["T"] (%t = %T) {
}

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xf32>
// expected-error @+1 {{has 1 indices for a view of rank 2}}
%x = tile.load %w[%c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<16x64xf32>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xf32>
// expected-error @+1 {{spans 1 dimensions with a tile of rank 2}}
%x = tile.load %w[%c0, %c0] dims [1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<16x64xf32>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xf32>
// expected-error @+1 {{spans dimension 2, which the view does not have}}
%x = tile.load %w[%c0, %c0] dims [0, 2] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<16x64xf32>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xf32>
// expected-error @+1 {{has dims that do not ascend}}
%x = tile.load %w[%c0, %c0] dims [1, 0] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<16x64xf32>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xf32>
// expected-error @+1 {{moves elements of type 'bf16' where the view holds 'f32'}}
%x = tile.load %w[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xf32> -> tensor<16x64xbf16>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xf32>
// expected-error @+1 {{pads with a value of type 'bf16'}}
%x = tile.load %w[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xf32> -> tensor<16x64xf32>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xf32>
// expected-error @+1 {{moves elements of type 'bf16' where the view holds 'f32'}}
%x = tile.load_scalar %w[%c0, %c0] : !tile.view<?x64xf32> -> bf16

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xf32>
%x = arith.constant dense<0.0> : tensor<16x64xbf16>
// expected-error @+1 {{moves elements of type 'bf16' where the view holds 'f32'}}
tile.store %x, %w[%c0, %c0] dims [0, 1] : tensor<16x64xbf16>, !tile.view<?x64xf32>

// -----

%c = arith.constant 1.0 : f32
// expected-error @+1 {{changes the element type}}
%x = tile.splat %c : f32 -> tensor<16xbf16>

// -----

%x = arith.constant dense<0.0> : tensor<16xf32>
// expected-error @+1 {{changes the element type}}
%y = tile.broadcast %x dims [0] : tensor<16xf32> -> tensor<16x8xbf16>

// -----

%x = arith.constant dense<0.0> : tensor<16xf32>
// expected-error @+1 {{places 2 dimensions of a tile of rank 1}}
%y = tile.broadcast %x dims [0, 1] : tensor<16xf32> -> tensor<16x8xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16xf32>
// expected-error @+1 {{has dims that do not ascend within the result}}
%y = tile.broadcast %x dims [2] : tensor<16xf32> -> tensor<16x8xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16xf32>
// expected-error @+1 {{changes the size of dimension 1}}
%y = tile.broadcast %x dims [1] : tensor<16xf32> -> tensor<16x8xf32>

// -----

%c0 = arith.constant 0 : index
// expected-error @+1 {{gives a rank-1 tile of i32}}
%x = tile.iota %c0 : tensor<16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16xf32>
%c = arith.constant dense<0.0> : tensor<16x8xf32>
// expected-error @+1 {{contracts one dimension of two rank-2 tiles}}
%x = tile.dot %a, %a, %c contract [0, 0] : tensor<16xf32>, tensor<16xf32> -> tensor<16x8xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x16xf32>
// expected-error @+1 {{contracts a dimension that is neither 0 nor 1}}
%x = tile.dot %a, %a, %a contract [0, 2] : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x16xf32>
%b = arith.constant dense<0.0> : tensor<16x16xbf16>
// expected-error @+1 {{has operands of types 'f32' and 'bf16'}}
%x = tile.dot %a, %b, %a contract [1, 1] : tensor<16x16xf32>, tensor<16x16xbf16> -> tensor<16x16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x16xbf16>
// expected-error @+1 {{accumulates in f32, not in 'bf16'}}
%x = tile.dot %a, %a, %a contract [1, 1] : tensor<16x16xbf16>, tensor<16x16xbf16> -> tensor<16x16xbf16>

// -----

%a = arith.constant dense<0.0> : tensor<16x8xf32>
%c = arith.constant dense<0.0> : tensor<16x8xf32>
// expected-error @+1 {{contracts 8 elements with 16}}
%x = tile.dot %a, %a, %c contract [1, 0] : tensor<16x8xf32>, tensor<16x8xf32> -> tensor<16x8xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x8xf32>
%c = arith.constant dense<0.0> : tensor<16x8xf32>
// expected-error @+1 {{has a result of the wrong shape}}
%x = tile.dot %a, %a, %c contract [1, 1] : tensor<16x8xf32>, tensor<16x8xf32> -> tensor<16x8xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x16xbf16>
%c = arith.constant dense<0.0> : tensor<16x16xf32>
// expected-error @+1 {{has a precision, which only products of f32 have}}
%x = tile.dot %a, %a, %c contract [1, 1] precision "tf32" : tensor<16x16xbf16>, tensor<16x16xbf16> -> tensor<16x16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x16xf32>
// expected-error @+1 {{has the precision 'f64'; expected tf32, 3xtf32 or fma}}
%x = tile.dot %a, %a, %a contract [1, 1] precision "f64" : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>

// -----

// expected-error @+1 {{is aligned to 2 bytes; expected a power of two from 4 to 16}}
%q = tile.tensor "q" "input" ["T", "D"] {alignment = 2} : !tile.view<?x64xf32>

// -----

// expected-error @+1 {{is aligned to 32 bytes; expected a power of two from 2 to 16}}
%q = tile.tensor "q" "input" ["T", "D"] {alignment = 32} : !tile.view<?x64xbf16>

// -----

// expected-error @+1 {{is aligned to 12 bytes; expected a power of two from 4 to 16}}
%q = tile.tensor "q" "input" ["T", "D"] {alignment = 12} : !tile.view<?x64xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x8xf32>
// expected-error @+1 {{has the kind 'mul'; expected add or max}}
%x = tile.reduce "mul" %a dim 1 : tensor<16x8xf32> -> tensor<16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x8xf32>
// expected-error @+1 {{reduces one dimension of a rank-2 tile}}
%x = tile.reduce "add" %a dim 0 : tensor<16x8xf32> -> tensor<16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x8xbf16>
// expected-error @+1 {{reduces f32}}
%x = tile.reduce "add" %a dim 1 : tensor<16x8xbf16> -> tensor<16xbf16>

// -----

%c0 = arith.constant 0 : index
// expected-error @+1 {{has one to four ranges, each with a beginning and an end, and as many full ranges}}
%d = tile.domain ranges (%c0, %c0 to %c0) full (%c0 to %c0) limit %c0 step 64

// -----

%c0 = arith.constant 0 : index
// expected-error @+1 {{has a step below 1}}
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 0

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
// expected-error @+1 {{has a maximum and a sum of one rank-1 type of f32}}
%m, %l = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  tile.fold_yield %s terms [] * [] : tensor<16x8xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} : tensor<16xf32>, tensor<8xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
// expected-error @+1 {{has regions of one argument, the first key of a tile}}
%m, %l = "tile.fold"(%d, %scale) ({
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  tile.fold_yield %s terms [] * [] : tensor<16x8xf32>
}, {
^bb0(%j: index):
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
}) : (!tile.domain, f32) -> (tensor<16xf32>, tensor<16xf32>)

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
// expected-error @+1 {{ends its body with tile.fold_yield and its mask with tile.mask_yield}}
%m, %l = tile.fold %d scale %scale (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} : tensor<16xf32>, tensor<16xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
// expected-error @+1 {{has a mask that is not an i1 tile of the shape of the scores}}
%m, %l = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  tile.fold_yield %s terms [] * [] : tensor<16x8xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x16xi1>
  tile.mask_yield %k : tensor<16x16xi1>
} : tensor<16xf32>, tensor<16xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
// expected-error @+1 {{has scores for another number of queries than its results}}
%m, %l = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  tile.fold_yield %s terms [] * [] : tensor<16x8xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} : tensor<32xf32>, tensor<32xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%v = arith.constant dense<0.0> : tensor<8x4xf32>
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
// expected-error @+1 {{has 0 accumulators for 1 terms}}
%m, %l = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  tile.fold_yield %s values (%v : tensor<8x4xf32>) terms [-1] * [0] : tensor<16x8xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} : tensor<16xf32>, tensor<16xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%v = arith.constant dense<0.0> : tensor<8x4xf32>
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
// expected-error @+1 {{has an accumulator of the wrong shape: 'tensor<16x8xf32>'}}
%m, %l, %u = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  tile.fold_yield %s values (%v : tensor<8x4xf32>) terms [-1] * [0] : tensor<16x8xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} : tensor<16xf32>, tensor<16xf32>, tensor<16x8xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
%m, %l = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16xf32>
  // expected-error @+1 {{yields scores that are not a rank-2 tile of f32}}
  tile.fold_yield %s terms [] * [] : tensor<16xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16xi1>
  tile.mask_yield %k : tensor<16xi1>
} : tensor<16xf32>, tensor<16xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%v = arith.constant dense<0.0> : tensor<8x4xf32>
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
%m, %l, %u = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  // expected-error @+1 {{has terms with a coefficient list and a value list of different lengths}}
  tile.fold_yield %s values (%v : tensor<8x4xf32>) terms [-1, -1] * [0] : tensor<16x8xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} : tensor<16xf32>, tensor<16xf32>, tensor<16x4xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
%m, %l, %u = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  %c = arith.constant dense<0.0> : tensor<16x4xf32>
  // expected-error @+1 {{has a coefficient that is not of the scores' type}}
  tile.fold_yield %s coefficients (%c : tensor<16x4xf32>) terms [0] * [-1] : tensor<16x8xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} : tensor<16xf32>, tensor<16xf32>, tensor<16xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%v = arith.constant dense<0.0> : tensor<4x8xf32>
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
%m, %l, %u = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  // expected-error @+1 {{has a value that is not [keys, features]}}
  tile.fold_yield %s values (%v : tensor<4x8xf32>) terms [-1] * [0] : tensor<16x8xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} : tensor<16xf32>, tensor<16xf32>, tensor<16x8xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
%m, %l, %u = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  // expected-error @+1 {{has a term that names a coefficient or value which is not there}}
  tile.fold_yield %s terms [-1] * [0] : tensor<16x8xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} : tensor<16xf32>, tensor<16xf32>, tensor<16x8xf32>

// -----

%c0 = arith.constant 0 : index
%scale = arith.constant 1.0 : f32
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 8
%m, %l, %u = tile.fold %d scale %scale (%j) {
  %s = arith.constant dense<0.0> : tensor<16x8xf32>
  // expected-error @+1 {{has a term with neither coefficient nor value: that is the sum of the weights}}
  tile.fold_yield %s terms [-1] * [-1] : tensor<16x8xf32>
} mask (%j) {
  %k = arith.constant dense<true> : tensor<16x8xi1>
  tile.mask_yield %k : tensor<16x8xi1>
} : tensor<16xf32>, tensor<16xf32>, tensor<16xf32>

// -----

%x = arith.constant dense<0.0> : tensor<16x8xf32>
// expected-error @+1 {{changes more than the layout}}
%y = tile.convert_layout %x : tensor<16x8xf32> -> tensor<8x16xf32>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xf32>
%s = tile.smem_alloc : !tile.smem<2x16x64xbf16, 128>
// expected-error @+1 {{moves elements of type 'bf16' where the view holds 'f32'}}
tile.copy_start %w[%c0, %c0] dims [0, 1] to %s[%c0] : !tile.view<?x64xf32> -> !tile.smem<2x16x64xbf16, 128>

// -----

%c0 = arith.constant 0 : index
%s = tile.smem_alloc : !tile.smem<2x16x64xbf16, 128>
// expected-error @+1 {{says what it holds: either a tile of a view or a tile that was written}}
%x = tile.smem_read %s[%c0] of : !tile.smem<2x16x64xbf16, 128> -> tensor<16x64xbf16>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xbf16>
%s = tile.smem_alloc : !tile.smem<2x16x64xbf16, 128>
// expected-error @+1 {{names a view without dims}}
%x = "tile.smem_read"(%s, %c0, %w, %c0, %c0) <{operandSegmentSizes = array<i32: 1, 1, 1, 2, 0>}> : (!tile.smem<2x16x64xbf16, 128>, index, !tile.view<?x64xbf16>, index, index) -> tensor<16x64xbf16>

// -----

%c0 = arith.constant 0 : index
%s = tile.smem_alloc : !tile.smem<2x16x64xbf16, 128>
%t = arith.constant dense<0.0> : tensor<8x64xbf16>
// expected-error @+1 {{reads another shape than was written}}
%x = tile.smem_read %s[%c0] of tile %t : tensor<8x64xbf16> : !tile.smem<2x16x64xbf16, 128> -> tensor<16x64xbf16>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xbf16>
%s = tile.smem_alloc : !tile.smem<2x16x64xbf16, 128>
// expected-error @+1 {{begins at row 9, from which on the ring's stages do not hold the tile}}
%x = tile.smem_read %s[%c0] of view %w[%c0, %c0] dims [0, 1] : !tile.view<?x64xbf16> {row = 9 : i64} : !tile.smem<2x16x64xbf16, 128> -> tensor<8x64xbf16>

// -----

%c0 = arith.constant 0 : index
%s = tile.smem_alloc : !tile.smem<2x16x64xbf16, 128>
%t = arith.constant dense<0.0> : tensor<16x64xbf16>
// expected-error @+1 {{begins at row 1, from which on the ring's stages do not hold the tile}}
%x = tile.smem_read %s[%c0] of tile %t : tensor<16x64xbf16> {row = 1 : i64} : !tile.smem<2x16x64xbf16, 128> -> tensor<16x64xbf16>

// -----

%c0 = arith.constant 0 : index
%s = tile.smem_alloc : !tile.smem<2x16x64xbf16, 128>
%t = arith.constant dense<0.0> : tensor<8x64xbf16>
// expected-error @+1 {{moves a tile whose shape is not that of the ring's stages}}
tile.smem_write %t to %s[%c0] : tensor<8x64xbf16> -> !tile.smem<2x16x64xbf16, 128>

// -----

%c0 = arith.constant 0 : index
%s = tile.smem_alloc : !tile.smem<2x16x64xbf16, 128>
%t = arith.constant dense<0.0> : tensor<16x64xf32>
// expected-error @+1 {{moves elements of type 'f32' through a ring of 'bf16'}}
tile.smem_write %t to %s[%c0] : tensor<16x64xf32> -> !tile.smem<2x16x64xbf16, 128>

// -----

// expected-error @+1 {{expected stages x rows x columns}}
%s = tile.smem_alloc : !tile.smem<16x64xbf16, 128>

// -----

// expected-error @+1 {{all vectors of a layout have one rank}}
%x = arith.constant dense<0.0> : tensor<2x32xf32, #tile.layout<reg = [[1]], lane = [[0, 1], [0, 2], [0, 4], [0, 8], [0, 16]], warp = [], rep = []>>

// -----

// expected-error @+1 {{a repetition has a positive count and a step of the layout's rank}}
%x = arith.constant dense<0.0> : tensor<2x32xf32, #tile.layout<reg = [], lane = [[0, 1], [0, 2], [0, 4], [0, 8], [0, 16]], warp = [], rep = [0 x [1, 0]]>>

// -----

// expected-error @+1 {{a layout has at most 16 register, 5 lane and 5 warp vectors}}
%x = arith.constant dense<0.0> : tensor<64xf32, #tile.layout<reg = [], lane = [[1], [2], [4], [8], [16], [32]], warp = [], rep = []>>

// -----

// expected-error @+1 {{expected elements of type bf16, f16, f32, i32 or i1, not 'index'}}
%w = tile.workspace "w" ["T"] : !tile.view<?xindex>

// -----

// expected-error @+1 {{expected sizes of at least 1, not 0}}
%w = tile.workspace "w" ["T"] : !tile.view<0xf32>

// -----

// expected-error @+1 {{expected sizes of at least 1 and at most 2^24 elements}}
%s = tile.smem_alloc : !tile.smem<1000000x1000000x1000000000xbf16, 128>

// -----

// expected-error @+1 {{expected a swizzle span of 0, 32, 64 or 128 bytes, not 48}}
%s = tile.smem_alloc : !tile.smem<2x16x64xbf16, 48>

// -----

%c = arith.constant 1.0 : f32
// expected-error @+1 {{result #0 must be a tile of static shape}}
%x = tile.splat %c : f32 -> tensor<?xf32>

// -----

%c0 = arith.constant 0 : index
%v = tile.workspace "w" ["T", "8"] : !tile.view<?x8xf32>
%i = arith.constant dense<0> : tensor<16xi32>
// expected-error @+1 {{has 1 tiles of indices for 2 dimensions}}
%x = tile.gather %v[%c0, %c0] by [0, 1] (%i : tensor<16xi32>) dims [-1] : !tile.view<?x8xf32> -> tensor<16xf32>

// -----

%c0 = arith.constant 0 : index
%v = tile.workspace "w" ["T", "8"] : !tile.view<?x8xf32>
%i = arith.constant dense<0.0> : tensor<16xf32>
// expected-error @+1 {{has indices that are not tiles of i32 of one shape}}
%x = tile.gather %v[%c0, %c0] by [0] (%i : tensor<16xf32>) dims [-1] : !tile.view<?x8xf32> -> tensor<16xf32>

// -----

%c0 = arith.constant 0 : index
%v = tile.workspace "w" ["T", "8"] : !tile.view<?x8xf32>
%i = arith.constant dense<0> : tensor<16xi32>
// expected-error @+1 {{has a result whose shape is not that of the indices along dimension 0}}
%x = tile.gather %v[%c0, %c0] by [0] (%i : tensor<16xi32>) dims [-1] : !tile.view<?x8xf32> -> tensor<32xf32>

// -----

%c0 = arith.constant 0 : index
%v = tile.workspace "w" ["T", "8"] : !tile.view<?x8xf32>
%i = arith.constant dense<0> : tensor<16x16xi32>
// expected-error @+1 {{has a result that lacks a dimension of the indices}}
%x = tile.gather %v[%c0, %c0] by [0] (%i : tensor<16x16xi32>) dims [-1] : !tile.view<?x8xf32> -> tensor<16xf32>

// -----

%c0 = arith.constant 0 : index
%v = tile.workspace "w" ["T", "8"] : !tile.view<?x8xf32>
%i = arith.constant dense<0> : tensor<16xi32>
// expected-error @+1 {{describes 1 dimensions of a tile of rank 2}}
%x = tile.gather %v[%c0, %c0] by [0] (%i : tensor<16xi32>) dims [-1] : !tile.view<?x8xf32> -> tensor<16x8xf32>

// -----

%c0 = arith.constant 0 : index
%v = tile.workspace "w" ["T", "8"] : !tile.view<?x8xf32>
%i = arith.constant dense<0> : tensor<16xi32>
// expected-error @+1 {{takes dimension 1 by index, which the view lacks or which is taken already}}
%x = tile.gather %v[%c0, %c0] by [1] (%i : tensor<16xi32>) dims [-1, 1] : !tile.view<?x8xf32> -> tensor<16x8xf32>

// -----

%c0 = arith.constant 0 : index
%d = tile.domain ranges (%c0 to %c0) full (%c0 to %c0) limit %c0 step 16
%c = arith.constant 2.0 : f32
// expected-error @+1 {{is additive, and so has the scale 1}}
%m, %l = tile.fold %d scale %c (%j) {
  %s = arith.constant dense<0.0> : tensor<16x16xf32>
  tile.fold_yield %s terms [] * [] : tensor<16x16xf32>
} mask (%j) {
  %m = arith.constant dense<true> : tensor<16x16xi1>
  tile.mask_yield %m : tensor<16x16xi1>
} attributes {additive} : tensor<16xf32>, tensor<16xf32>
