"""TVM: Relax, compiled for this processor by the default CPU pipeline.

SPDX-License-Identifier: Apache-2.0

Untuned: tuning one of these models takes hours, and Ingot is compared untuned too. The default pipeline for
CPUs schedules nothing, so this shows what TVM gives out of the box.
"""

import os
import sys

import numpy as np

from engines.base import Engine, Impossible, simplified


class Tvm(Engine):
    package = "apache-tvm"
    needs_prepare = True

    def files(self):
        return [self.job.path("model.so")]

    def prepare(self):
        try:
            self.compile(self.job.onnx)
        except Exception:  # whatever its importer stumbles over, it may not do so on the simplified model
            self.compile(simplified(self.job))

    def compile(self, path):
        import onnx
        import tvm
        from tvm.relax.frontend.onnx import from_onnx
        module = from_onnx(onnx.load(path), keep_params_in_input=False)
        tvm.compile(module, tvm.target.Target.from_device("cpu")).export_library(self.files()[0])

    def load_code(self):
        # The runtime alone: without its compiler, and without PyTorch, which it would import if it can.
        os.environ |= {"TVM_USE_RUNTIME_LIB": "1", "TVM_NUM_THREADS": str(self.threads)}
        sys.modules["torch"] = None
        import tvm.runtime.vm
        self.tvm = tvm

    def load(self, inputs):
        cpu, load = self.tvm.cpu(), self.tvm.runtime.load_module
        machine = self.tvm.runtime.vm.VirtualMachine(load(self.files()[0]), cpu)
        self.values = [self.tvm.runtime.tensor(inputs[name], cpu) for name in self.job.inputs()]
        self.main = machine["main"]

    def run(self):
        self.results = self.main(*self.values)

    def outputs(self):
        results = self.results
        results = [results] if hasattr(results, "numpy") else list(results)
        if len(results) < len(self.job.outputs()):
            raise Impossible("outputs are missing")
        return {name: np.array(value.numpy()) for name, value in zip(self.job.outputs(), results)}
