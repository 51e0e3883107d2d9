#!/bin/sh
# onnx_1_22.sh: runs the backend test data of PyPI's onnx 1.22.0 (and ONNX Runtime's results for com.microsoft).
# SPDX-License-Identifier: Apache-2.0
#
#   tests/onnx_1_22.sh BUILD [ENGINE...]     downloads into BUILD/onnx-1.22; engines: evaluate O0 O2
#   tests/onnx_1_22.sh BUILD keep            writes tests/onnx_recent.tar.xz, for ctest
#
# What is kept are the small cases of operators that are newer than Debian's data (libonnx-testdata), or that have changed;
# they are a part of onnx 1.22.0, Copyright (c) ONNX Project Contributors, and under the same license as this project.
#
# Needs Python and the network; where the packages onnx and onnxruntime are installed for $PYTHON, com.microsoft is
# checked, too.
set -eu
build=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
folder=$build/onnx-1.22
if [ ! -d "$folder/onnx/backend/test/data" ]; then
  mkdir -p "$folder"
  "$python" -m pip download -q --no-deps --only-binary :all: -d "$folder" onnx==1.22.0
  "$python" -m zipfile -e "$folder"/onnx-1.22.0-*.whl "$folder"
fi
data=$folder/onnx/backend/test/data

# Small cases of data/node that Debian has not and that pass: not those written out in older operators, nor the many of
# arithmetic and casts in further types.
recent() {
  (cd "$data/node" && du -sb -- *) | sort -k 2 | while read -r size name; do
    case $name in *_expanded* | test_cast_* | test_castlike_* | test_bitwise_* | test_less_* | test_greater_* | test_equal_*) continue ;; esac
    case $name in test_add_* | test_sub_* | test_mul_* | test_div_* | test_string_* | test_image_* | test_ai_onnx_*) continue ;; esac
    [ -d "/usr/share/libonnx-testdata/data/node/$name" ] || [ "$size" -gt 20000 ] || grep -q "^$name:" "$here/onnx_known_1_22.txt" ||
      echo "$name"
  done
}
if [ "${1:-}" = keep ]; then
  recent | tar -cJf "$here/onnx_recent.tar.xz" --sort=name --owner=0 --group=0 --mtime=@0 -C "$data/node" -T -
  exit
fi
status=0
for engine in ${*:-evaluate O2}; do
  # shellcheck disable=SC2046  # the light models take the evaluator too long
  "$build/tests/onnx_conformance" "--engine=$engine" "--known=$here/onnx_known_1_22.txt" "$data/node" \
    "$data/pytorch-converted" "$data/pytorch-operator" "$data/simple" $([ "$engine" = evaluate ] || echo "$data/light") || status=1
done
if "$python" -c 'import onnx, onnxruntime' 2>/dev/null; then
  "$python" "$here/onnx_contrib.py" "$folder/contrib"
  for engine in ${*:-evaluate O2}; do
    "$build/tests/onnx_conformance" "--engine=$engine" --list --atol=1e-5 --steps=1 "$folder/contrib" || status=1
  done
fi
exit $status
