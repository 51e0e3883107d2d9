"""ncnn, on the CPU in f32, with models converted by pnnx.

SPDX-License-Identifier: Apache-2.0

Converted from PyTorch, as its makers advise, where the network is defined there, else from ONNX. Set up as its
benchmark is: light mode, packed layouts, Winograd and sgemm convolutions on (all defaults), pool allocators;
half precision, bf16 and int8 off.
"""

import os
import shutil

import numpy as np

from engines.base import Engine, Impossible, command, venv_tool
from engines.torch import network

class Ncnn(Engine):
    package = "ncnn"
    needs_prepare = True

    def files(self):
        return [self.job.path("model.ncnn.param"), self.job.path("model.ncnn.bin")]

    def prepare(self):
        try:
            self.convert(self.traced())
        except Impossible:
            self.convert(self.copied())
        for name in os.listdir(self.job.folder):
            if name.startswith("model") and not name.startswith("model.ncnn."):
                os.unlink(self.job.path(name))

    def traced(self):
        """The network as TorchScript, from which pnnx converts best."""
        import torch
        model, inputs = network(self.job.model)
        path = self.job.path("model.pt")
        with torch.no_grad():
            torch.jit.trace(model, inputs, check_trace=False).save(path)
        return path

    def copied(self):
        """The ONNX file, copied, as pnnx writes everything beside its input."""
        path = self.job.path("model.onnx")
        shutil.copyfile(self.job.onnx, path)
        return path

    def convert(self, path):
        arrays, inputs = np.load(os.path.splitext(self.job.onnx)[0] + ".npz"), []
        for i, name in enumerate(self.job.inputs()):  # pnnx runs the model on them
            inputs.append(self.job.path(f"model{i}.npy"))
            np.save(inputs[-1], arrays[f"in.{name}"])
        command([venv_tool("pnnx"), path, f"input={','.join(inputs)}", "fp16=0"], self.job.folder)
        if not all(os.path.exists(path) for path in self.files()):
            raise Impossible("pnnx wrote no model")

    def load_code(self):
        import ncnn
        self.ncnn = ncnn

    def load(self, inputs):
        net = self.net = self.ncnn.Net()
        self.blobs, self.workspace = self.ncnn.UnlockedPoolAllocator(), self.ncnn.PoolAllocator()
        options = net.opt
        options.num_threads = self.threads
        options.blob_allocator, options.workspace_allocator = self.blobs, self.workspace
        for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage",
                     "use_bf16_packed", "use_int8_inference", "use_vulkan_compute"):
            if hasattr(options, name):
                setattr(options, name, False)
        if net.load_param(self.files()[0]) or net.load_model(self.files()[1]):
            raise Impossible("the converted model cannot be loaded (layers that ncnn lacks)")
        given, wanted = net.input_names(), net.output_names()
        if len(given) != len(inputs) or len(wanted) != len(self.job.outputs()):
            raise Impossible(f"conversion left {len(given)} inputs and {len(wanted)} outputs")
        self.bound = [(name, self.mat(inputs[key])) for name, key in zip(given, self.job.inputs())]
        self.wanted = wanted

    def mat(self, array):
        """ncnn knows no batch: pnnx drops the first extent where it is 1. Integers are i32."""
        if array.ndim > 1:
            if array.shape[0] != 1:
                raise Impossible("ncnn knows no batch")
            array = array[0]
        if array.dtype == np.int64:
            array = array.astype(np.int32)
        return self.ncnn.Mat(np.ascontiguousarray(array)).clone()

    def run(self):
        extractor = self.net.create_extractor()
        for name, mat in self.bound:
            extractor.input(name, mat)
        results = []
        for name in self.wanted:
            status, mat = extractor.extract(name)
            if status:
                raise RuntimeError(f"extract({name}) returned {status}")
            results.append(mat)
        self.results = results

    def outputs(self):
        return {name: np.array(mat) for name, mat in zip(self.job.outputs(), self.results)}
