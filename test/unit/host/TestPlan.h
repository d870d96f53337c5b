// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A small valid plan that the tests of this folder start from: o[B, T, H, D] from q of the same shape and k over S and
// Hk, with a fast entry for aligned tensors and a slower one.
#pragma once

#include "runtime/abi/Plan.h"

#include <cstdlib>

namespace fovea::runtime::test {

inline Expr expr(std::string_view text) {
  Result<Expr> parsed = Expr::parse(text);
  return parsed ? *parsed : Expr::constant(-12345);
}

inline Plan smallPlan() {
  Plan plan;
  plan.producer = "fovea test";
  plan.spec = "small";
  plan.target = "sm_80";
  plan.ptxVersion = "7.0";
  plan.axes = {{"B", {}, ""}, {"T", {}, ""}, {"S", {}, "S keys T"}, {"Hk", {}, ""}, {"G", {}, ""}, {"D", 8, ""}};
  plan.tensors = {
      {"q", TensorRole::Input, StorageType::BF16, {{"B", {"B"}}, {"T", {"T"}}, {"H", {"Hk", "G"}}, {"D", {"D"}}}},
      {"k", TensorRole::Input, StorageType::BF16, {{"B", {"B"}}, {"S", {"S"}}, {"Hk", {"Hk"}}, {"D", {"D"}}}},
      {"w", TensorRole::Param, StorageType::F32, {{"D", {"D"}}}},
      {"o", TensorRole::Output, StorageType::F32, {{"B", {"B"}}, {"T", {"T"}}, {"H", {"Hk", "G"}}, {"D", {"D"}}}},
  };
  PlanLaunch launch;
  launch.kernel = "small_fast";
  launch.grid = {expr("ceildiv(T, 64)"), expr("Hk * G"), expr("B")};
  launch.block = {128, 1, 1};
  launch.sharedBytes = 1024;
  launch.args = {PlanArg::pointer("q"),
                 PlanArg::pointer("k"),
                 PlanArg::i32(expr("T")),
                 PlanArg::pointer("w"),
                 PlanArg::f32(0.125f),
                 PlanArg::i64(expr("stride(q, H)")),
                 PlanArg::pointer("tmp"),
                 PlanArg::i32(expr("S - T")),
                 PlanArg::pointer("o"),
                 PlanArg::i64(expr("S")),
                 PlanArg::i32(expr("device.sms"))};
  PlanEntry fast;
  fast.guard = expr("align(q) >= 16 && stride(q, D) == 1");
  fast.reason = "16-byte copies";
  fast.workspaces = {{"tmp", expr("B * T * 4"), WorkspaceInit::Zero}};
  fast.launches = {launch};
  PlanEntry slow = fast;
  slow.guard = expr("stride(q, D) == 1");
  slow.reason = "any alignment";
  slow.launches[0].kernel = "small_slow";
  plan.entries = {fast, slow};
  plan.modules = {{"main", ".version 7.0\n.target sm_80\n.address_size 64\n", {}}};
  return plan;
}

} // namespace fovea::runtime::test
