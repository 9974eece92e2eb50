# SPDX-License-Identifier: GPL-2.0-or-later
# libos_add_hosted_app(name sources...): the Linux program hosted_<name>, in the build directory's `images`.
include(${LIBOS_TREE}/apps/runtime_linux/runtime.cmake)

set(LIBOS_HOSTED_SOURCES ${RUNTIME_LINUX_DIR}/runtime.c ${RUNTIME_LINUX_DIR}/start.S)
foreach(part clock cmdline ebb event format future iobuf mem memory_ops page spinlock timer)    # as in the native image
    list(APPEND LIBOS_HOSTED_SOURCES ${LIBOS_DIR}/kernel/${part}.c)
endforeach()
foreach(part clock_measured console start threads udp wait)
    list(APPEND LIBOS_HOSTED_SOURCES ${LIBOS_DIR}/hosted/${part}.c)
endforeach()

add_library(libos_hosted STATIC ${LIBOS_HOSTED_SOURCES})
runtime_linux_program(libos_hosted -march=x86-64)
target_include_directories(libos_hosted PRIVATE ${LIBOS_DIR}/include ${LIBOS_DIR}/kernel ${LIBOS_DIR}/hosted)
target_compile_options(libos_hosted PRIVATE $<$<COMPILE_LANGUAGE:C>:${LIBOS_FLAGS}>)

foreach(part window.c fault.c fault_return.S ninep_home.c ninep_stream.c profile_absent.c)     # where the native runtime has runtime/native
    list(APPEND LIBOS_HOSTED_RUNTIME_SOURCES ${LIBOS_DIR}/hosted/${part})
endforeach()
list(APPEND LIBOS_HOSTED_RUNTIME_SOURCES ${LIBOS_TREE}/apps/ninep/server.c ${LIBOS_TREE}/apps/ninep/files_linux.c)
list(APPEND LIBOS_HOSTED_RUNTIME_SOURCES ${LIBOS_DIR}/hosted/dsm_rights.c)
add_library(libos_hosted_runtime STATIC ${LIBOS_RUNTIME_SOURCES} ${LIBOS_HOSTED_RUNTIME_SOURCES})
runtime_linux_program(libos_hosted_runtime -march=x86-64)
target_include_directories(libos_hosted_runtime PRIVATE ${LIBOS_DIR}/include ${LIBOS_DIR}/kernel ${LIBOS_DIR}/hosted ${LIBOS_DIR}/runtime
    ${LIBOS_TREE}/apps/ninep)
target_compile_options(libos_hosted_runtime PRIVATE $<$<COMPILE_LANGUAGE:C>:${LIBOS_FLAGS}>)

function(libos_add_hosted_app name)
    add_executable(hosted_${name} ${ARGN})
    target_link_libraries(hosted_${name} PRIVATE libos_hosted_runtime -Wl,--whole-archive libos_hosted -Wl,--no-whole-archive)
    runtime_linux_program(hosted_${name} -march=x86-64)
    set_target_properties(hosted_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/images)
    target_include_directories(hosted_${name} PRIVATE ${LIBOS_DIR}/include)
    target_compile_options(hosted_${name} PRIVATE $<$<COMPILE_LANGUAGE:C>:${LIBOS_FLAGS}>)
endfunction()
