#!/bin/sh
# layers.sh: each folder includes only what its layer may use.
# SPDX-License-Identifier: Apache-2.0
#
#   layers.sh SOURCE_DIR
cd "$1" || exit 1
bad=0

# check FOLDER REGEX WHY: no include in FOLDER matches REGEX
check() {
  if grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]*$2" "$1"; then
    echo "$1: $3"
    bad=1
  fi
}

check ir '"(frontend|passes|codegen|runtime|tools)/' "the representation stands on nothing but itself"
check frontend '"(passes|codegen|runtime|tools)/' "front ends see ir only"
check passes '"(frontend|codegen|runtime|tools)/' "passes see ir only"
check codegen '"(frontend|passes|tools)/' "code generation sees ir and the runtime's interface"
if grep -rnE --include='*.[ch]' '#[[:space:]]*include[[:space:]]*"runtime/' codegen | grep -v '"runtime/ingot_abi.h"'; then
  echo "codegen: of the runtime only ingot_abi.h"
  bad=1
fi
check runtime '"(ir|frontend|passes|codegen|tools)/' "the runtime includes nothing of the compiler"

# Foreign libraries belong to one layer each.
for folder in ir frontend passes runtime tools; do check $folder '<llvm' "LLVM belongs to codegen"; done
for folder in ir passes codegen runtime tools; do check $folder '<yaml' "libyaml belongs to frontend"; done
for folder in ir frontend passes codegen runtime tools; do check $folder '<criterion' "Criterion belongs to tests"; done
check ir '<(cjson|zlib|stb)' "ir uses libc and xxhash"
check passes '<(cjson|zlib|stb|xxhash)' "passes use libc only"
check runtime '<(cjson|zlib|stb|xxhash)' "the runtime uses libc only"
exit $bad
