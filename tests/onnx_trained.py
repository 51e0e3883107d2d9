#!/usr/bin/env python3
"""onnx_trained.py: trained ONNX models on real inputs, compiled code beside ONNX Runtime.

SPDX-License-Identifier: Apache-2.0

    bench/.venv/bin/python tests/onnx_trained.py BUILD                  # prints the table
    bench/.venv/bin/python tests/onnx_trained.py BUILD --write          # and keeps it, for docs/onnx-support.md

Needs onnxruntime and Pillow, and the models (--models, by default ../shared/models beside the repository). A model
fails that takes 10 s to compile, or whose results are 1e-4 away from those of ONNX Runtime: for each output, the
norm of the difference over the norm of the result. Models that carry state run as many steps, each engine with its
own state. Compile times are of the wall clock, for the target x86-64-v3, with as many jobs as there are processors.
"""

import argparse
import base64
import gzip
import json
import os
import sys
import tempfile
import wave

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

import compiled

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "onnx_trained.md")
SECONDS, ERROR = 10, 1e-4


# ---- inputs --------------------------------------------------------------------------------------

def photo(folder, file, width, height, scale, shift, box=None, bgr=False):
    """A picture (or the part in box) as f32[1,3,height,width]: pixel * scale + shift."""
    picture = Image.open(os.path.join(folder, "inputs", file)).convert("RGB")
    pixels = np.asarray(picture.resize((width, height), box=box), np.float32)
    pixels = pixels[:, :, ::-1] if bgr else pixels
    return np.ascontiguousarray((pixels * np.float32(scale) + np.float32(shift)).transpose(2, 0, 1)[None])


def sound(folder, file):
    with wave.open(os.path.join(folder, "inputs", file)) as f:
        return np.frombuffer(f.readframes(f.getnframes()), np.int16).astype(np.float32) / 32768


def digits():
    """The ten digits, white on black, as a font draws them: f32[1,1,28,28] each."""
    for digit in "0123456789":
        picture = Image.new("L", (28, 28))
        ImageDraw.Draw(picture).text((14, 14), digit, 255, ImageFont.load_default(22), "mm")
        yield np.asarray(picture, np.float32)[None, None]


def magika(folder):
    """First and last 1024 bytes of each file that is long enough, padded with 256."""
    with gzip.open(os.path.join(folder, "inputs/magika_v3_3_by_content.json.gz")) as f:
        files = [base64.b64decode(case["content_base64"]) for case in json.load(f)]
    for data in files:
        head, tail = data[:4096].lstrip()[:1024], data[-4096:].rstrip()[-1024:]
        if len(head) >= 8:
            row = np.full(2048, 256, np.int32)
            row[: len(head)] = list(head)
            row[2048 - len(tail):] = list(tail)
            yield row[None]


def silero(folder, extra):
    """Chunks of 512 samples with the last 64 before them; the state goes round."""
    samples = np.concatenate([np.zeros(64, np.float32), sound(folder, "silero_test.wav")])
    state = np.zeros((2, 1, 128), np.float32)
    for i in range(0, 100 * 512, 512):
        out = yield {"input": samples[None, i: i + 576], "state": state} | extra
        state = out["stateN"]


def dtln_1(folder):
    """Magnitudes of blocks of 512 samples, every 128."""
    samples, state = sound(folder, "silero_test.wav")[80000:], np.zeros((1, 2, 128, 2), np.float32)
    for i in range(0, 100 * 128, 128):
        magnitude = np.abs(np.fft.rfft(samples[i: i + 512])).astype(np.float32)
        out = yield {"input_2": magnitude[None, None], "input_3": state}
        state = out["tf_op_layer_stack_2"]


def dtln_2(folder):
    samples, state = sound(folder, "silero_test.wav")[80000:], np.zeros((1, 2, 128, 2), np.float32)
    for i in range(0, 100 * 128, 128):
        out = yield {"input_4": samples[None, None, i: i + 512], "input_5": state}
        state = out["tf_op_layer_stack_5"]


def each(name, arrays):
    """Runs that do not depend on each other."""
    for array in arrays:
        yield {name: array}


def basic_pitch(folder):
    samples = sound(folder, "bp_vocadito_10.wav")
    for i in range(5):
        yield {"serving_default_input_2:0": samples[None, i * 43844: (i + 1) * 43844, None]}


LINE = (0, 75, 220, 100)  # of text in ocr_en.jpg

