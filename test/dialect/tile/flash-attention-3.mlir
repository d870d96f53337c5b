// FlashAttention-3 (Shah et al., arXiv 2407.08608, algorithm 2) as a scheduled program, for causal attention with at least as
// many keys as queries: one producer role fills channels of K and V, two consumer roles own 64 queries each, they take turns
// to start products (ping-pong), and the product of the next scores is started before the one with V is waited for.

// RUN: fovea-opt %s --verify-roundtrip | FileCheck %s
// RUN: fovea-opt %s --mlir-print-op-generic | fovea-opt | FileCheck %s
// RUN: fovea-opt %s --emit-bytecode | fovea-opt | FileCheck %s
// RUN: fovea-opt %s --tile-strip-schedule --canonicalize --cse | FileCheck %s --check-prefix=STRIP
// RUN: fovea-opt %s --tile-strip-schedule --canonicalize --cse -o %t.mlir
// RUN: fovea-tile-run %s --axes B=2,T=100,S=100,H=2 --compare %S/causal-program.mlir
// RUN: fovea-tile-run %s --axes B=1,T=1,S=1,H=1 --compare %S/causal-program.mlir
// RUN: fovea-tile-run %s --axes B=1,T=129,S=400,H=1 --compare %S/causal-program.mlir
// RUN: fovea-tile-run %s --axes B=1,T=300,S=300,H=2 --lazy-roles --compare %S/causal-program.mlir
// RUN: fovea-tile-run %t.mlir --axes B=1,T=300,S=300,H=2 --compare %s --tolerance 0
// RUN: fovea-tile-run %s --axes B=1,T=300,S=300,H=2 --precision rounded --compare %S/causal-program.mlir --tolerance 5e-3
// RUN: not fovea-tile-run %s --axes B=1,T=300,S=300,H=2 --precision rounded --compare %S/causal-program.mlir --tolerance 1e-6

// CHECK: #layout = #tile.layout<reg =
// CHECK: tile.roles {
// CHECK: tile.role "producer" warps 4 registers 24 {
// CHECK: tile.put
// CHECK: tile.role "consumer" count 2 warps 4 registers 240 (%[[ID:.*]]) {
// CHECK: scf.for
// CHECK: tile.order_wait %{{.*}}[%[[ID]]]
// CHECK: %[[SCORES:.*]] = tile.dot_start
// CHECK: %[[OUT:.*]] = tile.dot_start
// CHECK: tile.order_signal %{{.*}}[%[[ID]]]
// CHECK: tile.dot_wait %[[SCORES]]
// CHECK: tile.dot_wait %[[OUT]]

// STRIP-NOT: #tile.layout
// STRIP: tile.launch "causal" ["B", "H", "T"]
// STRIP-NOT: {{tile.(role|channel|put|take|release|order|dot_start|dot_wait)}}
// STRIP: scf.for
// STRIP: tile.load %{{.*}} dims [1, 3] pad 0.000000e+00
// STRIP: tile.dot
// STRIP: scf.for
// STRIP: tile.dot
// STRIP: tile.dot
// STRIP: tile.store
// STRIP-NOT: {{tile.(role|channel|put|take|release|order|dot_start|dot_wait)}}

// The accumulator of a warpgroup's 64-row product has the fragments of mma.m16n8 in each of its four warps.
#acc = #tile.layout<reg = [[0, 1], [8, 0]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [[16, 0], [32, 0]], rep = [8 x [0, 8]]>
#left = #tile.layout<reg = [[0, 1], [8, 0], [0, 8]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [[16, 0], [32, 0]], rep = [4 x [0, 16]]>
#row = #tile.layout<reg = [[8]], lane = [[0], [0], [1], [2], [4]], warp = [[16], [32]], rep = []>
#column = #tile.layout<reg = [[1]], lane = [[2], [4], [0], [0], [0]], warp = [[0], [0]], rep = [8 x [8]]>

