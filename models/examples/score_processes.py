# score_processes.py: scores files of a data set on all processors, a process each; the same map runs on Ray or Spark.
# SPDX-License-Identifier: Apache-2.0
#
#   python3 score_processes.py LIB OUTPUT_DIR SHARD.npy...      shards: images[n, 1, 28, 28], f32
#   python3 score_processes.py --ray LIB OUTPUT_DIR SHARD.npy...
#
# A worker opens the library once; its weights are pages of one file, which all processes of a machine share. Shards are
# independent, results are files of their own, and a shard that is there already is not scored again: a run that was
# interrupted goes on where it stopped. On Spark: sc.parallelize(shards).map(lambda s: score(lib, out, s)).
import multiprocessing
import os
import sys
import time
from pathlib import Path

import numpy as np

import ingot

BATCH = 64


contexts = {}  # of this process, by library; a plain dict, since Ray and Spark send this file's functions by value


def context(lib):
    if lib not in contexts:
        contexts[lib] = ingot.load(lib).context(threads=1)
    return contexts[lib]


def score(lib, out, shard):
    """Writes the best class of every image of a shard; returns how many were scored."""
    result = Path(out) / Path(shard).name
    if result.exists():
        return 0
    images, run = np.load(shard, mmap_mode="r"), context(lib)
    best = [run(images[i:i + BATCH]).argmax(axis=1) for i in range(0, len(images), BATCH)]
    partial = result.with_suffix(f".{os.getpid()}.npy")
    np.save(partial, np.concatenate(best).astype(np.int32))
    partial.rename(result)
    return len(images)


def with_ray(jobs):
    import ray
    task = ray.remote(num_cpus=1)(score)
    return ray.get([task.remote(*job) for job in jobs])


def with_processes(jobs):
    with multiprocessing.get_context("spawn").Pool() as pool:
        return pool.starmap(score, jobs, chunksize=1)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--ray"]
    lib, out, *shards = [str(Path(a).resolve()) for a in arguments]  # workers may run in other folders
    Path(out).mkdir(exist_ok=True)
    run = with_processes
    if "--ray" in sys.argv:
        import ray
        ray.init(log_to_driver=False)  # a cluster of this machine, or that of RAY_ADDRESS; not part of the time below
        run = with_ray
    start = time.perf_counter()
    scored = sum(run([(lib, out, s) for s in shards]))
    seconds = time.perf_counter() - start
    print(f"{scored} images of {len(shards)} shards, {scored / seconds:.0f} a second")


if __name__ == "__main__":
    main()
