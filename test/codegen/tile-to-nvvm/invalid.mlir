// What cannot be lowered is said at the operation.
// RUN: split-file %s %t
// RUN: not fovea-translate %t/record.mlir 2>&1 | FileCheck %s --check-prefix=RECORD
// RUN: not fovea-translate %t/layout.mlir 2>&1 | FileCheck %s --check-prefix=LAYOUT
// RUN: not fovea-translate %t/place.mlir 2>&1 | FileCheck %s --check-prefix=PLACE
// RUN: not fovea-translate %t/function.mlir 2>&1 | FileCheck %s --check-prefix=FUNCTION
// RUN: not fovea-translate %t/record.mlir --target sm_10 2>&1 | FileCheck %s --check-prefix=TARGET

// TARGET: unknown target 'sm_10'; known: sm_80, sm_86, sm_89, sm_90, sm_120
//--- record.mlir
// RECORD: record.mlir:4:3: error: 'tile.launch' op has no schedule: no number of warps
tile.program @x {
  %T = tile.axis "T"
  tile.launch "x" ["T"] (%t = %T) {
  }
}
//--- layout.mlir
// LAYOUT: layout.mlir:5:10: error: 'tile.iota' op works on a tile without layout
tile.program @x {
  %T = tile.axis "T"
  tile.launch "x" ["T"] (%t = %T) schedule {warps = 4} {
    %a = tile.iota %t : tensor<64xi32>
  }
}
//--- place.mlir
// PLACE: place.mlir:5:10: error: 'tile.smem_alloc' op has no place: run tile-allocate-smem first
tile.program @x {
  %T = tile.axis "T"
  tile.launch "x" ["T"] (%t = %T) schedule {warps = 4} {
    %a = tile.smem_alloc : !tile.smem<1x64x64xbf16, 128>
  }
}
//--- function.mlir
// FUNCTION: function.mlir:6:10: error: 'math.tanh' op has no PTX lowering: expand it with tile-expand-math first
tile.program @x {
  %T = tile.axis "T"
  tile.launch "x" ["T"] (%t = %T) schedule {warps = 4} {
    %c = arith.constant 1.0 : f32
    %a = math.tanh %c : f32
  }
}
