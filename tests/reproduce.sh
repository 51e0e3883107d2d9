#!/bin/bash
# reproduce.sh: the same model and options give the same bytes, whoever compiles, where, when and on which processor.
# SPDX-License-Identifier: Apache-2.0
#
#   reproduce.sh INGOT SOURCE_DIR [--with=INGOT]... [--with-other-compiler=INGOT]... [MODEL...]
#
# Every kind of artefact is made twice: plainly, and with everything around the compiler changed at once: user, folder,
# environment, locale, time zone, contents of fresh memory, addresses, number of threads and of processors; then by the
# other builds of Ingot that are named; then on a processor without AVX, under emulation (skipped with a line where there
# is no emulator). Builds by another C compiler have another executor for this machine, so that only what is
# without it can be equal: LLVM IR, assembly, freestanding objects, and other targets.
set -u
ingot=$(realpath "$1") source=$(realpath "$2"); shift 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
failed=0

have() { command -v "$1" >/dev/null 2>&1; }

# kinds: each a name, whether it holds this machine's executor, and the options that make it.
kinds="so,1,-o net.so
weights,1,-o net.so --weights-file
archive,1,-o net.a
object,1,-o net.o
program,1,--emit=exe -o net
forms,1,-o net.so --isa=x86-64-v2,x86-64-v3,x86-64-v4
llvm,0,-o net.ll
bitcode,0,-o net.bc
assembly,0,-o net.s
bare,0,-o net.o --freestanding --target=cortex-m4
other,0,-o net.so --target=aarch64
web,0,-o net.wasm --target=wasm32
small,1,-o net.so --weights=int8"

# all_kinds FOLDER ONLY MODEL JOBS COMMAND...: every kind in a folder of its own below FOLDER, by COMMAND; ONLY: all, or
# the kinds without this machine's executor.
all_kinds() {
  local folder=$1 only=$2 model=$3 jobs=$4 kind own options; shift 4
  while IFS=, read -r kind own options; do
    [ "$only" = all ] || [ "$own" = 0 ] || continue
    mkdir -p "$folder/$kind"
    chmod 777 "$folder/$kind"
    # shellcheck disable=SC2086
    (cd "$folder/$kind" && "$@" compile "$model" --name=net --jobs="$jobs" $options >said 2>&1) ||
      { echo "FAILED $kind of $(basename "$model"): $(head -n 3 "$folder/$kind/said")"; failed=1; }
  done <<<"$kinds"
}

# same WHAT FOLDER: what is in FOLDER is in `plain` too, byte for byte.
same() {
  local kind
  for kind in "$2"/*; do
    if diff -r "$work/plain/$(basename "$kind")" "$kind" >"$work/difference" 2>&1; then continue; fi
    echo "FAILED $1, $(basename "$kind"): $(head -n 2 "$work/difference")"
    failed=1
  done
  [ $failed -eq 0 ] && echo "ok $1"
}

# elsewhere COMMAND...: with all around it changed.
elsewhere() {
  local as=()
  [ "$(id -u)" -eq 0 ] && have setpriv && as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  # Nobody else may come into a folder like root's home: then it is the same user.
  [ ${#as[@]} -eq 0 ] || "${as[@]}" test -x "$ingot" || as=()
  have taskset && as+=(taskset -c "$(taskset -pc $$ | sed 's/.*[ ,-]//')")
  have setarch && as+=(setarch -R)
  env -i PATH="$PATH" HOME=/nonexistent USER=nobody LOGNAME=nobody LANG=C.UTF-8 LC_ALL=C.UTF-8 TZ=Pacific/Kiritimati \
    TMPDIR="$work/tmp" COLUMNS=33 TERM=dumb MALLOC_PERTURB_=165 MALLOC_ARENA_MAX=1 SOURCE_DATE_EPOCH=1 \
    STUFFING="$(printf '%2000s' x)" "${as[@]}" "$@"
}

others=() foreign=() models=()
for arg; do
  case $arg in
  --with=*) others+=("${arg#--with=}") ;;
  --with-other-compiler=*) foreign+=("${arg#--with-other-compiler=}") ;;
  *) models+=("$(realpath "$arg")") ;;
  esac
done
[ ${#models[@]} -gt 0 ] || models=("$source/models/resnet_fashion.yaml")
[ ${#foreign[@]} -eq 0 ] || models+=("$source/tests/cli/functions.yaml") # whose compilers order arguments otherwise
mkdir "$work/tmp" && chmod 777 "$work/tmp"

for model in "${models[@]}"; do
  rm -rf "$work"/plain "$work"/else* "$work"/build* "$work/cpu"
  all_kinds "$work/plain" all "$model" 1 "$ingot"
  # The same files in another folder, newer.
  there="$work/elsewhere/a deep folder/of another name"
  mkdir -p "$there/models" && cp "$model" "$there/models/"
  find "$(dirname "$model")" -maxdepth 1 -type f -size -8M -exec cp {} "$there/models/" \;
  chmod -R a+rX "$work/elsewhere"
  all_kinds "$work/else" all "$there/models/$(basename "$model")" 5 elsewhere "$ingot"
  same "another place, user, environment and number of threads: $(basename "$model")" "$work/else"
  for other in "${others[@]}"; do
    all_kinds "$work/build" all "$model" 2 "$other"
    same "made by $other: $(basename "$model")" "$work/build"
  done
  for other in "${foreign[@]}"; do
    all_kinds "$work/build2" some "$model" 2 "$other"
    # What goes with IR and assembly holds this machine's executor.
    for kind in llvm bitcode assembly; do cp "$work/plain/$kind/net.data.o" "$work/build2/$kind/"; done
    same "made by $other, another C compiler's: $(basename "$model")" "$work/build2"
  done
  # Constants are folded by code that is compiled for the processor here; this one lacks what it usually is compiled for.
  have qemu-x86_64-static || { echo "skipped another processor: qemu-x86_64-static is not installed"; continue; }
  mkdir -p "$work/cpu/so" && cd "$work/cpu/so" || exit 1
  qemu-x86_64-static -cpu qemu64 "$ingot" compile "$model" --name=net -o net.so >said 2>&1 ||
    { echo "FAILED: $(head -n 3 said)"; failed=1; }
  same "compiled on another processor: $(basename "$model")" "$work/cpu"
done
exit $failed
