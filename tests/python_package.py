# python_package.py: the Python package: compiling, running on numpy arrays without copies, errors, threads.
# SPDX-License-Identifier: Apache-2.0
#   python_package.py SOURCE_DIR      with INGOT and INGOT_LOADER set, or the package installed
import sys
import threading
from pathlib import Path

import numpy as np

source = Path(sys.argv[1])
if len(sys.argv) > 2:
    sys.path.insert(0, str(source / "tools/python"))
import ingot  # noqa: E402


def fails(text, call):
    try:
        call()
    except ingot.Error as e:
        assert text in str(e), e
    else:
        raise AssertionError(f"no error: {text}")


net = ingot.compile(source / "models/lenet_fashion.yaml")
assert net.inputs[0] == ("image", np.dtype("float32"), (("N", 64), 1, 28, 28)), net.inputs
rng = np.random.default_rng(1)
image = rng.random((3, 1, 28, 28), np.float32)
scores = net(image)
assert scores.shape == (3, 10) and np.isfinite(scores).all()
# Tiles of fewer rows have more sums side by side, which are added at the end: rows of other batches differ in the last
# places (1.1e-7 of the largest value here), and are equal where the tiles are.
difference = np.abs(net(image=image[1:2]) - scores[1:2]).max()
assert difference <= 5e-7 * np.abs(scores).max(), difference
room = np.empty((3, 10), np.float32)
named = net.context(threads=1).run(image, out={"logits": room})
assert np.shares_memory(named["logits"], room) and np.array_equal(room, scores)
assert np.array_equal(net(np.asfortranarray(image)), scores)  # copied
assert np.array_equal(net.context(threads=2, spin=50, warm=True).run(image)["logits"], scores)
again = net.context(threads=2, cpus=[0], spin=False)
again.run(image)
assert again._bound[0] is image or np.shares_memory(again._bound[0], image)
fails("wants float32", lambda: net(image.astype(np.float64)))
fails("at most 64", lambda: net(np.zeros((65, 1, 28, 28), np.float32)))
fails("no input 'x'", lambda: net(x=image))
fails("was not set", lambda: net.context().run())
fails("unknown target", lambda: ingot.compile(source / "models/lenet_fashion.yaml", target="pdp11"))
fails("not a shared library", lambda: ingot.load(source / "README.md"))
fails("no form for", lambda: net.context(isa="pdp11"))

odd = np.frombuffer(b"x" + image.tobytes(), np.float32, offset=1).reshape(image.shape)
assert not odd.flags.aligned and np.array_equal(net(odd), scores)  # copied

# One context in two threads at once: the second is refused in words, the first computes what it would.
shared, codes = net.context(threads=1), []
def crowd():
    for _ in range(200):
        try:
            assert np.array_equal(shared.run(image)["logits"], scores)
        except ingot.Error as e:
            codes.append(str(e))
threads = [threading.Thread(target=crowd) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert codes and all("in use by another thread" in c for c in codes), codes[:3]
shared.run(image)

results = {}
def work(k):
    results[k] = net.context(threads=1).run(image)["logits"]
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert all(np.array_equal(r, scores) for r in results.values()) and len(results) == 4
small = ingot.compile(source / "tests/cli/small.yaml", O=0, name="tiny")
assert small.name == "tiny" and small(np.ones((1, 4), np.float32)).shape == (1, 4)
assert "kernels" in small.metadata
print("fine")
