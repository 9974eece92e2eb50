/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the core's files share. One idea a file; this header is the table of contents.
 *
 *   layout.c   Unicorn's private layout, proven when the library opens: nobody else knows it but processors.c (more processors in one engine) and softtlb.c
 *              (its software TLBs, kept over changes of CR3)
 *   engine.c   a machine's Unicorn, a processor of it for each vCPU     hooks.h  what it calls: blockhook.c, instructions.c (exceptions, SYSCALL, CPUID, RDTSC, ports)
 *   vcpu.c     a vCPU's life: reset, interrupts, runs, HLT     cells.c  translations' records     access.c  accesses without the detour
 *   memory.c   RAM, MMIO regions, DMA, code pages and their invalidation, page walks
 *   lapic.c    local APIC, its timer, IPIs, INIT/SIPI       serial.c  16550
 *   slice.c    who runs next, and for how long (cs_run)
 *   block.c    block records: one per (vCPU, address, code); closing a block charges it
 *   detail.c   the detailed level's seam: blocks into window.c (placement) by way of frontend.c, as micro-ops (uop.c)      predict.c  a block alone      limits.c  rows it can hold
 *   windowtest.c  the window model for its referee
 *   decode.c   Capstone: a block's static cost, instruction marks, flags          uarch.c  processor table rows
 *   cache.h    the memory system: cache.c, fetch.c, prefetch.c, tlb.c a vCPU's; llc.c, dram.c the machine's; geometry.c sizes     branch.c  branch predictors
 *   save.c     snapshots; state.h, state.c: the reader and writer; vcpustate.c, blockstate.c, cachestate.c, windowstate.c, followstate.c: what they hold
 *   profile.c  call stacks' tree and costs   shadow.c, profile.h: the stacks, followed while a profile is wanted   tally.c  requests' functions
 *   event.c    how often everything that has a row of its own happened
 *   ledger.c   symbols, accounts      request.c  requests, tokens      company.c  those that go together      follow.c, follow.h  threads, levels      probe.c  probes     trace.c  raw events
 */
#ifndef CS_INTERNAL_H
#define CS_INTERNAL_H
#include "core.h"
#include <stdbool.h>
#include <unicorn/unicorn.h>

struct vcpu; struct machine; struct block;
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum block_flags {
    BLK_PROBE = 1,        /* probes at its address */
    BLK_RETURN_SITE = 2,  /* a return probe may be pending here */
    BLK_SPIN = 4, BLK_IDLE = 8, BLK_POLL = 16,   /* from the symbol */
    BLK_IRET = 32,        /* ends in IRET: a nesting level closes when the next block starts */
    BLK_REP = 64,         /* a REP string iteration: charged by line, not by iteration */
    BLK_LOCKED = 128,     /* holds a LOCKed or XCHG access: its latency is not hidden */
    BLK_CR3 = 256, BLK_USER = 512,
    BLK_COND = 1024, BLK_INDIRECT = 2048, BLK_CALL = 4096, BLK_RET = 8192,   /* how it ends: for branch.c */
    BLK_CODE16 = 16384, BLK_CODE32 = 32768 /* set by the caller of decode_block; neither: 64-bit code */,
    BLK_JUMP = 1 << 16,   /* ends in a direct JMP */
    BLK_TRANSLATION = 1 << 17 /* ends in INVLPG, or in a write to CR0 or CR4 */,
    BLK_ENTRY = 1 << 18,  /* where its symbol starts */
    BLK_STACK = 1 << 19 /* gives RSP another value than one reckoned from its own, or RBP's */ };

enum { EVENTS_MAX = 48 };        /* see uarch.h */
struct own_row { uint16_t insn; uint8_t row; };   /* an instruction with a row of its own: its number in the block, its row less EVENT_FIRST */
struct insn_mark { uint16_t offset, cost16; };   /* cost16: of the block up to and including this instruction */

/* What the memory hooks saw while a block ran, at the detailed level: the window model takes it in order when the block closes. */
enum { ACCESS_MAX = 1024 };                      /* of loads, and of stores; what lies beyond is an L1 hit; hardly a translated block makes so many */
struct access {
    uint64_t gpa;
    uint32_t latency;     /* cycles beyond an L1 hit's own, 0: L1 hit */
    uint16_t walk;        /* cycles of a TLB miss, which come before */
    uint8_t size, cause;  /* who answered: CS_L1 .. CS_COHERENCE; CS_TLB: the next page was entered, and the walk is hidden by nothing */
};
struct access_log { uint32_t n[2] /* loads, stores */; struct access *last /* the one under way */, at[2][ACCESS_MAX]; };

