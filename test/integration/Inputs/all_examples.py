# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The patterns of examples-*.test, taken together, name every example once."""

import glob
import re
import sys
from collections import Counter
from pathlib import Path

root = Path(sys.argv[1])
named = Counter()
for test in (root / "test" / "integration").glob("examples-*.test"):
    pattern = re.search(r"RUN: fovea check %examples/(\S+\.attn) --at ptx --quiet \|", test.read_text())[1]
    named.update(glob.glob(str(root / "examples" / pattern)))
every = {str(path) for path in (root / "examples").glob("*.attn")}
wrong = [path for path in every if named[path] != 1]
sys.exit(f"not named once: {sorted(wrong)}" if wrong or set(named) != every else 0)
