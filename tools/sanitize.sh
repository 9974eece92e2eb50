#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the core library under the address and undefined-behaviour sanitizers and runs its tests with it.
# Leaks are not looked for: CPython keeps memory of its own at exit.
set -euo pipefail
bin=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
"$bin/cmake" -G Ninja -S emu/core -B build/sanitize -DCS_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DCMAKE_MAKE_PROGRAM="$bin/ninja" -DPython3_EXECUTABLE="$bin/python" >/dev/null
"$bin/cmake" --build build/sanitize
library=$(find "$PWD/build/sanitize" -name 'libcyclescope_core.so' | head -n 1)
preload="$(cc -print-file-name=libasan.so) $(cc -print-file-name=libubsan.so)"
CYCLESCOPE_CORE_LIBRARY="$library" LD_PRELOAD="$preload" \
    ASAN_OPTIONS=detect_leaks=0:handle_segv=0:use_sigaltstack=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    "$bin/python" -c 'import os, sys; del os.RTLD_DEEPBIND; import pytest; sys.exit(pytest.main(sys.argv[1:]))' \
    -q --capture=sys tests/ -k "emu_core or snapshot_hostile or emu_snapshot"  # capstone asks for RTLD_DEEPBIND, which the sanitizers refuse
