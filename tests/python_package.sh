#!/bin/sh
# python_package.sh: the Python package as a wheel, installed into a folder of its own, and used.
# SPDX-License-Identifier: Apache-2.0
#
#   python_package.sh BUILD_DIR SOURCE_DIR      exit code 77: no Python with numpy
#
# The wheel is made where scikit-build-core and pip are; without them the package is used as it lies in the sources.
# PYTHON names the interpreter.
set -eu
build=$1 source=$2
python=${PYTHON:-}
for p in $python /usr/bin/python3 python3; do
  if "$p" -c 'import numpy' 2>/dev/null; then python=$p; break; fi
  python=
done
[ -n "$python" ] || { echo "skipped: no Python with numpy"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if "$python" -c 'import scikit_build_core, pip' 2>/dev/null; then
  mkdir "$work/tree" "$work/tree/tools"
  cp -r "$source/tools/python" "$work/tree/tools/python"
  cp "$source/CMakeLists.txt" "$source/pyproject.toml" "$source/README.md" "$work/tree/"
  "$python" -m pip wheel --quiet --no-build-isolation --no-deps --no-index -w "$work/wheel" \
    -C cmake.define.INGOT_BUILD="$build" "$work/tree" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  "$python" -m pip install --quiet --no-deps --no-index --target "$work/site" "$work"/wheel/*.whl >"$work/log" 2>&1 ||
    { cat "$work/log"; exit 1; }
  [ -x "$work/site/ingot/bin/ingot" ] && [ -e "$work/site/ingot/libingot.so" ] || { echo "the wheel is not whole"; exit 1; }
else
  echo "no wheel: scikit-build-core is not installed"
  export INGOT="$build/tools/ingot" INGOT_LOADER="$build/runtime/libingot.so"
  mkdir "$work/site" && cp -r "$source/tools/python/ingot" "$work/site/"
fi
cd "$work"
export PYTHONPATH=$work/site${PYTHONPATH:+:$PYTHONPATH}
"$python" "$source/tests/python_package.py" "$source"
"$python" "$source/models/examples/predict.py" "$source/models/lenet_fashion.yaml" | grep '^class 8: 1.11$'

# The examples that score a data set: interrupted work goes on, and inside a database where it is installed.
"$build/tools/ingot" compile "$source/models/lenet_fashion.yaml" -o libnet.so
"$python" -c 'import numpy as np
for i in range(2): np.save(f"shard{i}.npy", np.random.default_rng(i).random((100, 1, 28, 28), np.float32))'
"$python" "$source/models/examples/score_processes.py" ./libnet.so scored shard0.npy | grep '^100 images'
"$python" "$source/models/examples/score_processes.py" ./libnet.so scored shard0.npy shard1.npy | grep '^100 images'
if "$python" -c 'import ray' 2>/dev/null; then
  "$python" "$source/models/examples/score_processes.py" --ray ./libnet.so by_ray shard0.npy shard1.npy | grep '^200 images'
  cmp by_ray/shard0.npy scored/shard0.npy
fi
if "$python" -c 'import duckdb, pyarrow' 2>/dev/null; then
  "$python" "$source/models/examples/score_duckdb.py" ./libnet.so 3000 | grep 'inside DuckDB'
fi
