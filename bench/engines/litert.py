"""LiteRT (TensorFlow Lite) with its XNNPACK delegate, on models converted by onnx2tf.

SPDX-License-Identifier: Apache-2.0

XNNPACK is on by default and takes f32. The converter lays images out as NHWC, which XNNPACK wants; it lives in
an environment of its own (bench/.venv-litert), as it insists on old packages.
"""

import os
import shutil

import numpy as np

from engines.base import CONVERTER, Engine, Impossible, command, simplified

class LiteRt(Engine):
    package = "ai-edge-litert"
    needs_prepare = True

    def files(self):
        return [self.job.path("model.tflite")]

    def prepare(self):
        source, folder = simplified(self.job), self.job.path("converted")
        command([os.path.join(CONVERTER, "onnx2tf"), "-i", source, "-o", folder, "-n", "-v", "error"], self.job.folder)
        try:
            os.rename(os.path.join(folder, "simplified_float32.tflite"), self.files()[0])
        except FileNotFoundError as problem:
            raise Impossible("onnx2tf wrote no model") from problem
        shutil.rmtree(folder)
        os.unlink(source)

    def load_code(self):
        from ai_edge_litert.interpreter import Interpreter
        self.make = Interpreter

    def load(self, inputs):
        self.interpreter = self.make(self.files()[0], num_threads=self.threads)
        self.interpreter.allocate_tensors()
        details = {item["name"]: item for item in self.interpreter.get_input_details()}
        for position, (name, array) in enumerate(inputs.items()):
            item = details.get(name) or self.interpreter.get_input_details()[position]
            self.interpreter.set_tensor(item["index"], like(array, item).astype(item["dtype"]))
        self.invoke = self.interpreter._interpreter.Invoke

    def run(self):
        self.invoke()

    def outputs(self):
        details = self.interpreter.get_output_details()
        by_name = {item["name"]: item for item in details}
        results = {}
        for position, value in enumerate(self.job.entry["outputs"]):
            item = by_name.get(value["name"]) or details[position]
            array = self.interpreter.get_tensor(item["index"])
            known = [extent for extent in value["shape"] if isinstance(extent, int)]
            if array.ndim == 4 and list(array.shape) != known and list(array.transpose(0, 3, 1, 2).shape) == known:
                array = array.transpose(0, 3, 1, 2)
            results[value["name"]] = array
        return results


def like(array, item):
    """The array as the converted model lays it out: channels last, if they are."""
    shape = tuple(item["shape"])
    if array.shape == shape:
        return array
    order = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}.get(array.ndim)
    if order and array.transpose(order).shape == shape:
        return np.ascontiguousarray(array.transpose(order))
    raise Impossible(f"input {item['name']} became {shape}, was {array.shape}")
