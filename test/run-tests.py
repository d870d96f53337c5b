#!/usr/bin/env python3
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs the tests of a build folder (gtest programs through ctest, the others through lit) and counts their cases.

The last line is `N passed, N failed`, with `, N skipped` where some were. A program that crashes counts as one failed
case beside those it finished; so does a test program that did not build, a lit that cannot start, and a program that
reports no failed case but exits with an error (a leak, say).
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

LIT = "/usr/lib/llvm-22/bin/lit"  # where Debian's package puts it


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def fail(self, name, text=""):
        self.failed += 1
        self.failures.append((name, text.strip()))

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    def line(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run_limited(command, log, seconds, env=None):
    """Exit status of a command whose output goes to a file; when the time is over it and its children end."""
    with open(log, "w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stream.write(f"\nended after {seconds} s\n")
            return process.wait()
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def tail(text, lines=60):
    return "\n".join(text.strip().splitlines()[-lines:])


def count_gtest_report(name, path, exit_ok, output):
    """Cases of one gtest JSON report, which gtest writes only when the program reaches its end."""
    count = Count()
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError):
        report = None
    if report is None:
        count.passed = len(re.findall(r"^\[       OK \]", output, re.M))
        count.skipped = len(re.findall(r"^\[  SKIPPED \] \S+ \(", output, re.M))
        for failed in re.findall(r"^\[  FAILED  \] (\S+)[^\n]*\(\d+ ms\)$", output, re.M):
            count.fail(f"{name}: {failed.rstrip(',')}")
        count.fail(name, "ended before its report: crash, time limit, or not built\n" + tail(output))
        return count
    for suite in report.get("testsuites", []):
        for case in suite.get("testsuite", []):
            full = f"{name}: {suite['name']}.{case['name']}"
            if case.get("failures"):
                count.fail(full, "\n".join(f.get("failure", "") for f in case["failures"]))
            elif case.get("result") == "SKIPPED" or case.get("status") == "NOTRUN":
                count.skipped += 1
            else:
                count.passed += 1
    if not exit_ok and not count.failed:
        count.fail(name, "all cases passed, yet the program ended with an error\n" + tail(output))
    return count


def run_ctest(build, out, options):
    reports = out / "gtest"
    reports.mkdir(parents=True, exist_ok=True)
    for old in reports.glob("*.json"):
        old.unlink()
    junit = out / "ctest.xml"
    junit.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", str(build), "-j", str(options.jobs), "--output-junit", str(junit),
               "--test-output-size-failed", "400000", "--test-output-size-passed", "400000", "-E", "^lit$"]
    command += ["-L" if options.slow else "-LE", "^slow$"]
    log = out / "ctest.txt"
    run_limited(command, log, 3 * 3600, {**os.environ, "GTEST_OUTPUT": f"json:{reports}/", "GTEST_COLOR": "no"})
    count = Count()
    try:
        cases = ElementTree.parse(junit).getroot().iter("testcase")
    except (OSError, ElementTree.ParseError):
        if "No tests were found" not in log.read_text():
            count.fail("ctest", "gave no report\n" + tail(log.read_text()))
        return count
    for case in cases:
        name, status = case.get("name"), case.get("status")
        output = case.findtext("system-out") or ""
        report = reports / f"{name}.json"
        if status == "disabled":
            count.skipped += 1
        elif report.exists() or "[==========]" in output:
            count.add(count_gtest_report(name, report, status == "run", output))
        elif status == "run":
            count.passed += 1
        else:
            count.fail(name, tail(output) or status)
    return count


def run_lit(build, out, options):
    count = Count()
    suite = build / "test"
    if not (suite / "lit.site.cfg.py").exists():
        return count
    xml = out / "lit.xml"
    xml.unlink(missing_ok=True)
    command = [LIT, "-sv", f"-j{options.jobs}", f"--xunit-xml-output={xml}"]
    command += ["--param", "slow=1", "--filter", r"/slow/"] if options.slow else ["--filter-out", r"/slow/"]
    command += ["--allow-empty-runs", str(suite)]
    log = out / "lit.txt"
    exit_status = run_limited(command, log, 3 * 3600 if options.slow else 1800)
    try:
        cases = list(ElementTree.parse(xml).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError):
        cases = []
        if exit_status != 0:
            count.fail("lit", "gave no report\n" + tail(log.read_text()))
    for case in cases:
        name = f"{case.get('classname')}/{case.get('name')}"
        failure = case.find("failure")
        if failure is not None:
            count.fail(name, tail(failure.text or ""))
        elif case.find("skipped") is not None:
            # lit lists what the filter left out, too: tests of the other tier.
            count.skipped += "not selected" not in case.find("skipped").get("message", "")
        else:
            count.passed += 1
    if exit_status != 0 and not count.failed:
        count.fail("lit", "reports no failed test, yet ended with an error\n" + tail(log.read_text()))
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="build folder")
    parser.add_argument("--slow", action="store_true", help="run the slow tests instead of the others")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--build-status", type=int, default=0, help="not 0: the build failed, which counts as a failed case")
    parser.add_argument("--summary", type=Path, help="write the counts here as JSON")
    options = parser.parse_args()
    build = options.build.resolve()
    if not (build / "build.ninja").exists():
        sys.exit(f"run-tests: {build} is not a build folder")
    out = build / "test-results" / ("slow" if options.slow else "fast")
    out.mkdir(parents=True, exist_ok=True)
    total = Count()
    for title, run in (("programs", run_ctest), ("lit", run_lit)):
        count = run(build, out, options)
        print(f"{title}: {count.line()}")
        for name, text in count.failures:
            print(f"FAILED {name}")
            if text:
                print("    " + text.replace("\n", "\n    "))
        total.add(count)
    if not options.slow and total.passed + total.failed == 0:
        total.fail("tests")
        print("FAILED tests: there are none in this build folder")
    if options.build_status:
        total.fail("build")
        print("FAILED build: programs that did not build were not run, or an older one was")
    if options.summary:
        options.summary.write_text(json.dumps({"passed": total.passed, "failed": total.failed, "skipped": total.skipped}))
    print(total.line())
    sys.exit(1 if total.failed else 0)


if __name__ == "__main__":
    main()
