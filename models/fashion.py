"""Fashion-MNIST in one place: the data set, the two networks that ship, and their weight files.

SPDX-License-Identifier: Apache-2.0

Needs numpy and PyTorch (Debian: python3-torch) and the data set (Debian: dataset-fashion-mnist).
Both networks take f32[N,1,28,28] with grey values in 0..1 and normalise inside, so that a plain
image goes in without any preparation but the division by 255.
"""

import gzip
import json
import os
import struct
import zlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
DATA_DIR = "/usr/share/datasets/fashion-mnist"

# Mean and standard deviation of the 60,000 training images, after division by 255.
MEAN, STD = 0.2860, 0.3530


# ---- data ----------------------------------------------------------------------------------------

def read_idx(path):
    """One gzipped IDX file (u8 elements) as an array."""
    with gzip.open(path, "rb") as f:
        data = f.read()
    zero, dtype, rank = struct.unpack(">HBB", data[:4])
    if zero != 0 or dtype != 8:
        raise ValueError(f"{path}: not an IDX file of bytes")
    shape = struct.unpack(f">{rank}I", data[4:4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load_split(split, data_dir=DATA_DIR):
    """Images u8[N,28,28] and labels u8[N] of split "train" or "t10k"."""
    images = read_idx(os.path.join(data_dir, f"{split}-images-idx3-ubyte.gz"))
    labels = read_idx(os.path.join(data_dir, f"{split}-labels-idx1-ubyte.gz"))
    return images, labels


def load_labels():
    """The ten class names, in the order of the labels."""
    with open(os.path.join(HERE, "fashion_labels.txt"), encoding="utf-8") as f:
        return f.read().split("\n")[:-1]


def to_input(images):
    """u8[N,28,28] -> f32[N,1,28,28] in 0..1: all the preparation that the networks ask for."""
    return torch.from_numpy(images.astype(np.float32) / np.float32(255)).unsqueeze(1)


def write_png(path, image):
    """u8[H,W] as an 8-bit grey PNG."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n"
                + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


# ---- networks ------------------------------------------------------------------------------------

class Normalised(nn.Module):
    """Keeps mean and std with the weights, so that the file alone says how to normalise."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([MEAN]))
        self.register_buffer("std", torch.tensor([STD]))

    def normalise(self, x):
        return (x - self.mean) / self.std


class LeNet(Normalised):
    """LeNet-5 (LeCun et al. 1998) with ReLU and max pooling: 61,706 parameters."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(self.normalise(x))), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


class Block(nn.Module):
    """The basic residual block (He et al. 2015): two 3x3 convolutions, shortcut by 1x1 on a change."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False),
                                            nn.BatchNorm2d(cout))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet(Normalised):
    """Three stages of one basic block, 16, 32 and 64 channels: 77,754 parameters."""

    def __init__(self, widths=(16, 32, 64), depths=(1, 1, 1)):
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        cin = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths)):
            blocks = []
            for i in range(depth):
                blocks.append(Block(cin, width, 2 if stage > 0 and i == 0 else 1))
                cin = width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(cin, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(self.normalise(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


# ---- weight files --------------------------------------------------------------------------------

SAFETENSORS_TYPE = {"float32": "F32", "int64": "I64"}


def save_npz(path, state):
    """Stored, not deflated: the members can be mapped, and the bytes do not depend on the date."""
    np.savez(path, **{name: value.numpy() for name, value in state.items()})


def save_safetensors(path, state):
    """Header length (u64), JSON header padded to 64 bytes, then the tensors, largest element first."""
    order = sorted(state, key=lambda name: (-state[name].element_size(), name))
    header, body = {"__metadata__": {"format": "pt"}}, bytearray()
    for name in order:
        value = state[name].contiguous().numpy()
        begin = len(body)
        body += value.tobytes()
        header[name] = {"dtype": SAFETENSORS_TYPE[value.dtype.name], "shape": list(value.shape),
                        "data_offsets": [begin, len(body)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + body)


def load_npz(path):
    with np.load(path) as data:
        return {name: torch.from_numpy(data[name]) for name in data.files}


def load_safetensors(path):
    types = {code: np.dtype(name) for name, code in SAFETENSORS_TYPE.items()}
    with open(path, "rb") as f:
        data = f.read()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    state = {}
    for name, info in header.items():
        begin, end = (8 + length + offset for offset in info["data_offsets"])
        value = np.frombuffer(data[begin:end], types[info["dtype"]]).reshape(info["shape"])
        state[name] = torch.from_numpy(value.copy())
    return state


# What ships: name -> class, weight file, writer, reader.
MODELS = {
    "lenet": (LeNet, "lenet_fashion.npz", save_npz, load_npz),
    "resnet": (ResNet, "resnet_fashion.safetensors", save_safetensors, load_safetensors),
}


def save_model(name, model, directory=HERE):
    path = os.path.join(directory, MODELS[name][1])
    MODELS[name][2](path, model.state_dict())
    return path


def load_model(name, directory=HERE):
    """The trained network `name`, ready for inference."""
    make, file, _, load = MODELS[name]
    model = make()
    model.load_state_dict(load(os.path.join(directory, file)))
    return model.eval()


@torch.no_grad()
def predict(model, x, batch=500):
    """Logits f32[N,10] for inputs f32[N,1,28,28]."""
    return torch.cat([model(part) for part in x.split(batch)]).numpy()
