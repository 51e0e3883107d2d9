#!/usr/bin/env python3
"""Do the compiled Fashion-MNIST networks decide as their PyTorch originals do, on all 10,000 test images?

SPDX-License-Identifier: Apache-2.0

    /usr/bin/python3 models/fashion_check.py [--build build]

Compiles both networks with BUILD/tools/ingot, runs them through BUILD/runtime/libingot.so on numpy's own
memory, and prints accuracies, how many predictions are those of PyTorch, and the largest difference of a
logit. Exits with 1 if more than one prediction of a network differs. PyTorch's results can be stored and
used again: images (u8[10000,28,28]), labels (u8[10000]) and, by network, NAME_logits (f32[10000,10]).
"""

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
NETWORKS = ("lenet", "resnet")
F32 = 12  # INGOT_F32 in ingot.h


# ---- PyTorch -------------------------------------------------------------------------------------

def pytorch_results():
    """Everything that a comparison needs, by the names that the docstring gives."""
    import fashion  # needs PyTorch and the data set

    images, labels = fashion.load_split("t10k")
    x = fashion.to_input(images)
    result = {"images": images, "labels": labels}
    for name in NETWORKS:
        result[f"{name}_logits"] = fashion.predict(fashion.load_model(name), x)
    return result


# ---- compiled libraries --------------------------------------------------------------------------

class Model:
    """One context of a compiled library with one float input and one float output."""

    def __init__(self, loader, path):
        self.api = ctypes.CDLL(loader)
        for name in ("ingot_library_model", "ingot_last_error"):
            getattr(self.api, name).restype = ctypes.c_void_p
        error = ctypes.create_string_buffer(512)
        self.library, self.context = ctypes.c_void_p(), ctypes.c_void_p()
        if self.api.ingot_library_open(path.encode(), ctypes.byref(self.library), error, 512):
            raise RuntimeError(error.value.decode())
        model = ctypes.c_void_p(self.api.ingot_library_model(self.library, None))
        if self.api.ingot_ctx_create(model, None, ctypes.byref(self.context)):
            raise RuntimeError(f"{path}: no context")

    def run(self, x, y):
        """y = model(x), both C-contiguous f32 arrays that the model reads and writes in place."""
        dims = (ctypes.c_int64 * x.ndim)(*x.shape)
        ok = (self.api.ingot_set_input(self.context, 0, ctypes.c_void_p(x.ctypes.data), F32, x.ndim, dims,
                                       ctypes.c_uint64(x.nbytes)) == 0
              and self.api.ingot_set_output(self.context, 0, ctypes.c_void_p(y.ctypes.data),
                                            ctypes.c_uint64(y.nbytes)) == 0
              and self.api.ingot_run(self.context) == 0)
        if not ok:
            raise RuntimeError(ctypes.string_at(self.api.ingot_last_error(self.context)).decode())

    def close(self):
        self.api.ingot_ctx_destroy(self.context)
        self.api.ingot_library_close(self.library)


def compiled_logits(build, name, x, batch, folder):
    """Logits of all of x (f32[N,1,28,28]), computed in batches that are views of x and of the result."""
    library = os.path.join(folder, f"lib{name}.so")
    subprocess.run([os.path.join(build, "tools", "ingot"), "compile",
                    os.path.join(HERE, f"{name}_fashion.yaml"), "-o", library], check=True)
    model = Model(os.path.join(build, "runtime", "libingot.so"), library)
    y = np.empty((len(x), 10), np.float32)
    start = time.perf_counter()
    for i in range(0, len(x), batch):
        model.run(x[i:i + batch], y[i:i + batch])
    seconds = time.perf_counter() - start
    model.close()
    return y, seconds


# ---- comparison ----------------------------------------------------------------------------------

def compare(name, got, want, labels, seconds):
    """Prints one line; True if at least all but one prediction agree."""
    same = int((got.argmax(1) == want.argmax(1)).sum())
    right = 100 * (got.argmax(1) == labels).mean()
    original = 100 * (want.argmax(1) == labels).mean()
    print(f"{name}: {right:.2f} % right, {original:.2f} % in PyTorch; {same} of {len(labels)} predictions the same; "
          f"largest difference of a logit {np.abs(got - want).max():.2g}; {seconds:.2f} s")
    return same >= len(labels) - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"), help="build folder")
    parser.add_argument("--batch", type=int, default=1, help="images per run (default 1)")
    parser.add_argument("--save", metavar="FILE", help="store PyTorch's results (.npz)")
    parser.add_argument("--reference", metavar="FILE", help="take PyTorch's results from there")
    args = parser.parse_args()

    reference = np.load(args.reference) if args.reference else pytorch_results()
    if args.save:
        np.savez(args.save, **reference)
    x = reference["images"].astype(np.float32)[:, None] / np.float32(255)
    with tempfile.TemporaryDirectory() as folder:
        good = [compare(name, logits, reference[f"{name}_logits"], reference["labels"], seconds)
                for name in NETWORKS
                for logits, seconds in [compiled_logits(args.build, name, x, args.batch, folder)]]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
