"""IREE, compiled for this processor (llvm-cpu), run through its VM bindings.

SPDX-License-Identifier: Apache-2.0

Flags as its CPU guide gives them: host processor, highest optimisation level, data tiling. One thread runs on
the local-sync driver, more on local-task with one worker each.
"""

import numpy as np

from engines.base import Engine, Impossible, command, simplified, venv_tool


class Iree(Engine):
    package = "iree-base-runtime"
    needs_prepare = True

    def files(self):
        return [self.job.path("model.vmfb")]

    def prepare(self):
        try:
            self.compile(self.job.onnx)
        except Impossible:
            self.compile(simplified(self.job))

    def compile(self, path):
        command([venv_tool("iree-import-onnx"), path, "-o", self.job.path("model.mlir")])
        command([venv_tool("iree-compile"), self.job.path("model.mlir"), "-o", self.files()[0],
                 "--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu",
                 "--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3", "--iree-opt-data-tiling"])

    def load_code(self):
        import iree.runtime
        self.iree = iree.runtime
        if self.threads > 1:
            self.iree.flags.parse_flags(f"--task_topology_max_group_count={self.threads}")

    def load(self, inputs):
        rt = self.iree
        driver = rt.get_driver("local-sync" if self.threads == 1 else "local-task")
        device = self.device = driver.create_default_device()
        instance = rt.VmInstance()
        module = rt.VmModule.mmap(instance, self.files()[0])
        self.context = rt.VmContext(instance, [rt.create_hal_module(instance, device), module])
        names = [name for name in module.function_names if not name.startswith("__") and "$async" not in name]
        if len(names) != 1:
            raise Impossible(f"functions found: {module.function_names}")
        self.function = module.lookup_function(names[0])
        self.arguments = rt.VmVariantList(len(inputs))
        for name in self.job.inputs():
            array = rt.asdevicearray(device, inputs[name])
            self.arguments.push_ref(array._buffer_view)
        self.invoke, self.make = self.context.invoke, rt.VmVariantList

    def run(self):
        self.results = self.make(8)
        self.invoke(self.function, self.arguments, self.results)

    def outputs(self):
        rt, arrays = self.iree, []
        for i in range(len(self.results)):
            view = self.results.get_as_object(i, rt.HalBufferView)
            arrays.append(np.array(rt.DeviceArray(self.device, view, implicit_host_transfer=True)))
        return dict(zip(self.job.outputs(), arrays))
