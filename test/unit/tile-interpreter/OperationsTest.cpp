// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Single operations of tile programs: values, rounding, bounds, the dump.
#include "test/unit/tile-interpreter/Program.h"

#include <cmath>
#include <limits>

using namespace fovea::tile;

namespace {

const double infinity = std::numeric_limits<double>::infinity(), nan = std::nan("");

bool same(double a, double b) { return (a != a && b != b) || a == b; }

/// Runs `body`, which makes %r of type `result` from the rank-1 tiles %x and %y.
std::vector<double> apply(const std::string &body, const std::string &input, const std::string &result,
                          const std::vector<double> &x, const std::vector<double> &y,
                          Precision precision = Precision::Exact, std::string *error = nullptr) {
  std::string n = std::to_string(x.size());
  std::string in = "tensor<" + n + "x" + input + ">", out = "tensor<" + n + "x" + result + ">";
  std::string text = "tile.program @p {\n"
                     "%vx = tile.tensor \"x\" \"input\" [\"" +
                     n + "\"] : !tile.view<?x" + input +
                     ">\n"
                     "%vy = tile.tensor \"y\" \"input\" [\"" +
                     n + "\"] : !tile.view<?x" + input +
                     ">\n"
                     "%vr = tile.tensor \"r\" \"output\" [\"" +
                     n + "\"] : !tile.view<?x" + result +
                     ">\n"
                     "tile.launch \"p\" [] () {\n%c0 = arith.constant 0 : index\n";
  std::string pad = input[0] == 'i' ? (input == "i1" ? "false" : "0 : " + input) : "0.0 : " + input;
  for (std::string name : {"x", "y"})
    text += "%" + name + " = tile.load %v" + name + "[%c0] dims [0] pad " + pad + " : !tile.view<?x" + input + "> -> " +
            in + "\n";
  text += body + "\ntile.store %r, %vr[%c0] dims [0] : " + out + ", !tile.view<?x" + result + ">\n}\n}\n";
  Program program(text);
  std::map<std::string, Tensor> tensors = {{"x", {{int64_t(x.size())}, x}}, {"y", {{int64_t(y.size())}, y}}};
  RunOptions options;
  options.precision = precision;
  std::string message = program.run({}, tensors, options);
  if (error)
    *error = message;
  else
    EXPECT_EQ(message, "") << text;
  return tensors["r"].data;
}

/// Runs a program over given tensors; the output is %r.
std::vector<double> runWith(const std::string &text, std::map<std::string, Tensor> tensors) {
  Program program(text);
  EXPECT_EQ(program.run({}, tensors, {}), "") << text;
  return tensors["r"].data;
}

TEST(Gather, ElementsRowsAndWhatLiesOutside) {
  const std::string head = "tile.program @p {\n"
                           "%x = tile.tensor \"x\" \"input\" [\"3\", \"2\"] : !tile.view<3x2xf32>\n"
                           "%i = tile.tensor \"i\" \"input\" [\"4\"] : !tile.view<4xi32>\n";
  const std::string load = "tile.launch \"p\" [] () {\n%c0 = arith.constant 0 : index\n%c1 = arith.constant 1 : index\n"
                           "%n = tile.load %i[%c0] dims [0] pad 0 : i32 : !tile.view<4xi32> -> tensor<4xi32>\n";
  std::map<std::string, Tensor> tensors = {{"x", {{3, 2}, {1, 2, 3, 4, 5, 6}}}, {"i", {{4}, {2, -1, 0, 3}}}};
  EXPECT_EQ(runWith(head + "%r = tile.tensor \"r\" \"output\" [\"4\"] : !tile.view<4xf32>\n" + load +
                        "%y = tile.gather %x[%c0, %c1] by [0] (%n : tensor<4xi32>) dims [-1] : !tile.view<3x2xf32> -> "
                        "tensor<4xf32>\ntile.store %y, %r[%c0] dims [0] : tensor<4xf32>, !tile.view<4xf32>\n}\n}\n",
                    tensors),
            (std::vector<double>{6, 0, 2, 0}));
  EXPECT_EQ(
      runWith(head + "%r = tile.tensor \"r\" \"output\" [\"4\", \"2\"] : !tile.view<4x2xf32>\n" + load +
                  "%y = tile.gather %x[%c0, %c0] by [0] (%n : tensor<4xi32>) dims [-1, 1] : !tile.view<3x2xf32> -> "
                  "tensor<4x2xf32>\ntile.store %y, %r[%c0, %c0] dims [0, 1] : tensor<4x2xf32>, "
                  "!tile.view<4x2xf32>\n}\n}\n",
              tensors),
      (std::vector<double>{5, 6, 0, 0, 1, 2, 0, 0}));
}

TEST(Dot, ZerosHideWhatTheyMeetWhereAsked) {
  for (bool hides : {false, true}) {
    std::string text =
        "tile.program @p {\n"
        "%x = tile.tensor \"x\" \"input\" [\"2\", \"2\"] : !tile.view<2x2xf32>\n"
        "%i = tile.tensor \"i\" \"input\" [\"2\", \"1\"] : !tile.view<2x1xf32>\n"
        "%r = tile.tensor \"r\" \"output\" [\"2\", \"1\"] : !tile.view<2x1xf32>\n"
        "tile.launch \"p\" [] () {\n%c0 = arith.constant 0 : index\n"
        "%z = arith.constant dense<0.0> : tensor<2x1xf32>\n"
        "%a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<2x2xf32> -> tensor<2x2xf32>\n"
        "%b = tile.load %i[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<2x1xf32> -> tensor<2x1xf32>\n"
        "%y = tile.dot %a, %b, %z contract [1, 0]" +
        std::string(hides ? " {hides}" : "") +
        " : tensor<2x2xf32>, tensor<2x1xf32> -> tensor<2x1xf32>\n"
        "tile.store %y, %r[%c0, %c0] dims [0, 1] : tensor<2x1xf32>, !tile.view<2x1xf32>\n}\n}\n";
    std::vector<double> r = runWith(text, {{"x", {{2, 2}, {1, 0, 1, 1}}}, {"i", {{2, 1}, {3, nan}}}});
    EXPECT_TRUE(same(r[0], hides ? 3 : nan));
    EXPECT_TRUE(same(r[1], nan));
  }
}

TEST(Sizes, FollowFromOtherAxes) {
  std::map<std::string, int64_t> axes = {{"S", 100}};
  auto size = [&](const char *text) {
    auto value = evaluateDim(text, axes);
    EXPECT_TRUE(bool(value)) << text;
    if (value)
      return *value;
    llvm::consumeError(value.takeError());
    return int64_t(-1);
  };
  EXPECT_EQ(size("ceildiv(S, 64)"), 2);
  EXPECT_EQ(size("(max(0, S - 16) / 16)"), 5);
  EXPECT_EQ(size("S*ceildiv(S, 64)"), 200);
  axes["S"] = 10;
  EXPECT_EQ(size("(max(0, S - 16) / 16)"), 0);
  for (const char *bad : {"ceildiv(U, 64)", "ceildiv(S)", "(S - 20)"}) {
    auto value = evaluateDim(bad, axes);
    EXPECT_FALSE(bool(value)) << bad;
    llvm::consumeError(value.takeError());
  }
}

struct Unary {
  const char *op;
  double (*f)(double);
};

TEST(Elementwise, FloatFunctionsOfOneArgument) {
  const std::vector<double> x = {0.0, 0.25, 1.0, 2.5, 3.5, 7.0};
  for (Unary c : {Unary{"math.exp", std::exp},
                  Unary{"math.exp2", std::exp2},
                  Unary{"math.expm1", std::expm1},
                  Unary{"math.log", std::log},
                  Unary{"math.log2", std::log2},
                  Unary{"math.log10", std::log10},
                  Unary{"math.log1p", std::log1p},
                  Unary{"math.sqrt", std::sqrt},
                  Unary{"math.rsqrt", [](double a) { return 1 / std::sqrt(a); }},
                  Unary{"math.sin", std::sin},
                  Unary{"math.cos", std::cos},
                  Unary{"math.tan", std::tan},
                  Unary{"math.tanh", std::tanh},
                  Unary{"math.erf", std::erf},
                  Unary{"math.erfc", std::erfc},
                  Unary{"math.floor", std::floor},
                  Unary{"math.ceil", std::ceil},
                  Unary{"math.round", std::round},
                  Unary{"math.trunc", std::trunc},
                  Unary{"math.roundeven", std::nearbyint},
                  Unary{"math.absf", std::fabs},
                  Unary{"arith.negf", [](double a) { return -a; }}}) {
    auto body = std::string("%r = ") + c.op + " %x : tensor<6xf32>";
    auto exact = apply(body, "f32", "f32", x, x), single = apply(body, "f32", "f32", x, x, Precision::F32);
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_TRUE(same(exact[i], c.f(x[i]))) << c.op << ' ' << x[i];
      EXPECT_TRUE(same(single[i], float(c.f(x[i])))) << c.op << ' ' << x[i];
    }
  }
}

TEST(Elementwise, FloatFunctionsOfTwoArguments) {
  const std::vector<double> x = {1, -2, 0.5, nan, infinity, 3}, y = {3, 0.7, nan, 1, 2, -0.1};
  struct Case {
    const char *op;
    std::function<double(double, double)> f;
  };
  auto either = [](double a, double b) { return a != a || b != b; };
  for (const Case &c :
       std::vector<Case>{{"arith.addf", std::plus<double>()},
                         {"arith.subf", std::minus<double>()},
                         {"arith.mulf", std::multiplies<double>()},
                         {"arith.divf", std::divides<double>()},
                         {"arith.maximumf", [&](double a, double b) { return either(a, b) ? nan : std::max(a, b); }},
                         {"arith.minimumf", [&](double a, double b) { return either(a, b) ? nan : std::min(a, b); }},
                         {"arith.maxnumf", [](double a, double b) { return std::fmax(a, b); }},
                         {"arith.minnumf", [](double a, double b) { return std::fmin(a, b); }},
                         {"arith.remf", [](double a, double b) { return std::fmod(a, b); }},
                         {"math.powf", [](double a, double b) { return std::pow(a, b); }},
                         {"math.atan2", [](double a, double b) { return std::atan2(a, b); }},
                         {"math.copysign", [](double a, double b) { return std::copysign(a, b); }}}) {
    auto got = apply(std::string("%r = ") + c.op + " %x, %y : tensor<6xf32>", "f32", "f32", x, y);
    for (size_t i = 0; i < x.size(); ++i)
      EXPECT_TRUE(same(got[i], c.f(x[i], y[i]))) << c.op << ' ' << x[i] << ' ' << y[i] << " gives " << got[i];
  }
}

