#!/bin/bash
# cli.sh: tests of the `ingot` command: exit codes, messages, and what is left on disk.
# SPDX-License-Identifier: Apache-2.0
#
#   cli.sh INGOT SOURCE_DIR CASE     runs the function case_CASE in a fresh folder; 77 means skipped
set -u
ingot=$1 source=$2 name=$3
model=$source/tests/cli/small.yaml
work=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work" || exit 1
unset NO_COLOR
export TMPDIR=$work/tmp
mkdir "$TMPDIR"

fail() {
  echo "FAILED: $*"
  echo "--- stdout"; head -n 40 out 2>/dev/null
  echo "--- stderr"; head -n 40 err 2>/dev/null
  exit 1
}
skip() { echo "skipped: $*"; exit 77; }

# expect CODE ARGS...: runs ingot, output in the files out and err
expect() {
  local want=$1; shift
  "$ingot" "$@" >out 2>err </dev/null
  local got=$?
  [ $got -eq "$want" ] || fail "'ingot $*' exits with $got, not $want"
}
says() { grep -qF -- "$1" err || fail "the message lacks '$1'"; }
prints() { grep -qF -- "$1" out || fail "the output lacks '$1'"; }
silent() { [ ! -s err ] || fail "there are messages"; }
# only FILE...: the folder holds these besides out, err and tmp, and nothing temporary is left
only() {
  local have; have=$(ls -A | grep -vxE 'out|err|tmp' | sort | tr '\n' ' ')
  local want; want=$(printf '%s\n' "$@" | sort | tr '\n' ' ')
  [ "$have" = "${want# }" ] || fail "the folder holds '$have', not '$want'"
  [ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
}
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }

# ---- usage -------------------------------------------------------------------------------------------------

case_usage() {
  expect 2; says Usage
  expect 2 frobnicate; says "unknown command 'frobnicate'"
  expect 2 complie; says "did you mean 'compile'"
  expect 2 compile; says "which model file?"
  expect 2 compile a.yaml b.yaml; says "one model file at a time"
  expect 2 compile --no-such-option x.yaml; says "unrecognized option"
  expect 2 compile --winogrd=off x.yaml; says "unrecognized option '--winogrd=off'; did you mean '--winograd'?"
  expect 2 run --optput-dir d x.so; says "did you mean '--output-dir'?"
  expect 1 generate --prompt --tokenz x.so; says "cannot open 'x.so'" # the text, not an option
  expect 2 compile --dim=N= x.yaml; says "--dim wants SYM=N or SYM<=N, not 'N='"
  expect 2 compile --shape=1,2 x.yaml; says "--shape wants INPUT=D,D,..., not '1,2'"
  expect 2 compile --state=a x.yaml; says "--state wants INPUT=OUTPUT, not 'a'"
  expect 2 ops add sub; says "one operation at a time"
  expect 2 compile -O9 x.yaml; says "-O wants a number from 0 to 3, not '9'"
  expect 2 compile --emit=elf x.yaml; says "--emit is"
  expect 2 compile --fp=loose x.yaml; says "--fp is strict or fast"
  expect 2 compile --winograd=on x.yaml; says "--winograd is off or auto"
  expect 2 compile --weights=int9 x.yaml; says "--weights is f32, f16, bf16, int8 or int4"
  expect 2 compile --name=1x x.yaml; says "C identifier"
  expect 2 compile --dump=before:fuse x.yaml; says "--dump takes"
  expect 2 compile --dump=after:fsue x.yaml; says "did you mean 'fuse'"
  expect 2 compile --stop-after=nothing_like_it x.yaml; says "there is no pass"
  expect 2 opt --passes=canonicalize,fuze x.yaml; says "did you mean 'fuse'"
  expect 2 run; says "which library?"
  expect 2 run --top=0 x.so; says "--top wants"
  expect 2 bench --runs=none x.so; says "--runs wants"
  expect 2 bench --seconds=-1 x.so; says "--seconds wants"
  expect 2 verify --tolerance=much x.yaml; says "--tolerance wants"
  only
}

case_help() {
  expect 0 --help; silent; prints "Commands:"
  expect 0 --version; silent; grep -qxE 'ingot [0-9]+\.[0-9]+\.[0-9]+' out || fail "no version"
  local c; for c in compile run generate inspect opt verify tune bench report explain reduce diff ops; do
    expect 0 "$c" --help; silent; prints "Usage: ingot $c"
    expect 0 help "$c"; silent; prints "Usage: ingot $c"
  done
  expect 2 help frobnicate
  expect 0 compile --list-passes; silent; prints canonicalize; prints memory
  expect 0 compile --target=help; silent; prints x86-64-v3
}

# Every long option of every command stands in docs/cli.md.
case_documented() {
  local c o; for c in compile run generate inspect opt verify tune bench report explain reduce diff ops; do
    expect 0 "$c" --help
    for o in $(grep -oE -- '--[a-z][a-z-]+' out | sort -u); do
      grep -qF -- "$o" "$source/docs/cli.md" || fail "docs/cli.md lacks $o of 'ingot $c'"
    done
  done
}

# What names nothing, or is no model, is told; a near name is proposed.
case_strangers() {
  sed 's/f32\[1,4\]/f32[N<=8,4]/' "$model" >n.yaml
  expect 1 compile n.yaml --dim=M=2; says "the model has no dimension 'M'"
  expect 1 compile n.yaml --shape=xx=1,4; says "the model has no input 'xx'; did you mean 'x'?"
  expect 0 compile n.yaml --dim=N=2; silent
  expect 0 compile n.yaml '--shape=x=B<=3,4' '--dim=B<=2'; silent
  expect 0 opt n.yaml --passes= -o n.ing; expect 0 opt n.ing --dim=N=2; says "do nothing to 'n.ing'"
  expect 0 compile "$model" -o k.so --dump-kernel=smal; says "nothing was dumped of a kernel 'smal'"
  expect 1 compile n.yaml --target=x86_64-v3; says "did you mean 'x86-64-v3'?"
  expect 1 verify libn.so; says "'libn.so' is no model, but a compiled library"
  expect 1 verify n.yaml --dim=N=2 --target=wasm32; says "code for wasm32 cannot run on this machine"
  expect 1 compile "$source/models/lenet_fashion.npz"; says "a zip archive"
  expect 1 run libn.so -i random:often; says "the seed of random numbers"
}

# ---- compile -----------------------------------------------------------------------------------------------

case_compile() {
  expect 0 compile "$model"; silent; only libsmall.so small.h
  [ ! -s out ] || fail "compile prints to stdout"
  expect 0 compile "$model" -o other.so; silent; only libsmall.so small.h other.so other.h
  same libsmall.so other.so
  ldd other.so | grep -vE 'linux-vdso|libc\.so|libm\.so|libpthread|ld-linux|statically linked' && fail "more than libc"
  expect 0 compile "$model" -o other.so --name=thing; grep -q thing_run other.h || fail "no thing_run in other.h"
}

case_emit() {
  expect 0 compile "$model" -o small.o; silent; head -c 4 small.o | grep -q ELF || fail "no object"
  expect 0 compile "$model" -o small.a; head -c 7 small.a | grep -q '!<arch>' || fail "no archive"
  expect 0 compile "$model" -o small.ll; grep -q '^define' small.ll || fail "no LLVM IR"
  expect 0 compile "$model" -o small.bc; head -c 2 small.bc | grep -q BC || fail "no bitcode"
  expect 0 compile "$model" -o small.s; grep -q '\.globl' small.s || fail "no assembly"
  expect 0 compile "$model" --emit=obj -o odd.name; head -c 4 odd.name | grep -q ELF || fail "no object"
}

# Programs that are linked with nothing but what compile wrote.
case_links_alone() {
  cat >app.c <<'EOF'
#include <stdio.h>
#include "one.h"
#include "two.h"
int main(void) {
  float x[4] = {1, 2, 3, 4}, y[4], z[4];
  if (one_run(x, y) || two_run(x, z)) return 1;
  for (int i = 0; i < 4; i++) printf("%g %g\n", y[i], z[i]);
  return y[0] != z[0];
}
EOF
  expect 0 compile "$model" --name=one -o one.o; expect 0 compile "$model" --name=two -o libtwo.a
  cc app.c one.o libtwo.a -o app >err 2>&1 || fail "object and archive do not link"
  ./app >first || fail "the program fails"
  expect 0 compile "$model" --name=one -o one.s; expect 0 compile "$model" --name=two -o two.s
  [ -e one.data.o ] || fail "no one.data.o"
  cc app.c one.s one.data.o libtwo.a -o app >err 2>&1 || fail "assembly does not link"
  ./app >second || fail "the program of assembly fails"; same first second
  nm --defined-only --extern-only one.o | awk '{print $3}' | sort >out
  printf 'ingot_model_one\none_run\n' | cmp -s - out || fail "other symbols than the documented"
}

