// The chunk form of linear attention, state transposed: with decay per head and token (additive), with the delta rule, with decay per channel.
tile.program @additive {
  %B = tile.axis "B"
  %T = tile.axis "T"
  %q = tile.tensor "q" "input" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  %k = tile.tensor "k" "input" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  %v = tile.tensor "v" "input" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  %g = tile.tensor "g" "input" ["B", "T"] : !tile.view<?x?xf32>
  %o = tile.tensor "o" "output" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  %h = tile.tensor "h" "output" ["B", "64", "64"] : !tile.view<?x64x64xf32>
  tile.launch "forward" ["B"] (%b = %B) {
    %c0 = arith.constant 0 : index
    %zeros = arith.constant dense<0.0> : tensor<64x64xf32>
    %last = tile.recurrence from %c0 to %T step 64 init (%zeros : tensor<64x64xf32>) {
    ^bb0(%start: index, %state: tensor<64x64xf32>):
      %qs = tile.load %q[%b, %start, %c0] dims [1, 2] pad 0.0 : bf16 : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
      %ks = tile.load %k[%b, %start, %c0] dims [1, 2] pad 0.0 : bf16 : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
      %vs = tile.load %v[%b, %start, %c0] dims [1, 2] pad 0.0 : bf16 : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
      %gs = tile.load %g[%b, %start] dims [1] pad 0.0 : f32 : !tile.view<?x?xf32> -> tensor<64xf32>
      // Steps are -|g|.
      %abs = math.absf %gs : tensor<64xf32>
      %steps = arith.negf %abs : tensor<64xf32>
      %sums, %total = tile.scan %steps dim 0 : tensor<64xf32> -> tensor<64xf32>, f32
      // Scores of the chunk.
      %p = tile.dot %qs, %ks, %zeros contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %gr = tile.broadcast %sums dims [0] : tensor<64xf32> -> tensor<64x64xf32>
      %gc = tile.broadcast %sums dims [1] : tensor<64xf32> -> tensor<64x64xf32>
      %gd = arith.subf %gr, %gc : tensor<64x64xf32>
      %decay = math.exp2 %gd : tensor<64x64xf32>
      %scores = arith.mulf %p, %decay : tensor<64x64xf32>
      %row = tile.iota %c0 : tensor<64xi32>
      %rows = tile.broadcast %row dims [0] : tensor<64xi32> -> tensor<64x64xi32>
      %columns = tile.broadcast %row dims [1] : tensor<64xi32> -> tensor<64x64xi32>
      %mask = arith.cmpi sle, %columns, %rows : tensor<64x64xi32>
      %masked = arith.select %mask, %scores, %zeros : tensor<64x64xi1>, tensor<64x64xf32>
      %a = arith.truncf %masked : tensor<64x64xf32> to tensor<64x64xbf16>
      // Results.
      %rt = tile.transpose %vs : tensor<64x64xbf16> -> tensor<64x64xbf16>
      %s16 = arith.truncf %state : tensor<64x64xf32> to tensor<64x64xbf16>
      %ot0 = tile.dot %s16, %qs, %zeros contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %e = math.exp2 %sums : tensor<64xf32>
      %ec = tile.broadcast %e dims [1] : tensor<64xf32> -> tensor<64x64xf32>
      %ot1 = arith.mulf %ot0, %ec : tensor<64x64xf32>
      %ot = tile.dot %rt, %a, %ot1 contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %ot16 = arith.truncf %ot : tensor<64x64xf32> to tensor<64x64xbf16>
      %os = tile.transpose %ot16 : tensor<64x64xbf16> -> tensor<64x64xbf16>
      tile.store %os, %o[%b, %start, %c0] dims [1, 2] : tensor<64x64xbf16>, !tile.view<?x?x64xbf16>
      // State.
      %all = tile.splat %total : f32 -> tensor<64xf32>
      %rest = arith.subf %all, %sums : tensor<64xf32>
      %restExp = math.exp2 %rest : tensor<64xf32>
      %restTile = tile.broadcast %restExp dims [1] : tensor<64xf32> -> tensor<64x64xf32>
      %rt32 = arith.extf %rt : tensor<64x64xbf16> to tensor<64x64xf32>
      %rtDecayed = arith.mulf %rt32, %restTile : tensor<64x64xf32>
      %rtRounded = arith.truncf %rtDecayed : tensor<64x64xf32> to tensor<64x64xbf16>
      %whole = math.exp2 %total : f32
      %wholes = tile.splat %whole : f32 -> tensor<64x64xf32>
      %kept = arith.mulf %state, %wholes : tensor<64x64xf32>
      %next = tile.dot %rtRounded, %ks, %kept contract [1, 0] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      tile.recurrence_yield %next : tensor<64x64xf32>
    }
    %end = tile.transpose %last : tensor<64x64xf32> -> tensor<64x64xf32>
    tile.store %end, %h[%b, %c0, %c0] dims [1, 2] : tensor<64x64xf32>, !tile.view<?x64x64xf32>
  }
}

