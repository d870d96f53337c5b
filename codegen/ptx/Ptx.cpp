// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The NVPTX back end, with what helps kernels of this kind switched on and what hurts them switched off.
#include "codegen/ptx/Ptx.h"

#include "dialect/common/Target.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/OptBisect.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"

#include <mutex>

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

extern "C" void LLVMInitializeNVPTXTargetInfo();
extern "C" void LLVMInitializeNVPTXTarget();
extern "C" void LLVMInitializeNVPTXTargetMC();
extern "C" void LLVMInitializeNVPTXAsmPrinter();

namespace {

/// Straight-line strength reduction turns base-plus-constant addresses into chains of additions: it takes nineteen
/// twentieths of the time for wide heads and its long live ranges spill. Loads and stores are as wide as they can be
/// when they come here: looking for neighbours takes a sixth of the time and finds none, and so it is with sums in
/// another order.
class SkippedPasses : public llvm::OptPassGate {
public:
  bool shouldRunPass(StringRef pass, StringRef) const override {
    return !pass.contains_insensitive("straight line strength reduction") &&
           !pass.contains_insensitive("load and store vectorizer") && !pass.contains_insensitive("nary reassociation");
  }
  bool isEnabled() const override { return true; }
};

void initializeOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    // Shared-memory addresses in 32 bits: half the registers and instructions of 64.
    auto &options = llvm::cl::getRegisteredOptions();
    if (auto found = options.find("nvptx-short-ptr"); found != options.end())
      found->second->addOccurrence(0, "nvptx-short-ptr", "true");
  });
}

struct Translated {
  std::unique_ptr<llvm::LLVMContext> context = std::make_unique<llvm::LLVMContext>();
  std::unique_ptr<llvm::Module> module;
  std::unique_ptr<llvm::TargetMachine> machine;
};

llvm::Expected<std::unique_ptr<Translated>> translate(ModuleOp module, const Target &target) {
  initializeOnce();
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  module.getContext()->appendDialectRegistry(registry);

  auto result = std::make_unique<Translated>();
  static SkippedPasses gate;
  result->context->setOptPassGate(gate);
  result->module = translateModuleToLLVMIR(module, *result->context, "fovea");
  if (!result->module)
    return llvm::createStringError("the kernels could not be translated to LLVM IR");
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string error;
  const llvm::Target *llvmTarget = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!llvmTarget)
    return llvm::createStringError("this LLVM has no NVPTX back end: %s", error.c_str());
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  // Not `Aggressive`: its value numbering takes a quarter of the time, and what it finds has been found before.
  result->machine.reset(llvmTarget->createTargetMachine(triple, target.name, target.ptxFeature, options, std::nullopt,
                                                        std::nullopt, llvm::CodeGenOptLevel::Default));
  result->module->setTargetTriple(triple);
  result->module->setDataLayout(result->machine->createDataLayout());
  return result;
}

} // namespace

llvm::Expected<std::string> codegen::translateToLlvm(ModuleOp module, const Target &target) {
  auto translated = translate(module, target);
  if (!translated)
    return translated.takeError();
  std::string text;
  llvm::raw_string_ostream stream(text);
  (*translated)->module->print(stream, nullptr);
  return text;
}

llvm::Expected<std::string> codegen::translateToPtx(ModuleOp module, const Target &target) {
  auto translated = translate(module, target);
  if (!translated)
    return translated.takeError();
  llvm::SmallString<0> text;
  llvm::raw_svector_ostream stream(text);
  llvm::legacy::PassManager passes;
  if ((*translated)->machine->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::AssemblyFile))
    return llvm::createStringError("the NVPTX back end cannot print assembly");
  passes.run(*(*translated)->module);
  return std::string(text);
}

std::optional<std::string> codegen::findPtxas() {
  if (const char *path = std::getenv("FOVEA_PTXAS"))
    return llvm::sys::fs::can_execute(path) ? std::optional<std::string>(path) : std::nullopt;
  if (auto found = llvm::sys::findProgramByName("ptxas"))
    return *found;
  for (const char *folder : {"/usr/local/cuda/bin", "/opt/cuda/bin"})
    if (auto found = llvm::sys::findProgramByName("ptxas", {folder}))
      return *found;
  return std::nullopt;
}

llvm::Expected<Assembled> codegen::assemble(StringRef ptx, const Target &target) {
  std::optional<std::string> ptxas = findPtxas();
  if (!ptxas)
    return llvm::createStringError("no ptxas found (looked at FOVEA_PTXAS, PATH and the CUDA toolkit)");
  llvm::SmallString<128> input, output, log;
  llvm::scope_exit remove([&] {
    for (auto *file : {&input, &output, &log})
      if (!file->empty())
        (void)llvm::sys::fs::remove(*file);
  });
  int descriptor;
  if (auto error = llvm::sys::fs::createTemporaryFile("fovea", "ptx", descriptor, input))
    return llvm::createStringError(error, "no temporary file: %s", error.message().c_str());
  {
    llvm::raw_fd_ostream stream(descriptor, /*shouldClose=*/true);
    stream << ptx;
    stream.flush();
    if (stream.has_error()) {
      std::string message = stream.error().message();
      stream.clear_error();
      return llvm::createStringError("cannot write %s: %s", input.c_str(), message.c_str());
    }
  }
  if (llvm::sys::fs::createTemporaryFile("fovea", "cubin", output) ||
      llvm::sys::fs::createTemporaryFile("fovea", "log", log))
    return llvm::createStringError("no temporary file");
  std::string arch = "-arch=" + std::string(target.name);
  std::optional<StringRef> redirects[] = {std::nullopt, StringRef(log), StringRef(log)};
  std::string problem;
  int status = llvm::sys::ExecuteAndWait(*ptxas, {*ptxas, arch, "-v", "-o", output, input}, std::nullopt, redirects, 0,
                                         0, &problem);
  Assembled result;
  if (auto text = llvm::MemoryBuffer::getFile(log))
    result.log = (*text)->getBuffer().str();
  if (status < 0)
    return llvm::createStringError("ptxas crashed: %s", (problem + result.log).c_str());
  if (status)
    return llvm::createStringError("ptxas refused the kernels:\n%s", result.log.c_str());
  auto cubin = llvm::MemoryBuffer::getFile(output);
  if (!cubin)
    return llvm::createStringError("ptxas wrote nothing");
  result.cubin = (*cubin)->getBuffer().str();
  llvm::Regex entry("Compiling entry function '([^']+)'"), used("Used ([0-9]+) registers"),
      stack("([0-9]+) bytes stack frame, ([0-9]+) bytes spill stores, ([0-9]+) bytes spill loads");
  SmallVector<StringRef> lines, match;
  StringRef(result.log).split(lines, '\n');
  for (StringRef line : lines) {
    if (entry.match(line, &match))
      result.kernels.push_back({match[1].str()});
    else if (result.kernels.empty())
      continue;
    else if (stack.match(line, &match)) {
      match[1].getAsInteger(10, result.kernels.back().stackBytes);
      match[2].getAsInteger(10, result.kernels.back().spillStores);
      match[3].getAsInteger(10, result.kernels.back().spillLoads);
    } else if (used.match(line, &match))
      match[1].getAsInteger(10, result.kernels.back().registers);
  }
  return result;
}
