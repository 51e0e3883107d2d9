#!/usr/bin/env python3
"""Writes the sample images under models/images/: one real test image of each class.

SPDX-License-Identifier: Apache-2.0

Takes the first test image of each class that both shipped networks classify correctly. A file is
named by its label and its index in the test set.
"""

import os

import fashion


def main():
    images, labels = fashion.load_split("t10k")
    x = fashion.to_input(images)
    right = True
    for name in fashion.MODELS:
        right = right & (fashion.predict(fashion.load_model(name), x).argmax(1) == labels)
    directory = os.path.join(fashion.HERE, "images")
    os.makedirs(directory, exist_ok=True)
    for label, title in enumerate(fashion.load_labels()):
        index = (right & (labels == label)).argmax()
        stem = title.lower().replace(" ", "_").replace("-", "_").replace("/", "_")
        path = os.path.join(directory, f"{stem}_{index}.png")
        fashion.write_png(path, images[index])
        print(path)


if __name__ == "__main__":
    main()