TEST(Elementwise, IntegersOf32Bits) {
  const std::vector<double> x = {7, -7, 2147483647, -2147483648.0, 12}, y = {2, 2, 2, 3, -5};
  struct Case {
    const char *op;
    std::function<int32_t(int32_t, int32_t)> f;
  };
  auto u = [](int32_t a) { return uint32_t(a); };
  for (const Case &c : std::vector<Case>{
           {"arith.addi", [&](int32_t a, int32_t b) { return int32_t(u(a) + u(b)); }},
           {"arith.subi", [&](int32_t a, int32_t b) { return int32_t(u(a) - u(b)); }},
           {"arith.muli", [&](int32_t a, int32_t b) { return int32_t(u(a) * u(b)); }},
           {"arith.andi", [](int32_t a, int32_t b) { return a & b; }},
           {"arith.ori", [](int32_t a, int32_t b) { return a | b; }},
           {"arith.xori", [](int32_t a, int32_t b) { return a ^ b; }},
           {"arith.maxsi", [](int32_t a, int32_t b) { return std::max(a, b); }},
           {"arith.minsi", [](int32_t a, int32_t b) { return std::min(a, b); }},
           {"arith.maxui", [&](int32_t a, int32_t b) { return int32_t(std::max(u(a), u(b))); }},
           {"arith.minui", [&](int32_t a, int32_t b) { return int32_t(std::min(u(a), u(b))); }},
           {"arith.divsi", [](int32_t a, int32_t b) { return a / b; }},
           {"arith.remsi", [](int32_t a, int32_t b) { return a % b; }},
           {"arith.divui", [&](int32_t a, int32_t b) { return int32_t(u(a) / u(b)); }},
           {"arith.remui", [&](int32_t a, int32_t b) { return int32_t(u(a) % u(b)); }},
           {"arith.floordivsi", [](int32_t a, int32_t b) { return int32_t(std::floor(double(a) / b)); }},
           {"arith.ceildivsi", [](int32_t a, int32_t b) { return int32_t(std::ceil(double(a) / b)); }},
           {"arith.ceildivui", [&](int32_t a, int32_t b) { return int32_t(std::ceil(double(u(a)) / u(b))); }}}) {
    auto got = apply(std::string("%r = ") + c.op + " %x, %y : tensor<5xi32>", "i32", "i32", x, y);
    for (size_t i = 0; i < x.size(); ++i)
      EXPECT_EQ(got[i], c.f(int32_t(x[i]), int32_t(y[i]))) << c.op << ' ' << x[i] << ' ' << y[i];
  }
}

TEST(Elementwise, ShiftsAndTheirLimit) {
  const std::vector<double> x = {-8, 8, 1}, y = {1, 2, 31};
  EXPECT_EQ(apply("%r = arith.shli %x, %y : tensor<3xi32>", "i32", "i32", x, y),
            (std::vector<double>{-16, 32, -2147483648.0}));
  EXPECT_EQ(apply("%r = arith.shrsi %x, %y : tensor<3xi32>", "i32", "i32", x, y), (std::vector<double>{-4, 2, 0}));
  EXPECT_EQ(apply("%r = arith.shrui %x, %y : tensor<3xi32>", "i32", "i32", x, y),
            (std::vector<double>{2147483644, 2, 0}));
  std::string error;
  apply("%r = arith.shli %x, %y : tensor<1xi32>", "i32", "i32", {1}, {32}, Precision::Exact, &error);
  EXPECT_NE(error.find("shifts by at least the width"), std::string::npos) << error;
}

