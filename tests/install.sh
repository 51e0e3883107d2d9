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
cmake -G Ninja -S "$source/tests/consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DMODEL="$source/tests/cli/small.yaml" >"$work/log"
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
