#!/usr/bin/env python3
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs the commands of a page and compares their outputs with what the page shows; --update writes them anew.

tutorial.py [--update] PAGE.md FOLDER

In the page

    ```attn file=name.attn        is written to FOLDER/name.attn
    ```console                    holds commands after `$ ` and below each what it prints (both streams)

A comment before a block of commands says which lines of the output of its last command the page shows, the rest being
`...`; a part is lines A-B, from a pattern to another, or one line:

    <!-- show: 1-4, /tile.fold/../fold_yield/, /copy_wait/ -->

Programs are found by PATH. A command that fails is shown with `[exit status N]`. Times differ from run to run and are
shown as `..`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

TIMES = [(re.compile(r"(time: |compiled in )[0-9.e+-]+ ms"), r"\1.. ms"), (re.compile(r"\([0-9.]+ s\)$", re.M), "(.. s)")]


def run(command, folder):
    # What was compiled before does not change what is shown.
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
                          env={**os.environ, "FOVEA_CACHE": "off"})
    text = done.stdout
    for pattern, shown in TIMES:
        text = pattern.sub(shown, text)
    lines = [line.rstrip() for line in text.splitlines()]
    # `head` closes pipes early: not a failure of what it shows.
    if done.returncode not in (0, 141):
        lines.append(f"[exit status {done.returncode}]")
    return lines


def select(lines, show):
    """The lines that `show` names, gaps as `...`."""
    keep = set()
    at = 0
    for part in [p.strip() for p in show.split(", ")]:
        numbers = re.fullmatch(r"(\d+)-(\d+)", part)
        pattern = re.fullmatch(r"/(.+?)/(?:\.\./(.+)/)?", part)
        if numbers:
            first, last = int(numbers.group(1)) - 1, min(int(numbers.group(2)), len(lines)) - 1
        elif pattern:
            first = next((n for n in range(at, len(lines)) if re.search(pattern.group(1), lines[n])), None)
            if first is None:
                raise SystemExit(f"no line after line {at} has /{pattern.group(1)}/")
            last = first
            if pattern.group(2):
                last = next((n for n in range(first + 1, len(lines)) if re.search(pattern.group(2), lines[n])), None)
                if last is None:
                    raise SystemExit(f"no line after line {first + 1} has /{pattern.group(2)}/")
        else:
            raise SystemExit(f"'{part}' selects nothing")
        keep.update(range(first, last + 1))
        at = last + 1
    result, before = [], -1
    for n in sorted(keep):
        if n != before + 1:
            result.append("...")
        result.append(lines[n])
        before = n
    if before != len(lines) - 1:
        result.append("...")
    return result


def process(page, folder):
    """The page as its commands make it, and the number of commands."""
    out, show, count = [], None, 0
    lines = page.read_text().split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        out.append(line)
        at += 1
        comment = re.fullmatch(r"<!-- show: (.*) -->", line)
        if comment:
            show = comment.group(1)
            continue
        block = re.fullmatch(r"```(\w*)(?: file=([\w.-]+))?", line)
        if not block:
            if line.strip():
                show = None
            continue
        end = lines.index("```", at)
        body = lines[at:end]
        at = end + 1
        if block.group(2):
            (folder / block.group(2)).write_text("\n".join(body) + "\n")
        if block.group(1) == "console":
            commands = [each[2:] for each in body if each.startswith("$ ")]
            body = []
            for number, command in enumerate(commands, 1):
                body.append("$ " + command)
                printed = run(command, folder)
                body += select(printed, show) if show and number == len(commands) else printed
                count += 1
        out += body + ["```"]
        show = None
    return "\n".join(out), count


def main(arguments):
    update = "--update" in arguments
    page, folder = [Path(each) for each in arguments if not each.startswith("--")]
    folder.mkdir(parents=True, exist_ok=True)
    made, count = process(page, folder)
    have = page.read_text()
    if update:
        page.write_text(made)
    wrong = 0
    if made != have and not update:
        for number, (a, b) in enumerate(zip(have.split("\n"), made.split("\n")), 1):
            if a != b:
                print(f"{page.name}:{number}: the page shows:  {a}\n{page.name}:{number}: it is:          {b}")
                wrong += 1
                if wrong == 10:
                    break
        print(f"{page}: outputs differ; if the new ones are right: test/docs/tutorial.py --update {page} FOLDER")
        wrong = max(wrong, 1)
    print(f"{count} commands, {'updated' if update else str(wrong) + ' lines differ'}")
    return 1 if wrong or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