TEST(Elementwise, ErrorsOfValuesOutsideTheDomain) {
  std::string error;
  apply("%r = arith.divsi %x, %y : tensor<1xi32>", "i32", "i32", {1}, {0}, Precision::Exact, &error);
  EXPECT_NE(error.find("arith.divsi divides by zero (launch 'p', work item [])"), std::string::npos) << error;
  apply("%r = arith.fptosi %x : tensor<1xf32> to tensor<1xi32>", "f32", "i32", {3e9}, {0}, Precision::Exact, &error);
  EXPECT_NE(error.find("converts a float that its integer type cannot hold"), std::string::npos) << error;
  apply("%r = arith.fptosi %x : tensor<1xf32> to tensor<1xi32>", "f32", "i32", {nan}, {0}, Precision::Exact, &error);
  EXPECT_NE(error.find("converts a float that its integer type cannot hold"), std::string::npos) << error;
}

TEST(Elementwise, Conversions) {
  const std::vector<double> x = {-1, 5, 0};
  EXPECT_EQ(apply("%r = arith.sitofp %x : tensor<3xi32> to tensor<3xf32>", "i32", "f32", x, x), x);
  EXPECT_EQ(apply("%r = arith.uitofp %x : tensor<3xi32> to tensor<3xf32>", "i32", "f32", x, x),
            (std::vector<double>{4294967295, 5, 0}));
  EXPECT_EQ(apply("%r = arith.fptosi %x : tensor<3xf32> to tensor<3xi32>", "f32", "i32", {-1.75, 2.5, 0}, x),
            (std::vector<double>{-1, 2, 0}));
  EXPECT_EQ(apply("%r = arith.fptoui %x : tensor<3xf32> to tensor<3xi32>", "f32", "i32", {4294967295.0, 2.5, 0}, x),
            (std::vector<double>{-1, 2, 0}));
  EXPECT_EQ(apply("%r = arith.extsi %x : tensor<2xi1> to tensor<2xi32>", "i1", "i32", {1, 0}, {0, 0}),
            (std::vector<double>{-1, 0}));
  EXPECT_EQ(apply("%r = arith.extui %x : tensor<2xi1> to tensor<2xi32>", "i1", "i32", {1, 0}, {0, 0}),
            (std::vector<double>{1, 0}));
  EXPECT_EQ(apply("%r = arith.trunci %x : tensor<3xi32> to tensor<3xi1>", "i32", "i1", {3, 2, -1}, x),
            (std::vector<double>{1, 0, 1}));
  EXPECT_EQ(apply("%w = arith.extsi %x : tensor<3xi32> to tensor<3xi64>\n%s = arith.muli %w, %w : tensor<3xi64>\n"
                  "%h = arith.constant dense<32> : tensor<3xi64>\n%u = arith.shrui %s, %h : tensor<3xi64>\n"
                  "%r = arith.trunci %u : tensor<3xi64> to tensor<3xi32>",
                  "i32", "i32", {2147483647, -2147483648.0, 65536}, x),
            (std::vector<double>{1073741823, 1073741824, 1}));
  EXPECT_EQ(apply("%r = arith.bitcast %x : tensor<2xf32> to tensor<2xi32>", "f32", "i32", {1.0, -0.0}, {0, 0}),
            (std::vector<double>{1065353216, -2147483648.0}));
  EXPECT_EQ(apply("%r = arith.bitcast %x : tensor<2xi32> to tensor<2xf32>", "i32", "f32", {1065353216, 0}, {0, 0}),
            (std::vector<double>{1, 0}));
}

TEST(Elementwise, ComparisonsAndSelections) {
  const std::vector<double> x = {1, 2, 3, nan}, y = {2, 2, 2, 2};
  struct Case {
    const char *predicate;
    std::vector<double> expected;
  };
  for (const Case &c : std::vector<Case>{{"false", {0, 0, 0, 0}},
                                         {"oeq", {0, 1, 0, 0}},
                                         {"ogt", {0, 0, 1, 0}},
                                         {"oge", {0, 1, 1, 0}},
                                         {"olt", {1, 0, 0, 0}},
                                         {"ole", {1, 1, 0, 0}},
                                         {"one", {1, 0, 1, 0}},
                                         {"ord", {1, 1, 1, 0}},
                                         {"ueq", {0, 1, 0, 1}},
                                         {"ugt", {0, 0, 1, 1}},
                                         {"uge", {0, 1, 1, 1}},
                                         {"ult", {1, 0, 0, 1}},
                                         {"ule", {1, 1, 0, 1}},
                                         {"une", {1, 0, 1, 1}},
                                         {"uno", {0, 0, 0, 1}},
                                         {"true", {1, 1, 1, 1}}})
    EXPECT_EQ(apply(std::string("%r = arith.cmpf ") + c.predicate + ", %x, %y : tensor<4xf32>", "f32", "i1", x, y),
              c.expected)
        << c.predicate;
  for (const Case &c : std::vector<Case>{{"eq", {0, 1, 0, 0}},
                                         {"ne", {1, 0, 1, 1}},
                                         {"slt", {1, 0, 0, 1}},
                                         {"sle", {1, 1, 0, 1}},
                                         {"sgt", {0, 0, 1, 0}},
                                         {"sge", {0, 1, 1, 0}},
                                         {"ult", {1, 0, 0, 0}},
                                         {"ule", {1, 1, 0, 0}},
                                         {"ugt", {0, 0, 1, 1}},
                                         {"uge", {0, 1, 1, 1}}})
    EXPECT_EQ(apply(std::string("%r = arith.cmpi ") + c.predicate + ", %x, %y : tensor<4xi32>", "i32", "i1",
                    {1, 2, 3, -1}, y),
              c.expected)
        << c.predicate;
  EXPECT_EQ(apply("%c = arith.cmpf olt, %x, %y : tensor<3xf32>\n"
                  "%r = arith.select %c, %x, %y : tensor<3xi1>, tensor<3xf32>",
                  "f32", "f32", {1, 5, 3}, {2, 4, 6}),
            (std::vector<double>{1, 4, 3}));
  EXPECT_EQ(apply("%t = arith.constant false\n%r = arith.select %t, %x, %y : tensor<3xf32>", "f32", "f32", {1, 5, 3},
                  {2, 4, 6}),
            (std::vector<double>{2, 4, 6}));
}

