"""ONNX Runtime, CPU execution provider.

SPDX-License-Identifier: Apache-2.0

As its performance documents advise for latency: all graph optimisations, sequential execution, threads set,
spinning left on. Inputs and outputs are bound once (I/O binding), so that a run copies and allocates nothing.
"""

import numpy as np

from engines.base import Engine


class OnnxRuntime(Engine):
    package = "onnxruntime"

    def load_code(self):
        import onnxruntime
        self.ort = onnxruntime

    def load(self, inputs):
        options = self.ort.SessionOptions()
        options.graph_optimization_level = self.ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.execution_mode = self.ort.ExecutionMode.ORT_SEQUENTIAL
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = self.ort.InferenceSession(self.job.onnx, options, providers=["CPUExecutionProvider"])
        # The OrtValues made here share the arrays' memory.
        self.values = {name: self.ort.OrtValue.ortvalue_from_numpy(array) for name, array in inputs.items()}
        binding = session.io_binding()
        for name, value in self.values.items():
            binding.bind_ortvalue_input(name, value)
        for name in self.job.outputs():
            binding.bind_output(name, "cpu")
        self.session, self.binding = session, binding
        self.call, self.bound = session._sess.run_with_iobinding, binding._iobinding

    def run(self):
        self.call(self.bound, None)

    def outputs(self):
        return {name: np.array(value) for name, value in
                zip(self.job.outputs(), self.binding.copy_outputs_to_cpu())}
