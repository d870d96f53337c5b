// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows of sequences, narrowed views and work items that end early in the tile interpreter.
#include "test/unit/tile-interpreter/Program.h"

#include <cmath>

using namespace fovea::tile;

namespace {

using Data = std::vector<double>;

/// Copies the rows of each sequence from x to y, two at a time; `first` is added to the first row.
std::string copy(const std::string &first = "%start") {
  return R"(tile.program @p {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %B = tile.axis "B"
  %T = tile.axis "T"
  %N = tile.axis "N"
  %o = tile.tensor "o" "input" ["C"] : <?xi32>
  %x = tile.tensor "x" "input" ["N"] : <?xf32>
  %y = tile.tensor "y" "output" ["N"] : <?xf32>
  %z = tile.tensor "z" "output" ["B", "T"] : <?x?xf32>
  tile.launch "a" ["B", "T"] (%b = %B, %t = %T) {
    %start, %length = tile.sequence %o[%b] of %N most %T : !tile.view<?xi32>
    %t0 = arith.muli %t, %c2 : index
    %far = arith.addi %start, %c2 : index
    %end = arith.cmpi uge, %t0, %length : index
    tile.end_if %end
    %from = tile.narrow %x dim 0 from )" +
         first + R"( size %length : !tile.view<?xf32> -> !tile.view<?xf32>
    %to = tile.narrow %y dim 0 from %start size %length : !tile.view<?xf32> -> !tile.view<?xf32>
    %v = tile.load %from[%t0] dims [0] pad 9.0 : f32 : !tile.view<?xf32> -> tensor<2xf32>
    tile.store %v, %to[%t0] dims [0] : tensor<2xf32>, !tile.view<?xf32>
    tile.store %v, %z[%b, %t0] dims [1] : tensor<2xf32>, !tile.view<?x?xf32>
  }
})";
}

struct Outcome {
  std::string error;
  Data y, z;
};

Outcome run(const Data &offsets, int64_t most = 4, const std::string &text = copy()) {
  Program program(text);
  std::map<std::string, Tensor> tensors = {{"o", {{int64_t(offsets.size())}, offsets}},
                                           {"x", {{6}, {1, 2, 3, 4, 5, 6}}}};
  Outcome outcome;
  outcome.error =
      program.run({{"B", int64_t(offsets.size()) - 1}, {"C", int64_t(offsets.size())}, {"T", most}, {"N", 6}}, tensors);
  for (double &value : tensors["y"].data)
    outcome.y.push_back(std::isnan(value) ? -1 : value);
  for (double &value : tensors["z"].data)
    outcome.z.push_back(std::isnan(value) ? -1 : value);
  return outcome;
}

TEST(Sequences, HaveRowsOfTheirOwn) {
  Outcome outcome = run({0, 3, 3, 6});
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.y, (Data{1, 2, 3, 4, 5, 6}));
  // Beyond the rows of the sequence, not of the memory, is what is padded.
  EXPECT_EQ(outcome.z, (Data{1, 2, 3, 9, -1, -1, -1, -1, 4, 5, 6, 9}));
}

TEST(Sequences, NoOffsetsLeaveTheMemory) {
  EXPECT_EQ(run({-5, 2, 100}).y, (Data{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(run({4, 2, 3}).y, (Data{-1, -1, 3, -1, -1, -1}));
  EXPECT_EQ(run({100, 100, 100}).y, (Data{-1, -1, -1, -1, -1, -1}));
  EXPECT_EQ(run({0, 6}, 3).y, (Data{1, 2, 3, -1, -1, -1})); // longer than the host allows
  for (const Data &offsets : {Data{-5, 2, 100}, {4, 2, 3}, {100, 100, 100}, {6, 6}})
    EXPECT_EQ(run(offsets).error, "");
}

TEST(Sequences, PartsLieWithinTheView) {
  EXPECT_NE(run({0, 6}, 6, copy("%far"))
                .error.find("tile.narrow takes elements 2 to 8 of dimension 0 of 'x', whose size "
                            "is 6"),
            std::string::npos);
}

} // namespace
