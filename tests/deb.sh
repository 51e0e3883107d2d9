#!/bin/sh
# deb.sh: the Debian package installs on a bare system, compiles and runs a model there, and makes the same bytes as here.
# As root.
# SPDX-License-Identifier: Apache-2.0
#
#   deb.sh BUILD_DIR SOURCE_DIR [ROOT]
#
# ROOT is a bare system that debootstrap made (--variant=minbase bookworm); without it one is made, which takes a mirror
# and minutes. Not part of the everyday run.
set -eu
build=$1 source=$2 root=${3-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "$root" ]; then
  root=$work/root
  debootstrap --variant=minbase bookworm "$root" >"$work/log"
fi
(cd "$build" && cpack -G DEB -B "$work/package" >"$work/log")
cp "$work"/package/*.deb "$root/tmp/ingot.deb"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp "$source/tests/cli/small.yaml" "$source/models/lenet_fashion.yaml" "$source/models/lenet_fashion.npz" \
  "$source/models/fashion_labels.txt" "$source/models/images/bag_18.png" "$root/tmp/"
chroot "$root" sh -euc '
  apt-get update -qq
  apt-get install -y -qq --reinstall --no-install-recommends /tmp/ingot.deb >/dev/null 2>&1
  cd /tmp
  ingot --version
  ingot compile lenet_fashion.yaml -o libnet.so
  ingot run libnet.so --input bag_18.png --top 1
  ingot compile small.yaml --emit=exe -o net
  ./net --help | head -n 1
  ingot compile small.yaml --freestanding --target=x86-64 -o net.o
  ingot compile lenet_fashion.yaml -o net.a
  test -e /usr/include/ingot.h && test -e /usr/include/ingot.hpp
  dpkg -L ingot | grep -q IngotConfig.cmake'
cp "$source"/models/lenet_fashion.* "$source/models/fashion_labels.txt" "$source/tests/cli/small.yaml" "$work/"
cd "$work"
"$build/tools/ingot" compile lenet_fashion.yaml -o libnet.so
"$build/tools/ingot" compile small.yaml --freestanding --target=x86-64 -o net.o
"$build/tools/ingot" compile lenet_fashion.yaml -o net.a
for file in libnet.so net.h net.a net.o; do cmp "$file" "$root/tmp/$file"; done
echo fine
