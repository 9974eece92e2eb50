/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole interface of the core library: what Python (emu/core/binding.py) may call. Plain C, fixed-width types, no Python.h.
 *
 * The core owns every vCPU of every machine of a World, their LAPICs, serial port, guest RAM, the block and memory
 * hooks, the timing model, the ledger, the probes and the requests. Python owns devices, the event queue and all policy.
 *
 * Time: world time is int64 picoseconds (suffix _ps); a vCPU's clock is uint64 cycles of its own frequency.
 * Errors: functions return 0, or -1 with one sentence in cs_error(world) (cs_error(NULL) for cs_open/cs_world_new). Nothing aborts.
 * Threads: one thread at a time; the only call allowed from elsewhere (a signal handler) is cs_interrupt.
 */
#ifndef CYCLESCOPE_CORE_H
#define CYCLESCOPE_CORE_H
#include <stddef.h>
#include <stdint.h>

#define CS_API __attribute__((visibility("default")))
enum { CS_ABI_VERSION = 4, CS_MAX_VCPUS = 16, CS_MAX_COMPONENTS = 64, CS_MAX_REASONS = 32, CS_MAX_PARTS = CS_MAX_COMPONENTS + CS_MAX_REASONS, CS_MAX_MACHINES = 64, CS_MAX_PLACES = 1 + CS_MAX_MACHINES };

typedef struct cs_world cs_world;

enum cs_level { CS_FUNCTIONAL = 0, CS_FAST = 1, CS_DETAILED = 2 };
enum cs_cause {                      /* why a cycle passed; the top-down stack. CORE_BOUND: ports; the fast level knows no DEPENDENCY and no L1 */
    CS_RETIRING, CS_FRONTEND, CS_BADSPEC, CS_CORE_BOUND, CS_DEPENDENCY, CS_L1, CS_L2, CS_LLC, CS_DRAM, CS_COHERENCE, CS_TLB,
    CS_SERIALISING, CS_EVENT, CS_DEVICE, CS_LOCK_SPIN, CS_IDLE, CS_NCAUSES = 16 };
enum cs_stop {                       /* why cs_run returned */
    CS_HORIZON,                      /* every vCPU has reached the horizon */
    CS_EXIT,                         /* the guest wrote the debug-exit port: info.value */
    CS_TRIPLE_FAULT, CS_CYCLE_LIMIT, CS_NO_PROGRESS /* all vCPUs halted, nothing due, no horizon */,
    CS_INTERRUPTED,                  /* cs_interrupt was called */
    CS_CALLBACK,                     /* a callback returned non-zero */
    CS_NOT_MODELLED,                 /* cs_error says what the guest did */
    CS_FAULT /* our bug or Unicorn's: cs_error */ };
typedef struct { int32_t stop, machine, vcpu, pad; uint64_t value, rip; int64_t time_ps; } cs_stop_info;

/* ---- opening: function addresses come from the loaded libunicorn and libcapstone, by name ---- */
CS_API int cs_abi_version(void);
CS_API const char *cs_needed_symbol(int library /* 0 unicorn, 1 capstone */, int index);   /* NULL past the end */
CS_API int cs_open(void *const *unicorn, void *const *capstone);   /* addresses in that order; proves Unicorn's private layout, or -1 */
CS_API const char *cs_error(cs_world *);

/* ---- callbacks into Python: return 0, or non-zero to stop the run (CS_CALLBACK) ---- */
typedef struct {
    int (*pio_read)(int machine, int vcpu, uint32_t port, uint32_t size, int64_t time_ps, uint64_t *value);
    int (*pio_write)(int machine, int vcpu, uint32_t port, uint32_t size, int64_t time_ps, uint64_t value);
    int (*mmio_read)(int machine, int vcpu, uint64_t gpa, uint32_t size, int64_t time_ps, uint64_t *value);
    int (*mmio_write)(int machine, int vcpu, uint64_t gpa, uint32_t size, int64_t time_ps, uint64_t value);
    int (*console)(int machine, const uint8_t *bytes, uint32_t n, int64_t time_ps);   /* serial transmit, flushed at newline, 256 bytes or run's end */
    int (*eoi)(int machine, int vcpu, uint32_t vector, int64_t time_ps);              /* level-triggered vectors only, for the I/O APIC */
} cs_callbacks;

