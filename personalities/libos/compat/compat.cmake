# SPDX-License-Identifier: GPL-2.0-or-later
# The images that run Linux programs. They lie at 16 MiB, since programs want the addresses below, and use general registers alone,
# as a Linux kernel does: SSE registers are the program's. So libos is built once more for them.
set(LIBOS_COMPAT_FLAGS ${LIBOS_FLAGS} -mgeneral-regs-only)
set(LIBOS_COMPAT_BASE 0x1000000)

add_library(libos_compat_kernel STATIC ${LIBOS_KERNEL_SOURCES})
set(LIBOS_COMPAT_SOURCES)
foreach(part clock entry files futex memory process program protect remote socket socket_receive socket_send table thread)
    file(GLOB found ${LIBOS_DIR}/compat/${part}.[cS])
    list(APPEND LIBOS_COMPAT_SOURCES ${found})
endforeach()
add_library(libos_compat STATIC ${LIBOS_COMPAT_SOURCES})
add_library(libos_compat_runtime STATIC ${LIBOS_RUNTIME_SOURCES} ${LIBOS_NATIVE_SOURCES})
foreach(library libos_compat_kernel libos_compat libos_compat_runtime)
    target_include_directories(${library} PRIVATE ${LIBOS_DIR}/include ${LIBOS_DIR}/kernel ${LIBOS_DIR}/runtime ${LIBOS_TREE}/apps/ninep)
    target_compile_options(${library} PRIVATE $<$<COMPILE_LANGUAGE:C>:${LIBOS_COMPAT_FLAGS}>)
endforeach()

# libos_add_compat_app(name sources...): as libos_add_app, with Linux's system calls.
function(libos_add_compat_app name)
    add_executable(libos-${name} ${ARGN})
    target_link_libraries(libos-${name} PRIVATE -Wl,--whole-archive libos_compat libos_compat_kernel -Wl,--no-whole-archive
        libos_compat_runtime)
    libos_image(libos-${name} ${LIBOS_COMPAT_FLAGS})
    target_link_options(libos-${name} PRIVATE -Wl,--defsym=image_base=${LIBOS_COMPAT_BASE})
endfunction()

libos_add_compat_app(linux ${LIBOS_DIR}/compat/main.c ${LIBOS_DIR}/compat/boot_module.c)
target_link_options(libos-linux PRIVATE -Wl,--wrap=boot_main)

# The same Linux program linked into the image, where it may call libos, too: what of it is changed is datagrams_libos.h.
libos_add_compat_app(ported_kvd ${LIBOS_TREE}/apps/kvd/port_linux.c ${KVD_CORE_SOURCES} ${LIBOS_DIR}/compat/main_linked.c
    ${RUNTIME_LINUX_DIR}/runtime.c ${RUNTIME_LINUX_DIR}/start.S)
target_include_directories(libos-ported_kvd PRIVATE ${RUNTIME_LINUX_DIR})
target_compile_definitions(libos-ported_kvd PRIVATE KVD_ON_LIBOS)
