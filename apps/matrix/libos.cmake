# SPDX-License-Identifier: GPL-2.0-or-later
# Included by personalities/libos: the image matrix_node, and the hosted programs matrix_node and matrix (the front end).
set(MATRIX_DIR ${CMAKE_CURRENT_LIST_DIR})
set(MATRIX_COMMON ${MATRIX_DIR}/elements.c ${MATRIX_DIR}/words.c)
set(MATRIX_NODE ${MATRIX_DIR}/serve.c ${MATRIX_DIR}/multiply.c ${MATRIX_DIR}/store.c ${MATRIX_DIR}/blocks.c ${MATRIX_COMMON})
set(MATRIX_FRONT ${MATRIX_DIR}/front_main.c)
foreach(part lines commands operations operation directory nodes provision decimal)
    list(APPEND MATRIX_FRONT ${MATRIX_DIR}/${part}.c)
endforeach()

libos_add_app(matrix_node ${MATRIX_DIR}/node_main.c ${MATRIX_NODE})
libos_add_hosted_app(matrix_node ${MATRIX_DIR}/node_main.c ${MATRIX_NODE})
libos_add_hosted_app(matrix ${MATRIX_FRONT} ${MATRIX_COMMON})
target_include_directories(hosted_matrix PRIVATE ${LIBOS_DIR}/hosted)

if(LIBOS_TESTS)
    libos_add_app(test_matrix ${LIBOS_TREE}/tests/guest/libos/matrix.c ${MATRIX_NODE})
    libos_add_hosted_app(test_matrix ${LIBOS_TREE}/tests/guest/libos/matrix.c ${MATRIX_NODE})
    target_include_directories(libos-test_matrix PRIVATE ${MATRIX_DIR})
    target_include_directories(hosted_test_matrix PRIVATE ${MATRIX_DIR})
endif()
