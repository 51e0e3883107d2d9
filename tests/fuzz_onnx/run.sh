#!/bin/sh
# run.sh: fuzzes the ONNX reader and importer with libFuzzer, ASan and UBSan: run.sh FOLDER SECONDS [DATA [OPTION...]].
# SPDX-License-Identifier: Apache-2.0
#
# FOLDER is for the build and the corpus and can be used again. DATA holds ONNX's backend test data, the first corpus.
# Needs what the build needs and, on Debian 12, the packages clang-19, libclang-rt-19-dev and libonnx-testdata; CC names
# another clang.
set -eu
out=$1
seconds=$2
data=${3:-/usr/share/libonnx-testdata/data}
clang=${CC:-$(command -v clang-19 || echo clang)}
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$out/corpus" "$out/found"
if [ -z "$(ls "$out/corpus")" ]; then
  find "$data/node" "$data/simple" -name model.onnx -size -4k | while read -r model; do
    cp "$model" "$out/corpus/$(basename "$(dirname "$model")")"
  done
  cp "$root"/tests/fuzz_onnx/found/*.onnx "$out/corpus"
fi
flags="-g -O1 -D_GNU_SOURCE -std=c11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined"
# shellcheck disable=SC2046,SC2086
$clang $flags -I"$root" $(pkg-config --cflags libcjson) -o "$out/fuzz_onnx" "$root"/tests/fuzz_onnx/target.c \
  "$root"/frontend/*.c "$root"/ir/*.c $(pkg-config --libs yaml-0.1 zlib libcjson libxxhash) -lm
cd "$out/found"
shift $(($# < 3 ? $# : 3))
exec ../fuzz_onnx "$@" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -max_len=8192 -print_final_stats=1 ../corpus
