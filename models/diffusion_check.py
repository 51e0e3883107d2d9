#!/usr/bin/env python3
"""Do the three parts of Stable Diffusion in this folder compute what PyTorch computes with the same weights?

SPDX-License-Identifier: Apache-2.0

    python3 models/diffusion_check.py [--build build] [NAME...]

Needs torch and safetensors. The networks are written here once more, after diffusers and transformers, whose names of
weights they use; weights are random. All are of full size: sd_unet takes 4.3 GB to compile, with a file of weights of
3.4 GB beside. Prints the largest error of each; exits with 1 if one is too large.
"""

import argparse
import math
import os
import sys
import tempfile

import torch
import torch.nn.functional as F

from transformers_check import HERE, Check, Weights, attend, relative, tokens


class Nets(Weights):
    """Weights and the layers of images. Those of wide layers are smaller, so that deep networks stay in range."""

    def __call__(self, name, *shape, around=0.0):
        if name not in self and len(shape) > 1 and "embedding" not in name:
            fan_in = math.prod(shape[1:])
            self[name] = torch.randn(*shape, generator=self.generator) / fan_in ** 0.5
        return super().__call__(name, *shape, around=around)

    def group_norm(self, name, x, eps=1e-5):
        n = x.shape[1]
        return F.group_norm(x, 32, self(f"{name}.weight", n, around=1.0), self(f"{name}.bias", n), eps)

    def conv(self, name, x, out, kernel=3, **how):
        weight = self(f"{name}.weight", out, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, self(f"{name}.bias", out), padding=kernel // 2, **how)


def clip_text(w, ids):
    x = w("text_model.embeddings.token_embedding.weight", 49408, 768)[ids]
    x = x + w("text_model.embeddings.position_embedding.weight", 77, 768)[: ids.shape[1]]
    for i in range(12):
        at = f"text_model.encoder.layers.{i}"
        y = w.norm(f"{at}.layer_norm1", x)
        q, k, v = (w.linear(f"{at}.self_attn.{n}_proj", y, 768) for n in "qkv")
        x = x + w.linear(f"{at}.self_attn.out_proj", attend(q, k, v, 12, is_causal=True), 768)
        y = w.linear(f"{at}.mlp.fc1", w.norm(f"{at}.layer_norm2", x), 3072)
        x = x + w.linear(f"{at}.mlp.fc2", y * torch.sigmoid(1.702 * y), 768)
    return w.norm("text_model.final_layer_norm", x)


def resnet(w, at, x, out, when=None, eps=1e-5):
    """ResnetBlock2D."""
    y = w.conv(f"{at}.conv1", F.silu(w.group_norm(f"{at}.norm1", x, eps)), out)
    if when is not None:
        y = y + w.linear(f"{at}.time_emb_proj", F.silu(when), out)[:, :, None, None]
    y = w.conv(f"{at}.conv2", F.silu(w.group_norm(f"{at}.norm2", y, eps)), out)
    return y + (x if x.shape[1] == out else w.conv(f"{at}.conv_shortcut", x, out, kernel=1))


def look(w, at, x, to, heads, bias):
    n = x.shape[-1]
    q, k, v = (w.linear(f"{at}.to_{name}", source, n, bias) for name, source in (("q", x), ("k", to), ("v", to)))
    return w.linear(f"{at}.to_out.0", attend(q, k, v, heads), n)


def twice(w, at, x):
    return w.conv(f"{at}.conv", F.interpolate(x, scale_factor=2.0, mode="nearest"), x.shape[1])


def vae_decoder(w, latent):
    """AutoencoderKL.decode."""
    x = w.conv("decoder.conv_in", w.conv("post_quant_conv", latent, 4, kernel=1), 512)
    x = resnet(w, "decoder.mid_block.resnets.0", x, 512, eps=1e-6)
    at = "decoder.mid_block.attentions.0"
    y = w.group_norm(f"{at}.group_norm", x, 1e-6).flatten(2).transpose(1, 2)
    x = x + look(w, at, y, y, 1, True).transpose(1, 2).reshape(x.shape)
    x = resnet(w, "decoder.mid_block.resnets.1", x, 512, eps=1e-6)
    for i, out in enumerate((512, 512, 256, 128)):
        for n in range(3):
            x = resnet(w, f"decoder.up_blocks.{i}.resnets.{n}", x, out, eps=1e-6)
        if i < 3:
            x = twice(w, f"decoder.up_blocks.{i}.upsamplers.0", x)
    return w.conv("decoder.conv_out", F.silu(w.group_norm("decoder.conv_norm_out", x, 1e-6)), 3)


def transformer(w, at, x, text):
    """Transformer2DModel with one block."""
    n, block = x.shape[1], f"{at}.transformer_blocks.0"
    y = w.conv(f"{at}.proj_in", w.group_norm(f"{at}.norm", x, 1e-6), n, kernel=1).flatten(2).transpose(1, 2)
    z = w.norm(f"{block}.norm1", y)
    y = y + look(w, f"{block}.attn1", z, z, 8, False)
    y = y + look(w, f"{block}.attn2", w.norm(f"{block}.norm2", y), text, 8, False)
    value, gate = w.linear(f"{block}.ff.net.0.proj", w.norm(f"{block}.norm3", y), 8 * n).chunk(2, -1)
    y = y + w.linear(f"{block}.ff.net.2", value * F.gelu(gate), n)
    return x + w.conv(f"{at}.proj_out", y.transpose(1, 2).reshape(x.shape), n, kernel=1)


def time_embedding(w, step):
    angle = step[:, None] * torch.exp(torch.arange(160) * (-torch.log(torch.tensor(10000.0)) / 160))
    y = w.linear("time_embedding.linear_1", torch.cat([angle.cos(), angle.sin()], 1), 1280)
    return w.linear("time_embedding.linear_2", F.silu(y), 1280)


def unet(w, sample, step, text):
    """UNet2DConditionModel: blocks of two resnets going down, three going up, with what was left at each of them."""
    when, sizes = time_embedding(w, step), (320, 640, 1280, 1280)
    x = w.conv("conv_in", sample, 320)
    left = [x]
    for i, out in enumerate(sizes):
        at = f"down_blocks.{i}"
        for n in range(2):
            x = resnet(w, f"{at}.resnets.{n}", x, out, when)
            if i < 3:
                x = transformer(w, f"{at}.attentions.{n}", x, text)
            left.append(x)
        if i < 3:
            x = w.conv(f"{at}.downsamplers.0.conv", x, out, stride=2)
            left.append(x)
    x = resnet(w, "mid_block.resnets.0", x, 1280, when)
    x = resnet(w, "mid_block.resnets.1", transformer(w, "mid_block.attentions.0", x, text), 1280, when)
    for i, out in enumerate(reversed(sizes)):
        at = f"up_blocks.{i}"
        for n in range(3):
            x = resnet(w, f"{at}.resnets.{n}", torch.cat([x, left.pop()], 1), out, when)
            if i > 0:
                x = transformer(w, f"{at}.attentions.{n}", x, text)
        if i < 3:
            x = twice(w, f"{at}.upsamplers.0", x)
    return w.conv("conv_out", F.silu(w.group_norm("conv_norm_out", x)), 4)


def random(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check_clip_text(check):
    w, ids = Nets(5), tokens(49408, 2, 77, dtype=torch.int32)
    want = clip_text(w, ids)
    got, = check.compile("clip_text", w).run([ids.numpy()], want.shape)
    check.report("clip_text", relative(got, want), 1e-4)


def check_vae(check):
    w, latent = Nets(6), random(6, 1, 4, 64, 64)
    want = vae_decoder(w, latent)
    got, = check.compile("sd_vae_decoder", w).run([latent.numpy()], want.shape)
    check.report("sd_vae_decoder", relative(got, want), 1e-4)


def check_unet(check):
    w, inputs = Nets(7), [random(7, 1, 4, 64, 64), torch.tensor([981.0]), random(8, 1, 77, 768)]
    want = unet(w, *inputs)
    library = check.compile("sd_unet", w)
    w.clear()
    got, = library.run([x.numpy() for x in inputs], want.shape)
    check.report("sd_unet", relative(got, want), 1e-4)


def main():
    checks = {"clip_text": check_clip_text, "sd_vae_decoder": check_vae, "sd_unet": check_unet}
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(checks)}; default: all")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        check = Check(args.build, folder)
        for name in args.names or checks:
            checks[name](check)
    return check.failed


if __name__ == "__main__":
    sys.exit(main())
