/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the machine's own parts (engine, memory, LAPIC, serial port, slices) offer one another. Timing and ledger need none of it. */
#ifndef CS_MACHINE_H
#define CS_MACHINE_H
#include "layout.h"

enum { PAGE = 4096, LAPIC_CRYSTAL_HZ = 25000000, IPI_FUNCTIONAL_CYCLES = 200, SLICE_MAX_CYCLES = 1 << 22 };
#define LAPIC_BASE 0xfee00000ull
#define HOLE_START 0xc0000000ull   /* RAM beyond lies above 4 GiB */
#define FOUR_GIB 0x100000000ull
#define DATA_GPA (1ull << 48)      /* a page no guest can reach: its region stands for RAM without code (engine.c) */
#define NEVER UINT64_MAX

/* engine.c: a machine's Unicorn, and its processors */
int engine_new(struct machine *, int ncpus);              /* with all its vCPUs; -1 with world_fail */
void engine_free(struct machine *);
int engine_set_level(struct machine *, int level);

/* vcpu.c */
void vcpu_reset(struct vcpu *);                           /* INIT: real mode, caches and TLB left to the timing model */
void vcpu_start_pvh(struct vcpu *, uint32_t entry, uint32_t ebx, uint32_t eax);
void vcpu_start_sipi(struct vcpu *, uint32_t vector);
bool vcpu_takes_interrupts(const struct vcpu *);          /* IF and no shadow */
bool vcpu_deliver(struct vcpu *, int vector, bool nmi, uint64_t token);   /* false: the run is stopped (the stack is not there) */
void vcpu_enter(struct vcpu *);                           /* from now on it is this one that runs: before any of what follows */
void vcpu_execute(struct vcpu *);                         /* runs until the block hook stops it or it halts */
uint32_t vcpu_wake_cycles(const struct vcpu *);             /* leaving HLT */
uint64_t vcpu_cycles_at(const struct vcpu *, int64_t ps); /* first clock value not before ps; NEVER for INT64_MAX */
void vcpu_idle_to(struct vcpu *, uint64_t clock);         /* halted until then */

/* instructions.c, blockhook.c, cpuid.c */
void device_access(struct vcpu *, int counter, int uarch_row);   /* closes the block up to RIP, counts, charges the row */
void vcpu_attention(struct vcpu *);                       /* the block hook looks at the next block */
bool cpuid_answer(const struct vcpu *, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);   /* cpuid.c */

extern struct vcpu *executing;                            /* which runs, or ran last; NULL: none */

/* access.c */
extern struct vcpu *timing;                               /* `executing`, while its engine runs at a timed level; else NULL */
extern struct quick { struct vcpu *vcpu; struct caches *caches; } quick;   /* the same at the fast level, and its caches; else NULL */
void access_install(void);                                /* once, when the library opens */

/* memory.c */
struct high { uint64_t gpa; struct high *next; };
int memory_new(struct machine *);
void memory_free(struct machine *);
int memory_attach(struct machine *);                      /* maps RAM and the hole into its engine */
const uint8_t *memory_code_pages(const struct machine *);
void memory_code(struct vcpu *, uint64_t va, uint32_t size);    /* a translation was made of that: stores there are to be looked at */
bool memory_has_code(const struct vcpu *, uint64_t gpa);  /* something of that page is translated; or it is no RAM */
void memory_store_slow(struct vcpu *, uint64_t gpa);      /* a store to a page with code, at the functional level */
static inline bool has_code(const struct vcpu *v, uint64_t gpa)           /* the same, of RAM only */
{
    uint64_t page = (gpa < v->region_bytes[0] ? gpa : gpa - FOUR_GIB + v->region_bytes[0]) / PAGE;
    return v->code_pages[page >> 3] >> (page & 7) & 1;
}
bool memory_stale(const struct machine *);                /* a device wrote to translated code */
void memory_refresh(struct machine *);                    /* drops those translations; between executions only */
uint8_t *memory_at(const struct machine *, uint64_t gpa, uint64_t n);     /* NULL unless all RAM */
int memory_used(const struct machine *, uint64_t offset, uint64_t *start, uint64_t *end);   /* see cs_ram_used */
uint64_t memory_low(const struct machine *);              /* bytes of RAM below the hole */
bool vcpu_walk_flags(struct vcpu *, uint64_t gva, uint64_t *gpa, bool *writable);

/* lapic.c */
int lapic_new(struct vcpu *);
void lapic_free(struct vcpu *);
void lapic_reset(struct vcpu *);
uint32_t lapic_read(struct vcpu *, uint32_t offset);
void lapic_write(struct vcpu *, uint32_t offset, uint32_t value);
void lapic_advance(struct vcpu *);                        /* whatever is due by its clock arrives */
uint64_t lapic_next(const struct vcpu *);                 /* clock of the next arrival or expiry, or NEVER */
enum lapic_pending { LAPIC_NOTHING, LAPIC_VECTOR, LAPIC_NMI };
enum lapic_pending lapic_pending(const struct vcpu *);    /* what could be delivered, were IF set */
int lapic_take(struct vcpu *, uint64_t *token);           /* acknowledges the vector */
void lapic_take_nmi(struct vcpu *);

/* serial.c */
int serial_new(struct machine *);
void serial_free(struct machine *);
bool serial_port(uint32_t port);
uint32_t serial_read(struct machine *, uint32_t port, bool *taken /* set when a received byte was */);
uint32_t serial_write(struct machine *, struct vcpu *, uint32_t port, uint32_t value);   /* the port that tells Python: 0x3F8, the line rises; 0x3FA, the receiver was emptied; 0: nothing to tell */
void serial_flush(struct machine *, int64_t now_ps);

/* block.c */
enum { CELL_ENTRY = 1 /* probes, or port I/O */, CELL_EXIT = 2 /* IRET, CR3 write */, CELL_WAITS = 4 /* spins or idles */ };
void cell_describe(struct vcpu *, struct cell *);         /* copies what it holds from its block */
void cell_settle(struct vcpu *, struct cell *);

/* cells.c */
struct cell *cells_group(struct machine *);               /* a cell for each vCPU; NULL: no memory */
void cells_each(struct vcpu *, void (*)(struct vcpu *, struct cell *));
void cells_free(struct machine *);

void block_pay(struct vcpu *, struct block *);            /* stalls and events: to the accounts and the clock */
void block_tables_free(struct vcpu *);
void block_finish(struct vcpu *, const struct block *);    /* what an IRET or CR3 write at its end means */
void block_close_before(struct vcpu *, uint64_t rip);     /* a fault: charge what ran before the instruction at rip; v->cur = NULL */

/* event.c */
void event_block_cut(struct vcpu *, const struct block *, uint32_t ran);    /* it will be counted as run, but only so many of its instructions did */

/* slice.c */
void slice_pull(cs_world *, int64_t ps);                  /* something will happen then: the running slice must not go far beyond */

/* world.c */
struct machine *world_machine(cs_world *, int machine);   /* NULL with the error set */
struct vcpu *world_vcpu(cs_world *, int machine, int vcpu);
#endif
