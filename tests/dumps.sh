#!/bin/bash
# dumps.sh: every dump of a model parses back to the same text, and goes on to the same bytes; builds for debuggers and
# with probes compute the same bits.
# SPDX-License-Identifier: Apache-2.0
#
#     tests/dumps.sh INGOT MODEL...            # files, or names of models/; "all": every one there (13 GB of disk)
#     OPTIONS=-O0 tests/dumps.sh INGOT MODEL   # with these options of the compiler
#
# Each dump is read and printed again, and is taken through the passes that are left, which has to give the text of the
# last dump, byte by byte. That one, and the first dump of each level, are compiled to the end: the same library as the
# model's. So all others would end in it too, without writing gigabytes of weights eighteen times.
set -eu
ingot=$(readlink -f "$1"); shift
models=$(readlink -f "$(dirname "$0")/../models")
[ "$1" != all ] || set -- "$models"/*.yaml
work=$(mktemp -d) start=$PWD
trap 'rm -rf "$work"' EXIT
# A constant may be a part of another one's file: its hash says what it is, not the place.
content() { sed 's/file("[^"]*", [0-9]*, /file(/'; }
fail() { echo "FAILED: $model: $*"; exit 1; }

# run LIBRARY FOLDER: its outputs of random inputs.
run() {
  local inputs
  inputs=$("$ingot" inspect "$1" | awk '/^outputs /{exit} sub(/^inputs /, "") {on = 1} on && NF {print "-i" $1 "=random:7"}')
  # shellcheck disable=SC2086
  "$ingot" run "$1" $inputs --output-dir="$2" || fail "$1 does not run"
}

for model in "$@"; do
  cd "$start"
  [ -e "$model" ] || model=$models/$model.yaml
  file=$(readlink -f "$model")
  rm -rf "$work"/*; cd "$work"
  # Weights that do not ship are made up.
  weights=$(sed -n 's/^weights: *\([^{}]*\)$/\1/p' "$file" | head -n 1)
  case $file in *.yaml) if [ -n "$weights" ] && [ ! -e "$(dirname "$file")/$weights" ]; then
    sed 's/^weights: .*/weights: {init: normal(0.02), seed: 1}/' "$file" >"$(basename "$file")"
    file=$work/$(basename "$file")
  fi ;; esac
  # shellcheck disable=SC2086
  "$ingot" compile ${OPTIONS:-} "$file" -o whole.so --dump=all --dump-dir=d || fail "does not compile"
  last=$(echo d/[0-9]*-memory.ing)
  cp "$last" want.ing; ended=" "
  for dump in d/[0-9]*.ing; do
    "$ingot" opt "$dump" --passes= -o d/again || fail "$dump does not parse"
    cmp d/again "$dump" || fail "$dump is printed differently"
    rm -f "$last"
    [ "$dump" != "$last" ] || cp want.ing "$last"
    # shellcheck disable=SC2086
    "$ingot" compile ${OPTIONS:-} "$dump" -o none.so --stop-after=memory --dump=after:memory --dump-dir=d || fail "$dump does not go on"
    cp -n want.ing "$last" # a finished module has no pass left to be dumped after
    cmp <(content <want.ing) <(content <"$last") || fail "$dump goes on differently"
    level=$(sed -n 's/^ingot 1 //p;q' "$dump")
    case $ended in *" $level "*) [ "$dump" = "$last" ] || continue ;; esac
    ended="$ended$level "
    # shellcheck disable=SC2086
    "$ingot" opt ${OPTIONS:-} "$dump" -o part.so || fail "$dump does not compile"
    cmp whole.so part.so || fail "$dump ends in another library"
    rm part.so
  done
  case $ended in *graph*kernels*loops*) ;; *) fail "not every level has a dump" ;; esac
  run ./whole.so plain
  for option in -g --instrument; do
    # shellcheck disable=SC2086
    "$ingot" compile ${OPTIONS:-} "$option" "$file" -o other.so || fail "does not compile with $option"
    ! cmp -s whole.so other.so || fail "$option does nothing"
    run ./other.so "with$option"
    diff -r plain "with$option" || fail "$option changes results"
    rm -rf other.*
  done
  echo "$(basename "$model"): $(ls d/[0-9]*.ing | wc -l) dumps, $(stat -c %s whole.so) bytes"
done
