"""Networks that bench/export_models.py needs and torchvision does not define, in PyTorch.

SPDX-License-Identifier: Apache-2.0

Each follows the paper that its class names. All run in f64 as well, for reference results.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


def conv_bn(cin, cout, kernel, stride=1, groups=1, act=nn.ReLU):
    """Convolution with "same" padding, batch norm, activation (None: without)."""
    layers = [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
              nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, *([act()] if act else []))


# ---- convolutional -------------------------------------------------------------------------------

class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) with batch norm: four levels, transposed convolutions."""

    def __init__(self, cin=3, cout=1, width=32, levels=4):
        super().__init__()
        widths = [width << i for i in range(levels + 1)]
        self.down = nn.ModuleList(self.pair(a, b) for a, b in zip([cin] + widths, widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in zip(widths, widths[1:]))
        self.merge = nn.ModuleList(self.pair(2 * a, a) for a in widths[:-1])
        self.head = nn.Conv2d(width, cout, 1)

    @staticmethod
    def pair(cin, cout):
        return nn.Sequential(conv_bn(cin, cout, 3), conv_bn(cout, cout, 3))

    def forward(self, x):
        skips = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        skips.pop()
        for up, merge in zip(reversed(self.up), reversed(self.merge)):
            x = merge(torch.cat([up(x), skips.pop()], 1))
        return torch.sigmoid(self.head(x))


class KeywordSpotter(nn.Module):
    """DS-CNN (Zhang et al. 2017) as in MLPerf Tiny: 49x10 MFCC frames, 12 words."""

    def __init__(self, width=64, blocks=4, classes=12):
        super().__init__()
        layers = [nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, width, (10, 4), 2, bias=False),
                  nn.BatchNorm2d(width), nn.ReLU()]
        for _ in range(blocks):
            layers += [conv_bn(width, width, 3, groups=width), conv_bn(width, width, 1)]
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return torch.softmax(self.fc(self.features(x).mean((2, 3))), 1)


# ---- detector ------------------------------------------------------------------------------------

