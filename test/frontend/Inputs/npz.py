# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""npz.py write FOLDER: archives of q, keys and v. npz.py read FOLDER: what came out, compared with numpy's attention.
npz.py same FILE.npz FILE.npy: `o` of the one is the other."""
import sys

import numpy as np


def bf16(array):
    """Rounded to even in the upper half of the bits, as f32."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


def inputs():
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape) for shape in ((1, 20, 2, 32), (1, 30, 2, 32), (1, 30, 2, 32))]


def attention(q, k, v):
    q, k, v = (bf16(array).astype(np.float64) for array in (q, k, v))
    scores = np.einsum("bihd,bjhd->bihj", q, k) / np.sqrt(q.shape[-1])
    hidden = np.arange(30)[None, None, None, :] > np.arange(10, 30)[None, :, None, None]  # ends meet
    scores = np.where(hidden, -np.inf, scores)
    most = scores.max(-1, keepdims=True)
    weights = np.exp(scores - most)
    total = weights.sum(-1, keepdims=True)
    return np.einsum("bihj,bjhd->bihd", weights / total, v), (np.log(total) + most)[..., 0]


if sys.argv[1] == "write":
    q, k, v = inputs()
    np.savez(sys.argv[2] + "/in.npz", q=q, keys=k.astype(np.float32))
    np.savez_compressed(sys.argv[2] + "/packed.npz", v=v, other=np.arange(3))
    content = open(sys.argv[2] + "/in.npz", "rb").read()
    open(sys.argv[2] + "/cut.npz", "wb").write(content[:-30])
elif sys.argv[1] == "read":
    with np.load(sys.argv[2] + "/out.npz") as out:
        for name in out.files:
            print(name, out[name].dtype, out[name].shape)
        o, lse = attention(*inputs())
        print("largest difference of o from numpy's own attention", f"{np.abs(out['o'] - o).max():.6f}")
        print("of l", f"{np.abs(out['l'] - lse).max():.6f}")
else:
    with np.load(sys.argv[2]) as archive:
        raise SystemExit(not np.array_equal(archive["o"], np.load(sys.argv[3])))
