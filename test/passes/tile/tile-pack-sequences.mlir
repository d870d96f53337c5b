// A batch of one length becomes sequences that lie one behind the other: views, lengths, early ends, tables.
// RUN: split-file %s %t
// RUN: fovea-opt %t/rows.mlir --pass-pipeline='builtin.module(tile.program(tile-pack-sequences{ragged=B,T,offsets,C,total}))' | FileCheck %s
// RUN: fovea-opt %t/rows.mlir --pass-pipeline='builtin.module(tile.program(tile-pack-sequences{ragged=B,T,offsets,C,total table}))' | FileCheck %s --check-prefix=TABLE
// RUN: fovea-opt %t/windows.mlir --pass-pipeline='builtin.module(tile.program(tile-pack-sequences{ragged=B,T,o,C,total}))' | FileCheck %s --check-prefix=WINDOWS
// RUN: not fovea-opt %t/rows.mlir --pass-pipeline='builtin.module(tile.program(tile-pack-sequences{ragged=B,T,offsets}))' 2>&1 | FileCheck %s --check-prefix=NAMES
// RUN: not fovea-opt %t/two.mlir --pass-pipeline='builtin.module(tile.program(tile-pack-sequences{ragged=B,T,o,C,total;B,S,n,C,total_S}))' 2>&1 | FileCheck %s --check-prefix=TWO
// RUN: not fovea-opt %t/all.mlir --pass-pipeline='builtin.module(tile.program(tile-pack-sequences{ragged=B,T,o,C,total}))' 2>&1 | FileCheck %s --check-prefix=ALL
// RUN: not fovea-opt %t/other.mlir --pass-pipeline='builtin.module(tile.program(tile-pack-sequences{ragged=B,T,o,C,total}))' 2>&1 | FileCheck %s --check-prefix=OTHER
// RUN: not fovea-opt %t/spans.mlir --pass-pipeline='builtin.module(tile.program(tile-pack-sequences{ragged=B,T,o,C,total}))' 2>&1 | FileCheck %s --check-prefix=SPANS
// RUN: not fovea-opt %t/size.mlir --pass-pipeline='builtin.module(tile.program(tile-pack-sequences{ragged=B,T,o,C,total}))' 2>&1 | FileCheck %s --check-prefix=SIZE

// NAMES: 'B,T,offsets' is no axis; expected BATCH,TOKEN,OFFSETS,COUNT,TOTAL

//--- rows.mlir
// The batch has no dimension any more; what is computed between launches is packed too, tiles are counted for each.
// CHECK-DAG: %[[O:.*]] = tile.tensor "offsets" "input" ["C"] {alignment = 4 : i64} : <?xi32>
// CHECK-DAG: %[[B:.*]] = tile.axis "B"
// CHECK-DAG: %[[T:.*]] = tile.axis "T"
// CHECK-DAG: %[[ROWS:.*]] = tile.axis "total"
// CHECK-DAG: %[[X:.*]] = tile.tensor "x" "input" ["total", "H"] : <?x?xf32>
// CHECK-DAG: %[[Y:.*]] = tile.tensor "y" "output" ["H", "total"] : <?x?xf32>
// CHECK-DAG: %[[W:.*]] = tile.workspace "w" ["H", "total"] : <?x?xf32>
// CHECK-DAG: %[[N:.*]] = tile.workspace "n" ["B", "ceildiv(T, 32)"] : <?x?xf32>
// CHECK-DAG: %[[TILES:.*]] = arith.ceildivui %[[T]], %[[C32:.*]] : index
// CHECK: tile.launch "first" ["B", "H", "T"] (%[[IB:.*]] = %[[B]], %[[IH:.*]] = %{{.*}}, %[[IT:.*]] = %[[TILES]])
// CHECK: %[[START:.*]], %[[LENGTH:.*]] = tile.sequence %[[O]][%[[IB]]] of %[[ROWS]] most %[[T]]
// CHECK: %[[OWN:.*]] = arith.ceildivui %[[LENGTH]], %{{.*}} : index
// CHECK: %[[BEYOND:.*]] = arith.cmpi uge, %[[IT]], %[[OWN]] : index
// CHECK: tile.end_if %[[BEYOND]]
// CHECK: %[[XS:.*]] = tile.narrow %[[X]] dim 0 from %[[START]] size %[[LENGTH]]
// CHECK: %[[WS:.*]] = tile.narrow %[[W]] dim 1 from %[[START]] size %[[LENGTH]]
// CHECK: %[[NS:.*]] = tile.narrow %[[N]] dim 1 from %{{.*}} size %{{.*}}
// CHECK: tile.load %[[XS]][%{{.*}}, %[[IH]]] dims [0]
// CHECK: tile.store %{{.*}}, %[[WS]][%[[IH]], %{{.*}}] dims [1]
// CHECK: tile.store_scalar %{{.*}}, %[[NS]][%[[IB]], %[[IT]]]
// The size of tokens is the length, in every launch over the batch.
// CHECK: tile.launch "second" ["B", "H"] (%[[IB:.*]] = %[[B]], %[[IH:.*]] = %{{.*}})
// CHECK: %{{.*}}, %[[LENGTH:.*]] = tile.sequence %[[O]][%[[IB]]]
// CHECK: scf.for %{{.*}} = %{{.*}} to %[[LENGTH]] step
// CHECK-NOT: tile.end_if
// Without a batch it is the most of all.
// CHECK: tile.launch "third" ["T"] (%{{.*}} = %[[T]])
// CHECK-NOT: tile.sequence

