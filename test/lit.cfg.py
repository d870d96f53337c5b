# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How lit runs the tests of Fovea. Values of the build come from lit.site.cfg.py."""
import os
import shutil

import lit.formats

config.name = "Fovea"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".attn", ".test"]
config.excludes = ["Inputs", "CMakeLists.txt"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.fovea_build_dir, "test")

config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.fovea_build_dir, "bin"), config.llvm_tools_dir, config.environment.get("PATH", "")]
)
# A variable of one function must not match in the next.
config.environment["FILECHECK_OPTS"] = "-enable-var-scope"

config.substitutions.append(("%examples", os.path.join(config.fovea_source_dir, "examples")))
config.substitutions.append(("%source", config.fovea_source_dir))

# Tests say REQUIRES: ptxas where they need the assembler.
ptxas = shutil.which("ptxas", path=config.environment["PATH"]) or shutil.which("ptxas", path="/usr/local/cuda/bin")
if ptxas:
    config.available_features.add("ptxas")
    config.substitutions.append(("%ptxas", ptxas))
