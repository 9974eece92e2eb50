/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of /proc share. */
#pragma once
#include "types.h"

struct inode;
struct task;
struct process;
struct file_ops;

struct proc_out { char *buf; u32 room, at; };  /* text that is cut where the room ends */
void proc_printf(struct proc_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void proc_write(struct proc_out *o, const void *p, u32 n);
extern const struct file_ops proc_ops;

/* What an inode below /proc/PID is about. tid 0: the process; fd: -1, or a descriptor's link. */
struct proc_ref { struct process *p; s32 tid, fd; const struct proc_entry *entry; };
struct proc_entry {
    const char *name;
    u32 mode;
    void (*show)(struct proc_out *o, struct proc_ref *r);
    long (*text)(struct proc_ref *r, char *buf, u32 n);   /* of a link */
    struct inode *(*jump)(struct proc_ref *r);            /* where a link leads, with a reference; NULL: by its text */
};
void proc_pid_init(struct inode *proc);
void proc_pid_show(struct inode *i, struct proc_out *o);

/* proc_task.c: the tables of entries of /proc/PID, and of /proc/PID/task/TID */
extern const struct proc_entry proc_pid_entries[];
extern const u32 proc_pid_count;
struct file *proc_file_of(struct process *p, s32 fd);      /* with a reference; NULL: none */
s32 proc_next_fd(struct process *p, s32 from);             /* -1: no more */
s32 proc_next_tid(struct process *p, s32 above);           /* 0: no more */
long proc_file_name(struct file *f, char *buf, u32 n);
u32 proc_mounts(char *buf, u32 n);                         /* proc_system.c */
