/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the boot stub to process 1. */
#include "defs.h"
#include "fs.h"
#include "net.h"
#include "pvh.h"
#include "task.h"

#define MAX_ARGS 64

#define MAX_FILES 8

struct module boot_module;
/* Further modules: programs that the first one may start. */
static struct { struct module module; char name[96]; } boot_files[MAX_FILES];
static u32 nr_boot_files;
char boot_cmdline[1024];
static char cmdline_words[1024];
static struct pt_regs *init_regs(void) { return task_regs(current); }

/* The value of key= before " -- "; false: absent. */
bool cmdline_get(const char *key, char *buf, size_t n)
{
    size_t len = strlen(key);
    for (const char *s = boot_cmdline; *s;) {
        while (*s == ' ')
            s++;
        if (!strncmp(s, "-- ", 3))
            break;
        if (!strncmp(s, key, len) && s[len] == '=') {
            const char *v = s + len + 1;
            size_t i = 0;
            for (; v[i] && v[i] != ' ' && i + 1 < n; i++)
                buf[i] = v[i];
            buf[i] = 0;
            return true;
        }
        while (*s && *s != ' ')
            s++;
    }
    return false;
}

u64 cmdline_get_u64(const char *key, u64 def)
{
    char v[32];
    return cmdline_get(key, v, sizeof v) ? strtou64(v, NULL) : def;
}

static u32 cmdline_split_args(char **argv)
{
    u32 n = 0;
    char *s = cmdline_words;
    strlcpy(s, boot_cmdline, sizeof cmdline_words);
    while (*s && strncmp(s, "-- ", 3)) {
        while (*s && *s != ' ')
            s++;
        while (*s == ' ')
            s++;
    }
    if (*s)
        s += 3;
    while (*s && n < MAX_ARGS) {
        while (*s == ' ')
            *s++ = 0;
        bool quoted = *s == '"';    /* a word with spaces, as Linux takes them */
        if (quoted)
            s++;
        if (*s)
            argv[n++] = s;
        while (*s && *s != (quoted ? '"' : ' '))
            s++;
        if (quoted && *s)
            *s++ = 0;
    }
    return n;
}

static void main_open_console(void)
{
    struct inode *tty = inode_make("/dev/console", 0);
    for (int i = 0; i < 3; i++)
        fd_install(open_inode(tty, O_RDWR), 0, false);
    tty_give(current->proc->sid);
}

/* The module is the program itself, or an archive that holds it. */
static const char *main_unpack_module(void)
{
    static char init_path[128] = "/init";
    const u8 *m = va(boot_module.start);
    if (!boot_module.size)
        panic("main: no boot module; give a static program or a cpio archive");
    if (boot_module.size > 6 && !memcmp(m, "070701", 6)) {
        cpio_unpack(m, boot_module.size);
        cmdline_get("init", init_path, sizeof init_path);
        return init_path;
    }
    struct inode *i = inode_make("/init", S_IFREG | 0755);
    i->data = (u8 *)m;
    i->size = boot_module.size;
    return "/init";
}

/* Each further module is a file, whose path, or name in /bin, is its command line. */
static void main_note_modules(const struct hvm_start_info *si)
{
    const struct hvm_modlist_entry *mods = (const void *)si->modlist_paddr;
    for (u32 i = 1; i < si->nr_modules && nr_boot_files < MAX_FILES; i++) {
        if (!mods[i].cmdline_paddr)
            continue;
        boot_files[nr_boot_files].module = (struct module){ mods[i].paddr, mods[i].size };
        strlcpy(boot_files[nr_boot_files++].name, (const char *)mods[i].cmdline_paddr, sizeof boot_files[0].name);
    }
}

static void main_place_files(void)
{
    for (u32 i = 0; i < nr_boot_files; i++) {
        char path[104];
        snprintk(path, sizeof path, "%s%s", boot_files[i].name[0] == '/' ? "" : "/bin/", boot_files[i].name);
        struct inode *f = inode_make(path, S_IFREG | 0755);
        f->data = va(boot_files[i].module.start);
        f->size = boot_files[i].module.size;
    }
}

static void main_init_thread(void *arg)
{
    static char *argv[MAX_ARGS + 2], *envp[] = { "HOME=/", "PATH=/bin:/sbin:/usr/bin", "TERM=vt100", NULL };
    softirq_init();
    socket_init();
    virtio_net_init();
    console_init_irq();
    main_open_console();
    const char *path = main_unpack_module();
    main_place_files();
    if (!cmdline_split_args(argv))
        argv[0] = (char *)path;
    long r = exec_load(path, argv, envp, init_regs());
    if (r == -ENOEXEC)
        panic("main: %s is not a static x86-64 Linux program", path);
    if (r)
        panic("main: cannot run %s: error %ld", path, -r);
}

static void main_read_start_info(u64 phys)
{
    const struct hvm_start_info *si = (const void *)phys;
    if (si->magic != HVM_START_MAGIC)
        panic("main: not started by the PVH protocol");
    if (si->cmdline_paddr)
        strlcpy(boot_cmdline, (const char *)si->cmdline_paddr, sizeof boot_cmdline);
    main_note_modules(si);
    page_early_init(si);
    knobs_read();
    if (knobs.ring0)
        ring0_init();
    mitigation_select();
    mitigation_init_cpu();
}

noreturn void kernel_main(u64 start_info)
{
    const struct hvm_start_info *si = (const void *)start_info;
    trap_init();
    cpu_init(&cpus[0]);
    console_init();
    main_read_start_info(start_info);
    u64 rsdp = si->rsdp_paddr;
    pool_init();
    pgtable_init();
    page_alloc_init();
    slab_init();
    vma_init();
    acpi_init(rsdp);
    apic_init();
    apic_init_cpu();
    cpus[0].apic_id = apic_id();
    time_init();
    random_init();
    sched_init();
    timer_init_cpu();
    file_init();
    inode_init();
    futex_init();
    smp_boot();
    fork_init_process(main_init_thread, NULL);
    printk("linux_like: %u vcpus, %lu MiB, TSC %lu MHz\n", ncpus, page_count_total() >> 8, time_tsc_hz() / 1000000);
    idle_loop();
    panic("main: the idle loop ended");
}
