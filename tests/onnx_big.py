#!/usr/bin/env python3
"""onnx_big.py: makes an ONNX model of gigabytes, compiles it and compares what it says.

SPDX-License-Identifier: Apache-2.0

    python3 tests/onnx_big.py BUILD [--gib 2.5] [--external] [--folder DIR] [OPTION...]

A language model's shape: rows of a table of words (six tenths of the weights), a chain of square layers with residual
connections. Written message by message, since protobuf libraries end at 2 GiB; with --external the weights lie in a
file beside the model. Other options are the compiler's, such as --weights-file. Needs numpy. Prints seconds, the most
memory that the compiler and linker had, and the sizes of what they wrote; the result is compared with numpy's. The
weights are of a size that makes every layer count.
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import time

import numpy as np

import compiled

WIDTH, TOKENS = 2048, 16


# ---- the wire format: every message is a list of chunks ------------------------------------------

def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def number(field, n):
    return [varint(field << 3) + varint(n)]


def text(field, s):
    data = s.encode()
    return [varint(field << 3 | 2) + varint(len(data)) + data]


def message(field, chunks):
    return [varint(field << 3 | 2) + varint(sum(len(c) for c in chunks)), *chunks]


def node(op, inputs, output, attributes=()):
    chunks = [c for name in inputs for c in text(1, name)]
    chunks += text(2, output) + text(3, output) + text(4, op)
    for name, value in attributes:
        chunks += message(5, text(1, name) + number(3, value) + number(20, 2))
    return message(1, chunks)


def value(field, name, kind, dims):
    shape = [c for d in dims for c in message(1, number(1, d))]
    return message(field, text(1, name) + message(2, message(1, number(1, kind) + message(2, shape))))


class Rows:
    """A matrix that is never whole in memory: row i is made when it is asked for."""

    def __init__(self, seed, rows):
        self.seed, self.rows = seed, rows

    def block(self, first, last):
        base = np.random.default_rng(self.seed).standard_normal(WIDTH + 997, np.float32)
        starts = (np.arange(first, last, dtype=np.int64) * 31 + self.seed) % 997
        signs = np.where(np.arange(first, last) * 2654435761 % 5 < 2, -1, 1).astype(np.float32)
        return base[starts[:, None] + np.arange(WIDTH)] * signs[:, None] / np.float32(np.sqrt(WIDTH))

    def write(self, f):
        for first in range(0, self.rows, 4096):
            f.write(self.block(first, min(first + 4096, self.rows)).data)

    def tensor(self, name, external):
        head = number(1, self.rows) + number(1, WIDTH) + number(2, 1) + text(8, name)
        size = self.rows * WIDTH * 4
        if external is None:
            return [*head, varint(9 << 3 | 2) + varint(size)], size
        for key, entry in (("location", "big.bin"), ("offset", str(external)), ("length", str(size))):
            head += message(13, text(1, key) + text(2, entry))
        return head + number(14, 1), 0


def write_model(folder, gib, external):
    """big.onnx of about `gib` GiB; returns the matrices."""
    layers = max(1, int(gib * 0.4 * 2**30 / (WIDTH * WIDTH * 4)))
    words = int(gib * 2**30 / (WIDTH * 4)) - layers * WIDTH
    matrices = {"table": Rows(1, words)} | {f"w{i}": Rows(2 + i, WIDTH) for i in range(layers)}
    nodes, x = node("Gather", ["table", "ids"], "x0", [("axis", 0)]), "x0"
    for i in range(layers):
        nodes += node("MatMul", [x, f"w{i}"], f"m{i}") + node("Tanh", [f"m{i}"], f"t{i}")
        nodes += node("Add", [x, f"t{i}"], f"x{i + 1}" if i + 1 < layers else "y")
        x = f"x{i + 1}"
    graph, offset, parts = nodes + text(2, "big"), 0, []
    for name, rows in matrices.items():
        head, size = rows.tensor(name, offset if external else None)
        parts.append((varint(5 << 3 | 2) + varint(sum(map(len, head)) + size) + b"".join(head), rows))
        offset += rows.rows * WIDTH * 4
    tail = value(11, "ids", 7, [TOKENS]) + value(12, "y", 1, [TOKENS, WIDTH])
    size = sum(map(len, graph + tail)) + sum(len(head) for head, _ in parts) + (0 if external else offset)
    with open(os.path.join(folder, "big.onnx"), "wb") as f, open(os.path.join(folder, "big.bin"), "wb") as side:
        f.write(b"".join(number(1, 8) + message(8, number(2, 17))) + varint(7 << 3 | 2) + varint(size))
        f.write(b"".join(graph))
        for head, rows in parts:
            f.write(head)
            rows.write(side if external else f)
        f.write(b"".join(tail))
    return matrices


# ---- running it ----------------------------------------------------------------------------------

def expected(matrices, ids):
    x = np.concatenate([matrices["table"].block(i, i + 1) for i in ids]).astype(np.float64)
    for name, rows in matrices.items():
        if name != "table":
            x = x + np.tanh(x @ rows.block(0, WIDTH).astype(np.float64))
    return x


def measured(arguments):
    """Runs a command; seconds, and the most memory that it and its children had: anonymous, and with mapped files."""
    start, own, most = time.perf_counter(), 0, 0
    done = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    while done.poll() is None:
        sizes = [resident(pid) for pid in [done.pid, *children(done.pid)]]
        own, most = max(own, sum(s[0] for s in sizes)), max(most, sum(s[1] for s in sizes))
        time.sleep(0.01)
    if done.returncode:
        sys.exit(f"{arguments[0]} failed: {done.returncode}")
    return time.perf_counter() - start, own, most


def children(pid):
    found = []
    for task in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(task, encoding="ascii") as f:
                own = [int(child) for child in f.read().split()]
        except OSError:
            continue
        found += own + [c for child in own for c in children(child)]
    return found


def resident(pid):
    """MiB of anonymous memory, and of all that is resident."""
    size = {"RssAnon": 0, "VmRSS": 0}
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            for line in f:
                key, _, value = line.partition(":")
                if key in size:
                    size[key] = int(value.split()[0]) / 1024
    except OSError:
        pass
    return size["RssAnon"], size["VmRSS"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--gib", type=float, default=2.5)
    parser.add_argument("--external", action="store_true")
    parser.add_argument("--folder", default="onnx-big")
    parser.add_argument("--keep", action="store_true")
    a, options = parser.parse_known_args()
    os.makedirs(a.folder, exist_ok=True)
    matrices = write_model(a.folder, a.gib, a.external)
    model, library = os.path.join(a.folder, "big.onnx"), os.path.join(a.folder, "libbig.so")
    tool = os.path.join(a.build, "tools/ingot")
    for arguments in (["inspect", model], ["compile", model, "-o", library, "--name=model", *options]):
        seconds, own, most = measured([tool, *arguments])
        print(f"{arguments[0]}: {seconds:.2f} s, at most {own:.0f} MiB of memory, {most:.0f} MiB with mapped files",
              flush=True)
    for name in sorted(os.listdir(a.folder)):
        print(f"{name}: {os.path.getsize(os.path.join(a.folder, name)) / 2**20:.1f} MiB")
    ids = (np.arange(TOKENS) * 7919 * 7919 % matrices["table"].rows).astype(np.int64)
    ids[0], ids[1] = 0, matrices["table"].rows - 1
    lib = compiled.Library(a.build, library)
    start = time.perf_counter()
    got = lib.run({"ids": ids})["y"]
    print(f"first run: {time.perf_counter() - start:.2f} s")
    want = expected(matrices, ids)
    error = np.linalg.norm(got - want) / np.linalg.norm(want)
    print(f"difference from numpy in f64: {error:.1e}")
    if not a.keep:
        shutil.rmtree(a.folder)
    return int(error > 1e-4)


sys.exit(main())