struct branch_site { uint32_t spot, line; uint16_t tag; };      /* where its branch lies in tables found by address: branch.h */
struct block {            /* canonical record: one per (vCPU, va, size, code bytes, CPL); the first line is all that a timed block touches */
    uint64_t va; uint32_t size, flags;
    uint64_t code_line_stamp;                    /* L1I shortcut: owned by cache.c */
    struct branch_site site; uint16_t ninsn;
    uint64_t code_gpa;
    const struct uops *uops;                     /* at the detailed level (detail.c) */
    uint32_t cost16;      /* static cost, 1/16 cycle, at the timed levels */
    uint32_t serial16;    /* of which: serialising instructions and event rows (cause CS_SERIALISING / CS_EVENT) */
    uint32_t retire16;    /* of which: issue slots (CS_RETIRING); cost16 - serial16 - retire16 is CS_CORE_BOUND */
    uint32_t symbol; uint16_t component; uint16_t uncosted;
    bool port_io;         /* holds IN or OUT: Unicorn must restore RIP before their hooks (instructions.c) */
    uint8_t rep_bytes;    /* BLK_REP: bytes an iteration moves or stores (decode.c, for cache.c) */
    uint8_t load_hidden;  /* cycles of a load's latency that are no stall, by how many of its loads wait for other loads (decode.c, for cache.c) */
    struct insn_mark *marks;                     /* ninsn of them */
    struct own_row *rows; uint16_t nrows;
    uint64_t code_hash; struct block *next;      /* hash chain */
    struct cell *own;                            /* for translations that have no cell of their own */
    uint64_t sum16, sum_serial16, sum_retire16;  /* static cost of what has run, not yet in cycles (block_settle) */
    uint64_t runs, instructions; uint64_t cycles[CS_NCAUSES];    /* what it has cost so far: read after block_settle only */
};
/* Per translation and vCPU: all that most blocks touch. A translation is all vCPUs' and the block hook's user_data is its group, a cell for each
 * vCPU (cells.c). Guests' code is large, so it is the host's cache misses that cost: this is half a line. */
struct cell {
    struct block *block; uint64_t va;            /* copies, from here on */
    uint16_t size, ninsn, flags, component;
    uint32_t cost16;      /* at the level it was translated for */
    uint32_t quick;       /* whole runs not yet in the record */
} __attribute__((aligned(32)));

struct vcpu {
    uc_engine *uc; void *cpu, *env;              /* the machine's engine, this vCPU's processor in it (layout.c) */
    struct machine *machine; int index; uint32_t apic_id;
    uint64_t clock;       /* cycles, up to the last closed block */
    uint32_t frac16;      /* 1/16 cycle not yet in clock */
    uint64_t regrow_at;   /* busy cycles (clock less idle ones) at which Unicorn's software TLB may next grow (vcpu.c) */
    uint64_t slice_end;   /* clock at which the block hook stops */
    struct block *cur;    /* running block, not yet charged; NULL outside */
    struct cell *cell;    /* its cell */
    bool slow;            /* the next block needs more than counting: traced, part-way closed, costs pending, first of a slice */
    uint32_t cur_done16;  /* of cur's cost16, already charged by a part-way close */
    uint32_t stall[CS_NCAUSES]; uint32_t stall_total;            /* cycles, filled by the memory hooks while cur runs */
    uint32_t event_cycles;/* cost of an event (interrupt entry, exception, SYSCALL), charged with the next block, cause CS_EVENT */
    uint64_t excepted_at; uint32_t excepted_frac16, excepted;      /* when the last exception came, and how many since without an instruction in between */
    bool ran, halted, started, stop_requested, iret_pending;
    bool timed;           /* machine->level != CS_FUNCTIONAL */
    bool diverted;        /* an interrupt or exception came between the last block and the next: its branch leads elsewhere (cache_diverted) */
    bool refetch;         /* at the detailed level: the branch that led to cur was mispredicted; */
    uint32_t fetch_wait, resteer;                /* cycles its code came late (L1I, ITLB); the decoder's bubble (BTB). Set by cache_fetch, taken by the window */
    struct window *window; struct access_log *log;               /* NULL but at the detailed level (detail.c) */
    struct detail *detail;                       /* where both lie */
    uint64_t slice_limit; /* the real slice end; slice_end is 0 while the block hook must look at every block (attention) */
    int64_t next_ps;      /* when it can run next: its clock, its wake-up while halted, INT64_MAX when nothing is due (slice.c) */
    int delivering;       /* vector on its way through the IDT, -1: none; 8 at a shutdown is a triple fault */
    uint32_t sum_frac16, serial_frac16, core_frac16;             /* 1/16 cycles not yet whole, in all and of those causes (block_settle) */
    uint8_t *skip_sync;   /* Unicorn's skip_sync_pc_on_exit (layout.c) */
    void *region[2]; uint64_t region_bytes[2];   /* Unicorn's regions for RAM below the hole and above 4 GiB */
    uint32_t flushes;     /* of the engine's translations, when this vCPU's jump cache was last known to be good */
    uint64_t asked;       /* virtual address of the access under way inside Unicorn, or NEVER (access.c) */
    uint64_t stored, touched;                    /* see find_region in engine.c */
    const uint8_t *code_pages;                   /* a bit for each page of RAM: translated (memory.c) */
    uint32_t cur_insns;   /* instructions of cur already charged by a part-way close */
    uint64_t counters[CS_N_COUNTERS], events[EVENTS_MAX];        /* events: what happened outside blocks, less what blocks that faulted did not get to (event.c) */
    uint64_t shared_lines, shared_clock;         /* lines exchanged with other vCPUs when last looked, and when that was (slice.c) */
    struct softtlb *softtlb; struct lapic *lapic; struct caches *caches; struct tlb *tlb; struct follow *follow;   /* owned by softtlb.c, lapic.c, cache.c, tlb.c, request.c */
    struct shadow *shadow;                       /* NULL: no profile (profile.h) */
    struct block **table; uint32_t table_bits, nblocks;
    int64_t ps_frontier;  /* ps at clock: cached conversion, request.c */
};
struct engine {           /* a machine's Unicorn: one set of translations, a processor for each vCPU */
    uc_engine *uc; int width /* processors, once they are all made */; struct vcpu *running;
    uc_hook block_hook, mem_hook[2]; bool mem_hooked, sweep /* deleted hooks are still listed */;
    struct cell *fresh; struct cells *cells;     /* the group for the next translation; all groups */
    void *data_region, *code_region[2]; uint8_t *nowhere /* a page */;
    struct high *high;    /* MMIO mappings above 4 GiB (memory.c) */
};
struct machine {
    cs_world *world; int index; int ncpus; struct engine engine; struct vcpu *vcpu[CS_MAX_VCPUS];
    uint64_t hz, ram_bytes, cycle_limit; uint8_t *ram; int level; bool off;
    struct uarch *uarch; struct llc *llc; struct symbols *symbols[2]; struct probes *probes; struct memory *memory; struct serial *serial; struct profile *profile;
    uint64_t ps_num, ps_den;                     /* ps = cycles * num / den, lowest terms */
};
struct cs_world { cs_callbacks cb; int nmachines; struct machine *machine[CS_MAX_MACHINES]; struct requests *requests; struct trace *trace;
    char error[512]; cs_stop_info stop; bool stopping; volatile int interrupted; int64_t horizon_ps; uint32_t quantum[2];
    struct vcpu *running; struct vcpu *all[CS_MAX_MACHINES * CS_MAX_VCPUS]; int nall; };

static inline int64_t vcpu_ps(const struct vcpu *v, uint64_t cycles)
{
    const struct machine *m = v->machine;
    uint64_t product;
    if (LIKELY(!__builtin_mul_overflow(cycles, m->ps_num, &product))) return (int64_t)(product / m->ps_den);
    return (int64_t)((unsigned __int128)cycles * m->ps_num / m->ps_den);
}
int world_fail(cs_world *, const char *format, ...) __attribute__((format(printf, 2, 3)));   /* sets error, returns -1 */
void world_stop(cs_world *, int stop, struct vcpu *, uint64_t value);                        /* ends the run at the next block boundary */

/* --- seams: who calls what ---
 * blockhook.c on_block:  block_close(v) -> [stop?] -> v->cur = b -> probe_fire(v, b) if BLK_PROBE/BLK_RETURN_SITE -> cache_fetch(v, b) at timed levels
 * block.c  block_close: cycles by cause from b->cost16 + v->stall + v->event_cycles -> b->cycles[], clock -> follow_block(v, b, from, to) (inline, follow.h)
 */
