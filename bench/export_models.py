#!/usr/bin/env python3
"""Writes the models that bench/run measures, as ONNX (opset 17, f32, fixed shapes), to bench/.models.

SPDX-License-Identifier: Apache-2.0

    bench/.venv/bin/python bench/export_models.py              # all of them, about 3 GB
    bench/.venv/bin/python bench/export_models.py resnet50 vgg16 --output DIR
    bench/.venv/bin/python bench/export_models.py --list

For each model: NAME.onnx; NAME.npz with `in.INPUT` (seeded) and `out.OUTPUT`, the right result; and
an entry in index.json (inputs, outputs, GFLOP, parameters, origin). Weights are drawn at random after
He et al. 2015, batch norm gets the statistics of real activations, so that values stay in a
realistic range. For these the right result is PyTorch's in f64. Trained models are taken from
--trained (default: ../shared/models beside the repository; skipped where absent) and run on a real
input; their result is ONNX Runtime's in f32 with graph optimisation off.

Every file is run by ONNX Runtime and its normwise relative error against the right result printed.
"""

import argparse
import json
import math
import os
import sys
import warnings
import wave

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision.models as tv
from PIL import Image
from torch import nn

import nets

HERE = os.path.dirname(os.path.abspath(__file__))
OPSET = 17
SEED = 1
PAST = 512  # tokens that the GPT step looks back on


# ---- inputs --------------------------------------------------------------------------------------

# Each returns a maker: (random generator, folder of the trained models) -> array.

def normal(*shape):
    """Standard normal values: what an image looks like once normalised."""
    return lambda rng, _: rng.standard_normal(shape, np.float32)


def uniform(*shape):
    return lambda rng, _: rng.random(shape, np.float32)


def integers(high, *shape, dtype=np.int64):
    return lambda rng, _: rng.integers(0, high, shape, dtype)


def ones(*shape):
    return lambda rng, _: np.ones(shape, np.int64)


def zeros(*shape):
    return lambda rng, _: np.zeros(shape, np.float32)


def photo(file, height, width, scale, shift, box=None):
    """A real image (or the part in box) as f32[1,3,height,width]: pixel * scale + shift."""
    def make(_, directory):
        picture = Image.open(os.path.join(directory, "inputs", file)).convert("RGB")
        pixels = np.asarray(picture.resize((width, height), box=box), np.float32)
        return np.ascontiguousarray((pixels * np.float32(scale) + np.float32(shift)).transpose(2, 0, 1)[None])
    return make


def sound(file, start, *shape):
    """Samples of a 16-bit mono recording from `start` on, in -1..1."""
    def make(_, directory):
        with wave.open(os.path.join(directory, "inputs", file)) as f:
            f.setpos(start)
            samples = np.frombuffer(f.readframes(math.prod(shape)), np.int16)
        return (samples.astype(np.float32) / np.float32(32768)).reshape(shape)
    return make


def image(size, batch=1):
    return {"image": normal(batch, 3, size, size)}


# ---- the list ------------------------------------------------------------------------------------

