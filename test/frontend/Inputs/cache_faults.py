# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Faults of the cache as processes meet them: cache_faults.py SPEC FOLDER. Each prints a line when nothing was lost.
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SPEC, ROOT = os.path.abspath(sys.argv[1]), Path(sys.argv[2]).absolute()
SIZES = ["--set", "D=16,V=16"]
# A copy, since entries are keyed by the program, which may be linked again while this runs.
FOVEA = str(ROOT / "fovea")
RUN = [FOVEA, "run", SPEC, "--device", "emulator", "--set", "B=1,T=8,S=8,H=1,D=16,V=16"]
COMPILE = [FOVEA, "compile", SPEC, *SIZES]


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FOVEA_CACHE", "XDG_"))}
    return {**kept, **{k: str(v) for k, v in more.items()}}


def call(command, env, **how):
    return subprocess.run(command, env=env, capture_output=True, **{"text": True, **how})


def good(result, *warnings):
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == len(warnings) and all(w in l for w, l in zip(warnings, lines)), result.stderr
    return result.stdout


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


shutil.rmtree(ROOT, ignore_errors=True)
ROOT.mkdir(parents=True)
shutil.copy(shutil.which("fovea"), FOVEA)
expected = good(call(COMPILE, environment(FOVEA_CACHE="off")))

# Sixteen at once: one compiles, the others wait for it.
env = environment(FOVEA_CACHE=ROOT / "sixteen")
started = [subprocess.Popen(RUN, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(16)]
texts = [process.communicate()[0] for process in started]
assert all(process.returncode == 0 for process in started), texts
assert sum("compiled in" in text for text in texts) == 1, texts
assert sum("read and found in the cache" in text for text in texts) == 15, texts
assert not any("warning" in text for text in texts), texts
print("sixteen: good")

# Killed at any moment: what is left serves, and is whole.
env = environment(FOVEA_CACHE=ROOT / "killed")
begin = time.monotonic()
good(call(COMPILE, env))
whole = time.monotonic() - begin
random.seed(7)
for _ in range(10):
    shutil.rmtree(ROOT / "killed")
    process = subprocess.Popen(COMPILE, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(whole * random.uniform(0.1, 1.05))
    process.send_signal(signal.SIGKILL)
    process.wait()
    (ROOT / "killed").mkdir(exist_ok=True)
    assert ", 0 bad" in good(call([FOVEA, "cache", "verify"], env))
    assert good(call(COMPILE, env)) == expected
print("killed: good")

# No room for an entry.
env = environment(FOVEA_CACHE=ROOT / "full")


def limit():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


assert good(call(COMPILE, env, preexec_fn=limit), "warning: cache: an entry is not kept: ") == expected
assert not [f for f in files(ROOT / "full") if "entry" in f]
print("full: good")

# Cut off at any length, empty, another's entry, one that anybody could have put there.
env = environment(FOVEA_CACHE=ROOT / "bad")
good(call(COMPILE, env))
(entry,) = (ROOT / "bad").glob("*.entry")
content = entry.read_bytes()
good(call([*COMPILE, "--type", "f16"], env))
(other,) = [e for e in (ROOT / "bad").glob("*.entry") if e != entry]
for bad in [b"", content[:1], content[:100], content[: len(content) // 2], content[:-1], content + b"x", b"\0" * 5000,
            other.read_bytes()]:
    entry.write_bytes(bad)
    assert good(call(COMPILE, env), ".entry is not used: it is ") == expected
    assert entry.read_bytes() == content
    assert good(call(COMPILE, env)) == expected
(ROOT / "bad").chmod(0o777)
assert good(call(COMPILE, env), *["can be written by other users, so it is not used"] * 2) == expected
print("bad: good")

# Nothing is written elsewhere, and off is off.
for name, more, kept in [("home", {}, "home/.cache/fovea/"), ("shared", {"XDG_CACHE_HOME": ROOT / "shared" / "x"}, "x/fovea/"),
                         ("off", {"FOVEA_CACHE": "off"}, None)]:
    root = ROOT / name
    for folder in ["home", "tmp", "here"]:
        (root / folder).mkdir(parents=True)
    env = environment(HOME=root / "home", TMPDIR=root / "tmp", **more)
    assert good(call(COMPILE, env, cwd=root / "here")) == expected
    if shutil.which("ptxas") or Path("/usr/local/cuda/bin/ptxas").exists():
        assert call([*COMPILE, "--emit=cubin"], env, cwd=root / "here", text=False).returncode == 0
    written = files(root)
    assert all(kept and f.startswith(kept) for f in written) and bool(written) == bool(kept), written
print("elsewhere: good")
