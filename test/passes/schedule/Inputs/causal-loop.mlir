// Causal softmax attention after tile-expand-fold: what schedule passes and code generation start from.
tile.program @causal choices {query_tile = 64, key_tile = 64} {
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
  %nt = arith.ceildivui %T, %c64 : index
  %shift = arith.subi %S, %T : index
  tile.launch "causal" ["B", "H", "T"] (%b = %B, %h = %H, %t = %nt) {
    %scale = arith.constant 0.125 : f32
    %sl = arith.constant 0.180336880 : f32
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %i0 = arith.muli %t, %c64 : index
    %first = arith.addi %i0, %shift : index
    %fhi = arith.addi %first, %c1 : index
    %hi = arith.addi %first, %c64 : index
    %qt = tile.load %q[%b, %i0, %h, %c0] dims [1, 3] pad 0.0 : bf16 : !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16>
    %dom = tile.domain ranges (%c0 to %hi) full (%c0 to %fhi) limit %S step 64
    %count = tile.domain_count %dom
    %z1 = arith.constant dense<0.0> : tensor<64xf32>
    %ninf = arith.constant dense<0xFF800000> : tensor<64xf32>
    %ninf2 = arith.constant dense<0xFF800000> : tensor<64x64xf32>
    %slv = tile.splat %sl : f32 -> tensor<64xf32>
    %slm = tile.splat %sl : f32 -> tensor<64x64xf32>
    %m, %l, %u = scf.for %n = %c0 to %count step %c1 iter_args(%m0 = %ninf, %l0 = %z1, %u0 = %zero) -> (tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>) {
      %j0, %full = tile.domain_tile %dom[%n]
      %kt = tile.load %k[%b, %j0, %h, %c0] dims [1, 3] pad 0.0 : bf16 : !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16>
      %vt = tile.load %v[%b, %j0, %h, %c0] dims [1, 3] pad 0.0 : bf16 : !tile.view<?x?x?x64xbf16> -> tensor<64x64xbf16>
      %s0 = tile.dot %qt, %kt, %zero contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %s = scf.if %full -> tensor<64x64xf32> {
        scf.yield %s0 : tensor<64x64xf32>
      } else {
        %i = tile.iota %first : tensor<64xi32>
        %j = tile.iota %j0 : tensor<64xi32>
        %bi = tile.broadcast %i dims [0] : tensor<64xi32> -> tensor<64x64xi32>
        %bj = tile.broadcast %j dims [1] : tensor<64xi32> -> tensor<64x64xi32>
        %n1 = arith.index_cast %S : index to i32
        %bn = tile.splat %n1 : i32 -> tensor<64x64xi32>
        %before = arith.cmpi sle, %bj, %bi : tensor<64x64xi32>
        %inside = arith.cmpi slt, %bj, %bn : tensor<64x64xi32>
        %both = arith.andi %before, %inside : tensor<64x64xi1>
        %sm = arith.select %both, %s0, %ninf2 : tensor<64x64xi1>, tensor<64x64xf32>
        scf.yield %sm : tensor<64x64xf32>
      }
      %mx = tile.reduce "max" %s dim 1 : tensor<64x64xf32> -> tensor<64xf32>
      %mn = arith.maxnumf %m0, %mx : tensor<64xf32>
      %isn = arith.cmpf oeq, %mn, %ninf : tensor<64xf32>
      %ms = arith.select %isn, %z1, %mn : tensor<64xi1>, tensor<64xf32>
      %mc = arith.mulf %ms, %slv : tensor<64xf32>
      %nmc = arith.negf %mc : tensor<64xf32>
      %bm = tile.broadcast %nmc dims [0] : tensor<64xf32> -> tensor<64x64xf32>
      %x = math.fma %s, %slm, %bm : tensor<64x64xf32>
      %p = math.exp2 %x : tensor<64x64xf32>
      %ax = math.fma %m0, %slv, %nmc : tensor<64xf32>
      %al = math.exp2 %ax : tensor<64xf32>
      %ps = tile.reduce "add" %p dim 1 : tensor<64x64xf32> -> tensor<64xf32>
      %l1 = math.fma %l0, %al, %ps : tensor<64xf32>
      %pb = arith.truncf %p : tensor<64x64xf32> to tensor<64x64xbf16>
      %bal = tile.broadcast %al dims [0] : tensor<64xf32> -> tensor<64x64xf32>
      %us = arith.mulf %u0, %bal : tensor<64x64xf32>
      %u1 = tile.dot %pb, %vt, %us contract [1, 0] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      scf.yield %mn, %l1, %u1 : tensor<64xf32>, tensor<64xf32>, tensor<64x64xf32>
    }
    %one = arith.constant dense<1.0> : tensor<64xf32>
    %some = arith.cmpf ogt, %l, %z1 : tensor<64xf32>
    %r = arith.divf %one, %l : tensor<64xf32>
    %inv = arith.select %some, %r, %z1 : tensor<64xi1>, tensor<64xf32>
    %binv = tile.broadcast %inv dims [0] : tensor<64xf32> -> tensor<64x64xf32>
    %of = arith.mulf %u, %binv : tensor<64x64xf32>
    %ob = arith.truncf %of : tensor<64x64xf32> to tensor<64x64xbf16>
    tile.store %ob, %o[%b, %i0, %h, %c0] dims [1, 3] : tensor<64x64xbf16>, !tile.view<?x?x?x64xbf16>
    %bs = tile.splat %scale : f32 -> tensor<64xf32>
    %sm2 = arith.mulf %m, %bs : tensor<64xf32>
    %lg = math.log2 %l : tensor<64xf32>
    %ln2 = arith.constant dense<0.693147182> : tensor<64xf32>
    %ll = arith.mulf %lg, %ln2 : tensor<64xf32>
    %ls = arith.addf %sm2, %ll : tensor<64xf32>
    %lf = arith.select %some, %ls, %ninf : tensor<64xi1>, tensor<64xf32>
    tile.store %lf, %lse[%b, %i0, %h] dims [1] : tensor<64xf32>, !tile.view<?x?x?xf32>
  }
}
