#!/bin/bash
# targets.sh: models compiled for every target and run there, under emulation, against this machine's results.
# SPDX-License-Identifier: Apache-2.0
#
#   targets.sh INGOT SOURCE_DIR [--only=REGEX] [--all | 'MODEL [COMPILE OPTION | s/SED/EXPRESSION/]...'...]
#
# Without models: two small ones; --all: all that ship, larger ones with smaller extents, so that emulation takes minutes
# and not days. --only tries those targets whose name the expression matches as a whole. The freestanding form is
# linked with a test program without libc (tests/targets/), so that nothing of the target need be installed but an
# emulator; where its libc is, an executable is run too. What is missing is skipped with a line. Exit code 77: nothing
# could be tried.
set -u
ingot=$(realpath "$1") source=$(realpath "$2"); shift 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
small="lenet_fashion.yaml --dim=N=2"
# A model, its extents, and changes of its parameters: fewer blocks, which are all alike, and smaller vocabularies.
# The parts of Stable Diffusion get an eighth and a tenth of their channels.
all=("$small" "resnet_fashion.yaml --dim=N=1" "lstm_tagger.yaml --dim=B=2 --dim=T=8" "mobilenetv2.yaml --shape=image=1,3,64,64"
  "resnet50.yaml --shape=image=1,3,32,32" "vgg16.yaml --shape=image=1,3,32,32" "stories260k.yaml --dim=T<=4"
  "minilm.yaml --dim=B=1 --dim=T=8 s/vocabulary:[0-9].*/vocabulary:1000/" "bert_base.yaml --dim=B=1 --dim=T=8 s/blocks:[0-9].*/blocks:2/ s/vocabulary:[0-9].*/vocabulary:1000/"
  "clip_text.yaml --dim=B=1 --dim=T=8 s/blocks:[0-9].*/blocks:2/ s/vocabulary:[0-9].*/vocabulary:1000/"
  "gpt.yaml --dim=T=8 s/blocks:[0-9].*/blocks:2/ s/vocabulary:[0-9].*/vocabulary:1000/"
  "gpt2.yaml --dim=T<=4 s/blocks:[0-9].*/blocks:2/ s/vocabulary:[0-9].*/vocabulary:1000/"
  "llama_1b.yaml --dim=T<=2 s/blocks:[0-9].*/blocks:1/ s/vocabulary:[0-9].*/vocabulary:1000/ s/hidden:[0-9].*/hidden:2816/"
  "vit_b_16.yaml --shape=image=1,3,32,32 s/tokens:.*/tokens:5/ s/blocks:[0-9].*/blocks:2/"
  "whisper_tiny_encoder.yaml --shape=input_features=1,80,20 s/places:.*/places:10/"
  "whisper_tiny_decoder.yaml --dim=T<=4 s/places:.*/places:10/ s/vocabulary:[0-9].*/vocabulary:1000/" "ddpm_unet.yaml --dim=B=1"
  "sd_vae_decoder.yaml s/side:.*/side:4/ s/512/64/ s/256/32/ s/128/32/"
  "sd_unet.yaml --dim=T=5 --shape=sample=1,4,8,8 s/1280/128/ s/640/64/ s/320/32/ s/160/16/")
only=.*
pool=$((64 << 20))
tried=0 failed=0

have() { command -v "$1" >/dev/null 2>&1; }
clang=$(command -v clang-19 || command -v clang) || { echo "skipped: no clang"; exit 77; }
have ld.lld-19 || have ld.lld || { echo "skipped: no lld"; exit 77; }
missing() { echo "skipped $1: $2 is not installed"; }
fail() { echo "FAILED $1: $(head -n 5 "${2:-err}" | cut -c 1-500)"; failed=1; }
wanted() { [[ $1 =~ ^($only)$ ]]; }

# compare NAME [LINES]: the file `got` with the first lines of the file `want`: millionths, 1e-4 of the largest
# magnitude apart at most.
compare() {
  tried=$((tried + 1))
  local lines=${2:-$(wc -l <want)}
  [ "$(wc -l <got)" -eq "$lines" ] && [ -s got ] || { fail "$1" got; return; }
  head -n "$lines" want | paste - got | awk -v name="$1" '
    {d = $1 - $2; if (d < 0) d = -d; m = $1 < 0 ? -$1 : $1; if (d > worst) worst = d; if (m > most) most = m}
    END {ok = worst <= 1e-4 * most + 2
         printf "%s %s: worst error %.2g of the largest value\n", ok ? "ok" : "FAILED", name, most ? worst / most : worst
         exit !ok}' || failed=1
}

