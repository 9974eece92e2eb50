# SPDX-License-Identifier: GPL-2.0-or-later
# include() this, compile RUNTIME_LINUX_SOURCES into the program, and call runtime_linux_program(target): a static ELF64 for any
# x86-64 Linux kernel, the same bytes from the same compiler, with code, constants and data on pages of their own. Options for the
# machine may follow; without any, general registers alone are used.
set(RUNTIME_LINUX_DIR "${CMAKE_CURRENT_LIST_DIR}")
set(RUNTIME_LINUX_SOURCES
    "${RUNTIME_LINUX_DIR}/memory.c"
    "${RUNTIME_LINUX_DIR}/runtime.c"
    "${RUNTIME_LINUX_DIR}/start.S")

function(runtime_linux_program target)
  set(machine ${ARGN})
  if(NOT machine)
    set(machine -march=x86-64 -mgeneral-regs-only)
  endif()
  get_filename_component(apps "${RUNTIME_LINUX_DIR}" DIRECTORY)
  set_target_properties(${target} PROPERTIES C_STANDARD 11 C_EXTENSIONS ON POSITION_INDEPENDENT_CODE OFF)
  target_include_directories(${target} PRIVATE "${RUNTIME_LINUX_DIR}")
  target_compile_options(${target} PRIVATE
    -O2 -g0 ${machine} -mtune=generic -ffreestanding -fno-pie -fno-stack-protector -fcf-protection=none
    -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -ffile-prefix-map=${apps}=apps
    $<$<COMPILE_LANGUAGE:C>:-Wall> $<$<COMPILE_LANGUAGE:C>:-Wextra> $<$<COMPILE_LANGUAGE:C>:-Werror>)
  target_link_options(${target} PRIVATE
    -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,separate-code -Wl,-z,noexecstack -Wl,-z,norelro -Wl,-z,max-page-size=4096)
endfunction()
