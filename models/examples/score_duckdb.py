# score_duckdb.py: a compiled model as a SQL function: scores a table of images inside DuckDB.
# SPDX-License-Identifier: Apache-2.0
#
#   python3 score_duckdb.py LIB [ROWS]        LIB from `ingot compile models/lenet_fashion.yaml`; pip: duckdb pyarrow
#
# DuckDB calls the function with vectors of up to 2048 rows, from as many threads as it likes; each thread has a context
# of its own, so that no thread waits for another. The rows reach the model without a copy where Arrow has them dense.
import sys
import threading
import time

import duckdb
import numpy as np
import pyarrow as pa

import ingot

BATCH = 64  # the bound of N in the model


def classifier(model):
    local = threading.local()

    def classify(images):
        if not hasattr(local, "context"):
            local.context = model.context(threads=1)
        images = images.combine_chunks() if isinstance(images, pa.ChunkedArray) else images
        pixels = images.flatten().to_numpy(zero_copy_only=False).reshape(-1, 1, 28, 28)
        best = [local.context(pixels[i:i + BATCH]).argmax(axis=1) for i in range(0, len(pixels), BATCH)]
        return pa.array(np.concatenate(best).astype(np.int32))

    return classify


def main():
    model = ingot.load(sys.argv[1])
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    db = duckdb.connect()
    db.create_function("classify", classifier(model), ["FLOAT[784]"], "INTEGER", type="arrow")
    pixels = np.random.default_rng(1).random(rows * 784, np.float32)
    images = pa.FixedSizeListArray.from_arrays(pa.array(pixels), 784)
    scans = pa.table({"id": np.arange(rows), "image": images})  # noqa: F841 (DuckDB finds it by name)
    db.execute("create table pictures as select * from scans")
    start = time.perf_counter()
    result = db.execute("select classify(image) as class, count(*) as n from pictures group by class order by class")
    counts = result.fetchall()
    seconds = time.perf_counter() - start
    want = np.concatenate([model(pixels.reshape(-1, 1, 28, 28)[i:i + BATCH]).argmax(axis=1) for i in range(0, rows, BATCH)])
    assert counts == sorted((int(c), int(n)) for c, n in zip(*np.unique(want, return_counts=True))), "other classes"
    for c, n in counts:
        print(f"class {c}: {n} images")
    print(f"{rows / seconds:.0f} rows a second inside DuckDB")


if __name__ == "__main__":
    main()
