# packages.sh: the Debian packages that Ingot needs, and a function that sees to it that they are there.
# SPDX-License-Identifier: Apache-2.0
# Sourced by setup, test and .ci/run.

# docs/dependencies.md tells what each is for.
build_packages="gcc libc6-dev cmake ninja-build pkg-config binutils llvm-19-dev libyaml-dev libcjson-dev libstb-dev libxxhash-dev zlib1g-dev"
# Graphviz places nodes in reports, Chromium (in .ci/run only) shows their page.
test_packages="time graphviz libcriterion-dev libonnx-testdata gdb valgrind util-linux bsdutils diffutils"
# For other targets than this machine (tests/targets.sh); all but the first two only to try them here.
target_packages="clang-19 lld-19 qemu-user-static nodejs qemu-system-arm libc6-dev-arm64-cross libc6-dev-armhf-cross libc6-dev-riscv64-cross"
check_packages="chromium clang-19 clang-tidy-19 clang-format-14 cppcheck git lld-19 qemu-user-static nodejs"

# need_packages PACKAGE...: installs those that are missing, as root; otherwise says how and fails.
need_packages() {
  missing=""
  if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "This is no Debian: see docs/dependencies.md for what has to be installed by hand." >&2
    return 0
  fi
  for package in "$@"; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
  done
  [ -z "$missing" ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    echo "These packages are missing; install them and start again:" >&2
    echo "  sudo apt-get install --no-install-recommends$missing" >&2
    return 1
  fi
  echo "Installing$missing"
  # shellcheck disable=SC2086
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
