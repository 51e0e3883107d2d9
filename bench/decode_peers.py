"""Other engines for bench/decode: a GPT-2 small with 512 tokens behind it, by width of weights.

SPDX-License-Identifier: Apache-2.0

ONNX Runtime and OpenVINO run bench/.models/gpt2_step.onnx, whose weights are made smaller by the engines' own tools, once;
llama.cpp runs a GGUF file of the same shape with random weights. What is not installed is not compared with.

    bench/.venv/bin/python bench/decode_peers.py --ingot build     # does llama.cpp compute what Ingot does?

gives both the same weights and tokens, and compares the logits of every width with those of Ingot in f32.
"""

import argparse
import os
import subprocess
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(HERE, ".cache")
STEP = os.path.join(HERE, ".models", "gpt2_step.onnx")
PAST, CONTEXT, VOCABULARY, WIDTH, BLOCKS, HEADS = 512, 1024, 50257, 768, 12, 12
GROUP = 32  # weights that share a scale where they have four bits


def made(name, make):
    """The path of a file in the cache, which make(path) writes where it is missing."""
    path = os.path.join(CACHE, name)
    if not os.path.exists(path):
        os.makedirs(CACHE, exist_ok=True)
        make(path)
    return path


def step_inputs():
    with np.load(STEP.replace(".onnx", ".npz")) as data:
        return {k[3:]: np.ascontiguousarray(v) for k, v in data.items() if k.startswith("in.")}


class OnnxRuntime:
    """int8: dynamic quantisation. int4: MatMulNBits with its fastest accuracy level. Both round activations, too."""

    name, widths, cache_bits = "onnxruntime", ("f32", "int8", "int4"), 32

    def __init__(self, width, threads):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        path = {"f32": lambda: STEP, "int8": self.int8, "int4": self.int4}[width]()
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        self.values = {k: ort.OrtValue.ortvalue_from_numpy(v) for k, v in step_inputs().items()}
        for name, value in self.values.items():
            self.binding.bind_ortvalue_input(name, value)
        for out in self.session.get_outputs():
            self.binding.bind_output(out.name, "cpu")

    @staticmethod
    def int8():
        from onnxruntime.quantization import QuantType, quantize_dynamic
        return made("gpt2_step_ort_int8.onnx",
                    lambda path: quantize_dynamic(STEP, path, weight_type=QuantType.QInt8, per_channel=True))

    @staticmethod
    def int4():
        def make(path):
            import onnx
            from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
            quantizer = MatMulNBitsQuantizer(onnx.load(STEP), block_size=GROUP, is_symmetric=True, accuracy_level=4)
            quantizer.process()
            quantizer.model.save_model_to_file(path)
        return made("gpt2_step_ort_int4.onnx", make)

    def begin_turn(self):
        pass

    def run(self):
        self.session.run_with_iobinding(self.binding)


class OpenVino:
    """f16: its compressed files. int8 and int4: weights compressed by NNCF."""

    name, widths, cache_bits = "openvino", ("f32", "f16", "int8", "int4"), 32

    def __init__(self, width, threads):
        import openvino as ov
        path = STEP if width == "f32" else made(f"gpt2_step_ov_{width}.xml", lambda to: self.compress(width, to))
        config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        self.request = ov.Core().compile_model(path, "CPU", config).create_infer_request()
        for name, value in step_inputs().items():
            self.request.set_tensor(name, ov.Tensor(value, shared_memory=True))

    @staticmethod
    def compress(width, path):
        import openvino as ov
        model = ov.Core().read_model(STEP)
        if width != "f16":
            import nncf
            modes = nncf.CompressWeightsMode
            model = nncf.compress_weights(model, mode=modes.INT8_SYM) if width == "int8" else nncf.compress_weights(
                model, mode=modes.INT4_SYM, group_size=GROUP, ratio=1.0, all_layers=True)
        ov.save_model(model, path, compress_to_fp16=width == "f16")

    def begin_turn(self):
        pass

    def run(self):
        self.request.infer()


class LlamaCpp:
    """int8 is its q8_0, int4 its q4_0 (groups of 32, and activations rounded to eight bits); its cache holds f16."""

    name, widths, cache_bits = "llama.cpp", ("f32", "f16", "int8", "int4"), 16

    def __init__(self, width, threads):
        import ctypes

        import llama_cpp as lib
        self.lib = lib
        self.silent = lib.llama_log_callback(lambda level, text, data: None)
        lib.llama_log_set(self.silent, ctypes.c_void_p(0))
        lib.llama_backend_init()
        path = made(f"gpt2_small_{width}.gguf", lambda to: write_gguf(to, width))
        self.model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_threads, params.n_threads_batch = CONTEXT, threads, threads
        self.context = lib.llama_init_from_model(self.model, params)
        self.tokens = (lib.llama_token * PAST)(*(i * 37 % VOCABULARY for i in range(PAST)))
        self.decode(PAST)

    def decode(self, count):
        if self.lib.llama_decode(self.context, self.lib.llama_batch_get_one(self.tokens, count)):
            raise RuntimeError("llama_decode failed")

    def begin_turn(self):
        self.lib.llama_memory_seq_rm(self.lib.llama_get_memory(self.context), 0, PAST, -1)

    def run(self):
        self.decode(1)

    def logits(self, tokens):
        """Of the token behind these, which are all there are."""
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        self.tokens = (self.lib.llama_token * len(tokens))(*map(int, tokens))
        self.decode(len(tokens))
        return np.ctypeslib.as_array(self.lib.llama_get_logits_ith(self.context, -1), (VOCABULARY,)).copy()


