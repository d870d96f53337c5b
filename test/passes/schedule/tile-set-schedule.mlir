// The record goes onto launches that have none, and onto no other.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=8 stages=3 query=shared}))' | FileCheck %s
// RUN: not fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule{query=nowhere}))' 2>&1 | FileCheck %s --check-prefix=BAD

// BAD: error: query must be registers or shared
// CHECK-LABEL: tile.program @records
tile.program @records {
  %T = tile.axis "T"
  // CHECK: tile.launch "none" ["T"] (%{{.*}} = %{{.*}}) schedule {query = "shared", stages = 3 : i64, warps = 8 : i64}
  tile.launch "none" ["T"] (%t = %T) {
  }
  // CHECK: tile.launch "some" ["T"] (%{{.*}} = %{{.*}}) schedule {query = "registers", stages = 1 : i64, warps = 4 : i64}
  tile.launch "some" ["T"] (%t = %T) schedule {query = "registers", stages = 1 : i64, warps = 4 : i64} {
  }
}
