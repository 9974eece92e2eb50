/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WINDOW_NATIVE_H
#define WINDOW_NATIVE_H

#include "window.h"

enum window_rights { WINDOW_NONE, WINDOW_READ, WINDOW_WRITE };

void *window_frame(void);       /* a zeroed page, for good; NULL when memory is exhausted */

/* What the page tables say of the page at `at`; other vCPUs may go on as if they said what they said, until they window_forget. False: no memory. */
bool window_map(uint64_t at, void *frame, enum window_rights rights);
void window_forget(uint64_t at);

#endif
