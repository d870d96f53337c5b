// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Slices, concatenations, running sums and scalar stores in the tile interpreter.
#include "test/unit/tile-interpreter/Program.h"

using namespace fovea::tile;

namespace {

using Data = std::vector<double>;

/// A launch over the tile %t of `x`, [2, 3], that stores %r of `shape` (and %s, a vector, if it has a size).
std::string program(const std::string &body, const std::string &shape, int64_t total = 0) {
  std::string n = std::to_string(total ? total : 1);
  std::string text = R"(tile.program @p {
  %c0 = arith.constant 0 : index
  %x = tile.tensor "x" "input" ["2", "3"] : !tile.view<2x3xf32>
  %vr = tile.tensor "r" "output" [SHAPE] : !tile.view<SIZESxf32>
  %vs = tile.tensor "s" "output" [")" +
                     n + R"("] : !tile.view<)" + n + R"(xf32>
  tile.launch "a" [] () {
    %t = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<2x3xf32> -> tensor<2x3xf32>
)" + body + "\n  }\n}\n";
  std::string dims;
  for (char c : shape)
    dims += c == 'x' ? std::string(", ") : '"' + std::string(1, c) + '"';
  text.replace(text.find("SHAPE"), 5, dims);
  text.replace(text.find("SIZES"), 5, shape);
  return text;
}

std::map<std::string, Tensor> run(const std::string &text, Precision precision = Precision::Exact) {
  Program program(text);
  std::map<std::string, Tensor> tensors = {{"x", {{2, 3}, {1, 2, 3, 10, 20, 30}}}};
  RunOptions options;
  options.precision = precision;
  EXPECT_EQ(program.run({}, tensors, options), "") << text;
  return tensors;
}

TEST(Parts, ScanAlongEachDimension) {
  for (int dim : {0, 1}) {
    std::string n = dim == 0 ? "3" : "2", d = std::to_string(dim);
    auto tensors = run(program("%r, %s = tile.scan %t dim " + d + " : tensor<2x3xf32> -> tensor<2x3xf32>, tensor<" + n +
                                   "xf32>\n"
                                   "tile.store %r, %vr[%c0, %c0] dims [0, 1] : tensor<2x3xf32>, !tile.view<2x3xf32>\n"
                                   "tile.store %s, %vs[%c0] dims [0] : tensor<" +
                                   n + "xf32>, !tile.view<" + n + "xf32>",
                               "2x3", dim == 0 ? 3 : 2));
    EXPECT_EQ(tensors["r"].data, dim == 0 ? (Data{1, 2, 3, 11, 22, 33}) : (Data{1, 3, 6, 10, 30, 60}));
    EXPECT_EQ(tensors["s"].data, dim == 0 ? (Data{11, 22, 33}) : (Data{6, 60}));
  }
}

TEST(Parts, ScanOfAVectorAndAScalarStore) {
  auto tensors = run(program(R"(%v = tile.reduce "add" %t dim 0 : tensor<2x3xf32> -> tensor<3xf32>
    %r, %s = tile.scan %v dim 0 : tensor<3xf32> -> tensor<3xf32>, f32
    tile.store %r, %vr[%c0] dims [0] : tensor<3xf32>, !tile.view<3xf32>
    tile.store_scalar %s, %vs[%c0] : f32, !tile.view<1xf32>)",
                             "3"));
  EXPECT_EQ(tensors["r"].data, (Data{11, 33, 66}));
  EXPECT_EQ(tensors["s"].data, (Data{66}));
}

TEST(Parts, ScanRoundsItsResults) {
  const char *body = R"(%big = arith.constant dense<16777216.0> : tensor<2x3xf32>
    %o = arith.addf %t, %big : tensor<2x3xf32>
    %r, %s = tile.scan %o dim 0 : tensor<2x3xf32> -> tensor<2x3xf32>, tensor<3xf32>
    tile.store %r, %vr[%c0, %c0] dims [0, 1] : tensor<2x3xf32>, !tile.view<2x3xf32>)";
  EXPECT_EQ(run(program(body, "2x3"))["r"].data[3], 2 * 16777216.0 + 11);
  auto rounded = run(program(body, "2x3"), Precision::F32)["r"].data;
  EXPECT_EQ(rounded[3], float(float(16777216.0 + 1) + float(16777216.0 + 10)));
}

TEST(Parts, SlicesAndConcatenations) {
  auto tensors = run(program(R"(%a = tile.slice %t dim 1 offset 1 : tensor<2x3xf32> -> tensor<2x2xf32>
    %b = tile.slice %t dim 1 offset 0 : tensor<2x3xf32> -> tensor<2x1xf32>
    %r = tile.concat %a, %b, %a dim 1 : tensor<2x2xf32>, tensor<2x1xf32>, tensor<2x2xf32> -> tensor<2x5xf32>
    tile.store %r, %vr[%c0, %c0] dims [0, 1] : tensor<2x5xf32>, !tile.view<2x5xf32>)",
                             "2x5"));
  EXPECT_EQ(tensors["r"].data, (Data{2, 3, 1, 2, 3, 20, 30, 10, 20, 30}));
  tensors = run(program(R"(%a = tile.slice %t dim 0 offset 1 : tensor<2x3xf32> -> tensor<1x3xf32>
    %r = tile.concat %a, %t dim 0 : tensor<1x3xf32>, tensor<2x3xf32> -> tensor<3x3xf32>
    tile.store %r, %vr[%c0, %c0] dims [0, 1] : tensor<3x3xf32>, !tile.view<3x3xf32>)",
                        "3x3"));
  EXPECT_EQ(tensors["r"].data, (Data{10, 20, 30, 1, 2, 3, 10, 20, 30}));
}

TEST(Parts, AScalarStoreOutsideIsAnError) {
  Program outside(R"(tile.program @p {
  %c2 = arith.constant 2 : index
  %v = tile.tensor "v" "output" ["2"] : !tile.view<2xf32>
  tile.launch "a" [] () {
    %x = arith.constant 1.0 : f32
    tile.store_scalar %x, %v[%c2] : f32, !tile.view<2xf32>
  }
})");
  std::map<std::string, Tensor> tensors;
  EXPECT_NE(outside.run({}, tensors).find("has the index 2 in dimension 0 of 'v', whose size is 2"), std::string::npos);
}

} // namespace
