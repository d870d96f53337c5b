#!/usr/bin/env python3
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The error index against the sources of the front end.

errors.py DOCS/errors.md SOURCE_ROOT    names messages that the page lacks, and rows that no source has
errors.py --list SOURCE_ROOT            prints every message that the sources can give

A message is written with `..` for what differs from one report to the next, as in `unknown axis '..'`.
"""

import re
import sys
from pathlib import Path

FOLDERS = ["frontend/syntax", "frontend/sema", "frontend/lowering", "frontend/driver"]
FILES = ["runtime/host/Promises.cpp"]  # what the command line says too
# Functions that report, with the place of the message among their arguments.
REPORTS = {"error": 1, "warning": 1, "fail": 1, "notYet": 1}


def tokens(text):
    """Strings, characters, words, numbers and punctuation of C++, comments left out."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"\((.*?)\)"|"((?:[^"\\\n]|\\.)*)"|\'((?:[^\'\\\n]|\\.)+)\'|([A-Za-z_]\w*)|([0-9][\w.\']*)|(::|->|\S)',
        re.S)
    for found in pattern.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        if found.group(1) is not None:
            yield "string", found.group(1), line
        elif found.group(2) is not None:
            yield "string", found.group(2).replace('\\"', '"').replace("\\\\", "\\").replace("\\n", " "), line
        elif found.group(3) is not None:
            yield "string", found.group(3), line
        elif found.group(4) is not None:
            yield "word", found.group(4), line
        elif found.group(5) is not None:
            yield "number", found.group(5), line
        elif found.group(6) is not None:
            yield "mark", found.group(6), line


def arguments(list_of_tokens, begin):
    """The arguments of the call whose opening parenthesis is at `begin`, each a list of tokens; and its end."""
    depth, result, current = 0, [], []
    at = begin
    while at < len(list_of_tokens):
        kind, text, _ = list_of_tokens[at]
        if kind == "mark" and text in "([{":
            depth += 1
            if depth == 1:
                at += 1
                continue
        elif kind == "mark" and text in ")]}":
            depth -= 1
            if depth == 0:
                if current:
                    result.append(current)
                return result, at
        elif kind == "mark" and text == "," and depth == 1:
            result.append(current)
            current = []
            at += 1
            continue
        current.append(list_of_tokens[at])
        at += 1
    return [], at


def split(expression, mark):
    """Splits at a mark outside brackets."""
    depth, parts, current = 0, [], []
    for token in expression:
        kind, text, _ = token
        if kind == "mark" and text in "([{":
            depth += 1
        elif kind == "mark" and text in ")]}":
            depth -= 1
        if kind == "mark" and text == mark and depth == 0:
            parts.append(current)
            current = []
        else:
            current.append(token)
    parts.append(current)
    return parts


def texts(expression):
    """All forms of a message; `..` stands for what is no literal."""
    question = split(expression, "?")
    if len(question) > 1:
        rest = [token for part in question[1:] for token in part + [("mark", "?", 0)]][:-1]
        sides = split(rest, ":")
        return sorted({text for side in sides for text in texts(side)})
    results = [""]
    for term in split(expression, "+"):
        options = [".."]
        while len(term) >= 2 and term[0][1] == "(" and term[-1][1] == ")" and term[0][0] == "mark":
            term = term[1:-1]
            options = None
        words = [text for kind, text, _ in term if kind == "word"]
        if len(term) == 1 and term[0][0] == "string":
            options = [term[0][1]]
        elif term and all(kind == "string" for kind, _, _ in term):
            options = ["".join(text for _, text, _ in term)]
        elif options is None:
            options = texts(term)
        elif words[:2] == ["std", "string"] and any(kind == "mark" and text == "(" for kind, text, _ in term):
            inner, _ = arguments(term, next(i for i, t in enumerate(term) if t[1] == "("))
            options = texts(inner[0]) if inner else [".."]
        elif words and words[-1:] and term[0][1] == "quoted":
            options = ["'..'"]
        elif words and words[0] == "shown":
            options = ["'..'"]
        results = [before + after for before in results for after in options]
    return [re.sub(r"(\.\.)(?:\.\.)+", "..", text) for text in results]


def variable(stream, at, name):
    """What a string variable holds at first, where it was declared above."""
    for begin in range(at, 4, -1):
        if [t for _, t, _ in stream[begin - 4 : begin + 2]] == ["std", "::", "string", name, "="] + [stream[begin + 1][1]]:
            end = next(n for n in range(begin, len(stream)) if stream[n][1] == ";")
            return stream[begin + 1 : end]
    return []


def messages(root):
    """Each message with the places that report it."""
    found = {}
    for folder in FOLDERS + FILES:
        sources = [p for p in [root / folder] if p.exists()] if folder in FILES else sorted((root / folder).glob("*.cpp"))
        for path in sources:
            stream = list(tokens(path.read_text()))
            for at, (kind, text, line) in enumerate(stream[:-1]):
                if kind == "word" and text in REPORTS and stream[at + 1][1] == "(":
                    calls, end = arguments(stream, at + 1)
                    place = REPORTS[text]
                elif kind == "word" and text == "Error" and stream[at + 1][1] == "{":
                    calls, end = arguments(stream, at + 1)
                    place = 1
                else:
                    continue
                # Not declarations, and reports without a place have the message first.
                if end + 1 < len(stream) and stream[end + 1][1] in ("{", "const"):
                    continue
                if len(calls) == 1:
                    place = 0
                if len(calls) <= place:
                    continue
                message = calls[place]
                names = [t for k, t, _ in message if k == "word" and t not in ("std", "move")]
                if len(names) == 1 and all(k != "string" for k, _, _ in message):
                    message = variable(stream, at, names[0])
                if text == "notYet":
                    message = [("string", "not in this version: ", line), ("mark", "+", line), ("mark", "(", line)]
                    message += calls[place] + [("mark", ")", line)]
                if not any(k == "string" for k, _, _ in message):
                    continue
                for each in texts(message):
                    if re.search(r"[a-z]{3}", each):
                        found.setdefault(each, []).append(f"{path.relative_to(root)}:{line}")
    return found


def documented(page):
    """Messages of the page: the first cell of each row of a table, in backquotes."""
    rows = {}
    for number, line in enumerate(page.read_text().splitlines(), 1):
        match = re.match(r"\|\s*`(.+?)`\s*\|(.*)\|\s*$", line)
        if match:
            rows.setdefault(match.group(1).replace("\\|", "|"), []).append((number, match.group(2).strip()))
    return rows


def main(arguments_):
    if arguments_[:1] == ["--list"]:
        for text, places in messages(Path(arguments_[1])).items():
            print(f"{text}\t{', '.join(places)}")
        return 0
    page, root = Path(arguments_[0]), Path(arguments_[1])
    sources, rows = messages(root), documented(page)
    wrong = 0
    for text, places in sources.items():
        if text not in rows:
            print(f"{page.name}: no row for: {text}  ({places[0]})")
            wrong += 1
    for text, places in rows.items():
        if text not in sources:
            print(f"{page.name}:{places[0][0]}: no source reports: {text}")
            wrong += 1
        if len(places) > 1:
            print(f"{page.name}:{places[1][0]}: a second row for: {text}")
            wrong += 1
        if any(len(meaning) < 20 for _, meaning in places):
            print(f"{page.name}:{places[0][0]}: says nothing of: {text}")
            wrong += 1
    print(f"{len(sources)} messages, {len(rows)} rows, {wrong} wrong")
    return 1 if wrong or len(sources) < 100 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
