// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Key ranges: what well-known predicates give, and, for random predicates on random sizes, that no key that a query
// sees is left out and that keys called full are seen by all, counted out one by one.
#include "passes/analysis/KeyRange.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "gtest/gtest.h"

#include <random>

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::analysis;

namespace {

struct Attention {
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  OpBuilder builder;
  Location loc;
  AttentionOp op;

  Attention() : builder(&context), loc(UnknownLoc::get(&context)) {
    context.loadDialect<AttnDialect>();
    module = ModuleOp::create(loc);
    builder.setInsertionPointToEnd(module->getBody());
    SmallVector<AxisAttr> axes;
    axes.push_back(AxisAttr::get(&context, "B"));
    axes.push_back(AxisAttr::get(&context, "T"));
    StringRef keys[] = {"T"}, walk[] = {"S", "T"};
    axes.push_back(AxisAttr::get(&context, "S", Relation::Keys, keys));
    axes.push_back(AxisAttr::get(&context, "j", Relation::Walk, walk));
    op = AttentionOp::create(builder, loc, "test", Claim::None, AxisTableAttr::get(&context, axes));
    if (op.getBody().empty())
      op.getBody().push_back(new Block);
    builder.setInsertionPointToEnd(&op.getBody().front());
  }

  StringAttr axis(StringRef name) { return builder.getStringAttr(name); }
  Value number(int64_t value) { return ConstantOp::create(builder, loc, value); }
  Value truth(bool value) { return ConstantOp::create(builder, loc, value); }
  Value i() { return QueryPositionOp::create(builder, loc, axis("T"), axis("S")); }
  Value j() { return IndexOp::create(builder, loc, axis("j")); }
  Value input(StringRef name, ArrayRef<StringRef> axes) {
    return InputOp::create(builder, loc, op.getAxes(), name, axes, Role::Input, Storage::I32);
  }
  template <typename Op, typename... Operands> Value make(Operands... operands) {
    return Op::create(builder, loc, operands...);
  }

