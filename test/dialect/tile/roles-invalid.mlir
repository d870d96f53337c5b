// RUN: fovea-opt %s --split-input-file --verify-diagnostics

tile.program @negative_roles_contents {
  tile.launch "a" [] () {
    // expected-error @+1 {{holds tile.role operations alone, not arith.constant}}
    tile.roles {
      %c = arith.constant 0 : index
    }
  }
}

// -----

tile.program @negative_role_name {
  tile.launch "a" [] () {
    tile.roles {
      tile.role "a" warps 4 registers 24 {
      }
      // expected-error @+1 {{has a name that another role has: 'a'}}
      tile.role "a" warps 4 registers 24 {
      }
    }
  }
}

// -----

tile.program @negative_role_count {
  tile.launch "a" [] () {
    tile.roles {
      // expected-error @+1 {{needs at least one instance of at least one warp}}
      tile.role "a" count 0 warps 4 registers 24 {
      }
    }
  }
}

// -----

tile.program @negative_role_registers {
  tile.launch "a" [] () {
    tile.roles {
      // expected-error @+1 {{has 250 registers; expected a multiple of 8 from 24 to 240}}
      tile.role "a" warps 4 registers 250 {
      }
    }
  }
}

// -----

tile.program @negative_role_arguments {
  tile.launch "a" [] () {
    tile.roles {
      // expected-error @+1 {{has at most one argument, the number of the instance}}
      "tile.role"() <{name = "a", warps = 4 : i64, registers = 24 : i64}> ({
      ^bb0(%a: index, %b: index):
      }) : () -> ()
    }
  }
}

// -----

tile.program @negative_role_ring {
  tile.launch "a" [] () {
    %c0 = arith.constant 0 : index
    %t = arith.constant dense<0.0> : tensor<16x64xbf16>
    %s = tile.smem_alloc : !tile.smem<2x16x64xbf16, 128>
    tile.roles {
      tile.role "a" warps 4 registers 24 {
        // expected-error @+1 {{uses a ring or a product of another role: only channels and orders cross}}
        tile.smem_write %t to %s[%c0] : tensor<16x64xbf16> -> !tile.smem<2x16x64xbf16, 128>
      }
    }
  }
}

// -----

// expected-error @+1 {{expects parent op 'tile.launch'}}
tile.roles {
}

// -----

// expected-error @+1 {{needs at least one reader}}
%c = tile.channel readers 0 : !tile.channel<2x16x64xbf16, 128>

// -----

// expected-error @+1 {{expected stages x rows x columns}}
%c = tile.channel readers 1 : !tile.channel<16x64xbf16, 128>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xf32>
%c = tile.channel readers 1 : !tile.channel<2x16x64xbf16, 128>
// expected-error @+1 {{moves elements of type 'bf16' where the view holds 'f32'}}
tile.put %w[%c0, %c0] dims [0, 1] to %c : !tile.view<?x64xf32> -> !tile.channel<2x16x64xbf16, 128>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xbf16>
%c = tile.channel readers 1 : !tile.channel<2x16x64xbf16, 128>
// expected-error @+1 {{takes 'tensor<32x64xbf16>' from '!tile.channel<2x16x64xbf16, 128>'}}
%t = tile.take %c of view %w[%c0, %c0] dims [0, 1] : !tile.channel<2x16x64xbf16, 128>, !tile.view<?x64xbf16> -> tensor<32x64xbf16>

// -----

%c0 = arith.constant 0 : index
%w = tile.workspace "w" ["T", "D"] : !tile.view<?x64xbf16>
%c = tile.channel readers 1 : !tile.channel<2x16x64xbf16, 128>
// expected-error @+1 {{has dims that do not ascend}}
%t = tile.take %c of view %w[%c0, %c0] dims [1, 0] : !tile.channel<2x16x64xbf16, 128>, !tile.view<?x64xbf16> -> tensor<16x64xbf16>

// -----

// expected-error @+1 {{needs at least two instances that take turns}}
%o = tile.order 1

// -----

%a = arith.constant dense<0.0> : tensor<16x8xf32>
%c = arith.constant dense<0.0> : tensor<16x8xf32>
// expected-error @+1 {{contracts 8 elements with 16}}
%t = tile.dot_start %a, %a, %c contract [1, 0] : tensor<16x8xf32>, tensor<16x8xf32> -> tensor<16x8xf32>
%x = tile.dot_wait %t : tensor<16x8xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x16xf32>
// expected-error @+1 {{is waited for 0 times; expected once}}
%t = tile.dot_start %a, %a, %a contract [1, 1] : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>

// -----

%a = arith.constant dense<0.0> : tensor<16x16xf32>
// expected-error @+1 {{is waited for 2 times; expected once}}
%t = tile.dot_start %a, %a, %a contract [1, 1] : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
%x = tile.dot_wait %t : tensor<16x16xf32>
%y = tile.dot_wait %t : tensor<16x16xf32>

// -----

%c0 = arith.constant 0 : index
%c1 = arith.constant 1 : index
%a = arith.constant dense<0.0> : tensor<16x16xf32>
// expected-error @+1 {{has a token that leaves its block; expected a tile.dot_wait in the same block}}
%t = tile.dot_start %a, %a, %a contract [1, 1] : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
scf.for %i = %c0 to %c1 step %c1 {
  %x = tile.dot_wait %t : tensor<16x16xf32>
}

// -----

%c0 = arith.constant 0 : index
%c1 = arith.constant 1 : index
%a = arith.constant dense<0.0> : tensor<16x16xf32>
// expected-error @+1 {{has a token that leaves its block; expected a tile.dot_wait in the same block}}
%t = tile.dot_start %a, %a, %a contract [1, 1] : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
%u = scf.for %i = %c0 to %c1 step %c1 iter_args(%v = %t) -> (!tile.token) {
  scf.yield %v : !tile.token
}

// -----

%a = arith.constant dense<0.0> : tensor<16x16xf32>
// expected-error @+1 {{accumulates in 'tensor<16x16xf32>' but its wait gives 'tensor<8x16xf32>'}}
%t = tile.dot_start %a, %a, %a contract [1, 1] : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
%x = tile.dot_wait %t : tensor<8x16xf32>
