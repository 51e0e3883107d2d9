# setup.py: puts the loader library and the compiler, built by CMake, into the wheel.
# SPDX-License-Identifier: Apache-2.0
#
# INGOT_BUILD names the build folder (default: build/ of the source tree). Without one the wheel holds the Python files
# only and finds an installed ingot.
import os
import re
import shutil
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("INGOT_BUILD", HERE / "../../build"))
FILES = {BUILD / "runtime/libingot.so": "libingot.so", BUILD / "tools/ingot": "bin/ingot"}


def version():
    cmake = HERE / "../../CMakeLists.txt"
    return re.search(r"project\(ingot VERSION ([0-9.]+)", cmake.read_text())[1]


class Build(build_py):
    def run(self):
        super().run()
        for source, name in FILES.items():
            if not source.exists():
                continue
            target = Path(self.build_lib) / "ingot" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


class Binary(Distribution):
    def has_ext_modules(self):
        return any(source.exists() for source in FILES)


setup(version=version(), cmdclass={"build_py": Build}, distclass=Binary)
