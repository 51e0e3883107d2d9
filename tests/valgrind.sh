#!/bin/bash
# valgrind.sh: generated code, the executor and the compiler under valgrind's memory checker.
# SPDX-License-Identifier: Apache-2.0
#
#     tests/valgrind.sh INGOT EXAMPLES SOURCES [all]
#
# Runs artefacts of a few models in the example programs, which have libc and the loader only, on one thread and on two; with `all`, compiles them under valgrind, too (minutes). Blocks of
# memory that contexts live in are zeroed by the runtime; that nothing depends on that is what the model fuzzer checks,
# whose contexts are full of NaN.
set -u
ingot=$1 examples=$2 sources=$3 all=${4:-}
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
# model MODEL OPTION...: options that bound its symbols
model() {
  "$ingot" compile "$@" --target=x86-64-v3 -j1 -o "$work/m.so" || exit 1 # valgrind knows no AVX-512
  check "$examples/example_load" "$work/m.so"
  check "$examples/example_workers" "$work/m.so" 2 2
  [ "$all" = all ] && check "$ingot" compile "$@" --target=x86-64-v3 -j1 -o "$work/again.so"
}
model "$sources/tests/cli/small.yaml"
model "$sources/models/lenet_fashion.yaml" --dim=N=1
model "$sources/models/lstm_tagger.yaml" --dim=B=1 --dim=T=4
echo "valgrind: done"
exit $failed
