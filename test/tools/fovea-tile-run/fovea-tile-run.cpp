// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea-tile-run: runs a tile program on random inputs, prints its outputs or compares them with another program's. For
// tests; exit status 0 only if everything ran and agreed.
#include "reference/tile/TileInterpreter.h"
#include "runtime/host/Compare.h"
#include "runtime/host/Random.h"

#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"

using namespace fovea;
using namespace fovea::tile;

namespace cl = llvm::cl;

static cl::opt<std::string> file(cl::Positional, cl::Required, cl::desc("<program.mlir>"));
static cl::list<std::string> axisList("axes", cl::CommaSeparated, cl::desc("sizes, as in B=1,T=100"));
static cl::opt<std::string> program("program", cl::desc("the program of the file to run; default: its first"));
static cl::opt<std::string> other("compare", cl::desc("a file whose program gives the expected outputs, in doubles"));
static cl::opt<std::string> otherProgram("compare-program", cl::desc("the program of that file; default: its first"));
static cl::opt<double> tolerance("tolerance", cl::init(1e-12), cl::desc("greatest relative 2-norm of the difference"));
static cl::opt<std::string> precision("precision", cl::init("exact"), cl::desc("exact, f32 or rounded"));
static cl::opt<unsigned> seed("seed", cl::init(1), cl::desc("seed of the inputs"));
static cl::opt<bool> lazyRoles("lazy-roles", cl::desc("run the last role first"));
static cl::opt<bool> all("all",
                         cl::desc("run every program; attribute expected_error names the error it must end with"));
static cl::opt<bool> print("print", cl::desc("print the outputs"));

static int fail(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << '\n';
  return 1;
}

static ProgramOp find(mlir::ModuleOp module, llvm::StringRef name) {
  for (auto op : module.getOps<ProgramOp>())
    if (name.empty() || op.getSymName() == name)
      return op;
  return {};
}

/// Draws the inputs of a program.
static llvm::Expected<std::map<std::string, Tensor>> draw(ProgramOp program,
                                                          const std::map<std::string, int64_t> &axes) {
  std::map<std::string, Tensor> inputs;
  for (auto op : program.getBody().getOps<TensorOp>()) {
    if (op.getRole() == "output")
      continue;
    auto shape = evaluateShape(op.getDims(), op.getView().getType(), axes);
    if (!shape)
      return shape.takeError();
    Tensor tensor{*shape, {}};
    int64_t elements = 1;
    for (int64_t size : *shape)
      elements *= size;
    runtime::RandomStream stream(seed, op.getName().str());
    mlir::Type type = op.getView().getType().getElementType();
    for (int64_t i = 0; i < elements; ++i)
      tensor.data.push_back(mlir::isa<mlir::FloatType>(type) ? roundToStorage(stream.normal(i), type)
                                                             : double(stream.integer(i, 0, type.isInteger(1) ? 1 : 7)));
    inputs[op.getName().str()] = std::move(tensor);
  }
  return inputs;
}

/// Runs all programs of the file; each fails with the text of its attribute `expected_error`, or succeeds without one.
static int runAll(mlir::ModuleOp module, const std::map<std::string, int64_t> &axes, const RunOptions &options) {
  int status = 0;
  for (auto op : module.getOps<ProgramOp>()) {
    auto inputs = draw(op, axes);
    std::string error =
        inputs ? llvm::toString(runTileProgram(op, axes, *inputs, options)) : llvm::toString(inputs.takeError());
    auto expected = op->getAttrOfType<mlir::StringAttr>("expected_error");
    bool right = expected ? error.find(expected.getValue().str()) != std::string::npos : error.empty();
    if (!right)
      status = fail("@" + op.getSymName() + ": " + (error.empty() ? "no error" : error) +
                    (expected ? "\n  expected: " + expected.getValue() : ""));
  }
  return status;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::ParseCommandLineOptions(argc, argv, "Runs a tile program on random inputs\n");
  std::map<std::string, int64_t> axes;
  for (llvm::StringRef item : axisList) {
    auto [name, size] = item.split('=');
    if (size.getAsInteger(10, axes[name.str()]))
      return fail("--axes takes NAME=SIZE, not '" + item + "'");
  }
  RunOptions options;
  options.lazyRoles = lazyRoles;
  auto chosen = llvm::StringSwitch<std::optional<Precision>>(precision)
                    .Case("exact", Precision::Exact)
                    .Case("f32", Precision::F32)
                    .Case("rounded", Precision::Rounded)
                    .Default(std::nullopt);
  if (!chosen)
    return fail("--precision takes exact, f32 or rounded");
  options.precision = *chosen;

  mlir::DialectRegistry registry;
  registry.insert<TileDialect>();
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  mlir::ParserConfig config(&context);
  auto module = mlir::parseSourceFile<mlir::ModuleOp>(file, config);
  if (!module)
    return 1;
  if (all)
    return runAll(*module, axes, options);
  ProgramOp first = find(*module, program);
  if (!first)
    return fail("no such program in " + file);
  auto drawn = draw(first, axes);
  if (!drawn)
    return fail(llvm::toString(drawn.takeError()));
  const std::map<std::string, Tensor> &inputs = *drawn;

  auto results = inputs;
  if (llvm::Error error = runTileProgram(first, axes, results, options))
    return fail(llvm::toString(std::move(error)));
  if (print)
    for (auto op : first.getBody().getOps<TensorOp>()) {
      if (op.getRole() != "output" && op.getRole() != "carry")
        continue;
      llvm::outs() << op.getName() << " =";
      for (double value : results[op.getName().str()].data)
        llvm::outs() << llvm::format(" %.6g", value);
      llvm::outs() << '\n';
    }
  if (other.empty())
    return 0;

  auto otherModule = mlir::parseSourceFile<mlir::ModuleOp>(other, config);
  if (!otherModule)
    return 1;
  ProgramOp second = find(*otherModule, otherProgram);
  if (!second)
    return fail("no such program in " + other);
  auto expected = inputs;
  if (llvm::Error error = runTileProgram(second, axes, expected))
    return fail(llvm::toString(std::move(error)));
  unsigned compared = 0;
  bool same = true;
  for (auto op : second.getBody().getOps<TensorOp>()) {
    if (op.getRole() != "output" && op.getRole() != "carry")
      continue;
    std::string name = op.getName().str();
    const Tensor &want = expected[name], &got = results[name];
    if (got.shape != want.shape)
      return fail("'" + name + "' is no output of both programs, of one shape");
    runtime::CompareOptions how;
    how.relative2 = tolerance;
    auto comparison = runtime::compare(got.data, want.data, how);
    if (!comparison.ok())
      return fail(comparison.error().message);
    llvm::outs() << name << ": " << comparison->format(want.shape) << '\n';
    same &= comparison->passed;
    ++compared;
  }
  if (!compared)
    return fail("the programs have no output");
  return same ? 0 : fail("outputs differ");
}
