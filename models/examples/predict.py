#!/usr/bin/env python3
"""predict.py: compiles a model and runs it on a numpy array.

SPDX-License-Identifier: Apache-2.0

    python3 predict.py ../lenet_fashion.yaml
"""

import sys

import numpy as np

import ingot

net = ingot.compile(sys.argv[1], target="native")
image = np.tile(np.arange(28, dtype=np.float32) / 28, (1, 1, 28, 1))
scores = net(image)[0]
print(f"class {scores.argmax()}: {scores.max():.2f}")