case_executable() {
  expect 0 compile "$model" --emit=exe -o net; silent; only net
  printf '\223NUMPY\1\0\166\0%-117s\n\0\0\200\77\0\0\0\100\0\0\100\100\0\0\200\100' \
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4), }" >x.npy
  ./net x.npy >out 2>err || fail "the executable fails"
  expect 0 run "$model" -i x.npy -o y=want.npy; same y.npy want.npy
  mkdir d; ./net x=x.npy -d d --threads=1 || fail "the executable fails"; same d/y.npy want.npy
  ./net --help >out || fail "no help"; prints "input  x: f32[1,4]"; prints "Exit codes"
  ./net 2>err; [ $? -eq 2 ] || fail "not 2 without an input"
  ./net --frob 2>err; [ $? -eq 2 ] || fail "not 2 for an unknown option"; says "--frob"
  ./net missing.npy 2>err; [ $? -eq 1 ] || fail "not 1 for a missing file"; says "missing.npy"
  ./net z=x.npy 2>err; [ $? -eq 2 ] || fail "not 2 for an unknown input"; says "'z'"
  head -c 130 x.npy >cut.npy; ./net cut.npy 2>err; [ $? -eq 1 ] || fail "not 1 for a cut file"; says "truncated"
  sed 's/(1, 4)/(4, 1)/' x.npy >turned.npy; ./net turned.npy 2>err; [ $? -eq 1 ] || fail "not 1"; says "wanted [1, 4]"
  printf '\223NUMPY\1\0\5\0descr' >end.npy; ./net end.npy 2>err; [ $? -eq 1 ] || fail "not 1"; says "element type"
  # A .npz whose only member lies at 2^64-10, which its extra field says.
  { printf 'PK\1\2%24s\1\0\14\0%10s\377\377\377\377x' '' '' | tr ' ' '\0'
    printf '\1\0\10\0\366\377\377\377\377\377\377\377'
    printf 'PK\5\6\0\0\0\0\1\0\1\0\73\0\0\0\0\0\0\0\0\0'; } >wrap.npz
  ./net wrap.npz 2>err; [ $? -eq 1 ] || fail "not 1 for a member beyond the file"; says "damaged"
  ./net x.npy -d no/such 2>err; [ $? -eq 1 ] || fail "not 1"; says "no/such"
}

case_weights_file() {
  local trained=$source/models/lenet_fashion.yaml image=$source/models/images/bag_18.png
  expect 0 compile "$trained" -o inside.so; expect 0 run inside.so -i "$image"; mv out want
  expect 0 compile "$trained" -o net.so --weights-file; silent; only inside.so inside.h net.so net.h net.weights want
  expect 0 run net.so -i "$image"; same out want
  mv net.weights away; expect 1 run net.so -i "$image"; says "net.weights"
  head -c 70000 away >net.weights; expect 1 run net.so -i "$image"; says truncated
  head -c 70000 /dev/zero >net.weights; truncate -s 2M net.weights; expect 1 run net.so -i "$image"; says "not a weights file"
  expect 0 compile "$trained" -o other.so -O0 --weights-file=net.weights; expect 0 run other.so -i "$image"
  expect 0 compile "$model" -o small.so --weights-file # has none
  sed 's/scale: 1/scale: 2/' "$trained" >third.yaml; cp "$source"/models/lenet_fashion.npz "$source"/models/fashion_labels.txt .
  expect 0 compile third.yaml -o third.so -O0 --weights-file=net.weights
  cmp -s net.weights away || { cp net.weights x; expect 1 run net.so -i "$image"; says "another build"; }
  expect 2 compile "$trained" --weights-file=a/b; says "plain file name"
  expect 1 compile "$trained" --weights-file -o x.ll; says "--weights-file"
}

# What a user may get wrong with a library: each is said in words, and nothing runs.
case_wrong_use() {
  local trained=$source/models/lenet_fashion.yaml image=$source/models/images/bag_18.png bytes at
  expect 0 compile "$trained" -o net.so
  bytes=$(stat -c %s net.so)
  : >cut.so; expect 1 run cut.so -i "$image"; says "'cut.so' is empty"
  for at in 100 4096 $((bytes / 2)) $((bytes - 1)); do
    head -c $at net.so >cut.so; expect 1 run cut.so -i "$image"; says "cut.so: truncated"
    expect 1 inspect cut.so; says "cut.so: truncated"
  done
  local own other; own=$(uname -m) other=aarch64
  [ "$own" != aarch64 ] || other=x86-64
  expect 0 compile "$trained" --target=$other -o far.so
  expect 1 run far.so -i "$image"; says "far.so: made for $other, 64 bits, this program runs on"
  # The word of the versions, behind the first magic number that has the descriptor's size after it.
  at=$(LC_ALL=C grep -obUaP 'INGO\x01\x00[\x00-\xff]{2}\x20\x00\x00\x00' net.so | head -n 1 | cut -d: -f 1)
  cp net.so new.so; printf '\143' | dd of=new.so bs=1 seek=$((at + 4)) conv=notrunc status=none
  expect 1 run new.so -i "$image"; says "new.so: has ABI 99."; says "newer than this loader"
  npy() { printf '\223NUMPY\1\0v\0%-117s\n' "{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"; head -c "$3" /dev/zero; }
  npy '<f4' 1,1,28,27 3024 >x.npy; expect 1 run net.so -i x.npy
  says "input 'image': extent 3 is 27, the model wants 28; shape given [1, 1, 28, 27], wanted [N<=64, 1, 28, 28]"
  npy '<f4' 28,28 3136 >x.npy; expect 1 run net.so -i x.npy; says "rank is 2, the model wants 4"
  npy '<f4' 65,1,28,28 203840 >x.npy; expect 1 run net.so -i x.npy; says "extent 0 is 65, the model wants at most 64"
  npy '<f8' 1,1,28,28 6272 >x.npy; expect 1 run net.so -i x.npy; says "input 'image': element type is f64, the model wants f32"
}

# The classifier's library without its weights stays small.
case_small_artefact() {
  expect 0 compile "$source/models/mobilenetv2.yaml" --target=x86-64-v3 --weights-file -o m.so; silent
  strip m.so || skip "no strip"
  [ "$(stat -c %s m.so)" -lt 150000 ] || fail "MobileNetV2 takes $(stat -c %s m.so) bytes without weights"
}

# What the header states is what the library says, limits are kept to the byte, and what breaks one is named.
case_contract() {
  local trained=$source/models/lenet_fashion.yaml
  expect 0 compile "$trained" --name=net -o net.o; silent
  cat >app.c <<'EOF'
#include <stdio.h>
#include "runtime/ingot_abi.h"
#include "net.h"
int main(void) {
  const struct ingot_model *m = &ingot_model_net;
  struct ingot_options o = {.size = sizeof o, .threads = 1};
  int bad = NET_ARENA_BYTES != ingot_arena_bytes(m, NULL) || NET_CTX_BYTES < (int64_t)ingot_ctx_bytes(m, &o) ||
            NET_CTX_BYTES > (int64_t)ingot_ctx_bytes(m, &o) + 4096 || NET_STATE_BYTES != 0 || ingot_state_bytes(m) != 0 ||
            NET_STACK_BYTES != m->stack_bytes || NET_WEIGHT_BYTES != m->weights.bytes || NET_FLOPS <= 0 ||
            NET_IMAGE_ALIGN != ingot_input_info(m, 0)->align || net_image_size(64) * 4 != ingot_input_info(m, 0)->bytes ||
            net_logits_size(3) != 30 || NET_LOGITS_SIZE != 640;
  printf("%lld %lld\n", (long long)NET_ARENA_BYTES, (long long)NET_STACK_BYTES);
  return bad;
}
EOF
  cc -I"$source" -I. app.c net.o -lm -lpthread -o app 2>err || fail "the program does not compile"
  ./app >out || fail "the header says something else than the library"
  local arena stack size; read -r arena stack <out; size=$(stat -c %s net.o)
  expect 0 compile "$trained" --name=net -o net.o --max-arena="$arena" --max-stack="$stack" --max-size="$size"
  expect 1 compile "$trained" -o x.o --max-arena=$((arena - 1))
  says "working memory: $arena bytes"; says "'x.relu' takes 1568 KiB: f32[N<=64,6,28,28]"; says "--dim sets lower ones"
  expect 1 compile "$trained" -o x.o --max-stack=$((stack - 1)); says "stack: $stack bytes"; says "takes"
  expect 1 compile "$trained" -o x.o --max-size=64K; says "the artefact:"; says "--weights-file"
  [ ! -e x.o ] && [ ! -e x.h ] || fail "something is left"
  expect 0 compile "$trained" -o x.o --max-arena=1M --dim=N=1 # as the message advises
  expect 2 compile "$trained" --max-arena=much; says "a number of bytes"
}

