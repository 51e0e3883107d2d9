"""OpenVINO, CPU plugin, through the C interface that its package carries.

SPDX-License-Identifier: Apache-2.0

As its documents advise for latency: PERFORMANCE_HINT LATENCY, threads set; f32 by INFERENCE_PRECISION_HINT.
The C interface spares it the microseconds that its Python call spends around each inference.
"""

import ctypes
import importlib.util
import os

import numpy as np

from engines.base import Engine, Impossible


class OpenVino(Engine):
    package = "openvino"

    def load_code(self):
        # Not imported: that would load far more than inference needs.
        folder = os.path.join(os.path.dirname(importlib.util.find_spec("openvino").origin), "libs")
        name = next(f for f in os.listdir(folder) if f.startswith("libopenvino_c.so"))
        self.c = ctypes.CDLL(os.path.join(folder, name))
        self.c.ov_get_last_err_msg.restype = ctypes.c_char_p

    def ask(self, name, *arguments):
        """Calls a function that returns a status and stores an object where its last argument points."""
        made = ctypes.c_void_p()
        self.check(name, getattr(self.c, name)(*arguments, ctypes.byref(made)))
        return made

    def check(self, name, status):
        if status:
            raise Impossible(f"{name}: {(self.c.ov_get_last_err_msg() or b'').decode()[:300]}")

    def load(self, inputs):
        settings = [b"PERFORMANCE_HINT", b"LATENCY", b"INFERENCE_PRECISION_HINT", b"f32",
                    b"INFERENCE_NUM_THREADS", str(self.threads).encode()]
        core, compiled = self.ask("ov_core_create"), ctypes.c_void_p()
        self.check("ov_core_compile_model_from_file", self.c.ov_core_compile_model_from_file(
            core, self.job.onnx.encode(), b"CPU", ctypes.c_size_t(len(settings)), ctypes.byref(compiled),
            *settings))
        self.request = self.ask("ov_compiled_model_create_infer_request", compiled)
        for name, array in inputs.items():
            data, size = self.memory(name)
            if size != array.nbytes:
                raise Impossible(f"input {name} has {size} bytes, not {array.nbytes}")
            ctypes.memmove(data, array.ctypes.data, size)
        self.infer = self.c.ov_infer_request_infer

    def memory(self, name):
        """Address and size of an input or output of the request."""
        tensor, size = self.ask("ov_infer_request_get_tensor", self.request, name.encode()), ctypes.c_size_t()
        self.check("ov_tensor_get_byte_size", self.c.ov_tensor_get_byte_size(tensor, ctypes.byref(size)))
        return self.ask("ov_tensor_data", tensor), size.value

    def run(self):
        if self.infer(self.request):
            self.check("ov_infer_request_infer", 1)

    def outputs(self):
        results = {}
        for name in self.job.outputs():
            data, size = self.memory(name)
            results[name] = np.frombuffer(ctypes.string_at(data, size), np.float32)
        return results
