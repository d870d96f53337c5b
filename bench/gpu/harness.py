#!/usr/bin/env python3
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Everything that is worth doing on a machine with a GPU, from what was compiled elsewhere.

  bench/gpu/harness.py pack FILE.tar.gz     here: the programs, examples and this script as one archive
  ./harness.py all OUT                      there, in the unpacked archive: the four steps below
  ./harness.py check OUT                    every example on the GPU against the float64 reference
  ./harness.py golden OUT                   bits of every instruction form, for test/golden/recorded/
  ./harness.py time OUT                     times beside PyTorch's SDPA and FlexAttention, and FLA where they are there
  ./harness.py report OUT                   OUT/times.json as OUT/times.md
  ./harness.py list OUT                     what the steps would do; nothing is run

The machine needs a driver; PyTorch and FLA only for comparisons. FLA comes along as wheels (pack --wheels FOLDER, with
the wheels of fla-core and einops), which are unpacked beside the results and installed nowhere. `--device emulator --table tiny` does it all on the
CPU, as a test of this script. The programs are those beside the script, or in --bin.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = ("fovea", "fovea-golden")


def tokens(b, t, h, d, v=None, **more):
    return {"B": b, "T": t, "H": h, "D": d, "V": v or d, **more}


def softmax_flops(z, share=1.0):
    return 2 * z["B"] * z["H"] * z["T"] * z.get("S", z["T"]) * (z["D"] + z["V"]) * share


def state_flops(z):
    """Of the recurrence itself, token by token: read and write of a K x V state."""
    return 4 * z["B"] * z["H"] * z["T"] * z.get("K", z["D"]) * z["V"]


def with_keys(z):
    return {**z, "S": z["T"]}


def keyed(z):
    """Sizes of a variant whose axes are K and V."""
    return {"B": z["B"], "T": z["T"], "H": z["H"], "K": z["D"], "V": z["V"]}


def grouped(z):
    """The same with G value heads for each key head; as many of both here, as the peers have them."""
    return {"B": z["B"], "T": z["T"], "Hk": z["H"], "G": 1, "K": z["D"], "V": z["V"]}


def grouped_keys(z):
    return {"B": z["B"], "T": z["T"], "S": z["T"], "Hk": z["H"], "G": 1, "D": z["D"], "V": z["V"]}


def state_space(z):
    return {"B": z["B"], "T": z["T"], "Q": 1, "M": z["H"], "N": z["D"], "P": z["V"]}


def vector(z):
    return {"B": z["B"], "T": z["T"], "H": z["H"], "D": z["D"]}


# Family: specification, its sizes from (B, T, H, D, V), arithmetic, peers by name (see `peers`).
FAMILIES = {
    "full": ("full.attn", with_keys, softmax_flops, ["sdpa"]),
    "causal": ("causal.attn", with_keys, lambda z: softmax_flops(z, 0.5), ["sdpa"]),
    "window": ("window.attn", with_keys, None, ["flex"]),
    "soft cap": ("soft_cap.attn", grouped_keys, lambda z: softmax_flops(z, 0.5), ["flex"]),
    "alibi": ("alibi.attn", with_keys, lambda z: softmax_flops(z, 0.5), ["flex"]),
    "forgetting": ("forgetting.attn", with_keys, lambda z: softmax_flops(z, 0.5), ["fla"]),
    "gated": ("gated.attn", with_keys, lambda z: softmax_flops(z, 0.5), []),
    "parallax": ("parallax.attn", grouped_keys, None, ["fla"]),
    "lightning": ("lightning.attn", keyed, state_flops, ["fla"]),
    "retention": ("retnet.attn", keyed, state_flops, ["fla"]),
    "gated linear": ("gla.attn", keyed, state_flops, ["fla"]),
    "hgrn": ("hgrn.attn", vector, None, ["fla"]),
    "hgrn2": ("hgrn2.attn", keyed, state_flops, ["fla"]),
    "rwkv6": ("rwkv6.attn", keyed, state_flops, ["fla"]),
    "mamba2": ("mamba2.attn", state_space, state_flops, ["fla"]),
    "delta": ("deltanet.attn", keyed, state_flops, ["fla"]),
    "gated delta": ("gated_deltanet.attn", grouped, state_flops, ["fla"]),
    "gated delta 2": ("gated_deltanet2.attn", grouped, state_flops, ["fla"]),
    "kda": ("kda.attn", grouped, state_flops, ["fla"]),
}
RECURRENCES = list(FAMILIES)[list(FAMILIES).index("lightning"):]