class Bottleneck(nn.Module):
    def __init__(self, width, shortcut):
        super().__init__()
        self.conv1 = conv_bn(width, width, 3, act=nn.SiLU)
        self.conv2 = conv_bn(width, width, 3, act=nn.SiLU)
        self.shortcut = shortcut

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class SplitStage(nn.Module):
    """Cross-stage partial stage: half of the channels pass a chain of bottlenecks, all links are kept."""

    def __init__(self, cin, cout, depth, shortcut):
        super().__init__()
        half = cout // 2
        self.enter = conv_bn(cin, cout, 1, act=nn.SiLU)
        self.chain = nn.ModuleList(Bottleneck(half, shortcut) for _ in range(depth))
        self.leave = conv_bn((2 + depth) * half, cout, 1, act=nn.SiLU)

    def forward(self, x):
        parts = list(self.enter(x).chunk(2, 1))
        for block in self.chain:
            parts.append(block(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class PyramidPool(nn.Module):
    """Three 5x5 max pools in a row, their results side by side."""

    def __init__(self, width):
        super().__init__()
        self.enter = conv_bn(width, width // 2, 1, act=nn.SiLU)
        self.leave = conv_bn(width * 2, width, 1, act=nn.SiLU)

    def forward(self, x):
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.leave(torch.cat(parts, 1))


class DetectHead(nn.Module):
    """Anchor-free head: box sides as distributions over `bins` distances (Li et al. 2020), class scores."""

    def __init__(self, widths, strides, classes, size, bins=16):
        super().__init__()
        self.bins, box, score = bins, max(16, widths[0] // 4, 4 * bins), max(widths[0], classes)
        self.box = nn.ModuleList(self.branch(w, box, 4 * bins) for w in widths)
        self.score = nn.ModuleList(self.branch(w, score, classes) for w in widths)
        self.register_buffer("distance", torch.arange(bins, dtype=torch.float32))
        centres, scales = zip(*(self.grid(size // s, s) for s in strides))
        self.register_buffer("centres", torch.cat(centres, 1))
        self.register_buffer("scales", torch.cat(scales, 0))

    @staticmethod
    def branch(cin, width, cout):
        return nn.Sequential(conv_bn(cin, width, 3, act=nn.SiLU),
                             conv_bn(width, width, 3, act=nn.SiLU), nn.Conv2d(width, cout, 1))

    @staticmethod
    def grid(cells, stride):
        """Cell centres f32[2,cells*cells], in cells, and the stride of each."""
        axis = torch.arange(cells, dtype=torch.float32) + 0.5
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        return torch.stack([x.flatten(), y.flatten()]), torch.full((cells * cells,), float(stride))

    def forward(self, levels):
        box = torch.cat([f(x).flatten(2) for f, x in zip(self.box, levels)], 2)
        score = torch.cat([f(x).flatten(2) for f, x in zip(self.score, levels)], 2)
        sides = box.unflatten(1, (4, self.bins)).softmax(2)
        sides = (sides * self.distance.view(1, 1, -1, 1)).sum(2)
        low, high = self.centres - sides[:, :2], self.centres + sides[:, 2:]
        boxes = torch.cat([(low + high) / 2, high - low], 1) * self.scales
        return torch.cat([boxes, score.sigmoid()], 1)


class Detector(nn.Module):
    """YOLO-class one-stage detector, "nano" size: CSP backbone, path aggregation neck, three scales."""

    def __init__(self, size=640, classes=80):
        super().__init__()
        def down(cin, cout):
            return conv_bn(cin, cout, 3, 2, act=nn.SiLU)

        self.stem = nn.Sequential(down(3, 16), down(16, 32), SplitStage(32, 32, 1, True))
        self.stage3 = nn.Sequential(down(32, 64), SplitStage(64, 64, 2, True))
        self.stage4 = nn.Sequential(down(64, 128), SplitStage(128, 128, 2, True))
        self.stage5 = nn.Sequential(down(128, 256), SplitStage(256, 256, 1, True), PyramidPool(256))
        self.top4 = SplitStage(256 + 128, 128, 1, False)
        self.top3 = SplitStage(128 + 64, 64, 1, False)
        self.down3, self.down4 = down(64, 64), down(128, 128)
        self.out4 = SplitStage(64 + 128, 128, 1, False)
        self.out5 = SplitStage(128 + 256, 256, 1, False)
        self.head = DetectHead((64, 128, 256), (8, 16, 32), classes, size)

    def forward(self, x):
        c3 = self.stage3(self.stem(x))
        c4 = self.stage4(c3)
        c5 = self.stage5(c4)
        t4 = self.top4(torch.cat([F.interpolate(c5, scale_factor=2.0), c4], 1))
        p3 = self.top3(torch.cat([F.interpolate(t4, scale_factor=2.0), c3], 1))
        p4 = self.out4(torch.cat([self.down3(p3), t4], 1))
        p5 = self.out5(torch.cat([self.down4(p4), c5], 1))
        return self.head([p3, p4, p5])


# ---- sequences -----------------------------------------------------------------------------------

class Attention(nn.Module):
    """Multi-head attention with one product for queries, keys and values each."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, mask):
        q, k, v = (self.split(f(x)) for f in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + mask
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-12) for _ in range(2))
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = self.norm1(x + self.attention(x, mask))
        return self.norm2(x + self.fc2(F.gelu(self.fc1(x))))


class Bert(nn.Module):
    """BERT (Devlin et al. 2018), base size: hidden states and the pooled first token."""

    def __init__(self, width=768, heads=12, depth=12, vocab=30522, length=512):
        super().__init__()
        self.tokens, self.positions, self.segments = (
            nn.Embedding(n, width) for n in (vocab, length, 2))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(EncoderLayer(width, heads) for _ in range(depth))
        self.pooler = nn.Linear(width, width)

    def forward(self, input_ids, attention_mask, token_type_ids):
        x = self.tokens(input_ids) + self.segments(token_type_ids)
        x = self.norm(x + self.positions.weight[: input_ids.shape[1]])
        mask = (1 - attention_mask[:, None, None, :].to(x.dtype)) * -10000.0
        for layer in self.layers:
            x = layer(x, mask)
        return x, torch.tanh(self.pooler(x[:, 0]))


class DecoderLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, past_key, past_value):
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2).chunk(3, 1)
        key, value = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
        scores = q @ key.transpose(-1, -2) / math.sqrt(q.shape[-1])
        x = x + self.out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh")), key, value


class GptStep(nn.Module):
    """GPT-2 (Radford et al. 2019), small: one token after `past` others, keys and values in and out."""

    def __init__(self, width=768, heads=12, depth=12, vocab=50257, length=1024):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(length, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, input_ids, *past):
        position = past[0].shape[2]
        x = self.tokens(input_ids) + self.positions.weight[position: position + 1]
        present = []
        for layer, key, value in zip(self.layers, past[::2], past[1::2]):
            x, key, value = layer(x, key, value)
            present += [key, value]
        return F.linear(self.norm(x), self.tokens.weight), *present


class Tagger(nn.Module):
    """Two LSTM layers of 512 over 300-wide word vectors, and a label for every word."""

    def __init__(self, width=300, hidden=512, depth=2, labels=32):
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, depth, batch_first=True)
        self.fc = nn.Linear(hidden, labels)

    def forward(self, x):
        return self.fc(self.lstm(x)[0])


def mlp(*widths):
    """Linear layers with ReLU between."""
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
