#!/usr/bin/env python3
"""Runs the shipped networks in PyTorch on the 10,000 test images: the reference for compiled libraries.

SPDX-License-Identifier: Apache-2.0

    /usr/bin/python3 models/fashion_check.py --output /tmp/fashion_reference.npz

Prints each network's accuracy and stores images (u8[10000,28,28]), labels (u8[10000]) and, by network,
NAME_logits (f32[10000,10]) and NAME_predictions (u8[10000]).
"""

import argparse

import numpy as np

import fashion


def reference(names):
    """Everything that a comparison needs, by the names that the docstring gives."""
    images, labels = fashion.load_split("t10k")
    x = fashion.to_input(images)
    result = {"images": images, "labels": labels}
    for name in names:
        logits = fashion.predict(fashion.load_model(name), x)
        result[f"{name}_logits"] = logits
        result[f"{name}_predictions"] = logits.argmax(1).astype(np.uint8)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--output", metavar="FILE", help="npz to store the results in")
    args = parser.parse_args()

    result = reference(fashion.MODELS)
    for name in fashion.MODELS:
        right = (result[f"{name}_predictions"] == result["labels"]).sum()
        print(f"{name}: {right} of {len(result['labels'])} right in PyTorch")
    if args.output:
        np.savez(args.output, **result)


if __name__ == "__main__":
    main()
