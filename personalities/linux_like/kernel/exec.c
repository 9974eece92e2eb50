/* SPDX-License-Identifier: GPL-2.0-or-later */
/* execve: static ELF64 executables (fixed or position-independent). What asks for an interpreter is refused. */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define MAX_PHDRS 32
#define PIE_BASE 0x555555554000ul
enum { PT_LOAD = 1, PT_INTERP = 3 };
enum { ET_EXEC = 2, ET_DYN = 3, EM_X86_64 = 62 };
enum { AT_PHDR = 3, AT_PHENT = 4, AT_PHNUM = 5, AT_PAGESZ = 6, AT_BASE = 7, AT_FLAGS = 8, AT_ENTRY = 9, AT_UID = 11,
       AT_EUID = 12, AT_GID = 13, AT_EGID = 14, AT_PLATFORM = 15, AT_HWCAP = 16, AT_CLKTCK = 17, AT_SECURE = 23,
       AT_RANDOM = 25, AT_EXECFN = 31, AT_SYSINFO = 32, AT_IGNORE = 1 };

struct ehdr { u8 ident[16]; u16 type, machine; u32 version; u64 entry, phoff, shoff; u32 flags;
              u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx; };
struct phdr { u32 type, flags; u64 offset, vaddr, paddr, filesz, memsz, align; };

struct image { u64 entry, phdr, phnum, brk; };

static long exec_read_headers(struct inode *i, struct ehdr *e, struct phdr *ph)
{
    if (inode_read(i, e, sizeof *e, 0) != sizeof *e || memcmp(e->ident, "\177ELF\2\1", 6) || e->machine != EM_X86_64 ||
        (e->type != ET_EXEC && e->type != ET_DYN) || e->phentsize != sizeof *ph || !e->phnum || e->phnum > MAX_PHDRS)
        return -ENOEXEC;
    u64 n = e->phnum * sizeof *ph;
    if (inode_read(i, ph, n, e->phoff) != (ssize_t)n)
        return -ENOEXEC;
    for (u32 k = 0; k < e->phnum; k++)
        if (ph[k].type == PT_INTERP)
            return -ENOEXEC;
    return 0;
}

static long exec_map_segment(struct mm *mm, struct file *f, const struct phdr *p, u64 base)
{
    u64 start = ALIGN_DOWN(base + p->vaddr, PAGE_SIZE), file_end = base + p->vaddr + p->filesz;
    u64 end = ALIGN_UP(base + p->vaddr + p->memsz, PAGE_SIZE), mapped = ALIGN_UP(file_end, PAGE_SIZE);
    u32 prot = (p->flags & 4 ? PROT_READ : 0) | (p->flags & 2 ? PROT_WRITE : 0) | (p->flags & 1 ? PROT_EXEC : 0);
    long r = 0;
    if (p->vaddr + p->memsz < p->vaddr || p->filesz > p->memsz || (p->vaddr - p->offset) & ~PAGE_MASK)
        return -ENOEXEC;
    if (p->filesz)
        r = mm_map(mm, start, mapped - start, prot, MAP_PRIVATE | MAP_FIXED, f, ALIGN_DOWN(p->offset, PAGE_SIZE));
    else
        mapped = start;
    if (r >= 0 && end > mapped)
        r = mm_map(mm, mapped, end - mapped, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0);
    return r < 0 ? r : 0;
}

static long exec_map_image(struct mm *mm, struct file *f, const struct ehdr *e, const struct phdr *ph, struct image *im)
{
    u64 base = e->type == ET_DYN ? PIE_BASE : 0;
    *im = (struct image){ .entry = base + e->entry, .phnum = e->phnum };
    for (u32 k = 0; k < e->phnum; k++) {
        if (ph[k].type != PT_LOAD || !ph[k].memsz)
            continue;
        long r = exec_map_segment(mm, f, &ph[k], base);
        if (r)
            return r;
        if (e->phoff >= ph[k].offset && e->phoff < ph[k].offset + ph[k].filesz)
            im->phdr = base + ph[k].vaddr + (e->phoff - ph[k].offset);
        im->brk = MAX(im->brk, ALIGN_UP(base + ph[k].vaddr + ph[k].memsz, PAGE_SIZE));
    }
    if (im->entry >= USER_TOP)
        return -ENOEXEC;
    mm->brk_start = mm->brk = im->brk;
    return mm_map(mm, USER_TOP - USER_STACK_SIZE, USER_STACK_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0);
}

/* What follows a segment's file contents in its last page is zero, not the file's next bytes. */
static bool exec_clear_tails(const struct ehdr *e, const struct phdr *ph)
{
    u64 base = e->type == ET_DYN ? PIE_BASE : 0;
    for (u32 k = 0; k < e->phnum; k++) {
        u64 end = base + ph[k].vaddr + ph[k].filesz;
        if (ph[k].type == PT_LOAD && ph[k].filesz && ph[k].memsz > ph[k].filesz && ph[k].flags & 2 && end & ~PAGE_MASK &&
            copy_clear_user(end, ALIGN_UP(end, PAGE_SIZE) - end))
            return false;
    }
    return true;
}