# --real-time, on the binary and by running it where the kernel kills who makes a system call.
case_real_time() {
  command -v objdump >/dev/null || skip "no objdump"
  [ "$(uname -m)" = x86_64 ] || skip "looks for x86-64's instructions"
  local m options name
  expect 0 compile "$source/models/resnet_fashion.yaml" --name=net --dim=N=2 --real-time -o bare.o --freestanding
  [ -z "$(nm -u bare.o)" ] || fail "refers to $(nm -u bare.o)"
  objdump -d bare.o | grep -qwE 'syscall|sysenter|int +\$0x80' && fail "there are system calls in the freestanding form"
  cat >app.c <<'EOF'
#define _GNU_SOURCE
#include "runtime/ingot.h"
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
extern const struct ingot_model ingot_model_net;
int main(void) {
  const struct ingot_model *m = &ingot_model_net;
  int64_t dims[16];
  ingot_ctx *c;
  if (ingot_ctx_create(m, NULL, &c)) return 1;
  for (int32_t i = 0; i < ingot_input_count(m); i++) {
    const struct ingot_tensor_info *t = ingot_input_info(m, i);
    for (int32_t d = 0; d < t->rank; d++) dims[d] = t->dims[d].n;
    if (ingot_set_input(c, i, calloc(1, (size_t)t->bytes), t->dtype, t->rank, dims, (uint64_t)t->bytes)) return 2;
  }
  for (int32_t i = 0; i < ingot_output_count(m); i++) {
    uint64_t bytes = (uint64_t)ingot_output_info(m, i)->bytes;
    if (ingot_set_output(c, i, calloc(1, bytes), bytes)) return 3;
  }
  int bad = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0; // from here on read, write and exit alone
  for (int r = 0; r < 20 && !bad; r++) bad = ingot_run(c) != INGOT_OK;
  syscall(SYS_exit, bad);
}
EOF
  for m in "resnet_fashion --dim=N=2" "lstm_tagger --dim=B=1 --dim=T=4" "mobilenetv2"; do
    read -r name options <<<"$m"
    # shellcheck disable=SC2086
    expect 0 compile "$source/models/$name.yaml" --name=net $options --real-time -o net.o; silent
    objdump -dr --no-show-raw-insn net.o | awk '/^[0-9a-f]+ <k[0-9]+_.*>:/ {in_kernel = 1} /^$/ {in_kernel = 0} in_kernel' >code
    grep -q ret code || fail "no kernels in the code of $name"
    grep -wE 'syscall|malloc|calloc|realloc|free|mmap|futex|pthread_.*|sched_.*|nanosleep' code && fail "kernels of $name"
    cc -O1 -I"$source" -I. app.c net.o -lm -lpthread -o app 2>err || fail "the program does not compile"
    ./app; [ $? -eq 0 ] || fail "a run of $name makes a system call or fails"
  done
}

case_isa() {
  grep -q avx2 /proc/cpuinfo || skip "no AVX2"
  local trained=$source/models/lenet_fashion.yaml image=$source/models/images/bag_18.png v
  expect 0 compile "$trained" --isa=x86-64,x86-64-v3,x86-64-v2 -o all.so; silent
  for v in x86-64 x86-64-v2 x86-64-v3; do
    expect 0 compile "$trained" --target=$v -o one.so; expect 0 run one.so -i "$image" -o logits=want.npy
    INGOT_ISA=$v expect 0 run all.so -i "$image" -o logits=$v.npy; same $v.npy want.npy
    INGOT_ISA=$v expect 0 inspect all.so; grep -q "^target  *$v\$" out || fail "not the form of $v"
  done
  expect 0 run all.so -i "$image" -o logits=best.npy; same best.npy x86-64-v3.npy
  INGOT_CPU=nothing expect 0 run all.so -i "$image" -o logits=least.npy; same least.npy x86-64.npy
  expect 0 inspect --json all.so; prints '"x86-64-v3", "x86-64-v2", "x86-64"'
  local all one; all=$(stat -c %s all.so) one=$(stat -c %s one.so)
  [ "$all" -lt $((3 * one)) ] || fail "nothing is shared"
  expect 1 compile "$trained" --isa=x86-64-v3,aarch64; says "different architectures"
  expect 1 compile "$trained" --isa=x86-64-v3,pdp11; says "unknown target 'pdp11'"
  expect 1 compile "$trained" --isa=x86-64-v3,x86-64 -o x.o --freestanding; says "operating system"
}

