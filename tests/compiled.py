"""compiled.py: compiles models with the ingot tool and runs the libraries, for the scripts beside it.

SPDX-License-Identifier: Apache-2.0
"""

import ctypes
import os
import resource
import subprocess
import time

import numpy as np

# enum ingot_dtype of runtime/ingot.h
DTYPES = {"bool": 1, "int8": 2, "uint8": 3, "int16": 4, "uint16": 5, "int32": 6, "uint32": 7, "int64": 8,
          "uint64": 9, "float16": 10, "float32": 12, "float64": 13}
NAMES = {number: np.dtype(name) for name, number in DTYPES.items()}
OWN_OUTPUTS = 1


class Failed(Exception):
    """The compiler or the library refuses; the text is what it said."""


class Options(ctypes.Structure):
    """struct ingot_options; what stands behind these fields is left at zero, its default."""

    _fields_ = [("size", ctypes.c_uint64), ("threads", ctypes.c_int32), ("flags", ctypes.c_uint32)]


class TensorInfo(ctypes.Structure):
    """struct ingot_tensor_info."""

    _fields_ = [("name", ctypes.c_char_p), ("doc", ctypes.c_char_p), ("dims", ctypes.c_void_p),
                ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32), ("bytes", ctypes.c_int64),
                ("align", ctypes.c_int32), ("reserved", ctypes.c_int32)]


def compile_model(build, model, library, *options):
    """Writes the library; returns seconds of the clock and of the processors."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([os.path.join(build, "tools/ingot"), "compile", model, "-o", library, "--name=model", *options],
                          capture_output=True, text=True, errors="replace", check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise Failed(f"exit status {done.returncode}: {done.stderr.strip()}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Library:
    """A compiled model with a context: `run` takes and gives arrays by the names that the model has for them."""

    def __init__(self, build, path, threads=1):
        self.api = api = ctypes.CDLL(os.path.join(build, "runtime/libingot.so"))
        for name, result in (("library_model", ctypes.c_void_p), ("last_error", ctypes.c_char_p),
                             ("output_info", ctypes.POINTER(TensorInfo)), ("input_info", ctypes.POINTER(TensorInfo)),
                             ("output_data", ctypes.c_void_p)):
            getattr(api, f"ingot_{name}").restype = result
        text, opened, self.context = ctypes.create_string_buffer(512), ctypes.c_void_p(), ctypes.c_void_p()
        if api.ingot_library_open(path.encode(), ctypes.byref(opened), text, 512):
            raise Failed(text.value.decode())
        self.opened, self.model = opened, ctypes.c_void_p(api.ingot_library_model(opened, None))
        options = Options(512, threads, OWN_OUTPUTS)
        self.options = ctypes.create_string_buffer(512)
        options.size = ctypes.sizeof(Options)
        ctypes.memmove(self.options, ctypes.byref(options), options.size)
        if api.ingot_ctx_create(self.model, self.options, ctypes.byref(self.context)):
            raise Failed("no context")
        count = api.ingot_input_count(self.model)
        self.inputs = {api.ingot_input_info(self.model, i).contents.name.decode(): i for i in range(count)}

    def close(self):
        self.api.ingot_ctx_destroy(self.context)
        self.api.ingot_library_close(self.opened)

    def check(self, failed):
        if failed:
            raise Failed(self.api.ingot_last_error(self.context).decode())

    def run(self, inputs):
        kept = []
        for name, i in self.inputs.items():
            array = np.require(inputs[name], requirements="C")
            kept.append(array)
            dims = (ctypes.c_int64 * max(array.ndim, 1))(*array.shape)
            self.check(self.api.ingot_set_input(self.context, i, ctypes.c_void_p(array.ctypes.data),
                                                DTYPES[str(array.dtype)], array.ndim, dims,
                                                ctypes.c_uint64(array.nbytes)))
        self.check(self.api.ingot_run(self.context))
        return dict(self.output(i) for i in range(self.api.ingot_output_count(self.model)))

    def output(self, i):
        info = self.api.ingot_output_info(self.model, i).contents
        dims = (ctypes.c_int64 * max(info.rank, 1))()
        self.check(self.api.ingot_output_shape(self.context, i, dims))
        shape, dtype = tuple(dims[: info.rank]), NAMES[info.dtype]
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        data = ctypes.string_at(self.api.ingot_output_data(self.context, i), size) if size else b""
        return info.name.decode(), np.frombuffer(data, dtype).reshape(shape)