tile.program @delta {
  %B = tile.axis "B"
  %T = tile.axis "T"
  %q = tile.tensor "q" "input" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  %k = tile.tensor "k" "input" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  %v = tile.tensor "v" "input" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  %beta = tile.tensor "beta" "input" ["B", "T"] : !tile.view<?x?xf32>
  %gate = tile.tensor "gate" "input" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  %o = tile.tensor "o" "output" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  tile.launch "forward" ["B"] (%b = %B) {
    %c0 = arith.constant 0 : index
    %zeros = arith.constant dense<0.0> : tensor<64x64xf32>
    %small = arith.constant dense<0.03125> : tensor<64xf32>
    %last = tile.recurrence from %c0 to %T step 64 init (%zeros : tensor<64x64xf32>) {
    ^bb0(%start: index, %state: tensor<64x64xf32>):
      %qs = tile.load %q[%b, %start, %c0] dims [1, 2] pad 0.0 : bf16 : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
      %ks = tile.load %k[%b, %start, %c0] dims [1, 2] pad 0.0 : bf16 : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
      %vs = tile.load %v[%b, %start, %c0] dims [1, 2] pad 0.0 : bf16 : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
      %bs = tile.load %beta[%b, %start] dims [1] pad 0.0 : f32 : !tile.view<?x?xf32> -> tensor<64xf32>
      %gates = tile.load %gate[%b, %start, %c0] dims [1, 2] pad 0.0 : bf16 : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
      // e = beta k / 32.
      %b32 = arith.mulf %bs, %small : tensor<64xf32>
      %br = tile.broadcast %b32 dims [0] : tensor<64xf32> -> tensor<64x64xf32>
      %k32 = arith.extf %ks : tensor<64x64xbf16> to tensor<64x64xf32>
      %e32 = arith.mulf %k32, %br : tensor<64x64xf32>
      %e = arith.truncf %e32 : tensor<64x64xf32> to tensor<64x64xbf16>
      %row = tile.iota %c0 : tensor<64xi32>
      %rows = tile.broadcast %row dims [0] : tensor<64xi32> -> tensor<64x64xi32>
      %columns = tile.broadcast %row dims [1] : tensor<64xi32> -> tensor<64x64xi32>
      %mask = arith.cmpi sle, %columns, %rows : tensor<64x64xi32>
      %l = tile.dot %e, %ks, %zeros contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %x32 = tile.unit_tril_inverse %l : tensor<64x64xf32>
      %x = arith.truncf %x32 : tensor<64x64xf32> to tensor<64x64xbf16>
      %s16 = arith.truncf %state : tensor<64x64xf32> to tensor<64x64xbf16>
      %se = tile.dot %s16, %e, %zeros contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %vt = tile.transpose %vs : tensor<64x64xbf16> -> tensor<64x64xbf16>
      %zt = arith.extf %vt : tensor<64x64xbf16> to tensor<64x64xf32>
      %ut = arith.subf %zt, %se : tensor<64x64xf32>
      %u16 = arith.truncf %ut : tensor<64x64xf32> to tensor<64x64xbf16>
      %rt = tile.dot %u16, %x, %zeros contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %r16 = arith.truncf %rt : tensor<64x64xf32> to tensor<64x64xbf16>
      %p = tile.dot %qs, %ks, %zeros contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %masked = arith.select %mask, %p, %zeros : tensor<64x64xi1>, tensor<64x64xf32>
      %a = arith.truncf %masked : tensor<64x64xf32> to tensor<64x64xbf16>
      %ot0 = tile.dot %s16, %qs, %zeros contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %ot = tile.dot %r16, %a, %ot0 contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      // A gate: what is stored is computed in rows.
      %os32 = tile.transpose %ot : tensor<64x64xf32> -> tensor<64x64xf32>
      %gates32 = arith.extf %gates : tensor<64x64xbf16> to tensor<64x64xf32>
      %gated = arith.mulf %os32, %gates32 : tensor<64x64xf32>
      %os = arith.truncf %gated : tensor<64x64xf32> to tensor<64x64xbf16>
      tile.store %os, %o[%b, %start, %c0] dims [1, 2] : tensor<64x64xbf16>, !tile.view<?x?x64xbf16>
      %next = tile.dot %r16, %ks, %state contract [1, 0] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      tile.recurrence_yield %next : tensor<64x64xf32>
    }
  }
}