def matrices():
    """(name in GGUF, name in gpt2_decode.yaml, weights [outputs, inputs]) of each matrix, the same every time."""
    rng = np.random.default_rng(1)

    def of(gguf, ingot, rows, columns):
        return gguf, ingot, rng.standard_normal((rows, columns), np.float32) * np.float32(0.02)

    yield of("token_embd", "wte", VOCABULARY, WIDTH)
    yield of("position_embd", "wpe", CONTEXT, WIDTH)
    for i in range(BLOCKS):
        yield of(f"blk.{i}.attn_qkv", f"h.{i}.attn.qkv", 3 * WIDTH, WIDTH)
        yield of(f"blk.{i}.attn_output", f"h.{i}.attn.proj", WIDTH, WIDTH)
        yield of(f"blk.{i}.ffn_up", f"h.{i}.mlp.fc", 4 * WIDTH, WIDTH)
        yield of(f"blk.{i}.ffn_down", f"h.{i}.mlp.proj", WIDTH, 4 * WIDTH)


def write_gguf(path, width):
    """A GPT-2 small with random weights. Vectors and positions stay f32, as llama.cpp's own files have them."""
    import gguf
    from gguf import quants
    kinds = gguf.GGMLQuantizationType
    kind = {"f32": kinds.F32, "f16": kinds.F16, "int8": kinds.Q8_0, "int4": kinds.Q4_0}[width]
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(4 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")

    def vector(name, size, value):
        writer.add_tensor(name, np.full(size, value, np.float32))

    for name, _, data in matrices():
        as_kind = kinds.F32 if name == "position_embd" else kind
        writer.add_tensor(f"{name}.weight", quants.quantize(data, as_kind), raw_dtype=as_kind)
        if name.startswith("blk"):
            vector(f"{name}.bias", data.shape[0], 0)
    for name in ["output_norm", *(f"blk.{i}.{norm}_norm" for i in range(BLOCKS) for norm in ("attn", "ffn"))]:
        vector(f"{name}.weight", WIDTH, 1)
        vector(f"{name}.bias", WIDTH, 0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def peers(widths, threads):
    """(name, width, bits of the cache, engine) of each engine that is installed and has weights of that width."""
    for peer in (OnnxRuntime, OpenVino, LlamaCpp):
        for width in widths:
            if width not in peer.widths:
                continue
            try:
                yield peer.name, width, peer.cache_bits, peer(width, threads)
            except Exception as error:  # what does not run is not compared with
                print(f"{peer.name} {width}: {type(error).__name__}: {error}", file=sys.stderr)


def ingot_logits(build, tokens, width):
    """Ingot's, with the weights that the GGUF files are made of."""
    weights = made("gpt2_same.npz", lambda to: np.savez(to, **{f"{name}.weight": x for _, name, x in matrices()}))
    model, library, given, result = (os.path.join(CACHE, f"gpt2_same{end}")
                                     for end in (".yaml", ".so", "_tokens.npy", "_logits.npy"))
    with open(os.path.join(HERE, "gpt2_decode.yaml"), encoding="utf-8") as f:
        text = f.read()
    with open(model, "w", encoding="utf-8") as f:
        f.write(text.replace("weights: {", f"weights: {{file: {os.path.basename(weights)}, "))
    np.save(given, tokens.reshape(1, -1))
    tool = os.path.join(build, "tools", "ingot")
    subprocess.run([tool, "compile", f"--dim=T={len(tokens)}", f"--weights={width}", "-o", library, model], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([tool, "run", library, f"--input=tokens={given}", f"--output=logits={result}"], check=True,
                   stdout=subprocess.DEVNULL)
    return np.load(result).reshape(-1)


def check(build):
    """Compares llama.cpp and Ingot: the same weights and tokens, the logits of every width."""
    # What llama.cpp may differ by, normwise: a cache and a table for GELU of f16; then what rounding of weights loses,
    # which grows with the distance of two neighbours (a 127th of the largest weight, and an eighth).
    allowed = {"f32": 0.005, "f16": 0.005, "int8": 0.03, "int4": 0.4}
    tokens = np.arange(3, 12, dtype=np.int64) * 4567 % VOCABULARY
    want, wrong = ingot_logits(build, tokens, "f32"), 0
    for width, most in allowed.items():
        own, got = (np.linalg.norm(logits - want) / np.linalg.norm(want)
                    for logits in (ingot_logits(build, tokens, width), LlamaCpp(width, 1).logits(tokens)))
        print(f"{width}: normwise difference from Ingot in f32: llama.cpp {got:.2g}, Ingot {own:.2g}, {most} allowed")
        wrong |= not max(own, got) <= most
    return int(wrong)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=check.__doc__)
    arguments.add_argument("--ingot", default="build", help="build folder")
    sys.exit(check(arguments.parse_args().ingot))
