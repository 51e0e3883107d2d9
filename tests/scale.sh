#!/bin/sh
# scale.sh: does the time of a compilation grow with the model and no faster?
# SPDX-License-Identifier: Apache-2.0
#
#     tests/scale.sh INGOT check               # 4,000 and 16,000 nodes, passes only: fails where time grows faster
#     tests/scale.sh INGOT curve [LARGEST]     # a table for 10, 100, ... nodes of the whole compilation
#
# Graphs are of four shapes: `deep` (layers one behind the other, few different), `wide` (branches that are alive
# together, all different), `views` (slices and joins of slices), `weights` (a constant and a name for each node).
set -eu
ingot=$1 mode=$2 largest=${3:-100000}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

deep() {
  awk -v n="$1" 'BEGIN {
    print "ingot 1 graph\ngraph main(%x0: f32[8,16], %w: f32[16,16]) {"
    for (i = 1; i <= n; i++) {
      last = i - 1
      op = i % 5 == 1 ? "matmul(%x" last ", %w)" : i % 5 == 2 ? "relu(%x" last ")" : i % 5 == 3 ? "softmax(%x" last ")" : \
           i % 5 == 4 ? "add(%x" last ", %x" (last > 3 ? last - 3 : 0) ")" : "tanh(%x" last ")"
      printf "  %%x%d: f32[8,16] = %s\n", i, op
    }
    printf "  return y=%%x%d\n}\n", n
  }'
}

wide() {
  awk -v n="$1" 'BEGIN {
    print "ingot 1 graph\ngraph main(%x: f32[8,16]) {"
    m = leaf = int((n + 2) / 3)
    for (i = 1; i <= leaf; i++)
      printf "  %%e%d: f32[8,16] = elu(%%x) alpha=%d.5\n  %%a%d: f32[8,16] = softmax(%%e%d)\n", i, i, i, i
    for (first = 1; first < m; first += 2) {
      m++
      printf "  %%a%d: f32[8,16] = add(%%a%d, %%a%d)\n", m, first, first + 1
    }
    printf "  return y=%%a%d\n}\n", m
  }'
}

views() {
  awk -v n="$1" 'BEGIN {
    print "ingot 1 graph\ngraph main(%c0: f32[1,64]) {"
    for (i = 1; i <= n / 2; i++)
      printf "  %%s%d: f32[1,32] = slice(%%c%d) starts=[%d] ends=[%d] axes=[1] steps=[1]\n  %%c%d: f32[1,64] = concat(%%s%d, %%s%d) axis=1\n", \
             i, i - 1, i % 32, i % 32 + 32, i, i, i
    printf "  return y=%%c%d\n}\n", int(n / 2)
  }'
}

weights() {
  awk -v n="$1" 'BEGIN {
    print "ingot 1 graph\ngraph main(%x0: f32[4,2]) {"
    for (i = 1; i <= n; i++) printf "  %%w%d: f32[2] = const [%d.5, %d.0]\n", i, i, i % 7
    for (i = 1; i <= n; i++) printf "  %%x%d: f32[4,2] = %s(%%x%d, %%w%d)\n", i, i % 2 ? "add" : "sub", i - 1, i
    printf "  return y=%%x%d\n}\n", n
  }'
}

# Seconds of processor time and KiB of memory of a compilation.
cost() {
  shape=$1 nodes=$2
  shift 2
  "$shape" "$nodes" >"$folder/model.ing"
  /usr/bin/env time -f '%U %S %M' -o "$folder/cost" "$ingot" compile "$folder/model.ing" -j1 -o "$folder/model.so" "$@"
  awk '{ printf "%.2f %d", $1 + $2, $3 }' "$folder/cost"
}

check() {
  failed=0
  for shape in deep wide views weights; do
    few=$(cost $shape 4000 --stop-after=memory)
    many=$(cost $shape 16000 --stop-after=memory)
    echo "$shape: 4000 nodes: $few; 16000 nodes: $many (seconds, KiB)"
    # Four times the nodes; the rest is for noise and for what fits the caches no more.
    echo "$few $many" | awk '{ exit $3 > 12 * $1 + 1 || $4 > 6 * $2 }' || { echo "  grows too fast"; failed=1; }
  done
  return $failed
}

curve() {
  echo "| shape | nodes | seconds | MiB |"
  echo "|---|---|---|---|"
  for shape in deep wide views weights; do
    nodes=10
    while [ $nodes -le "$largest" ]; do
      cost $shape $nodes | awk -v s=$shape -v n=$nodes '{ printf "| %s | %d | %.2f | %d |\n", s, n, $1, $2 / 1024 }'
      nodes=$((nodes * 10))
    done
  done
}

"$mode"
