"""What bench/run wants of an engine: the interface that every adapter in this folder implements.

SPDX-License-Identifier: Apache-2.0
"""

import dataclasses
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys

import numpy as np


class Impossible(Exception):
    """An engine cannot run a model, for the reason given; it is listed with it."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One model for one engine."""

    model: str    # name in index.json
    onnx: str     # path of the model file
    entry: dict   # its entry in index.json
    folder: str   # for the engine's own files; exists
    options: dict  # of the command line: "ingot", "target", ...

    def path(self, name):
        return os.path.join(self.folder, name)

    def inputs(self):
        return [value["name"] for value in self.entry["inputs"]]

    def outputs(self):
        return [value["name"] for value in self.entry["outputs"]]


class Engine:
    """One model in one engine. Methods are called in the order in which they stand here."""

    package = None         # distribution whose version is reported and whose libraries count
    needs_prepare = False  # prepare() does something
    per_threads = False    # what prepare() writes is for one number of threads
    timeout = 900          # seconds that prepare() may take

    def __init__(self, job, threads):
        self.job, self.threads = job, threads

    @classmethod
    def version(cls, _options):
        try:
            return importlib.metadata.version(cls.package)
        except importlib.metadata.PackageNotFoundError as problem:
            raise Impossible(f"{cls.package} is not installed") from problem

    def cache_key(self):
        """What a prepared model depends on beside model, version and adapter."""
        return ""

    def tools(self):
        """Imports what prepare() needs, so that it is not timed."""

    def prepare(self):
        """Ahead of time, in a process of its own: writes what load() reads into the job's folder."""

    def files(self):
        """The files that load() reads: they are the artefact."""
        return [self.job.onnx]

    def load_code(self):
        """Imports the engine: what a program needs that runs models. Not timed, but its memory counts."""

    def load(self, inputs):
        """Everything up to the first run. `inputs`: name -> array; they stay where they are."""
        raise NotImplementedError

    def run(self):
        """One inference on the inputs that load() bound, by the cheapest call that the engine has."""
        raise NotImplementedError

    def outputs(self):
        """Results of the last run, name -> array, by the model's names."""
        raise NotImplementedError


def command(arguments, folder=None):
    """Runs a tool; Impossible with the end of what it said if it fails."""
    try:
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    except OSError as problem:
        raise Impossible(str(problem)) from problem
    if done.returncode:
        said = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
        wrong = [line for line in said if "error" in line.lower() or "fail" in line.lower()] or said[-1:]
        how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
        raise Impossible(f"{os.path.basename(arguments[0])}: {how}: {wrong[0][:300] if wrong else 'no message'}")
    return done.stdout


def venv_tool(name):
    """Path of a program of the virtual environment."""
    path = os.path.join(os.path.dirname(sys.executable), name)
    return path if os.path.exists(path) else shutil.which(name) or name


# The environment of the tools that insist on old packages; see bench/peers.
CONVERTER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ".venv-litert", "bin")


def simplified(job):
    """The model with constants folded and all shapes inferred, for importers that need that."""
    path = job.path("simplified.onnx")
    command([os.path.join(CONVERTER, "python"), "-m", "onnxsim", job.onnx, path])
    return path


def relative_error(got, want):
    """Normwise, in f64; infinite where a value is not finite or the sizes differ."""
    got, want = np.asarray(got, np.float64).ravel(), np.asarray(want, np.float64).ravel()
    if got.size != want.size or not np.isfinite(got).all():
        return float("inf")
    return float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-300))