tile.program @channels {
  %B = tile.axis "B"
  %T = tile.axis "T"
  %q = tile.tensor "q" "input" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  %k = tile.tensor "k" "input" ["B", "T", "64"] : !tile.view<?x?x64xbf16>
  %v = tile.tensor "v" "input" ["B", "T", "128"] : !tile.view<?x?x128xbf16>
  %g = tile.tensor "g" "input" ["B", "T", "64"] : !tile.view<?x?x64xf32>
  %o = tile.tensor "o" "output" ["B", "T", "128"] : !tile.view<?x?x128xbf16>
  tile.launch "forward" ["B"] (%b = %B) {
    %c0 = arith.constant 0 : index
    %zeros = arith.constant dense<0.0> : tensor<128x64xf32>
    %last = tile.recurrence from %c0 to %T step 64 reverse init (%zeros : tensor<128x64xf32>) {
    ^bb0(%start: index, %state: tensor<128x64xf32>):
      %qs = tile.load %q[%b, %start, %c0] dims [1, 2] pad 0.0 : bf16 : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
      %ks = tile.load %k[%b, %start, %c0] dims [1, 2] pad 0.0 : bf16 : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
      %vs = tile.load %v[%b, %start, %c0] dims [1, 2] pad 0.0 : bf16 : !tile.view<?x?x128xbf16> -> tensor<64x128xbf16>
      %gs = tile.load %g[%b, %start, %c0] dims [1, 2] pad 0.0 : f32 : !tile.view<?x?x64xf32> -> tensor<64x64xf32>
      %abs = math.absf %gs : tensor<64x64xf32>
      %steps = arith.negf %abs : tensor<64x64xf32>
      %sums, %total = tile.scan %steps dim 0 reverse : tensor<64x64xf32> -> tensor<64x64xf32>, tensor<64xf32>
      %p = tile.decayed_dot %qs, %ks, %sums reverse : tensor<64x64xbf16>, tensor<64x64xbf16>, tensor<64x64xf32> -> tensor<64x64xf32>
      %a = arith.truncf %p : tensor<64x64xf32> to tensor<64x64xbf16>
      %rt = tile.transpose %vs : tensor<64x128xbf16> -> tensor<128x64xbf16>
      %s16 = arith.truncf %state : tensor<128x64xf32> to tensor<128x64xbf16>
      %e = math.exp2 %sums : tensor<64x64xf32>
      %q32 = arith.extf %qs : tensor<64x64xbf16> to tensor<64x64xf32>
      %qe = arith.mulf %q32, %e : tensor<64x64xf32>
      %q16 = arith.truncf %qe : tensor<64x64xf32> to tensor<64x64xbf16>
      %ot0 = tile.dot %s16, %q16, %zeros contract [1, 1] : tensor<128x64xbf16>, tensor<64x64xbf16> -> tensor<128x64xf32>
      %ot = tile.dot %rt, %a, %ot0 contract [1, 1] : tensor<128x64xbf16>, tensor<64x64xbf16> -> tensor<128x64xf32>
      %os = tile.transpose %ot : tensor<128x64xf32> -> tensor<64x128xf32>
      %os16 = arith.truncf %os : tensor<64x128xf32> to tensor<64x128xbf16>
      tile.store %os16, %o[%b, %start, %c0] dims [1, 2] : tensor<64x128xbf16>, !tile.view<?x?x128xbf16>
      %totals = tile.broadcast %total dims [1] : tensor<64xf32> -> tensor<64x64xf32>
      %rest = arith.subf %totals, %sums : tensor<64x64xf32>
      %restExp = math.exp2 %rest : tensor<64x64xf32>
      %k32 = arith.extf %ks : tensor<64x64xbf16> to tensor<64x64xf32>
      %kDecayed = arith.mulf %k32, %restExp : tensor<64x64xf32>
      %k16 = arith.truncf %kDecayed : tensor<64x64xf32> to tensor<64x64xbf16>
      %whole = math.exp2 %total : tensor<64xf32>
      %wholes = tile.broadcast %whole dims [1] : tensor<64xf32> -> tensor<128x64xf32>
      %kept = arith.mulf %state, %wholes : tensor<128x64xf32>
      %next = tile.dot %rt, %k16, %kept contract [1, 0] : tensor<128x64xbf16>, tensor<64x64xbf16> -> tensor<128x64xf32>
      tile.recurrence_yield %next : tensor<128x64xf32>
    }
  }
}
