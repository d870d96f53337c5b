#!/usr/bin/env python3
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Each rule of lint.py finds what it is for, and lets pass what is right."""

import sys
import unittest

import lint

HEADER = "".join(f"// {line}\n" for line in lint.LICENSE)


def problems(rule, **texts):
    """Problems of one rule in a tree given as path=text; __ stands for / and the last _ for the dot."""
    return problems_in(rule, {name.replace("__", "/")[::-1].replace("_", ".", 1)[::-1]: text for name, text in texts.items()})


def problems_in(rule, texts):
    return list(lint.RULES[rule](lint.Tree(".", texts)))


class Includes(unittest.TestCase):
    def refused(self, path, target):
        return problems_in("includes", {path: f'#include "{target}"\n'}) != []

    def test_layers(self):
        for path, target in (
            ("runtime/abi/A.cpp", "llvm/ADT/StringRef.h"),
            ("runtime/abi/A.cpp", "runtime/host/Npy.h"),
            ("runtime/host/A.h", "mlir/IR/Value.h"),
            ("runtime/emulator/A.cpp", "frontend/syntax/Tree.h"),
            ("runtime/host/A.cpp", "runtime/cuda/Driver.h"),
            ("frontend/syntax/A.cpp", "mlir/IR/Value.h"),
            ("frontend/sema/A.cpp", "dialect/attn/Attn.h"),
            ("dialect/attn/A.cpp", "passes/attn/Passes.h"),
            ("dialect/attn/A.cpp", "dialect/tile/TileDialect.h"),
            ("dialect/attn/A.cpp", "runtime/abi/Plan.h"),
            ("dialect/tile/A.cpp", "mlir/Pass/Pass.h"),
            ("passes/tile/A.cpp", "codegen/ptx/Ptx.h"),
            ("passes/tile/A.cpp", "reference/attn/Interpreter.h"),
            ("passes/tile/A.cpp", "mlir/Dialect/LLVMIR/NVVMDialect.h"),
            ("codegen/ptx/A.cpp", "runtime/host/Npy.h"),
            ("codegen/ptx/A.cpp", "passes/schedule/Schedule.h"),
            ("codegen/ptx/A.cpp", "frontend/driver/Driver.h"),
            ("reference/attn/A.cpp", "passes/attn/Passes.h"),
            ("frontend/tools/A.cpp", "test/unit/Common.h"),
            ("dialect/attn/A.cpp", "../tile/TileDialect.h"),
            ("elsewhere/A.cpp", "runtime/abi/Plan.h"),
        ):
            with self.subTest(path=path, target=target):
                self.assertTrue(self.refused(path, target))

    def test_allowed(self):
        for path, target in (
            ("runtime/host/A.cpp", "runtime/abi/Plan.h"),
            ("dialect/tile/A.cpp", "dialect/common/Layout.h"),
            ("dialect/tile/A.cpp", "dialect/tile/TileOps.h.inc"),
            ("passes/tile/A.cpp", "mlir/Pass/Pass.h"),
            ("codegen/ptx/A.cpp", "mlir/Dialect/LLVMIR/NVVMDialect.h"),
            ("codegen/ptx/A.cpp", "passes/analysis/Ranges.h"),
            ("reference/attn/A.cpp", "runtime/host/Array.h"),
            ("frontend/tools/A.cpp", "codegen/ptx/Ptx.h"),
            ("frontend/sema/A.cpp", "frontend/syntax/Tree.h"),
            ("test/unit/host/A.cpp", "runtime/host/Npy.h"),
            ("runtime/abi/A.cpp", "vector"),
        ):
            with self.subTest(path=path, target=target):
                self.assertFalse(self.refused(path, target))

    def test_tablegen_and_angle_brackets(self):
        self.assertTrue(problems_in("includes", {"dialect/attn/A.td": 'include "passes/attn/Passes.td"\n'}))
        self.assertTrue(problems_in("includes", {"runtime/abi/A.cpp": "#  include <llvm/ADT/Twine.h>\n"}))


class License(unittest.TestCase):
    def test_sources(self):
        self.assertFalse(problems("license", a__B_cpp=HEADER + "int x;\n"))
        self.assertTrue(problems("license", a__B_cpp="int x;\n"))
        self.assertTrue(problems("license", a__B_td=HEADER.splitlines()[0] + "\n"))

    def test_scripts(self):
        lines = "".join(f"# {line}\n" for line in lint.LICENSE)
        self.assertFalse(problems("license", a__b_py="#!/usr/bin/env python3\n" + lines))
        self.assertFalse(problems("license", a__b_py=lines))
        self.assertTrue(problems_in("license", {"dev": "#!/bin/bash\nset -e\n"}))


class Paths(unittest.TestCase):
    def test_machine_paths(self):
        slash = "/"
        self.assertTrue(problems("paths", a_md=f"see {slash}home/someone/x\n"))
        self.assertTrue(problems("paths", a_md=f"cd {slash}tmp/x\n"))
        self.assertFalse(problems("paths", a_md=f"$build{slash}tmp/x, a{slash}home/b, {slash}usr/lib/llvm-22 and \"/\"\n"))

    def test_merge(self):
        self.assertTrue(problems("paths", a_md="<" * 7 + " HEAD\n"))
        self.assertFalse(problems("paths", a_md="  indented\n=======\n"))


class Passes(unittest.TestCase):
    TD = 'def FooPass : Pass<"attn-foo"> {\n'

    def test_needs_a_test(self):
        self.assertTrue(problems_in("passes", {"passes/attn/Passes.td": self.TD}))
        self.assertFalse(problems_in("passes", {"passes/attn/Passes.td": self.TD, "test/passes/attn/attn-foo.mlir": ""}))
        self.assertTrue(problems_in("passes", {"passes/attn/Passes.td": self.TD, "test/passes/attn/attn-foo-invalid.mlir": ""}))


class Examples(unittest.TestCase):
    def test_named_or_looped_over(self):
        example = {"examples/causal.attn": "", "examples/maps/rope.attn": ""}
        self.assertEqual(len(problems_in("examples", example)), 2)
        self.assertEqual(len(problems_in("examples", {**example, "test/a.test": "RUN: x %examples/*.attn examples/*.attn\n"})), 1)
        named = {"test/a.test": "RUN: fovea %examples/causal.attn %examples/maps/rope.attn\n"}
        self.assertEqual(problems_in("examples", {**example, **named}), [])
        self.assertEqual(len(problems_in("examples", {**example, "examples/causal.attn": 'import "maps/rope" (rotated)\n'})), 1)
        self.assertEqual(len(problems_in("examples", {"examples/x.attn": "", "test/a.test": "RUN: fovea %examples/max.attn\n"})), 1)


class UnitFolders(unittest.TestCase):
    def test_source_and_folder(self):
        tree = {
            "test/unit/CMakeLists.txt": "add_subdirectory(host)\n",
            "test/unit/host/CMakeLists.txt": "fovea_unit_test(HostTests NpyTest.cpp)\n",
            "test/unit/host/NpyTest.cpp": "",
        }
        self.assertEqual(problems_in("unit-folders", tree), [])
        self.assertTrue(problems_in("unit-folders", {**tree, "test/unit/host/CompareTest.cpp": ""}))
        self.assertTrue(problems_in("unit-folders", {**tree, "test/unit/host/XNpyTest.cpp": ""}))
        self.assertTrue(problems_in("unit-folders", {**tree, "test/unit/CMakeLists.txt": ""}))


class CMake(unittest.TestCase):
    def test_named_files_exist(self):
        tree = {"CMakeLists.txt": "add_subdirectory(a)\n", "a/CMakeLists.txt": "fovea_library(A B.cpp)  # no C.cpp\n", "a/B.cpp": ""}
        self.assertEqual(problems_in("cmake", tree), [])
        self.assertEqual(len(problems_in("cmake", {k: v for k, v in tree.items() if k != "a/B.cpp"})), 1)
        self.assertEqual(len(problems_in("cmake", {"CMakeLists.txt": "add_subdirectory(a)\n"})), 1)
        self.assertEqual(problems_in("cmake", {"CMakeLists.txt": "tblgen(Ops.h.inc Ops.cpp.inc \"${X}/cmake/pch.cpp\")\n"}), [])


class Packages(unittest.TestCase):
    def test_lines(self):
        self.assertEqual(problems("packages", packages_txt="# why\ng++\nlibmlir-22-dev # x\n"), [])
        self.assertTrue(problems("packages", packages_txt="g++ cmake\n"))
        self.assertTrue(problems("packages", packages_txt="cmake\ncmake\n"))


if __name__ == "__main__":
    sys.exit(unittest.main())
