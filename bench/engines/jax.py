"""JAX (XLA): installed, but there is no way to it from these models.

SPDX-License-Identifier: Apache-2.0
"""

from engines.base import Engine, Impossible


class Jax(Engine):
    package = "jax"
    needs_prepare = True

    def prepare(self):
        raise Impossible("no importer of ONNX models for current JAX")
