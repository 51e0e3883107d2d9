#!/bin/bash
# mutate.sh: does the model fuzzer find bugs that were planted?
# SPDX-License-Identifier: Apache-2.0
#
#     tests/fuzz/mutate.sh FOLDER [FIRST [LAST]]
#
# Copies the sources to FOLDER, and for each line of mutants.txt changes one place, builds fuzz_models and runs it until it
# finds something: first 2,500 models in the evaluator, then 1,900 of which half are compiled, too; where the bug is in what
# the evaluator does not run, 1,500 that are compiled. That is some 100 s of one core a mutant where nothing is found, less
# than an hour for all. Prints a table; the last line counts. A mutant that no longer applies or does not compile is an
# error of the list.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$1 first=${2:-1} last=${3:-1000}
mkdir -p "$folder/src"
(cd "$root" && git ls-files -z | xargs -0 cp -u --parents -t "$folder/src")
cd "$folder" || exit 1
cmake -G Ninja -S src -B src/build -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER_LAUNCHER="$(command -v ccache)" >/dev/null || exit 1
ninja -C src/build -j1 fuzz_models >log || { tail -3 log; exit 1; }

fuzz() { src/build/tests/fuzz/fuzz_models --stop --no-reduce "$@" >>log 2>&1; }

# Nothing found in what a bug of this file may change?
survives() {
  case $1 in
  codegen/* | runtime/*) fuzz --seed 100001 --count 1500 --llvm 100 ;;
  *) fuzz --seed 1 --count 2500 --llvm 0 && fuzz --seed 100001 --count 1900 --llvm 50 ;;
  esac
}

number=0 found=0 tried=0
while IFS='|' read -r file from to what; do
  case $file in '' | '#'*) continue ;; esac
  number=$((number + 1))
  [ $number -ge "$first" ] && [ $number -le "$last" ] || continue
  cp "src/$file" saved
  if ! python3 - "src/$file" "$from" "$to" <<'P'
import sys
path, old, new = [a.replace('¦', '|') for a in sys.argv[1:]]
text = open(path).read()
if text.count(old) < 1: sys.exit(1)
open(path, 'w').write(text.replace(old, new, 1))
P
  then
    echo "$number: DOES NOT APPLY: $file: $from"
    continue
  fi
  if ninja -C src/build -j1 fuzz_models >log 2>&1; then
    tried=$((tried + 1))
    : >log
    if survives "$file"; then
      result="not found"
    else
      result="found, $(sed -n 's/^seed \([0-9]*\): \([^:]*\):.*/\1, \2/p' log | tail -1)"
      found=$((found + 1))
    fi
    echo "$number: $result: $what ($file)"
  else
    echo "$number: DOES NOT COMPILE: $what: $(grep error log | head -1)"
  fi
  cp saved "src/$file"
done <"$root/tests/fuzz/mutants.txt"
echo "$found of $tried planted bugs found"
