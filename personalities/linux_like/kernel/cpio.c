/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unpacks a "newc" cpio archive into the tree. File contents stay where the loader put them. */
#include "defs.h"
#include "fs.h"

#define NEWC_HEADER 110

static u64 cpio_field(const u8 *h, int n)
{
    u64 v = 0;
    for (const u8 *p = h + 6 + 8 * n, *end = p + 8; p < end; p++) {
        u8 c = *p | 32;
        v = v * 16 + (u64)(c >= 'a' ? c - 'a' + 10 : c - '0');
    }
    return v;
}

/* A link's target is copied, since a link can be removed and the archive cannot. */
static void cpio_contents(struct inode *i, const u8 *data, u64 size)
{
    u8 *copy = inode_kind(i) == S_IFLNK && size < PATH_MAX ? kmalloc(size + 1) : NULL;
    if (inode_kind(i) == S_IFLNK && !copy)
        panic("cpio: a symbolic link of %lu bytes", size);
    if (copy)
        memcpy(copy, data, size);
    i->data = copy ? copy : data;
    i->size = size;
}

void cpio_unpack(const u8 *p, u64 size)
{
    const u8 *end = p + size;
    while (p + NEWC_HEADER <= end) {
        if (memcmp(p, "070701", 6))
            panic("cpio: the archive is damaged at byte %lu", size - (u64)(end - p));
        u64 mode = cpio_field(p, 1), fsize = cpio_field(p, 6), nsize = cpio_field(p, 11);
        const char *name = (const char *)p + NEWC_HEADER;
        u64 data_at = ALIGN_UP(NEWC_HEADER + nsize, 4ul);
        if (!nsize || data_at + fsize > (u64)(end - p) || name[nsize - 1])
            panic("cpio: the archive is cut short");
        if (!strcmp(name, "TRAILER!!!"))
            return;
        u32 kind = mode & S_IFMT;
        if (strcmp(name, ".") && (kind == S_IFREG || kind == S_IFDIR || kind == S_IFLNK)) {
            struct inode *i = inode_make(name, (u32)mode);
            if (!i)
                panic("cpio: %s lies in what is no directory, or its name is too long", name);
            i->mode = (u32)mode;
            i->atime = i->mtime = i->ctime = cpio_field(p, 5) * 1000000000ul;
            if (kind != S_IFDIR)
                cpio_contents(i, p + data_at, fsize);
        }
        p += ALIGN_UP(data_at + fsize, 4ul);
    }
}