/* ---- the World ---- */
CS_API cs_world *cs_world_new(const cs_callbacks *);
CS_API void cs_world_free(cs_world *);
typedef struct { uint64_t hz; uint32_t ncpus; uint32_t pad; uint64_t ram_bytes; uint64_t cycle_limit /* per vCPU, 0 none */; } cs_machine_config;
CS_API int cs_machine_add(cs_world *, const cs_machine_config *);          /* machine number, or -1 */
CS_API uint8_t *cs_ram(cs_world *, int machine);                          /* host view of guest RAM: GPA 0 at byte 0 (a hole for MMIO below 4 GiB is reflected in cs_ram_offset) */
CS_API int64_t cs_ram_offset(cs_world *, int machine, uint64_t gpa, uint64_t n);  /* byte offset of [gpa, gpa+n) in cs_ram, or -1 if not all RAM */
CS_API int cs_mmio_add(cs_world *, int machine, uint64_t gpa, uint64_t size);     /* page-multiple region forwarded to Python */
CS_API int cs_mmio_del(cs_world *, int machine, uint64_t gpa, uint64_t size);
CS_API int cs_quantum(cs_world *, uint32_t cycles_functional, uint32_t cycles_timed);
CS_API int cs_set_level(cs_world *, int machine, int level);              /* may be called between runs */
CS_API int cs_start_pvh(cs_world *, int machine, uint32_t entry, uint32_t ebx, uint32_t eax); /* BSP in 32-bit protected mode, flat segments; EAX is for Multiboot */
CS_API int cs_machine_off(cs_world *, int machine);                       /* between runs, for good: its vCPUs run no more, and nothing wakes them */
CS_API int cs_run(cs_world *, int64_t until_ps, cs_stop_info *);          /* until_ps: INT64_MAX = no event pending */
CS_API void cs_pull_horizon(cs_world *, int64_t ps);                      /* from within a callback: an earlier event was scheduled */
CS_API void cs_interrupt(cs_world *);
CS_API int64_t cs_now_ps(cs_world *, int machine, int vcpu);              /* synchronised vCPU clock; exact inside callbacks */
CS_API uint64_t cs_cycles(cs_world *, int machine, int vcpu);
CS_API int64_t cs_cycles_to_ps(cs_world *, int machine, uint64_t cycles);
CS_API int cs_regs(cs_world *, int machine, int vcpu, uint64_t out[24]);  /* RAX..R15, RIP, RFLAGS, CR0, CR2, CR3, CR4, CPL, halted: for diagnostics */

/* ---- snapshots: the World's state but for RAM, which is read and written by cs_ram. See docs/snapshot.md ---- */
CS_API int cs_state_save(cs_world *, uint8_t **data, uint64_t *n);        /* between runs; changes nothing. Free it by cs_state_free */
CS_API void cs_state_free(uint8_t *data);
CS_API int cs_state_restore(cs_world *, const uint8_t *data, uint64_t n); /* into a World of the same shape that has not run, its tables and probes in place. -1: cs_error is half a sentence, and the World is spoilt */
CS_API int cs_ram_used(cs_world *, int machine, uint64_t offset, uint64_t *start, uint64_t *end);   /* the first bytes of cs_ram, from offset on, that may not be zero; start is RAM's end when there are none */

/* ---- interrupts ---- */
CS_API int cs_lapic_post(cs_world *, int machine, uint32_t dest_apic_id, uint32_t dest_mode_logical, uint32_t delivery_mode,
                         uint32_t vector, uint32_t level, int64_t time_ps, uint64_t token);    /* fixed, lowest priority, NMI; token: request that raised it */
CS_API int cs_msi(cs_world *, int machine, uint64_t address, uint32_t data, int64_t time_ps, uint64_t token);

/* ---- the serial port's receiver, between executions: what comes back is or'ed ---- */
enum cs_serial { CS_SERIAL_RISES = 1 /* the interrupt line */, CS_SERIAL_FULL = 2 /* the byte has no room: nothing was done */ };
CS_API int cs_serial_receive(cs_world *, int machine, int byte /* -1: four characters' time went by since one came or was taken */);
CS_API int cs_serial_look(cs_world *, int machine, uint32_t out[4] /* bytes received, interrupt on reception enabled, bits of a character, divisor */);

