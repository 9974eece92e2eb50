/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A native library OS has no files that it could serve. */
#include "ninep.h"
#include "shared_parts.h"

int ninep_serve(void)
{
    return SHARED_REFUSED;
}

int shared_ninep_host(const char *name, uint64_t size)
{
    (void)name;
    (void)size;
    return SHARED_REFUSED;
}
