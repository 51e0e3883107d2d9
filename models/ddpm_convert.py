#!/usr/bin/env python3
"""Writes ddpm_unet.npz, the weights of ddpm_unet.yaml, from a PyTorch checkpoint.

SPDX-License-Identifier: Apache-2.0

    /usr/bin/python3 models/ddpm_convert.py ddpm_mnist_unet.pth models/ddpm_unet.npz

The checkpoint is a state_dict: names and shapes stay as they are.
"""

import sys

import numpy as np
import torch


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    weights = torch.load(sys.argv[1], map_location="cpu")
    np.savez(sys.argv[2], **{name: w.numpy() for name, w in weights.items()})
    print(f"{len(weights)} weights, {sum(w.numel() for w in weights.values())} parameters")


if __name__ == "__main__":
    main()