/* ---- DMA: the one way a device touches RAM; does bounds, caches (DDIO) and code invalidation. -1: outside RAM, nothing done ---- */
CS_API int cs_dma_read(cs_world *, int machine, uint64_t gpa, void *to, uint64_t n, int64_t time_ps);
CS_API int cs_dma_write(cs_world *, int machine, uint64_t gpa, const void *from, uint64_t n, int64_t time_ps);

/* ---- timing: a processor table as (name, value) rows; unknown or missing rows are refused with one sentence ---- */
typedef struct { const char *name; int64_t value; } cs_row;
CS_API int cs_uarch(cs_world *, int machine, const cs_row *rows, int n);
typedef struct { const char *mnemonic; uint16_t uops16 /* micro-ops x16 */; uint16_t latency; uint32_t ports /* bit mask, 0 = none */; uint16_t recip16 /* reciprocal throughput x16 */; uint16_t flags; } cs_insn_cost;
CS_API int cs_insn_table(cs_world *, int machine, const cs_insn_cost *rows, int n);
CS_API int cs_block_cost(cs_world *, int machine, const uint8_t *code, uint32_t n, uint32_t *cost16, uint32_t *ninsn, uint32_t *uncosted); /* static cost of one block, x16 cycles */

/* A block's steady state under the detailed level's window model: `cycles` for `copies` runs of it. Unrolled: decoded each time; looped: from the
 * micro-op cache. All its general registers hold `fill` at first, all memory is one page, every access hits the L1. */
enum cs_predict_mode { CS_PREDICT_UNROLLED, CS_PREDICT_LOOP };
typedef struct { uint64_t cycles; uint32_t copies, instructions, slots /* fused micro-ops */, uncosted; uint64_t slots_lost[CS_NCAUSES]; } cs_prediction;
CS_API int cs_predict(cs_world *, int machine, const uint8_t *code, uint32_t n, int mode, uint64_t fill, cs_prediction *out);

/* The same, told in full: what was found out about each instruction, and each micro-op's way through the window, from the first copy on, as far as the
 * buffers go. `lift` takes bounds away, for what-if questions; what is lifted costs nothing. */
enum cs_lift { CS_LIFT_PREDECODE = 1, CS_LIFT_LCP = 2, CS_LIFT_DECODE = 4, CS_LIFT_UOP_CACHE = 8, CS_LIFT_ISSUE = 16 /* twice the width */, CS_LIFT_PORTS = 32, CS_LIFT_DIVIDER = 64,
       CS_LIFT_REGISTERS = 128 /* values are always there */, CS_LIFT_FORWARDING = 256 /* no load meets a store */, CS_LIFT_WINDOW = 512 /* ROB, scheduler, buffers */, CS_LIFT_SERIAL = 1024, CS_LIFT_PAGES = 2048 /* a new page costs nothing */ };
enum cs_insn_flag { CS_INSN_FUSED = 1 /* with the branch behind it */, CS_INSN_JOINED = 2 /* that branch */, CS_INSN_MICRO_FUSED = 4, CS_INSN_UNLAMINATED = 8, CS_INSN_MOVE = 16 /* eliminated */,
       CS_INSN_ZERO = 32, CS_INSN_NOP = 64, CS_INSN_SERIAL = 128, CS_INSN_LOCKED = 256, CS_INSN_REP = 512, CS_INSN_MICROCODED = 1024, CS_INSN_COMPLEX = 2048, CS_INSN_LCP = 4096,
       CS_INSN_UNCOSTED = 8192 /* the table lacks its form */, CS_INSN_BRANCH = 16384, CS_INSN_LOAD = 32768, CS_INSN_STORE = 65536, CS_INSN_UNPIPELINED = 1 << 17 };
typedef struct { char form[48] /* its name in the table, or empty */; uint32_t flags; uint16_t length, decoded /* fused micro-ops */, issued /* slots */, uops; } cs_insn_view;
enum cs_uop_flag { CS_UOP_LOAD = 1, CS_UOP_STORE_ADDRESS = 2, CS_UOP_STORE_DATA = 4, CS_UOP_FUSED = 8 /* shares the slot of the one before */, CS_UOP_MOVE = 16, CS_UOP_SERIAL = 32,
       CS_UOP_BRANCH = 64, CS_UOP_SYNC = 128 /* the stack engine's */, CS_UOP_BLOCKED = 256 /* its store cannot be forwarded from */, CS_UOP_UNPIPELINED = 512 };