// TABLE: prefer = "ceildiv(total, 32) + B < B * ceildiv(T, 32)"
// TABLE: %[[ITEMS:.*]] = tile.computed_axis "tiles_T_32"
// TABLE: %[[TABLE:.*]] = tile.workspace "table_T_32" ["tiles_T_32", "2"] : <?x2xi32>
// TABLE: tile.launch "rows_tiles_T_32" ["B"]
// TABLE: tile.store_scalar %{{.*}}, %[[TABLE]]
// TABLE: tile.launch "first" ["H", "T"] (%{{.*}} = %{{.*}}, %[[ITEM:.*]] = %[[ITEMS]])
// TABLE: %[[LOADED:.*]] = tile.load_scalar %[[TABLE]][%[[ITEM]], %{{.*}}]
// TABLE: %[[B:.*]] = arith.index_cast %[[LOADED]]
// TABLE: tile.load_scalar %[[TABLE]][%[[ITEM]], %{{.*}}]
// A place without a tile.
// TABLE: tile.end_if
// TABLE: tile.sequence %{{.*}}[%[[B]]]
// TABLE: tile.end_if
// TABLE: tile.launch "second" ["B", "H"]
tile.program @rows {
  %B = tile.axis "B"
  %T = tile.axis "T"
  %H = tile.axis "H"
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c32 = arith.constant 32 : index
  %one = arith.constant 1.0 : f32
  %tiles = arith.ceildivui %T, %c32 : index
  %x = tile.tensor "x" "input" ["B", "T", "H"] : <?x?x?xf32>
  %y = tile.tensor "y" "output" ["H", "B", "T"] : <?x?x?xf32>
  %z = tile.tensor "z" "output" ["T"] : <?xf32>
  %w = tile.workspace "w" ["B", "H", "T"] : <?x?x?xf32>
  %n = tile.workspace "n" ["B", "ceildiv(T, 32)"] : <?x?xf32>
  tile.launch "first" ["B", "H", "T"] (%b = %B, %h = %H, %t = %tiles) {
    %t0 = arith.muli %t, %c32 : index
    %v = tile.load %x[%b, %t0, %h] dims [1] pad 0.0 : f32 : !tile.view<?x?x?xf32> -> tensor<32xf32>
    tile.store %v, %w[%b, %h, %t0] dims [2] : tensor<32xf32>, !tile.view<?x?x?xf32>
    tile.store_scalar %one, %n[%b, %t] : f32, !tile.view<?x?xf32>
  }
  tile.launch "second" ["B", "H"] (%b = %B, %h = %H) {
    scf.for %t0 = %c0 to %T step %c32 {
      %v = tile.load %w[%b, %h, %t0] dims [2] pad 0.0 : f32 : !tile.view<?x?x?xf32> -> tensor<32xf32>
      tile.store %v, %y[%h, %b, %t0] dims [2] : tensor<32xf32>, !tile.view<?x?x?xf32>
    }
  }
  tile.launch "third" ["T"] (%t = %T) {
    tile.store_scalar %one, %z[%t] : f32, !tile.view<?xf32>
  }
}
//--- two.mlir
// TWO: not in this version: 'x' has two axes whose lengths differ between sequences, 'T' and 'S'
tile.program @two {
  %B = tile.axis "B"
  %x = tile.tensor "x" "input" ["B", "T", "S"] : <?x?x?xf32>
}
//--- all.mlir
// ALL: not in this version: a launch reads 'T' of all sequences together, without an index on 'B'
tile.program @all {
  %H = tile.axis "H"
  %c0 = arith.constant 0 : index
  %x = tile.tensor "x" "input" ["B", "T"] : <?x?xf32>
  tile.launch "a" ["H"] (%h = %H) {
    %v = tile.load %x[%h, %c0] dims [1] pad 0.0 : f32 : !tile.view<?x?xf32> -> tensor<32xf32>
  }
}
//--- other.mlir
// OTHER: not in this version: rows of another sequence than that of the work item
tile.program @other {
  %B = tile.axis "B"
  %c0 = arith.constant 0 : index
  %x = tile.tensor "x" "input" ["B", "T"] : <?x?xf32>
  tile.launch "a" ["B"] (%b = %B) {
    %v = tile.load %x[%c0, %c0] dims [1] pad 0.0 : f32 : !tile.view<?x?xf32> -> tensor<32xf32>
  }
}
//--- spans.mlir
// SPANS: not in this version: a tile that spans several sequences
tile.program @spans {
  %B = tile.axis "B"
  %c0 = arith.constant 0 : index
  %x = tile.tensor "x" "input" ["B", "T"] : <?x?xf32>
  tile.launch "a" ["B"] (%b = %B) {
    %v = tile.load %x[%b, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x?xf32> -> tensor<32x32xf32>
  }
}
//--- size.mlir
// SIZE: not in this version: a size of '(T % 4)', where 'T' differs from sequence to sequence
tile.program @size {
  %B = tile.axis "B"
  %c0 = arith.constant 0 : index
  %x = tile.workspace "x" ["B", "(T % 4)"] : <?x?xf32>
  tile.launch "a" ["B"] (%b = %B) {
    %v = tile.load %x[%b, %c0] dims [1] pad 0.0 : f32 : !tile.view<?x?xf32> -> tensor<32xf32>
  }
}
//--- windows.mlir
// WINDOWS: %{{.*}}, %[[LENGTH:.*]] = tile.sequence
// WINDOWS: %[[REST:.*]] = arith.subi %[[LENGTH]], %{{.*}} : index
// WINDOWS: %[[MOST:.*]] = arith.maxsi %{{.*}}, %[[REST]] : index
// WINDOWS: %[[COUNT:.*]] = arith.divui %[[MOST]], %{{.*}} : index
// WINDOWS: %[[WHOLE:.*]] = arith.muli %[[COUNT]], %{{.*}} : index
// WINDOWS: tile.narrow %{{.*}} dim 1 from %{{.*}} size %[[WHOLE]]
tile.program @windows {
  %B = tile.axis "B"
  %G = tile.axis "G"
  %c0 = arith.constant 0 : index
  %x = tile.workspace "x" ["B", "(max(0, T - 16) / 16)*G"] : <?x?xf32>
  tile.launch "a" ["B"] (%b = %B) {
    %v = tile.load %x[%b, %c0] dims [1] pad 0.0 : f32 : !tile.view<?x?xf32> -> tensor<32xf32>
  }
}
