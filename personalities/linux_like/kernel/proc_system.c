/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc: what it says about the machine and the kernel. */
#include "defs.h"
#include "fs.h"
#include "net.h"
#include "proc.h"
#include "sched.h"

#define TICKS(ns) ((ns) / 10000000ul)
#define NS 1000000000ul
#define LOAD_PERIOD (5 * NS)
#define LOAD_ONE (1u << 16)

/* ---- load: Linux's sampling every 5 s, begun when somebody first asks */

static u64 load_avg[3];
static struct timer load_timer;

static void load_sample(struct timer *t)
{
    static const u32 keep[3] = { 60299, 64453, 65173 }; /* e^(-5/60), e^(-5/300), e^(-5/900), of 65,536 */
    u64 n = sched_nr_running();
    for (u32 k = 0; k < 3; k++)
        load_avg[k] = (load_avg[k] * keep[k] + n * LOAD_ONE * (LOAD_ONE - keep[k])) >> 16;
    timer_arm(t, t->expires + LOAD_PERIOD);
}

u64 load_average(u32 which)
{
    u64 f = spin_lock_irqsave(&tasklist_lock);
    if (!load_timer.fn) {
        timer_setup(&load_timer, load_sample, NULL);
        timer_arm(&load_timer, time_ns() + LOAD_PERIOD);
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return READ_ONCE(load_avg[which]);
}

static u32 show_loadavg(char *buf, u32 n)
{
    struct proc_out o = { buf, n, 0 };
    u32 threads = 0;
    struct task *t;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    list_for_each(t, &all_tasks, all_node)
        threads++;
    spin_unlock_irqrestore(&tasklist_lock, f);
    for (u32 k = 0; k < 3; k++) {
        u64 v = load_average(k) + LOAD_ONE / 200;
        proc_printf(&o, "%lu.%02lu ", v >> 16, ((v & 0xffff) * 100) >> 16);
    }
    proc_printf(&o, "%u/%u %d\n", sched_nr_running(), threads, fork_last_tid());
    return o.at;
}

/* ---- time and memory */

static u32 show_uptime(char *buf, u32 n)
{
    u64 up = time_ns(), idle = 0;
    for (u32 i = 0; i < ncpus; i++)
        idle += up - MIN(up, READ_ONCE(sched_rq(i)->busy_ns));
    return (u32)snprintk(buf, n, "%lu.%02lu %lu.%02lu\n", up / NS, up % NS / 10000000, idle / NS, idle % NS / 10000000);
}

static u32 show_stat(char *buf, u32 n)
{
    struct proc_out o = { buf, n, 0 };
    u64 up = time_ns(), busy = 0, interrupts = 0;
    for (u32 i = 0; i < ncpus; i++)
        busy += READ_ONCE(sched_rq(i)->busy_ns);
    proc_printf(&o, "cpu  %lu 0 0 %lu 0 0 0 0 0 0\n", TICKS(busy), TICKS(up * ncpus - MIN(up * ncpus, busy)));
    for (u32 i = 0; i < ncpus; i++) {
        u64 b = READ_ONCE(sched_rq(i)->busy_ns);
        proc_printf(&o, "cpu%u %lu 0 0 %lu 0 0 0 0 0 0\n", i, TICKS(b), TICKS(up - MIN(up, b)));
    }
    for (u32 v = FIRST_DEVICE_VECTOR; v < irq_end_vector(); v++)
        interrupts += irq_count((u8)v);
    proc_printf(&o, "intr %lu\nbtime %lu\nprocesses %d\nprocs_running %u\nprocs_blocked 0\n", interrupts, (time_realtime_ns() - up) / NS, fork_last_tid(),
                sched_nr_running());
    return o.at;
}

static u32 show_meminfo(char *buf, u32 n)
{
    u64 total = page_count_total() * 4, free = page_count_free() * 4, shmem = tmpfs_pages() * 4;
    return (u32)snprintk(buf, n, "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\nBuffers:               0 kB\nCached:         %8lu kB\n"
        "SwapCached:            0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\nDirty:                 0 kB\nShmem:          %8lu kB\nSReclaimable:          0 kB\n", total, free, free, shmem, shmem);
}

u32 proc_mounts(char *buf, u32 n)
{
    return (u32)snprintk(buf, n, "tmpfs / tmpfs rw,relatime 0 0\nproc /proc proc rw,relatime 0 0\n");
}

static u32 show_filesystems(char *buf, u32 n) { return (u32)snprintk(buf, n, "nodev\tproc\nnodev\ttmpfs\n"); }

/* ---- the machine */

static u32 show_cpuinfo(char *buf, u32 n)
{
    struct proc_out o = { buf, n, 0 };
    u32 r[4], brand[13] = { 0 }, vendor[4] = { 0 };
    cpuid(0, 0, r);
    vendor[0] = r[1], vendor[1] = r[3], vendor[2] = r[2];
    cpuid(0x80000000u, 0, r);
    for (u32 k = 0; k < 3 && r[0] >= 0x80000004u; k++)
        cpuid(0x80000002u + k, 0, brand + 4 * k);
    cpuid(1, 0, r);
    u32 family = r[0] >> 8 & 15, model = r[0] >> 4 & 15;
    if (family == 6 || family == 15)
        model |= r[0] >> 12 & 0xf0;
    if (family == 15)
        family += r[0] >> 20 & 0xff;
    u64 khz = time_tsc_hz() / 1000;
    for (u32 i = 0; i < ncpus; i++)
        proc_printf(&o, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\nstepping\t: %u\ncpu MHz\t\t: %lu.%03lu\n"
                    "apicid\t\t: %u\nfpu\t\t: yes\ncpuid level\t: 1\nwp\t\t: yes\nbogomips\t: %lu.%02lu\nclflush size\t: %u\n\n", i, (const char *)vendor, family, model,
                    (const char *)brand, r[0] & 15, khz / 1000, khz % 1000, cpus[i].apic_id, khz / 500, khz / 5 % 100, r[1] >> 8 & 0xff ? (r[1] >> 8 & 0xff) * 8 : 64);
    return o.at;
}

static u32 show_interrupts(char *buf, u32 n)
{
    struct proc_out o = { buf, n, 0 };
    proc_printf(&o, "     ");
    for (u32 i = 0; i < ncpus; i++)
        proc_printf(&o, "       CPU%u", i);
    proc_printf(&o, "\n");
    for (u32 v = FIRST_DEVICE_VECTOR; v < irq_end_vector(); v++) {
        proc_printf(&o, "%4u:", v);
        for (u32 i = 0; i < ncpus; i++)
            proc_printf(&o, " %10lu", irq_count_on((u8)v, i));
        proc_printf(&o, "   vector\n");
    }
    return o.at;
}

static u32 show_version(char *buf, u32 n) { return (u32)snprintk(buf, n, "Linux version 6.1.0 (linux_like) #1 SMP linux_like\n"); }
static u32 show_cmdline(char *buf, u32 n) { return (u32)snprintk(buf, n, "%s\n", boot_cmdline); }

void proc_system_init(void)
{
    proc_make("/proc/loadavg", show_loadavg);
    proc_make("/proc/uptime", show_uptime);
    proc_make("/proc/stat", show_stat);
    proc_make("/proc/meminfo", show_meminfo);
    proc_make("/proc/mounts", proc_mounts);
    proc_make("/proc/filesystems", show_filesystems);
    proc_make("/proc/cpuinfo", show_cpuinfo);
    proc_make("/proc/interrupts", show_interrupts);
    proc_make("/proc/version", show_version);
    proc_make("/proc/cmdline", show_cmdline);
    inode_make_text("/proc/sys/kernel/ostype", "Linux\n");
    inode_make_text("/proc/sys/kernel/osrelease", "6.1.0\n");
    inode_make_text("/proc/sys/kernel/version", "#1 SMP linux_like\n");
    inode_make_text("/proc/sys/kernel/hostname", "cyclescope\n");
    inode_make_text("/proc/sys/kernel/pid_max", "2147483647\n");
}
