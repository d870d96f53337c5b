// Few queries: heads that share their keys become rows too, keys are folded in parts and merged, or both. The values are
// those of the plain program, up to the constant of the merge, which is f32.
// RUN: fovea-opt %s --attn-to-tile=sizes=G=3 -o %t.plain.mlir
// RUN: fovea-opt %s --attn-to-tile='sizes=G=3 pack' -o %t.pack.mlir
// RUN: fovea-opt %s --attn-to-tile='sizes=G=3 split' -o %t.split.mlir
// RUN: fovea-opt %s --attn-to-tile='sizes=G=3 pack split' -o %t.both.mlir
// RUN: fovea-opt %s --attn-to-tile='sizes=G=3 split batch-invariant' -o %t.invariant.mlir
// RUN: fovea-opt %s --attn-to-tile='pack' -o %t.dynamic.mlir
// RUN: FileCheck %s --check-prefix=PACK --input-file %t.pack.mlir
// RUN: FileCheck %s --check-prefix=SPLIT --input-file %t.split.mlir
// RUN: FileCheck %s --check-prefix=BOTH --input-file %t.both.mlir
// RUN: FileCheck %s --check-prefix=INVARIANT --input-file %t.invariant.mlir
// RUN: fovea-opt %t.both.mlir --verify-roundtrip -o /dev/null
// RUN: fovea-tile-run %t.pack.mlir --axes B=2,T=1,S=1,Hk=2,G=3 --compare %t.plain.mlir
// RUN: fovea-tile-run %t.pack.mlir --axes B=1,T=50,S=90,Hk=2,G=3 --compare %t.plain.mlir
// RUN: fovea-tile-run %t.dynamic.mlir --axes B=1,T=50,S=90,Hk=2,G=3 --compare %t.plain.mlir
// RUN: fovea-tile-run %t.split.mlir --tolerance 1e-7 --axes B=1,T=1,S=1,Hk=1,G=3 --compare %t.plain.mlir
// RUN: fovea-tile-run %t.split.mlir --tolerance 1e-7 --axes B=1,T=1,S=2000,Hk=1,G=3 --compare %t.plain.mlir
// RUN: fovea-tile-run %t.split.mlir --tolerance 1e-7 --axes B=2,T=70,S=1030,Hk=1,G=3 --compare %t.plain.mlir
// More queries than keys: rows without keys, and parts without keys.
// RUN: fovea-tile-run %t.split.mlir --tolerance 1e-7 --axes B=1,T=700,S=600,Hk=1,G=3 --compare %t.plain.mlir
// RUN: fovea-tile-run %t.both.mlir --tolerance 1e-7 --axes B=1,T=1,S=2000,Hk=1,G=3 --compare %t.plain.mlir
// RUN: fovea-tile-run %t.both.mlir --tolerance 1e-7 --axes B=1,T=60,S=900,Hk=2,G=3 --compare %t.plain.mlir
// RUN: fovea-tile-run %t.invariant.mlir --tolerance 1e-7 --axes B=3,T=5,S=3000,Hk=1,G=3 --compare %t.plain.mlir

// PACK: tile.program @causal choices {{.*}}prefer = "10 * ceildiv(T * 3, 64) <= 9 * 3 * ceildiv(T, 64)"
// PACK: tile.merge_dims %{{.*}} dims [1, 2] sizes(%{{.*}}, %c3) : !tile.view<?x?x?x32xbf16> -> !tile.view<?x?x?x?x32xbf16>
// PACK: tile.launch "causal" ["B", "Hk", "T"]
// PACK: arith.divui
// PACK: tile.domain
// PACK: tile.load %{{.*}} dims [3, 4]
// PACK: tile.fold
// PACK: tile.store %{{.*}} dims [3, 4]

// SPLIT: prefer = "min(device.sms * 1 / (3 * Hk * B * ceildiv(T, 64)), ceildiv(S, 256)) >= 2"
// SPLIT: tile.device_sms
// SPLIT: %[[N:.*]] = tile.computed_axis "splits" = %
// SPLIT: tile.workspace "part_max" ["B", "Hk", "3", "splits", "T"]
// SPLIT: tile.workspace "part_accumulator" ["B", "Hk", "3", "splits", "T", "32"]
// SPLIT: tile.launch "causal_parts" ["B", "Hk", "G", "splits", "T"]
// SPLIT: tile.domain_slice
// SPLIT: tile.fold
// SPLIT: tile.launch "causal" ["B", "Hk", "G", "T"]
// SPLIT-NOT: tile.fold
// SPLIT: scf.for %{{.*}} = %{{.*}} to %[[N]]

// BOTH: prefer = "(min(device.sms * 1 / (Hk * B * ceildiv(T * 3, 64)), ceildiv(S, 256)) >= 2) && 10 * ceildiv
// BOTH: tile.workspace "part_sum" ["B", "Hk", "splits", "T*3"]
// BOTH: tile.launch "causal_parts" ["B", "Hk", "splits", "T"]

// INVARIANT: prefer = "ceildiv(S, 512) >= 2 * ceildiv(T, 64) && ceildiv(S, 512) >= 2"
// INVARIANT-NOT: tile.device_sms
// INVARIANT: tile.computed_axis "splits"

attn.attention @causal causal axes [B, T, S keys T, H = Hk * G, Hk, G, D : 64, V : 32, j walk S from T] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, Hk, G, D]
  %k = attn.input "k" [B, S, Hk, D] : real [B, S, Hk, D]
  %v = attn.input "v" [B, S, Hk, V] : real [B, S, Hk, V]
  %gate = attn.input "gate" [B, T] : real [B, T]
  %bias = attn.input "bias" f32 [H] : real [Hk, G]
  %c = attn.constant real 0.125
  %kj = attn.rename %k S to j : real [B, S, Hk, D]
  %vj = attn.rename %v S to j : real [B, S, Hk, V]
  %dot = attn.dot %q, %kj over [D] : real [B, T, Hk, G, D], real [B, j, Hk, D]
  %score = attn.mul %dot, %c : real [B, T, Hk, G, j], real []
  %i = attn.query_position T over S
  %at = attn.index j
  %seen = attn.le %at, %i : int [j], int [T]
  %p = attn.weights over j from T score %score : real [B, T, Hk, G, j] where %seen : bool [j, T]
  %o = attn.expect %p, %vj : [B, T, Hk, G] over j from T, real [B, j, Hk, V]
  %gated = attn.mul %o, %gate : real [B, T, Hk, G, V], real [B, T]
  %biased = attn.add %gated, %bias : real [B, T, Hk, G, V], real [Hk, G]
  attn.output "o" %biased [B, T, H, V] : real [B, T, Hk, G, V]
  %lse = attn.stat lse %p : [B, T, Hk, G] over j from T
  attn.output "lse" %lse f32 [B, T, H] : real [B, T, Hk, G]
}