  KeyWalk walk() {
    KeyWalk walk;
    walk.walk = axis("j");
    walk.keys = axis("S");
    walk.query = axis("T");
    walk.staticSize = [](StringAttr) { return std::nullopt; };
    walk.isBatch = [](StringAttr axis) { return axis == "B"; };
    return walk;
  }
  /// "lo..hi full lo..hi" per range.
  std::string ranges(Value predicate) {
    std::string text;
    for (const KeyRange &range : deriveKeyRanges(predicate, walk())) {
      text += (text.empty() ? "" : "; ") + toString(range.lo) + " .. " + toString(range.hi) + " full ";
      text += range.partial ? "none" : toString(range.fullLo) + " .. " + toString(range.fullHi);
      for (const Bound &bound : range.never)
        text += " never " + toString(bound);
      for (const Bound &bound : range.notFull)
        text += " unless " + toString(bound);
    }
    return text;
  }
};

TEST(KeyRange, NoPredicate) {
  Attention a;
  EXPECT_EQ(a.ranges({}), "0 .. |S| full 0 .. |S|");
  EXPECT_EQ(a.ranges(a.truth(true)), "0 .. |S| full 0 .. |S|");
  EXPECT_EQ(a.ranges(a.truth(false)), "");
}

TEST(KeyRange, Causal) {
  Attention a;
  std::string causal = "0 .. last + 1 full 0 .. first + 1";
  EXPECT_EQ(a.ranges(a.make<LeOp>(a.j(), a.i())), causal);
  EXPECT_EQ(a.ranges(a.make<GeOp>(a.i(), a.j())), causal);
  EXPECT_EQ(a.ranges(a.make<NotOp>(a.make<LtOp>(a.i(), a.j()))), causal);
  Value distance = a.make<SubOp>(a.i(), a.j());
  EXPECT_EQ(a.ranges(a.make<LeOp>(a.number(0), distance)), causal);
}

TEST(KeyRange, PositionsOfOneAxisUnderTwoNames) {
  Attention a;
  // index[T] against index[S] renamed to the walk: not aligned at the end.
  Value i = a.make<IndexOp>(a.axis("T"));
  Value j = a.make<RenameOp>(Value(a.make<PositionOp>(a.axis("S"))), a.axis("S"), a.axis("j"));
  EXPECT_EQ(a.ranges(a.make<LeOp>(j, i)), "0 .. last + |T| + -1 * (|S|) + 1 full 0 .. first + |T| + -1 * (|S|) + 1");
}

TEST(KeyRange, MultiplesOfTheKey) {
  Attention a;
  // Windows of 32 that begin every 16: those that have ended before the query.
  Value last = a.make<AddOp>(a.make<MulOp>(a.j(), a.number(16)), a.number(31));
  EXPECT_EQ(a.ranges(a.make<LeOp>(last, a.i())), "0 .. (last - 31) // 16 + 1 full 0 .. (first - 31) // 16 + 1");
  EXPECT_EQ(a.ranges(a.make<GeOp>(last, a.i())), "(first - 16) // 16 .. |S| full (last - 16) // 16 .. |S|");
  // The last window may be cut off: either bound will do.
  Value cut = a.make<MinOp>(last, a.make<SubOp>(Value(a.make<SizeOp>(a.axis("S"))), a.number(1)));
  std::string either = a.ranges(a.make<LeOp>(cut, a.i()));
  EXPECT_EQ(either.substr(0, either.find(';')), "0 .. (last - 31) // 16 + 1 full 0 .. (first - 31) // 16 + 1");
  EXPECT_NE(either.find("never"), std::string::npos) << either;
}

TEST(KeyRange, DataAreKeptApart) {
  Attention a;
  Value doc = a.input("doc", {"S"});
  Value own = a.make<RowAtOp>(doc, a.axis("S"), a.axis("T")), other = a.make<RenameOp>(doc, a.axis("S"), a.axis("j"));
  Value same = a.make<EqOp>(own, other), causal = a.make<LeOp>(a.j(), a.i());
  Value both = a.make<AndOp>(causal, a.make<NotOp>(same));
  KeyWalk walk = a.walk();
  SmallVector<KeyRange> ranges = deriveKeyRanges(both, walk);
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_TRUE(ranges[0].opaque);
  EXPECT_TRUE(ranges[0].data.empty());
  walk.isData = [&](const DataPart &part) { return part.predicate == same; };
  ranges = deriveKeyRanges(both, walk);
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_FALSE(ranges[0].opaque);
  EXPECT_TRUE(ranges[0].partial);
  ASSERT_EQ(ranges[0].data.size(), 1u);
  EXPECT_TRUE(ranges[0].data[0].negated);
  EXPECT_EQ(toString(ranges[0].hi), "last + 1");
  // Each alternative has its own.
  ranges = deriveKeyRanges(a.make<OrOp>(both, same), walk);
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_FALSE(ranges[1].data[0].negated);
}

TEST(KeyRange, Window) {
  Attention a;
  Value distance = a.make<SubOp>(a.i(), a.j());
  Value window = a.make<AndOp>(a.make<GeOp>(distance, a.number(0)), a.make<LtOp>(distance, a.number(128)));
  EXPECT_EQ(a.ranges(window), "first - 127 .. last + 1 full last - 127 .. first + 1");
  Value both = a.make<LtOp>(a.make<AbsOp>(distance), a.number(128));
  EXPECT_EQ(a.ranges(both), "first - 127 .. last + 128 full last - 127 .. first + 128");
  Value outside = a.make<GeOp>(a.make<AbsOp>(distance), a.number(128));
  EXPECT_EQ(a.ranges(outside), "0 .. last - 127 full 0 .. first - 127; first + 128 .. |S| full last + 128 .. |S|");
}

TEST(KeyRange, PrefixAndSinks) {
  Attention a;
  Value prefix = a.input("prefix", {"B"});
  Value causal = a.make<LeOp>(a.j(), a.i());
  EXPECT_EQ(a.ranges(a.make<OrOp>(causal, a.make<LtOp>(a.j(), prefix))),
            "0 .. last + 1 full 0 .. first + 1; 0 .. scalar full 0 .. scalar");
  Value near = a.make<LtOp>(a.make<SubOp>(a.i(), a.j()), a.number(64));
  Value sinks = a.make<AndOp>(causal, a.make<OrOp>(near, a.make<LtOp>(a.j(), a.number(4))));
  EXPECT_EQ(a.ranges(sinks), "first - 63 .. last + 1 full last - 63 .. first + 1; "
                             "0 .. min(last + 1, 4) full 0 .. min(first + 1, 4)");
}

TEST(KeyRange, Chunks) {
  Attention a;
  Value same = a.make<EqOp>(a.make<FloorDivOp>(a.i(), a.number(256)), a.make<FloorDivOp>(a.j(), a.number(256)));
  EXPECT_EQ(a.ranges(same), "256 * ((first) // 256) .. 256 * ((last) // 256) + 256 "
                            "full 256 * ((last) // 256) .. 256 * ((first) // 256) + 256");
}

TEST(KeyRange, WithoutKeys) {
  Attention a;
  Value n = a.input("n", {"B"});
  EXPECT_EQ(a.ranges(a.make<LtOp>(a.i(), n)), "0 .. |S| full 0 .. |S| never first + -1 * (scalar) + 1 "
                                              "unless last + -1 * (scalar) + 1");
}

TEST(KeyRange, DataIsPartial) {
  Attention a;
  Value start = a.input("start", {"T"});
  EXPECT_EQ(a.ranges(a.make<GeOp>(a.j(), start)), "0 .. |S| full none");
  // What is understood still bounds the range.
  Value causal = a.make<LeOp>(a.j(), a.i());
  EXPECT_EQ(a.ranges(a.make<AndOp>(causal, a.make<GeOp>(a.j(), start))), "0 .. last + 1 full none");
  Value square = a.make<LeOp>(a.make<MulOp>(a.j(), a.j()), a.i());
  EXPECT_EQ(a.ranges(square), "0 .. |S| full none");
  Value twice = a.make<LeOp>(a.make<AddOp>(a.j(), a.j()), a.i());
  EXPECT_EQ(a.ranges(twice), "0 .. (last) // 2 + 1 full 0 .. (first) // 2 + 1");
}

TEST(KeyRange, BeyondSixtyFourBits) {
  Attention a;
  Value huge = a.number(int64_t(1) << 60);
  Value far = a.i();
  for (int n = 0; n < 8; ++n)
    far = a.make<MulOp>(far, a.number(1 << 20));
  EXPECT_EQ(a.ranges(a.make<LeOp>(a.j(), far)), "0 .. |S| full none");
  Value sum = a.make<AddOp>(a.make<AddOp>(huge, huge), a.make<AddOp>(huge, huge));
  EXPECT_EQ(a.ranges(a.make<LeOp>(a.j(), sum)), "0 .. |S| full none");
  EXPECT_EQ(a.ranges(a.make<LtOp>(a.j(), a.number(1ll << 40))), "0 .. 1099511627776 full 0 .. 1099511627776");
}

TEST(KeyRange, SharedNodesTakeNoExponentialTime) {
  Attention a;
  Value p = a.make<LeOp>(a.j(), a.i());
  Value x = a.i();
  for (int n = 0; n < 200; ++n) {
    p = n % 2 ? Value(a.make<OrOp>(p, p)) : Value(a.make<AndOp>(p, p));
    x = a.make<MinOp>(x, x);
  }
  for (const KeyRange &range : deriveKeyRanges(a.make<AndOp>(p, a.make<LeOp>(a.j(), x)), a.walk()))
    EXPECT_TRUE(range.lo && range.hi);
}

TEST(KeyRange, AtMostFour) {
  Attention a;
  Value p = a.truth(false);
  for (int n = 0; n < 9; ++n)
    p = a.make<OrOp>(p, a.make<EqOp>(a.j(), a.number(10 * n)));
  EXPECT_EQ(deriveKeyRanges(p, a.walk()).size(), 4u);
}

//===--- random predicates, counted out ---===//

struct Point {
  int64_t queries, keys, t, j, scalar;
};

/// The value of a field at a point.
double at(Value value, const Point &point) {
  Operation *op = value.getDefiningOp();
  if (auto constant = dyn_cast<ConstantOp>(op)) {
    if (cast<FieldType>(value.getType()).isBool())
      return !cast<IntegerAttr>(constant.getValue()).getValue().isZero();
    return double(cast<IntegerAttr>(constant.getValue()).getInt());
  }
  if (isa<InputOp>(op))
    return double(point.scalar);
  if (isa<QueryPositionOp>(op))
    return double(point.t + point.keys - point.queries);
  if (auto size = dyn_cast<SizeOp>(op))
    return double(size.getAxis() == "T" ? point.queries : point.keys);
  if (auto index = dyn_cast<IndexOp>(op))
    return double(index.getAxis() == "T" ? point.t : point.j);
  SmallVector<double> operands;
  for (Value operand : op->getOperands())
    operands.push_back(at(operand, point));
  return cast<PointwiseOpInterface>(op).evaluateAt(operands);
}

struct Generator {
  Attention &a;
  std::mt19937 random;
  Value scalar;

