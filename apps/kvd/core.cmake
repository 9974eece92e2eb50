# SPDX-License-Identifier: GPL-2.0-or-later
# The OS-independent core of kvd: include() this and compile KVD_CORE_SOURCES with the flags of the system it is for.
set(KVD_CORE_DIR "${CMAKE_CURRENT_LIST_DIR}")
set(KVD_CORE_SOURCES
    "${KVD_CORE_DIR}/bytes.c"
    "${KVD_CORE_DIR}/command.c"
    "${KVD_CORE_DIR}/heap.c"
    "${KVD_CORE_DIR}/reply.c"
    "${KVD_CORE_DIR}/serve.c"
    "${KVD_CORE_DIR}/store.c")
