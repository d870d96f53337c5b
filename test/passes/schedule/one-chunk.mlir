// A launch without loops that multiplies is one chunk: what it loads is copied to shared memory first, all together, unless
// it stores there itself.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=4}),fovea-schedule)' -o %t.mlir
// RUN: FileCheck %s --input-file %t.mlir
// RUN: fovea-tile-run %t.mlir --program chunk --compare %s --compare-program chunk --axes T=150
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(canonicalize,cse,tile-order-by-use))' -o %t.before.mlir
// RUN: fovea-opt %t.mlir --pass-pipeline='builtin.module(tile.program(tile-strip-schedule,canonicalize,cse,tile-order-by-use))' -o %t.after.mlir
// RUN: diff %t.before.mlir %t.after.mlir

// A single warp loads what goes to no product as it needs it.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=1}),fovea-schedule)' | FileCheck %s --check-prefix=ALONE
// ALONE-LABEL: tile.program @chunk
// ALONE: %[[X:.*]] = tile.tensor "x"
// ALONE: tile.load %[[X]]
// ALONE-LABEL: tile.program @beyond

// CHECK-LABEL: tile.program @chunk
// CHECK: %[[X:.*]] = tile.tensor "x"
// CHECK: %[[Z:.*]] = tile.tensor "z"
// CHECK: tile.launch
// CHECK: tile.copy_start %[[X]]
// CHECK-NOT: tile.copy_start %[[Z]]
// CHECK: tile.copy_commit
// CHECK-NEXT: tile.copy_wait 0
// CHECK-NEXT: tile.barrier
// CHECK-NOT: tile.copy_start
// CHECK: tile.smem_read {{.*}} of view %[[X]]
// CHECK: tile.dot
// CHECK: tile.load %[[Z]]
// CHECK: tile.store %{{.*}}, %[[Z]]
tile.program @chunk {
  %T = tile.axis "T"
  %x = tile.tensor "x" "input" ["T", "64"] : !tile.view<?x64xbf16>
  %z = tile.tensor "z" "carry" ["T", "64"] : !tile.view<?x64xbf16>
  %o = tile.tensor "o" "output" ["T", "64"] : !tile.view<?x64xbf16>
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %tiles = arith.ceildivui %T, %c64 : index
  tile.launch "chunk" ["T"] (%n = %tiles) {
    %row = arith.muli %n, %c64 : index
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %a = tile.load %x[%row, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xbf16> -> tensor<64x64xbf16>
    %wide = arith.extf %a : tensor<64x64xbf16> to tensor<64x64xf32>
    %p = tile.dot %a, %a, %zero contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
    %sum = arith.addf %p, %wide : tensor<64x64xf32>
    %q = arith.truncf %sum : tensor<64x64xf32> to tensor<64x64xbf16>
    %c = tile.load %z[%row, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xbf16> -> tensor<64x64xbf16>
    %r = arith.addf %q, %c : tensor<64x64xbf16>
    tile.store %r, %o[%row, %c0] dims [0, 1] : tensor<64x64xbf16>, !tile.view<?x64xbf16>
    tile.store %q, %z[%row, %c0] dims [0, 1] : tensor<64x64xbf16>, !tile.view<?x64xbf16>
  }
}

// Work items without work end first; memory that is narrowed inside a launch is narrowed in front of the copies.
// CHECK-LABEL: tile.program @beyond
// CHECK: tile.launch
// CHECK-NOT: tile.copy_start
// CHECK: tile.end_if
// CHECK: %[[OWN:.*]] = tile.narrow
// CHECK: tile.copy_start %[[OWN]]
tile.program @beyond {
  %T = tile.axis "T"
  %L = tile.axis "L"
  %x = tile.tensor "x" "input" ["T", "64"] : !tile.view<?x64xbf16>
  %o = tile.tensor "o" "output" ["T", "64"] : !tile.view<?x64xbf16>
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %tiles = arith.ceildivui %T, %c64 : index
  tile.launch "beyond" ["T"] (%n = %tiles) {
    %row = arith.muli %n, %c64 : index
    %ended = arith.cmpi uge, %row, %L : index
    tile.end_if %ended
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %own = tile.narrow %x dim 0 from %c0 size %L : !tile.view<?x64xbf16> -> !tile.view<?x64xbf16>
    %a = tile.load %own[%row, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xbf16> -> tensor<64x64xbf16>
    %p = tile.dot %a, %a, %zero contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
    %q = arith.truncf %p : tensor<64x64xf32> to tensor<64x64xbf16>
    tile.store %q, %o[%row, %c0] dims [0, 1] : tensor<64x64xbf16>, !tile.view<?x64xbf16>
  }
}
