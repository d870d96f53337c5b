// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea-translate: a scheduled tile program, on standard input or in a file, to NVVM, LLVM IR or PTX. For tests of code
// generation.
#include "codegen/ptx/Ptx.h"
#include "codegen/tile-to-nvvm/TileToNvvm.h"
#include "dialect/common/Target.h"
#include "dialect/tile/TileDialect.h"
#include "frontend/registration/Registration.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"

namespace cl = llvm::cl;
using namespace fovea;

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  static cl::opt<std::string> input(cl::Positional, cl::desc("<scheduled tile program>"), cl::init("-"));
  static cl::opt<std::string> targetName("target", cl::desc("architecture, as sm_80"), cl::init("sm_80"));
  static cl::opt<std::string> emit("emit", cl::desc("nvvm, llvm, ptx or resources (what ptxas says)"), cl::init("ptx"));
  static cl::opt<bool> kernels("kernels", cl::desc("also list each kernel's parameters"), cl::init(false));
  cl::ParseCommandLineOptions(argc, argv, "scheduled tile programs to NVVM, LLVM IR and PTX\n");

  const Target *target = Target::find(targetName.getValue());
  if (!target) {
    llvm::errs() << "unknown target '" << targetName << "'; known: " << Target::names() << "\n";
    return 1;
  }
  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  mlir::MLIRContext context(registry);
  std::string error;
  auto file = mlir::openInputFile(input, &error);
  if (!file) {
    llvm::errs() << error << "\n";
    return 1;
  }
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(file), llvm::SMLoc());
  mlir::SourceMgrDiagnosticHandler diagnostics(sources, &context);
  auto module = mlir::parseSourceFile<mlir::ModuleOp>(sources, &context);
  if (!module)
    return 1;
  for (auto program : module->getOps<tile::ProgramOp>()) {
    auto lowered = codegen::lowerToNvvm({program}, *target);
    if (mlir::failed(lowered))
      return 1;
    if (kernels)
      for (const codegen::Kernel &kernel : lowered->kernels) {
        llvm::outs() << "// kernel " << kernel.name << " threads " << kernel.threads << " shared " << kernel.sharedBytes
                     << " grid " << kernel.grid << "\n";
        for (const codegen::KernelArgument &argument : kernel.arguments)
          llvm::outs() << "//   "
                       << (argument.kind == codegen::KernelArgument::Kind::Pointer  ? "pointer "
                           : argument.kind == codegen::KernelArgument::Kind::Stride ? "stride "
                                                                                    : "axis ")
                       << argument.name << " " << argument.dim << "\n";
      }
    if (emit == "nvvm") {
      lowered->module->print(llvm::outs());
      continue;
    }
    auto text = emit == "llvm" ? codegen::translateToLlvm(*lowered->module, *target)
                               : codegen::translateToPtx(*lowered->module, *target);
    if (!text) {
      llvm::errs() << llvm::toString(text.takeError()) << "\n";
      return 1;
    }
    if (emit != "resources") {
      llvm::outs() << *text;
      continue;
    }
    auto assembled = codegen::assemble(*text, *target);
    if (!assembled) {
      llvm::errs() << llvm::toString(assembled.takeError()) << "\n";
      return 1;
    }
    for (const codegen::KernelResources &kernel : assembled->kernels)
      llvm::outs() << kernel.kernel << ": " << kernel.registers << " registers, " << kernel.spillStores
                   << " bytes of spill stores, " << kernel.spillLoads << " of spill loads\n";
  }
  return 0;
}