# With --fp=strict, since the order of sums depends on the extents else.
case_specialize() {
  printf '%s\n' 'model: enc' 'inputs: {x: "f32[B<=4,T<=64,32]"}' 'weights: {init: normal(0.1)}' 'graph:' \
    '  - q: linear(x, 32)' '  - k: linear(x, 32)' '  - a: attention(q, k, x, heads=4)' \
    '  - y: layer_norm(x + linear(gelu(linear(a, 64)), 32))' 'outputs: y' >enc.yaml
  printf '%s\n' 'inputs: {x: "f32[B<=4,T<=64,32]"}' 'graph: {y: x + 1}' 'outputs: y' >make.yaml
  expect 0 compile enc.yaml --fp=strict -o plain.so; silent
  expect 0 compile enc.yaml --fp=strict --specialize=T=1,16 --specialize=B=2:T=7,64 --verify-each -o special.so; silent
  expect 0 verify enc.yaml --specialize=T=1,16 --specialize=B=2:T=7; prints "with T=1"; prints "with B=2, T=7"; grep -q DEPARTS out && fail "departs"
  grep -q 'with code of its own: B=2,T=64' special.h || fail "the header does not tell"
  expect 0 inspect special.so; prints 'T=1 T=16 B=2,T=7 B=2,T=64'; prints '_linear@B=2,T=7 '
  local at b t
  for at in 1,16 1,3 2,7 2,64; do
    b=${at%,*} t=${at#*,}
    expect 0 run make.yaml --dim=B=$b --dim=T=$t -i x=random:$t -o y=x.npy
    expect 0 run plain.so -i x=x.npy -o y=want.npy
    expect 0 run special.so -i x=x.npy -o y=got.npy; same want.npy got.npy
    expect 0 run special.so --threads=2 -i x=x.npy -o y=got.npy; same want.npy got.npy
  done
  expect 0 run enc.yaml --fp=strict --specialize=T=64 --check -i x=random -o y=got.npy
  expect 0 run plain.so -i x=random -o y=want.npy; same want.npy got.npy
  # The model says it itself, the command line something else.
  sed 's/^graph:/specialize: [{B: 2, T: [7, 64]}, {T: 1}]\n&/' enc.yaml >own.yaml
  expect 0 compile own.yaml -o own.so; expect 0 inspect own.so; prints 'specialized    B=2,T=7 B=2,T=64 T=1'
  expect 0 compile own.yaml --dim=T=7 -o own.so; expect 0 inspect own.so; prints 'specialized    B=2'
  expect 0 compile own.yaml --specialize=B=3 -o own.so; expect 0 inspect own.so; prints 'specialized    B=3'
  sed 's/^graph:/specialize: {U: 1}\n&/' enc.yaml >bad.yaml
  expect 1 compile bad.yaml; says "bad.yaml:4:14: error: the model has no symbol 'U'"
  expect 1 compile enc.yaml --specialize=T=65; says "'T' is 1 to 64, and never 65"
  expect 1 compile enc.yaml --specialize=T=0; says "'T' is 1 to 64, and never 0"
  expect 1 compile enc.yaml --specialize=U=1; says "no symbolic dimension 'U'"
  expect 1 compile enc.yaml --specialize=T=many; says "'many' is no extent"
  expect 1 compile enc.yaml --specialize=T=1:B; says "SYM=N"
  expect 2 compile enc.yaml --specialize=T; says "--specialize wants SYM=N"
  expect 1 compile enc.yaml -g --specialize=T=1; says "do not go together"
  expect 0 opt enc.yaml --passes= -o enc.ing
  expect 1 compile enc.ing --specialize=T=1; says "IR text"
}

# What the code for many tokens leaves in the cache the code for one reads.
case_specialize_state() {
  printf '%s\n' 'model: m' 'symbols: {T: 64, past: 0..64, past + T: 64}' 'inputs: {tokens: "i32[1,T]"}' \
    'weights: {init: normal(0.5)}' 'graph:' '  - table: weight("table", [4, 32])' '  - x: gather(table, tokens)' \
    '  - keys: cache@keys(linear@k(x, 32), 1)' '  - values: cache@values(linear@v(x, 32), 1)' \
    '  - y: attention(x, keys, values, heads=4, causal=true, offset=[past])' \
    '  - logits: linear((x + y)[:, -1], table, transpose_w=true) * 9' 'outputs: logits' >m.yaml
  printf '{"model":{"type":"BPE","vocab":{"a":0,"b":1,"c":2,"d":3},"merges":[]}}' >m.json
  local options="--tokenizer=m.json --prompt=abacada --steps=60 --temperature=1 --seed=5" target
  for target in x86-64 x86-64-v3; do
    expect 0 compile m.yaml --target=$target -o plain.so; expect 0 generate plain.so $options; mv out want
    expect 0 compile m.yaml --target=$target --specialize=T=1,7 -o special.so
    expect 0 generate special.so $options; same want out
    expect 0 compile m.yaml --isa=$target,x86-64 --specialize=T=1 -o both.so; INGOT_ISA=$target expect 0 generate both.so $options
    same want out
  done
  printf '{"model":{"type":"BPE","vocab":{"a":0,"b":1,"c":2,"d":4},"merges":[]}}' >large.json
  expect 1 generate special.so --tokenizer=large.json --prompt=abad; says "token 3 of the prompt is 4, the model's vocabulary ends at 3"
  [ ! -s out ] || fail "there is text"
  expect 1 compile m.yaml --specialize=past=1; says "'past' grows from run to run"
  expect 1 generate special.so --tokenizer=m.json --prompt="$(printf 'a%.0s' {1..65})"; says "the model allows 1 to 64"
}

case_compile_bad_input() {
  expect 1 compile missing.yaml; says "missing.yaml"; only
  expect 1 compile .; only
  : >empty.yaml; expect 1 compile empty.yaml; says "'empty.yaml' is empty"; only empty.yaml
  head -c 3000 /dev/urandom >noise.onnx; expect 1 compile noise.onnx; says "error:"; only empty.yaml noise.onnx
  printf 'inputs: {x: "f32[2]"\n' >bad.yaml; expect 1 compile bad.yaml; says "bad.yaml:"; says "error:"
  expect 1 compile "$model" --target=pdp11 -o x.so; says "unknown target 'pdp11'"
  only bad.yaml empty.yaml noise.onnx
}

# Only IR text goes to standard output.
case_to_stdout() {
  expect 0 compile "$model" --emit=loops -o -; grep -q '^ingot 1 loops' out || fail "no loops"
  local kind; for kind in so asm llvm; do
    expect 2 compile "$model" --emit=$kind -o -; says "'-o -' goes with IR text"
  done
  [ -z "$(find . -name '-*')" ] || fail "a file named -"
}

case_unwritable() {
  expect 1 compile "$model" -o no/such/folder/x.so; says "no/such/folder/x.so"; only
  mkdir folder; expect 1 compile "$model" -o folder; says "folder"; [ -z "$(ls -A folder)" ] || fail "not empty"
  echo precious >x.so
  expect 1 compile "$model" -o x.so --header no/such/x.h; says "no/such/x.h"
  [ "$(cat x.so)" = precious ] || fail "x.so was replaced though the compilation failed"
  only folder x.so
  if [ "$(id -u)" -ne 0 ]; then
    chmod a-w folder; expect 1 compile "$model" -o folder/x.so; says "Permission denied"
  fi
}

# A full disk: writing to /dev/full, and a file system of one page where a user may mount one.
case_full_disk() {
  local kind kinds="llvm bc asm"
  [ "$(id -u)" -eq 0 ] && kinds="so obj archive $kinds" # these need room beside the output
  for kind in $kinds; do
    expect 1 compile "$model" --emit=$kind -o /dev/full --header h.h; says "No space left on device"; only
  done
  expect 1 compile "$model" -o x.so --header /dev/full; says "No space left on device"; only
  expect 1 opt "$model" -o /dev/full; says "No space left on device"; only
  mkdir small
  mount -t tmpfs -o size=16k none small 2>/dev/null || return 0
  "$ingot" compile "$model" -o small/x.so 2>err && { umount small; fail "no error on a full file system"; }
  local left; left=$(ls -A small); umount small
  says "No space left on device"; [ -z "$left" ] || fail "left on the full file system: $left"
}

# What is printed and does not arrive is an error, whichever way the process ends.
case_full_output() {
  local arguments
  "$ingot" compile "$model" -o m.so || fail "cannot compile"
  for arguments in --help --version help "help compile" "compile --help" "generate --usage" ops "ops --markdown" "ops conv" \
    "opt --list-passes" "opt $model" "compile $model --emit=graph -o -" "inspect m.so" "inspect $model" "explain $model y" \
    "bench m.so --runs=3" "verify $model" "diff $model $source/models/lenet_fashion.yaml"; do
    # shellcheck disable=SC2086
    "$ingot" $arguments >out 2>err || [ "${arguments%% *}" = diff ] || fail "ingot $arguments fails by itself"
    [ -s out ] || fail "ingot $arguments prints nothing"
    # shellcheck disable=SC2086
    "$ingot" $arguments >/dev/full 2>err
    [ $? -eq 1 ] || fail "ingot $arguments: a full standard output goes unnoticed"
    says "cannot write to standard output"
    # shellcheck disable=SC2086
    "$ingot" $arguments >&- 2>err
    [ $? -eq 1 ] || fail "ingot $arguments: a closed standard output goes unnoticed"
  done
  "$ingot" --help >/dev/full 2>err; says "No space left on device"
}

case_linker() {
  expect 1 compile "$model" -o x.so --linker=/nonexistent/ld; says "/nonexistent/ld"; only
  expect 1 compile "$model" -o x.so --linker=false; says "false"; only
}

# The signal comes while the linker runs and outputs are open.
case_interrupted() {
  printf '#!/bin/sh\n: >linking\nexec sleep 5\n' >slow-ld; chmod +x slow-ld
  local sig pid; for sig in TERM HUP; do
    "$ingot" compile "$model" -o x.so --linker=./slow-ld >out 2>err &
    pid=$!
    local tries=0; until [ -e linking ] || [ $tries -gt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    [ -n "$(find . -name '.x.so.*')" ] || fail "no temporary file to test with"
    kill -$sig $pid; wait $pid
    [ $? -gt 128 ] || fail "did not die of SIG$sig"
    rm linking; only slow-ld
  done
}

# ---- dumps -------------------------------------------------------------------------------------------------

case_dumps() {
  expect 0 compile "$model" -o whole.so --dump=all --dump-dir=d; silent
  local n; n=$(ls d/*.ing | wc -l)
  [ "$n" -ge 8 ] || fail "only $n dumps"
  local f; for f in d/*.ing; do
    expect 0 opt "$f" --passes= -o d/again; silent
    same d/again "$f"
    expect 0 compile "$f" -o part.so --name=small; silent; same whole.so part.so
    expect 0 opt "$f" -o part2.so; silent; same whole.so part2.so
  done
}

# Large constants stand in files beside the dumps.
case_dumps_of_a_trained_model() {
  local trained=$source/models/resnet_fashion.yaml f
  expect 0 compile "$trained" -o whole.so --dump=all --dump-dir=d; silent
  for f in d/*.ing; do
    expect 0 opt "$f" --passes= -o d/again; silent
    same d/again "$f"
    expect 0 opt "$f" -o part.so; silent; same whole.so part.so
  done
}

case_dump_options() {
  expect 0 compile "$model" -o x.so --dump=after:fuse --dump=after:lower --dump-dir=d; silent
  ls d | grep -q fuse || fail "no dump after fuse"; ls d | grep -q lower || fail "no dump after lower"
  [ "$(ls d/*.ing | wc -l)" -eq 2 ] || fail "not two dumps"
  expect 0 compile "$model" -o y.so --stop-after=fuse; [ ! -e y.so ] || fail "a library though it was stopped"
  expect 1 compile "$model" -o x.so --dump=all --dump-dir=no/such; says "no/such"
  expect 0 compile "$model" -o x.so --time-passes; says "all passes"; says "fuse"
  expect 0 compile "$model" -o x.so --verify-each; silent
  expect 0 opt "$model" --passes=canonicalize,fold; silent; prints small
  expect 1 opt "$model" --passes=memory; says "takes a module at level"
  expect 1 opt "$model" --passes=canonicalize -o half.so; says "no code of a module at level 'graph'"; [ ! -e half.so ] || fail "a library of half a module"
  expect 1 compile "$model" --passes=fuse,schedule,lower -o half.so; says "no code of a module at level 'loops'"; [ ! -e half.so ] || fail "a library of half a module"
}

# Only what changed, one kernel only, differences.
case_dump_views() {
  expect 0 compile "$model" -o x.so --dump=changed --dump-dir=d; silent
  [ "$(ls d/*.ing | wc -l)" -lt 11 ] || fail "passes without effect are dumped"
  ls d | grep -q memory || fail "no dump of the last pass"
  expect 0 compile "$model" -o x.so --diff --dump-dir=e; silent
  grep -q '^+  schedule ' e/*-schedule.diff || fail "the difference does not show the schedule"
  local kernel; kernel=$(sed -n 's/^kernel \([a-z0-9_]*\).*/\1/p' d/*-fuse.ing | head -n 1)
  expect 0 compile "$model" -o x.so --dump-kernel="$kernel" --dump-dir=k; silent
  [ "$(grep -c '^kernel' k/*-lower.ing)" -eq 1 ] || fail "not one kernel"
  local f; for f in k/*.ing; do expect 0 compile "$f" -o k.so; silent; done
  expect 0 compile "$model" -o x.so --diff --dump-dir=-; says '+++ fuse'
  expect 0 compile "$model" --emit=graph; prints 'ingot 1 graph'
  expect 0 compile "$model" --emit=kernels; prints 'ingot 1 kernels'
  expect 0 compile "$model" --emit=loops -o l.ing; silent; expect 0 compile l.ing -o l.so; same x.so l.so
}

# What was read, as a rule that make understands.
case_depfile() {
  mkdir "a b"; cp "$source"/models/lenet_fashion.* "$source/models/fashion_labels.txt" "a b/"
  expect 0 compile "a b/lenet_fashion.yaml" -o net.so --depfile=net.d; silent
  grep -q '^net.so:' net.d || fail "no rule"
  local f; for f in yaml npz; do grep -qF "a\\ b/lenet_fashion.$f" net.d || fail "the rule lacks the $f"; done
  grep -q '\.o\b\|tmp' net.d && fail "the rule has temporary files"
  command -v make >/dev/null || skip "there is no make"
  printf 'net.so:\n\ttouch net.so\n-include net.d\n' >Makefile
  make -q net.so || fail "make thinks that it is old"
  touch "a b/lenet_fashion.npz"; make -q net.so && fail "make does not see the weights"
  expect 1 compile "$model" -o net.so --depfile=no/such; says "no/such"
}

case_explain() {
  local lenet=$source/models/lenet_fashion.yaml
  expect 0 explain "$lenet" %conv2; silent; prints "conv2 (conv), "; prints "after fuse"; prints "kernel conv2_conv"
  prints "layout<0,1/8,2,3,1%8>: blocks of 8 channels"; prints "estimated against it"; grep -qE '^  schedule %.*: product\(' out || fail "no schedule"
  expect 0 explain "$lenet" 'x.relu (relu)'; grep -qE '^  fuse %x.relu: ' out || fail "no reason"
  expect 1 explain "$lenet" conv3; says "did you mean 'conv1'"
  expect 2 explain "$lenet"; says "which node"
  expect 0 compile "$lenet" -o x.so --remarks; says "remark: schedule %"; says "lenet_fashion.yaml:13:"
  expect 0 compile "$lenet" -o y.so; same x.so y.so
}

# The page in a real browser: it opens without errors, search finds an op, a click shows its kernel.
case_report() {
  local lenet=$source/models/lenet_fashion.yaml browser title
  expect 0 report "$lenet" -o r.html --seconds=0; silent; only r.html
  grep -qE '(src|href)="?https?:' r.html && fail "the page wants the network"
  [ "$(wc -c <r.html)" -lt 1000000 ] || fail "the page is large"
  expect 0 report "$lenet" -o g.dot; grep -q '^digraph' g.dot || fail "no dot"
  grep -qF '"conv1 (conv)" -> "x.relu (relu)"' g.dot || fail "nodes have numbers, which viewers show"
  # What Model Explorer takes: one collection, not a list of them.
  expect 0 report "$lenet" -o g.json
  grep -q '^{"label":"lenet_fashion","graphs":\[{"id":"main","nodes":.*"incomingEdges"' g.json || fail "no graph for Model Explorer"
  expect 0 compile -g "$lenet" -o l.so; expect 0 report l.so -o l.html --no-profile; silent
  expect 1 report missing.yaml -o x.html; says missing.yaml; [ ! -e x.html ] || fail "a page of nothing"
  browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || skip "there is no Chromium"
  title=$(timeout 100 "$browser" --headless=new --no-sandbox --disable-gpu --allow-file-access-from-files --user-data-dir="$work/profile" \
    --virtual-time-budget=200000 --dump-dom "file://$source/tests/report_check.html?file://$work/r.html|conv2|conv2_conv" 2>err | grep -o '<title>[^<]*')
  rm -rf profile
  case $title in *fine*) ;; '') skip "Chromium does not start here" ;; *) fail "in the browser: $title" ;; esac
}

case_reduce() {
  local lenet=$source/models/lenet_fashion.yaml
  expect 0 reduce "$lenet" -o small.ing --command "$ingot inspect {} | grep -qE ' max_pool$' && exit 3; exit 0"
  silent; prints "1 of "; expect 0 opt small.ing --passes=; prints "max_pool("
  [ "$(grep -c '^  %.* = ' out)" -eq 1 ] || fail "more than one node is left"
  expect 0 reduce "$lenet" -o two.ing --command "$ingot inspect {} >t; grep -qE ' conv$' t && grep -qE ' relu$' t && exit 1; exit 0"
  expect 0 inspect two.ing; grep -qE ' conv$' out && grep -qE ' relu$' out || fail "the failure is lost"
  expect 0 compile two.ing -o two.so
  # Constants that stand in no file of the user's lie beside the result, not in a folder that goes.
  cat >made.yaml <<'Y'
inputs: {x: 'f32[1,64]'}
weights: {init: normal(0.1), seed: 1}
graph:
  - y: tanh(linear@a(relu(linear@b(x, 64)), 64))
outputs: y
Y
  expect 0 reduce made.yaml -o made.ing --command "$ingot inspect {} | grep -qE ' linear$' && exit 3; exit 0"
  grep -q "$work/tmp\|/ingot-" made.ing && fail "constants lie in a temporary folder"
  expect 0 verify made.ing; prints "same bits"
  expect 1 reduce "$lenet" --command true; says "there is no failure to keep"
  expect 2 reduce "$lenet"; says "--command"
  expect 0 opt "$lenet" --bisect "grep -q conv1_conv {} && exit 4; exit 0"; prints "fuse: the command is content"; prints "ends with 4"
  expect 0 opt "$lenet" --bisect true; prints "content after every pass"
  [ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
}

case_dry_run() {
  expect 0 compile --dry-run "$source/models/resnet_fashion.yaml"; silent; only
  prints "product"; prints "arena_bytes"; prints "at least"
  local said; said=$(sed -n 's/^weights_bytes *\([0-9]*\).*/\1/p' out)
  expect 0 compile "$source/models/resnet_fashion.yaml" -o r.so; expect 0 inspect r.so --json
  local is; is=$(sed -n 's/.*"weights_bytes":[^0-9]*\([0-9]*\).*/\1/p' out | head -n 1)
  [ "$said" -le "$is" ] && [ $((is - said)) -lt $((is / 10)) ] || fail "said $said bytes of weights, but it is $is"
  # What is not weights is estimated, for another architecture too, and so is the time there.
  local target ratio
  for target in x86-64-v3 aarch64; do
    expect 0 compile --dry-run --target=$target "$source/models/resnet_fashion.yaml"; silent
    said=$(sed -n 's/^file_bytes .* which \([0-9.e+]*\) are code.*/\1/p' out)
    grep -qE "^time  *about [0-9.]+ ms" out || fail "no time for $target"
    expect 0 compile --target=$target --weights-file "$source/models/resnet_fashion.yaml" -o r.so
    ratio=$(awk -v said="$said" -v is="$(stat -c %s r.so)" 'BEGIN {print int(said / is * 100)}')
    [ "$ratio" -ge 60 ] && [ "$ratio" -le 160 ] || fail "said $said bytes of code for $target, $ratio % of what there is"
  done
  expect 0 compile --dry-run --target=cortex-m4 "$source/models/resnet_fashion.yaml"
  prints "on a common processor of the target"; grep -q "at least" out && fail "this machine's limits for another one"
  # A turn of a loop moves what it reads of a sequence: here a row of 64 numbers, another one that is carried, the result
  # of 64 and the number of the turn. Stages that read the same row count it once.
  cat >rows.ing <<'I'
ingot 1 graph
graph main(%x: f32[1000,64], %h: f32[1,64]) {
  %y: f32[1,64] = loop(_, _, %h) trips=[1000] {
    graph body(%i: i64[], %go: bool[], %s: f32[1,64]) {
      %at: i64[1] = reshape(%i) shape=[1]
      %row: f32[1,64] = gather(%x, %at) axis=0
      %t: f32[1,64] = add(%row, %s)
      return %go, %t
    }
  }
  return y=%y
}
I
  cat >softmax.yaml <<'Y'
inputs: {x: 'f32[100,64]'}
graph:
  - y: softmax(slice(x, starts=[1], ends=[2]))
outputs: y
Y
  expect 0 compile --dry-run softmax.yaml; prints "bytes moved    512"
  expect 0 compile --dry-run rows.ing
  awk '/^bytes moved/ {moved = $3} /at least/ {ms = $3} END {exit !(moved < 1.1e6 && ms < 1)}' out || fail "a loop reads $(cat out)"
  # The time that the limits allow is that of the shorter branch, and of Winograd's algorithm the products that it takes.
  cat >branch.ing <<'I'
ingot 1 graph
graph main(%c: bool[], %x: f32[256,256]) {
  %y: f32[256,256] = if(%c) {
    graph yes() {
      %p: f32[256,256] = matmul(%x, %x)
      return %p
    }
    graph no() {
      %q: f32[256,256] = neg(%x)
      return %q
    }
  }
  return y=%y
}
I
  cat >conv.yaml <<'Y'
inputs: {x: 'f32[1,64,56,56]'}
weights: {init: normal(0.1), seed: 1}
graph:
  - y: conv@c(x, 64, kernel=3, pad=1)
outputs: y
Y
  local share='/^flops/ {flops = $2} /at least/ {ms = $3; gflops = substr($10, 2)} END {print int(ms * gflops * 1e8 / flops)}'
  expect 0 compile --dry-run branch.ing; ratio=$(awk "$share" out)
  [ "$ratio" -lt 60 ] || fail "$ratio % of both branches' operations"
  expect 0 compile --dry-run conv.yaml; prints winograd; ratio=$(awk "$share" out)
  [ "$ratio" -lt 60 ] || fail "$ratio % of the operations of the definition"
  expect 0 inspect "$source/models/resnet_fashion.safetensors"; prints "conv1.weight"; prints "F32"
  expect 0 inspect "$source/models/resnet_fashion.safetensors" --json; prints '"parameters"'
}

case_diff() {
  expect 0 compile "$model" -o x.so --dump=all --dump-dir=d
  expect 0 diff d/*-fuse.ing d/*-fuse.ing; silent; [ ! -s out ] || fail "a module differs from itself"
  expect 1 diff d/*-layout.ing d/*-schedule.ing; silent; prints "+  schedule"
  expect 1 diff d/*-input.ing d/*-dce.ing; silent
  sed 's/%y\b/%why/' d/*-dce.ing >renamed.ing; cp -r d/*.weights . 2>/dev/null
  expect 1 diff d/*-dce.ing renamed.ing; prints "is now %why"
  expect 2 diff one; says "which two files"; expect 1 diff missing.ing missing.ing; says missing
}

# ---- debug information ---------------------------------------------------------------------------------------

# Stops at a line of the loop dump, steps, and sees the op, the kernel and a loop's variable.
case_debugger() {
  command -v gdb >/dev/null || skip "there is no gdb"
  local lenet=$source/models/lenet_fashion.yaml line
  expect 0 compile -g "$lenet" -o l.so; silent
  line=$(grep -nE '^ +for k[0-9]*<5' l.ing | head -n 1)
  local var=${line#*for }; var=${var%%<*}
  printf '%s\n' 'set pagination off' 'set breakpoint pending on' "break l.ing:${line%%:*}" run 'bt 2' next next "print $var" \
    "break l.ing:$((${line%%:*} + 1))" continue continue "print $var" 'info symbol $pc' >script
  gdb -q -batch -x script --args "$ingot" run l.so --threads=1 --input "$source/models/images/bag_18.png" >out 2>err </dev/null
  grep -q 'Breakpoint 2' out || skip "gdb cannot run programs here"
  grep -qE "^#0 .*conv1 ?\(conv\).* at .*l\.ing:${line%%:*}" out || fail "no frame of the op"
  grep -qE '^#1 .*conv1_conv.* at .*l\.ing:' out || fail "no frame of the kernel"
  grep -qE '^\$[0-9]+ = [0-4]$' out || fail "the loop's variable cannot be seen"
  prints "conv1_conv"
}

# The same results, and the same bytes from every dump.
case_debug_build() {
  local f; mkdir g
  expect 0 compile "$model" -o plain.so; expect 0 compile -g "$model" -o g/x.so --dump=all --dump-dir=d; silent
  expect 0 run plain.so --input x=random:7 --output y=plain.npy
  expect 0 run g/x.so --input x=random:7 --output y=g.npy; same plain.npy g.npy
  cp g/x.so whole.so; cp g/x.ing whole.ing
  for f in d/*.ing whole.ing; do
    expect 0 opt -g "$f" -o g/x.so; silent; same g/x.so whole.so; same g/x.ing whole.ing
  done
}

# ---- instrumentation ------------------------------------------------------------------------------------------

# The same results; probes on every thread; the steps' times sum up to the run's.
case_instrument() {
  local lenet=$source/models/lenet_fashion.yaml ratio
  expect 0 compile "$lenet" -o plain.so; expect 0 compile --instrument "$lenet" -o probed.so; silent
  grep -q 'probe0' <(strings plain.so) && fail "probes in a library without instrumentation"
  expect 0 run plain.so --input image=random:7 --output logits=plain.npy
  expect 0 run probed.so --input image=random:7 --output logits=probed.npy; same plain.npy probed.npy
  expect 0 bench probed.so --threads=1 --seconds=0.2 --json --trace=t.json; silent; prints '"by":	"probes"'
  ratio=$(awk -F: '/"run_ms"/ {run = $2 + 0} /"steps_ms"/ {print int(($2 + 0) / run * 100)}' out)
  [ "$ratio" -ge 97 ] && [ "$ratio" -le 100 ] || fail "the steps are $ratio % of the run"
  grep -q '"traceEvents"' t.json && grep -q '"name":"conv1_conv"' t.json || fail "no trace"
  # Steps and executor are the whole run; ops that share a kernel are estimated; memory over time, as a track too.
  ratio=$(awk -F: '/"run_ms"/ {run = $2 + 0} /"steps_ms"/ {sum = $2} /"executor_ms"/ {print int((sum + $2) / run * 1000 + 0.5); exit}' out)
  [ "$ratio" -eq 1000 ] || fail "steps and executor are $ratio per mille of the run"
  prints '"peak_bytes"'; grep -q '"live_bytes":.[1-9]' out || fail "no memory over time"
  grep -A 3 '"op":.*"conv1 (conv)"' out | grep -q '"estimated":.true' || fail "no estimate of conv1's time"
  grep -A 3 '"op":.*"x.max_pool (max_pool)"' out | grep -q '"estimated":.false' || fail "an op with a kernel of its own is estimated"
  grep -q '"ph":"C"' t.json || fail "no track of the memory"
  # With two threads too; waiting behind a step belongs to it.
  expect 0 bench probed.so --threads=2 --seconds=0.2 --json --profile; prints '"gap_ms"'
  ratio=$(awk -F: '/"run_ms"/ {run = $2 + 0} /"steps_ms"/ {print int(($2 + 0) / run * 100)}' out)
  [ "$ratio" -ge 97 ] && [ "$ratio" -le 100 ] || fail "with two threads, the steps are $ratio % of the run"
  # In loops, too.
  expect 0 compile --instrument "$source/models/lstm_tagger.yaml" --dim=B=1 --dim=T=32 -o loop.so
  expect 0 bench loop.so --threads=2 --seconds=0.2 --json --profile
  ratio=$(awk -F: '/"run_ms"/ {run = $2 + 0} /"steps_ms"/ {print int(($2 + 0) / run * 100 + 0.5)}' out)
  [ "$ratio" -ge 97 ] && [ "$ratio" -le 100 ] || fail "in loops with two threads, the steps are $ratio % of the run"
  # What a step in a loop does, it does in every turn: a text of half the length is half the work.
  local sum='/"flops":/ {sum += $2} /"ops":/ {print sum; exit}' long short
  long=$(awk -F: "$sum" out)
  expect 0 compile --instrument "$source/models/lstm_tagger.yaml" --dim=B=1 --dim=T=16 -o loop.so
  expect 0 bench loop.so --threads=1 --seconds=0 --runs=3 --json --profile
  short=$(awk -F: "$sum" out)
  [ "$((short * 2))" -eq "$long" ] || fail "16 words take $short operations, 32 words $long"
  expect 0 bench probed.so --threads=2 --seconds=0.2 --json --profile
  # Operations are those of the extents of the run, not of the largest.
  local all one flops='/"name":.*"conv1_conv"/ {at = 1} at && /"flops"/ {print $2 + 0; exit}'
  all=$(awk -F: "$flops" out)
  head -c 3136 /dev/zero >one.bin
  expect 0 bench probed.so --threads=1 --seconds=0 --runs=3 --json --profile -i one.bin
  one=$(awk -F: "$flops" out)
  [ "$((one * 64))" -eq "$all" ] || fail "conv1 does $one operations for one image, $all for 64"
  expect 0 bench probed.so --threads=2 --seconds=0 --runs=3 --profile; prints "% bal"; prints "limits of this machine"
  prints "(executor: "; grep -qE '~[0-9.]+ .* conv1 \(conv\)$' out || fail "no op of the model"; prints "working memory: "
  expect 0 bench "$lenet" --threads=1 --seconds=0 --runs=3 --profile; prints "probes in the library"
  expect 0 bench plain.so --threads=1 --seconds=0 --runs=3 --profile; prints "hooks between steps"; prints "max_pool"
  mkdir d; expect 0 compile --instrument "$model" -o whole.so --dump=all --dump-dir=d
  local f; for f in d/*.ing; do expect 0 opt --instrument "$f" -o part.so; silent; same part.so whole.so; done
}

# ---- run ---------------------------------------------------------------------------------------------------

case_run() {
  expect 0 compile "$model" -o s.so
  expect 0 run s.so --input x=ones; silent; prints "y: f32[1,4]"
  expect 0 run s.so --input ones; prints "y: f32[1,4]"; cp out first
  expect 0 run "$model" --input ones; same out first
  expect 0 run s.so --input x=random:7 --output y=a.npy; silent; [ ! -s out ] || fail "prints though it writes"
  expect 0 run s.so --input x=random:7 --output-dir d; same a.npy d/y.npy
  expect 0 run s.so --input x=a.npy; prints y
  head -c 16 /dev/zero >z.raw; expect 0 run s.so --input x=z.raw; cp out z
  expect 0 run s.so --input x=zeros; same out z
  local t; for t in 1 2 3; do
    expect 0 run s.so --threads=$t --input x=random:7 --output y=t$t.npy; same t$t.npy a.npy
  done
  printf 'one\ntwo\nthree\nfour\n' >labels; expect 0 run s.so --input ones --labels labels --top 1
  grep -qE '1\. (one|two|three|four)' out || fail "no label"
  [ "$(grep -c '\[' out)" -eq 2 ] || fail "not one row"
}

case_run_bad_input() {
  expect 0 compile "$model" -o s.so
  expect 1 run s.so; says "input 'x' is not given"
  expect 1 run s.so --input z=ones; says "no input 'z'; it has: x"
  expect 1 run s.so --input x=missing.npy; says "missing.npy"
  expect 1 run s.so --input ones --output q=q.npy; says "no output 'q'; it has: y"
  expect 1 run s.so --input ones --output y; says "--output wants NAME=FILE"
  expect 1 run s.so --input ones --output y=no/such/y.npy; says "no/such/y.npy"
  expect 1 run s.so --input ones --output y=/dev/full; says "No space left on device"
  head -c 15 /dev/zero >z.raw; expect 1 run s.so --input x=z.raw; says "16 bytes"; says "has 15"
  expect 1 run s.so --input ones --labels missing; says missing
  printf '\223NUMPY' >t.npy; expect 1 run s.so --input x=t.npy; says t.npy
  head -c 2000 s.so >cut.so; expect 1 run cut.so --input ones; says cut.so
  expect 1 run /bin/true --input ones; says /bin/true
  expect 1 run missing.so; says missing.so
}

# A trained model, whole: the library's size, greedy text, continuations, what is refused.
case_generate() {
  local data=$source/../shared/models
  [ -f "$data/stories260K.bin" ] || skip "no stories260K.bin in ../shared/models"
  cp "$source/models/stories260k.yaml" "$data/stories260K.bin" "$data/tok512.bin" .
  expect 0 compile stories260k.yaml --verify-each -o lib.so; silent
  local weights; weights=$(stat -c %s stories260K.bin)
  [ "$(stat -c %s lib.so)" -lt $((weights + 200000)) ] || fail "the library is too large"
  for target in x86-64-v3 native; do
    expect 0 compile stories260k.yaml --target=$target -o lib.so; silent
    expect 0 generate lib.so --tokenizer=tok512.bin --steps=201 --threads=1
    cmp -n "$(stat -c %s "$data/inputs/stories260K_greedy200.txt")" out "$data/inputs/stories260K_greedy200.txt" ||
      fail "the greedy text differs for $target"
  done
  local options="--tokenizer=tok512.bin --temperature=0.8 --top-p=0.9 --top-k=40 --repetition-penalty=1.1 --steps=40"
  expect 0 generate lib.so $options --seed=3 --batch=2 --prompt='One day, Tom'; prints '--- 2'; prints 'One day, Tom'
  mv out first
  expect 0 generate lib.so $options --seed=3 --batch=2 --prompt='One day, Tom'; same first out
  expect 0 generate lib.so $options --seed=4 --prompt='One day, Tom'
  expect 0 generate lib.so --tokenizer=tok512.bin --steps=2 --tokens; prints '1 403'
  expect 0 generate lib.so $options --seed=3 --batch=2 --prompt='One day, Tom' --own-weights; same first out
  expect 1 generate lib.so; says 'which tokenizer?'
  expect 1 generate lib.so --tokenizer=stories260k.yaml; says 'neither a tokenizer.json nor'
  expect 1 generate lib.so --tokenizer=tok512.bin --prompt="$(printf 'word %.0s' {1..600})"
  says "'T + past' would be"
  expect 0 generate lib.so --tokenizer=tok512.bin --steps=600 --repetition-penalty=1.3 --prompt="$(printf 'word %.0s' {1..150})"
  says 'takes no more'
  expect 2 generate lib.so --top-p=2; says '--top-p wants'
  expect 1 generate "$source/models/lenet_fashion.yaml" --tokenizer=tok512.bin; says 'is no language model'
}

# A model whose output looks like logits but has none for each sequence.
case_generate_shapes() {
  printf '%s\n' 'symbols: {T: 8}' 'inputs: {ids: "i32[4,T]"}' 'weights: {init: normal(0.02)}' 'graph:' \
    '  logits: weight("w", [1, 5]) * reduce_sum(cast(ids, f32))' 'outputs: logits' >few.yaml
  printf '{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[]}}' >few.json
  expect 1 generate few.yaml --tokenizer=few.json --prompt=ab --steps=5; says 'no logits for each sequence'
}

# Models with made-up weights, and what needs no weights to be there.
case_models() {
  local m
  for m in bert_base vit_b_16 gpt2 whisper_tiny_encoder whisper_tiny_decoder clip_text sd_vae_decoder; do
    expect 0 inspect "$source/models/$m.yaml"; silent; prints 'parameters'
  done
  local unet=$source/../shared/models/ddpm_mnist_unet.pth
  [ -f "$unet" ] && /usr/bin/python3 -c 'import torch' 2>/dev/null || skip "no checkpoint of the U-Net, or no PyTorch"
  cp "$source/models/ddpm_unet.yaml" .
  /usr/bin/python3 "$source/models/ddpm_convert.py" "$unet" ddpm_unet.npz >log 2>&1 || fail "not converted"
  expect 0 verify ddpm_unet.yaml --dim B=2
}

# What a class of schedules writes for models that generate can be proved at any length: else slower loops would do.
case_proved() {
  local m
  for m in models/gpt2 models/whisper_tiny_decoder models/bert_base bench/gpt2_decode; do
    expect 0 compile "$source/$m.yaml" --emit=loops -o loops.ing --remarks
    grep 'thrown away' err && fail "$m has loops that are not proved"
    rm -rf loops.ing*
  done
  true
}

case_images() {
  local lib=$source/models/resnet_fashion.yaml image
  expect 0 compile "$lib" -o r.so; silent
  for image in "$source"/models/images/*.png; do
    expect 0 run r.so --input "$image" --top 1; silent
    local want; want=$(basename "$image" .png | sed 's/_[0-9]*$//; s/t_shirt_top/t-shirt\/top/; s/_/ /')
    grep -qi " 1\. $want" out || fail "$image is not seen as $want"
  done
  printf '\211PNG\r\n\032\n' >cut.png; expect 1 run r.so --input cut.png; says cut.png
  expect 1 run r.so --input "$source/models/images/bag_18.png" --preprocess=blur; says "preprocessing wants"
}

# ---- inspect, bench, verify, ops ----------------------------------------------------------------------------

case_inspect() {
  expect 0 compile "$model" -o s.so
  expect 0 inspect s.so; silent; prints "arena_bytes"; prints "f32[1,4]"; prints kernel
  expect 0 inspect s.so --json; silent; prints '"kernels"'; prints '"weights_bytes"'; prints '"options"'
  expect 0 inspect "$model"; silent; prints parameters; prints flops
  expect 0 inspect "$model" --json; prints '"ops"'
  expect 0 compile "$model" --dump=after:memory --dump-dir=d -o s.so
  expect 0 inspect d/*.ing; prints loops; prints kernel; prints "from "; grep -qE '^flops  *[1-9]' out || fail "kernels do nothing"
  grep -q 'count .*op$' out && fail "a table of ops though there are none"
  expect 0 inspect d/*.ing --json; prints '"level":	"loops"'
  expect 1 inspect missing; says missing
}

case_bench() {
  expect 0 compile "$model" -o s.so
  expect 0 bench s.so --seconds=0 --runs=3 --json; silent
  local k; for k in median_ms p10_ms p90_ms first_ms load_ms threads; do prints "\"$k\""; done
  expect 0 bench s.so --seconds=0 --runs=3; prints median
  expect 0 bench s.so --seconds=0 --runs=3 --profile; prints step
  expect 1 bench missing.so; says missing.so
  expect 1 bench s.so --at=past=3; says "no state that grows by a symbol 'past'"
  cat >grow.yaml <<'Y'
symbols: {past: 0..7}
inputs: {ids: {type: 'i32[1,1]', below: 3}}
weights: {init: normal(0.5), seed: 1}
graph:
  - x: gather(weight('table', [3, 4]), ids)
  - y: reduce_sum(cache@seen(x, 1), axes=[1])
outputs: y
Y
  expect 0 compile grow.yaml -o grow.so
  expect 0 bench grow.so --seconds=0 --runs=20; prints "20 runs"
  expect 0 bench grow.so --seconds=0 --runs=20 --at=past=6 --profile; prints "20 runs"
  expect 1 bench grow.so --at=past=7; says "past"
  # Of a table the row that is read counts, of a cache the rows that are there: 4 elements of 4 bytes each.
  expect 0 compile --instrument grow.yaml -o probed.so
  local at file bytes='/"name":/ {name = $2} /"bytes":/ && !done[name]++ {print name, $2 + 0} /"ops":/ {exit}'
  for at in 1 6; do
    expect 0 bench probed.so --seconds=0 --runs=3 --at=past=$at --json --profile
    awk -F: "$bytes" out >bytes
    grep -q "y_reduce_sum.* $(((at + 1) * 16 + 16))\$" bytes || fail "with $at rows the sum moves $(cat bytes)"
    grep -q "y_concat_concat.* 36$" bytes || fail "appending one row moves $(cat bytes)"
  done
  expect 0 bench grow.so --seconds=0 --runs=3 --at=past=1 --json --profile
  awk -F: "$bytes" out | grep -q "y_concat_concat.* 36$" || fail "appending one row moves $(cat out)"
  expect 0 compile grow.yaml --emit=loops -o grow.ing
  for file in grow.so grow.ing; do
    expect 0 inspect $file --json
    awk '/"y_concat_concat"/ {at = 1} at && /"bytes":/ {exit $2 + 0 != 36}' out || fail "$file says that appending one row moves more"
  done
  expect 1 bench grow.so --at=past=8; says "'past' lies between 0 and 7; 8 does not"
  expect 1 bench grow.so --at=6; says "--at wants NAME=EXTENT"
  expect 0 run grow.so --input ids=random:2
  expect 0 verify grow.yaml; prints "same bits"
}

case_tune() {
  cat >n.yaml <<'Y'
inputs:
  x: f32[64,96]
graph:
  y: relu(linear@fc(x, 128))
outputs: y
Y
  expect 0 tune n.yaml --budget=2 --threads=1 --min-share=0; silent; only n.yaml n.tune
  prints "1 distinct kernels"; grep -qx 'tuning 1' n.tune || fail "no database"
  local key
  expect 0 tune n.yaml --budget=1 --threads=1 --log=log -o m.tune
  key=$(sed -n 's/.*"kernel":"\([0-9a-f]*\)".*"base".*/\1/p' log); [ ${#key} -eq 16 ] || fail "no measurement in the log"
  local entry="k$key \"x86-64-v3\" threads 1 product(lanes=8, mr=4, nv=3, rows=2, n_outer=0) us 1.0 of 2.0 \"y\""
  printf 'tuning 1\n%s\nk0000000000000001 "other" threads 1 map() us 1.0 of 2.0 "stays"\n' "$entry" >n.tune
  expect 0 compile n.yaml -o tuned.so --tune=n.tune --remarks; says "from the tuning database"
  expect 0 inspect tuned.so; prints "mr=4, nv=3, rows=2, n_outer=0) tuned"; prints "--tune="
  expect 0 verify n.yaml --tune=n.tune; prints "same bits"; grep -q DEPARTS out && fail "departs"
  expect 0 compile n.yaml -o again.so --tune=n.tune; same tuned.so again.so
  expect 0 tune n.yaml --budget=1 --threads=1 -o n.tune; grep -q '"stays"' n.tune || fail "entries of others are lost"
  expect 0 tune n.yaml --budget=1 --kernels='zzz*' -o k.tune; prints " 0 variants"
  echo 'tuning 1
k12' >bad.tune
  expect 1 compile n.yaml -o x.so --tune=bad.tune; says "bad.tune:2:1: error: expected a kernel's key"; [ ! -e x.so ] || fail "a library in spite of that"
  expect 1 tune n.yaml -o bad.tune; says "bad.tune:2:1"; grep -q k12 bad.tune || fail "the damaged file is overwritten"
  expect 1 tune n.yaml -o n.yaml; says "no tuning database"; grep -q inputs n.yaml || fail "the model is overwritten"
  expect 1 compile n.yaml --tune=missing; says missing
  expect 2 tune; says "which model?"
  expect 2 tune n.yaml -O1; says "nothing to tune"
  expect 2 tune n.yaml --budget=0; says "--budget wants"
  expect 2 tune n.yaml --isa=x86-64-v2,x86-64-v3; says "one --target after the other"
  expect 1 tune missing.yaml; says missing.yaml
  expect 1 tune n.yaml --target=aarch64 -o a.tune; [ ! -e a.tune ] || fail "a database of nothing"
}

# An interrupted search keeps what it found.
case_tune_interrupted() {
  "$ingot" tune "$source/models/lenet_fashion.yaml" --budget=100 --threads=1 -o l.tune >out 2>err &
  local pid=$!
  sleep 4; kill -INT $pid; wait $pid || fail "ends with $?"
  prints "variants in"; grep -qx 'tuning 1' l.tune || fail "no database"; [ -z "$(ls -A tmp)" ] || fail "left: $(ls tmp)"
}

case_verify() {
  expect 0 verify "$model"; silent; prints "-O0 output"; prints "-O2 output"; prints "same bits"
  grep -q DEPARTS out && fail "departs"
  expect 0 verify "$model" --values --bisect --input x=random:3; prints "after fuse"; prints kernel
  expect 0 verify "$model" --reference=O0; prints "without optimisation"
  expect 1 verify missing.yaml; says missing.yaml
}

# An ONNX model value by value; where rounding alone counts as wrong, the pass is named that brought it in.
case_verify_onnx() {
  local onnx=/usr/share/libonnx-testdata/data/pytorch-operator/test_operator_symbolic_override/model.onnx
  [ -f $onnx ] || exit 77
  expect 0 verify $onnx --values; silent; prints "-O0 kernel"; prints "max ulp"; prints "same bits"
  expect 0 verify $onnx --bisect; prints "after fuse"; prints "after lower"
  expect 70 verify $onnx --tolerance=1e-12; prints DEPARTS; says "pass 'lower' at -O2 changes what the model computes"
}

case_ops() {
  expect 0 ops; silent; prints conv; prints softmax
  expect 0 ops conv; prints conv
  expect 1 ops convv; says "did you mean 'conv'"
  expect 0 ops --markdown; diff out "$source/docs/ops.md" >diff || fail "docs/ops.md is out of date: ingot ops --markdown >docs/ops.md"
}

# ---- terminals and pipes -------------------------------------------------------------------------------------

case_pipes() {
  "$ingot" compile missing.yaml 2>&1 | grep -q "$(printf '\033')" && fail "colours in a pipe"
  "$ingot" ops | head -n 1 >/dev/null
  [ "${PIPESTATUS[0]}" -ne 139 ] || fail "crashes on a closed pipe"
  script -qec true /dev/null >tty 2>&1 </dev/null || skip "script(1) cannot make a terminal here"
  script -qec "$ingot compile missing.yaml" /dev/null >tty </dev/null; grep -q "$(printf '\033\\[')" tty || fail "no colours on a terminal"
  script -qec "$ingot compile $model -o x.so" /dev/null >tty </dev/null; grep -q "generating code" tty || fail "no progress on a terminal"
  "$ingot" compile "$model" -o x.so >out 2>err; [ ! -s out ] && [ ! -s err ] || fail "progress in a file"
  NO_COLOR=1 script -qec "$ingot compile missing.yaml" /dev/null >tty </dev/null
  grep -q "$(printf '\033\\[1')" tty && fail "colours in spite of NO_COLOR"
  return 0
}

declare -F "case_$name" >/dev/null || fail "no such case"
"case_$name"
exit 0
