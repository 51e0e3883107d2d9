"""PyTorch, compiled ahead of time by AOTInductor.

SPDX-License-Identifier: Apache-2.0

Freezing is on, as its documents advise for inference on CPUs: constants are folded and weights packed. The
number of threads is fixed when compiling, so there is one package for each.
"""

from engines.torch import TorchModel, network


class Inductor(TorchModel):
    per_threads = True

    def load_code(self):
        super().load_code()
        import torch._inductor  # noqa: F401

    def files(self):
        return [self.job.path("model.pt2")]

    def prepare(self):
        torch = self.torch
        model, inputs = network(self.job.model)
        with torch.no_grad():
            program = torch.export.export(model, inputs)
            torch._inductor.aoti_compile_and_package(
                program, package_path=self.files()[0],
                inductor_configs={"freezing": True, "cpp.threads": self.threads})

    def load(self, inputs):
        torch = self.torch
        self.guard = torch.inference_mode()
        self.guard.__enter__()
        self.call = torch._inductor.aoti_load_package(self.files()[0])
        self.values = [torch.from_numpy(inputs[name]) for name in self.job.inputs()]

    def run(self):
        self.results = self.call(*self.values)