# name -> (network, inputs, gain). Weights get a variance of gain/fan-in: 2 keeps it under ReLU, 1 is
# for networks that normalise or saturate instead.
DEFINED = {
    "resnet18": (tv.resnet18, image(224), 2),
    "resnet50": (tv.resnet50, image(224), 2),
    "resnet50_b8": (tv.resnet50, image(224, 8), 2),
    "vgg16": (tv.vgg16, image(224), 2),
    "mobilenet_v2": (tv.mobilenet_v2, image(224), 2),
    "mobilenet_v3_large": (tv.mobilenet_v3_large, image(224), 2),
    "efficientnet_b0": (tv.efficientnet_b0, image(224), 2),
    "squeezenet1_1": (tv.squeezenet1_1, image(224), 2),
    "shufflenet_v2": (tv.shufflenet_v2_x1_0, image(224), 2),
    "densenet121": (tv.densenet121, image(224), 2),
    "inception_v3": (lambda: tv.inception_v3(init_weights=False), image(299), 2),
    "convnext_tiny": (tv.convnext_tiny, image(224), 1),
    "unet": (nets.UNet, image(256), 2),
    "yolo": (nets.Detector, {"image": uniform(1, 3, 640, 640)}, 2),
    "bert_base": (nets.Bert, {"input_ids": integers(30522, 1, 128), "attention_mask": ones(1, 128),
                              "token_type_ids": integers(2, 1, 128)}, 1),
    "vit_b_16": (tv.vit_b_16, image(224), 1),
    "gpt2_step": (nets.GptStep, {"input_ids": integers(50257, 1, 1)}
                  | {f"past.{i}.{kind}": normal(1, 12, PAST, 64)
                     for i in range(12) for kind in ("key", "value")}, 1),
    "lstm": (nets.Tagger, {"words": normal(1, 128, 300)}, 1),
    "mlp": (lambda: nets.mlp(784, 512, 10), {"image": uniform(1, 784)}, 2),
    "keyword_spotting": (nets.KeywordSpotter, {"mfcc": normal(1, 1, 49, 10)}, 2),
}

# name -> (file under --trained, inputs)
TRAINED = {
    "ppocr_det": ("ch_PP-OCRv4_det_infer.onnx",
                  {"x": photo("ocr_en.jpg", 640, 640, 1 / 57.4, -2.04)}),
    "ppocr_rec": ("ch_PP-OCRv4_rec_infer.onnx",
                  {"x": photo("ocr_en.jpg", 48, 320, 1 / 127.5, -1, box=(0, 75, 220, 100))}),
    "ultraface": ("ultraface_rfb320.onnx",
                  {"input": photo("ultraface_17.jpg", 240, 320, 1 / 128, -127 / 128)}),
    "fastestdet": ("fastestdet.onnx", {"input.1": photo("fastestdet_3.jpg", 352, 352, 1 / 255, 0)}),
    "silero": ("silero_vad_16k_static.onnx",
               {"input": sound("silero_test.wav", 80000, 1, 576), "state": zeros(2, 1, 128)}),
    "magika": ("magika_v3_3.onnx", {"bytes": integers(257, 1, 2048, dtype=np.int32)}),
    "basic_pitch": ("basic_pitch_nmp.onnx",
                    {"serving_default_input_2:0": sound("bp_vocadito_10.wav", 44100, 1, 43844, 1)}),
}


# ---- weights -------------------------------------------------------------------------------------

def fan_in(name, weight, model):
    """Products that each element of a layer's result sums up."""
    owner = model.get_submodule(name.rpartition(".")[0])
    if isinstance(owner, nn.ConvTranspose2d):
        return weight.shape[0] * math.prod(weight.shape[2:]) / math.prod(owner.stride)
    return math.prod(weight.shape[1:])


@torch.no_grad()
def initialise(model, gain):
    """Draws every parameter: none stays at zero or at a constant, as none does after training."""
    norms = {id(p) for m in model.modules() for p in m.parameters(recurse=False)
             if isinstance(m, (nn.BatchNorm2d, nn.LayerNorm)) and p is m.weight}
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    for name, p in model.named_parameters():
        leaf = name.rpartition(".")[2]
        if id(p) in norms or leaf == "layer_scale":
            p.uniform_(0.5, 1.5)
        elif id(p) in embeddings or leaf in ("class_token", "pos_embedding"):
            p.normal_(0, 0.05)
        elif p.dim() < 2:
            p.normal_(0, 0.05)
        else:
            p.normal_(0, math.sqrt(gain / fan_in(name, p, model)))


