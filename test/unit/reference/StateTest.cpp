// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// States and convolutions of the float64 reference, against token loops that multiply by whole transition matrices.
#include "test/unit/reference/Spec.h"

#include <array>

using namespace fovea;
using namespace fovea::reference;
using namespace fovea::reference::test;

namespace {

constexpr int kB = 2, kT = 11, kHk = 2, kG = 3, kH = kHk * kG, kK = 4, kV = 5, kBlock = 4, kBlocks = 3;

/// Which parts a recurrence has. Keys are on the Hk axis, the others on all heads.
struct Parts {
  enum Decay { None, Head, Token, Channel } decay = None;
  bool erase = false, where = false, commit = false, initial = false, reverse = false;

  std::string name() const {
    return std::string("decay ") + std::to_string(decay) + (erase ? " erase" : "") + (where ? " where" : "") +
           (commit ? " commit" : "") + (initial ? " initial" : "") + (reverse ? " reverse" : "");
  }
};

std::string textOf(const Parts &parts) {
  std::string text = R"(attn.attention @s none axes [B, T, Hk, G, H = Hk * G, K, V, Tb = T / 4] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, Hk, G, K]
  %k = attn.input "k" [B, T, Hk, K] : real [B, T, Hk, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, Hk, G, V]
  %g1 = attn.input "g1" optional [H] : real [Hk, G]
  %g2 = attn.input "g2" optional [B, T, H] : real [B, T, Hk, G]
  %g3 = attn.input "g3" optional [B, T, H, K] : real [B, T, Hk, G, K]
  %e = attn.input "e" optional [B, T, H, K] : real [B, T, Hk, G, K]
  %wi = attn.input "w" i32 [B, T] : int [B, T]
  %ci = attn.input "c" i32 [B, Tb, H] : int [B, Tb, Hk, G]
  %h = attn.input "h0" optional [B, H, K, V] : real [B, Hk, G, K, V]
  %zero = attn.constant int 0
  %w = attn.ne %wi, %zero : int [B, T], int []
  %c = attn.ne %ci, %zero : int [B, Tb, Hk, G], int []
  %S = attn.state along T )";
  text += parts.reverse ? "reverse " : "";
  text += "key %k over K : real [B, T, Hk, K] value %v over V : real [B, T, Hk, G, V]";
  const char *decays[] = {"", " decay %g1 : real [Hk, G]", " decay %g2 : real [B, T, Hk, G]",
                          " decay %g3 : real [B, T, Hk, G, K]"};
  text += decays[parts.decay];
  text += parts.erase ? " erase %e : real [B, T, Hk, G, K]" : "";
  text += parts.where ? " where %w : bool [B, T]" : "";
  text += parts.commit ? " commit %c per Tb : bool [B, Tb, Hk, G]" : "";
  text += parts.initial ? " initial %h : real [B, Hk, G, K, V]" : "";
  const std::string type = "[B, Hk, G] K x V along T";
  text += "\n";
  for (const char *point : {"after", "decayed", "prev"})
    text += std::string("  %") + point + " = attn.read " + point + " %S, %q : " + type +
            ", real [B, T, Hk, G, K]\n  attn.output \"" + point + "\" %" + point +
            " [B, T, H, V] : real [B, T, Hk, G, V]\n";
  text += "  %last = attn.last %S : " + type + "\n  attn.output \"last\" %last [B, H, K, V] : real [B, Hk, G, K, V]\n";
  text += "  %every = attn.every %S at Tb : " + type +
          "\n  attn.output \"every\" %every [B, Tb, H, K, V] : real [B, Hk, G, Tb, K, V]\n";
  return text + "}";
}

Tensors inputsOf() {
  Tensors in = {{"q", random({kB, kT, kH, kK}, 1)},  {"k", random({kB, kT, kHk, kK}, 2)},
                {"v", random({kB, kT, kH, kV}, 3)},  {"g1", random({kH}, 4)},
                {"g2", random({kB, kT, kH}, 5)},     {"g3", random({kB, kT, kH, kK}, 6)},
                {"e", random({kB, kT, kH, kK}, 7)},  {"w", random({kB, kT}, 8)},
                {"c", random({kB, kBlocks, kH}, 9)}, {"h0", random({kB, kH, kK, kV}, 10)}};
  for (const char *name : {"g1", "g2", "g3"})
    for (double &x : in[name].data)
      x = -std::fabs(x);
  for (double &x : in["e"].data)
    x *= 0.3;
  for (const char *name : {"w", "c"})
    for (double &x : in[name].data)
      x = x > -0.4;
  return in;
}

