"""The machine's limits, measured by limits.c, and what they say about a model.

SPDX-License-Identifier: Apache-2.0
"""

import math
import os
import subprocess

import onnx

HERE = os.path.dirname(os.path.abspath(__file__))


def cache_bytes():
    """Sizes of the data caches of one core, by level."""
    sizes, base = {}, "/sys/devices/system/cpu/cpu0/cache"
    for index in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        def read(name):
            with open(os.path.join(base, index, name), encoding="ascii") as f:
                return f.read().strip()
        if index.startswith("index") and read("type") in ("Data", "Unified"):
            size = read("size")
            scale = {"K": 1 << 10, "M": 1 << 20}.get(size[-1], 1)
            sizes[f"L{read('level')}"] = int(size.rstrip("KM")) * scale
    return {"L1": 32 << 10, "L2": 512 << 10, "L3": 16 << 20} | sizes


class Limits:
    """limits.c as a process that answers requests; one per number of threads."""

    def __init__(self, folder, threads, cpus):
        self.threads, self.caches = threads, cache_bytes()
        program, source = os.path.join(folder, "limits"), os.path.join(HERE, "limits.c")
        if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
            subprocess.run(["cc", "-O2", "-march=native", "-D_GNU_SOURCE", "-fno-tree-loop-distribute-patterns",
                            source, "-o", program, "-lpthread"], check=True)
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(self.process.pid, cpus)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def speed(self):
        """FMA peak of all threads and clock, briefly: what a round is logged with."""
        return {"fma": self.ask("fma", self.threads, 15), "ghz": self.ask("clock", 5)}

    def bandwidth(self):
        """GB/s of reading and of copying data that fit a level, all threads together, each its own part."""
        l1, l2, l3 = (self.caches[level] for level in ("L1", "L2", "L3"))
        sizes = {"L1": l1 // 2, "L2": l2 // 2, "L3": max(l3 // 4 // self.threads, 2 * l2),
                 "DRAM": 4 * l3 // self.threads}
        return {level: {"read": self.ask("read", self.threads, size, 30),
                        "copy": self.ask("copy", self.threads, size, 30)} for level, size in sizes.items()}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def bytes_read(path):
    """Bytes that an inference cannot but read or write: weights (of tables that are only looked up, none),
    inputs and outputs."""
    graph = onnx.load(path).graph
    sizes = {t.name: math.prod(t.dims) * {1: 4, 7: 8, 6: 4, 10: 2, 11: 8}.get(t.data_type, 1)
             for t in graph.initializer}
    sizes |= {n.output[0]: len(a.t.raw_data) for n in graph.node if n.op_type == "Constant"
              for a in n.attribute if a.name == "value"}
    used = {v for n in graph.node for i, v in enumerate(n.input) if not (n.op_type == "Gather" and i == 0)}
    ends = [v for v in [*graph.input, *graph.output] if v.name not in sizes]
    ends = sum(4 * math.prod(d.dim_value or 1 for d in v.type.tensor_type.shape.dim) for v in ends)
    return sum(size for name, size in sizes.items() if name in used) + ends


def least_ms(gflop, size, fma, bandwidth, caches, threads):
    """Time that no implementation without Winograd can beat here: arithmetic at FMA peak, or reading `size`
    bytes once: as many as a level holds at its bandwidth, nearest level first."""
    ms, rest = 0, size
    for level, room in (("L1", caches["L1"] * threads), ("L2", caches["L2"] * threads), ("L3", caches["L3"]),
                        ("DRAM", math.inf)):
        part = min(rest, room)
        ms, rest = ms + part / bandwidth[level]["read"] / 1e6, rest - part
    return max(gflop / fma * 1e3, ms)
