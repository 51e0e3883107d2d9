#!/bin/sh
# python_package.sh: the Python package as a wheel, installed into a folder of its own, and used.
# SPDX-License-Identifier: Apache-2.0
#
#   python_package.sh BUILD_DIR SOURCE_DIR      exit code 77: no Python with numpy, setuptools, wheel and pip
set -eu
build=$1 source=$2
python=${PYTHON:-}
for p in $python /usr/bin/python3 python3; do
  if "$p" -c 'import numpy, setuptools, wheel, pip' 2>/dev/null; then python=$p; break; fi
  python=
done
[ -n "$python" ] || { echo "skipped: no Python with numpy, setuptools, wheel and pip"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree" "$work/tree/tools"
cp -r "$source/tools/python" "$work/tree/tools/python" # what setuptools leaves behind stays out of the sources
cp "$source/CMakeLists.txt" "$work/tree/"
INGOT_BUILD=$build "$python" -m pip wheel --quiet --no-build-isolation --no-deps --no-index -w "$work/wheel" \
  "$work/tree/tools/python" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$python" -m pip install --quiet --no-deps --no-index --target "$work/site" "$work"/wheel/*.whl >"$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }
cd "$work"
PYTHONPATH=$work/site "$python" "$source/tests/python_package.py" "$source"
