# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operations of LLVM IR, compiled for a GPU and run by the emulator, against the same IR compiled for the host.

usage: llvm_ops.py FOLDER CPU PTX_VERSION      e.g. llvm_ops.py out sm_80 70

One kernel does every operation on a table of operands, one thread a row. Operations whose result LLVM leaves open (shifts by more
than the width, division by zero, approximations) get operands that close it, or are left out. NaNs are all alike, and so are zeros.
"""

import random
import struct
import subprocess
import sys
from pathlib import Path

ROWS = 512
BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "float": 32, "double": 64, "half": 16, "bfloat": 16,
        "<2 x half>": 32, "<2 x float>": 64, "<2 x i16>": 32}
SUFFIX = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16", "<2 x half>": "v2f16", "<2 x float>": "v2f32",
          "<2 x i16>": "v2i16"}

ops = {}  # name: operand type, result type, body for the GPU, body for the host


def op(name, ty, body, out=None, host=None):
    ops[name] = (ty, out or ty, body, host or body)


for ty in ("i8", "i16", "i32", "i64"):
    top = BITS[ty] - 1
    for name in ("add", "sub", "mul", "and", "or", "xor"):
        op(f"{name}_{ty}", ty, f"%r = {name} {ty} %x, %y")
    for name in ("shl", "lshr", "ashr"):
        op(f"{name}_{ty}", ty, f"%s = and {ty} %y, {top}\n %r = {name} {ty} %x, %s")
    for name in ("udiv", "sdiv", "urem", "srem"):
        op(f"{name}_{ty}", ty, f"%s = lshr {ty} %y, 1\n %t = or {ty} %s, 1\n %r = {name} {ty} %x, %t")
        for divisor in (3, 7, 8, 10, 64, 100):
            op(f"{name}{divisor}_{ty}", ty, f"%r = {name} {ty} %x, {divisor}")
    for name in ("smin", "smax", "umin", "umax", "uadd.sat", "sadd.sat", "usub.sat", "ssub.sat"):
        op(f"{name}_{ty}", ty, f"%r = call {ty} @llvm.{name}.{ty}({ty} %x, {ty} %y)")
    for name in ("ctpop", "bitreverse") + (("bswap",) if ty != "i8" else ()):
        op(f"{name}_{ty}", ty, f"%r = call {ty} @llvm.{name}.{ty}({ty} %x)")
    for name in ("ctlz", "cttz", "abs"):
        op(f"{name}_{ty}", ty, f"%r = call {ty} @llvm.{name}.{ty}({ty} %x, i1 false)")
    for name in ("fshl", "fshr"):
        op(f"{name}_{ty}", ty, f"%r = call {ty} @llvm.{name}.{ty}({ty} %x, {ty} %y, {ty} %z)")
    for name in ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge"):
        op(f"icmp_{name}_{ty}", ty, f"%c = icmp {name} {ty} %x, %y\n %r = select i1 %c, {ty} %z, {ty} %x")
    op(f"mad_{ty}", ty, f"%m = mul {ty} %x, %y\n %r = add {ty} %m, %z")
    op(f"logic_{ty}", ty, f"%n = xor {ty} %x, -1\n %m = and {ty} %n, %y\n %q = xor {ty} %m, %z\n %r = or {ty} %q, %y")
    op(f"field_{ty}", ty, f"%s = shl {ty} %x, 2\n %r = ashr {ty} %s, {top - 2}")
    op(f"ufield_{ty}", ty, f"%s = lshr {ty} %x, 3\n %r = and {ty} %s, 7")
    op(f"predicates_{ty}", ty, f"%a = icmp slt {ty} %x, %y\n %b = icmp ult {ty} %y, %z\n %c = xor i1 %a, %b\n %d = and i1 %c, %a\n "
       f"%e = or i1 %d, %b\n %r = sext i1 %e to {ty}")
for narrow, wide in (("i8", "i16"), ("i8", "i32"), ("i16", "i32"), ("i32", "i64"), ("i16", "i64")):
    for name in ("zext", "sext"):
        op(f"mul_{name}_{narrow}_{wide}", narrow, f"%p = {name} {narrow} %x to {wide}\n %q = {name} {narrow} %y to {wide}\n %r = mul {wide} %p, %q",
           wide)
    op(f"trunc_{wide}_{narrow}", wide, f"%s = add {wide} %x, %y\n %r = trunc {wide} %s to {narrow}", narrow)
for name in ("zext", "sext"):
    op(f"mulhi_{name}_i32", "i32", f"%p = {name} i32 %x to i64\n %q = {name} i32 %y to i64\n %m = mul i64 %p, %q\n %s = lshr i64 %m, 32\n "
       "%r = trunc i64 %s to i32")
    op(f"mulhi_{name}_i64", "i64", f"%p = {name} i64 %x to i128\n %q = {name} i64 %y to i128\n %m = mul i128 %p, %q\n "
       "%s = lshr i128 %m, 64\n %r = trunc i128 %s to i64")
op("halves", "i32", "%a = and i32 %x, 65535\n %b = shl i32 %y, 16\n %r = or i32 %a, %b")
op("bytes", "i32", "%a = lshr i32 %x, 8\n %b = and i32 %a, 255\n %c = and i32 %y, 65280\n %r = or i32 %b, %c")
op("wide_add", "i64", "%p = zext i64 %x to i128\n %q = zext i64 %y to i128\n %m = add i128 %p, %q\n %s = lshr i128 %m, 1\n %r = trunc i128 %s to i64")

for ty in ("float", "double", "half", "bfloat"):
    s = SUFFIX[ty]

    def arithmetic(name, body, out=None):
        """bfloat on the host: in float, rounded to nearest even by hand (twice rounded is once rounded here)."""
        host = None
        if ty == "bfloat":
            host = body.replace("bfloat", "float").replace(".bf16", ".f32")
            host = "\n".join(f" %{v}w = zext i16 %{v}b to i32\n %{v}s = shl i32 %{v}w, 16\n %{v} = bitcast i32 %{v}s to float"
                             for v in "xyz") + "\n " + host
            if out is None:
                host = host.replace("%r =", "%f =") + """
 %u = bitcast float %f to i32
 %low = lshr i32 %u, 16
 %odd = and i32 %low, 1
 %bias = add i32 %odd, 32767
 %sum = add i32 %u, %bias
 %up = lshr i32 %sum, 16
 %nan = fcmp uno float %f, %f
 %sel = select i1 %nan, i32 32767, i32 %up
 %r = trunc i32 %sel to i16"""
        op(name, ty, body, out, host)

    for name in ("fadd", "fsub", "fmul", "fdiv"):
        arithmetic(f"{name}_{s}", f"%r = {name} {ty} %x, %y")
    arithmetic(f"fneg_{s}", f"%r = fneg {ty} %x")
    arithmetic(f"rcp_{s}", f"%r = fdiv {ty} 1.0, %x")
    for name in ("fabs", "floor", "ceil", "trunc", "rint", "nearbyint", "roundeven", "round", "sqrt"):
        arithmetic(f"{name}_{s}", f"%r = call {ty} @llvm.{name}.{s}({ty} %x)")
    for name in ("minnum", "maxnum", "minimum", "maximum", "copysign"):
        arithmetic(f"{name}_{s}", f"%r = call {ty} @llvm.{name}.{s}({ty} %x, {ty} %y)")
    arithmetic(f"clamp_{s}", f"%m = call {ty} @llvm.maxnum.{s}({ty} %x, {ty} 0.0)\n %r = call {ty} @llvm.minnum.{s}({ty} %m, {ty} 1.0)")
    for name in ("oeq", "olt", "ogt", "ole", "oge", "one", "ord", "ueq", "ult", "ugt", "ule", "uge", "une", "uno"):
        arithmetic(f"fcmp_{name}_{s}", f"%c = fcmp {name} {ty} %x, %y\n %r = select i1 %c, {ty} %z, {ty} %x")
    if ty in ("float", "double"):
        op(f"fma_{s}", ty, f"%r = call {ty} @llvm.fma.{s}({ty} %x, {ty} %y, {ty} %z)")
        for it in ("i16", "i32", "i64"):
            op(f"sitofp_{it}_{s}", it, f"%r = sitofp {it} %x to {ty}", ty)
            op(f"uitofp_{it}_{s}", it, f"%r = uitofp {it} %x to {ty}", ty)
    for it in ("i8", "i16", "i32", "i64"):
        for name in ("fptosi.sat", "fptoui.sat"):
            arithmetic(f"{name}_{s}_{it}", f"%r = call {it} @llvm.{name}.{it}.{s}({ty} %x)", it)
for name in ("floor", "ceil", "trunc", "roundeven"):
    op(f"int_{name}", "float", f"%q = call float @llvm.{name}.f32(float %x)\n %r = call i32 @llvm.fptosi.sat.i32.f32(float %q)", "i32")
for name, test in (("nan", 3), ("infinite", 516), ("finite", 504)):
    op(f"is_{name}", "float", f"%c = call i1 @llvm.is.fpclass.f32(float %x, i32 {test})\n %r = select i1 %c, float %y, float %z")
op("fpext_f16", "half", "%r = fpext half %x to float", "float")
op("fptrunc_f16", "float", "%r = fptrunc float %x to half", "half")
op("fpext_f64", "float", "%r = fpext float %x to double", "double")
op("fptrunc_f64", "double", "%r = fptrunc double %x to float", "float")
for ty in ("<2 x half>", "<2 x float>"):
    for name in ("fadd", "fsub", "fmul"):
        op(f"{name}_{SUFFIX[ty]}", ty, f"%r = {name} {ty} %x, %y")
    op(f"max_{SUFFIX[ty]}", ty, f"%r = call {ty} @llvm.maxnum.{SUFFIX[ty]}({ty} %x, {ty} %y)")
    op(f"fneg_{SUFFIX[ty]}", ty, f"%r = fneg {ty} %x")
    op(f"cmp_{SUFFIX[ty]}", ty, f"%c = fcmp olt {ty} %x, %y\n %r = select <2 x i1> %c, {ty} %z, {ty} %x")
op("fma_v2f32", "<2 x float>", "%r = call <2 x float> @llvm.fma.v2f32(<2 x float> %x, <2 x float> %y, <2 x float> %z)")
for name in ("add", "sub", "mul"):
    op(f"{name}_v2i16", "<2 x i16>", f"%r = {name} <2 x i16> %x, %y")
for name in ("smin", "smax", "umin", "umax"):
    op(f"{name}_v2i16", "<2 x i16>", f"%r = call <2 x i16> @llvm.{name}.v2i16(<2 x i16> %x, <2 x i16> %y)")


def module(host):
    pointer = "ptr" if host else "ptr addrspace(1)"
    lines = []
    for index, (name, (ty, out, gpu, cpu)) in enumerate(ops.items()):
        held = host and "bfloat" in (ty, out)  # as bits
        there = "i16" if held and ty == "bfloat" else ty
        back = "i16" if held and out == "bfloat" else out
        loads = "".join(f" %p{v} = getelementptr i64, {pointer} %in, i64 %i{v}\n %{v}{'b' if held else ''} = load {there}, {pointer} %p{v}\n"
                        for v in "xyz")
        lines.append(f"""define internal void @op{index}(i64 %row, {pointer} %in, {pointer} %out) alwaysinline {{
 %ix = mul i64 %row, 3
 %iy = add i64 %ix, 1
 %iz = add i64 %ix, 2
{loads} {cpu if host else gpu}
 %o = add i64 %row, {index * ROWS}
 %po = getelementptr i64, {pointer} %out, i64 %o
 store {back} %r, {pointer} %po
 ret void
}}""")
    calls = "\n".join(f" call void @op{n}(i64 %row, {pointer} %in, {pointer} %out)" for n in range(len(ops)))
    if not host:
        lines.insert(0, 'target triple = "nvptx64-nvidia-cuda"')
        lines.append(f"""define ptx_kernel void @k({pointer} %in, {pointer} %out) {{
 %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
 %b = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
 %w = mul i32 %b, 32
 %n = add i32 %w, %t
 %row = zext i32 %n to i64
{calls}
 ret void
}}""")
        return "\n".join(lines)
    size = 8 * ROWS * len(ops)
    lines.append(f"""@in = global [{3 * ROWS} x i64] zeroinitializer
