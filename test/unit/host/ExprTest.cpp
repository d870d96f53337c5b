// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Plan expressions: values, the grammar's edges, and every message.
#include "runtime/abi/Expr.h"

#include <gtest/gtest.h>
#include <limits>

using namespace fovea;
using namespace fovea::runtime;

namespace {

class Scope : public ExprScope {
public:
  Result<int64_t> axis(std::string_view name) const override {
    if (name == "T")
      return int64_t{7};
    if (name == "H")
      return int64_t{3};
    if (name == "huge")
      return std::numeric_limits<int64_t>::max();
    return Error{ErrorCode::InvalidArgument, "axis " + std::string(name) + " is unknown"};
  }
  Result<int64_t> stride(std::string_view tensor, std::string_view dim) const override {
    return tensor == "x.y" && dim == "D" ? Result<int64_t>(int64_t{64}) : Error{};
  }
  Result<int64_t> align(std::string_view) const override { return int64_t{16}; }
  Result<int64_t> present(std::string_view tensor) const override { return int64_t{tensor == "x.y"}; }
  Result<int64_t> deviceSms() const override { return int64_t{108}; }
};

int64_t value(const char *text) {
  Result<Expr> expr = Expr::parse(text);
  EXPECT_TRUE(expr.ok()) << text << ": " << (expr ? "" : expr.error().message);
  if (!expr)
    return -999;
  Result<int64_t> result = expr->evaluate(Scope());
  EXPECT_TRUE(result.ok()) << text << ": " << (result ? "" : result.error().message);
  return result ? *result : -999;
}

std::string parseError(std::string_view text) {
  Result<Expr> expr = Expr::parse(text);
  return expr ? "no error" : expr.error().message;
}

std::string evaluationError(const char *text) {
  Result<Expr> expr = Expr::parse(text);
  EXPECT_TRUE(expr.ok()) << text;
  Result<int64_t> result = expr->evaluate(Scope());
  return result ? "no error" : result.error().message;
}

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

} // namespace

