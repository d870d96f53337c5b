// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A specification that the tests of the driver share.
#pragma once

#include "frontend/driver/Compiler.h"

namespace fovea::driver::test {

inline SourceText causal(const std::string &output = "p(v)") {
  return {"causal.attn", "fovea 1\n"
                         "attention causal causal {\n"
                         "  axis B, T, H, D\n"
                         "  axis S keys T\n"
                         "  static D\n"
                         "  input q : [B, T, H, D]\n"
                         "  input k, v : [B, S, H, D]\n"
                         "  let p = weights over S {\n"
                         "    score: dot[D](q[i], k[j]) * D^-0.5\n"
                         "    where: j <= i\n"
                         "  }\n"
                         "  output o = " +
                             output +
                             "\n"
                             "  output lse = p.lse\n"
                             "}\n"};
}

/// Scores whose products round a computed key; further lines of the weights.
inline SourceText scaledKeys(const std::string &scale = "D^-0.5", const std::string &lines = "") {
  return {"scaled.attn", "fovea 1\n"
                         "attention scaled causal {\n"
                         "  axis B, T, H, D\n"
                         "  axis S keys T\n"
                         "  static D\n"
                         "  input q : [B, T, H, D]\n"
                         "  input k, v : [B, S, H, D]\n"
                         "  input e : f32 [B, S, H, D]\n"
                         "  let p = weights over S {\n"
                         "    score: dot[D](q[i], k[j] * e[j]) * " +
                             scale + "\n    where: j <= i\n" + lines +
                             "  }\n"
                             "  output o = p(v)\n"
                             "}\n"};
}

inline CompileOptions sized(Stage last = Stage::Plan) {
  CompileOptions options;
  options.sets = {{"D", "32"}};
  options.last = last;
  return options;
}

} // namespace fovea::driver::test
