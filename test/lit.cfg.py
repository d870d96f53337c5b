# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How lit runs the tests of Fovea. Values of the build come from lit.site.cfg.py."""
import ctypes
import os
import shutil
import sys

import lit.formats

config.name = "Fovea"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".attn", ".test"]
config.excludes = ["Inputs", "CMakeLists.txt", "unit", "fuzz"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.fovea_build_dir, "test")

config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.fovea_build_dir, "bin"), config.llvm_tools_dir, config.environment.get("PATH", "")]
)
# A variable of one function must not match in the next.
config.environment["FILECHECK_OPTS"] = "-enable-var-scope"

# Tests compile what they test; those of the cache name a folder of their own.
config.environment["FOVEA_CACHE"] = "off"

config.substitutions.append(("%examples", os.path.join(config.fovea_source_dir, "examples")))
config.substitutions.append(("%source", config.fovea_source_dir))
config.substitutions.append(("%bin", os.path.join(config.fovea_build_dir, "bin")))
config.substitutions.append(("%python", sys.executable))
for name in ("HOME", "FOVEA_SEED", "FOVEA_SECONDS", "ASAN_OPTIONS", "UBSAN_OPTIONS"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

# Tests say REQUIRES: ptxas where they need the assembler.
ptxas = shutil.which("ptxas", path=config.environment["PATH"]) or shutil.which("ptxas", path="/usr/local/cuda/bin")
if ptxas:
    config.available_features.add("ptxas")
    config.substitutions.append(("%ptxas", ptxas))
# Tests say REQUIRES: browser where they look at a page.
if shutil.which("chromium") or shutil.which("google-chrome"):
    config.available_features.add("browser")


def has_gpu():
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


# Tests say REQUIRES: gpu where they launch kernels on one.
if has_gpu():
    config.available_features.add("gpu")

# Tests say REQUIRES: golden where they read results that a GPU gave.
if any(name.endswith(".safetensors") for _, _, names in os.walk(os.path.join(config.test_source_root, "golden", "recorded")) for name in names):
    config.available_features.add("golden")