/// S_t = A_t S_{t-1} + k_t v_t^T with A_t = (I - k_t e_t^T) diag(exp g_t) as a matrix.
Tensors loop(const Parts &parts, const Tensors &in) {
  Tensors out;
  for (const char *name : {"after", "decayed", "prev"})
    out[name] = {{kB, kT, kH, kV}, std::vector<double>(kB * kT * kH * kV)};
  out["last"] = {{kB, kH, kK, kV}, std::vector<double>(kB * kH * kK * kV)};
  out["every"] = {{kB, kBlocks, kH, kK, kV}, std::vector<double>(kB * kBlocks * kH * kK * kV)};
  using Matrix = std::array<std::array<double, kV>, kK>;
  auto at = [&](const char *name, int n) { return in.at(name).data[n]; };
  for (int b = 0; b < kB; ++b)
    for (int h = 0; h < kH; ++h) {
      Matrix S{}, start{};
      std::array<double, kK> sum{};
      for (int k = 0; k < kK; ++k)
        for (int v = 0; v < kV; ++v)
          S[k][v] = parts.initial ? at("h0", ((b * kH + h) * kK + k) * kV + v) : 0;
      auto store = [&](const char *name, int n) {
        for (int k = 0; k < kK; ++k)
          for (int v = 0; v < kV; ++v)
            out[name].data[(n * kK + k) * kV + v] = S[k][v];
      };
      for (int step = 0; step < kT; ++step) {
        int t = parts.reverse ? kT - 1 - step : step, n = (b * kT + t) * kH + h;
        bool isFirst = step == 0 || (parts.reverse ? t % kBlock == kBlock - 1 : t % kBlock == 0);
        bool isFinal = step == kT - 1 || (parts.reverse ? t % kBlock == 0 : t % kBlock == kBlock - 1);
        if (isFirst) {
          start = S;
          sum = {};
        }
        auto read = [&](const char *name) {
          for (int v = 0; v < kV; ++v) {
            double o = 0;
            for (int k = 0; k < kK; ++k)
              o += S[k][v] * at("q", n * kK + k);
            out[name].data[n * kV + v] = o;
          }
        };
        read("prev");
        bool takesPart = !parts.where || at("w", b * kT + t) != 0;
        std::array<double, kK> g{};
        for (int k = 0; k < kK; ++k)
          g[k] = !takesPart || parts.decay == Parts::None ? 0
                 : parts.decay == Parts::Head             ? at("g1", h)
                 : parts.decay == Parts::Token            ? at("g2", n)
                                                          : at("g3", n * kK + k);
        Matrix D{};
        for (int k = 0; k < kK; ++k)
          for (int v = 0; v < kV; ++v)
            D[k][v] = std::exp(g[k]) * S[k][v];
        std::swap(S, D);
        read("decayed");
        std::swap(S, D);
        if (takesPart) {
          Matrix next{};
          auto key = [&](int k) { return at("k", ((b * kT + t) * kHk + h / kG) * kK + k); };
          for (int k = 0; k < kK; ++k)
            for (int v = 0; v < kV; ++v) {
              next[k][v] = key(k) * at("v", n * kV + v);
              for (int m = 0; m < kK; ++m) {
                double a = (k == m) - (parts.erase ? key(k) * at("e", n * kK + m) : 0);
                next[k][v] += a * std::exp(g[m]) * S[m][v];
              }
            }
          S = next;
        }
        for (int k = 0; k < kK; ++k)
          sum[k] += g[k];
        read("after");
        if (parts.commit && isFinal && at("c", (b * kBlocks + t / kBlock) * kH + h) == 0)
          for (int k = 0; k < kK; ++k)
            for (int v = 0; v < kV; ++v)
              S[k][v] = std::exp(sum[k]) * start[k][v];
        if (isFinal)
          store("every", (b * kBlocks + t / kBlock) * kH + h);
      }
      store("last", b * kH + h);
    }
  return out;
}

