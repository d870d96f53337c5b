// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Numbered expressions agree with those that look names up, on random ones; ranges hold every value.
#include "runtime/abi/ExprProgram.h"

#include <gtest/gtest.h>
#include <random>

using namespace fovea;
using namespace fovea::runtime;

namespace {

const std::vector<std::string> kAxes = {"A", "B", "C"};

ExprProgram::Names names() {
  ExprProgram::Names names;
  names.axis = [](const std::string &name) -> std::optional<uint32_t> {
    for (uint32_t i = 0; i < kAxes.size(); ++i)
      if (kAxes[i] == name)
        return i;
    return std::nullopt;
  };
  names.tensor = [](const std::string &name) -> std::optional<uint32_t> {
    return name == "q" ? std::optional(0u) : name == "w" ? std::optional(1u) : std::nullopt;
  };
  names.dim = [](uint32_t, const std::string &name) -> std::optional<uint32_t> {
    return name == "D" ? std::optional(1u) : std::nullopt;
  };
  return names;
}

/// q is there, w is not.
struct Scope : ExprScope {
  std::vector<int64_t> axes;
  int64_t stride_ = 7, align_ = 16;
  Result<int64_t> axis(std::string_view name) const override { return axes[static_cast<size_t>(name[0] - 'A')]; }
  Result<int64_t> stride(std::string_view tensor, std::string_view) const override {
    return tensor == "q" ? Result<int64_t>(stride_) : Error{};
  }
  Result<int64_t> align(std::string_view tensor) const override {
    return tensor == "q" ? Result<int64_t>(align_) : Error{};
  }
  Result<int64_t> present(std::string_view tensor) const override { return int64_t{tensor == "q"}; }
  Result<int64_t> deviceSms() const override { return int64_t{108}; }
};

class Generator {
public:
  explicit Generator(unsigned seed, bool strides) : random_(seed), strides_(strides) {}
  std::string expression(int depth) {
    if (depth == 0 || pick(6) == 0)
      return leaf();
    static constexpr const char *kOps[] = {"+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "!=", "&&", "||"};
    static constexpr const char *kCalls[] = {"min", "max", "ceildiv"};
    switch (pick(4)) {
    case 0:
      return std::string(kCalls[pick(3)]) + "(" + expression(depth - 1) + ", " + expression(depth - 1) + ")";
    case 1:
      return (pick(2) ? "-(" : "!(") + expression(depth - 1) + ")";
    default:
      return "(" + expression(depth - 1) + ") " + kOps[pick(13)] + " (" + expression(depth - 1) + ")";
    }
  }
  size_t pick(size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random_); }

private:
  std::string leaf() {
    static constexpr const char *kNumbers[] = {"0", "1", "2", "3", "64", "9223372036854775807"};
    switch (pick(strides_ ? 8 : 7)) {
    case 0:
    case 1:
    case 2:
      return kAxes[pick(3)];
    case 3:
      return "device.sms";
    case 4:
      return pick(4) ? "align(q)" : "align(w)";
    case 5:
      return pick(2) ? "present(q)" : "present(w)";
    case 7:
      return pick(4) ? "stride(q, D)" : "stride(w, D)";
    default:
      return kNumbers[pick(6)];
    }
  }
  std::mt19937 random_;
  bool strides_;
};

} // namespace

TEST(ExprProgram, AgreesWithTheExpressionItCameFrom) {
  Generator generator(1, true);
  int values = 0, errors = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = generator.expression(4);
    Result<Expr> expr = Expr::parse(text);
    ASSERT_TRUE(expr.ok()) << text;
    Result<ExprProgram> program = ExprProgram::compile(*expr, names());
    ASSERT_TRUE(program.ok()) << text;
    Scope scope;
    for (int a = 0; a < 3; ++a)
      scope.axes.push_back(static_cast<int64_t>(generator.pick(10)));
    int64_t strides[] = {70, scope.stride_};
    const int64_t *tensors[] = {strides, nullptr};
    int64_t aligns[] = {scope.align_, 0};
    int64_t value = 0;
    bool good = program->evaluate({scope.axes.data(), tensors, aligns, 108}, value);
    Result<int64_t> expected = expr->evaluate(scope);
    ASSERT_EQ(good, expected.ok()) << text;
    if (good) {
      ASSERT_EQ(value, *expected) << text;
    }
    ++(good ? values : errors);
  }
  EXPECT_GT(values, 5000);
  EXPECT_GT(errors, 500);
}

TEST(ExprProgram, RangesHoldEveryValue) {
  Generator generator(2, false);
  int known = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string text = generator.expression(3);
    Result<Expr> expr = Expr::parse(text);
    ASSERT_TRUE(expr.ok()) << text;
    Result<ExprProgram> program = ExprProgram::compile(*expr, names());
    ExprRange axes[3], range;
    for (ExprRange &axis : axes) {
      axis.least = static_cast<int64_t>(generator.pick(6));
      axis.most = axis.least + static_cast<int64_t>(generator.pick(5));
    }
    bool present[] = {true, false};
    if (!program->range({axes, present, 108}, range))
      continue;
    ++known;
    Scope scope;
    scope.axes.resize(3);
    for (scope.axes[0] = axes[0].least; scope.axes[0] <= axes[0].most; ++scope.axes[0])
      for (scope.axes[1] = axes[1].least; scope.axes[1] <= axes[1].most; ++scope.axes[1])
        for (scope.axes[2] = axes[2].least; scope.axes[2] <= axes[2].most; ++scope.axes[2])
          for (scope.align_ = 1; scope.align_ <= 1024; scope.align_ *= 32) {
            Result<int64_t> value = expr->evaluate(scope);
            ASSERT_TRUE(value.ok()) << text << ": " << value.error().message;
            ASSERT_GE(*value, range.least) << text;
            ASSERT_LE(*value, range.most) << text;
          }
  }
  EXPECT_GT(known, 1000);
}

TEST(ExprProgram, ConstantsAndUnknownNames) {
  int64_t value = 5;
  EXPECT_TRUE(ExprProgram().evaluate({}, value));
  EXPECT_EQ(value, 0);
  EXPECT_TRUE(ExprProgram::compile(Expr::constant(7), names())->evaluate({}, value));
  EXPECT_EQ(value, 7);
  for (const char *text : {"Z", "stride(z, D)", "stride(q, Z)", "align(z)", "present(z)"}) {
    Result<ExprProgram> program = ExprProgram::compile(*Expr::parse(text), names());
    ASSERT_FALSE(program.ok()) << text;
    EXPECT_EQ(program.error().code, ErrorCode::Internal);
  }
  // An axis of unknown size is no value.
  int64_t axes[] = {-1, 1, 1};
  EXPECT_FALSE(ExprProgram::compile(*Expr::parse("A"), names())->evaluate({axes, nullptr, nullptr, 1}, value));
}
