"""tract, through its Python binding, which runs on one thread.

SPDX-License-Identifier: Apache-2.0
"""

import numpy as np

from engines.base import Engine


class Tract(Engine):
    package = "tract"

    def load_code(self):
        import tract
        self.tract = tract

    def load(self, inputs):
        model = self.tract.onnx().load(self.job.onnx)
        for position, name in enumerate(self.job.inputs()):
            array = inputs[name]
            kind = {"float32": "f32", "int64": "i64", "int32": "i32"}[str(array.dtype)]
            model.set_input_fact(position, ",".join([*map(str, array.shape), kind]))
        self.runnable = model.into_model().into_runnable()
        self.values = [self.tract.Tensor.from_numpy(inputs[name]) for name in self.job.inputs()]
        self.call = self.runnable.run

    def run(self):
        self.results = self.call(self.values)

    def outputs(self):
        return {name: np.array(value.to_numpy()) for name, value in zip(self.job.outputs(), self.results)}
