#!/bin/bash
# valgrind.sh: generated code, the executor and the compiler under valgrind's memory checker.
# SPDX-License-Identifier: Apache-2.0
#
#     tests/valgrind.sh INGOT SOURCES [all]
#
# Runs artefacts of a few models, one and two threads; with `all`, compiles them under valgrind, too (minutes). Blocks of
# memory that contexts live in are zeroed by the runtime; that nothing depends on that is what the model fuzzer checks,
# whose contexts are full of NaN.
set -u
ingot=$1 sources=$2 all=${3:-}
command -v valgrind >/dev/null || { echo "no valgrind"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
check() {
  valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --suppressions="$work/supp" "$@" >"$work/out" 2>&1 && return
  echo "FAILED: $*"
  tail -30 "$work/out"
  failed=1
}
# What LLVM and the dynamic linker leave behind.
cat >"$work/supp" <<'S'
{
   llvm
   Memcheck:Leak
   ...
   obj:*libLLVM*
}
S
for model in "$sources/tests/cli/small.yaml" "$sources/models/lenet_fashion.yaml" "$sources/models/lstm_tagger.yaml"; do
  "$ingot" compile "$model" --target=x86-64-v3 -j1 -o "$work/m.so" || exit 1 # valgrind knows no AVX-512
  for threads in 1 2; do check "$ingot" bench "$work/m.so" --threads=$threads --runs=2; done
  [ "$all" = all ] && check "$ingot" compile "$model" --target=x86-64-v3 -j1 -o "$work/again.so"
done
echo "valgrind: done"
exit $failed
