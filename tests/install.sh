#!/bin/sh
# install.sh: an installed Ingot serves another project, through CMake and through pkg-config.
# SPDX-License-Identifier: Apache-2.0
#
#   install.sh BUILD_DIR SOURCE_DIR
set -eu
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >"$work/log"
cp "$source/tests/cli/small.yaml" "$source"/models/lenet_fashion.* "$source/models/fashion_labels.txt" "$work/"
cmake -G Ninja -S "$source/tests/consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DMODEL="$work/small.yaml" -DWEIGHTED="$work/lenet_fashion.yaml" >"$work/log"
cmake --build "$work/consumer" >"$work/log" || { cat "$work/log"; exit 1; }

"$work/consumer/linked" >"$work/linked"
"$work/consumer/opened" "$work/consumer/tiny.ingot/libtiny.so" >"$work/opened"
cat "$work/linked"
cmp "$work/linked" "$work/opened"
grep -q '^tiny ' "$work/linked"

pc=$(dirname "$(find "$work/prefix" -name ingot.pc)")
export PKG_CONFIG_PATH="$pc"
# shellcheck disable=SC2046
cc "$source/tests/consumer/opened.c" $(pkg-config --cflags --libs ingot) -o "$work/opened2"
LD_LIBRARY_PATH=$(pkg-config --variable=libdir ingot) "$work/opened2" "$work/consumer/tiny.ingot/libtiny.so" |
  cmp - "$work/linked"
if command -v c++ >/dev/null; then
  # shellcheck disable=SC2046
  c++ -std=c++17 -pthread -Wall -Wextra -Wpedantic -Werror "$source/tests/consumer/plus.cpp" $(pkg-config --cflags --libs ingot) -o "$work/plus"
  LD_LIBRARY_PATH=$(pkg-config --variable=libdir ingot) "$work/plus" "$work/consumer/tiny.ingot/libtiny.so" |
    cmp - "$work/linked"
fi

# The examples, each of its own way in, come to the same.
examples=$source/models/examples
cmake -G Ninja -S "$examples/project" -B "$work/project" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log"
cmake --build "$work/project" >"$work/log" || { cat "$work/log"; exit 1; }
"$work/project/predict" >"$work/predicted"
grep '^class [0-9]: ' "$work/predicted"
"$work/prefix/bin/ingot" compile "$work/lenet_fashion.yaml" -o "$work/liblenet.so"
if command -v c++ >/dev/null; then
  # shellcheck disable=SC2046
  c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror "$examples/predict.cpp" $(pkg-config --cflags --libs ingot) -o "$work/predict"
  LD_LIBRARY_PATH=$(pkg-config --variable=libdir ingot) "$work/predict" "$work/liblenet.so" | cmp - "$work/predicted"
fi
if command -v node >/dev/null && { command -v wasm-ld-19 || command -v wasm-ld; } >/dev/null; then
  "$work/prefix/bin/ingot" compile "$work/lenet_fashion.yaml" --target=wasm32 -o "$work/lenet.wasm"
  cp "$work/prefix/share/ingot/ingot.mjs" "$examples/predict.mjs" "$work/"
  node "$work/predict.mjs" "$work/lenet.wasm" | cmp - "$work/predicted"
fi

# A change of the model, or of a file that it names, compiles it again.
before=$(stat -c %y "$work/consumer/tiny.ingot/libtiny.so")
touch "$work/small.yaml"
cmake --build "$work/consumer" >"$work/log"
[ "$before" != "$(stat -c %y "$work/consumer/tiny.ingot/libtiny.so")" ] || { echo "the model was not compiled again"; exit 1; }
weighted=$work/consumer/weighted.ingot/libweighted.so
before=$(stat -c %y "$weighted")
touch "$work/lenet_fashion.npz"
cmake --build "$work/consumer" >"$work/log"
[ "$before" != "$(stat -c %y "$weighted")" ] || { echo "not compiled again for its weights"; exit 1; }
before=$(stat -c %y "$work/consumer/tiny.ingot/libtiny.so")
cmake --build "$work/consumer" >"$work/log"
[ "$before" = "$(stat -c %y "$work/consumer/tiny.ingot/libtiny.so")" ] || { echo "compiled again without need"; exit 1; }