SOFTMAX = [tokens(16384 // t, t, 16, d) for d in (64, 128) for t in (512, 2048, 8192, 16384)]
SOFTMAX += [tokens(16384 // t, t, 8, 256) for t in (2048, 16384)]
STATE = [tokens(1, 8192, 96, 128), tokens(4, 2048, 16, 128), tokens(8, 2048, 32, 128), tokens(8, 1024, 8, 64),
         tokens(1, 32768, 8, 128), tokens(8, 2048, 32, 256)]
TABLES = {
    "full": {name: STATE if name in RECURRENCES else SOFTMAX for name in FAMILIES},
    "short": {name: [tokens(8, 2048, 16, 128)] for name in FAMILIES},
    "tiny": {name: [tokens(1, 64, 2, 16)] for name in FAMILIES},
}


class Harness:
    def __init__(self, args):
        self.args = args
        self.out = Path(args.out)
        self.out.mkdir(parents=True, exist_ok=True)
        folders = [Path(args.bin)] if args.bin else [HERE / "bin", HERE.parent.parent / "build" / "bin"]
        self.bin = next((f for f in folders if (f / "fovea").exists()), None)
        if not self.bin:
            sys.exit(f"harness: no `fovea` in {', '.join(map(str, folders))}; --bin says where it is")
        self.examples = next(f for f in (HERE / "examples", HERE.parent.parent / "examples") if f.exists())
        self.emulated = args.device == "emulator"
        self.target = args.target or ("sm_80" if self.emulated else self.target_of_gpu())
        self.deadline = time.monotonic() + args.seconds

    def target_of_gpu(self):
        done = subprocess.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            sys.exit("harness: nvidia-smi finds no GPU; --device emulator runs without")
        return "sm_" + done.stdout.split()[0].replace(".", "")

    def run(self, command, limit=600):
        limit = max(1, min(limit, self.deadline - time.monotonic()))
        try:
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=limit, check=False)
            return done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired:
            return 124, "", f"longer than {limit:.0f} s"

    def late(self):
        return time.monotonic() > self.deadline

    def write(self, name, value):
        (self.out / name).write_text(json.dumps(value, indent=1) + "\n")

    # (a) correctness

    def check(self):
        results, level = [], "ptx" if self.emulated else "gpu"
        specs = sorted(self.examples.glob("*.attn"))
        if self.args.table == "tiny":
            specs = [s for s in specs if s.stem in ("causal", "full")]
        for kind in self.args.types.split(","):
            for spec in specs:
                if self.late():
                    break
                begin = time.monotonic()
                more = ["--cases", "2"] if self.args.table == "tiny" else []
                code, out, err = self.run([self.bin / "fovea", "check", spec, "--at", level, "--quiet", "--type", kind,
                                           "--target", self.target, *more])
                results.append({"spec": spec.name, "type": kind, "target": self.target, "passed": code == 0,
                                "seconds": round(time.monotonic() - begin, 1), "text": (out + err)[-1500:]})
                print(f"check {kind} {spec.name}: {'passed' if code == 0 else 'FAILED'}", flush=True)
        sanitizer = shutil.which("compute-sanitizer")
        for name in self.args.sanitize.split(",") if sanitizer and not self.emulated and self.args.sanitize else []:
            for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
                if self.late():
                    break
                sizes = "B=2,T=200,S=200,H=2,D=64,V=64" if name in ("causal", "full") else self.args.sanitize_sizes
                code, out, err = self.run([sanitizer, "--tool", tool, "--error-exitcode", "9", self.bin / "fovea", "run",
                                           self.examples / f"{name}.attn", "--device", "gpu", "--target", self.target,
                                           "--set", sizes])
                results.append({"spec": f"{name}.attn", "sanitizer": tool, "passed": code == 0,
                                "text": (out + err)[-1500:]})
                print(f"{tool} {name}: {'passed' if code == 0 else 'FAILED'}", flush=True)
        self.write("checks.json", results)
        failed = [r for r in results if not r["passed"]]
        print(f"checks: {len(results) - len(failed)} passed, {len(failed)} failed")
        return not failed

    # (b) golden vectors

    def golden(self):
        name = f"golden.{self.target}.safetensors"
        code, out, err = self.run([self.bin / "fovea-golden", "record", self.out / name, "--device",
                                   "emulator" if self.emulated else "cuda"])
        print((out + err).strip())
        if code == 0:
            code, out, err = self.run([self.bin / "fovea-golden", "compare", self.out / name])
            (self.out / "golden.txt").write_text(out + err)
            print((out + err).strip()[-1000:])
        return code == 0

    # (c) times

    def time(self):
        if not self.emulated:
            unpack_wheels(self.out)
        rates = {} if self.emulated else measure_rates()
        rows = []
        for family, spec, z, shape, names in self.shapes():
            if self.late():
                print("out of time")
                break
            flops = FAMILIES[family][2]
            row = {"family": family, "shape": shape, "flops": flops({**shape, "S": shape["T"]}) if flops else None}
            row["fovea"] = self.time_ours(self.examples / spec, z)
            if not self.emulated and not self.args.no_peers:
                for name in names:
                    row.update(peers(name, family, shape, self.args.repeats))
            rows.append(row)
            self.write("times.json", {"target": self.target, "rates": rates, "rows": rows})
            print(describe(row), flush=True)
        return all("error" not in row["fovea"] for row in rows)

    def time_ours(self, path, z):
        sets = ",".join(f"{k}={v}" for k, v in z.items())
        repeats = ["--repeats", "2", "--warm-up", "0", "--copies", "1"] if self.emulated else \
            ["--repeats", str(self.args.repeats), "--warm-up", "5"]
        code, out, err = self.run([self.bin / "fovea", "bench", path, "--json", "--all-entries", "--target", self.target,
                                   "--device", "emulator" if self.emulated else "gpu", "--set", sets, *repeats])
        if code != 0:
            return {"error": err.strip()[-500:]}
        result = json.loads(out)
        entries = result.get("entries", [])
        chosen = min(entries, key=lambda e: e["entry"]) if entries else None
        best = min(entries, key=lambda e: e["median_ms"]) if entries else None
        return {"ms": chosen and chosen["median_ms"], "best": best, "entries": entries,
                "tensor_bytes": result["tensor_bytes"], "compile_ms": result.get("compile_ms")}

    # what would be done

    def shapes(self):
        """(family, specification, sizes, shape, peers) of each row of the table."""
        for family, (spec, sizes, _, names) in FAMILIES.items():
            if not self.args.families or family in self.args.families.split(","):
                for shape in TABLES[self.args.table][family]:
                    yield family, spec, sizes(shape), shape, names

    def list(self):
        kinds, specs = self.args.types.split(","), sorted(self.examples.glob("*.attn"))
        print(f"check: {len(specs)} examples as {', '.join(kinds)}; compute-sanitizer's four tools on {self.args.sanitize}")
        print(f"golden: the instruction forms of {self.target}")
        rows = list(self.shapes())
        for family, spec, z, _, names in rows:
            print(f"time: {family:14} {spec:22} {' '.join(f'{k}={v}' for k, v in z.items()):44} {', '.join(names)}")
        print(f"time: {len(rows)} rows of table '{self.args.table}'")
        return True


def cuda_median(function, repeats):
    """Milliseconds by events, warmed up."""
    import torch
    for _ in range(3):
        function(0)
    torch.cuda.synchronize()
    times = []
    for n in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        function(n)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def unpack_wheels(out):
    """Wheels that the archive carries, for this process alone: modules of Python, whose sources Triton reads."""
    for wheel in sorted((HERE / "wheels").glob("*.whl")):
        folder = out / "wheels" / wheel.name
        if not folder.exists():
            shutil.unpack_archive(wheel, folder, "zip")
        sys.path.insert(0, str(folder))


def measure_rates():
    """What this GPU does in this run: bytes moved by a copy and bf16 products, per second."""
    try:
        import torch
    except ImportError:
        return {}
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    product = cuda_median(lambda n: a @ a, 20)
    source = torch.empty(1 << 30, device="cuda", dtype=torch.int8)
    target = torch.empty_like(source)
    copy = cuda_median(lambda n: target.copy_(source), 20)
    return {"device": torch.cuda.get_device_name(), "bf16_tflops": 2 * 8192**3 / product * 1e-9,
            "copy_gbps": 2 * (1 << 30) / copy * 1e-6}


BROKEN = []  # why no peer can be asked any more


def peers(name, family, z, repeats):
    """Milliseconds of one peer, or of each of its backends; an error as text where it cannot do it."""
    try:
        import torch
    except ImportError:
        return {name: {"error": "PyTorch is not here"}}
    if BROKEN:
        return {name: {"error": BROKEN[0]}}

    def timed(functions, copies=4):
        """`functions(copies)` makes the inputs and gives the call of the n-th."""
        try:
            with torch.no_grad():
                call = functions(copies)
                return {"ms": cuda_median(lambda n: call(n % copies), repeats)}
        except Exception as error:  # whatever a peer raises is its answer
            text = f"{type(error).__name__}: {error}"[:200]
            if "CUDA error" in text:  # the context of this process is lost
                BROKEN.append(text)
            return {"error": text}
        finally:
            if not BROKEN:
                torch.cuda.empty_cache()

    return {"sdpa": peers_sdpa, "flex": peers_flex, "fla": peers_fla}[name](torch, timed, family, z)


def random(torch, *shape, copies, dtype=None):
    return [torch.randn(*shape, device="cuda", dtype=dtype or torch.bfloat16) for _ in range(copies)]


def peers_sdpa(torch, timed, family, z):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    b, t, h, d, v = z["B"], z["T"], z["H"], z["D"], z["V"]

    def make(backend):
        def inputs(copies):
            q, k, w = (random(torch, b, h, t, width, copies=copies) for width in (d, d, v))

            def call(n):
                with sdpa_kernel(backend):
                    return torch.nn.functional.scaled_dot_product_attention(q[n], k[n], w[n], is_causal=family == "causal")

            return call
        return inputs

    backends = [SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
    if t <= 2048:  # writes all scores
        backends.append(SDPBackend.MATH)
    return {"sdpa " + backend.name.split("_")[0].lower(): timed(make(backend)) for backend in backends}


def peers_flex(torch, timed, family, z):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
    b, t, h, d, v = z["B"], z["T"], z["H"], z["D"], z["V"]

    def inputs(copies):
        # Each shape and score is a program; without this the later ones would run uncompiled.
        torch._dynamo.reset()
        compiled = torch.compile(flex_attention, dynamic=False)
        q, k, w = (random(torch, b, h, t, width, copies=copies) for width in (d, d, v))
        slopes = torch.exp2(-8 * (torch.arange(h, device="cuda") + 1) / h)
        seen = {"window": lambda b_, h_, i, j: (i >= j) & (i - j < 1024)}.get(family, lambda b_, h_, i, j: i >= j)
        mask = create_block_mask(seen, None, None, t, t, device="cuda")
        score = {"soft cap": lambda s, b_, h_, i, j: 20 * torch.tanh(s / 20),
                 "alibi": lambda s, b_, h_, i, j: s - slopes[h_] * (i - j)}.get(family)
        return lambda n: compiled(q[n], k[n], w[n], score_mod=score, block_mask=mask)

    return {"flex": timed(inputs)}


def peers_fla(torch, timed, family, z):
    """The recurrence alone: norms, gates and convolutions around it, which our kernels compute too, are not in its time."""
    F = torch.nn.functional
    b, t, h, d, v = z["B"], z["T"], z["H"], z["D"], z["V"]

    def inputs(copies):
        import fla.ops as ops

        def rows(*shape, dtype=None):
            return random(torch, b, t, *shape, copies=copies, dtype=dtype)

        def shares(*shape):
            return [torch.sigmoid(x) for x in rows(*shape)]

        def decays(*shape):
            """Logs of shares that are kept."""
            return [F.logsigmoid(x + 2) for x in rows(*shape, dtype=torch.float32)]

        q, k, w = rows(h, d), [F.normalize(x, dim=-1) for x in rows(h, d)], rows(h, v)
        if family == "forgetting":
            g = decays(h)
            return lambda n: ops.forgetting_attn.parallel_forgetting_attn(q[n], k[n], w[n], g[n])
        if family == "parallax":
            r = rows(h, d)
            return lambda n: ops.parallax.parallel_parallax(q[n], r[n], k[n], w[n])
        if family == "lightning":
            return lambda n: ops.lightning_attn.chunk_lightning_attn(q[n], k[n], w[n], layer_idx=0, num_layers=24)
        if family == "retention":
            return lambda n: ops.retention.chunk_retention(q[n], k[n], w[n])
        if family in ("gated linear", "hgrn2"):
            g = decays(h, d)
            kept = k if family == "gated linear" else [(1 - x.exp()).to(torch.bfloat16) for x in g]
            return lambda n: ops.gla.chunk_gla(q[n], kept[n], w[n], g[n])
        if family == "hgrn":
            x, g = rows(h * d), decays(h * d)
            return lambda n: ops.hgrn.fused_recurrent_hgrn(x[n], g[n].to(torch.bfloat16))
        if family == "rwkv6":
            g, u = decays(h, d), torch.randn(h, d, device="cuda")
            return lambda n: ops.rwkv6.chunk_rwkv6(q[n], k[n], w[n], g[n], u)
        if family == "mamba2":
            g = decays(h)
            return lambda n: ops.simple_gla.chunk_simple_gla(q[n], k[n], w[n], g[n], scale=1.0)
        if family == "delta":
            beta = shares(h)
            return lambda n: ops.delta_rule.chunk_delta_rule(q[n], k[n], w[n], beta[n])
        if family == "gated delta":
            g, beta = decays(h), shares(h)
            return lambda n: ops.gated_delta_rule.chunk_gated_delta_rule(q[n], k[n], w[n], g[n], beta[n])
        if family == "gated delta 2":
            from fla.ops.gdn2 import chunk_gdn2
            g, erase, write = decays(h, d), shares(h, d), shares(h, v)
            return lambda n: chunk_gdn2(q[n], k[n], w[n], g[n], erase[n], write[n])
        g, beta = decays(h, d), shares(h)
        return lambda n: ops.kda.chunk_kda(q[n], k[n], w[n], g[n], beta[n])

    return {"fla": timed(inputs)}


def describe(row):
    shape = " ".join(f"{k}={v}" for k, v in row["shape"].items())
    ours = row["fovea"].get("ms")
    text = f"{row['family']:14} {shape:38} fovea " + (f"{ours:.4f} ms" if ours else row["fovea"].get("error", "?")[:80])
    for name, value in row.items():
        if isinstance(value, dict) and name not in ("shape", "fovea"):
            text += f", {name} " + (f"{value['ms']:.4f} ms" if "ms" in value else "-")
    return text


def report(out):
    """Markdown of times.json: ours, each peer, and the ratios."""
    data = json.loads((out / "times.json").read_text())
    rates = data.get("rates", {})
    names = []
    for row in data["rows"]:
        names += [n for n, v in row.items() if isinstance(v, dict) and n not in ("shape", "fovea") and n not in names]
    lines = [f"# Times on {rates.get('device', 'the emulator, which say nothing of a GPU')}, kernels for {data['target']}",
             ""]
    if rates:
        lines += [f"In the same run: bf16 products {rates['bf16_tflops']:.0f} TFLOP/s (8192 x 8192 x 8192), copy "
                  f"{rates['copy_gbps']:.0f} GB/s.", ""]
    lines += ["Medians in ms of one call by events; a peer's number in brackets is its time over ours. Fovea's kernels of",
              "recurrences compute norms, gates and convolutions of the specification too; FLA's time is that of the",
              "recurrence alone.", "",
              "| " + " | ".join(["family", "shape", "Fovea", "TFLOP/s", "share of product rate", "share of copy rate", *names]) + " |",
              "|---" * (6 + len(names)) + "|"]
    for row in data["rows"]:
        ours, shape = row["fovea"].get("ms"), " ".join(f"{k}={v}" for k, v in row["shape"].items())
        cells = [row["family"], shape, f"{ours:.4f}" if ours else "failed"]
        cells.append(f"{row['flops'] / ours * 1e-9:.1f}" if ours and row.get("flops") else "")
        cells.append(f"{row['flops'] / ours * 1e-9 / rates['bf16_tflops']:.2f}" if ours and row.get("flops") and rates else "")
        cells.append(f"{row['fovea']['tensor_bytes'] / ours * 1e-6 / rates['copy_gbps']:.2f}" if ours and rates else "")
        for name in names:
            value = row.get(name, {})
            cells.append(f"{value['ms']:.4f} ({value['ms'] / ours:.2f})" if "ms" in value and ours else
                         value.get("error", "")[:40].replace("|", "/"))
        lines.append("| " + " | ".join(cells) + " |")
    (out / "times.md").write_text("\n".join(lines) + "\n")
    print(f"{out / 'times.md'}: {len(data['rows'])} rows")


def pack(args):
    root = HERE.parent.parent
    folders = [Path(args.bin)] if args.bin else [root / "build-static" / "bin"]
    strip = shutil.which("strip")
    with tarfile.open(args.out, "w:gz", compresslevel=6) as archive, tempfile.TemporaryDirectory() as folder:
        for program in PROGRAMS:
            found = next((f / program for f in folders if (f / program).exists()), None)
            if not found:
                sys.exit(f"harness: there is no {program} in {folders[0]}; `./dev static` makes it")
            if strip:
                subprocess.run([strip, "-o", f"{folder}/{program}", found], check=True)
                found = f"{folder}/{program}"
            archive.add(found, f"fovea-gpu/bin/{program}")
        archive.add(root / "examples", "fovea-gpu/examples")
        for name in ("LICENSE", "THIRD-PARTY.md"):
            archive.add(root / name, f"fovea-gpu/{name}")
        for wheel in sorted(Path(args.wheels).glob("*.whl")) if args.wheels else []:
            archive.add(wheel, f"fovea-gpu/wheels/{wheel.name}")
        archive.add(Path(__file__).resolve(), "fovea-gpu/harness.py")
    size = Path(args.out).stat().st_size
    if size > args.limit << 20:
        os.unlink(args.out)
        sys.exit(f"harness: the archive has {size / (1 << 20):.1f} MiB, more than --limit {args.limit}")
    print(f"{args.out}: {size / (1 << 20):.1f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["pack", "all", "check", "golden", "time", "report", "list"])
    parser.add_argument("out", help="the folder for results; of pack: the archive")
    parser.add_argument("--bin", help="folder of the programs")
    parser.add_argument("--device", choices=["gpu", "emulator"], default="gpu")
    parser.add_argument("--target", help="sm_80, sm_90, ..; default: that of the GPU")
    parser.add_argument("--table", choices=sorted(TABLES), default="short")
    parser.add_argument("--families", help="some families of the table, by comma")
    parser.add_argument("--types", default="bf16", help="element types that check runs, by comma")
    parser.add_argument("--sanitize", default="causal,gla,deltanet", help="examples to run under compute-sanitizer too")
    parser.add_argument("--sanitize-sizes", default="B=1,T=130,S=130,H=2,D=64,K=64,V=64")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop beginning new work after so long")
    parser.add_argument("--wheels", help="of pack: folder of wheels to carry, as those of fla-core and einops")
    parser.add_argument("--limit", type=int, default=64, help="of pack: MiB that the archive may have")
    args = parser.parse_args()
    if args.step == "pack":
        return pack(args)
    if args.step == "report":
        return report(Path(args.out))
    harness = Harness(args)
    passed = True
    for step in ["check", "golden", "time"] if args.step == "all" else [args.step]:
        passed &= getattr(harness, step)()
    if args.step in ("all", "time"):
        report(harness.out)
    return None if passed else 1


if __name__ == "__main__":
    sys.exit(main())
