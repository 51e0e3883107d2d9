#!/bin/bash
# mutate.sh: does the model fuzzer find bugs that were planted?
# SPDX-License-Identifier: Apache-2.0
#
#     tests/fuzz/mutate.sh FOLDER [SECONDS [FIRST [LAST]]]
#
# Copies the sources to FOLDER, and for each line of mutants.txt changes one place, builds fuzz_models and runs it for at
# most SECONDS (default 100) of wall-clock time until it finds something. Prints a table; the last line counts. A mutant
# that no longer applies or does not compile is an error of the list.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$1 seconds=${2:-100} first=${3:-1} last=${4:-1000}
mkdir -p "$folder/src"
(cd "$root" && git ls-files -z | xargs -0 cp --parents -t "$folder/src")
cd "$folder" || exit 1
cmake -G Ninja -S src -B build -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null || exit 1
ninja -C build fuzz_models >/dev/null || exit 1

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
  if ninja -C build fuzz_models >log 2>&1; then
    tried=$((tried + 1))
    start=$(date +%s)
    if timeout "$seconds" build/tests/fuzz/fuzz_models --seed 1 --count 1000000 --llvm 50 --stop --no-reduce >log 2>&1; then result="not found"; else
      [ $? = 124 ] && result="not found" || { result="found in $(($(date +%s) - start)) s"; found=$((found + 1)); }
    fi
    echo "$number: $result: $what ($file)"
  else
    echo "$number: DOES NOT COMPILE: $what: $(grep error log | head -1)"
  fi
  cp saved "src/$file"
done <"$root/tests/fuzz/mutants.txt"
echo "$found of $tried planted bugs found, $seconds s each"
