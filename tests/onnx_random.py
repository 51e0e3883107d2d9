#!/usr/bin/env python3
"""onnx_random.py: random ONNX models, compiled code beside ONNX Runtime.

SPDX-License-Identifier: Apache-2.0

    bench/.venv/bin/python tests/onnx_random.py BUILD [--seed 1] [--count 200] [--keep FOLDER]

Every model has a few inputs and 3 to 12 operators of some fifty kinds with random attributes, in operator sets 11 to
21; half of them have a symbolic batch, run with two extents. Every value that nothing reads is an output. Results
must be equal for integers and, for floats, within 2e-4 of ONNX Runtime's (without its optimisations) by norm; models
whose results are not finite are left out. Prints the seeds of models that differ or that Ingot refuses although ONNX
Runtime takes them.
"""

import argparse
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper, numpy_helper

import compiled

ERROR, BATCH = 2e-4, 5
KINDS = {T.FLOAT: np.float32, T.INT64: np.int64, T.INT32: np.int32, T.BOOL: np.bool_, T.UINT8: np.uint8,
         T.INT8: np.int8, T.DOUBLE: np.float64}


class Unfit(Exception):
    """The operator does not fit what there is."""


class Model:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.opset = int(self.rng.choice([11, 13, 15, 17, 18, 21]))
        self.symbolic = bool(self.rng.integers(2))
        self.nodes, self.inits, self.inputs, self.values, self.read = [], [], {}, {}, set()

    # -- drawing --

    def draw(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def some(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def name(self, prefix):
        return f"{prefix}{len(self.nodes)}_{len(self.inits)}_{len(self.inputs)}"

    def value(self, rank=None, kind=T.FLOAT):
        """A value there is, preferably a late one; a new input where none fits."""
        fit = [n for n, (k, s) in self.values.items() if k == kind and (len(s) > 0 if rank is None else len(s) == rank)]
        if not fit or self.rng.random() < 0.1:
            return self.input(self.some(1, 4) if rank is None else rank, kind)
        pick = fit[-1] if self.rng.random() < 0.6 else fit[self.rng.integers(len(fit))]
        self.read.add(pick)
        return pick

    def input(self, rank, kind=T.FLOAT):
        name = self.name("x")
        shape = [self.draw(1, 2, 3, 4, 5, 7, 8, 16, 17) for _ in range(rank)]
        if rank == 4:
            shape[1:] = [self.draw(1, 3, 4, 8, 16), self.some(5, 14), self.some(5, 14)]
        if self.symbolic and rank > 1:
            shape[0] = BATCH
        self.inputs[name] = (kind, shape)
        self.values[name] = (kind, shape)
        return name

    def shape(self, name):
        return self.values[name][1]

    def const(self, array):
        name = self.name("c")
        self.inits.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def floats(self, *shape, scale=1.0):
        return self.const((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def ints(self, values):
        return self.const(np.array(values, np.int64))

    # -- adding --

    def add(self, op, inputs, outputs=1, domain="", **attrs):
        names = [self.name(f"v{k}_") for k in range(outputs)]
        node = helper.make_node(op, inputs, names, domain=domain, **{k: v for k, v in attrs.items() if v is not None})
        self.nodes.append(node)
        try:
            found = self.infer(names)
        except Exception as problem:
            self.nodes.pop()
            raise Unfit(str(problem)) from problem
        self.values.update(found)
        return names[0]

    def infer(self, names):
        """Types and shapes of new results, by running the model so far: what ONNX Runtime says is what counts."""
        session = self.session(self.proto(names))
        given = self.data(0)
        found = {}
        for name, array in zip(names, session.run(names, given)):
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            if array.size > 200000 or array.size == 0:
                raise Unfit("size")
            if array.dtype.kind == "f" and not (np.isfinite(array).all() and np.abs(array).max() < 1e4):
                raise Unfit("values")
            found[name] = (kind, list(array.shape))
        return found

    def proto(self, outputs):
        def value(name):
            kind, shape = self.inputs[name]
            dims = ["N" if self.symbolic and i == 0 and len(shape) > 1 else d for i, d in enumerate(shape)]
            return helper.make_tensor_value_info(name, kind, dims)
        graph = helper.make_graph(self.nodes, "random", [value(n) for n in self.inputs],
                                  [helper.make_empty_tensor_value_info(n) for n in outputs], self.inits)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def session(self, proto):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def data(self, seed, batch=BATCH):
        rng = np.random.default_rng(seed)
        given = {}
        for name, (kind, shape) in self.inputs.items():
            shape = [batch if self.symbolic and i == 0 and len(shape) > 1 else d for i, d in enumerate(shape)]
            array = rng.standard_normal(shape) if kind in (T.FLOAT, T.DOUBLE) else rng.integers(0, 2 if kind == T.BOOL else 6, shape)
            given[name] = np.asarray(array).astype(KINDS[kind])
        return given


# ---- operators: each adds one (or a few) to a model --------------------------------------------------------------

UNARY = ("Abs", "Neg", "Relu", "Sigmoid", "Tanh", "Exp", "Erf", "Softplus", "Softsign", "Sin", "Cos", "Atan", "Sinh",
         "Elu", "Selu", "LeakyRelu", "HardSigmoid", "Identity", "Sqrt", "Log", "Reciprocal", "ThresholdedRelu", "Celu",
         "HardSwish", "Mish", "Gelu", "Swish")


def unary(m):
    op = m.draw(*UNARY)
    x = m.value()
    if op in ("Sqrt", "Log", "Reciprocal"):
        x = m.add("Add", [m.add("Abs", [x]), m.const(np.float32(0.5))])
    m.add(op, [x])


def binary(m):
    a = m.value()
    shape = m.shape(a)
    other = [1 if m.rng.random() < 0.3 or m.symbolic and d == BATCH else d for d in shape][m.some(0, len(shape)):]
    same = [n for n, (k, s) in m.values.items() if k == T.FLOAT and s == shape]
    b = m.draw(*same) if same and m.rng.random() < 0.5 else m.floats(*other)
    m.read.add(b)
    op = m.draw("Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum", "PRelu", "Div")
    if op == "Div":
        b = m.add("Add", [m.add("Abs", [b]), m.const(np.float32(0.5))])
    m.add(op, [a, b] if m.rng.random() < 0.7 or op in ("Div", "PRelu") else [b, a])


def compare(m):
    a = m.value()
    cond = m.add(m.draw("Greater", "Less"), [a, m.const(np.float32(0.1234))])
    if m.rng.random() < 0.5:
        cond = m.add("Not", [cond])
    m.add("Where", [cond, a, m.const(np.float32(0.1234))])


def matmul(m):
    a = m.value(rank=m.draw(2, 3, 3, 4))
    shape = m.shape(a)
    lead = [] if m.rng.random() < 0.5 else [1 for _ in shape[:-2]]
    m.add("MatMul", [a, m.floats(*lead, shape[-1], m.draw(1, 3, 8, 16, 33), scale=0.3)])


def batched(m):
    a = m.value(rank=m.draw(3, 4))
    order = list(range(len(m.shape(a))))
    order[-1], order[-2] = order[-2], order[-1]
    m.add("MatMul", [a, m.add("Transpose", [a], perm=order)])


def gemm(m):
    a, t = m.value(rank=2), m.some(0, 1)
    k, n = m.shape(a)[1], m.draw(1, 4, 16, 31)
    w = m.floats(n, k, scale=0.3) if t else m.floats(k, n, scale=0.3)
    m.add("Gemm", [a, w] + ([m.floats(n)] if m.some(0, 1) else []), transB=t, alpha=m.draw(None, 0.5))


def conv(m):
    x = m.value(rank=4)
    channels, group = m.shape(x)[1], 1
    if channels > 1 and m.rng.random() < 0.35:
        group = m.draw(channels, *[g for g in (2, 4) if channels % g == 0])
    k, out = m.draw((1, 1), (3, 3), (3, 3), (5, 5), (1, 3), (2, 2)), group * m.draw(1, 2, 4)
    scale = 1 / np.sqrt(channels // group * k[0] * k[1])
    inputs = [x, m.floats(out, channels // group, *k, scale=scale)] + ([m.floats(out)] if m.some(0, 1) else [])
    pads = [m.some(0, k[i % 2] // 2) for i in range(4)]
    auto = m.draw(None, None, "SAME_UPPER", "SAME_LOWER", "VALID")
    m.add("Conv", inputs, group=group, pads=None if auto else pads, auto_pad=auto, strides=m.draw(None, [2, 2], [1, 2]),
          dilations=m.draw(None, None, [2, 2]) if auto is None else None)


def conv_transpose(m):
    x = m.value(rank=4)
    channels = m.shape(x)[1]
    k, stride = m.draw((2, 2), (3, 3), (4, 4)), m.draw([1, 1], [2, 2], [2, 1])
    m.add("ConvTranspose", [x, m.floats(channels, m.draw(1, 3, 8), *k, scale=0.3)], strides=stride,
          pads=[m.some(0, 1) for _ in range(4)], output_padding=[m.some(0, s - 1) for s in stride])


def pool(m):
    x, op = m.value(rank=4), m.draw("MaxPool", "AveragePool", "LpPool")
    k = m.draw([2, 2], [3, 3], [3, 2])
    auto = m.draw(None, None, "SAME_UPPER", "SAME_LOWER")
    m.add(op, [x], kernel_shape=k, strides=m.draw(None, [2, 2], [1, 2]), auto_pad=auto,
          pads=None if auto else [m.some(0, 1) for _ in range(4)],
          ceil_mode=m.draw(None, 1) if op != "LpPool" or m.opset >= 18 else None,
          count_include_pad=m.draw(None, 1) if op == "AveragePool" else None)


def global_pool(m):
    m.add(m.draw("GlobalAveragePool", "GlobalMaxPool"), [m.value(rank=4)])


def reduce(m):
    x = m.value()
    rank = len(m.shape(x))
    op = m.draw("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSumExp",
                "ReduceSumSquare")
    axes = sorted({m.some(-rank, rank - 1) % rank for _ in range(m.some(1, 2))})
    as_input = m.opset >= (13 if op == "ReduceSum" else 18)
    m.add(op, [x, m.ints(axes)] if as_input else [x], axes=None if as_input else axes, keepdims=m.some(0, 1))


def softmax(m):
    x = m.value()
    m.add(m.draw("Softmax", "LogSoftmax"), [x], axis=m.some(-1, len(m.shape(x)) - 1))


def normal(m):
    x = m.value(rank=m.draw(3, 4))
    channels, last = m.shape(x)[1], m.shape(x)[-1]
    op = m.draw("BatchNormalization", "InstanceNormalization", "LayerNormalization", "LRN", "LpNormalization")
    if op == "BatchNormalization":
        variance = m.const((np.abs(m.rng.standard_normal(channels)) + 0.5).astype(np.float32))
        m.add(op, [x, m.floats(channels), m.floats(channels), m.floats(channels), variance])
    elif op == "InstanceNormalization":
        m.add(op, [x, m.floats(channels), m.floats(channels)], epsilon=0.01)
    elif op == "LayerNormalization":
        m.add(op, [x, m.floats(last), m.floats(last)], epsilon=0.01)
    elif op == "LRN":
        m.add(op, [x], size=3)
    else:
        m.add(op, [m.add("Add", [x, m.const(np.float32(3))])], axis=m.draw(-1, 1), p=m.draw(1, 2))


def reshape(m):
    x = m.value()
    shape = m.shape(x)
    if m.symbolic and len(shape) < 2:
        return
    op = m.draw("merge", "flatten", "unsqueeze", "zero")
    if op == "merge" and len(shape) > 2:
        m.add("Reshape", [x, m.ints([0, -1] + shape[3:])])
    elif op == "flatten":
        m.add("Flatten", [x], axis=m.some(0, len(shape)))
    elif op == "zero":
        m.add("Reshape", [x, m.ints([0] * (len(shape) - 1) + [-1, 1])])
    else:
        axes = [m.some(0, len(shape))]
        m.add("Unsqueeze", [x, m.ints(axes)] if m.opset >= 13 else [x], axes=None if m.opset >= 13 else axes)


def dynamic_reshape(m):
    """The shape arithmetic that exporters write."""
    x = m.value(rank=m.draw(3, 4))
    first = m.add("Gather", [m.add("Shape", [x]), m.ints([0])], axis=0)
    m.add("Reshape", [x, m.add("Concat", [first, m.ints([-1])], axis=0)])


def transpose(m):
    x = m.value()
    m.add("Transpose", [x], perm=[int(d) for d in m.rng.permutation(len(m.shape(x)))])


def slices(m):
    x = m.value()
    shape = m.shape(x)
    first = 1 if m.symbolic and len(shape) > 1 else 0
    axis = m.some(min(first, len(shape) - 1), len(shape) - 1)
    n, step = shape[axis], m.draw(1, 1, 2, -1, -2)
    start, end = (m.some(0, n - 1), m.draw(n, 2 ** 31)) if step > 0 else (m.draw(-1, n - 1, 2 ** 31), -2 ** 31)
    m.add("Slice", [x, m.ints([start]), m.ints([end]), m.ints([axis]), m.ints([step])])


def concat(m):
    x = m.value()
    shape = m.shape(x)
    same = [n for n, (k, s) in m.values.items() if k == T.FLOAT and len(s) == len(shape)]
    axis = m.some(0, len(shape) - 1)
    fit = [n for n in same if all(a == b for i, (a, b) in enumerate(zip(m.shape(n), shape)) if i != axis)]
    parts = [x] + [m.draw(*fit) for _ in range(m.some(1, 2))]
    m.read.update(parts)
    m.add("Concat", parts, axis=axis)


def split(m):
    x = m.value()
    shape = m.shape(x)
    axis = len(shape) - 1
    if shape[axis] < 2:
        return
    first = m.some(1, shape[axis] - 1)
    sizes = [first, shape[axis] - first]
    m.add("Split", [x, m.ints(sizes)] if m.opset >= 13 else [x], outputs=2, axis=axis,
          split=None if m.opset >= 13 else sizes)


def pad(m):
    x = m.value()
    shape = m.shape(x)
    rank, mode = len(shape), m.draw("constant", "constant", "reflect", "edge")
    pads = [0] * (2 * rank)
    for d in range(1 if rank > 1 else 0, rank):
        most = shape[d] - 1 if mode == "reflect" else 2
        pads[d], pads[rank + d] = m.some(0, min(2, most)), m.some(0, min(2, most))
    m.add("Pad", [x, m.ints(pads)] + ([m.const(np.float32(1.5))] if mode == "constant" and m.some(0, 1) else []), mode=mode)


def expand(m):
    x = m.value()
    shape = m.shape(x)
    if m.rng.random() < 0.5:
        m.add("Tile", [x, m.ints([1] + [m.some(1, 2) for _ in shape[1:]])])
    else:
        m.add("Expand", [m.add("Unsqueeze", [x, m.ints([0])] if m.opset >= 13 else [x],
                               axes=None if m.opset >= 13 else [0]), m.ints([m.some(1, 3)] + [1] * len(shape))])


def gather(m):
    x = m.value()
    shape = m.shape(x)
    axis = m.some(1 if len(shape) > 1 else 0, len(shape) - 1)
    n = shape[axis]
    index = m.rng.integers(-n, n, m.draw((), (3,), (2, 2)))
    m.add("Gather", [x, m.const(index.astype(np.int64))], axis=axis)


def lookup(m):
    index = m.value(rank=2, kind=T.INT64)
    if index not in m.inputs:
        return
    m.add("Gather", [m.floats(6, m.draw(3, 8, 16)), index])


def arg(m):
    x = m.value()
    if x in m.inputs:
        m.add(m.draw("ArgMax", "ArgMin"), [x], axis=m.some(0, len(m.shape(x)) - 1), keepdims=m.some(0, 1))


def topk(m):
    x = m.value()
    if x in m.inputs:
        axis = len(m.shape(x)) - 1
        m.add("TopK", [x, m.ints([m.some(1, m.shape(x)[axis])])], outputs=2, axis=axis, largest=m.some(0, 1))


def cumsum(m):
    x = m.value()
    m.add("CumSum", [x, m.ints(m.some(0, len(m.shape(x)) - 1))], exclusive=m.some(0, 1), reverse=m.some(0, 1))


def resize(m):
    x, mode = m.value(rank=4), m.draw("nearest", "linear", "cubic")
    scales = np.array([1, 1, m.draw(0.5, 1.5, 2, 3), m.draw(0.6, 1, 2)], np.float32)
    how = m.draw("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    # Where ONNX Runtime departs from ONNX's own reference: corners of extents that are no whole numbers, places that
    # single precision moves to the next element, and rounding down of places before the first element.
    if how in ("align_corners", "asymmetric"):
        scales[2:] = 2
    m.add("Resize", [x, "", m.const(scales)], mode=mode, coordinate_transformation_mode=how,
          nearest_mode=m.draw(None, "floor", "ceil") if mode == "nearest" and how == "asymmetric" else None)


def depth(m):
    x = m.value(rank=4)
    if m.shape(x)[1] % 4 == 0 and m.some(0, 1):
        m.add("DepthToSpace", [x], blocksize=2, mode=m.draw("DCR", "CRD"))
    elif m.shape(x)[2] % 2 == 0 and m.shape(x)[3] % 2 == 0:
        m.add("SpaceToDepth", [x], blocksize=2)


def einsum(m):
    x = m.value(rank=3)
    n = m.shape(x)[2]
    equation, shape = m.draw(("abc,cd->abd", (n, 4)), ("abc,dc->dab", (3, n)), ("abc,abc->ab", None), ("abc->cb", None))
    m.add("Einsum", [x] + ([m.floats(*shape)] if shape else [x] if "," in equation else []), equation=equation)


def recurrent(m):
    x, op = m.value(rank=3), m.draw("LSTM", "GRU", "RNN")
    gates, hidden, two = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], m.draw(3, 8), m.some(1, 2)
    width = m.shape(x)[2]
    inputs = [x, m.floats(two, gates * hidden, width, scale=0.3), m.floats(two, gates * hidden, hidden, scale=0.3)]
    if m.some(0, 1):
        inputs.append(m.floats(two, 2 * gates * hidden, scale=0.3))
    m.add(op, inputs, outputs=2, hidden_size=hidden, direction="bidirectional" if two == 2 else m.draw("forward", "reverse"),
          linear_before_reset=m.some(0, 1) if op == "GRU" else None)


def quantised(m):
    """Quantised and back, per tensor or per channel, alone or around a product of integers."""
    x = m.value()
    shape, kind = m.shape(x), m.draw(np.uint8, np.int8)
    zero = m.const(kind(m.some(0, 5)))
    scale = m.const(np.float32(0.05))
    q = m.add("QuantizeLinear", [x, scale, zero])
    if len(shape) == 2 and m.some(0, 1):
        w = m.const(m.rng.integers(-20, 20, (shape[1], 4)).astype(np.int8))
        m.add("MatMulInteger", [q, w, zero])
        return
    m.add("DequantizeLinear", [q, scale, zero])


def clip(m):
    x = m.value()
    m.add("Clip", [x, m.const(np.float32(-0.7)), m.draw("", m.const(np.float32(0.9)))])


def cast(m):
    x = m.value()
    y = m.add("Cast", [x], to=m.draw(T.DOUBLE, T.FLOAT))
    m.add("Cast", [y], to=T.FLOAT)


def scatter(m):
    x = m.value(rank=2)
    rows, columns = m.shape(x)
    if m.symbolic:
        return
    index = np.stack([m.rng.permutation(rows) for _ in range(columns)], 1)[: max(1, rows // 2)].astype(np.int64)
    m.add("ScatterElements", [x, m.const(index), m.floats(*index.shape)], axis=0)


def grid(m):
    x = m.value(rank=4)
    if m.opset < 16:
        return
    batch = m.shape(x)[0]
    points = m.const(m.rng.uniform(-1.1, 1.1, (batch, 3, 4, 2)).astype(np.float32))
    if not m.symbolic:
        mode = "bilinear" if m.opset < 20 else m.draw("linear", "cubic")
        how = "zeros" if mode == "cubic" else m.draw("zeros", "border", "reflection")  # cubic: as for Resize
        m.add("GridSample", [x, points], mode=mode, padding_mode=how, align_corners=m.some(0, 1))


def gate(m):
    x = m.value()
    m.add("Mul", [x, m.add("Sigmoid", [x])])


OPERATORS = [unary, unary, binary, binary, compare, matmul, batched, gemm, conv, conv, conv_transpose, pool, global_pool,
             reduce, softmax, normal, reshape, dynamic_reshape, transpose, slices, concat, split, pad, expand, gather,
             lookup, arg, topk, cumsum, resize, depth, einsum, recurrent, quantised, clip, cast, scatter, grid, gate]


# ---- comparing ---------------------------------------------------------------------------------------------------

def make(seed):
    m = Model(seed)
    m.input(m.some(2, 4))
    for _ in range(m.some(3, 12)):
        try:
            m.draw(*OPERATORS)(m)
        except Unfit:
            pass
    used = {name for node in m.nodes for name in node.input}
    m.inputs = {n: what for n, what in m.inputs.items() if n in used}
    return m, [name for node in m.nodes for name in node.output if name in m.values and name not in used]


def differs(got, want):
    """What is wrong with a result, or None."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"is {got.dtype}{list(got.shape)}, should be {want.dtype}{list(want.shape)}"
    if want.dtype.kind != "f":
        wrong = int((got != want).sum())
        return f"differs in {wrong} of {want.size} elements" if wrong else None
    error = np.linalg.norm((got - want).astype(np.float64)) / max(np.linalg.norm(want.astype(np.float64)), 1e-6)
    return None if error <= ERROR else f"is {error:.1e} away"


def expected(m, session, outputs):
    """Batch -> inputs and results; None if an operator turns out to be for one batch only."""
    symbolic = m.symbolic and any(len(shape) > 1 for _, shape in m.inputs.values())
    runs = {}
    for batch in (BATCH, 2) if symbolic else (BATCH,):
        given = m.data(0, batch)
        try:
            runs[batch] = given, dict(zip(outputs, session.run(outputs, given)))
        except Exception:  # whatever ONNX Runtime raises
            return None
    return runs


def check(seed, build, folder):
    """What is wrong with the model, or None; raises Unfit if there is none."""
    m, outputs = make(seed)
    if not outputs:
        raise Unfit
    path, library = os.path.join(folder, f"m{seed}.onnx"), os.path.join(folder, f"m{seed}.so")
    onnx.save(m.proto(outputs), path)
    runs = expected(m, m.session(m.proto(outputs)), outputs)
    if runs is None:
        raise Unfit
    compiled.compile_model(build, path, library, f"-O{m.draw(2, 2, 0)}", *(["--dim=N<=8"] if len(runs) > 1 else []))
    lib = compiled.Library(build, library)
    os.unlink(library)
    try:
        for batch, (given, want) in runs.items():
            got = lib.run(given)
            for name in outputs:
                finite = want[name].dtype.kind != "f" or np.isfinite(want[name]).all()
                problem = differs(got[name], want[name]) if finite else None
                if problem:
                    return f"{name} {problem} (batch {batch})"
    finally:
        lib.close()
    os.unlink(path)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--keep")
    a = parser.parse_args()
    bad = done = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(a.seed, a.seed + a.count):
            try:
                problem = check(seed, a.build, a.keep or folder)
            except Unfit:
                continue
            except compiled.Failed as failure:
                problem = str(failure)[:600]
            done += 1
            bad += problem is not None
            if problem:
                print(f"seed {seed}: {problem}", flush=True)
    print(f"{done} models, {bad} bad")
    return int(bad > 0)


sys.exit(main())
