#!/usr/bin/env python3
"""Trains the Fashion-MNIST networks that ship and writes their weights beside this file.

SPDX-License-Identifier: Apache-2.0

    /usr/bin/python3 models/train_fashion.py            # both networks
    /usr/bin/python3 models/train_fashion.py lenet --output-dir /tmp

The result depends on the seed, the number of threads and the PyTorch release, and on nothing else:
the shipped files come from Debian 12's PyTorch 1.13.1 with the defaults below.
"""

import argparse
import time

import torch
from torch.nn import functional as F

import fashion

# name -> epochs, peak learning rate
RECIPES = {"lenet": (25, 0.004), "resnet": (14, 0.008)}
BATCH = 128
WEIGHT_DECAY = 5e-3
SHIFT = 2  # pixels by which a training image moves, at most, in each direction


def augment(x, rng):
    """Flips half of the images left to right and shifts all of them, by one shift for the batch."""
    flip = torch.rand(x.shape[0], generator=rng) < 0.5
    x = torch.where(flip.view(-1, 1, 1, 1), x.flip(3), x)
    dy, dx = torch.randint(0, 2 * SHIFT + 1, (2,), generator=rng).tolist()
    height, width = x.shape[2:]
    return F.pad(x, (SHIFT,) * 4)[:, :, dy:dy + height, dx:dx + width]


def train_epoch(model, x, y, optimiser, schedule, rng):
    model.train()
    total = 0.0
    for index in torch.randperm(len(x), generator=rng).split(BATCH):
        logits = model(augment(x[index], rng))
        loss = F.cross_entropy(logits, y[index], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        total += loss.item() * len(index)
    return total / len(x)


def accuracy(model, x, y):
    return (fashion.predict(model.eval(), x).argmax(1) == y.numpy()).mean()


def train(name, seed, epochs):
    """Trains for a number of epochs fixed beforehand: the test set chooses nothing."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, y = tensors("train")
    model = fashion.MODELS[name][0]()
    default_epochs, rate = RECIPES[name]
    epochs = epochs or default_epochs
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    steps = -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, epochs * steps)
    for epoch in range(epochs):
        start = time.time()
        loss = train_epoch(model, x, y, optimiser, schedule, rng)
        print(f"{name} epoch {epoch + 1}/{epochs}: loss {loss:.4f}, {time.time() - start:.0f} s",
              flush=True)
    return model


def tensors(split):
    images, labels = fashion.load_split(split)
    return fashion.to_input(images), torch.from_numpy(labels.astype("int64"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="lenet, resnet (default: both)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="instead of the network's own number")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output-dir", default=fashion.HERE)
    args = parser.parse_args()
    if set(args.names) - set(fashion.MODELS):
        parser.error(f"networks are: {', '.join(fashion.MODELS)}")

    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    for name in args.names or fashion.MODELS:
        model = train(name, args.seed, args.epochs)
        path = fashion.save_model(name, model, args.output_dir)
        count = sum(p.numel() for p in model.parameters())
        print(f"{name}: {count} parameters, test accuracy "
              f"{accuracy(model, *tensors('t10k')):.4f}, written to {path}")


if __name__ == "__main__":
    main()