void block_close(struct vcpu *);                                  /* charge v->cur to its end (or what is left of it), v->cur = NULL */
void block_close_at(struct vcpu *, uint64_t rip);                 /* charge v->cur up to and including the instruction at rip; it stays current */
struct block *block_find(struct vcpu *, uint64_t va, uint32_t size, bool user);   /* finds or decodes */
void block_settle(struct vcpu *);                                 /* before anybody reads the records' counts */
void block_tables_changed(struct machine *);                      /* symbols or probes changed: re-resolve every record */

extern const char *const decode_symbols[];                        /* what decode.c wants of libcapstone, NULL at the end: cs_needed_symbol(1, i) */
int decode_open(void *const *addresses);                          /* from cs_open; -1: Capstone refuses */
int decode_block(struct machine *, const uint8_t *code, uint32_t size, struct block *out);   /* fills ninsn, cost16, serial16, marks, flags IRET/REP/LOCKED/CR3/COND/INDIRECT/CALL/RET, uncosted. In: flags BLK_CODE16/32 */
int64_t uarch_row(const struct uarch *, int row);                 /* rows are enumerated in uarch.h; 0 while no table is loaded */
void uarch_free(struct machine *);                                /* cs_uarch (uarch.c) also calls caches_new; cs_machine_add makes the vCPUs first */

void cache_access(struct vcpu *, uint64_t gpa, uint64_t gva, uint32_t size, bool write);    /* from the memory hooks, timed levels, RAM only: adds to v->stall, or to v->log; cache_hit in cache.h is its inline front */
void cache_fetch(struct vcpu *, struct block *);                  /* instruction side */
void cache_diverted(struct vcpu *, bool whole, uint64_t next);   /* the IDT takes over; whole: the last block ran to its end, and would have gone on at next */
void cache_dma(struct machine *, uint64_t gpa, uint64_t n, bool write, int64_t time_ps);
int caches_new(struct machine *); void caches_free(struct machine *); void caches_reset(struct machine *);
void tlb_resume(struct vcpu *);                                   /* back at a timed level */

void symbols_resolve(struct machine *, struct block *, bool user);            /* component, symbol, SPIN/IDLE/POLL */
void probes_resolve(struct machine *, struct block *, bool user);             /* BLK_PROBE */
void probe_fire(struct vcpu *, struct block *);                               /* at v->clock */
void follow_charge(struct vcpu *, const struct block *, uint64_t from_cycle, uint64_t to_cycle);   /* the current request's frontier moves; call follow_block of follow.h */
void follow_interrupt(struct vcpu *, uint64_t token);             /* a nesting level opens; token 0: nobody's */
void follow_raised(struct vcpu *, uint64_t token, uint32_t part, uint64_t cycle);   /* the interrupt of a request that no driver took was under way up to then */
void follow_exception(struct vcpu *);                             /* opens a level with the same request */
void follow_iret(struct vcpu *, bool to_user);                    /* closes one; to user mode closes all */
void follow_idle(struct vcpu *, uint64_t from_cycle, uint64_t to_cycle);
int follow_new(struct vcpu *); void follow_free(struct vcpu *);
void requests_free(cs_world *); void trace_free(cs_world *); void symbols_free(struct machine *); void probes_free(struct machine *); void profile_free(struct machine *);   /* NULL is fine */

bool vcpu_walk(struct vcpu *, uint64_t gva, uint64_t *gpa);       /* page walk by CR3, no side effects (memory.c) */
struct walk { uint64_t gpa, entry[4] /* GPAs of the entries read, top first */; uint32_t n /* 0: no paging */, shift /* of the page's size */; bool writable, global, four_levels; };
bool vcpu_walk_entries(struct vcpu *, uint64_t gva, struct walk *);
void vcpu_paging(const struct vcpu *, uint64_t cr[3]);            /* what of CR0, CR3, CR4 translations depend on */
bool vcpu_invlpg(struct vcpu *, const struct block *, uint64_t *gva);   /* the block that has just run ended in INVLPG of that address */
bool vcpu_read(struct vcpu *, uint64_t gva, void *to, uint32_t n);/* guest-virtual, page by page */
uint64_t vcpu_reg(const struct vcpu *, int n);                    /* RAX..R15 in Unicorn's order: rax rcx rdx rbx rsp rbp rsi rdi r8.. (layout.c) */
int vcpu_cpl(const struct vcpu *);
void trace_event(cs_world *, int kind, struct vcpu *, uint32_t id, int64_t start_ps, int64_t end_ps, uint64_t a, uint64_t b);   /* no-op unless tracing: test world->trace first */
#endif