typedef struct {
    uint64_t delivered /* by the front end */, issued, ready, dispatched, done, retired;   /* cycles */
    int32_t from[4], store;   /* records whose results it needed, whose data it was forwarded; -1: none that is known */
    uint32_t iteration; uint16_t instruction, index /* among its micro-ops */, ports, flags, latency; int16_t port /* -1: none */; uint32_t pad;
} cs_uop_view;
typedef struct { int32_t mode; uint32_t copies /* 0: enough */, lift, pad; uint64_t fill; cs_insn_view *insn; uint32_t ninsn, nuop; cs_uop_view *uop; } cs_predict_how;   /* in: the buffers' sizes; out: what they hold */
CS_API int cs_predict_full(cs_world *, int machine, const uint8_t *code, uint32_t n, cs_predict_how *, cs_prediction *out);

/* ---- symbols, components, ledger ---- */
enum { CS_SYM_SPIN = 1, CS_SYM_IDLE = 2, CS_SYM_POLL = 4 };
typedef struct { uint64_t start, end; uint32_t symbol; uint16_t component, flags; } cs_symbol;   /* [start, end), sorted, disjoint */
CS_API int cs_symbols(cs_world *, int machine, int user /* 0 kernel, 1 CPL 3 */, const cs_symbol *, int n, uint32_t unknown_symbol /* + 1: halted, or not started yet */, uint16_t unknown_component);
typedef struct { uint64_t cycles[CS_NCAUSES]; uint64_t instructions, blocks; } cs_account;
CS_API int cs_ledger_components(cs_world *, int machine, int vcpu, cs_account out[CS_MAX_COMPONENTS]);
CS_API int cs_ledger_symbols(cs_world *, int machine, int vcpu, cs_account *out, uint32_t nsymbols);
enum { CS_N_SYSCALL, CS_N_INTERRUPT, CS_N_IPI, CS_N_PAGE_FAULT, CS_N_EXCEPTION, CS_N_CR3_WRITE, CS_N_HLT, CS_N_MMIO, CS_N_PIO, CS_N_SLICES, CS_N_TRANSLATIONS,
       CS_N_L1D_MISS, CS_N_L1I_MISS, CS_N_L2_MISS, CS_N_LLC_MISS, CS_N_TRANSFERS, CS_N_UPGRADES, CS_N_TLB_WALKS, CS_N_MISPREDICTS,
       CS_N_UNCOSTED /* instructions, in blocks first seen, that the table lacks */, CS_N_RESTEERS, CS_N_COUNTERS = 32 };
CS_API int cs_counters(cs_world *, int machine, int vcpu, uint64_t out[CS_N_COUNTERS]);
CS_API const char *cs_event_row(int index);                               /* the processor table's row that an event costs; NULL past the last */
CS_API int cs_events(cs_world *, int machine, int vcpu, uint64_t *out, int n);   /* how often each happened, in that order; between runs */

/* ---- the inclusive profile: what each call stack cost ---- */
/* A node's path goes by its parents up to a root, which is its own parent and has no symbol; nodes keep their numbers, a parent's is below its
 * children's. Costs are the node's own: those of the function that its path ends in, as it was called along that path, since the profile began. */
enum cs_call_root { CS_R_THREAD /* a thread's first function */, CS_R_RESUMED /* a stack older than the profile, or whose callers were lost */,
       CS_R_INTERRUPT /* a handler: nobody called it */, CS_R_LOST /* no room for its path */, CS_R_COUNT };
typedef struct { uint32_t parent, symbol; uint64_t cycles16 /* sixteenths of a cycle */, instructions, calls /* entries at its first instruction */; } cs_call_path;
enum cs_profile_lost { CS_L_PATHS /* blocks that found no room for a path */, CS_L_FRAMES /* calls deeper than the stacks kept */, CS_L_STACKS /* suspended stacks forgotten */, CS_L_COUNT = 4 };
CS_API int cs_profile(cs_world *, int machine, int on);                  /* from now on, empty; or no more. Between runs; costs the guest nothing */
CS_API int cs_profile_read(cs_world *, int machine, cs_call_path *out, uint32_t max, uint64_t *total16 /* all vCPUs' time but halted, since power-on */,
                           uint64_t lost[CS_L_COUNT]);                    /* how many nodes there are */

