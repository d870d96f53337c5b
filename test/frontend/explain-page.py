#!/usr/bin/env python3
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks a page of `fovea explain --html`.

explain-page.py PAGE.html DATA.json          well-formed, needs nothing from outside, holds the data of --json
explain-page.py --browser PAGE.html DATA.json  as a browser draws it: all parts there, with the data's numbers
"""

import html.parser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.problems, self.scripts, self.headings, self.texts = [], [], {}, [], []
        self.tags = {}

    def handle_starttag(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attributes:
            if name in ("src", "srcset", "action") or (name == "href" and not value.startswith("#")):
                self.problems.append(f"<{tag} {name}={value}> needs something from outside")
            if value and "NaN" in value:
                self.problems.append(f"<{tag} {name}={value}> is no number")
        if tag not in VOID:
            self.open.append((tag, dict(attributes).get("id")))

    def handle_endtag(self, tag):
        if not self.open or self.open[-1][0] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-1:] or 'nothing'} in line {self.getpos()[0]}")
        else:
            self.open.pop()

    def handle_data(self, text):
        if self.open and self.open[-1][0] == "script":
            key = self.open[-1][1]
            self.scripts[key] = self.scripts.get(key, "") + text
        else:
            self.texts.append(text)
            if self.open and self.open[-1][0] == "h2":
                self.headings.append(text)


def parse(text):
    page = Page()
    page.feed(text)
    page.close()
    if page.open:
        page.problems.append(f"never closed: {page.open}")
    return page


def check(page, data):
    text = page.read_text()
    parsed = parse(text)
    problems = parsed.problems
    held = json.loads(parsed.scripts["data"])
    if held != data:
        problems.append("the data differ from those of --json")
    outside = text.replace(parsed.scripts["data"], "")
    for word in ("http:", "https:", "//www", "@import", "url(", "fetch(", "XMLHttpRequest", "import("):
        if word in outside:
            problems.append(f"'{word}' stands in the page")
    if "@DATA@" in text or "@TITLE@" in text:
        problems.append("a place of the template was not filled")
    return problems


def check_drawn(page, data):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    done = subprocess.run([browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000",
                           "--dump-dom", page.resolve().as_uri()], capture_output=True, text=True, timeout=120, check=False)
    parsed = parse(done.stdout)
    problems = parsed.problems
    if 'data-ready="yes"' not in done.stdout:
        problems.append("the script did not come to its end")
    ways = data["schedule"]["recurrences"]
    wanted = ["Variant", *(["Mask"] if data["masks"] else []), "Timeline", "Work and roofline", "Memory accesses",
              "Kernels", "Candidates", *(["Recurrences"] if ways else []), "Plan", "Tolerances", "Levels"]
    if parsed.headings != wanted:
        problems.append(f"the parts are {parsed.headings}")
    text = "\n".join(parsed.texts)
    tiles = sum(len(mask["seen"]) * len(mask["seen"][0]) for mask in data["masks"])
    if parsed.tags.get("rect", 0) < tiles:
        problems.append(f"{parsed.tags.get('rect')} squares for {tiles} tiles")
    roofline = bool(data["work"]["flops"] and data["work"]["bytes"])
    if parsed.tags.get("svg", 0) != len(data["masks"]) + len(data["timelines"]) + roofline:
        problems.append(f"{parsed.tags.get('svg')} drawings")
    for word in [data["variant"]["name"], data["kernels"][0]["grid"], data["entries"][0]["guard"],
                 data["schedule"]["chosen"]["name"], data["tolerances"][0]["terms"][0]["what"],
                 data["measured"]["kernels"][0]["lines"][0]["text"], data["timelines"][0]["items"][0]["label"],
                 *[way[part] for way in ways for part in ("problem", "chosen", "workspace") if not way["problem"] or part == "problem"]]:
        if word not in text:
            problems.append(f"the page does not show '{word}'")
    if re.search(r"\b(undefined|NaN|\[object)", text):
        problems.append("a value is missing: " + re.search(r".*(undefined|NaN|\[object).*", text).group(0))
    return problems


def main(arguments):
    browser = "--browser" in arguments
    page, data = [Path(each) for each in arguments if not each.startswith("--")]
    problems = (check_drawn if browser else check)(page, json.loads(data.read_text()))
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
