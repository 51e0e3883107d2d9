"""One engine with one model in a process of its own, driven by bench/run through a pipe.

SPDX-License-Identifier: Apache-2.0

    worker.py REQUEST            # JSON: engine, model, onnx, entry, folder, options, threads, cpus

Reads requests from stdin, one JSON object a line, and answers each with one on what was its stdout; whatever
an engine prints goes to stderr. Requests: prepare, load, slice, finish.
"""

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time

import numpy as np

from engines import engine_class
from engines.base import Impossible, Job, relative_error

KEPT = 512  # samples of a slice that are handed back, evenly spaced in order of size


def status_mb(field):
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith(field + ":"))


def reset_peak():
    with open("/proc/self/clear_refs", "w", encoding="ascii") as f:
        f.write("5")


def code_files():
    """Files of which code is mapped."""
    with open("/proc/self/maps", encoding="utf-8") as f:
        rows = [line.split(maxsplit=5) for line in f]
    return {row[5].strip() for row in rows if len(row) == 6 and "x" in row[1] and row[5].startswith("/")}


def aligned(array):
    """A copy that begins at a multiple of 64 bytes, as every engine likes it best."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start:start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def milliseconds(function):
    start = time.perf_counter_ns()
    function()
    return (time.perf_counter_ns() - start) / 1e6


def read_through(path):
    """So that the file is in the page cache."""
    with open(path, "rb") as f:
        while f.read(1 << 20):
            pass


class Worker:
    def __init__(self, request):
        os.sched_setaffinity(0, request["cpus"])
        fields = ("model", "onnx", "entry", "folder", "options")
        self.job = Job(**{key: request[key] for key in fields})
        self.engine = engine_class(request["engine"])(self.job, request["threads"])

    def prepare(self, _):
        self.engine.tools()
        ms = milliseconds(self.engine.prepare)
        usage = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return {"seconds": ms / 1e3, "peak_mb": max(usage)}

    def load(self, _):
        """Load and first run, with memory and sizes: all that is measured once."""
        data = np.load(os.path.splitext(self.job.onnx)[0] + ".npz")
        self.want = {name: data[f"out.{name}"] for name in self.job.outputs()}
        # Kept: engines read them where they are.
        self.inputs = {name: aligned(data[f"in.{name}"]) for name in self.job.inputs()}
        del data
        for path in self.engine.files():
            read_through(path)
        code, base = code_files(), status_mb("VmRSS")
        reset_peak()
        import_ms = milliseconds(self.engine.load_code)
        load_ms = milliseconds(lambda: self.engine.load(self.inputs))
        first_ms = milliseconds(self.engine.run)
        second_ms = milliseconds(self.engine.run)
        peak = status_mb("VmHWM") - base
        artefact = [os.path.realpath(path) for path in self.engine.files()]
        libraries = {path for path in code_files() - code if os.path.realpath(path) not in artefact}
        return {"import_ms": import_ms, "load_ms": load_ms, "first_ms": first_ms, "second_ms": second_ms,
                "peak_mb": peak, "error": self.error(),
                "artefact_bytes": sum(map(os.path.getsize, artefact)),
                "runtime_bytes": sum(os.path.getsize(path) for path in libraries if os.path.exists(path)),
                "libraries": sorted(libraries)}

    def error(self):
        """Largest normwise relative error of an output against the stored result."""
        got = self.engine.outputs()
        return max(relative_error(got[name], want) for name, want in self.want.items())

    def slice(self, request):
        """Runs for some seconds after warming up for a fifth of that; the times in ns, in order of size."""
        run, clock, times = self.engine.run, time.perf_counter_ns, []
        span = int(request["seconds"] * 1e9)
        gc.collect()
        gc.disable()
        end = clock() + span // 5
        run()
        while clock() < end:
            run()
        now = clock()
        end = now + span
        while now < end:
            before = clock()
            run()
            now = clock()
            times.append(now - before)
        gc.enable()
        times.sort()
        step = max(1, len(times) // KEPT)
        return {"count": len(times), "median_ns": times[len(times) // 2], "times_ns": times[step // 2::step]}

    def finish(self, _):
        """What is measured when all is done: is the result still right, how much memory was used at most."""
        return {"error": self.error(), "steady_mb": status_mb("VmRSS")}


def limit_memory(gigabytes):
    """An engine that runs wild must fail by itself, and not take the machine along."""
    most = int(gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:
        f.write("1000")


def die_with_parent():
    """Ends this process when bench/run ends, however that comes; it may be stopped at the time."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main():
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    limit_memory(json.loads(sys.argv[1])["options"]["memory"])
    worker = Worker(json.loads(sys.argv[1]))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request["do"])(request)
        except Impossible as problem:
            answer = {"failed": str(problem)}
        except Exception as problem:  # an engine may raise what it likes: it is reported
            text = " ".join(str(problem).split())
            answer = {"failed": f"{type(problem).__name__}: {text[:400]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # some engines crash or hang when Python tears them down


if __name__ == "__main__":
    main()
