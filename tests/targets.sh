#!/bin/bash
# targets.sh: models compiled for every target and run there, under emulation, against this machine's results.
# SPDX-License-Identifier: Apache-2.0
#
#   targets.sh INGOT SOURCE_DIR [MODEL[:COMPILE OPTION...]...]    default: a small one; --all: all that ship
#
# The freestanding form is linked with a test program without libc (tests/targets/), so that nothing of the
# target need be installed but an emulator; where its libc is, an executable is tried too. What is missing is
# skipped with a line. Exit code 77: nothing could be tried.
set -u
ingot=$1 source=$2; shift 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export LC_ALL=C
small="lenet_fashion.yaml:--dim=N=2"
all="$small resnet_fashion.yaml:--dim=N=1 lstm_tagger.yaml gpt.yaml mobilenetv2.yaml resnet50.yaml vgg16.yaml"
[ "${1-}" = --all ] && { shift; set -- $all; }
[ $# -eq 0 ] && set -- "$small"
pool=$((64 << 20))
tried=0 failed=0

have() { command -v "$1" >/dev/null 2>&1; }
clang=$(command -v clang-19 || command -v clang) || { echo "skipped: no clang"; exit 77; }
have ld.lld-19 || have ld.lld || { echo "skipped: no lld"; exit 77; }
missing() { echo "skipped $1: $2 is not installed"; }

# compare NAME: the file `got` with the file `want`: millionths, 1e-4 of the largest magnitude apart at most.
compare() {
  tried=$((tried + 1))
  if [ "$(wc -l <got)" -ne "$(wc -l <want)" ] || [ ! -s got ]; then
    echo "FAILED $1: $(head -c 200 got)"; failed=1; return
  fi
  paste want got | awk -v name="$1" '
    {d = $1 - $2; if (d < 0) d = -d; m = $1 < 0 ? -$1 : $1; if (d > worst) worst = d; if (m > most) most = m}
    END {ok = worst <= 1e-4 * most + 2
         printf "%s %s: worst error %.2g of the largest value\n", ok ? "ok" : "FAILED", name, most ? worst / most : worst
         exit !ok}' || failed=1
}

# freestanding TARGET TRIPLE RUN... -- CLANG OPTIONS...
freestanding() {
  local target=$1 triple=$2 run=(); shift 2
  while [ "$1" != -- ]; do run+=("$1"); shift; done; shift
  have "${run[0]}" || { missing "$target" "${run[0]}"; return; }
  "$ingot" compile "$model" --name=m "${options[@]}" --target="$target" --freestanding -o bare.o 2>err ||
    { echo "FAILED $target: $(head -n 2 err)"; failed=1; return; }
  "$clang" --target="$triple" "$@" -O1 -ffreestanding -ffp-contract=off -nostdlib -static -fuse-ld=lld -DMODEL=ingot_model_m \
    -DPOOL=$pool -I"$source" "$source/tests/targets/program.c" bare.o -o bare 2>err ||
    { echo "FAILED $target: $(head -n 5 err)"; failed=1; return; }
  "${run[@]}" ./bare >got 2>&1 || { echo "FAILED $target: exit code $?"; failed=1; }
  compare "$target, freestanding"
}

# executable TARGET FOLDER RUN...: with the target's libc; outputs as bytes against the host's executable
executable() {
  local target=$1 folder=$2; shift 2
  [ -e "/usr/$folder/lib/libc.so.6" ] || { missing "executable for $target" "/usr/$folder/lib/libc.so.6"; return; }
  "$ingot" compile "$model" --name=m "${options[@]}" --target="$target" --emit=exe -o cross 2>err ||
    { echo "FAILED executable for $target: $(head -n 2 err)"; failed=1; return; }
  tried=$((tried + 1))
  if "$@" -L "/usr/$folder" ./cross --help >out 2>&1 && grep -q '^  output' out &&
    ! "$@" -L "/usr/$folder" ./cross missing.npy >out 2>&1 && grep -q "missing.npy" out; then
    echo "ok $target, executable"
  else
    echo "FAILED executable for $target: $(head -n 3 out)"; failed=1
  fi
}

wasm() {
  have node || { missing wasm32 node; return; }
  have wasm-ld-19 || have wasm-ld || { missing wasm32 wasm-ld; return; }
  "$ingot" compile "$model" --name=m "${options[@]}" --target=wasm32 -o m.wasm 2>err &&
    "$ingot" compile "$model" --name=m "${options[@]}" --target=wasm32 --weights-file -o w.wasm 2>err ||
    { echo "FAILED wasm32: $(head -n 2 err)"; failed=1; return; }
  node "$source/tests/targets/program.mjs" m.wasm >got 2>&1; compare wasm32
  node "$source/tests/targets/program.mjs" w.wasm w.weights >got 2>&1; compare "wasm32, weights beside"
}

arm="-march=armv7-a -mfpu=neon-vfpv4 -mfloat-abi=hard" riscv="-march=rv64gc -mabi=lp64d"
rvv="qemu-riscv64-static -cpu rv64,v=true,vext_spec=v1.0,vlen"
bare=x86_64-unknown-none-elf
# shellcheck disable=SC2086
for spec in "$@"; do
  model=$source/models/${spec%%:*} options=()
  [ -e "$model" ] || model=${spec%%:*}
  [ "$spec" = "${spec%%:*}" ] || IFS=, read -r -a options <<<"${spec#*:}"
  echo "== $(basename "$model") ${options[*]}"
  "$ingot" compile "$model" --name=m "${options[@]}" -o host.o 2>err || { echo "FAILED: $(cat err)"; exit 1; }
  cc -O1 -ffp-contract=off -DHOSTED -DMODEL=ingot_model_m -DPOOL=$pool -I"$source" "$source/tests/targets/program.c" host.o -lm -lpthread \
    -o host && ./host >want || { echo "FAILED: the reference"; exit 1; }
  freestanding x86-64 $bare qemu-x86_64-static -cpu qemu64 --
  freestanding x86-64-v2 $bare qemu-x86_64-static -cpu Nehalem --
  freestanding x86-64-v3 $bare qemu-x86_64-static -cpu max --
  grep -q avx512bw /proc/cpuinfo && freestanding x86-64-v4 $bare env -- 
  freestanding aarch64 aarch64-none-elf qemu-aarch64-static -cpu cortex-a53 --
  freestanding aarch64-dotprod aarch64-none-elf qemu-aarch64-static -cpu neoverse-n1 --
  freestanding aarch64-sve256 aarch64-none-elf qemu-aarch64-static -cpu max,sve256=on --
  freestanding aarch64-sve512 aarch64-none-elf qemu-aarch64-static -cpu max,sve512=on --
  freestanding armv7 arm-none-eabihf qemu-arm-static -cpu cortex-a7 -- $arm
  freestanding riscv64 riscv64-none-elf qemu-riscv64-static -- $riscv
  freestanding riscv64-v riscv64-none-elf $rvv=128 -- $riscv
  freestanding riscv64-v riscv64-none-elf $rvv=512 -- $riscv
  freestanding riscv64-v256 riscv64-none-elf $rvv=256 -- $riscv
  case $model in
  *fashion*)
    all_pool=$pool pool=$((1 << 20))
    freestanding cortex-m4 thumbv7em-none-eabihf qemu-system-arm -M mps2-an386 -nographic -semihosting-config \
      enable=on -kernel -- -mcpu=cortex-m4 -T"$source/tests/targets/cortex_m.ld"
    freestanding cortex-m7 thumbv7em-none-eabihf qemu-system-arm -M mps2-an500 -nographic -semihosting-config \
      enable=on -kernel -- -mcpu=cortex-m7 -mfpu=fpv5-sp-d16 -T"$source/tests/targets/cortex_m.ld"
    pool=$all_pool
    ;;
  esac
  wasm
  executable aarch64 aarch64-linux-gnu qemu-aarch64-static
  executable armv7 arm-linux-gnueabihf qemu-arm-static
  executable riscv64 riscv64-linux-gnu qemu-riscv64-static
done
[ $tried -gt 0 ] || exit 77
exit $failed
