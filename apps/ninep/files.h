/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tree of files, as the server needs it: names are paths below its root, "" the root itself. Results below 0 are Linux's error numbers. */
#ifndef NINEP_FILES_H
#define NINEP_FILES_H

#include "wire.h"

#define FILES_PATH_MOST 1024    /* bytes of a path, with its end */

struct files_entry {
    struct ninep_qid qid;
    uint32_t mode;              /* 9P's: DIRECTORY_MODE and permissions */
    uint32_t accessed, modified; /* seconds since 1970 */
    uint64_t length;            /* 0 of directories */
};

/* Called for each entry of a directory; false ends the list. */
typedef bool (*files_each)(void *ctx, const char *name, uint32_t length);

long files_stat(const char *path, struct files_entry *entry);   /* symbolic links, devices and the like: -ELOOP */
long files_open(const char *path, uint8_t mode);                /* a descriptor; 9P's mode */
long files_create(const char *path, uint32_t perm, uint8_t mode);       /* the same; a directory too, opened to be read */
long files_read(int fd, uint64_t offset, void *to, uint32_t size);
long files_write(int fd, uint64_t offset, const void *from, uint32_t size);
long files_list(int fd, files_each each, void *ctx);            /* from the start */
long files_truncate(const char *path, uint64_t length);
long files_permit(const char *path, uint32_t mode);             /* 9P's mode: its permissions */
#define FILES_SAME 0xFFFFFFFFu
long files_date(const char *path, uint32_t accessed, uint32_t modified);        /* FILES_SAME: as it is */
long files_rename(const char *from, const char *to);            /* nothing is at `to` */
long files_remove(const char *path);
void files_close(int fd);
const char *files_error(long error);

/* Everything lies below this directory. */
void files_root(const char *path);

#endif
