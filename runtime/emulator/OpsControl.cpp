// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Control flow, barriers, fences.
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Lanes.h"

namespace fovea::emulator {

namespace {

/// bar.warp.sync orders the accesses of the warp's lanes.
void orderWarp(Warp &w, const Inst &, uint32_t) {
  if (w.launch->races)
    w.cta->clocks.advance(w.id);
}
void nothing(Warp &, const Inst &, uint32_t) {}

bool decodeBra(Decoder &d) {
  d.inst.uniform = d.take("uni");
  if (!d.arity(1))
    return false;
  const Operand &o = d.operand(0);
  if (o.kind != Operand::Label || o.moduleVar)
    return d.fail("'bra' needs a label");
  d.inst.kind = Kind::Branch;
  d.inst.target = o.index;
  return true;
}

bool decodeBrx(Decoder &d) {
  if (!d.take("idx"))
    return d.fail("'brx' needs .idx");
  d.inst.uniform = d.take("uni");
  if (!d.arity(2))
    return false;
  const Operand &o = d.operand(1);
  if (o.kind != Operand::Label || !o.moduleVar)
    return d.fail("'brx.idx' needs a list of targets");
  d.inst.kind = Kind::Indexed;
  d.inst.a = d.source(0u, {'u', 32});
  d.inst.strict = 1;
  const auto &list = d.ast().branchTargets[o.index];
  d.inst.target = uint32_t(list.size());
  for (size_t n = 0; n < list.size() && !d.failed(); ++n) {
    const uint32_t at = d.pool(int32_t(list[n]));
    if (n == 0)
      d.inst.pool = at;
  }
  return !d.failed();
}

bool decodeRet(Decoder &d) {
  if (d.statement->opcode == "ret")
    d.take("uni");
  d.inst.kind = Kind::Exit;
  return d.arity(0);
}

bool decodeTrap(Decoder &d) {
  d.inst.kind = Kind::Trap;
  return d.arity(0);
}

bool decodeNanosleep(Decoder &d) {
  ScalarType t = d.type("u32");
  if (d.failed() || !d.arity(1))
    return false;
  d.inst.a = d.source(0u, t);
  d.inst.kind = Kind::Yield;
  return !d.failed();
}

bool decodeBar(Decoder &d) {
  Inst &i = d.inst;
  const bool isBar = d.statement->opcode == "bar";
  if (isBar && d.take("warp")) {
    if (!d.take("sync"))
      return d.fail("'bar.warp' needs .sync");
    if (!d.arity(1))
      return false;
    i.kind = Kind::Sync;
    i.e = d.source(0u, {'b', 32});
    i.strict = 1;
    i.fn = orderWarp;
    return !d.failed();
  }
  if (d.take("cluster")) {
    // A cluster of one CTA: nobody else to wait for, but the CTA's own warps meet here; only the whole pair would be a
    // barrier.
    return d.unsupported("'barrier.cluster'");
  }
  d.take("cta");
  const std::string_view op = d.takeAny({"sync", "arrive", "red"});
  if (op.empty())
    return d.fail("'" + std::string(d.statement->opcode) + "' needs .sync, .arrive or .red");
  i.kind = Kind::Barrier;
  i.flag = isBar; // aligned
  const Operand *id = nullptr, *count = nullptr;
  if (op == "red") {
    const std::string_view r = d.takeAny({"popc", "and", "or"});
    if (r.empty())
      return d.fail("'.red' needs .popc, .and or .or");
    if (d.take("aligned"))
      i.flag = true;
    if (r == "popc")
      d.type("u32");
    else if (!d.take("pred"))
      return d.fail("'.red." + std::string(r) + "' needs .pred");
    if (d.failed() || !d.arity(3, 4))
      return false;
    i.barrierOp = r == "popc" ? BarrierOp::RedPopc : r == "and" ? BarrierOp::RedAnd : BarrierOp::RedOr;
    id = &d.operand(1);
    if (d.operandCount() == 4)
      count = &d.operand(2);
    i.c = d.predicate(d.operand(d.operandCount() - 1));
    i.d = r == "popc" ? d.destination(0u, {'u', 32}) : d.predicateDestination(d.operand(0));
  } else {
    if (d.take("aligned"))
      i.flag = true;
    if (!d.arity(op == "arrive" ? 2 : 1, 2))
      return false;
    i.barrierOp = op == "sync" ? BarrierOp::Sync : BarrierOp::Arrive;
    id = &d.operand(0);
    if (d.operandCount() == 2)
      count = &d.operand(1);
  }
  if (id->kind == Operand::Int && id->bits > 15)
    return d.fail("there are 16 barriers, 0 to 15");
  if (count && count->kind == Operand::Int && (count->bits == 0 || count->bits % 32 || count->bits > 1024))
    return d.fail("the number of threads at a barrier is a multiple of 32 up to 1024");
  i.a = d.source(*id, {'u', 32});
  if (count)
    i.b = d.source(*count, {'u', 32});
  i.strict = 255;
  return !d.failed();
}

bool decodeFence(Decoder &d) {
  d.inst.fn = nothing;
  if (d.statement->opcode == "membar") {
    if (d.take("proxy")) {
      if (d.takeAny({"alias", "async"}).empty())
        return d.fail("unknown proxy");
      d.takeAny({"global", "shared::cta", "shared::cluster"});
      return d.arity(0);
    }
    if (d.takeAny({"cta", "gl", "sys"}).empty())
      return d.fail("'membar' needs a level");
    return d.arity(0);
  }
  if (d.take("mbarrier_init"))
    return d.unsupported("'fence.mbarrier_init'");
  if (d.take("proxy")) {
    if (d.take("async")) {
      d.takeAny({"global", "shared::cta", "shared::cluster"});
      return d.arity(0);
    }
    if (!d.take("alias"))
      return d.fail("unknown proxy");
    return d.arity(0);
  }
  d.takeAny({"sc", "acq_rel", "acquire", "release"});
  if (d.takeAny({"cta", "cluster", "gpu", "sys"}).empty())
    return d.fail("'fence' needs a scope");
  return d.arity(0);
}

const OpcodeEntry table[] = {
    {"bra", decodeBra},
    {"brx", decodeBrx},
    {"ret", decodeRet},
    {"exit", decodeRet},
    {"trap", decodeTrap},
    {"brkpt", decodeTrap},
    {"nanosleep", decodeNanosleep},
    {"bar", decodeBar},
    {"barrier", decodeBar},
    {"membar", decodeFence},
    {"fence", decodeFence},
};

} // namespace

OpcodeTable controlOpcodes() { return {table, std::size(table)}; }

} // namespace fovea::emulator