static u64 exec_push(u64 *sp, const void *p, u64 n)
{
    *sp -= n;
    return copy_to_user(*sp, p, n) ? 0 : *sp;
}

/* Strings, then argc, argv, envp and the auxiliary vector below them, as the psABI lays them out. */
static u64 exec_build_stack(const char *path, char **argv, char **envp, const struct image *im)
{
    u64 sp = USER_TOP - 16, argc = 0, envc = 0, n = 0, rnd[2] = { random_u64(), random_u64() };
    while (argv[argc])
        argc++;
    while (envp[envc])
        envc++;
    u64 words = 1 + argc + 1 + envc + 1 + 2 * 19, *v = kmalloc(words * 8);
    if (!v)
        return 0;
    struct mm *mm = current->mm;
    u64 fn = exec_push(&sp, path, strlen(path) + 1);
    mm->env.end = sp;
    for (u64 i = envc; i--;) /* the first lowest, so that /proc/PID/cmdline is one run of bytes */
        v[argc + 2 + i] = exec_push(&sp, envp[i], strlen(envp[i]) + 1);
    mm->env.start = mm->args.end = sp;
    for (u64 i = argc; i--;)
        v[1 + i] = exec_push(&sp, argv[i], strlen(argv[i]) + 1);
    mm->args.start = sp;
    u64 platform = exec_push(&sp, "x86_64", 7), bytes = exec_push(&sp, rnd, sizeof rnd);
    v[0] = argc;
    v[1 + argc] = v[2 + argc + envc] = 0;
    n = 3 + argc + envc;
    u32 r[4];
    cpuid(1, 0, r);
    u64 aux[][2] = { { AT_HWCAP, r[3] }, { AT_PAGESZ, PAGE_SIZE }, { AT_CLKTCK, 100 }, { AT_PHDR, im->phdr },
        { AT_PHENT, sizeof(struct phdr) }, { AT_PHNUM, im->phnum }, { AT_BASE, 0 }, { AT_FLAGS, 0 }, { AT_ENTRY, im->entry },
        { AT_UID, 0 }, { AT_EUID, 0 }, { AT_GID, 0 }, { AT_EGID, 0 }, { AT_SECURE, 0 }, { AT_RANDOM, bytes },
        { AT_EXECFN, fn }, { AT_PLATFORM, platform },
        { knobs.ring0 ? AT_SYSINFO : AT_IGNORE, knobs.ring0 ? (u64)syscall_gate : 0 }, { 0, 0 } };
    _Static_assert(sizeof aux == 19 * 16, "words above");
    memcpy(v + n, aux, sizeof aux);
    n += sizeof aux / 8;
    sp = ALIGN_DOWN(sp, 16);
    sp -= n % 2 * 8;
    u64 at = exec_push(&sp, v, n * 8);
    kfree(v);
    return at;
}

#define SCRIPT_DEPTH 4
#define SCRIPT_LINE 256

static long exec_file(const char *path, char **argv, char **envp, struct pt_regs *regs, u32 depth);

/* What a script's first line asks for, to be freed; NULL: it is none. */
static char *script_interpreter(struct inode *i)
{
    char head[SCRIPT_LINE + 1] = { 0 };
    s64 n = inode_read(i, head, SCRIPT_LINE, 0);
    if (n < 3 || head[0] != '#' || head[1] != '!')
        return NULL;
    u32 from = 2, to;
    while (head[from] == ' ' || head[from] == '\t')
        from++;
    for (to = from; head[to] && head[to] != '\n'; to++)
        ;
    while (to > from && (head[to - 1] == ' ' || head[to - 1] == '\t'))
        to--;
    char *line = to > from ? kmalloc(to - from + 1) : NULL;
    if (line) {
        memcpy(line, head + from, to - from);
        line[to - from] = 0;
    }
    return line;
}

/* Cuts the interpreter's name off its argument, which is all that follows; NULL: none. */
static char *script_argument(char *line)
{
    while (*line && *line != ' ' && *line != '\t')
        line++;
    if (!*line)
        return NULL;
    *line++ = 0;
    while (*line == ' ' || *line == '\t')
        line++;
    return line;
}

static void exec_switch_mm(struct mm *mm)
{
    struct task *t = current;
    struct mm *old = t->mm;
    exit_release_mm(t);
    u64 f = spin_lock_irqsave(&tasklist_lock); /* /proc looks at it */
    t->mm = mm;
    mm_switch(this_cpu(), mm);
    cpu_set_kstack(this_cpu(), (u64)task_regs(t) + sizeof(struct pt_regs));
    spin_unlock_irqrestore(&tasklist_lock, f);
    if (old)
        mm_leave(old);
}

