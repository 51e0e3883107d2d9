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

    def prepare(self):
        import _tools
        _tools.mnnconvert(["MNNConvert", "-f", "ONNX", "--modelFile", self.job.onnx,
                           "--MNNModel", self.files()[0], "--bizCode", "ingot"])

    def library(self):
        import MNN
        import MNN.expr
        import MNN.nn
        self.mnn = MNN

    def load(self, inputs):
        expr = self.mnn.expr
        config = {"backend": "CPU", "numThread": self.threads, "precision": "high", "memory": "normal",
                  "power": "high"}
        self.runtime = self.mnn.nn.create_runtime_manager((config,))
        self.module = self.mnn.nn.load_module_from_file(
            self.files()[0], self.job.inputs(), self.job.outputs(), runtime_manager=self.runtime,
            shape_mutable=False)
        if self.module is None:
            raise Impossible("the converted model cannot be loaded")
        self.arrays = inputs
        types = {np.dtype(np.float32): expr.float, np.dtype(np.int32): expr.int, np.dtype(np.int64): expr.int64}
        self.values = [expr.const(inputs[name], list(inputs[name].shape), expr.NCHW, types[inputs[name].dtype])
                       for name in self.job.inputs()]
        self.forward = self.module.onForward

    def run(self):
        self.results = self.forward(self.values)

    def outputs(self):
        return {name: np.array(self.mnn.expr.convert(value, self.mnn.expr.NCHW).read())
                for name, value in zip(self.job.outputs(), self.results)}
