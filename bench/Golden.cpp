// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Golden vectors: what a GPU answers, bit for bit, to each instruction form that the emulator models.
//   fovea-golden list                                     the forms, with the rule that the emulator must keep
//   fovea-golden ptx [--capability N]                     all forms as one module, for an assembler to read
//   fovea-golden record FILE [--device cuda|emulator]     runs every form and writes its results
//   fovea-golden compare FILE [--form NAME]               runs them on the emulator and compares with the file
// The inputs are made from a fixed seed, so the file holds results only, and the compute capability that gave them.
// Each form runs in whole warps: a lane reads `inputs` words of a case and writes `outputs` words.
#include "runtime/cuda/CudaDevice.h"
#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/Random.h"
#include "runtime/host/Safetensors.h"

#include <CLI/CLI.hpp>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>

using namespace fovea;
using namespace fovea::runtime;

namespace {

int fail(const std::string &message) {
  std::fprintf(stderr, "fovea-golden: %s\n", message.c_str());
  return 1;
}

//===--- inputs ---===//

/// Bits of one input word, by the number of the word among all of the form.
using Words = std::function<uint32_t(const RandomStream &, uint64_t)>;

uint32_t bitsOf(double value) { return std::bit_cast<uint32_t>(static_cast<float>(value)); }

uint32_t bf16Of(double value) {
  uint32_t bits = bitsOf(value);
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

/// A normal half; values here are normal numbers of modest size, so truncation of the mantissa is all that happens.
uint32_t halfOf(double value) {
  uint32_t bits = bitsOf(value);
  int exponent = static_cast<int>((bits >> 23) & 255) - 127 + 15;
  if (exponent <= 0)
    return (bits >> 16) & 0x8000;
  exponent = std::min(exponent, 30);
  return ((bits >> 16) & 0x8000) | static_cast<uint32_t>(exponent) << 10 | ((bits >> 13) & 0x3ff);
}

/// Every special number first, then numbers in (low, high), then random bits.
Words sweep(double low, double high) {
  return [=](const RandomStream &stream, uint64_t n) -> uint32_t {
    static constexpr uint32_t special[] = {
        0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x807fffff, 0x00800000, 0x80800000,
        0x3f800000, 0xbf800000, 0x3f7fffff, 0x3f800001, 0x40000000, 0xc0000000, 0x3f000000, 0xbf000000,
        0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0x42fe0000,
        0xc2fc0000, 0xc3150000, 0x43000000, 0x4b000000, 0x4f000000, 0xcf000000, 0x4effffff, 0x47c35000};
    if (n < std::size(special))
      return special[n];
    return n % 4 == 3 ? static_cast<uint32_t>(stream.bits(n)) : bitsOf(low + (high - low) * stream.uniform(n));
  };
}

Words anyBits() {
  return [](const RandomStream &stream, uint64_t n) { return static_cast<uint32_t>(stream.bits(n)); };
}

/// Operands of matrix products: cases 0 to 3 are ones at single places (which shows the layout), then random numbers
/// of widely different size (which shows the alignment of the sum), then infinities and NaN.
Words operands(uint32_t words, uint32_t aWords, uint32_t bWords, uint32_t (*pack)(double), bool packed) {
  return [=](const RandomStream &stream, uint64_t n) -> uint32_t {
    uint64_t lane = n % 32, word = n / 32 % words, index = n / 32 / words;
    bool addend = word >= aWords + bWords;
    auto number = [&](uint64_t part) -> double {
      uint64_t draw = 2 * n + part;
      if (index < 4) { // numbers that name their place, exact in every type
        if (addend)
          return 0;
        double place = static_cast<double>(lane + 32 * (word % aWords) + 128 * part);
        return (index % 2 == 0) == (word < aWords) ? 1 + place / 256 : static_cast<double>((draw * 7) % 5) - 2;
      }
      double scale = index % 4 == 0 ? 1 : std::exp2(static_cast<double>(stream.integer(draw + (1u << 30), -12, 12)));
      if (index % 4 == 1)
        scale = stream.integer(draw + (1u << 30), 0, 7) == 0 ? 4096 : 1;
      return stream.normal(draw) * scale;
    };
    if (addend) {
      if (index % 8 == 7 && lane == 3)
        return 0x7f800000; // infinity
      return bitsOf(number(0) * (index % 3 == 0 ? 65536 : 1));
    }
    if (index % 8 == 6 && lane == 5 && word == 0)
      return packed ? pack(INFINITY) & 0xffff : 0x7f800000;
    return packed ? (pack(number(0)) & 0xffff) | pack(number(1)) << 16 : pack(number(0));
  };
}

//===--- forms ---===//

struct Rule {
  enum class Kind { Bits, Relative, Absolute } kind = Kind::Bits;
  double bound = 0; // of the difference between f32 results
};
constexpr Rule kBits{};
constexpr Rule relative(double bound) { return {Rule::Kind::Relative, bound}; }
constexpr Rule absolute(double bound) { return {Rule::Kind::Absolute, bound}; }

struct Form {
  std::string name;
  uint32_t inputs, outputs, cases; // words of a lane, words of a lane, warps
  Words words;
  std::string body; // from %a0.. to %r0..; %f, %h and %p are free, `tile` is 512 bytes of shared memory
  Rule rule;
  int minimum = 80; // compute capability
};

std::string unary(const std::string &op) { return "mov.b32 %f0, %a0; " + op + " %f1, %f0; mov.b32 %r0, %f1;"; }
std::string binary(const std::string &op) {
  return "mov.b32 %f0, %a0; mov.b32 %f1, %a1; " + op + " %f2, %f0, %f1; mov.b32 %r0, %f2;";
}

std::vector<Form> forms() {
  std::vector<Form> list;
  // Bounds: PTX ISA, "Floating Point Instructions".
  struct Approximation {
    const char *op;
    double low, high;
    Rule rule;
  };
  const Approximation approximations[] = {
      {"ex2.approx.f32", -150, 150, relative(0x1p-22)},
      {"ex2.approx.ftz.f32", -150, 150, relative(0x1p-22)},
      {"lg2.approx.f32", 0, 16, absolute(0x1p-21)},
      {"lg2.approx.ftz.f32", 0, 16, absolute(0x1p-21)},
      {"rcp.approx.f32", -8, 8, relative(0x1p-23)},
      {"rcp.approx.ftz.f32", -8, 8, relative(0x1p-23)},
      {"rsqrt.approx.f32", 0, 64, relative(0x1p-22)},
      {"rsqrt.approx.ftz.f32", 0, 64, relative(0x1p-22)},
      {"sqrt.approx.f32", 0, 64, relative(0x1p-22)},
      {"tanh.approx.f32", -12, 12, relative(0x1p-10)},
      {"sin.approx.f32", -3.15, 3.15, absolute(0x1p-20)},
      {"cos.approx.f32", -3.15, 3.15, absolute(0x1p-20)},
      {"rcp.rn.f32", -8, 8, kBits},
      {"sqrt.rn.f32", 0, 64, kBits},
  };
  for (const Approximation &a : approximations)
    list.push_back({a.op, 1, 1, 32, sweep(a.low, a.high), unary(a.op), a.rule});
  for (const char *op : {"add.rn.f32", "mul.rn.f32", "sub.rn.ftz.f32", "min.f32", "max.f32", "min.NaN.f32",
                         "max.NaN.f32", "div.rn.f32", "copysign.f32"})
    list.push_back({op, 2, 1, 32, sweep(-4, 4), binary(op), kBits});
  list.push_back({"div.full.f32", 2, 1, 32, sweep(-4, 4), binary("div.full.f32"), relative(0x1p-22)});
  list.push_back({"fma.rn.f32", 3, 1, 32, sweep(-4, 4),
                  "mov.b32 %f0, %a0; mov.b32 %f1, %a1; mov.b32 %f2, %a2; fma.rn.f32 %f3, %f0, %f1, %f2; "
                  "mov.b32 %r0, %f3;",
                  kBits});
  for (const char *op : {"cvt.rmi.f32.f32", "cvt.rni.f32.f32", "cvt.rzi.f32.f32", "cvt.rpi.f32.f32"})
    list.push_back({op, 1, 1, 32, sweep(-100, 100), unary(op), kBits});
  for (const char *op : {"cvt.rmi.s32.f32", "cvt.rni.s32.f32", "cvt.rzi.s32.f32", "cvt.rna.tf32.f32"})
    list.push_back({op, 1, 1, 32, sweep(-1e6, 1e6), std::string("mov.b32 %f0, %a0; ") + op + " %r0, %f0;", kBits});
  list.push_back({"cvt.rn.f32.s32", 1, 1, 32, anyBits(), "cvt.rn.f32.s32 %f0, %a0; mov.b32 %r0, %f0;", kBits});
  for (const char *op : {"cvt.rn.bf16.f32", "cvt.rn.f16.f32"})
    list.push_back({op, 1, 1, 32, sweep(-70000, 70000),
                    std::string("mov.b32 %f0, %a0; ") + op + " %h0, %f0; cvt.u32.u16 %r0, %h0;", kBits});
  for (const char *op : {"cvt.rn.bf16x2.f32", "cvt.rn.f16x2.f32"})
    list.push_back({op, 2, 1, 32, sweep(-4, 4),
                    std::string("mov.b32 %f0, %a0; mov.b32 %f1, %a1; ") + op + " %r0, %f0, %f1;", kBits});
  list.push_back(
      {"cvt.f32.f16", 1, 1, 32, anyBits(), "cvt.u16.u32 %h0, %a0; cvt.f32.f16 %f0, %h0; mov.b32 %r0, %f0;", kBits});
  list.push_back({"prmt.b32", 3, 1, 16, anyBits(), "prmt.b32 %r0, %a0, %a1, %a2;", kBits});
  list.push_back({"shf.l.wrap.b32", 3, 1, 16, anyBits(), "shf.l.wrap.b32 %r0, %a0, %a1, %a2;", kBits});
  for (const char *mode : {"bfly", "up", "down", "idx"})
    list.push_back({std::string("shfl.sync.") + mode + ".b32", 1, 4, 4, anyBits(),
                    [&] {
                      std::string text;
                      const char *clamp = std::strcmp(mode, "up") == 0 ? "0" : "31";
                      for (int n = 0; n < 4; ++n)
                        text += std::string("shfl.sync.") + mode + ".b32 %r" + std::to_string(n) + ", %a0, " +
                                std::to_string(1 << n) + ", " + clamp + ", -1; ";
                      return text;
                    }(),
                    kBits});

  // Matrix products: operands A, B and the addend, one word after another.
  struct Product {
    const char *op;
    uint32_t a, b, c;
    uint32_t (*pack)(double);
    bool packed;
  };
  const Product products[] = {
      {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", 4, 2, 4, bf16Of, true},
      {"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 4, 2, 4, halfOf, true},
      {"mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", 2, 1, 4, bf16Of, true},
      {"mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", 2, 1, 4, halfOf, true},
      {"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", 4, 2, 4, bitsOf, false},
      {"mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32", 2, 1, 4, bitsOf, false},
  };
  for (const Product &p : products) {
    auto group = [](const char *letter, uint32_t first, uint32_t count) {
      std::string text = "{";
      for (uint32_t n = 0; n < count; ++n)
        text += std::string(n ? ", " : "") + "%" + letter + std::to_string(first + n);
      return text + "}";
    };
    std::string body;
    for (uint32_t n = 0; n < 4; ++n)
      body += "mov.b32 %f" + std::to_string(n) + ", %a" + std::to_string(p.a + p.b + n) + "; ";
    body += std::string(p.op) + " " + group("f", 0, 4) + ", " + group("a", 0, p.a) + ", " + group("a", p.a, p.b) +
            ", " + group("f", 0, 4) + "; ";
    for (uint32_t n = 0; n < 4; ++n)
      body += "mov.b32 %r" + std::to_string(n) + ", %f" + std::to_string(n) + "; ";
    uint32_t words = p.a + p.b + p.c;
    list.push_back({p.op, words, 4, 32, operands(words, p.a, p.b, p.pack, p.packed), body, kBits});
  }

  // Matrices from shared memory: a lane writes its four words as a row of 16 bytes and names a row by the fifth.
  for (const char *shape : {"x1", "x2", "x4"})
    for (const char *transposed : {"", ".trans"}) {
      std::string body = "shl.b32 %t0, %lane, 4; mov.u32 %t1, tile; add.u32 %t0, %t0, %t1; "
                         "st.shared.v4.b32 [%t0], {%a0, %a1, %a2, %a3}; bar.warp.sync -1; "
                         "and.b32 %t2, %a4, 31; shl.b32 %t2, %t2, 4; add.u32 %t2, %t2, %t1; ";
      int count = shape[1] - '0';
      std::string results;
      for (int n = 0; n < count; ++n)
        results += std::string(n ? ", " : "") + "%r" + std::to_string(n);
      std::string op = std::string("ldmatrix.sync.aligned.m8n8.") + shape + transposed + ".shared.b16";
      list.push_back(
          {op, 5, static_cast<uint32_t>(count), 4, anyBits(), body + op + " {" + results + "}, [%t2];", kBits});
    }
  return list;
}

/// The head of a module for this compute capability, times ten, at the lowest PTX version that knows it.
std::string moduleHead(int capability) {
  const char *version = capability >= 120   ? "8.7"
                        : capability >= 100 ? "8.6"
                        : capability >= 90  ? "8.0"
                        : capability >= 89  ? "7.8"
                        : capability >= 86  ? "7.1"
                                            : "7.0";
  return std::string(".version ") + version + "\n.target sm_" + std::to_string(capability) + "\n.address_size 64\n";
}

std::string kernelText(const Form &form, const std::string &name) {
  auto offset = [](const char *address, const char *base, uint32_t words) {
    return std::string("  mul.lo.u32 %t1, %t0, ") + std::to_string(words * 32) +
           "; add.u32 %t1, %t1, %lane;\n  mul.wide.u32 " + address + ", %t1, 4; add.u64 " + address + ", " + address +
           ", " + base + ";\n";
  };
  std::string text = "// " + form.name + "\n.visible .entry " + name +
                     "(.param .u64 in, .param .u64 out) {\n"
                     "  .reg .b64 %x<6>; .reg .b32 %a<12>, %r<5>, %t<6>, %lane; .reg .f32 %f<5>; .reg .b16 %h<4>;\n"
                     "  .shared .align 16 .b8 tile[512];\n"
                     "  ld.param.u64 %x0, [in]; ld.param.u64 %x1, [out];\n"
                     "  cvta.to.global.u64 %x0, %x0; cvta.to.global.u64 %x1, %x1;\n"
                     "  mov.u32 %lane, %tid.x; mov.u32 %t0, %ctaid.x;\n" +
                     offset("%x2", "%x0", form.inputs) + offset("%x3", "%x1", form.outputs);
  for (uint32_t n = 0; n < form.inputs; ++n)
    text += "  ld.global.b32 %a" + std::to_string(n) + ", [%x2+" + std::to_string(n * 128) + "];\n";
  text += "  " + form.body + "\n";
  for (uint32_t n = 0; n < form.outputs; ++n)
    text += "  st.global.b32 [%x3+" + std::to_string(n * 128) + "], %r" + std::to_string(n) + ";\n";
  return text + "  ret;\n}\n";
}

Result<std::vector<uint32_t>> runForm(Device &device, const Form &form, int capability) {
  RandomStream stream(20240229, form.name);
  std::vector<uint32_t> inputs(size_t{form.inputs} * form.cases * 32), outputs(size_t{form.outputs} * form.cases * 32);
  for (size_t n = 0; n < inputs.size(); ++n)
    inputs[n] = form.words(stream, n);
  Result<DeviceBuffer> in = DeviceBuffer::allocate(device, inputs.size() * 4);
  if (!in)
    return in.takeError();
  Result<DeviceBuffer> out = DeviceBuffer::allocate(device, outputs.size() * 4);
  if (!out)
    return out.takeError();
  if (Status s = device.upload(in->address(), inputs.data(), inputs.size() * 4); !s)
    return s.error();
  Result<ModuleHandle> module = device.loadModule(moduleHead(capability) + kernelText(form, "form"), form.name);
  if (!module)
    return module.takeError();
  Result<KernelHandle> kernel = device.findKernel(*module, "form");
  if (!kernel)
    return kernel.takeError();
  uint64_t addresses[2] = {in->address(), out->address()};
  if (Status s = device.launch(*kernel, {{form.cases, 1, 1}, {32, 1, 1}}, std::as_bytes(std::span(addresses))); !s)
    return s.error();
  if (Status s = device.download(outputs.data(), out->address(), outputs.size() * 4); !s)
    return s.error();
  if (Status s = device.unloadModule(*module); !s)
    return s.error();
  return outputs;
}

Result<std::unique_ptr<Device>> openDevice(const std::string &name) {
  if (name == "cuda")
    return openCudaDevice();
  EmulatorDeviceOptions options;
  options.emulator.accumulate = emulator::Accumulate::Exact;
  Result<std::unique_ptr<EmulatorDevice>> device = EmulatorDevice::create(options);
  if (!device)
    return device.takeError();
  return std::unique_ptr<Device>(std::move(*device));
}

//===--- commands ---===//

std::string ruleText(const Rule &rule) {
  char text[64];
  if (rule.kind == Rule::Kind::Bits)
    return "equal bits";
  std::snprintf(text, sizeof text, "%s difference at most %.3g",
                rule.kind == Rule::Kind::Relative ? "relative" : "absolute", rule.bound);
  return text;
}

int list() {
  for (const Form &form : forms())
    std::printf("%-56s %6u results  %s\n", form.name.c_str(), form.outputs * form.cases * 32,
                ruleText(form.rule).c_str());
  return 0;
}

int printModule(int capability) {
  std::string text = moduleHead(capability);
  size_t number = 0;
  for (const Form &form : forms())
    if (capability >= form.minimum)
      text += kernelText(form, "form_" + std::to_string(number++));
  std::fputs(text.c_str(), stdout);
  return 0;
}

int record(const std::string &path, const std::string &deviceName, int capability) {
  Result<std::unique_ptr<Device>> device = openDevice(deviceName);
  if (!device)
    return fail(device.error().message);
  if (deviceName == "cuda")
    capability = (*device)->facts().smVersion;
  std::vector<std::pair<std::string, Array>> arrays;
  double value = capability;
  Result<Array> target = Array::fromDoubles(StorageType::I32, {1}, std::span(&value, 1));
  if (!target)
    return fail(target.error().message);
  arrays.emplace_back("compute_capability", std::move(*target));
  for (const Form &form : forms()) {
    if (capability < form.minimum)
      continue;
    Result<std::vector<uint32_t>> results = runForm(**device, form, capability);
    if (!results)
      return fail(form.name + ": " + results.error().message);
    Result<Array> array = Array::create(StorageType::I32, {form.cases, form.outputs, 32});
    if (!array)
      return fail(array.error().message);
    std::memcpy(array->bytes().data(), results->data(), results->size() * 4);
    arrays.emplace_back(form.name, std::move(*array));
  }
  std::vector<std::pair<std::string, const Array *>> tensors;
  for (auto &[name, array] : arrays)
    tensors.emplace_back(name, &array);
  if (Status s = writeSafetensors(path, tensors); !s)
    return fail(s.error().message);
  std::printf("%zu forms of compute capability %d.%d on %s\n", arrays.size() - 1, capability / 10, capability % 10,
              (*device)->facts().name.c_str());
  return 0;
}

/// The difference in the sense of the rule; 0 where both are NaN or equal.
double difference(const Rule &rule, uint32_t expected, uint32_t actual) {
  if (expected == actual)
    return 0;
  if (rule.kind == Rule::Kind::Bits)
    return INFINITY;
  double a = std::bit_cast<float>(expected), b = std::bit_cast<float>(actual);
  if (std::isnan(a) && std::isnan(b))
    return 0;
  if (a == b) // zeros of two signs
    return 0;
  if (!std::isfinite(a) || !std::isfinite(b))
    return INFINITY;
  double distance = std::abs(a - b);
  return rule.kind == Rule::Kind::Absolute ? distance : distance / std::max(std::abs(a), 0x1p-126);
}

int compare(const std::string &path, const std::string &only) {
  Result<Safetensors> file = Safetensors::open(path);
  if (!file)
    return fail(file.error().message);
  Result<Array> target = file->get("compute_capability");
  if (!target)
    return fail(target.error().message);
  int capability = static_cast<int>(target->value(0));
  Result<std::unique_ptr<Device>> device = openDevice("emulator");
  if (!device)
    return fail(device.error().message);
  std::vector<Form> known = forms();
  size_t compared = 0, wrong = 0;
  for (const Safetensors::Entry &entry : file->entries()) {
    if (entry.name == "compute_capability" || (!only.empty() && entry.name != only))
      continue;
    auto form = std::find_if(known.begin(), known.end(), [&](const Form &f) { return f.name == entry.name; });
    if (form == known.end())
      return fail(path + " has the form '" + entry.name + "', which this program does not know");
    Result<Array> array = file->get(entry.name);
    if (!array)
      return fail(array.error().message);
    Result<std::vector<uint32_t>> results = runForm(**device, *form, capability);
    if (!results)
      return fail(form->name + ": " + results.error().message);
    if (array->bytes().size() != results->size() * 4)
      return fail(path + ": the form '" + entry.name + "' has another number of results; record it again");
    std::vector<uint32_t> expected(results->size());
    std::memcpy(expected.data(), array->bytes().data(), array->bytes().size());
    size_t bad = 0, first = 0;
    double worst = 0;
    for (size_t n = 0; n < expected.size(); ++n) {
      double d = difference(form->rule, expected[n], (*results)[n]);
      if (d > form->rule.bound && bad++ == 0)
        first = n;
      worst = std::max(worst, d);
    }
    ++compared;
    wrong += bad != 0;
    std::printf("%s %-56s", bad ? "FAILED" : "ok    ", form->name.c_str());
    if (form->rule.kind != Rule::Kind::Bits)
      std::printf(" %.3g of %.3g", worst, form->rule.bound);
    if (bad)
      std::printf("  %zu of %zu results differ; case %zu, word %zu, lane %zu: recorded 0x%08x, emulated 0x%08x", bad,
                  expected.size(), first / 32 / form->outputs, first / 32 % form->outputs, first % 32, expected[first],
                  (*results)[first]);
    std::printf("\n");
  }
  std::printf("%zu forms compared, %zu differ\n", compared, wrong);
  return compared == 0 || wrong ? 1 : 0;
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app("Golden vectors of GPU instructions");
  app.require_subcommand(1);
  std::string path, device = "cuda", form;
  int capability = 80;
  app.add_subcommand("list", "The forms and their rules");
  CLI::App *printing = app.add_subcommand("ptx", "All forms as one module, for an assembler to read");
  printing->add_option("--capability", capability, "80, 86, 89, 90, 100, 120")->capture_default_str();
  CLI::App *recording = app.add_subcommand("record", "Run every form and write its results");
  recording->add_option("file", path, "safetensors file to write")->required();
  recording->add_option("--device", device, "cuda, or emulator for a test of this program")
      ->check(CLI::IsMember({"cuda", "emulator"}))
      ->capture_default_str();
  recording->add_option("--capability", capability, "that the emulator takes on: 80, 86, 89, 90")
      ->capture_default_str();
  CLI::App *comparing = app.add_subcommand("compare", "Run the forms on the emulator and compare");
  comparing->add_option("file", path, "safetensors file as record wrote it")->required();
  comparing->add_option("--form", form, "this one only");
  CLI11_PARSE(app, argc, argv);
  if (app.got_subcommand("list"))
    return list();
  if (app.got_subcommand(printing))
    return printModule(capability);
  return app.got_subcommand(recording) ? record(path, device, capability) : compare(path, form);
}