TEST(Elementwise, FusedMultiplyAddRoundsOnce) {
  double a = 1 + std::ldexp(1.0, -12), c = -1 - std::ldexp(1.0, -11);
  EXPECT_EQ(apply("%c = arith.constant dense<" + std::to_string(0) +
                      ".0> : tensor<1xf32>\n"
                      "%r = math.fma %x, %x, %y : tensor<1xf32>",
                  "f32", "f32", {a}, {c}, Precision::F32)[0],
            std::ldexp(1.0, -24));
  EXPECT_EQ(apply("%s = arith.mulf %x, %x : tensor<1xf32>\n%r = arith.addf %s, %y : tensor<1xf32>", "f32", "f32", {a},
                  {c}, Precision::F32)[0],
            0.0);
}

TEST(Rounding, TruncationFollowsThePrecision) {
  const std::vector<double> x = {1.0 + 1.0 / 256, 1.0 + 3.0 / 256, 1.0 / 3, 3.4e38, nan, -0.0};
  const std::string body = "%r = arith.truncf %x : tensor<6xf32> to tensor<6xbf16>";
  auto kept = apply(body, "f32", "bf16", x, x, Precision::F32),
       rounded = apply(body, "f32", "bf16", x, x, Precision::Rounded);
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_TRUE(same(kept[i], x[i]));
  // Ties to even: 1 + 1/256 lies between 1 and 1 + 1/128.
  EXPECT_EQ(rounded[0], 1.0);
  EXPECT_EQ(rounded[1], 1.0 + 2.0 / 128);
  EXPECT_EQ(rounded[2], 0.333984375);
  EXPECT_EQ(rounded[3], infinity) << "beyond the largest bf16 by more than half a step";
  EXPECT_TRUE(std::isnan(rounded[4]));
  EXPECT_TRUE(std::signbit(rounded[5]));
}

TEST(Rounding, StorageTypes) {
  mlir::MLIRContext context;
  mlir::Type f16 = mlir::Float16Type::get(&context), bf16 = mlir::BFloat16Type::get(&context);
  mlir::Type f32 = mlir::Float32Type::get(&context), i32 = mlir::IntegerType::get(&context, 32);
  EXPECT_EQ(roundToStorage(65519.9, f16), 65504);
  EXPECT_EQ(roundToStorage(65520, f16), infinity);
  EXPECT_EQ(roundToStorage(-65520, f16), -infinity);
  // Denormals keep a fixed step.
  EXPECT_EQ(roundToStorage(std::ldexp(1.5, -24), f16), std::ldexp(2.0, -24));
  EXPECT_EQ(roundToStorage(std::ldexp(0.5, -24), f16), 0);
  EXPECT_EQ(roundToStorage(std::ldexp(1.25, -133), bf16), std::ldexp(1.0, -133));
  EXPECT_EQ(roundToStorage(1.0 + 1.0 / 2048, f16), 1.0);
  EXPECT_EQ(roundToStorage(1.0 + 3.0 / 2048, f16), 1.0 + 2.0 / 1024);
  EXPECT_EQ(roundToStorage(0.1, f32), double(0.1f));
  EXPECT_EQ(roundToStorage(7, i32), 7);
  EXPECT_TRUE(std::isnan(roundToStorage(nan, bf16)));
}

/// A program over x [R, C], one launch.
std::string matrix(const std::string &body) {
  return "tile.program @p {\n%R = tile.axis \"R\"\n"
         "%x = tile.tensor \"x\" \"input\" [\"R\", \"C\"] : !tile.view<?x?xf32>\n"
         "%r = tile.tensor \"r\" \"output\" [\"4\", \"4\"] : !tile.view<4x4xf32>\n"
         "%c0 = arith.constant 0 : index\n%c2 = arith.constant 2 : index\n%m1 = arith.constant -1 : index\n"
         "tile.launch \"p\" [] () {\n" +
         body + "\n}\n}\n";
}

