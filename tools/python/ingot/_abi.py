# _abi.py: the structs and functions of ingot.h for ctypes.
# SPDX-License-Identifier: Apache-2.0
import ctypes as c
import os
from pathlib import Path

# Element types by number, as numpy names them; bf16 has no numpy type and comes as its bits.
DTYPES = [None, "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "uint16",
          "float32", "float64"]
OWN_OUTPUTS, PIN_THREADS, NO_SPIN, VERIFY_WEIGHTS, WARM, OWN_WEIGHTS = 1, 2, 4, 8, 32, 64
E_BUSY = 7


class Dim(c.Structure):
    _fields_ = [("n", c.c_int64), ("sym", c.c_int32), ("reserved", c.c_int32)]


class TensorInfo(c.Structure):
    _fields_ = [("name", c.c_char_p), ("doc", c.c_char_p), ("dims", c.POINTER(Dim)), ("dtype", c.c_int32),
                ("rank", c.c_int32), ("bytes", c.c_int64), ("align", c.c_int32), ("limit", c.c_int32)]


class SymbolInfo(c.Structure):
    _fields_ = [("name", c.c_char_p), ("min", c.c_int64), ("bound", c.c_int64), ("kind", c.c_int32),
                ("input", c.c_int32), ("dim", c.c_int32), ("reserved", c.c_int32), ("mul", c.c_int64), ("add", c.c_int64)]


class Options(c.Structure):
    _fields_ = [("size", c.c_uint64), ("threads", c.c_int32), ("flags", c.c_uint32), ("arena", c.c_void_p),
                ("arena_bytes", c.c_uint64), ("parallel_for", c.c_void_p), ("parallel_user", c.c_void_p),
                ("hook", c.c_void_p), ("hook_user", c.c_void_p), ("weights", c.c_void_p), ("weights_dir", c.c_char_p),
                ("error", c.c_char_p), ("error_size", c.c_uint64), ("spin_us", c.c_int32), ("n_cpus", c.c_int32),
                ("cpus", c.POINTER(c.c_int32)), ("isa", c.c_char_p)]


P, I, S = c.c_void_p, c.c_int32, c.c_char_p
FUNCTIONS = {
    "ingot_library_open": (I, [S, c.POINTER(P), c.c_char_p, c.c_size_t]),
    "ingot_library_close": (None, [P]),
    "ingot_library_model": (P, [P, S]),
    "ingot_model_name": (S, [P]), "ingot_model_metadata": (S, [P]), "ingot_model_isa": (S, [P]),
    "ingot_input_count": (I, [P]), "ingot_output_count": (I, [P]), "ingot_symbol_count": (I, [P]),
    "ingot_input_info": (c.POINTER(TensorInfo), [P, I]), "ingot_output_info": (c.POINTER(TensorInfo), [P, I]),
    "ingot_symbol_info": (c.POINTER(SymbolInfo), [P, I]),
    "ingot_ctx_create": (I, [P, c.POINTER(Options), c.POINTER(P)]), "ingot_ctx_destroy": (None, [P]),
    "ingot_ctx_bytes": (c.c_uint64, [P, c.POINTER(Options)]),
    "ingot_set_input": (I, [P, I, P, I, I, c.POINTER(c.c_int64), c.c_uint64]),
    "ingot_set_output": (I, [P, I, P, c.c_uint64]),
    "ingot_set_symbol": (I, [P, I, c.c_int64]), "ingot_get_symbol": (I, [P, I, c.POINTER(c.c_int64)]),
    "ingot_output_shape": (I, [P, I, c.POINTER(c.c_int64)]), "ingot_output_data": (P, [P, I]),
    "ingot_run": (I, [P]), "ingot_last_error": (S, [P]), "ingot_error_text": (S, [P, I]),
    "ingot_state_bytes": (c.c_uint64, [P]), "ingot_state_reset": (I, [P]),
    "ingot_state_save": (I, [P, P, c.c_uint64]), "ingot_state_restore": (I, [P, P, c.c_uint64]),
}


def open_loader():
    beside = Path(__file__).with_name("libingot.so")
    lib = c.CDLL(os.environ.get("INGOT_LOADER") or (str(beside) if beside.exists() else "libingot.so.1"))
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib
