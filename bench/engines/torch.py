"""PyTorch: eager. The networks are those that the ONNX files were exported from, with the same weights.

SPDX-License-Identifier: Apache-2.0

As its tuning guide advises: inference mode, and channels-last memory where that is faster, which a trial at
load decides.
"""

import time

import numpy as np

from engines.base import Engine, Impossible


def network(name):
    """The network of an exported model, with the weights that export_models.py gave it, and its inputs."""
    import export_models
    import torch
    if name not in export_models.DEFINED:
        raise Impossible("no PyTorch definition: the model comes as ONNX only")
    make, specs, gain = export_models.DEFINED[name]
    torch.manual_seed(export_models.SEED)
    model = make().eval()
    export_models.initialise(model, gain)
    calibration = export_models.draw(specs, name + " calibration")
    export_models.calibrate(model, [torch.from_numpy(a) for a in calibration.values()])
    inputs = export_models.draw(specs, name)
    return model.requires_grad_(False), tuple(torch.from_numpy(a) for a in inputs.values())


class TorchModel(Engine):
    """What eager and compiled PyTorch have in common."""

    package = "torch"
    needs_prepare = True
    timeout = 1800

    def tools(self):
        self.load_code()

    def load_code(self):
        import torch
        self.torch = torch
        torch.set_num_threads(self.threads)

    def outputs(self):
        results = [self.results] if isinstance(self.results, self.torch.Tensor) else self.results
        return {name: np.array(value) for name, value in zip(self.job.outputs(), flat(results))}


def flat(results):
    """Nested tuples of tensors in the order in which the exporter numbers them."""
    for item in results:
        if isinstance(item, (tuple, list)):
            yield from flat(item)
        else:
            yield item


class TorchEager(TorchModel):
    def files(self):
        return [self.job.path("model.pt")]

    def prepare(self):
        self.torch.save(network(self.job.model)[0], self.files()[0])

    def load(self, inputs):
        torch = self.torch
        self.guard = torch.inference_mode()
        self.guard.__enter__()
        # An own file; the classes come from nets and torchvision.
        model = torch.load(self.files()[0], weights_only=False)
        values = [torch.from_numpy(inputs[name]) for name in self.job.inputs()]
        if any(v.dim() == 4 for v in values) and any(p.dim() == 4 for p in model.parameters()):
            plain = seconds(model, values)
            last = [v.to(memory_format=torch.channels_last) if v.dim() == 4 else v for v in values]
            model = model.to(memory_format=torch.channels_last)
            if seconds(model, last) < plain:
                values = last
            else:
                model = model.to(memory_format=torch.contiguous_format)
        self.model, self.values = model, values

    def run(self):
        self.results = self.model(*self.values)


def seconds(model, values):
    """Of one run, after one to warm up."""
    model(*values)
    start = time.perf_counter()
    model(*values)
    return time.perf_counter() - start