@out = global [{ROWS * len(ops)} x i64] zeroinitializer
@paths = constant [3 x i8] c"rb\\00"
@pathw = constant [3 x i8] c"wb\\00"
declare ptr @fopen(ptr, ptr)
declare i64 @fread(ptr, i64, i64, ptr)
declare i64 @fwrite(ptr, i64, i64, ptr)
declare i32 @fclose(ptr)
define i32 @main(i32 %argc, ptr %argv) {{
entry:
 %a1 = getelementptr ptr, ptr %argv, i64 1
 %from = load ptr, ptr %a1
 %f = call ptr @fopen(ptr %from, ptr @paths)
 %got = call i64 @fread(ptr @in, i64 1, i64 {24 * ROWS}, ptr %f)
 %closed = call i32 @fclose(ptr %f)
 br label %loop
loop:
 %row = phi i64 [0, %entry], [%next, %loop]
{calls.replace("%in", "@in").replace("%out", "@out")}
 %next = add i64 %row, 1
 %more = icmp ult i64 %next, {ROWS}
 br i1 %more, label %loop, label %end
end:
 %a2 = getelementptr ptr, ptr %argv, i64 2
 %to = load ptr, ptr %a2
 %g = call ptr @fopen(ptr %to, ptr @pathw)
 %put = call i64 @fwrite(ptr @out, i64 1, i64 {size}, ptr %g)
 %closed2 = call i32 @fclose(ptr %g)
 ret i32 0
}}""")
    return "\n".join(lines)


def operands(rng):
    """64 bits each, of which an operation takes the low ones: every kind of number of every type."""
    edges = [0, 1, 2, 7, 255, 0x7F, 0x80, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1]
    floats = [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 1e-40, 65504.0, 65520.0, 3e38, float("inf"), float("-inf"), float("nan"),
              2147483648.0, -2147483648.0, 4294967296.0, 9.3e18, 127.5, 255.5, 1e-8]
    half = lambda v: struct.unpack("<H", struct.pack("<e", v if abs(v) < 65520 or v != v else float("inf") * (1 if v > 0 else -1)))[0]
    single = lambda v: struct.unpack("<I", struct.pack("<f", v))[0]
    double = lambda v: struct.unpack("<Q", struct.pack("<d", v))[0]

    def one():
        kind = rng.randrange(8)
        value = rng.choice(floats) if rng.random() < 0.4 else rng.uniform(-1, 1) * 2.0 ** rng.randrange(-12, 40)
        small = value if abs(value) < 60000 or value in floats else value / 2.0**24
        if kind == 0:
            return rng.choice(edges)
        if kind == 1:
            return rng.getrandbits(64)
        if kind == 2:
            return rng.getrandbits(64) >> rng.randrange(64)
        if kind == 3:
            return double(value)
        if kind in (4, 5):
            return single(value) | single(rng.choice(floats)) << 32
        bits = half(small) if kind == 6 else single(value) >> 16
        return sum(bits << (16 * n) for n in range(4))

    return [one() for _ in range(3 * ROWS)]


def fields(ty):
    """Widths and layouts of the parts that are compared."""
    return {"<2 x half>": ["half"] * 2, "<2 x float>": ["float"] * 2, "<2 x i16>": ["i16"] * 2}.get(ty, [ty])


def plain(ty, bits):
    layout = {"half": (5, 10), "bfloat": (8, 7), "float": (8, 23), "double": (11, 52)}.get(ty)
    if not layout:
        return bits
    exponent, fraction = layout
    magnitude = bits & ((1 << (exponent + fraction)) - 1)
    if magnitude > ((1 << exponent) - 1) << fraction:
        return "nan"
    return bits if magnitude else 0


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(str(c) for c in command)}: {done.stderr[-2000:]}")


def main():
    folder, cpu, version = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    folder.mkdir(parents=True, exist_ok=True)
    values = operands(random.Random(1))
    (folder / "in").write_bytes(struct.pack(f"<{3 * ROWS}Q", *values))
    (folder / "gpu.ll").write_text(module(False))
    (folder / "host.ll").write_text(module(True))
    run("opt", "-passes=always-inline,instcombine", folder / "gpu.ll", "-o", folder / "gpu.bc")
    run("llc", "-O2", f"-mcpu={cpu}", f"-mattr=+ptx{version}", folder / "gpu.bc", "-o", folder / "gpu.ptx")
    run("lli", "-O0", "-mattr=+f16c,+fma", folder / "host.ll", folder / "in", folder / "host")
    size = 8 * ROWS * len(ops)
    run("fovea-emu", folder / "gpu.ptx", "--grid", ROWS // 32, "--block", 32, "--arg", f"in:{folder / 'in'}", "--arg",
        f"out:{folder / 'gpu'}:{size}")
    gpu, host = (folder / "gpu").read_bytes(), (folder / "host").read_bytes()
    bad = 0
    for index, (name, (ty, out, _, _)) in enumerate(ops.items()):
        wrong = 0
        for row in range(ROWS):
            at = 8 * (index * ROWS + row)
            for part in fields(out):
                width = BITS[part] // 8
                a, b = (int.from_bytes(data[at:at + width], "little") for data in (gpu, host))
                at += width
                if plain(part, a) != plain(part, b):
                    if not wrong:
                        x, y, z = (values[3 * row + n] & ((1 << BITS[ty]) - 1) for n in range(3))
                        print(f"{name}: {x:#x} {y:#x} {z:#x} gives {a:#x} on the GPU, {b:#x} on the host")
                    wrong += 1
        bad += wrong > 0
    print(f"{cpu}: {len(ops)} operations, {bad} differ")


main()