  int64_t draw(int64_t from, int64_t to) { return std::uniform_int_distribution<int64_t>(from, to)(random); }

  Value integer(int depth) {
    if (depth == 0)
      switch (draw(0, 5)) {
      case 0:
        return a.i();
      case 1:
        return a.j();
      case 2:
        return a.number(draw(-20, 20));
      case 3:
        return scalar;
      case 4:
        return a.make<SizeOp>(a.axis(draw(0, 1) ? "T" : "S"));
      default:
        return a.make<IndexOp>(a.axis("T"));
      }
    switch (draw(0, 8)) {
    case 0:
      return a.make<AddOp>(integer(depth - 1), integer(depth - 1));
    case 1:
      return a.make<SubOp>(integer(depth - 1), integer(depth - 1));
    case 2:
      return a.make<NegOp>(integer(depth - 1));
    case 3:
      return a.make<MulOp>(integer(depth - 1), a.number(draw(-3, 3)));
    case 4:
      return a.make<MinOp>(integer(depth - 1), integer(depth - 1));
    case 5:
      return a.make<MaxOp>(integer(depth - 1), integer(depth - 1));
    case 6:
      return a.make<FloorDivOp>(integer(depth - 1), a.number(draw(1, 9)));
    case 7:
      return a.make<ModOp>(integer(depth - 1), a.number(draw(1, 9)));
    default:
      return draw(0, 1) ? Value(a.make<AbsOp>(integer(depth - 1))) : integer(depth - 1);
    }
  }