TEST(State, EveryCombinationAgreesWithATokenLoop) {
  for (int decay = 0; decay < 4; ++decay)
    for (int bits = 0; bits < 32; ++bits) {
      Parts parts{static_cast<Parts::Decay>(decay),
                  (bits & 1) != 0,
                  (bits & 2) != 0,
                  (bits & 4) != 0,
                  (bits & 8) != 0,
                  (bits & 16) != 0};
      SCOPED_TRACE(parts.name());
      // Batch axes come in the order of the operands; the commit and the initial state add none here.
      Tensors in = inputsOf(), expected = loop(parts, in), out = Spec(textOf(parts)).run(in);
      ASSERT_EQ(out.size(), 5u);
      for (const auto &[name, tensor] : out) {
        SCOPED_TRACE(name);
        expectNear(tensor, expected[name]);
      }
    }
}

TEST(State, TokensThatTakeNoPartMayHoldNaN) {
  Parts parts{Parts::Channel, true, true, false, true, false};
  Tensors in = inputsOf(), out;
  Spec spec(textOf(parts));
  Tensors clean = spec.run(in);
  int hidden = 0;
  for (int b = 0; b < kB; ++b)
    for (int t = 0; t < kT; ++t)
      if (in["w"].data[b * kT + t] == 0) {
        ++hidden;
        for (int n = 0; n < kHk * kK; ++n)
          in["k"].data[(b * kT + t) * kHk * kK + n] = kNaN;
        for (int n = 0; n < kH * kK; ++n)
          in["g3"].data[(b * kT + t) * kH * kK + n] = kNaN;
      }
  ASSERT_GT(hidden, 0);
  out = spec.run(in);
  for (const auto &[name, tensor] : clean)
    EXPECT_EQ(out[name].data, tensor.data) << name;
}

/// q, k on [T, K], v on [T, V]; `rest` uses them and ends with outputs.
std::string small(const std::string &rest, const std::string &axes = "") {
  return "attn.attention @a causal axes [T, K, V" + axes + R"(] {
    %q = attn.input "q" [T, K] : real [T, K]
    %k = attn.input "k" [T, K] : real [T, K]
    %v = attn.input "v" [T, V] : real [T, V]
    )" + rest +
         "}";
}
Tensors smallInputs() { return {{"q", random({7, 3}, 1)}, {"k", random({7, 3}, 2)}, {"v", random({7, 2}, 3)}}; }

TEST(State, WithoutValueAxisItIsASumOfKeys) {
  Tensors in = smallInputs();
  Tensors out = Spec(small(R"(
    %one = attn.constant real 1.0
    %S = attn.state along T key %k over K : real [T, K] value %one : real []
    %n = attn.read after %S, %q : [] K x 1 along T, real [T, K]
    %l = attn.last %S : [] K x 1 along T
    attn.output "n" %n [T] : real [T]
    attn.output "l" %l [K] : real [K]
  )"))
                    .run(in);
  std::array<double, 3> sum{};
  for (int t = 0; t < 7; ++t) {
    double n = 0;
    for (int k = 0; k < 3; ++k)
      n += (sum[k] += in["k"].data[t * 3 + k]) * in["q"].data[t * 3 + k];
    EXPECT_NEAR(out["n"].data[t], n, 1e-13);
  }
  for (int k = 0; k < 3; ++k)
    EXPECT_NEAR(out["l"].data[k], sum[k], 1e-13);
}

// The causal free weights of a dot are a recurrence.
TEST(State, AdditiveStateIsCausalLinearAttention) {
  Tensors out = Spec(small(R"(
    %kj = attn.rename %k T to j : real [T, K]
    %vj = attn.rename %v T to j : real [T, V]
    %s = attn.dot %q, %kj over [K] : real [T, K], real [j, K]
    %i = attn.index T
    %n = attn.index j
    %seen = attn.le %n, %i : int [j], int [T]
    %p = attn.weights over j from T weight %s : real [T, j] where %seen : bool [j, T]
    %w = attn.expect %p, %vj : [T] over j from T, real [j, V]
    %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V]
    %o = attn.read after %S, %q : [] K x V along T, real [T, K]
    attn.output "w" %w [T, V] : real [T, V]
    attn.output "o" %o [T, V] : real [T, V]
  )",
                           ", j walk T from T"))
                    .run(smallInputs());
  expectNear(out["o"], out["w"]);
}