/* The same by request, from cs_profile_requests on: each function's own cycles and instructions while the request was current. */
typedef struct { uint64_t token, cycles16; uint32_t symbol, instructions; } cs_request_cost;
CS_API int cs_profile_requests(cs_world *, int machine);                 /* begins, empty; there is a profile */
CS_API int cs_profile_requests_read(cs_world *, int machine, cs_request_cost *out, uint32_t max, uint64_t *first_lost /* requests from this token on are not whole: no room */);   /* how many rows there are, in no order */

/* ---- probes and requests ---- */
/* Fixed indices; emu/ledger/components.py holds the whole lists, in this order, and manifests add names behind them. */
enum { CS_C_IDLE = 16, CS_C_IRQ_DELIVERY = 26, CS_C_UNKNOWN = 27 };
enum cs_reason { CS_W_LINK, CS_W_SWITCH, CS_W_RING, CS_W_MODERATION, CS_W_NIC, CS_W_SOCKET, CS_W_RUNQUEUE, CS_W_LOCK, CS_W_PREEMPTED,
    CS_W_POLL, CS_W_THREAD, CS_W_UNATTRIBUTED, CS_W_IRQ, CS_W_IDLE_EXIT, CS_W_RETRANSMISSION };
enum cs_probe_do { CS_BIND, CS_TAG, CS_MOVE, CS_RELEASE, CS_HANDOFF, CS_WAIT, CS_WAKE, CS_SWITCH, CS_CLEAR, CS_NOTE, CS_ENTER, CS_LEAVE,
    CS_GATHER, CS_MERGE, CS_PART, CS_SENT, CS_SHARE, CS_WAITED, CS_RESUME };
typedef struct { uint8_t load /* 0: the value; 1: 8 bytes at value + offset */, source /* 0..5 argument registers, 6 RAX */; int16_t pad; int32_t offset; } cs_arg;
typedef struct { uint64_t address; uint8_t user, at_return, action, reason; uint32_t id;
    cs_arg key, to, when /* fires where its low byte is not 0; source CS_ALWAYS: always */; } cs_probe;
enum { CS_ALWAYS = 7 };
CS_API int cs_probes(cs_world *, int machine, const cs_probe *, int n);
typedef struct { uint32_t probe, pad; uint64_t value, count; } cs_note;
CS_API int cs_notes(cs_world *, int machine, cs_note *out, int max);      /* how many there are */
CS_API int cs_request_open(cs_world *, uint64_t token, int64_t start_ps);
/* A request has parts at each place it comes to. place: 0 between machines, 1 + M on machine M. part: component, or CS_MAX_COMPONENTS + reason. */
CS_API int cs_request_mark(cs_world *, uint64_t token, uint32_t place, uint32_t part, int64_t until_ps);
CS_API int cs_request_wait(cs_world *, uint64_t token, uint32_t place, uint32_t reason, int64_t now_ps);
typedef struct { uint32_t place, part; int64_t ps; } cs_part;
CS_API int cs_request_close(cs_world *, uint64_t token, int64_t end_ps, int64_t *start_ps, cs_part *parts /* those that are not 0 */, uint32_t max, uint32_t *n,
                            uint64_t cycles[CS_NCAUSES]);  /* parts sum to end - start, exactly; cycles, of the detailed level, to what vCPUs ran for it */
CS_API int cs_request_join(cs_world *, uint64_t token, uint64_t lead, int64_t now_ps);   /* from now on what is charged to lead is charged to token, too */
CS_API int cs_token_tag(cs_world *, int machine, uint64_t gpa, uint64_t token);
CS_API uint64_t cs_token_take(cs_world *, int machine, uint64_t gpa);     /* and removes it; 0 if none */
enum cs_dropped { CS_D_THREADS, CS_D_LEVELS, CS_D_TAGS, CS_D_UNMAPPED /* keys */, CS_D_NOTES, CS_D_RETURNS, CS_D_COUNT = 8 };
CS_API int cs_dropped(cs_world *, uint64_t out[CS_D_COUNT]);             /* what the guest made us forget, for lack of room or of a mapping */