  Value predicate(int depth) {
    if (depth == 0) {
      Value x = integer(draw(0, 2)), y = integer(draw(0, 2));
      switch (draw(0, 6)) {
      case 0:
        return a.make<LeOp>(x, y);
      case 1:
        return a.make<LtOp>(x, y);
      case 2:
        return a.make<GeOp>(x, y);
      case 3:
        return a.make<GtOp>(x, y);
      case 4:
        return a.make<EqOp>(x, y);
      case 5:
        return a.make<NeOp>(x, y);
      default:
        return a.make<LtOp>(a.make<AbsOp>(a.make<SubOp>(a.i(), a.j())), x);
      }
    }
    switch (draw(0, 3)) {
    case 0:
      return a.make<AndOp>(predicate(depth - 1), predicate(depth - 1));
    case 1:
      return a.make<OrOp>(predicate(depth - 1), predicate(depth - 1));
    case 2:
      return a.make<NotOp>(predicate(depth - 1));
    default:
      return a.make<SelectOp>(predicate(depth - 1), predicate(depth - 1), predicate(depth - 1));
    }
  }
};

TEST(KeyRange, RandomPredicatesAgainstCounting) {
  constexpr unsigned seed = 20240611;
  constexpr int tile = 5;
  int64_t bounded = 0, full = 0, checked = 0;
  for (unsigned round = 0; round < 400; ++round) {
    Attention a;
    Generator generate{a, std::mt19937(seed + round), a.input("n", {"B"})};
    Value predicate = generate.predicate(int(generate.draw(0, 3)));
    SmallVector<KeyRange> ranges = deriveKeyRanges(predicate, a.walk());
    ASSERT_LE(ranges.size(), 4u);
    for (int trial = 0; trial < 4; ++trial) {
      Point point{generate.draw(1, 17), generate.draw(1, 23), 0, 0, generate.draw(-30, 30)};
      for (int64_t begin = 0; begin < point.queries; begin += tile) {
        int64_t end = std::min<int64_t>(begin + tile, point.queries);
        auto leaf = [&](const BoundExpr &expr) -> int64_t {
          switch (expr.kind) {
          case BoundExpr::Kind::AxisSize:
            return expr.axis == "T" ? point.queries : point.keys;
          case BoundExpr::Kind::FirstQuery:
            return begin + point.keys - point.queries;
          case BoundExpr::Kind::LastQuery:
            return end - 1 + point.keys - point.queries;
          default:
            return int64_t(at(expr.scalar, point));
          }
        };
        auto positive = [&](ArrayRef<Bound> bounds) {
          return llvm::any_of(bounds, [&](const Bound &bound) { return evaluate(bound, leaf) > 0; });
        };
        for (int64_t j = 0; j < point.keys; ++j) {
          bool visited = false, all = false, seen = false, seenByAll = true;
          for (const KeyRange &range : ranges) {
            visited |= !positive(range.never) && j >= evaluate(range.lo, leaf) && j < evaluate(range.hi, leaf);
            all |= !range.partial && !positive(range.notFull) && j >= evaluate(range.fullLo, leaf) &&
                   j < evaluate(range.fullHi, leaf);
          }
          for (int64_t t = begin; t < end; ++t) {
            point.t = t;
            point.j = j;
            bool holds = at(predicate, point) != 0;
            seen |= holds;
            seenByAll &= holds;
          }
          ASSERT_TRUE(visited || !seen) << "round " << round << ": key " << j << " is left out of "
                                        << a.ranges(predicate);
          ASSERT_TRUE(!all || seenByAll) << "round " << round << ": key " << j
                                         << " is not seen by all: " << a.ranges(predicate);
          ++checked;
          bounded += !visited;
          full += all;
        }
      }
    }
  }
  // The test says something only if bounds are found at all.
  EXPECT_GT(bounded, checked / 10);
  EXPECT_GT(full, checked / 20);
}

} // namespace
