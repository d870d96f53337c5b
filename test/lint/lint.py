#!/usr/bin/env python3
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rules about the text of the repository that no compiler checks. `lint.py` runs all, `lint.py NAME...` some.

A rule takes a Tree and gives messages `path:line: what is wrong, what would be right`. lint_test.py shows that each
rule finds what it is for.
"""

import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

# Who may include whom: the longest folder that contains a file decides; a folder may always include itself and what
# lies below it. Folders outside this repository: "mlir" stands for mlir/, mlir-c/, llvm/ and llvm-c/.
ALLOWED = {
    "runtime/abi": [],
    "runtime/host": ["runtime/abi", "runtime/cache"],
    "runtime/cuda": ["runtime/abi", "runtime/host"],
    "runtime/emulator": ["runtime/abi", "runtime/host"],
    "runtime/emulator_device": ["runtime/abi", "runtime/host", "runtime/emulator"],
    "runtime/cache": ["runtime/abi"],
    "runtime/npz": ["runtime/abi", "runtime/host"],
    "runtime/api": ["runtime/abi", "runtime/host", "runtime/cuda", "runtime/emulator_device", "runtime/emulator"],
    "frontend/syntax": ["runtime/abi"],
    "frontend/sema": ["frontend/syntax", "runtime/abi"],
    "dialect/common": ["mlir"],
    "dialect/attn": ["dialect/common", "mlir"],
    "dialect/tile": ["dialect/common", "dialect/attn", "mlir"],
    "passes/analysis": ["dialect", "mlir"],
    "passes": ["dialect", "mlir"],
    "codegen": ["dialect", "passes/analysis", "runtime/abi", "mlir"],
    "reference": ["dialect", "runtime/abi", "runtime/host", "mlir"],
    "frontend": ["dialect", "passes", "codegen", "reference", "runtime", "mlir"],
    "bench": ["dialect", "passes", "codegen", "reference", "runtime", "frontend", "mlir"],
    "test": ["dialect", "passes", "codegen", "reference", "runtime", "frontend", "mlir"],
    "cmake": ["mlir"],
}
# Parts of MLIR and LLVM that a folder must not include although it may include the rest.
BARRED = {
    "dialect": ["mlir/Pass/", "mlir/Conversion/", "mlir/Target/", "mlir/Transforms/GreedyPatternRewriteDriver.h",
                "mlir/Transforms/DialectConversion.h", "mlir/Transforms/Passes.h"],
    "passes": ["mlir/Dialect/LLVMIR/", "mlir/Target/", "mlir/Conversion/"],
}
EXTERNAL = ("mlir/", "mlir-c/", "llvm/", "llvm-c/")
SOURCES = (".h", ".cpp", ".td", ".c", ".cu")
LICENSE = ("Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.",
           "SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception")


class Tree:
    """Paths relative to the root, with their text: what git tracks, or all files where git knows nothing."""

    def __init__(self, root, texts=None):
        self.root = Path(root)
        self.texts = texts
        if texts is not None:
            self.paths = sorted(texts)
            return
        listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=False)
        if listed.returncode == 0 and listed.stdout:
            names = listed.stdout.decode().split("\0")
        else:
            names = [str(p.relative_to(root)) for p in self.root.rglob("*")
                     if not re.match(r"(build[^/]*|\.git)(/|$)", str(p.relative_to(root)))]
        self.paths = sorted(n for n in names if n and (self.root / n).is_file())

    def text(self, path):
        if self.texts is not None:
            return self.texts[path]
        return (self.root / path).read_text(errors="replace")

    def below(self, folder, *suffixes):
        return [p for p in self.paths if p.startswith(folder + "/") and (not suffixes or p.endswith(suffixes))]


def longest_folder(path, table):
    fits = [folder for folder in table if path.startswith(folder + "/")]
    return max(fits, key=len) if fits else None


def rule_includes(tree):
    """Includes follow the direction of the layers."""
    tops = {folder.split("/")[0] for folder in ALLOWED}
    for path in tree.paths:
        if not path.endswith(SOURCES):
            continue
        owner = longest_folder(path, ALLOWED)
        barred_owner = longest_folder(path, BARRED)
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            match = re.match(r'\s*#?\s*include\s*[<"]([^">]+)[">]', line)
            if not match:
                continue
            target = match.group(1)
            if target.startswith(EXTERNAL):
                if owner is None or "mlir" not in ALLOWED[owner]:
                    yield f"{path}:{number}: includes {target}; {owner or 'this folder'} is free of MLIR and LLVM"
                elif any(target.startswith(b) for b in BARRED.get(barred_owner, [])):
                    yield f"{path}:{number}: includes {target}; {barred_owner}/ may not use this part of MLIR"
                continue
            if target.startswith("../") or "/../" in target:
                yield f"{path}:{number}: includes {target}; paths start at the root of the repository"
                continue
            if target.split("/")[0] not in tops or "/" not in target:
                continue
            if target.startswith("test/") and not path.startswith(("test/", "bench/")):
                yield f"{path}:{number}: includes {target}; only tests include tests"
                continue
            if owner is None:
                yield f"{path}:{number}: lies in a folder that the table of {Path(__file__).name} does not name"
                break
            if not any(target.startswith(a + "/") for a in [owner, *ALLOWED[owner]]):
                yield f"{path}:{number}: includes {target}; {owner}/ may include {', '.join(ALLOWED[owner]) or 'only itself'}"


def rule_license(tree):
    """Each source starts with the two lines of the license."""
    for path in tree.paths:
        if path.endswith(SOURCES):
            lines = tree.text(path).splitlines()[:2]
            want = [f"// {line}" for line in LICENSE]
        elif path.endswith((".py", ".sh")) or path in ("dev", ".ci/run", "bench/run"):
            lines = tree.text(path).splitlines()[:3]
            lines = lines[1:] if lines and lines[0].startswith("#!") else lines[:2]
            want = [f"# {line}" for line in LICENSE]
        else:
            continue
        if lines != want:
            yield f"{path}:1: the two lines of the license are missing; they read: {' / '.join(want)}"


def rule_paths(tree):
    """No path of one machine, no merge left-over."""
    folders = "|".join(["work", "farm", "root", "home", "Users", "tmp"])
    machine = re.compile(r"(?<![\w./$}%*~-])/(" + folders + r")/\w")
    merge = re.compile("^(" + "|".join(re.escape(c) * 7 for c in "<>|") + ") ")
    for path in tree.paths:
        if path.endswith((".npy", ".safetensors", ".png", ".bin")) or "/corpus/" in path:
            continue
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            match = machine.search(line)
            if match:
                yield f"{path}:{number}: names {match.group(0)}..., a folder of one machine"
            if merge.match(line):
                yield f"{path}:{number}: left over from a merge"


def rule_passes(tree):
    """Each pass has a test file named after its flag."""
    tests = {PurePosixPath(p).name for p in tree.below("test/passes") + tree.below("test/codegen")}
    for path in tree.paths:
        if not path.endswith(".td") or path.startswith("test/"):
            continue
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            match = re.match(r'\s*def\s+\w+\s*:\s*(?:Pass|InterfacePass)\s*<\s*"([^"]+)"', line)
            if match and not any(t in tests for t in (f"{match.group(1)}.mlir", f"{match.group(1)}.test")):
                yield f"{path}:{number}: pass {match.group(1)} has no test test/passes/.../{match.group(1)}.mlir"


def rule_examples(tree):
    """Each example is run: named by a test, matched by a test that loops over its folder, or imported by an example."""
    tests = [p for p in tree.below("test") if p.endswith((".test", ".mlir", ".attn", ".py", ".cpp", ".txt", ".cfg"))]
    text = "\n".join(tree.text(p) for p in tests)
    imports = re.compile(r'^\s*import\s+"([^"]+)"', re.M)
    imported = {f"{(PurePosixPath(p).parent / name).with_suffix('')}.attn" for p in tree.below("examples", ".attn")
                for name in imports.findall(tree.text(p))}
    for path in tree.below("examples", ".attn"):
        if path in imported:
            continue
        relative = path[len("examples/"):]
        folder = str(PurePosixPath(relative).parent)
        loop = "examples/*.attn" if folder == "." else f"examples/{folder}/*.attn"
        if re.search(rf"(?<![\w-]){re.escape(relative)}", text) or loop in text:
            continue
        yield f"{path}:1: no test below test/ names {relative} or loops over {loop}"


def rule_unit_folders(tree):
    """Each folder of gtest programs, and each source in it, is built."""
    for path in tree.below("test/unit", ".cpp") + tree.below("test/fuzz", ".cpp"):
        folder = PurePosixPath(path).parent
        name = PurePosixPath(path).name
        lists = f"{folder}/CMakeLists.txt"
        # Sources of a folder without CMakeLists.txt are listed by the folder above.
        while lists not in tree.paths and folder != PurePosixPath("test"):
            name = f"{folder.name}/{name}"
            folder = folder.parent
            lists = f"{folder}/CMakeLists.txt"
        if path != "test/fuzz/Replay.cpp" and not re.search(rf"(?<![\w/]){re.escape(name)}(?!\w)", tree.text(lists)):
            yield f"{path}:1: {lists} does not build it"
    for path in tree.below("test/unit", "CMakeLists.txt"):
        folder = PurePosixPath(path).parent
        above = f"{folder.parent}/CMakeLists.txt"
        if str(folder) != "test/unit" and above in tree.paths and \
                not re.search(rf"add_subdirectory\({re.escape(folder.name)}\)", tree.text(above)):
            yield f"{path}:1: {above} does not add {folder.name}"


def rule_cmake(tree):
    """What a CMakeLists.txt names is in the repository: a fresh clone configures."""
    for path in tree.paths:
        if PurePosixPath(path).name != "CMakeLists.txt":
            continue
        folder = PurePosixPath(path).parent
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            line = line.split("#")[0]
            for name in re.findall(r"add_subdirectory\(([\w./-]+)\)", line):
                if str(folder / name / "CMakeLists.txt") not in tree.paths:
                    yield f"{path}:{number}: adds {name}, which has no CMakeLists.txt in the repository"
            for name in re.findall(r"(?<![\w$}/.-])([\w-][\w./-]*\.(?:cpp|td))(?![\w.])", line):
                if str(folder / name) not in tree.paths:
                    yield f"{path}:{number}: names {name}, which is not in the repository"


def rule_packages(tree):
    """packages.txt: one package a line."""
    seen = set()
    for number, line in enumerate(tree.text("packages.txt").splitlines(), 1):
        name = line.split("#")[0].strip()
        if not name:
            continue
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name):
            yield f"packages.txt:{number}: '{name}' is no name of a Debian package"
        if name in seen:
            yield f"packages.txt:{number}: {name} twice"
        seen.add(name)


RULES = {name[len("rule_"):].replace("_", "-"): rule for name, rule in sorted(globals().items()) if name.startswith("rule_")}


def main(arguments):
    unknown = [a for a in arguments if a not in RULES]
    if unknown:
        sys.exit(f"lint: no rule {unknown[0]}; there are {', '.join(RULES)}")
    tree = Tree(Path(__file__).resolve().parents[2])
    problems = [p for name in arguments or RULES for p in RULES[name](tree)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