// A query may have axes that the state lacks, and may come from a read of the same state.
TEST(State, QueriesOfOtherAxesAndReadsOfReads) {
  Tensors in = {{"q", random({7, 3}, 1)}, {"k", random({7, 3}, 2)}, {"r", random({2, 7, 3}, 3)}};
  Tensors out = Spec(R"(attn.attention @a causal axes [R, T, K, V : 3] {
    %q = attn.input "q" [T, K] : real [T, K]
    %k = attn.input "k" [T, K] : real [T, K]
    %r = attn.input "r" [R, T, K] : real [R, T, K]
    %v = attn.rename %k K to V : real [T, K]
    %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V]
    %x = attn.read after %S, %r : [] K x V along T, real [R, T, K]
    %y = attn.read after %S, %q : [] K x V along T, real [T, K]
    %yk = attn.rename %y V to K : real [T, V]
    %z = attn.read prev %S, %yk : [] K x V along T, real [T, K]
    attn.output "x" %x [R, T, V] : real [R, T, V]
    attn.output "z" %z [T, V] : real [T, V]
  })")
                    .run(in);
  double S[3][3] = {};
  for (int t = 0; t < 7; ++t) {
    double prev[3][3];
    for (int k = 0; k < 3; ++k)
      for (int v = 0; v < 3; ++v) {
        prev[k][v] = S[k][v];
        S[k][v] += in["k"].data[t * 3 + k] * in["k"].data[t * 3 + v];
      }
    double y[3] = {}, z[3] = {};
    for (int v = 0; v < 3; ++v)
      for (int k = 0; k < 3; ++k)
        y[v] += S[k][v] * in["q"].data[t * 3 + k];
    for (int v = 0; v < 3; ++v)
      for (int k = 0; k < 3; ++k)
        z[v] += prev[k][v] * y[k];
    for (int v = 0; v < 3; ++v) {
      EXPECT_NEAR(out["z"].data[t * 3 + v], z[v], 1e-11);
      for (int r = 0; r < 2; ++r) {
        double x = 0;
        for (int k = 0; k < 3; ++k)
          x += S[k][v] * in["r"].data[(r * 7 + t) * 3 + k];
        EXPECT_NEAR(out["x"].data[(r * 7 + t) * 3 + v], x, 1e-12);
      }
    }
  }
}

// One direction of a reversed sequence is the other direction.
TEST(State, ReverseIsTheOtherDirection) {
  std::string rest = R"(
    %S = attn.state along T REVERSE key %k over K : real [T, K] value %v over V : real [T, V]
    %o = attn.read prev %S, %q : [] K x V along T, real [T, K]
    attn.output "o" %o [T, V] : real [T, V]
  )";
  auto with = [&](const char *word) {
    std::string text = rest;
    return small(text.replace(text.find("REVERSE"), 7, word));
  };
  Tensors in = smallInputs(), turned = in;
  for (auto &[name, tensor] : turned) {
    int64_t row = tensor.shape[1];
    for (int64_t t = 0; t < 7; ++t)
      std::copy_n(in[name].data.begin() + (6 - t) * row, row, tensor.data.begin() + t * row);
  }
  Tensors forward = Spec(with("")).run(turned), backward = Spec(with("reverse")).run(in);
  for (int t = 0; t < 7; ++t)
    for (int v = 0; v < 2; ++v)
      EXPECT_EQ(forward["o"].data[t * 2 + v], backward["o"].data[(6 - t) * 2 + v]);
}

