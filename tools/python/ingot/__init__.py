"""Compile neural networks ahead of time and run them on numpy arrays.

    import ingot
    model = ingot.compile("net.yaml")              # or ingot.load("libnet.so")
    scores = model(image)                          # one output: an array; several: a dict by name

Arrays that are contiguous and of the right type are not copied. A model is safe to share between threads through
`Model.context()`; one context runs in one thread at a time.
"""
# SPDX-License-Identifier: Apache-2.0
import ctypes
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np

from . import _abi

__all__ = ["compile", "load", "Model", "Context", "Error"]
Tensor = namedtuple("Tensor", "name dtype shape")  # extents: numbers, or (symbol, bound)
_loader = None


class Error(RuntimeError):
    """What ingot says is wrong: a model with errors, an array of the wrong shape or type, a damaged library."""


def _lib():
    global _loader
    if _loader is None:
        _loader = _abi.open_loader()
    return _loader


def _compiler():
    beside = Path(__file__).with_name("bin") / "ingot"
    found = os.environ.get("INGOT") or (str(beside) if beside.exists() else shutil.which("ingot"))
    if not found:
        raise Error("the ingot command is not on the PATH; the environment variable INGOT may name it")
    return found


def compile(model, output=None, *, load=True, **options):
    """Compiles a model file (YAML, ONNX, IR text). Options are those of `ingot compile`: target="native", dim="N=8",
    lists for options that repeat. Returns the opened Model, or with load=False the library's path.

    Without `output` the library lies in a temporary folder that goes with the model."""
    folder = None if output else tempfile.TemporaryDirectory(prefix="ingot-")
    path = str(output or Path(folder.name) / "model.so")
    command = [_compiler(), "compile", str(model), "-o", path]
    for key, value in options.items():
        for v in value if isinstance(value, (list, tuple)) else [value]:
            name = key.replace("_", "-")
            dash = f"-{name}" if len(name) == 1 else f"--{name}"
            command += [dash] if v is True else [f"{dash}{v}" if len(name) == 1 else f"{dash}={v}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Error(done.stderr.strip() or f"ingot ended with code {done.returncode}")
    if not load:
        if folder:
            folder._finalizer.detach()  # the caller's now
        return path
    opened = Model(path)
    opened._folder = folder
    return opened


def load(path, **options):
    """Opens a compiled library; options as for Context."""
    return Model(path, **options)


class _Library:
    """An opened library with a count of who uses it: the collector may end a model before its contexts."""

    def __init__(self, path):
        self.handle, self.users = ctypes.c_void_p(), 1
        text = ctypes.create_string_buffer(512)
        if _lib().ingot_library_open(os.fsencode(path), ctypes.byref(self.handle), text, len(text)):
            raise Error(text.value.decode())

    def release(self):
        self.users -= 1
        if self.users == 0 and _loader is not None:
            _loader.ingot_library_close(self.handle)


class Model:
    """A compiled model. Calling it runs it in a context of its own, made at the first call."""

    def __init__(self, path, name=None, **options):
        self._folder = self._library = None
        self._library = _Library(path)
        self._model = _lib().ingot_library_model(self._library.handle, name.encode() if name else None)
        if not self._model:
            raise Error(f"{path}: no model '{name}'")
        self._options, self._own = options, None
        self.name = _lib().ingot_model_name(self._model).decode()
        self.isa = _lib().ingot_model_isa(self._model).decode()
        self.inputs = self._describe("input")
        self.outputs = self._describe("output")

    @property
    def metadata(self):
        return json.loads(_lib().ingot_model_metadata(self._model))

    def _describe(self, kind):
        count, info = getattr(_lib(), f"ingot_{kind}_count"), getattr(_lib(), f"ingot_{kind}_info")
        return [self._tensor(info(self._model, i).contents) for i in range(count(self._model))]

    def _tensor(self, t):
        def extent(d):
            if d.sym < 0:
                return d.n
            return _lib().ingot_symbol_info(self._model, d.sym).contents.name.decode(), d.n
        shape = tuple(extent(t.dims[i]) for i in range(t.rank))
        return Tensor(t.name.decode(), np.dtype(_abi.DTYPES[t.dtype]), shape)

    def context(self, **options):
        """A context of its own: memory, threads, state. Any number may run at the same time."""
        return Context(self, **{**self._options, **options})

    def __call__(self, *arrays, **named):
        if self._own is None:
            self._own = self.context()
        return self._own(*arrays, **named)

    def __del__(self):
        if self._library:
            self._library.release()


class Context:
    """threads: 0 for one per processor; cpus: numbers of the processors that threads stay on; isa: form to run.

    spin: whether idle threads spin before they sleep, or for how many microseconds; warm: bring in all memory now;
    own_weights: a copy of the weights on huge pages, faster to read but not shared.
    """

    def __init__(self, model, threads=0, pin=False, spin=True, cpus=(), isa=None, verify_weights=False, warm=False,
                 own_weights=False):
        self.model, self._ctx, self._library = model, ctypes.c_void_p(), None
        text = ctypes.create_string_buffer(512)
        flags = ((pin * _abi.PIN_THREADS) | ((not spin) * _abi.NO_SPIN) | (verify_weights * _abi.VERIFY_WEIGHTS) |
                 (warm * _abi.WARM) | (own_weights * _abi.OWN_WEIGHTS))
        options = _abi.Options(size=ctypes.sizeof(_abi.Options), threads=threads, flags=flags,
                               error=ctypes.cast(text, ctypes.c_char_p), error_size=len(text), n_cpus=len(cpus),
                               cpus=(ctypes.c_int32 * len(cpus))(*cpus) if cpus else None,
                               spin_us=0 if isinstance(spin, bool) else spin, isa=isa.encode() if isa else None)
        code = _lib().ingot_ctx_create(model._model, ctypes.byref(options), ctypes.byref(self._ctx))
        if code:
            raise Error(text.value.decode() or _lib().ingot_error_text(model._model, code).decode())
        self._bound, self._library, self._lock = {}, model._library, threading.Lock()
        self._library.users += 1

    def _check(self, code):
        if code:  # a context that another thread is using is left alone, its text too
            text = b"" if code == _abi.E_BUSY else _lib().ingot_last_error(self._ctx)
            raise Error((text or _lib().ingot_error_text(self.model._model, code)).decode())

    def _bind(self, i, array):
        info = _lib().ingot_input_info(self.model._model, i).contents
        want = self.model.inputs[i]
        array = np.asarray(array)
        if array.dtype != want.dtype:
            raise Error(f"input '{want.name}': the array is of {array.dtype}, the model wants {want.dtype}")
        array = np.ascontiguousarray(array).reshape(array.shape)  # a copy only if it is not contiguous
        if array.ctypes.data % info.align:
            array = array.copy()
        dims = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
        self._check(_lib().ingot_set_input(self._ctx, i, array.ctypes.data, info.dtype, array.ndim, dims, array.nbytes))
        self._bound[i] = array  # must live until the run; one before it until the context has this one

    def _allocate(self, i):
        info = _lib().ingot_output_info(self.model._model, i).contents
        return np.empty(info.bytes // self.model.outputs[i].dtype.itemsize, self.model.outputs[i].dtype)

    def _shaped(self, i, flat):
        rank = len(self.model.outputs[i].shape)
        dims = (ctypes.c_int64 * max(1, rank))()
        self._check(_lib().ingot_output_shape(self._ctx, i, dims))
        shape = tuple(dims[:rank])
        return flat[:int(np.prod(shape, dtype=np.int64))].reshape(shape)

    def run(self, *arrays, out=None, **named):
        """Inputs in order or by name; returns outputs by name. `out` may give arrays for outputs, by name, contiguous
        and large enough for the bounds or the extents of the run."""
        # Binding and running belong together: a second thread would have its arrays written by the first one's run.
        if not self._lock.acquire(blocking=False):
            raise Error("the context is in use by another thread; Model.context() makes one for each")
        try:
            return self._run(arrays, out, named)
        finally:
            self._lock.release()

    def _run(self, arrays, out, named):
        names = [t.name for t in self.model.inputs]
        given = dict(enumerate(arrays))
        for name, array in named.items():
            if name not in names:
                raise Error(f"no input '{name}'; it has: {', '.join(names)}")
            given[names.index(name)] = array
        for i, array in given.items():
            if i >= len(names):
                raise Error(f"{len(given)} inputs given, the model has {len(names)}")
            self._bind(i, array)
        flat = []
        for i, t in enumerate(self.model.outputs):
            array = (out or {}).get(t.name)
            if array is None:
                array = self._allocate(i)
            elif not array.flags.c_contiguous or array.dtype != t.dtype:
                raise Error(f"output '{t.name}': the array must be contiguous and of {t.dtype}")
            self._check(_lib().ingot_set_output(self._ctx, i, array.ctypes.data, array.nbytes))
            flat.append(array.reshape(-1))
        self._check(_lib().ingot_run(self._ctx))
        return {t.name: self._shaped(i, flat[i]) for i, t in enumerate(self.model.outputs)}

    def __call__(self, *arrays, **named):
        result = self.run(*arrays, **named)
        return next(iter(result.values())) if len(result) == 1 else result

    def set_symbol(self, name, value):
        """A symbol that the context keeps from run to run."""
        for i in range(_lib().ingot_symbol_count(self.model._model)):
            if _lib().ingot_symbol_info(self.model._model, i).contents.name.decode() == name:
                return self._check(_lib().ingot_set_symbol(self._ctx, i, value))
        raise Error(f"no symbol '{name}'")

    def reset(self):
        """State and kept symbols back to their initial values."""
        self._check(_lib().ingot_state_reset(self._ctx))

    def save(self):
        """A copy of state and kept symbols, as bytes."""
        copy = ctypes.create_string_buffer(_lib().ingot_state_bytes(self.model._model))
        self._check(_lib().ingot_state_save(self._ctx, copy, len(copy)))
        return copy.raw

    def restore(self, copy):
        self._check(_lib().ingot_state_restore(self._ctx, copy, len(copy)))

    def __del__(self):
        if _loader is not None and getattr(self, "_library", None):
            _loader.ingot_ctx_destroy(self._ctx)
            self._library.release()
