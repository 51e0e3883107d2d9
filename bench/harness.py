"""Preparing models for engines, and timing engines in turns.

SPDX-License-Identifier: Apache-2.0

Every engine has a process of its own for each model and number of threads (worker.py). All use the same
processors and take turns: one slice of time each, round after round, so that a clock that drifts meets all
alike. Who is not at turn is stopped by SIGSTOP, so that no spinning thread disturbs.
"""

import hashlib
import inspect
import json
import os
import random
import select
import shutil
import signal
import statistics
import subprocess
import sys

from engines import engine_class
from engines.base import Impossible

HERE = os.path.dirname(os.path.abspath(__file__))
LOAD_TIMEOUT, SLICE_TIMEOUT = 600, 300  # seconds


class Failed(Exception):
    """A worker could not do what was asked, for the reason given."""


class Process:
    """A worker, seen from outside."""

    def __init__(self, engine, job, threads, cpus):
        request = {"engine": engine, "threads": threads, "cpus": cpus, **vars(job)}
        self.log = job.path("worker.log")
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONDONTWRITEBYTECODE": "1"}
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, os.path.join(HERE, "worker.py"), json.dumps(request)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, text=True, env=environment, start_new_session=True)

    def ask(self, do, timeout, **details):
        """The answer to one request. The process sleeps before and after."""
        os.killpg(self.process.pid, signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps({"do": do, **details}) + "\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], timeout)
            line = self.process.stdout.readline() if ready else None
        except BrokenPipeError:
            line = ""
        if not line:
            reason = f"no answer within {timeout} s" if line is None else self.death()
            self.close()
            raise Failed(reason)
        os.killpg(self.process.pid, signal.SIGSTOP)
        answer = json.loads(line)
        if "failed" in answer:
            self.close()
            raise Failed(answer["failed"])
        return answer

    def death(self):
        code = self.process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        with open(self.log, encoding="utf-8", errors="replace") as f:
            said = [line.strip() for line in f if line.strip()]
        return f"{how}: {said[-1][:300]}" if said else how

    def close(self):
        """Ends the worker and what it started; nothing is left to save."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


# ---- ahead of time -------------------------------------------------------------------------------

def digest(engine, job):
    """What a prepared model depends on: engine, adapter, model file, options."""
    file = os.stat(job.onnx)
    with open(inspect.getsourcefile(engine), "rb") as f:
        parts = [engine.version(job.options).encode(), f.read(), str((file.st_size, file.st_mtime_ns)).encode(),
                 engine(job, 1).cache_key().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def prepare(name, job, threads, cpus, fresh=False):
    """Compiles or converts the model unless it is there, on all processors given. Raises Impossible with the reason if it cannot be."""
    engine = engine_class(name)
    engine.version(job.options)  # is it installed?
    if not engine.needs_prepare:
        os.makedirs(job.folder, exist_ok=True)
        return {}
    key, record = digest(engine, job), job.path("prepared.json")
    if not fresh and os.path.exists(record):
        with open(record, encoding="utf-8") as f:
            done = json.load(f)
        if done["key"] == key:
            return outcome(done)
    shutil.rmtree(job.folder, ignore_errors=True)
    os.makedirs(job.folder)
    process = Process(name, job, threads, cpus)
    try:
        done = {"key": key, **process.ask("prepare", engine.timeout)}
    except Failed as problem:
        done = {"key": key, "failed": str(problem)}
    process.close()
    with open(record, "w", encoding="utf-8") as f:
        json.dump(done, f)
    return outcome(done)


def outcome(done):
    if "failed" in done:
        raise Impossible(done["failed"])
    return {"compile_s": done["seconds"], "compile_mb": done["peak_mb"]}


# ---- turns ---------------------------------------------------------------------------------------

class Contender:
    """One engine in one contest: its process and what was measured of it."""

    def __init__(self, name, job, threads, cpus, prepared):
        self.name, self.result = name, {"status": "ok", **prepared}
        self.slices = {}  # round -> what the worker said
        self.process = Process(name, job, threads, cpus)
        self.ask("load", LOAD_TIMEOUT, self.result.update)

    def ask(self, do, timeout, then, **details):
        """Asks the worker, if it is still in the contest; failure ends its part."""
        if self.result["status"] != "ok":
            return
        try:
            then(self.process.ask(do, timeout, **details))
        except Failed as problem:
            self.result |= {"status": "failed", "reason": str(problem)}

    def time(self, number, seconds):
        self.ask("slice", SLICE_TIMEOUT, lambda got: self.slices.update({number: got}), seconds=seconds)

    def median(self):
        return statistics.median(s["median_ns"] for s in self.slices.values())

    def finish(self, tolerance):
        """Ends the process and returns the engine's entry for the report."""
        loaded = self.result.get("error")
        self.ask("finish", LOAD_TIMEOUT, self.result.update)
        self.process.close()
        if self.result["status"] == "ok":
            self.result["error"] = max(loaded, self.result["error"])
            if not self.result["error"] <= tolerance:
                self.result |= {"status": "wrong", "reason": f"wrong result: error {self.result['error']:.1e}"}
        if self.slices:
            self.result |= self.times()
        return self.result

    def times(self):
        pooled = sorted(t / 1e6 for s in self.slices.values() for t in s["times_ns"])

        def at(share):
            return pooled[min(len(pooled) - 1, int(share * len(pooled)))]
        return {"median_ms": self.median() / 1e6, "p10_ms": at(0.1), "p90_ms": at(0.9), "min_ms": pooled[0],
                "runs": sum(s["count"] for s in self.slices.values()),
                "rounds": {number: s["median_ns"] / 1e6 for number, s in self.slices.items()}}


def contest(jobs, prepared, threads, cpus, limits, settings, progress):
    """Times one model in all engines: `jobs` and what came of preparing them, by name. Returns (results by engine, log of the machine by round)."""
    contenders, log, order = [], [limits.speed()], random.Random(settings.seed)
    for name, job in jobs.items():
        progress(f"load {name}")
        contenders.append(Contender(name, job, threads, cpus, prepared[name]))
        loaded = contenders[-1].result
        if loaded["status"] == "ok" and not loaded["error"] <= settings.tolerance:
            loaded |= {"status": "wrong", "reason": f"wrong result: error {loaded['error']:.1e}"}
    for number in range(settings.rounds):
        racing = [c for c in contenders if c.result["status"] == "ok" and not too_slow(c, contenders, settings)]
        order.shuffle(racing)
        progress(f"round {number + 1} of {settings.rounds}, {len(racing)} engines")
        log.append(limits.speed())
        for contender in racing:
            contender.time(number, settings.seconds)
    return {c.name: c.finish(settings.tolerance) for c in contenders}, log


def too_slow(contender, contenders, settings):
    """An engine that is far behind after two rounds is timed no more: its figures stand."""
    if len(contender.slices) < 2 or not settings.drop:
        return False
    best = min(c.median() for c in contenders if c.slices)
    return contender.median() > settings.drop * best
