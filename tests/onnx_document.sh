#!/bin/sh
# onnx_document.sh: docs/onnx-support.md is what onnx_conformance makes; "onnx_document.sh PROGRAM SOURCE --write".
# SPDX-License-Identifier: Apache-2.0
set -eu
made=$("$1" --document "--trained=$2/tests/onnx_trained.md" "--known=$2/tests/onnx_known.txt" \
  "--known=$2/tests/onnx_known_1_22.txt")
if [ "${3:-}" = --write ]; then
  printf '%s\n' "$made" >"$2/docs/onnx-support.md"
elif [ "$made" != "$(cat "$2/docs/onnx-support.md")" ]; then
  echo "docs/onnx-support.md is not up to date: run tests/onnx_document.sh $1 $2 --write"
  exit 1
fi
