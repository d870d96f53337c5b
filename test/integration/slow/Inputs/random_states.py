# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random recurrences through `fovea check`: decays, maps of queries and keys, erasing, commits, conditions, divisors, initial
and carried states, read points, snapshots, values in groups, several states, and weights beside them. Environment and messages
are those of random_specs.py."""
import re
import sys
from random_specs import main

DECLARATIONS = {
    "q": "input q : {qt}[B, T, {q}, K]",
    "k": "input k : {kt}[B, T, {key}, K]",
    "v": "input v : {vt}[B, T, {v}, V]",
    "z": "input z : [B, T, H, V]",
    "w": "input w : [B, T, {v}, V]",
    "a": "input a : {at}[B, T, {v}]",
    "b": "input b : {at}[B, T, {v}]",
    "c": "input c : [B, T, {key}]",
    "bk": "input bk : [B, T, {v}, K]",
    "f": "input f : [B, T, {v}, K]",
    "ff": "input ff : [B, T, {v}, F]",
    "fk": "input fk : [B, T, K]",
    "g": "input g : f32 [B, T, {v}] <= 0",
    "gk": "input gk : {gt}[B, T, {v}, K] <= 0",
    "gh": "param gh : f32 [{v}] in [-2, 0]",
    "low": "input low : [B, T, E]",
    "up": "param up : [{v}, E, K]",
    "n": "input n : i32 [B, T]",
    "rate": "param rate : f32 [{v}]",
    "bias": "param bias : f32 [{v}]",
    "biask": "param biask : f32 [{v}, K]",
    "lb": "param lb : f32 [{v}, K] in [0, 1)",
    "u": "param u : f32 [{key}, K]",
    "skip": "param skip : f32 [{v}]",
    "gamma": "param gamma : [V]",
    "wq": "param wq : [{q}, K, {taps}]",
    "wk": "param wk : [{key}, K, {taps}]",
    "wv": "param wv : [{v}, V, {taps}]",
    "aw": "param aw : [{key}, K, E]",
}

# Decays with the axes of one head, of one token, of one channel. {f} is an input per channel.
HEAD = ["log(1 - 2^(-5 - index[{v}]))", "-exp(rate)", "gh", "-0.1", "-softplus(rate) / 4", "-2^(-8 * (index[{v}] + 1) / 4)"]
TOKEN = ["g", "log_sigmoid(a) / 16", "-exp(rate) * softplus(a + bias)", "-2 * sigmoid(a)", "max(log_sigmoid(a), -3)", "min(a, 0)",
         "log_sigmoid(a) + log_sigmoid(b)", "log(sigmoid(a))", "-exp(a)", "-exp(rate) * softplus(c)", "g + gh", "-abs(a)",
         "clamp(a, -5, 0)", "log_sigmoid(a + bias) * softplus(rate)", "-a^2", "if n > 1 then -20 else g", "-0.5 * relu(a)"]
CHANNEL = ["gk", "log_sigmoid({f}) / 16", "-exp({f})", "-exp(rate) * softplus({f} + biask)", "-5 * sigmoid(exp(rate) * ({f} + biask))",
           "log_sigmoid(fk) / 8", "logaddexp(log(lb), log1p(-lb) + log_sigmoid({f}))", "log(lb + (1 - lb) * sigmoid({f}))",
           "log_sigmoid(dot[E](low, up) + biask) / 16", "-exp(-0.6 * sigmoid({f}))", "g + log_sigmoid({f}) / 4", "log_sigmoid(f) + gk",
           "-softplus({f})", "max(-exp({f}), -4)"]
# Maps of queries and keys that may be negative, and those that are not.
SIGNED = ["{x}", "silu({x})", "{x} * K^-0.5", "rope({x}, pos[T])", "tanh({x})", "silu(conv[T]({x}, w{x}))", "rmsnorm[K]({x})",
          "l2norm[K](rope({x}, pos[T]))"]
POSITIVE = ["elu({x}) + 1", "relu({x})", "softmax[K]({x})", "exp(min({x}, 2))", "relu({x})^2", "sigmoid({x})", "softplus({x})",
            "exp(-0.5 * {x}^2)"]
UNIT = ["l2norm[K]({x})", "l2norm[K](silu({x}))", "l2norm[K](silu(conv[T]({x}, w{x})), eps: 1e-6)", "softmax[K]({x})"]
DOUBLED = ["cat[F](relu({x}), relu(-{x}))", "cat[F](softmax[K]({x}), softmax[K](-{x}))", "cat[F](exp(min({x}, 2)), exp(min(-{x}, 2)))"]


class Spec:
    def __init__(self, r):
        self.r = r
        self.claim = r.choice(["causal ", "causal ", ""])
        heads = r.random()
        # Values in groups, queries in groups, or all alike.
        names = ("Hk", "Hk", "H") if heads < 0.25 else ("H", "Hk", "Hk") if heads < 0.35 else ("H", "H", "H")
        self.grouped = heads < 0.35
        self.names = dict(zip(("q", "key", "v"), names)) | {"taps": str(r.choice([2, 3, 4]))}
        self.names |= {"qt": "", "kt": "", "vt": "", "at": r.choice(["f32 ", ""]), "gt": r.choice(["f32 ", ""])}
        if r.random() < 0.1:
            self.names[r.choice(["qt", "kt", "vt"])] = "f32 "
        self.lines, self.extra, self.states = [], [], 0

    def fill(self, text, **more):
        return text.format(**self.names, **more)

    def decay(self, doubled):
        r = self.r
        kind = r.random()
        if kind < 0.15:
            return None
        if kind < 0.3:
            return self.fill(r.choice(HEAD))
        if kind < 0.6:
            return self.fill(r.choice(TOKEN))
        if doubled:
            return r.choice(["log_sigmoid(ff) / 16", "-exp(ff)", "-2 * sigmoid(ff)"])
        return r.choice(CHANNEL).format(f=r.choice(["f", "f", "bk"]))

    def state(self):
        """Declares one state; its name, the maps of its queries, whether it is written without erasing."""
        r = self.r
        name = "SRQ"[self.states]
        self.states += 1
        divides, erases = False, False
        kind = r.random()
        doubled = kind < 0.12
        if doubled:
            maps = DOUBLED
            divides = r.random() < 0.5
        elif kind < 0.45:
            maps = POSITIVE
            divides = r.random() < 0.5
        elif kind < 0.75:
            maps, erases = UNIT, r.random() < 0.85
        else:
            maps = SIGNED
        key = self.fill(r.choice(maps), x="k")
        value, erase = "v", None
        if erases:
            let = f"kn{name}"
            self.lines.append(f"let {let} = {key}")
            key = let
            strength = r.choice(["", "sigmoid(b) * ", "sigmoid(c) * ", "sigmoid(bk) * ", "2 * sigmoid(b) * ", "0.5 * "])
            erase = f"{strength}{let}"
            if "bk" in strength:
                value = r.choice(["v", "sigmoid(w) * v"])
            else:
                value = f"{strength}{r.choice(['v', 'silu(conv[T](v, wv))'])}"
        elif r.random() < 0.4:
            value = r.choice(["v * sigmoid(b)", "silu(v)", "v * softplus(a + bias)", "sigmoid(w) * v", "conv[T](v, wv)", "0.1 * v"])
        axis = "F" if doubled else "K"
        fields = [f"key: {key}", f"value: {value}"]
        decay = self.decay(doubled)
        if decay and maps is SIGNED and r.random() < 0.05:
            fields[0] = "key: -expm1(gk)"
            decay = "gk"
        if decay:
            fields.append(f"decay: {decay}")
        if erase:
            fields.append(f"erase: {erase}")
        if r.random() < 0.15:
            fields.append("where: " + r.choice(["n > 1", "b > 0", "n % 3 != 1", "pos[T] % 5 < 3", "n == 2 or a < 0", "b != 0"]))
        if r.random() < 0.08:
            fields.append(f"commit: {r.choice(['mean[T in Tb](a) > 0', 'max[T in Tb](b) < 1'])} per Tb")
        if divides:
            fields.append("divide: " + r.choice(["sum", "sum + 1e-3", "max(sum, 1)"]))
        self.initial(name, fields, divides, axis)
        backward = "" if self.claim or r.random() < 0.7 else " reverse"
        self.lines.append(f"state {name}[{axis}, V] = recur over T{backward} {{\n    " + "\n    ".join(fields) + "\n  }")
        if r.random() < 0.12:
            self.extra.append(f"output last{name} = last({name})")
        if r.random() < (0.4 if any("commit" in field for field in fields) else 0.12):
            self.extra.append(f"output every{name} = every({name}, {r.choice([1, 8, 16, 64, 100])})")
        signed = r.choice([SIGNED, UNIT])
        queries = DOUBLED if doubled else POSITIVE if maps is POSITIVE and (divides or r.random() < 0.6) else signed
        return name, queries

    def initial(self, name, fields, divides, axis):
        r = self.r
        if r.random() > 0.5:
            return
        # The heads of a state are those of its key, its value and what decays it together.
        head = "H" if self.names["key"] == "H" or self.names["v"] == "H" else "Hk"
        axes = r.choice([f"B, {head}, {axis}, V"] * 3 + [f"B, {head}, V, {axis}"])
        kind, type_ = r.random(), r.choice(["f32 ", "f32 ", ""])
        optional = r.choice(["", " optional"])
        if kind < 0.15: # one for all batches
            of = axes.replace("B, ", "", 1)
            self.lines.insert(0, f"param h{name} : {type_}[{of}]")
        elif kind < 0.65:
            self.lines.insert(0, f"carry h{name} : {type_}[{axes}]{optional}")
        else:
            self.lines.insert(0, f"input h{name} : {type_}[{axes}]{optional}")
        if divides:
            declare = r.choice(["carry", "input"])
            self.lines.insert(0, f"{declare} o{name} : f32 [B, {head}, {axis}]" + optional)
            fields.append(f"initial: h{name}, o{name}")
        else:
            fields.append(f"initial: h{name}")

    def read(self, name, queries):
        r = self.r
        point = r.choice(["{}", "{}", "prev({})", "decayed({})"]).format(name)
        query = self.fill(r.choice(queries), x="q")
        return f"read({point}, {query})" + (" * K^-0.5" if r.random() < 0.3 else "")

    def weights(self):
        """A value by weights over the tokens, the softmax kind in a window or all."""
        r = self.r
        predicate = r.choice(["0 <= i - j < 16", "j <= i", "0 <= i - j < 40", "j <= i and i // 16 == j // 16"])
        self.lines.append("let near = weights over T {\n    score: dot[K](q[i], k[j]) * K^-0.5\n    where: " + predicate + "\n  }")
        return "near(v)"

    def joint(self):
        r = self.r
        window = r.choice([1, 8, 16, 30])
        qf, kf = (f.format(x=x) for f in [r.choice(POSITIVE)] for x in "qk")
        self.lines += [f"let qf = {qf}", f"let kf = {kf}",
                       f"let near = weights over T {{\n    score: dot[K](q[i], k[j]) * K^-0.5\n    where: 0 <= i - j < {window}\n  }}",
                       "let far = weights over T {\n    weight: dot[K](qf[i], kf[j])\n    where: j <= i and not near.where\n  }"]
        return f"joint(near of v, far of v, reference: {r.choice(['rowmax', 'true'])})"

    def linear(self):
        """Weights that are a recurrence in other words."""
        r = self.r
        divide = r.choice(["sum", "sum + 1e-2", "max(sum, 1)", "none"])
        qf, kf = (f.format(x=x) for f in [r.choice(POSITIVE)] for x in "qk")
        self.lines += [f"let qf = {qf}", f"let kf = {kf}",
                       "let far = weights over T {\n    weight: dot[K](qf[i], kf[j])\n    where: "
                       f"{r.choice(['j <= i', 'j < i', 'j <= i - 5', 'j <= i and not (i - j < 16)'])}\n    divide: {divide}\n  }}"]
        return "far(v)"

    def value(self):
        r = self.r
        kind = r.random()
        if kind < 0.08:
            return self.joint()
        if kind < 0.16:
            return self.linear()
        name, queries = self.state()
        o = self.read(name, queries)
        more = r.random()
        if more < 0.08:
            o = f"0.5 * ({o}) + 0.5 * {self.weights()}"
        elif more < 0.2:
            o += " + " + self.read(*self.state())
        elif more < 0.25:
            o += " - " + self.read(name, queries)
        return o

    def gates(self, o):
        r = self.r
        if r.random() < 0.15:
            o += r.choice([" + skip * v", " + dot[K](q, u * k) * v", " + conv[T](v, wv)"])
        # What is left after -20 is no number of f16, where a norm shows it.
        if r.random() < 0.35 and not any("-20" in line for line in self.lines):
            o = f"{r.choice(['rmsnorm[V]', 'layernorm[V]', 'l2norm[V]'])}({o})" + r.choice(["", "", " * gamma"])
        if r.random() < 0.35:
            o = f"({o}) * " + r.choice(["silu(z)", "sigmoid(z)", "(1.5 + tanh(z))"])
        return o


def spec(r):
    s = Spec(r)
    o = s.gates(s.value())
    text = "\n  ".join(s.lines + [f"output o = {o}"] + s.extra)
    # Names stand alone: fields and functions of the same name do not count.
    names = re.sub(r"\b(\w+)(\[|\()", r" \1 \2", text)
    used = [s.fill(d) for name, d in DECLARATIONS.items() if re.search(rf"\b{name}\b(?!:)", names)]
    has = lambda axis: re.search(rf"\b{axis}\b", " ".join(used) + text)
    axes = ["B", "T", "K", "V"] + ([] if s.grouped else ["H"]) + (["E"] if has("E") else [])
    static = ["K", "V"] + (["G"] if s.grouped else []) + (["E"] if has("E") else [])
    lines = [f"axis {', '.join(axes)}"] + (["axis H = Hk * G"] if s.grouped else [])
    if has("F"):
        lines.append("axis F = lo: K + hi: K")
    if has("Tb"):
        lines.append(f"axis Tb = T / {r.choice([16, 32, 64])}")
    lines += [f"static {', '.join(static)}"] + used + [text]
    whole = f"fovea 1\nattention random {s.claim}{{\n  " + "\n  ".join(lines) + "\n}\n"
    dims = [16, 32, 64, 128] if r.random() < 0.5 else list(range(8, 136, 8))
    sizes = {"B": r.choice([1, 2]), "T": r.choice([1, 2, 5, 15, 16, 17, 31, 33, 63, 64, 65, 70, 97, 129, 150]), "K": r.choice(dims),
             "V": r.choice(dims)}
    if has("F"):
        sizes["K"] = min(sizes["K"], 64)
    if "rope" in text:  # whose halves are multiples of 8
        sizes["K"] = max(16, sizes["K"] // 16 * 16)
    sizes |= {"Hk": r.choice([1, 2]), "G": r.choice([1, 2, 3])} if s.grouped else {"H": r.choice([1, 2])}
    if has("E"):
        sizes["E"] = r.choice([8, 16, 32])
    return whole, sizes


if __name__ == "__main__":
    sys.exit(main(spec))