tile.program @causal choices {query_tile = 128, key_tile = 64} {
  %B = tile.axis "B"
  %T = tile.axis "T"
  %S = tile.axis "S"
  %H = tile.axis "H"
  %q = tile.tensor "q" "input" ["B", "T", "H", "D"] : !tile.view<?x?x?x64xbf16>
  %k = tile.tensor "k" "input" ["B", "S", "H", "D"] : !tile.view<?x?x?x64xbf16>
  %v = tile.tensor "v" "input" ["B", "S", "H", "V"] : !tile.view<?x?x?x64xbf16>
  %o = tile.tensor "o" "output" ["B", "T", "H", "V"] : !tile.view<?x?x?x64xbf16>
  %lse = tile.tensor "lse" "output" ["B", "T", "H"] : !tile.view<?x?x?xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %c128 = arith.constant 128 : index
  %nt = arith.ceildivui %T, %c128 : index
  %shift = arith.subi %S, %T : index
  tile.launch "causal" ["B", "H", "T"] (%b = %B, %h = %H, %t = %nt) schedule {kind = "warp-specialised", stages = 2} {
    %r0 = arith.muli %t, %c128 : index
    %last = arith.addi %r0, %shift : index
    %hi = arith.addi %last, %c128 : index
    %dom = tile.domain ranges (%c0 to %hi) full (%c0 to %last) limit %S step 64
    %n = tile.domain_count %dom
    %kc = tile.channel readers 2 at 0 : !tile.channel<2x64x64xbf16, 128>
    %vc = tile.channel readers 2 at 16384 : !tile.channel<2x64x64xbf16, 128>
    %turns = tile.order 2
    tile.roles {
      tile.role "producer" warps 4 registers 24 {
        scf.for %i = %c0 to %n step %c1 {
          %j0, %full = tile.domain_tile %dom[%i]
          tile.put %k[%b, %j0, %h, %c0] dims [1, 3] to %kc : !tile.view<?x?x?x64xbf16> -> !tile.channel<2x64x64xbf16, 128>
          tile.put %v[%b, %j0, %h, %c0] dims [1, 3] to %vc : !tile.view<?x?x?x64xbf16> -> !tile.channel<2x64x64xbf16, 128>
        }
      }
      tile.role "consumer" count 2 warps 4 registers 240 (%id) {
        %scale = arith.constant 0.125 : f32
        %scales = tile.splat %scale : f32 -> tensor<64x64xf32, #acc>
        %rscale = tile.splat %scale : f32 -> tensor<64xf32, #row>
        %zero = arith.constant dense<0.0> : tensor<64x64xf32, #acc>
        %ninf = arith.constant dense<0xFF800000> : tensor<64x64xf32, #acc>
        %offset = arith.muli %id, %c64 : index
        %i0 = arith.addi %r0, %offset : index
        %first = arith.addi %i0, %shift : index
        %rows = tile.iota %first : tensor<64xi32, #row>
        %bi = tile.broadcast %rows dims [0] : tensor<64xi32, #row> -> tensor<64x64xi32, #acc>
        %keys = arith.index_cast %S : index to i32
        %bn = tile.splat %keys : i32 -> tensor<64x64xi32, #acc>
        %qt = tile.load %q[%b, %i0, %h, %c0] dims [1, 3] pad 0.0 : bf16 : !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16, #left>

        // The scores of the first tile.
        %j0, %full0 = tile.domain_tile %dom[%c0]
        tile.order_wait %turns[%id]
        %k0 = tile.take %kc of view %k[%b, %j0, %h, %c0] dims [1, 3] : !tile.channel<2x64x64xbf16, 128>, !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16>
        %t0 = tile.dot_start %qt, %k0, %zero contract [1, 1] : tensor<64x64xbf16, #left>, tensor<64x64xbf16> -> tensor<64x64xf32, #acc>
        tile.order_signal %turns[%id]
        %s0 = tile.dot_wait %t0 : tensor<64x64xf32, #acc>
        tile.release %kc : !tile.channel<2x64x64xbf16, 128>
        %cols0 = tile.iota %j0 : tensor<64xi32, #column>
        %bj0 = tile.broadcast %cols0 dims [1] : tensor<64xi32, #column> -> tensor<64x64xi32, #acc>
        %before0 = arith.cmpi sle, %bj0, %bi : tensor<64x64xi32, #acc>
        %inside0 = arith.cmpi slt, %bj0, %bn : tensor<64x64xi32, #acc>
        %mask0 = arith.andi %before0, %inside0 : tensor<64x64xi1, #acc>
        %x0 = arith.select %mask0, %s0, %ninf : tensor<64x64xi1, #acc>, tensor<64x64xf32, #acc>
        %m0 = tile.reduce "max" %x0 dim 1 : tensor<64x64xf32, #acc> -> tensor<64xf32, #row>
        %bm0 = tile.broadcast %m0 dims [0] : tensor<64xf32, #row> -> tensor<64x64xf32, #acc>
        %d0 = arith.subf %x0, %bm0 : tensor<64x64xf32, #acc>
        %e0 = arith.mulf %d0, %scales : tensor<64x64xf32, #acc>
        %w0 = math.exp %e0 : tensor<64x64xf32, #acc>
        %l0 = tile.reduce "add" %w0 dim 1 : tensor<64x64xf32, #acc> -> tensor<64xf32, #row>
        %h0 = arith.truncf %w0 : tensor<64x64xf32, #acc> to tensor<64x64xbf16, #acc>
        %p0 = tile.convert_layout %h0 : tensor<64x64xbf16, #acc> -> tensor<64x64xbf16, #left>

        %m, %l, %p, %u, %jl = scf.for %i = %c1 to %n step %c1
            iter_args(%mi = %m0, %li = %l0, %pi = %p0, %ui = %zero, %jp = %j0) -> (tensor<64xf32, #row>, tensor<64xf32, #row>, tensor<64x64xbf16, #left>, tensor<64x64xf32, #acc>, index) {
          %j, %full = tile.domain_tile %dom[%i]
          tile.order_wait %turns[%id]
          %kt = tile.take %kc of view %k[%b, %j, %h, %c0] dims [1, 3] : !tile.channel<2x64x64xbf16, 128>, !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16>
          %ts = tile.dot_start %qt, %kt, %zero contract [1, 1] : tensor<64x64xbf16, #left>, tensor<64x64xbf16> -> tensor<64x64xf32, #acc>
          %vt = tile.take %vc of view %v[%b, %jp, %h, %c0] dims [1, 3] : !tile.channel<2x64x64xbf16, 128>, !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16>
          %to = tile.dot_start %pi, %vt, %ui contract [1, 0] : tensor<64x64xbf16, #left>, tensor<64x64xbf16> -> tensor<64x64xf32, #acc>
          tile.order_signal %turns[%id]
          %s = tile.dot_wait %ts : tensor<64x64xf32, #acc>
          tile.release %kc : !tile.channel<2x64x64xbf16, 128>
          %cols = tile.iota %j : tensor<64xi32, #column>
          %bj = tile.broadcast %cols dims [1] : tensor<64xi32, #column> -> tensor<64x64xi32, #acc>
          %before = arith.cmpi sle, %bj, %bi : tensor<64x64xi32, #acc>
          %inside = arith.cmpi slt, %bj, %bn : tensor<64x64xi32, #acc>
          %mask = arith.andi %before, %inside : tensor<64x64xi1, #acc>
          %x = arith.select %mask, %s, %ninf : tensor<64x64xi1, #acc>, tensor<64x64xf32, #acc>
          %mt = tile.reduce "max" %x dim 1 : tensor<64x64xf32, #acc> -> tensor<64xf32, #row>
          %mn = arith.maximumf %mi, %mt : tensor<64xf32, #row>
          %md = arith.subf %mi, %mn : tensor<64xf32, #row>
          %me = arith.mulf %md, %rscale : tensor<64xf32, #row>
          %correction = math.exp %me : tensor<64xf32, #row>
          %bm = tile.broadcast %mn dims [0] : tensor<64xf32, #row> -> tensor<64x64xf32, #acc>
          %d = arith.subf %x, %bm : tensor<64x64xf32, #acc>
          %e = arith.mulf %d, %scales : tensor<64x64xf32, #acc>
          %w = math.exp %e : tensor<64x64xf32, #acc>
          %lt = tile.reduce "add" %w dim 1 : tensor<64x64xf32, #acc> -> tensor<64xf32, #row>
          %lc = arith.mulf %li, %correction : tensor<64xf32, #row>
          %ln = arith.addf %lc, %lt : tensor<64xf32, #row>
          %ph = arith.truncf %w : tensor<64x64xf32, #acc> to tensor<64x64xbf16, #acc>
          %pn = tile.convert_layout %ph : tensor<64x64xbf16, #acc> -> tensor<64x64xbf16, #left>
          %uo = tile.dot_wait %to : tensor<64x64xf32, #acc>
          tile.release %vc : !tile.channel<2x64x64xbf16, 128>
          %bc = tile.broadcast %correction dims [0] : tensor<64xf32, #row> -> tensor<64x64xf32, #acc>
          %un = arith.mulf %uo, %bc : tensor<64x64xf32, #acc>
          scf.yield %mn, %ln, %pn, %un, %j : tensor<64xf32, #row>, tensor<64xf32, #row>, tensor<64x64xbf16, #left>, tensor<64x64xf32, #acc>, index
        }

        // The last product with V.
        %vl = tile.take %vc of view %v[%b, %jl, %h, %c0] dims [1, 3] : !tile.channel<2x64x64xbf16, 128>, !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16>
        %tl = tile.dot_start %p, %vl, %u contract [1, 0] : tensor<64x64xbf16, #left>, tensor<64x64xbf16> -> tensor<64x64xf32, #acc>
        %ul = tile.dot_wait %tl : tensor<64x64xf32, #acc>
        tile.release %vc : !tile.channel<2x64x64xbf16, 128>
        %bl = tile.broadcast %l dims [0] : tensor<64xf32, #row> -> tensor<64x64xf32, #acc>
        %of = arith.divf %ul, %bl : tensor<64x64xf32, #acc>
        %ob = arith.truncf %of : tensor<64x64xf32, #acc> to tensor<64x64xbf16, #acc>
        tile.store %ob, %o[%b, %i0, %h, %c0] dims [1, 3] : tensor<64x64xbf16, #acc>, !tile.view<?x?x?x64xbf16>
        %sm = arith.mulf %m, %rscale : tensor<64xf32, #row>
        %ll = math.log %l : tensor<64xf32, #row>
        %lf = arith.addf %sm, %ll : tensor<64xf32, #row>
        tile.store %lf, %lse[%b, %i0, %h] dims [1] : tensor<64xf32, #row>, !tile.view<?x?x?xf32>
      }
    }
  }
}
