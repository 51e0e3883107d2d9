#!/bin/sh
# run.sh: fuzzes a reader with libFuzzer, ASan and UBSan: run.sh FORMAT FOLDER SECONDS [OPTION...].
# SPDX-License-Identifier: Apache-2.0
#
# FORMAT is yaml, ir, npy, weights or library. FOLDER is for the build and the corpus and can be used again; the corpus
# starts from the project's own files. Inputs that crash, hang or need too much end up in FOLDER/found. Needs what the
# build needs and, on Debian 12, clang-19 and libclang-rt-19-dev; CC names another clang.
set -eu
format=$1 out=$2 seconds=$3
shift 3
clang=${CC:-$(command -v clang-19 || echo clang)}
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$out/corpus" "$out/found"
start() { for file; do [ -f "$file" ] && cp "$file" "$out/corpus/"; done; true; }
case $format in
yaml) start "$root"/models/lenet_fashion.yaml "$root"/models/lstm_tagger.yaml "$root"/tests/cli/*.yaml ;;
ir) start "$root"/tests/fuzz/regressions/*.ing "$root"/tests/golden/*.ing ;;
esac
start "$root/tests/fuzz_parsers/seeds/$format."* "$root/tests/fuzz_parsers/found/$format."*
flags="-g -O1 -D_GNU_SOURCE -std=c11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined"
# shellcheck disable=SC2046,SC2086
$clang $flags -DFORMAT="\"$format\"" -I"$root" -I"$root/runtime" $(pkg-config --cflags libcjson) -o "$out/fuzz" \
  "$root"/tests/fuzz_parsers/target.c "$root"/frontend/*.c "$root"/ir/*.c "$root"/runtime/elf.c \
  "$root"/runtime/loader.c $(pkg-config --libs yaml-0.1 zlib libcjson libxxhash) -ldl -lm
cd "$out/found"
exec ../fuzz "$@" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 ../corpus
