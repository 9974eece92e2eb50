/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is not declared in task.h, mm.h, fs.h, net.h or lock.h, under the file that owns it. */
#pragma once
#include "lock.h"
#include "percpu.h"
#include "uapi.h"
#include "x86.h"

/* string.c */
void *memcpy(void *d, const void *s, size_t n);
void *memmove(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
void strlcpy(char *d, const char *s, size_t n);
u64 strtou64(const char *s, const char **end);

/* console.c */
void console_init(void);
void console_init_irq(void);
void console_write(const char *s, size_t n);
void printk(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int vsnprintk(char *buf, size_t n, const char *fmt, va_list ap);
int snprintk(char *buf, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
noreturn void machine_exit(u32 status);

/* main.c */
struct module { u64 start, size; };   /* physical; size 0: none */
extern struct module boot_module;
extern char boot_cmdline[1024];
bool cmdline_get(const char *key, char *buf, size_t n);
u64 cmdline_get_u64(const char *key, u64 def);

/* knobs.c */
extern struct knobs {
    bool ring0;              /* ring=0: programs run at CPL 0 and call the kernel as a function */
    bool polling;            /* poll=1: no receive interrupts; idle vCPUs and waiting readers look at the rings */
    bool init_on_alloc;      /* init_on_alloc=0: memory is handed out as it was left; 1: cleared, as in Linux with CONFIG_INIT_ON_ALLOC_DEFAULT_ON */
    u32 pool_buffers;        /* pool=N: packet buffers that programs may map; 0: none */
} knobs;
void knobs_read(void);

/* alternative.c, mitigation.c */
void alternative_apply(const bool *has);
extern struct mitigations { bool pti, spectre, smap; } mitigations;
void mitigation_select(void);          /* once, on the boot page tables */
void mitigation_init_cpu(void);

/* acpi.c */
struct acpi_info {
    u32 ncpus;
    u32 apic_ids[MAX_CPUS];
    u64 lapic_pa, ioapic_pa;
    u32 ioapic_gsi_base;
    u32 isa_gsi[16];
    u16 isa_flags[16];
};
extern struct acpi_info acpi;
void acpi_init(u64 rsdp);

/* cpu.c, trap.c */
void cpu_init(struct cpu *c);
void cpu_set_kstack(struct cpu *c, u64 top);
void trap_init(void);
bool trap_fixup(struct pt_regs *regs);

/* apic.c */
#define VEC_TIMER 0xec
#define VEC_TLB 0xfc
#define VEC_RESCHED 0xfd
#define VEC_SPURIOUS 0xff
void apic_init(void);
void apic_init_cpu(void);
u32 apic_id(void);
void apic_eoi(void);
void apic_send_ipi(u32 apic_id, u8 vector);
void apic_send_init(u32 apic_id);
void apic_send_sipi(u32 apic_id, u8 page);
#define APIC_TIMER_DIVISOR 16
void apic_timer_arm(u32 count);
u32 apic_timer_count(void);
void ioapic_route_isa(u32 irq, u8 vector, u32 apic_id);

/* smp.c */
void smp_boot(void);
void smp_send_resched(u32 cpu);

/* irq.c, softirq.c */
typedef bool (*irq_handler)(void *arg); /* whether it was its device's */
u8 irq_alloc(irq_handler fn, void *arg);
u64 irq_count(u8 vector);
u64 irq_count_on(u8 vector, u32 cpu);
u32 irq_end_vector(void);             /* devices' are FIRST_DEVICE_VECTOR up to here */
#define FIRST_DEVICE_VECTOR 0x30
void irq_set(u8 vector, void (*fn)(void *arg), void *arg);
enum { SOFTIRQ_NET_RX, NR_SOFTIRQS };
void softirq_raise(u32 nr);
void softirq_run(void);
void softirq_irq_exit(void);
void softirq_init(void);
void local_bh_disable(void);
void local_bh_enable(void);

/* time.c, timer.c */
void time_init(void);
u64 time_ns(void);                     /* since boot */
u64 time_realtime_ns(void);
u64 time_tsc_hz(void);
u64 time_crystal_hz(void); /* what CPUID says the LAPIC timer counts; 0: nothing */
struct timer {
    struct list node;
    u64 expires;                       /* time_ns() */
    void (*fn)(struct timer *t);
    void *arg;
    u32 cpu;
    bool armed;
};
void timer_init_cpu(void);
void timer_setup(struct timer *t, void (*fn)(struct timer *), void *arg);
void timer_arm(struct timer *t, u64 expires);
bool timer_try_cancel(struct timer *t); /* false: it was not armed, or fires at this moment */
void timer_cancel(struct timer *t);    /* afterwards its function is not running and will not */
void timer_tick_start(void);
long timer_schedule_until(u64 expires);         /* as schedule(); 0: time is up; expires 0 = for ever */

/* idle.c */
void idle_loop(void);

/* syscall.c */
void syscall_init_cpu(void);
bool syscall_exit_to_user(struct pt_regs *regs);
bool syscall_dispatch(struct pt_regs *regs);

/* ring0.c, ring0.S: programs at CPL 0 */
void ring0_init(void);                 /* on the first vCPU, before the others start */
long syscall_gate(long nr, long a, long b, long c, long d, long e, long f);

/* proc.c, proc_system.c, psi.c */
void proc_init(void);
void proc_make(const char *path, u32 (*show)(char *buf, u32 n));
void proc_system_init(void);
u64 load_average(u32 which);           /* over 1, 5, 15 minutes; 16 bits of fraction */
void psi_init(void);

/* futex.c */
void futex_init(void);
long futex_wake(u64 uaddr, u32 nr, u32 bitset, bool private);
void futex_exit_robust(struct task *t);

/* random.c */
void random_init(void);
u64 random_u64(void);

/* pci.c */
struct pci_dev { u8 bus, dev, fn; u16 vendor, device; u8 revision; };
bool pci_find(u16 vendor, u16 device, struct pci_dev *out);
u32 pci_read32(const struct pci_dev *d, u32 off);
u16 pci_read16(const struct pci_dev *d, u32 off);
u8 pci_read8(const struct pci_dev *d, u32 off);
void pci_write32(const struct pci_dev *d, u32 off, u32 v);
void pci_write16(const struct pci_dev *d, u32 off, u16 v);
u64 pci_bar(const struct pci_dev *d, u32 n);       /* physical base; assigns one if the firmware did not */
u8 pci_find_cap(const struct pci_dev *d, u8 id, u8 after);
void pci_enable(const struct pci_dev *d);
u32 pci_msix_enable(const struct pci_dev *d, volatile u32 **table); /* entries */
void pci_msix_set(volatile u32 *table, u32 entry, u8 vector, u32 apic_id);