TEST(Expr, PresenceOfTensors) {
  EXPECT_EQ(value("present(x.y)"), 1);
  EXPECT_EQ(value("present(z) || !present(z) && T == 7"), 1);
  EXPECT_EQ(value("present(z) && align(z) == 16"), 0);
  Result<Expr> expr = Expr::parse("present(a) + present(b) * present(a)");
  ASSERT_TRUE(expr.ok());
  EXPECT_EQ(expr->presences(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(expr->alignments().empty());
  EXPECT_CONTAINS(parseError("present()"), "expected the name of a tensor");
  EXPECT_CONTAINS(parseError("present(x"), "expected `)`");
}

TEST(Expr, Values) {
  EXPECT_EQ(value("42"), 42);
  EXPECT_EQ(value("1 + 2 * 3"), 7);
  EXPECT_EQ(value("(1 + 2) * 3"), 9);
  EXPECT_EQ(value("10 - 3 - 2"), 5);
  EXPECT_EQ(value("T * H"), 21);
  EXPECT_EQ(value("ceildiv(T, 2)"), 4);
  EXPECT_EQ(value("ceildiv(-T, 2)"), -3);
  EXPECT_EQ(value("ceildiv(T, -2)"), -3);
  EXPECT_EQ(value("-T / 2"), -4); // towards minus infinity
  EXPECT_EQ(value("T / -2"), -4);
  EXPECT_EQ(value("T / 2"), 3);
  EXPECT_EQ(value("-T % 2"), 1); // the sign of the divisor
  EXPECT_EQ(value("T % -2"), -1);
  EXPECT_EQ(value("min(T, H) + max(T, H)"), 10);
  EXPECT_EQ(value("stride(x.y, D) * 2"), 128);
  EXPECT_EQ(value("align(q) >= 16 && device.sms == 108"), 1);
  EXPECT_EQ(value("T < H || T != 7"), 0);
  EXPECT_EQ(value("!(T <= 7)"), 0);
  EXPECT_EQ(value("! 0 + --3"), 4);
  EXPECT_EQ(value("1 == 1 && 2 > 1 || 0"), 1);
  EXPECT_EQ(value("9223372036854775807"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(value("(-huge - 1) % -1"), 0);
}

TEST(Expr, LogicStopsWhereTheLeftSideDecides) {
  EXPECT_EQ(value("0 && 1 / 0"), 0);
  EXPECT_EQ(value("1 || 1 / 0"), 1);
}

TEST(Expr, NamesAreListedOnce) {
  Result<Expr> expr = Expr::parse("T * T + stride(q, H) + stride(q, H) + align(k)");
  ASSERT_TRUE(expr.ok());
  EXPECT_EQ(expr->axes(), std::vector<std::string>{"T"});
  ASSERT_EQ(expr->strides().size(), 1u);
  EXPECT_EQ(expr->strides()[0], std::pair(std::string("q"), std::string("H")));
  EXPECT_EQ(expr->alignments(), std::vector<std::string>{"k"});
  int64_t constant = -1;
  EXPECT_FALSE(expr->isConstant(&constant));
  EXPECT_TRUE(Expr::parse("12")->isConstant(&constant));
  EXPECT_EQ(constant, 12);
  EXPECT_TRUE(Expr().isConstant(&constant));
  EXPECT_EQ(constant, 0);
  EXPECT_EQ(*Expr().evaluate(Scope()), 0);
}

TEST(Expr, MessagesOfTheParser) {
  EXPECT_CONTAINS(parseError(""), "ends where a value is expected");
  EXPECT_CONTAINS(parseError("1 +"), "column 4");
  EXPECT_CONTAINS(parseError("1 2"), "expected an operator or the end, not `2`");
  EXPECT_CONTAINS(parseError("(1"), "expected `)`");
  EXPECT_CONTAINS(parseError("a < b < c"), "do not chain");
  EXPECT_CONTAINS(parseError("a == b != c"), "do not chain");
  EXPECT_CONTAINS(parseError("$"), "expected a value, not `$`");
  EXPECT_CONTAINS(parseError("9223372036854775808"), "does not fit 64 bits");
  EXPECT_CONTAINS(parseError("12x"), "only whole decimal numbers");
  EXPECT_CONTAINS(parseError("1.5"), "only whole decimal numbers");
  EXPECT_CONTAINS(parseError("device.warps"), "the only fact of the device is `device.sms`");
  EXPECT_CONTAINS(parseError("pow(1, 2)"), "`pow` is no function");
  EXPECT_CONTAINS(parseError("min(1)"), "expected `,`");
  EXPECT_CONTAINS(parseError("min(1, 2"), "expected `)`");
  EXPECT_CONTAINS(parseError("stride(1, H)"), "expected the name of a tensor");
  EXPECT_CONTAINS(parseError("stride(q)"), "expected `,`");
  EXPECT_CONTAINS(parseError("stride(q, 2)"), "expected the name of a dimension");
  EXPECT_CONTAINS(parseError("stride(q, H"), "expected `)`");
  EXPECT_CONTAINS(parseError("align()"), "expected the name of a tensor");
  EXPECT_CONTAINS(parseError("align(q, 2)"), "expected `)`");
  EXPECT_CONTAINS(parseError(std::string_view("1\0+", 3)), "expected an operator");
}

TEST(Expr, LimitsAreErrorsNotCrashes) {
  EXPECT_CONTAINS(parseError(std::string(5000, '1')), "at most 4096");
  EXPECT_CONTAINS(parseError(std::string(100, '(') + "1" + std::string(100, ')')), "nested more than 64");
  EXPECT_CONTAINS(parseError(std::string(2000, '-') + "1"), "nested more than 64");
  std::string sum = "1";
  for (int i = 0; i < 1000; ++i)
    sum += "+1";
  EXPECT_CONTAINS(parseError(sum), "more than 1024");
  std::string fits = "1";
  for (int i = 0; i < 500; ++i)
    fits += "+1";
  EXPECT_EQ(value(fits.c_str()), 501);
}

TEST(Expr, MessagesOfTheEvaluation) {
  EXPECT_CONTAINS(evaluationError("huge + 1"), "overflow of 64 bits in `huge + 1`");
  EXPECT_CONTAINS(evaluationError("-huge - 2"), "overflow");
  EXPECT_CONTAINS(evaluationError("huge * 2"), "overflow");
  EXPECT_CONTAINS(evaluationError("-(-huge - 1)"), "overflow");
  EXPECT_CONTAINS(evaluationError("(-huge - 1) / -1"), "overflow");
  EXPECT_CONTAINS(evaluationError("ceildiv(-huge - 1, -1)"), "overflow");
  EXPECT_CONTAINS(evaluationError("1 / (T - 7)"), "division by zero");
  EXPECT_CONTAINS(evaluationError("1 % 0"), "division by zero");
  EXPECT_CONTAINS(evaluationError("ceildiv(1, 0)"), "division by zero");
  EXPECT_CONTAINS(evaluationError("Z"), "axis Z is unknown");
}