compile() { "$ingot" compile "$model" --name=m "${options[@]}" "$@" 2>err; }

# freestanding TARGET TRIPLE RUN... -- CLANG OPTIONS...
freestanding() {
  local target=$1 triple=$2 run=(); shift 2
  wanted "$target" || return
  while [ "$1" != -- ]; do run+=("$1"); shift; done; shift
  have "${run[0]}" || { missing "$target" "${run[0]}"; return; }
  compile --target="$target" --freestanding -o bare.o || { fail "$target"; return; }
  "$clang" --target="$triple" "$@" -O1 -ffreestanding -ffp-contract=off -nostdlib -static -fuse-ld=lld -DMODEL=ingot_model_m \
    -DPOOL=$pool -I"$source" "$source/tests/targets/program.c" bare.o -o bare 2>err || {
    if grep -q "will not fit in region" err; then echo "skipped $target: larger than the board's memory"; else fail "$target"; fi
    return
  }
  "${run[@]}" ./bare >got 2>&1 || { echo "FAILED $target: exit code $?"; failed=1; }
  compare "$target, freestanding"
}

# executable TARGET FOLDER RUN...: with the target's libc and two threads; the folder `data` holds the inputs.
executable() {
  local target=$1 folder=$2 lines file inputs=(); shift 2
  wanted "$target" || return
  [ -e "/usr/$folder/lib/libc.so.6" ] || { missing "executable for $target" "/usr/$folder/lib/libc.so.6"; return; }
  compile --target="$target" --emit=exe -o cross || { fail "executable for $target"; return; }
  if "$@" -L "/usr/$folder" ./cross missing.npy >out 2>&1 || ! grep -q "missing.npy" out; then
    fail "executable for $target, a missing file" out
  fi
  mkdir -p outputs
  for file in data/*.npy; do inputs+=("$(basename "$file" .npy)=$file"); done
  "$@" -L "/usr/$folder" ./cross "${inputs[@]}" --threads=2 -d outputs >out 2>&1 || { fail "executable for $target" out; return; }
  ./host --outputs outputs >got
  lines=$(wc -l <want) # of one run; the reference runs twice where there is a state
  grep -q 'M_STATE_BYTES 0ll' host.h || lines=$((lines / 2))
  compare "$target, executable" "$lines"
}

# forms: one program for several processors takes the best form that a processor runs, to the byte what that form alone
# gives; a form that a processor lacks is refused in words, not by an illegal instruction.
forms() {
  wanted forms || return
  [ "$(uname -m)" = x86_64 ] || { echo "skipped forms: not on x86-64"; return; }
  have qemu-x86_64-static || { missing forms qemu-x86_64-static; return; }
  local file inputs=() row cpu form run=(qemu-x86_64-static -L /)
  for file in data/*.npy; do inputs+=("$(basename "$file" .npy)=$file"); done
  compile --isa=x86-64-v4,x86-64-v3,x86-64-v2,x86-64 --emit=exe -o all || { fail forms; return; }
  for row in qemu64:x86-64 Nehalem:x86-64-v2 max:x86-64-v3; do
    cpu=${row%:*} form=${row#*:}
    compile --target="$form" --emit=exe -o one || { fail "form $form"; return; }
    rm -rf outputs alone && mkdir outputs alone
    "${run[@]}" -cpu "$cpu" ./all "${inputs[@]}" -d outputs >out 2>&1 || { fail "forms on $cpu" out; continue; }
    "${run[@]}" -cpu "$cpu" ./one "${inputs[@]}" -d alone >out 2>&1 || { fail "$form on $cpu" out; continue; }
    tried=$((tried + 1))
    if diff -r outputs alone >/dev/null; then echo "ok form $form on $cpu"; else echo "FAILED form $form on $cpu"; failed=1; fi
  done
  if "${run[@]}" -cpu qemu64 ./one "${inputs[@]}" >out 2>&1 || ! grep -q "instruction set" out; then
    fail "x86-64-v3 on qemu64" out
  fi
  if INGOT_ISA=x86-64-v3 "${run[@]}" -cpu Nehalem ./all "${inputs[@]}" >out 2>&1; then fail "a forced form" out; fi
}

wasm() {
  wanted wasm32 || return
  have node || { missing wasm32 node; return; }
  have wasm-ld-19 || have wasm-ld || { missing wasm32 wasm-ld; return; }
  compile --target=wasm32 -o m.wasm && compile --target=wasm32 --weights-file -o w.wasm || { fail wasm32; return; }
  node "$source/tests/targets/program.mjs" m.wasm >got 2>&1; compare wasm32
  [ -e w.weights ] || return # a model without weights
  node "$source/tests/targets/program.mjs" w.wasm w.weights >got 2>&1; compare "wasm32, weights beside"
}

# prepare SPEC: model, options, the reference and its inputs and outputs. A model whose weights do not ship gets random ones.
prepare() {
  local words word file
  read -r -a words <<<"$1"
  file=$source/models/${words[0]}; [ -e "$file" ] || file=${words[0]}
  model=$work/${file##*/} options=()
  [ -e "$file" ] || { echo "FAILED: there is no $file"; exit 1; }
  cp "$file" "$model"
  file=$(sed -n 's/^weights: *\([A-Za-z0-9_.]*\)$/\1/p' "$model")
  for word in "$source/models/$file" "$source/../shared/models/$file" "$source/models/fashion_labels.txt"; do
    [ -f "$word" ] && cp -n "$word" "$work/"
  done
  if [ -n "$file" ] && [ ! -e "$work/$file" ]; then
    sed -i 's/^weights: .*/weights: {init: normal(0.02), seed: 1}/' "$model"
  fi
  for word in "${words[@]:1}"; do
    case $word in
    s/*) sed -i "${word//:/: }g" "$model" ;;
    *) options+=("$word") ;;
    esac
  done
  compile -o host.o || { echo "FAILED: $(cat err)"; exit 1; }
  cc -O1 -ffp-contract=off -DHOSTED -DMODEL=ingot_model_m -DPOOL=$pool -I"$source" "$source/tests/targets/program.c" host.o -lm -lpthread \
    -o host && ./host >want || { echo "FAILED: the reference"; exit 1; }
  mkdir data && ./host --inputs data
}

arm="-march=armv7-a -mfpu=neon-vfpv4 -mfloat-abi=hard" riscv="-march=rv64gc -mabi=lp64d"
rvv="qemu-riscv64-static -cpu rv64,v=true,vext_spec=v1.0,vlen"
bare=x86_64-unknown-none-elf
# shellcheck disable=SC2086
try_targets() {
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
  try_cortex_m
  forms
  wasm
  executable aarch64 aarch64-linux-gnu qemu-aarch64-static
  executable armv7 arm-linux-gnueabihf qemu-arm-static
  executable riscv64 riscv64-linux-gnu qemu-riscv64-static
}

# The boards have 4 MiB for code and weights, and 4 MiB for data.
try_cortex_m() {
  local pool=$((1 << 20))
  [ "$(stat -c %s host.o)" -lt $((8 << 20)) ] || { echo "skipped cortex-m4, cortex-m7: larger than the board's memory"; return; }
  freestanding cortex-m4 thumbv7em-none-eabihf qemu-system-arm -M mps2-an386 -nographic -semihosting-config \
    enable=on -kernel -- -mcpu=cortex-m4 -T"$source/tests/targets/cortex_m.ld"
  freestanding cortex-m7 thumbv7em-none-eabihf qemu-system-arm -M mps2-an500 -nographic -semihosting-config \
    enable=on -kernel -- -mcpu=cortex-m7 -mfpu=fpv5-sp-d16 -T"$source/tests/targets/cortex_m.ld"
}

specs=()
for arg; do
  case $arg in
  --only=*) only=${arg#--only=} ;;
  --all) specs=("${all[@]}") ;;
  *) specs+=("$arg") ;;
  esac
done
[ ${#specs[@]} -gt 0 ] || specs=("$small" "stories260k.yaml --dim=T<=2")
for spec in "${specs[@]}"; do
  rm -rf "${work:?}"/*
  cd "$work" || exit 1
  echo "== $spec"
  prepare "$spec"
  try_targets
done
[ $tried -gt 0 ] || exit 77
exit $failed
