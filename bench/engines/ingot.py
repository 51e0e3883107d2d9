"""Ingot: the model compiled by the tool in --ingot BUILD, called through the generated library's C interface.

SPDX-License-Identifier: Apache-2.0
"""

import ctypes
import hashlib
import os

import numpy as np

from engines.base import Engine, Impossible, command

# enum ingot_dtype of runtime/ingot.h
DTYPES = {"bool": 1, "int8": 2, "uint8": 3, "int16": 4, "uint16": 5, "int32": 6, "uint32": 7, "int64": 8,
          "uint64": 9, "float16": 10, "float32": 12, "float64": 13}


class Options(ctypes.Structure):
    """struct ingot_options; what stands behind these two fields is left at zero, its default."""

    _fields_ = [("size", ctypes.c_uint64), ("threads", ctypes.c_int32), ("flags", ctypes.c_uint32)]


def tool(options):
    for path in (os.path.join(options["ingot"], "tools", "ingot"), os.path.join(options["ingot"], "bin", "ingot"),
                 options["ingot"]):
        if os.path.isfile(path):
            return os.path.abspath(path)
    raise Impossible(f"no ingot tool in {options['ingot']}")


def loader(options):
    """The loader library: what a program needs to open compiled models at run time."""
    base = os.path.dirname(os.path.dirname(tool(options)))
    for folder in ("runtime", "lib"):
        path = os.path.join(base, folder, "libingot.so")
        if os.path.exists(path):
            return path
    raise Impossible(f"no libingot.so in {base}")


class Ingot(Engine):
    needs_prepare = True

    @classmethod
    def version(cls, options):
        """Digest of the tool: what was compiled by another build is compiled anew."""
        with open(tool(options), "rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()[:12]

    def cache_key(self):
        return " ".join([self.job.options["target"], *self.job.options["ingot_flags"]])

    def files(self):
        # The side file of weights, where the compiler writes one.
        return [path for path in (self.job.path("libmodel.so"), self.job.path("libmodel.weights"),
                                  self.job.path("model.weights")) if os.path.exists(path)]

    def prepare(self):
        options = self.job.options
        command([tool(options), "compile", self.job.onnx, "-o", self.job.path("libmodel.so"), "--name=model",
                 f"--target={options['target']}", *options["ingot_flags"]])

    def load_code(self):
        api = self.api = ctypes.CDLL(loader(self.job.options))
        api.ingot_library_model.restype = ctypes.c_void_p
        api.ingot_last_error.restype = ctypes.c_char_p

    def load(self, inputs):
        api, text = self.api, ctypes.create_string_buffer(512)
        opened, self.context = ctypes.c_void_p(), ctypes.c_void_p()
        if api.ingot_library_open(self.job.path("libmodel.so").encode(), ctypes.byref(opened), text, 512):
            raise Impossible(text.value.decode())
        model = ctypes.c_void_p(api.ingot_library_model(opened, None))
        options = Options(ctypes.sizeof(Options), self.threads, 0)
        if api.ingot_ctx_create(model, ctypes.byref(options), ctypes.byref(self.context)):
            raise Impossible("no context")
        for name, array in inputs.items():
            self.bind(model, name, array)
        self.results = {}
        for value in self.job.entry["outputs"]:
            self.results[value["name"]] = self.room(model, value["name"])
        self.execute = api.ingot_run

    def check(self, failed):
        if failed:
            raise RuntimeError(self.api.ingot_last_error(self.context).decode())

    def index(self, kind, model, name):
        i = getattr(self.api, f"ingot_find_{kind}")(model, name.encode())
        if i < 0:
            raise Impossible(f"the library has no {kind} {name}")
        return i

    def bind(self, model, name, array):
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        self.check(self.api.ingot_set_input(
            self.context, self.index("input", model, name), ctypes.c_void_p(array.ctypes.data),
            DTYPES[str(array.dtype)], array.ndim, dims, ctypes.c_uint64(array.nbytes)))

    def room(self, model, name):
        """Memory for an output, as large as the description says, bound to the context."""
        i = self.index("output", model, name)
        self.api.ingot_output_info.restype = ctypes.POINTER(TensorInfo)
        info = self.api.ingot_output_info(model, i).contents
        memory = np.zeros(info.bytes // 4, np.float32)
        self.check(self.api.ingot_set_output(self.context, i, ctypes.c_void_p(memory.ctypes.data),
                                             ctypes.c_uint64(memory.nbytes)))
        return memory

    def run(self):
        if self.execute(self.context):
            self.check(1)

    def outputs(self):
        return self.results


class TensorInfo(ctypes.Structure):
    """struct ingot_tensor_info."""

    _fields_ = [("name", ctypes.c_char_p), ("doc", ctypes.c_char_p), ("dims", ctypes.c_void_p),
                ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32), ("bytes", ctypes.c_int64),
                ("align", ctypes.c_int32), ("reserved", ctypes.c_int32)]