# file -> (what the input is, options of the compilation, folder -> generator of inputs that is sent the outputs)
MODELS = {
    "basic_pitch_nmp": ("5 windows of a sung melody", ["--dim=unk__749=1"], basic_pitch),
    "ch_PP-OCRv4_det_infer": (
        "two photos of text", ["--shape=x=1,3,32*H<=960,32*W<=960"],
        lambda f: each("x", [photo(f, "ocr_en.jpg", 640, 640, 1 / 57.4, -2.04, bgr=True),
                             photo(f, "ocr_ch_en_num.jpg", 704, 480, 1 / 57.4, -2.04, bgr=True)])),
    "ch_PP-OCRv4_rec_infer": (
        "a line of a photo, three widths", ["--shape=x=1,3,48,W<=640"],
        lambda f: each("x", [photo(f, "ocr_en.jpg", w, 48, 1 / 127.5, -1, LINE, True) for w in (320, 424, 640)])),
    "ch_ppocr_mobile_v2.0_cls_infer": (
        "a line of a photo, both ways up", ["--shape=x=1,3,48,192"],
        lambda f: each("x", [photo(f, "ocr_en.jpg", 192, 48, 1 / 127.5, -1, LINE, True),
                             photo(f, "ocr_en.jpg", 192, 48, 1 / 127.5, -1, LINE, True)[:, :, ::-1, ::-1]])),
    "dtln_1": ("100 blocks of speech", [], dtln_1),
    "dtln_2": ("100 blocks of speech", [], dtln_2),
    "fastestdet": ("a photo", [], lambda f: each("input.1", [photo(f, "fastestdet_3.jpg", 352, 352, 1 / 255, 0)])),
    "magika_v3_3": ("all files that the model is asked about", ["--dim=unk__214=1"],
                    lambda f: each("bytes", magika(f))),
    "mnist_cntk_opset8": ("the ten digits of a font", [], lambda _: each("Input3", digits())),
    "mnist_onnxmlir": ("the ten digits of a font", [], lambda _: each("image", (x / 255 for x in digits()))),
    "silero_vad_16k_op15": ("100 chunks of speech", ["--dim=batch=1", "--dim=sequence=576"],
                            lambda f: silero(f, {"sr": np.array(16000, np.int64)})),
    "silero_vad_16k_static": ("100 chunks of speech", [], lambda f: silero(f, {})),
    "ultraface_rfb320": ("a photo", [],
                         lambda f: each("input", [photo(f, "ultraface_17.jpg", 320, 240, 1 / 128, -127 / 128)])),
}


# ---- comparing -----------------------------------------------------------------------------------

def results(inputs, run):
    """All outputs of all runs; what a run gives is sent to the generator, for the state of the next."""
    out, every = None, []
    try:
        while True:
            out = run(inputs.send(out))
            every.append(out)
    except StopIteration:
        return every


def distance(got, want):
    """The largest normwise relative difference of any output, over all runs of that output together."""
    worst = 0
    for name in want[0]:
        pairs = [(run[name].astype(np.float64), other[name].astype(np.float64)) for run, other in zip(got, want)]
        if any(a.shape != b.shape for a, b in pairs):
            return np.inf
        for a, b in pairs:
            error = np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)
            worst = max(worst, error if error == error else np.inf)
    return worst


def reference(path, plain):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs)))


def one_model(name, a, folder):
    what, options, inputs = MODELS[name]
    path, library = os.path.join(a.models, f"{name}.onnx"), os.path.join(folder, "model.so")
    wall, cpu = compiled.compile_model(a.build, path, library, *options)
    lib = compiled.Library(a.build, library)
    got = results(inputs(a.models), lib.run)
    lib.close()
    errors = [distance(got, results(inputs(a.models), reference(path, plain))) for plain in (False, True)]
    shown = " ".join(options).replace("|", "\\|")
    row = f"| {name} | {what} | {f'`{shown}`' if shown else ''} | {wall:.1f} | {errors[0]:.1e} | {errors[1]:.1e} |"
    return row, wall < SECONDS and errors[0] < ERROR, cpu


HEADER = """| model | input | options | compile, s | from ONNX Runtime | without its optimisations |
|---|---|---|---|---|---|"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--models", default=os.path.join(HERE, "../../shared/models"))
    parser.add_argument("--only", help="a model's name")
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    if not os.path.isdir(a.models):
        print(f"no {a.models}: skipped")
        return 77
    rows, bad = [], 0
    print(HEADER)
    for name in [a.only] if a.only else MODELS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                row, good, _ = one_model(name, a, folder)
            except compiled.Failed as problem:
                row, good = f"| {name} | fails: {problem} | | | | |", False
        bad += not good
        rows.append(row)
        print(row + ("" if good else "  <-- not good"), flush=True)
    if a.write and not a.only and not bad:
        with open(TABLE, "w", encoding="utf-8") as f:
            f.write("\n".join([HEADER, *rows]) + "\n")
    return bad > 0


sys.exit(main())