@torch.no_grad()
def calibrate(model, inputs):
    """Gives each batch norm the statistics of its own input, as training would."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # average over all calls
        m.train()
    if norms:
        model(*inputs)
    for m in norms:
        m.eval()


# ---- ONNX ----------------------------------------------------------------------------------------

def draw(inputs, name, directory=None):
    """Seeded by the model's name, so that one model's inputs do not depend on the others."""
    rng = np.random.default_rng([SEED, *name.encode()])
    return {key: make(rng, directory) for key, make in inputs.items()}


def relative_error(got, want):
    return float(np.linalg.norm((got - want).ravel()) / max(np.linalg.norm(want.ravel()), 1e-300))


def session(path, optimise=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def export_defined(name, path):
    """Writes a network with drawn weights; returns inputs and f64 results by name."""
    make, specs, gain = DEFINED[name]
    torch.manual_seed(SEED)
    model = make().eval()
    initialise(model, gain)
    arrays = draw(specs, name)
    calibrate(model, [torch.from_numpy(a) for a in draw(specs, name + " calibration").values()])
    tensors = tuple(torch.from_numpy(a) for a in arrays.values())
    with torch.no_grad():
        result = model(*tensors)
    count = 1 if isinstance(result, torch.Tensor) else len(result)
    names = ["output"] if count == 1 else [f"output{i}" for i in range(count)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, on Python values: shapes are fixed here
        torch.onnx.export(model, tensors, path, input_names=list(arrays), output_names=names,
                          opset_version=OPSET, dynamo=False)
    with torch.no_grad():
        exact = model.double()(*(t.double() if t.is_floating_point() else t for t in tensors))
    exact = [exact] if count == 1 else exact
    return arrays, {key: value.numpy() for key, value in zip(names, exact)}


def fix_shapes(model, arrays):
    """Replaces dimensions that the file leaves open by those of the inputs, and infers the rest."""
    constants = {t.name for t in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in constants:
            dims = value.type.tensor_type.shape.dim
            for dim, extent in zip(dims, arrays[value.name].shape):
                dim.dim_value = extent
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def export_trained(name, path, directory):
    """Fixes the shapes of a trained model, raises its opset where the converter can."""
    file, specs = TRAINED[name]
    arrays = draw(specs, name, directory)
    model = onnx.load(os.path.join(directory, file))
    try:
        raised = onnx.version_converter.convert_version(model, OPSET)
        onnx.checker.check_model(raised, full_check=True)
        model = raised
    except Exception as problem:  # the converter throws what it likes; the model is good as it is
        print(f"{name}: stays at its opset: {str(problem).splitlines()[0]}", file=sys.stderr)
    onnx.save(fix_shapes(model, arrays), path)
    runner = session(path, optimise=False)
    names = [value.name for value in runner.get_outputs()]
    return arrays, dict(zip(names, runner.run(names, arrays)))


def shapes_seen(model, arrays, wanted):
    """Shapes of the named values, by running the model: shape inference loses track in some."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    outputs = {value.name for value in model.graph.output}
    computed = {name for node in model.graph.node for name in node.output}
    extra = [name for name in wanted if name in computed - outputs]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
    names = extra + sorted(outputs)
    results = session(probe.SerializeToString(), optimise=False).run(names, arrays)
    known = {t.name: tuple(t.dims) for t in model.graph.initializer}
    return known | {name: a.shape for name, a in [*arrays.items(), *zip(names, results)]}