TEST(State, CarriedMemoryContinuesASequence) {
  Spec spec(small(R"(
    %h = attn.input "h" optional carry f32 [K, V] : real [K, V]
    %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V] initial %h : real [K, V]
    %o = attn.read after %S, %q : [] K x V along T, real [T, K]
    %l = attn.last %S : [] K x V along T
    attn.output "o" %o [T, V] : real [T, V]
    attn.output "h" carry %l f32 [K, V] : real [K, V]
  )"));
  Tensors in = smallInputs();
  Tensors whole = spec.run(in);
  EXPECT_EQ(whole.count("h"), 0u); // not passed, so not written
  auto part = [&](int64_t begin, int64_t end) {
    Tensors result;
    for (const auto &[name, tensor] : in) {
      int64_t row = tensor.shape[1];
      result[name] = {{end - begin, row}, {tensor.data.begin() + begin * row, tensor.data.begin() + end * row}};
    }
    return result;
  };
  Tensors first = part(0, 4), second = part(4, 7);
  first["h"] = {{3, 2}, std::vector<double>(6)};
  Tensors a = spec.run(first);
  second["h"] = a["h"];
  Tensors b = spec.run(second);
  for (int n = 0; n < 8; ++n)
    EXPECT_EQ(a["o"].data[n], whole["o"].data[n]);
  for (int n = 8; n < 14; ++n)
    EXPECT_NEAR(b["o"].data[n - 8], whole["o"].data[n], 1e-13);
}

TEST(State, AStateTooLargeIsAnError) {
  Spec spec(small(R"(
    %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V]
    %o = attn.read after %S, %q : [] K x V along T, real [T, K]
    attn.output "o" %o [T, V] : real [T, V]
  )"));
  int64_t size = 30000;
  Tensors in = {{"q", {{1, size}, std::vector<double>(size)}},
                {"k", {{1, size}, std::vector<double>(size)}},
                {"v", {{1, size}, std::vector<double>(size)}}};
  EXPECT_EQ(spec.error(in), "'attn.state' has a state of more than 536870912 elements, too large for the reference");
}

TEST(Conv, CausalAndSame) {
  for (bool same : {false, true})
    for (int taps : {1, 2, 3, 4, 9}) { // also more taps than tokens
      Tensors in = {{"x", random({2, 6, 3}, 1)}, {"w", random({3, taps}, 2)}};
      Tensors out = Spec(std::string(R"(attn.attention @c none axes [B, T, D, W] {
        %x = attn.input "x" [B, T, D] : real [B, T, D]
        %w = attn.input "w" param [D, W] : real [D, W]
        %y = attn.conv %x, %w along [T] taps [W] )") +
                         (same ? "same " : "") + R"(: real [B, T, D], real [D, W]
        attn.output "y" %y [B, T, D] : real [B, T, D]
      })")
                        .run(in);
      int centre = same ? (taps - 1) / 2 : taps - 1;
      for (int b = 0; b < 2; ++b)
        for (int t = 0; t < 6; ++t)
          for (int d = 0; d < 3; ++d) {
            double sum = 0;
            for (int u = 0; u < taps; ++u)
              if (int s = t + u - centre; s >= 0 && s < 6)
                sum += in["w"].data[d * taps + u] * in["x"].data[(b * 6 + s) * 3 + d];
            EXPECT_NEAR(out["y"].data[(b * 6 + t) * 3 + d], sum, 1e-13) << same << " " << taps;
          }
    }
}

TEST(Conv, TwoAxesWithTapsThatDifferByPoint) {
  constexpr int kY = 4, kX = 5;
  Tensors in = {{"x", random({kY, kX}, 1)}, {"w", random({kX, 3, 2, 2}, 2)}};
  Tensors out = Spec(R"(attn.attention @c none axes [Y, X, U, W, N] {
    %x = attn.input "x" [Y, X] : real [Y, X]
    %w = attn.input "w" [X, U, W, N] : real [X, U, W, N]
    %y = attn.conv %x, %w along [Y, X] taps [U, W] same : real [Y, X], real [X, U, W, N]
    attn.output "y" %y [Y, X, N] : real [Y, X, N]
  })")
                    .run(in);
  for (int y = 0; y < kY; ++y)
    for (int x = 0; x < kX; ++x)
      for (int n = 0; n < 2; ++n) {
        double sum = 0;
        for (int u = 0; u < 3; ++u)
          for (int w = 0; w < 2; ++w)
            if (int a = y + u - 1, b = x + w; a >= 0 && a < kY && b < kX)
              sum += in["w"].data[((x * 3 + u) * 2 + w) * 2 + n] * in["x"].data[a * kX + b];
        EXPECT_NEAR(out["y"].data[(y * kX + x) * 2 + n], sum, 1e-13);
      }
}

} // namespace