/* ---- the raw trace, for the referee: what happened, not what it means ---- */
enum cs_trace_kind { CS_T_BLOCK, CS_T_PROBE, CS_T_INTERRUPT, CS_T_IRET, CS_T_OPEN, CS_T_MARK, CS_T_WAIT, CS_T_CLOSE, CS_T_TAG, CS_T_TAKE, CS_T_IDLE, CS_T_EXCEPTION, CS_T_JOIN };
/* kind: id, a, b (machine, vcpu and user are the acting vCPU's). BLOCK (while a request is open): -, va, size. PROBE: probe id, key, to; end_ps 1 if they could be
 * read (buffers as GPA). INTERRUPT: vector, rip, token. EXCEPTION: vector, rip, CR2. IRET: -, to user, -. IDLE: halted from start to end.
 * OPEN, CLOSE: -, token, -. MARK: part, token, place (until end_ps). WAIT: reason, token, place. TAG, TAKE: machine, GPA, token. */
typedef struct { uint8_t kind, machine, vcpu, user; uint32_t id; int64_t start_ps, end_ps; uint64_t a, b; } cs_event;
CS_API int cs_trace(cs_world *, uint64_t capacity /* events; 0 stops tracing */);
CS_API uint64_t cs_trace_read(cs_world *, cs_event *out, uint64_t max, uint64_t *dropped);

/* ---- testing: the memory model alone, one access at a time; needs a processor table, and no run under way ---- */
enum { CS_TEST_WRITE = 1, CS_TEST_LOCKED = 2, CS_TEST_FETCH = 4, CS_TEST_DMA = 8 /* a device writes */, CS_TEST_SAME_BLOCK = 16 /* as the access before */,
       CS_TEST_DMA_READ = 32, CS_TEST_DETAILED = 64 /* no stalls, but what the access log says: latency and cause, TLB; frontend for code */, CS_TEST_NO_GVA = 128 };
CS_API int cs_test_access(cs_world *, int machine, int vcpu, uint64_t gpa, uint64_t gva, uint32_t size, uint32_t flags,
                          uint32_t advance /* cycles that pass first */, uint32_t stall[CS_NCAUSES]);   /* the clock then moves by the stalls' sum */
typedef struct { uint64_t end /* address behind the branch */, next /* where control went */; uint32_t kind /* block_flags: BLK_COND, .. */, pad; } cs_branch;
CS_API int cs_test_branch(cs_world *, int machine, int vcpu, const cs_branch *, int n, uint8_t *answers /* branch_answer */);

/* ---- testing: the window model alone, a block at a time. struct uop, uop_insn and access (uop.h, internal.h) say what the fields mean ---- */
typedef struct { uint8_t src[4], dst[4]; uint16_t ports, cost; uint32_t flags; uint8_t hold, entries; uint16_t pad; } cs_test_uop;
typedef struct { uint16_t end; uint8_t length, slots, opcode, complex, microcoded, lcp, joined, fusible, branch, pad; } cs_test_insn;
typedef struct { uint64_t gpa; uint32_t latency; uint16_t walk; uint8_t size, cause; } cs_test_log;
typedef struct {
    const cs_test_uop *uop; const cs_test_insn *insn; const uint8_t *window; const cs_test_log *load, *store;
    uint64_t va, idle_until /* 0: the block follows at once */; uint32_t nuop, ninsn, nwindows, nload, nstore, from, to, refetch, late, pad;
} cs_test_block;
typedef struct { uint64_t retire; int64_t lost[CS_NCAUSES]; /* retirement slots */ uint32_t touched, legacy; } cs_test_placed;
typedef struct cs_window cs_window;
CS_API int cs_test_uops(cs_world *, int machine, const uint8_t *code, uint32_t n, uint64_t va, cs_test_uop *, uint32_t *nuop, cs_test_insn *, uint32_t *ninsn,
                        uint8_t *window, uint32_t *nwindows);         /* in: room; out: how many */
CS_API cs_window *cs_test_window_new(cs_world *, int machine);
CS_API void cs_test_window_free(cs_window *);
CS_API int cs_test_window_place(cs_world *, cs_window *, const cs_test_block *, cs_test_placed *);
#endif