def node_flops(node, ins, out):
    """Two per multiplication in convolutions, products and LSTMs; element-wise work is not counted."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Conv":
        return 2 * math.prod(out) * math.prod(ins[1][1:])
    if node.op_type == "ConvTranspose":
        return 2 * math.prod(ins[0]) * math.prod(ins[1][1:])
    if node.op_type == "MatMul":
        return 2 * math.prod(out) * ins[0][-1]
    if node.op_type == "Gemm":
        return 2 * math.prod(out) * ins[0][0 if attributes.get("transA") else 1]
    return 2 * ins[0][0] * ins[0][1] * (math.prod(ins[1]) + math.prod(ins[2]))  # LSTM


def count_flops(model, arrays):
    nodes = [n for n in model.graph.node
             if n.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM")]
    wanted = dict.fromkeys(v for n in nodes for v in [*n.input[:3], n.output[0]] if v)
    shapes = shapes_seen(model, arrays, wanted)
    return sum(node_flops(n, [shapes.get(v) for v in n.input], shapes[n.output[0]]) for n in nodes)


def count_weights(model):
    """f32 constants, whether initialisers or nodes."""
    nodes = [a.t for n in model.graph.node if n.op_type == "Constant"
             for a in n.attribute if a.name == "value"]
    return sum(math.prod(t.dims) for t in [*model.graph.initializer, *nodes]
               if t.data_type == onnx.TensorProto.FLOAT)


def describe(path, origin, arrays):
    """The model's entry in index.json."""
    model = onnx.load(path)
    runner = session(path, optimise=False)

    def values(which):
        return [{"name": v.name, "type": v.type, "shape": v.shape} for v in which]

    return {"file": os.path.basename(path), "origin": origin, "opset": model.opset_import[0].version,
            "inputs": values(runner.get_inputs()), "outputs": values(runner.get_outputs()),
            "gflop": round(count_flops(model, arrays) / 1e9, 4), "parameters": count_weights(model),
            "nodes": len(model.graph.node)}


def export(name, output, trained):
    """Writes one model with its inputs and results, runs it, and returns its entry."""
    path = os.path.join(output, f"{name}.onnx")
    if name in DEFINED:
        arrays, results = export_defined(name, path)
        origin = "own definition" if DEFINED[name][0].__module__ in ("nets", __name__) else "torchvision"
    else:
        arrays, results = export_trained(name, path, trained)
        origin = TRAINED[name][0]
    entry = describe(path, origin, arrays)
    np.savez(os.path.join(output, f"{name}.npz"), **{f"in.{k}": v for k, v in arrays.items()},
             **{f"out.{k}": v for k, v in results.items()})
    got = session(path).run(list(results), arrays)
    error = max(relative_error(a, b) for a, b in zip(got, results.values()))
    spread = max(float(np.std(value)) for value in results.values())
    entry["onnxruntime_error"] = error
    print(f"{name:20} {entry['gflop']:9.4f} GFLOP {entry['parameters'] / 1e6:8.2f} M "
          f"{entry['nodes']:5} nodes   error {error:.1e}   spread {spread:.2g}", flush=True)
    if not error < 1e-4 or not spread > 0:
        raise ValueError("the exported file does not compute what the network does")
    return entry


# ---- command -------------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="models (default: all)")
    parser.add_argument("--output", default=os.path.join(HERE, ".models"), metavar="DIR")
    parser.add_argument("--trained", default=os.path.join(HERE, "../../shared/models"), metavar="DIR")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    args = parser.parse_args()
    everything = [*DEFINED, *TRAINED]
    if args.list:
        print("\n".join(everything))
        return
    if unknown := set(args.names) - set(everything):
        parser.error(f"no such model: {', '.join(sorted(unknown))}")

    os.makedirs(args.output, exist_ok=True)
    index_path = os.path.join(args.output, "index.json")
    index = {}
    if os.path.exists(index_path):
        with open(index_path, encoding="utf-8") as f:
            index = json.load(f)
    failed = []
    for name in args.names or everything:
        if name in TRAINED and not os.path.exists(os.path.join(args.trained, TRAINED[name][0])):
            print(f"{name:20} skipped: no {TRAINED[name][0]} in {args.trained}")
            continue
        try:
            index[name] = export(name, args.output, args.trained)
        except Exception as problem:  # one model that fails must not cost the others
            print(f"{name:20} failed: {problem}", file=sys.stderr, flush=True)
            failed.append(name)
        with open(index_path, "w", encoding="utf-8") as f:
            json.dump(index, f, indent=1)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
