"""MNN, CPU backend, through its Module interface.

SPDX-License-Identifier: Apache-2.0

Precision "high" is plain f32; memory "normal" lets it choose its Winograd forms freely; power "high" is for
big cores. The model is converted by MNN's own converter, called directly: the command around it would send
usage data to its makers.
"""

import numpy as np

from engines.base import Engine, Impossible


class Mnn(Engine):
    package = "MNN"
    needs_prepare = True

    def files(self):
        return [self.job.path("model.mnn")]

    def tools(self):
        import _tools
        self.converter = _tools

    def prepare(self):
        self.converter.mnnconvert(["MNNConvert", "-f", "ONNX", "--modelFile", self.job.onnx,
                                   "--MNNModel", self.files()[0], "--bizCode", "ingot"])

    def load_code(self):
        import MNN
        import MNN.expr
        import MNN.nn
        self.mnn = MNN

    def load(self, inputs):
        config = {"backend": "CPU", "numThread": self.threads, "precision": "high", "memory": "normal",
                  "power": "high"}
        self.runtime = self.mnn.nn.create_runtime_manager((config,))
        self.module = self.mnn.nn.load_module_from_file(
            self.files()[0], self.job.inputs(), self.job.outputs(), runtime_manager=self.runtime,
            shape_mutable=False)
        if self.module is None:
            raise Impossible("the converted model cannot be loaded")
        self.values = [self.value(inputs[name]) for name in self.job.inputs()]
        self.forward = self.module.onForward

    def value(self, array):
        """All integers are i32 in MNN."""
        expr = self.mnn.expr
        if array.dtype == np.int64:
            array = array.astype(np.int32)
        kind = expr.float if array.dtype == np.float32 else expr.int
        return expr.const(array, list(array.shape), expr.NCHW, kind)

    def run(self):
        self.results = self.forward(self.values)

    def outputs(self):
        return {name: np.array(self.mnn.expr.convert(value, self.mnn.expr.NCHW).read())
                for name, value in zip(self.job.outputs(), self.results)}
