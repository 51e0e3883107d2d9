"""The engines that bench/run knows: one module each, with one class.

SPDX-License-Identifier: Apache-2.0
"""

import importlib

# name -> class in the module of that name. The order is that of tables.
CLASSES = {
    "ingot": "Ingot",
    "onnxruntime": "OnnxRuntime",
    "openvino": "OpenVino",
    "mnn": "Mnn",
    "ncnn": "Ncnn",
    "litert": "LiteRt",
    "iree": "Iree",
    "tvm": "Tvm",
    "torch": "TorchEager",
    "inductor": "Inductor",
    "jax": "Jax",
    "tract": "Tract",
}


def engine_class(name):
    return getattr(importlib.import_module(f"engines.{name}"), CLASSES[name])
