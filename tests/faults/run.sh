#!/bin/bash
# run.sh: what goes wrong around the compiler and the runtime is reported, and leaves nothing behind.
# SPDX-License-Identifier: Apache-2.0
#
#     tests/faults/run.sh INGOT INJECT.SO SOURCES [TRIES]
#
# Makes allocations, mappings, opens, reads, writes, renames and threads fail one at a time (TRIES of each, spread evenly;
# all: every one), limits the size of files, fills a disk (as root), kills the compiler and its linker, and has two compilers
# write one file. Each run must
# end with an exit code of its own (no signal) within its time; a failed one says why; the artefact is there whole or is
# what was there before; no temporary file stays.
set -u
ingot=$1 inject=$2 sources=$3 tries=${4:-25}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$sources/tests/cli/small.yaml
failed=0
complain() { echo "FAILED: $*"; failed=1; }

cd "$work" || exit 1
mkdir good out
"$ingot" compile "$model" -j1 -o good/m.so || exit 1
good=$(sha256sum <good/m.so)
"$ingot" inspect good/m.so >/dev/null || exit 1
input=$("$ingot" inspect good/m.so 2>&1 | head -20)

left_over() { find out -name '.*' -type f | head -3; }

# The folder `out` after a run that ended with code $1; $2 says what was done. Before it, out/m.so was the text "old".
look() {
  local code=$1 what=$2
  case $code in
  0) [ "$(sha256sum <out/m.so)" = "$good" ] || complain "$what: success, but another artefact" ;;
  1 | 2 | 70)
    [ -s message ] || complain "$what: no message"
    { [ "$(cat out/m.so 2>/dev/null)" = old ] || [ "$(sha256sum <out/m.so)" = "$good" ]; } || complain "$what: the old artefact is gone"
    [ "$code" = 70 ] && complain "$what: exit code 70: $(head -1 message)"
    ;;
  *) complain "$what: exit code $code: $(head -1 message)" ;;
  esac
  [ -z "$(left_over)" ] || complain "$what: left $(left_over)"
}

fresh() { rm -rf out; mkdir out; echo old >out/m.so; }

# ---- calls that fail ------------------------------------------------------------------------------------------------

# fault KIND COMMAND...: every call of the kind in turn, or some.
fault() {
  local kind=$1 n step at code
  shift
  fresh
  FAULT_KIND=$kind FAULT_COUNT=$work/count LD_PRELOAD=$inject "$@" >/dev/null 2>message || complain "$kind: $* fails by itself"
  n=$(cat count)
  step=1
  [ "$tries" = all ] || [ "$n" -le "$tries" ] || step=$(((n + tries - 1) / tries))
  for ((at = 0; at < n; at += step)); do
    fresh
    FAULT_KIND=$kind FAULT_AT=$at LD_PRELOAD=$inject timeout 60 "$@" >/dev/null 2>message
    code=$?
    if [ "$1 $2" = "$ingot compile" ]; then
      look $code "$kind $at of $n"
    elif [ $code -gt 2 ] || { [ $code != 0 ] && [ ! -s message ]; }; then
      complain "$kind $at of $n: $2: exit code $code: $(head -1 message)"
    fi
  done
  echo "$kind: $n calls in $(basename "$1") $2"
}

for kind in alloc map open read write rename; do fault $kind "$ingot" compile "$model" -j1 -o out/m.so; done
fault thread "$ingot" compile "$model" -j4 -o out/m.so
for kind in alloc map open read thread; do fault $kind "$ingot" bench good/m.so --threads=3 --runs=3; done

# ---- the disk is full -----------------------------------------------------------------------------------------------

size=$(($(stat -c %s good/m.so) / 1024 + 1))
for ((blocks = 0; blocks < size; blocks += size / 12 + 1)); do
  fresh
  (trap '' XFSZ; ulimit -f $blocks; exec "$ingot" compile "$model" -j1 -o out/m.so >/dev/null 2>"$work/message")
  code=$?
  [ -s message ] || [ $blocks -gt 1 ] || echo "nothing can be written" >message # nor a message of more than a block
  look $code "files of at most $blocks KiB"
done
echo "disk full: $blocks sizes"

# A real one, where writes are cut short before they fail.
if mkdir disk && mount -t tmpfs -o size=64k none disk 2>/dev/null; then
  for ((used = 0; used <= 64; used += 4)); do
    rm -f disk/*
    echo old >disk/m.so
    head -c $((used * 1024)) /dev/zero >disk/filler 2>/dev/null
    "$ingot" compile "$model" -j1 -o disk/m.so >/dev/null 2>message
    code=$?
    rm -rf out && mkdir out && cp -a disk/. out && rm -f out/filler
    look $code "a disk of 64 KiB of which $used are used"
  done
  umount disk
  echo "disk full: a real one"
fi

# ---- killed ---------------------------------------------------------------------------------------------------------

printf '#!/bin/sh\nkill -9 $$\n' >killed_linker
printf '#!/bin/sh\nld "$@"; for o; do case $last in -o) head -c 100 "$o" >"$o.cut"; mv "$o.cut" "$o" ;; esac; last=$o; done; exit 1\n' >half_linker
chmod +x killed_linker half_linker
for linker in killed_linker half_linker; do
  fresh
  "$ingot" compile "$model" -j1 --linker="$work/$linker" -o out/m.so >/dev/null 2>message
  look $? "$linker"
done
for signal in INT TERM KILL; do
  for ((i = 1; i <= 12; i++)); do
    fresh
    "$ingot" compile "$model" -j1 -o out/m.so >/dev/null 2>message &
    sleep "0.0$((i % 10))"
    kill -$signal $! 2>/dev/null
    wait $! 2>/dev/null
    { [ "$(cat out/m.so)" = old ] || [ "$(sha256sum <out/m.so)" = "$good" ]; } || complain "SIG$signal: the artefact is broken"
    # Nobody can clean up after SIGKILL but the next compilation.
    [ $signal = KILL ] && "$ingot" compile "$model" -j1 -o out/m.so
    [ -z "$(left_over)" ] || complain "SIG$signal: left $(left_over)"
  done
done 2>/dev/null
echo "killed"

# ---- two at once ----------------------------------------------------------------------------------------------------

fresh
for ((i = 0; i < 4; i++)); do "$ingot" compile "$model" -j1 -o out/m.so 2>>message & done
wait
look 0 "four compilations into one file"
exit $failed