/* "#! interpreter argument" runs the interpreter with the argument, the script's path, and the script's own arguments. */
static long exec_script(const char *path, char *line, char **argv, char **envp, struct pt_regs *regs, u32 depth)
{
    u32 n = 0, argc = 0;
    char *arg = script_argument(line);
    while (argv[argc])
        argc++;
    char **words = kmalloc((argc + 4) * sizeof *words);
    if (!words)
        return -ENOMEM;
    words[n++] = line;
    if (arg)
        words[n++] = arg;
    words[n++] = (char *)path;
    for (u32 i = 1; i < argc; i++)
        words[n++] = argv[i];
    words[n] = NULL;
    long r = exec_file(line, words, envp, regs, depth + 1);
    kfree(words);
    return r;
}

/* Strings in kernel memory. After the old program is gone a failure kills. */
long exec_load(const char *path, char **argv, char **envp, struct pt_regs *regs) { return exec_file(path, argv, envp, regs, 0); }

static long exec_file(const char *path, char **argv, char **envp, struct pt_regs *regs, u32 depth)
{
    struct task *t = current;
    struct inode *i, *cwd = process_cwd(t->proc);
    long r = path_open(cwd, path, true, &i);
    inode_put(cwd);
    if (r)
        return r;
    if (inode_kind(i) != S_IFREG || !(i->mode & 0111)) {
        inode_put(i);
        return -EACCES;
    }
    char *line = depth < SCRIPT_DEPTH ? script_interpreter(i) : NULL;
    if (line) {
        inode_put(i);
        r = exec_script(path, line, argv, envp, regs, depth);
        kfree(line);
        return r;
    }
    struct ehdr e;
    struct image im;
    struct phdr *ph = kmalloc(MAX_PHDRS * sizeof *ph);
    struct file *f = open_inode(i, 0);
    struct mm *mm = mm_create();
    char exe[sizeof t->proc->exe];
    r = ph && f && mm ? exec_read_headers(i, &e, ph) : -ENOMEM;
    if (!r)
        r = exec_map_image(mm, f, &e, ph, &im);
    if (path_name(i, exe, sizeof exe) < 0)
        exe[0] = 0;
    inode_put(i);
    if (f)
        file_put(f);
    if (r >= 0 && !exec_kill_siblings())
        r = -EAGAIN;
    if (r < 0) {
        if (mm)
            mm_leave(mm);
        kfree(ph);
        return r;
    }
    exec_switch_mm(mm);
    const char *name = path;
    for (const char *s = path; *s; s++)
        if (*s == '/')
            name = s + 1;
    strlcpy(t->comm, name, sizeof t->comm);
    memcpy(t->proc->exe, exe, sizeof exe);
    t->fsbase = t->gsbase = t->robust_list = 0;
    wrmsr(MSR_FS_BASE, 0);
    wrmsr(MSR_KERNEL_GS_BASE, 0);
    fpu_reset_current();
    signal_exec_reset(t->proc);
    files_close_on_exec(t->files);
    u64 sp = exec_clear_tails(&e, ph) ? exec_build_stack(path, argv, envp, &im) : 0;
    kfree(ph);
    if (!sp)
        exit_group(SIGKILL);
    memset(regs, 0, sizeof *regs);
    *regs = (struct pt_regs){ .ip = im.entry, .cs = program_cs, .flags = FLAGS_IF | 2, .sp = sp, .ss = program_ds, .orig_ax = ~0ul };
    return 0;
}

static long exec_copy_strings(u64 uarr, char **out, u32 max, char **pool, char *end)
{
    u32 n = 0;
    for (; uarr; n++) {
        u64 s;
        if (get_user64(&s, uarr + 8ul * n))
            return -EFAULT;
        if (!s)
            break;
        long len = n < max - 1 ? copy_string_from_user(*pool, s, (u64)(end - *pool)) : -E2BIG;
        if (len < 0)
            return len == -ENAMETOOLONG ? -E2BIG : len;
        out[n] = *pool;
        *pool += len + 1;
    }
    out[n] = NULL;
    return 0;
}

long exec_from_user(u64 upath, u64 uargv, u64 uenvp, struct pt_regs *regs)
{
    enum { MAX_STRINGS = 1024 };
    char path[PATH_MAX];
    long r = copy_string_from_user(path, upath, sizeof path);
    if (r < 0)
        return r;
    char *pool = kmalloc(MAX_ARG_BYTES), **argv = kmalloc(2 * MAX_STRINGS * sizeof *argv), **envp = argv + MAX_STRINGS, *p = pool;
    if (!pool || !argv) {
        kfree(pool);
        kfree(argv);
        return -ENOMEM;
    }
    r = exec_copy_strings(uargv, argv, MAX_STRINGS, &p, pool + MAX_ARG_BYTES);
    if (r >= 0)
        r = exec_copy_strings(uenvp, envp, MAX_STRINGS, &p, pool + MAX_ARG_BYTES);
    if (r >= 0)
        r = exec_load(path, argv, envp, regs);
    kfree(pool);
    kfree(argv);
    return r;
}