std::vector<double> run(const std::string &body, int64_t rows, int64_t columns) {
  Program program(matrix(body));
  Tensor x{{rows, columns}, {}};
  for (int64_t i = 0; i < rows * columns; ++i)
    x.data.push_back(double(i + 1));
  std::map<std::string, Tensor> tensors = {{"x", x}};
  EXPECT_EQ(program.run({{"R", rows}, {"C", columns}}, tensors), "");
  return tensors["r"].data;
}

const char *storeAll = "\ntile.store %t, %r[%c0, %c0] dims [0, 1] : tensor<4x4xf32>, !tile.view<4x4xf32>";

TEST(Memory, LoadsPadOutsideTheView) {
  EXPECT_EQ(run(std::string("%t = tile.load %x[%m1, %c2] dims [0, 1] pad 9.0 : f32 : !tile.view<?x?xf32> -> "
                            "tensor<4x4xf32>") +
                    storeAll,
                2, 5),
            (std::vector<double>{9, 9, 9, 9, 3, 4, 5, 9, 8, 9, 10, 9, 9, 9, 9, 9}));
  EXPECT_EQ(run(std::string("%t = tile.load %x[%c0, %m1] dims [0, 1] pad 0.0 : f32 : !tile.view<?x?xf32> -> "
                            "tensor<4x4xf32>") +
                    storeAll,
                2, 2),
            (std::vector<double>{0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(Memory, TheLimitBoundsTheFirstTiledDimension) {
  EXPECT_EQ(run(std::string("%t = tile.load %x[%c0, %c0] dims [0, 1] limit %c2 pad 0.0 : f32 : !tile.view<?x?xf32> -> "
                            "tensor<4x4xf32>") +
                    storeAll,
                4, 4),
            (std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(Memory, AnIndexOutsideAnUntiledDimensionIsAllPadding) {
  EXPECT_EQ(run(std::string("%u = tile.load %x[%c2, %c0] dims [1] pad 7.0 : f32 : !tile.view<?x?xf32> -> "
                            "tensor<4xf32>\n%t = tile.broadcast %u dims [1] : tensor<4xf32> -> tensor<4x4xf32>") +
                    storeAll,
                2, 4),
            std::vector<double>(16, 7.0));
}

TEST(Memory, StoresOutsideTheViewAreDropped) {
  auto r = run("%t = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x?xf32> -> tensor<4x4xf32>\n"
               "tile.store %t, %r[%m1, %c2] dims [0, 1] : tensor<4x4xf32>, !tile.view<4x4xf32>",
               4, 4);
  std::vector<double> expected = {nan, nan, 5, 6, nan, nan, 9, 10, nan, nan, 13, 14, nan, nan, nan, nan};
  for (size_t i = 0; i < 16; ++i)
    EXPECT_TRUE(same(r[i], expected[i])) << i;
}

TEST(Memory, RowsAndColumnsOfAView) {
  EXPECT_EQ(run(std::string("%a = tile.load %x[%c0, %c2] dims [0] pad 0.0 : f32 : !tile.view<?x?xf32> -> "
                            "tensor<4xf32>\n%t = tile.broadcast %a dims [0] : tensor<4xf32> -> tensor<4x4xf32>") +
                    storeAll,
                4, 3),
            (std::vector<double>{3, 3, 3, 3, 6, 6, 6, 6, 9, 9, 9, 9, 12, 12, 12, 12}));
}

TEST(Tiles, ProductsInAllOrders) {
  const std::string load = "%a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x?xf32> -> "
                           "tensor<4x4xf32>\n%z = arith.constant dense<1.0> : tensor<4x4xf32>\n";
  for (int ca : {0, 1})
    for (int cb : {0, 1}) {
      auto r = run(load + "%t = tile.dot %a, %a, %z contract [" + std::to_string(ca) + ", " + std::to_string(cb) +
                       "] : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>" + storeAll,
                   4, 4);
      auto at = [](int row, int column) { return double(4 * row + column + 1); };
      for (int m = 0; m < 4; ++m)
        for (int n = 0; n < 4; ++n) {
          double sum = 1;
          for (int k = 0; k < 4; ++k)
            sum += (ca ? at(m, k) : at(k, m)) * (cb ? at(n, k) : at(k, n));
          EXPECT_EQ(r[4 * m + n], sum) << ca << cb;
        }
    }
}

TEST(Tiles, ReductionsAlongBothDimensions) {
  const std::string load = "%a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x?xf32> -> "
                           "tensor<4x4xf32>\n";
  auto reduced = [&](const char *kind, int dim) {
    return run(load + "%s = tile.reduce \"" + kind + "\" %a dim " + std::to_string(dim) +
                   " : tensor<4x4xf32> -> tensor<4xf32>\n"
                   "%t = tile.broadcast %s dims [1] : tensor<4xf32> -> tensor<4x4xf32>" +
                   storeAll,
               4, 4);
  };
  auto first = [](std::vector<double> r) { return std::vector<double>(r.begin(), r.begin() + 4); };
  EXPECT_EQ(first(reduced("add", 1)), (std::vector<double>{10, 26, 42, 58}));
  EXPECT_EQ(first(reduced("add", 0)), (std::vector<double>{28, 32, 36, 40}));
  EXPECT_EQ(first(reduced("max", 1)), (std::vector<double>{4, 8, 12, 16}));
  EXPECT_EQ(first(reduced("max", 0)), (std::vector<double>{13, 14, 15, 16}));
}

TEST(Control, LoopsCarryValuesAndMayNotRun) {
  const std::string load = "%a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x?xf32> -> "
                           "tensor<4x4xf32>\n%c1 = arith.constant 1 : index\n";
  // The two values change places three times.
  const std::string swap = "%b = arith.addf %a, %a : tensor<4x4xf32>\n%n = arith.addi %c2, %c1 : index\n"
                           "%t, %u = scf.for %i = %c0 to UPPER step %c1 iter_args(%p = %a, %q = %b) -> "
                           "(tensor<4x4xf32>, tensor<4x4xf32>) {\n"
                           "scf.yield %q, %p : tensor<4x4xf32>, tensor<4x4xf32>\n}";
  auto with = [&](const std::string &upper) {
    std::string body = swap;
    body.replace(body.find("UPPER"), 5, upper);
    return run(load + body + storeAll, 4, 4)[5];
  };
  EXPECT_EQ(with("%n"), 12);
  EXPECT_EQ(with("%c2"), 6);
  EXPECT_EQ(with("%m1"), 6);
}

TEST(Control, BranchesYieldTheirSide) {
  const std::string body = "%a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x?xf32> -> "
                           "tensor<4x4xf32>\n%f = arith.cmpi slt, %c0, %R : index\n"
                           "%t = scf.if %f -> (tensor<4x4xf32>) {\n%d = arith.addf %a, %a : tensor<4x4xf32>\n"
                           "scf.yield %d : tensor<4x4xf32>\n} else {\nscf.yield %a : tensor<4x4xf32>\n}\n"
                           "scf.if %f {\n}";
  EXPECT_EQ(run(body + storeAll, 4, 4)[1], 4);
}

TEST(Domain, IsAUnionOfWholeTiles) {
  const char *text = R"(
tile.program @p {
  %A = tile.axis "A"
  %N = tile.axis "N"
  %r = tile.tensor "r" "output" ["8"] : !tile.view<8xi32>
  tile.launch "p" [] () {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c5 = arith.constant 5 : index
    %c30 = arith.constant 30 : index
    %c100 = arith.constant 100 : index
    %d = tile.domain ranges (%c0, %A to %c5, %c100) full (%c0, %c0 to %c0, %c30) limit %N step 8
    %n = tile.domain_count %d
    scf.for %i = %c0 to %n step %c1 {
      %s, %f = tile.domain_tile %d[%i]
      %v = arith.index_cast %s : index to i32
      %e = arith.extui %f : i1 to i32
      %w = arith.addi %v, %e : i32
      %t = tile.splat %w : i32 -> tensor<1xi32>
      tile.store %t, %r[%i] dims [0] : tensor<1xi32>, !tile.view<8xi32>
    }
  }
})";
  Program program(text);
  auto visited = [&](int64_t begin, int64_t limit) {
    std::map<std::string, Tensor> tensors;
    EXPECT_EQ(program.run({{"A", begin}, {"N", limit}}, tensors), "");
    std::vector<double> result;
    for (double value : tensors["r"].data)
      if (value == value)
        result.push_back(value);
    return result;
  };
  // First keys, plus 1 where full: [0, 30) holds the tiles at 0, 8 and 16 whole, where they lie below the limit.
  EXPECT_EQ(visited(21, 40), (std::vector<double>{1, 17, 24, 32}));
  EXPECT_EQ(visited(7, 20), (std::vector<double>{1, 9, 16}));
  EXPECT_EQ(visited(50, 40), (std::vector<double>{1}));
  EXPECT_EQ(visited(50, 3), (std::vector<double>{0}));
}

TEST(Domain, BeyondTheLastTileLieNoKeys) {
  const char *text = R"(
tile.program @p {
  %r = tile.tensor "r" "output" ["2"] : !tile.view<2xi32>
  tile.launch "p" [] () {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c9 = arith.constant 9 : index
    %d = tile.domain ranges (%c0 to %c9) full (%c0 to %c9) limit %c9 step 8
    %s, %f = tile.domain_tile %d[%c2]
    %v = arith.index_cast %s : index to i32
    %e = arith.extui %f : i1 to i32
    %t = tile.splat %v : i32 -> tensor<1xi32>
    %u = tile.splat %e : i32 -> tensor<1xi32>
    tile.store %t, %r[%c0] dims [0] : tensor<1xi32>, !tile.view<2xi32>
    tile.store %u, %r[%c1] dims [0] : tensor<1xi32>, !tile.view<2xi32>
  }
})";
  Program program(text);
  std::map<std::string, Tensor> tensors;
  ASSERT_EQ(program.run({}, tensors), "");
  EXPECT_EQ(tensors["r"].data, (std::vector<double>{2147483647, 0}));
}

TEST(Workspace, CarriesValuesBetweenLaunches) {
  const char *text = R"(
tile.program @p {
  %x = tile.tensor "x" "input" ["4"] : !tile.view<4xf32>
  %r = tile.tensor "r" "output" ["4"] : !tile.view<4xf32>
  %w = tile.workspace "w" ["4"] : !tile.view<4xf32>
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  tile.launch "a" ["i"] (%i = %c2) {
    %o = arith.muli %i, %c2 : index
    %t = tile.load %x[%o] dims [0] pad 0.0 : f32 : !tile.view<4xf32> -> tensor<2xf32>
    %u = arith.mulf %t, %t : tensor<2xf32>
    tile.store %u, %w[%o] dims [0] : tensor<2xf32>, !tile.view<4xf32>
  }
  tile.launch "b" [] () {
    %t = tile.load %w[%c0] dims [0] pad 0.0 : f32 : !tile.view<4xf32> -> tensor<4xf32>
    %l = tile.load_scalar %x[%c2] : !tile.view<4xf32> -> f32
    %s = tile.splat %l : f32 -> tensor<4xf32>
    %u = arith.addf %t, %s : tensor<4xf32>
    tile.store %u, %r[%c0] dims [0] : tensor<4xf32>, !tile.view<4xf32>
  }
})";
  Program program(text);
  std::map<std::string, Tensor> tensors = {{"x", {{4}, {1, 2, 3, 4}}}};
  ASSERT_EQ(program.run({}, tensors), "");
  EXPECT_EQ(tensors["r"].data, (std::vector<double>{4, 7, 12, 19}));

  // Each result of each operation is reported, with its place.
  std::vector<std::string> seen;
  RunOptions options;
  options.dump = [&](const DumpEvent &event) {
    if (event.op->getName().getStringRef() == "arith.mulf") {
      EXPECT_EQ(event.launch, "a");
      EXPECT_EQ(event.shape, (std::vector<int64_t>{2}));
      ASSERT_EQ(event.item.size(), 1u);
      seen.push_back(std::to_string(event.item[0]) + ": " + std::to_string(int(event.values[0])) + " " +
                     std::to_string(int(event.values[1])));
    }
  };
  ASSERT_EQ(program.run({}, tensors, options), "");
  EXPECT_EQ(seen, (std::vector<std::string>{"0: 1 4", "1: 9 16"}));
}

TEST(Sizes, AreProductsOfAxesAndNumbers) {
  std::map<std::string, int64_t> axes = {{"H", 3}, {"G", 4}, {"Z", 0}, {"L", int64_t(1) << 62}};
  auto value = [&](const char *dim) {
    auto result = evaluateDim(dim, axes);
    return result ? std::to_string(*result) : llvm::toString(result.takeError());
  };
  EXPECT_EQ(value("H"), "3");
  EXPECT_EQ(value("H*G*2"), "24");
  EXPECT_EQ(value("H * G"), "12");
  EXPECT_EQ(value("K"), "no size is given for the axis 'K'");
  EXPECT_EQ(value("Z"), "the axis 'Z' has the size 0; expected at least 1");
  EXPECT_EQ(value("L*L"), "the size 'L*L' overflows 64 bits");
}

TEST(Inputs, MustBeGivenInTheirShape) {
  Program program(matrix(""));
  std::map<std::string, Tensor> none, wrong = {{"x", {{3, 2}, {1, 2, 3, 4, 5, 6}}}};
  EXPECT_NE(program.run({{"R", 2}, {"C", 3}}, none).find("is an input that is not given: 'x'"), std::string::npos);
  EXPECT_NE(program.run({{"R", 2}, {"C", 3}}, wrong)
                .find("has the shape [2, 3], but 'x' is given with [3, 2] and 6 elements"),
            std::string::npos);
  EXPECT_NE(program.run({{"R", 2}}, wrong).find("no size is given for the axis 'C'"), std::string::npos);
  EXPECT_NE(program.run({{"R", int64_t(1) << 20}, {"C", int64_t(1) << 20}}, wrong).find("more than 2^28 elements"),
            std::string::npos);
}

} // namespace
