// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The door through which the compiler hands over a plan without its text.
#include "runtime/api/Handles.h"

using namespace fovea::runtime;

extern "C" fovea_status fovea_internal_copy_plan_1(const Plan *plan, fovea_plan **handle) {
  *handle = new fovea_plan{std::make_shared<const Plan>(*plan), planSignature(*plan)};
  return FOVEA_OK;
}
