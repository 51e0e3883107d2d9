#!/bin/sh
# run.sh: fuzzes the readers with libFuzzer and AFL++, ASan and UBSan.
# SPDX-License-Identifier: Apache-2.0
#
#     tests/fuzz_parsers/run.sh FORMAT FOLDER SECONDS     # FORMAT: yaml, ir, npy, weights, library, onnx; or all
#     tests/fuzz_parsers/run.sh FORMAT FOLDER keep        # puts the corpus, minimised, into corpus/FORMAT.tar.xz
#
# ENGINE names what searches: libfuzzer, afl, or both (the default; each has half of the time). With `all`, formats share
# the time. FOLDER is for the builds and the corpora and can be used again; a corpus starts from the project's own files
# and the one that is kept. Inputs that crash, hang or need too much end up in FOLDER/FORMAT/found, and the exit code is 1.
# Needs what the build needs and, on Debian 12, clang-19, libclang-rt-19-dev, afl++ (for its half) and libonnx-testdata
# (for ONNX's first corpus); CC names another clang.
set -eu
format=$1 folder=$2 seconds=$3 engine=${ENGINE:-both}
clang=${CC:-$(command -v clang-19 || echo clang)}
root=$(cd "$(dirname "$0")/../.." && pwd)
formats="yaml ir npy weights library onnx"
data=/usr/share/libonnx-testdata/data

if [ "$format" = all ]; then
  failed=0
  for one in $formats; do
    [ "$seconds" = keep ] && share=keep || share=$((seconds / 6))
    "$0" "$one" "$folder" "$share" || failed=1
  done
  exit $failed
fi

mkdir -p "$folder/$format/corpus" "$folder/$format/found"
folder=$(cd "$folder" && pwd)
out=$folder/$format
start() { for file; do [ -f "$file" ] && cp -n "$file" "$out/corpus/"; done; true; }
kept=$root/tests/fuzz_parsers/corpus/$format.tar.xz
[ -f "$kept" ] && tar -xf "$kept" -C "$out/corpus"
case $format in
yaml) start "$root"/models/lenet_fashion.yaml "$root"/models/lstm_tagger.yaml "$root"/tests/cli/*.yaml ;;
ir) start "$root"/tests/fuzz/regressions/*.ing "$root"/tests/golden/*.ing ;;
onnx)
  start "$root"/tests/fuzz_onnx/found/*.onnx
  [ -d "$data" ] && find "$data/node" "$data/simple" -name model.onnx -size -4k | while read -r model; do
    cp -n "$model" "$out/corpus/$(basename "$(dirname "$model")")"
  done
  ;;
esac
start "$root/tests/fuzz_parsers/seeds/$format."* "$root/tests/fuzz_parsers/found/$format."*

# library COMPILER NAME: the readers, for all formats, as FOLDER/NAME.a, unless it is newer than its sources.
library() {
  all="$root/frontend $root/ir $root/runtime/elf.c $root/runtime/loader.c $root/runtime/*.h"
  # shellcheck disable=SC2086
  [ -f "$folder/$2.a" ] && [ -z "$(find $all -name '*.[ch]' -newer "$folder/$2.a")" ] && return
  rm -rf "$folder/$2.a" "$folder/$2.objects"
  mkdir -p "$folder/$2.objects"
  # shellcheck disable=SC2038,SC2086
  find $all -name '*.c' | xargs -P "$(nproc)" -I FILE sh -c \
    "$1 $flags -c -o \"$folder/$2.objects/\$(echo FILE | tr / _).o\" FILE" || exit 1
  ar rcs "$folder/$2.a" "$folder/$2.objects"/*.o
}

# build COMPILER NAME: the target as a program of that engine.
build() {
  target=$root/tests/fuzz_parsers/target.c
  [ "$format" = onnx ] && target=$root/tests/fuzz_onnx/target.c
  flags="-g -O1 -D_GNU_SOURCE -std=c11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined"
  flags="$flags -I$root -I$root/runtime $(pkg-config --cflags libcjson)"
  library "$1" "$2"
  # shellcheck disable=SC2046,SC2086
  $1 $flags -DFORMAT="\"$format\"" -o "$out/$2" "$target" "$folder/$2.a" $(pkg-config --libs yaml-0.1 zlib libcjson libxxhash) -ldl -lm
}

libfuzzer() {
  build "$clang" fuzz
  (cd "$out/found" && ../fuzz -max_total_time="$1" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 ../corpus)
}

afl() {
  build afl-clang-fast fuzz_afl >"$out/afl.log" 2>&1
  AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1 AFL_NO_AFFINITY=1 AFL_TESTCACHE_SIZE=50 AFL_CMPLOG_ONLY_NEW=1 \
    afl-fuzz -V "$1" -m none -t 10000+ -G 16384 -i "$out/corpus" -o "$out/afl" -- "$out/fuzz_afl" >>"$out/afl.log" 2>&1
  grep -E '^(execs_done|corpus_count|saved_crashes|saved_hangs)' "$out/afl/default/fuzzer_stats"
  for file in "$out"/afl/default/queue/id*; do # those of the corpus it began with are links to it
    to=$out/corpus/$(sha1sum <"$file" | cut -c1-40)
    if [ ! -e "$to" ]; then cp "$file" "$to"; fi
  done
  found=0
  for file in "$out"/afl/default/crashes/id* "$out"/afl/default/hangs/id*; do
    if [ -f "$file" ]; then cp "$file" "$out/found/afl-$(sha1sum <"$file" | cut -c1-12)" && found=1; fi
  done
  rm -rf "$out/afl"
  return $found
}

if [ "$seconds" = keep ]; then
  build "$clang" fuzz
  rm -rf "$out/small"
  mkdir "$out/small"
  "$out/fuzz" -merge=1 -max_len=2048 "$out/small" "$out/corpus"
  mkdir -p "$root/tests/fuzz_parsers/corpus"
  tar -cJf "$kept" --sort=name --owner=0 --group=0 --mtime=@0 -C "$out/small" .
  exit
fi
failed=0
[ "$engine" = both ] && seconds=$((seconds / 2))
[ "$engine" = afl ] || libfuzzer "$seconds" || failed=1
[ "$engine" = libfuzzer ] || afl "$seconds" || failed=1
exit $failed
