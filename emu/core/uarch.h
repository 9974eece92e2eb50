/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's processor table. The rows' meaning, unit, source and grade live in emu/uarch/<name>.toml; here are only their names.
 * Units: cycles unless the name says otherwise; a name ending in 16 counts sixteenths of a cycle. */
#ifndef CS_UARCH_H
#define CS_UARCH_H
#include "internal.h"

#define UARCH_ROWS(R) \
    /* core: what bounds a block */ \
    R(issue_width) R(frontend_bytes) R(block_min16) R(load_latency) R(store_forward) R(mispredict) \
    R(default_uops) R(default_latency) \
    /* core, the detailed level: ports are bit masks */ \
    R(retire_width) R(rob) R(scheduler) R(load_buffer) R(store_buffer) R(idq) R(load_ports) R(store_ports) R(data_ports) R(alu_ports) R(branch_ports) \
    R(load_latency_x) R(load_latency_y) R(load_latency_chased) R(store_blocked) R(store_commit) \
    R(predecode_width) R(instruction_queue) R(decoders) R(decode_slots) R(lcp_stall) R(ms_switch) R(fusible_held) R(dsb_width) R(dsb_line) R(dsb_window_lines) R(dsb_sets) R(dsb_ways) \
    /* REP string instructions: once, per 64-byte line moved or stored, per element compared or scanned */ \
    R(rep_startup) R(rep_line16) R(rep_scan16) \
    /* instructions that serialise: charged by decode.c */ \
    R(lock) R(syscall) R(sysret) R(iret) R(swapgs) R(cr3_write) R(cr_write) R(rdmsr) R(wrmsr) R(invlpg) R(cpuid) R(mfence) R(lfence) \
    R(pause) R(rdtsc) R(sti) R(cli) R(hlt_enter) R(pio_issue) R(int_n) R(far_transfer) R(ltr) R(wbinvd) \
    /* events: charged by vcpu.c, instructions.c and lapic.c where they happen */ \
    R(interrupt_entry) R(exception_entry) R(hlt_exit) R(ipi_delivery) R(interrupt_delivery) \
    R(lapic_access) R(mmio_read) R(mmio_write) R(pio_read) R(pio_write) \
    /* caches */ \
    R(l1d_kib) R(l1d_ways) R(l1i_kib) R(l1i_ways) R(l2_kib) R(l2_ways) R(llc_kib_per_vcpu) R(llc_ways) R(llc_inclusive) R(ddio_ways) \
    R(l2_latency) R(llc_latency) R(transfer_latency) R(upgrade_latency) \
    R(load_hidden) R(chased_hidden) R(fill_buffers) R(store_hidden) R(fetch_hidden) \
    R(l1_next_line) R(l2_adjacent) R(streams) R(stream_ahead) R(prefetches) \
    /* memory */ \
    R(dram_latency) R(dram_precharge) R(dram_activate) R(dram_line16) R(dram_channels) R(dram_banks) R(dram_row_bytes) \
    /* address translation */ \
    R(dtlb_entries) R(dtlb_ways) R(dtlb_2m_entries) R(dtlb_2m_ways) R(dtlb_1g_entries) R(itlb_entries) R(itlb_ways) R(itlb_2m_entries) R(itlb_2m_ways) \
    R(stlb_entries) R(stlb_ways) R(stlb_1g_entries) R(stlb_1g_ways) R(pde_cache) R(pdpte_cache) R(pml4e_cache) R(stlb_latency) R(walk_start) \
    /* branch prediction; tage_history1 to 4: one tagged table each, in taken branches, 0: no such table */ \
    R(bimodal_entries) R(tage_entries) R(tage_ways) R(tage_history1) R(tage_history2) R(tage_history3) R(tage_history4) R(branch_address_bit) \
    R(btb_entries) R(btb_ways) R(resteer) R(indirect_entries) R(return_entries)

enum uarch_row {
#define R(name) UA_##name,
    UARCH_ROWS(R)
#undef R
    UA_NROWS };

/* What has a row of its own and is counted each time it happens (event.c), in the order of the rows. */
enum { EVENT_FIRST = UA_lock, EVENT_LAST = UA_pio_write, EVENTS = EVENT_LAST - EVENT_FIRST + 1 };
_Static_assert((int)EVENTS <= (int)EVENTS_MAX, "events");
static inline void event_count(struct vcpu *v, int row) { v->events[row - EVENT_FIRST]++; }

enum { FORM_MORE = 0x8000,        /* cs_insn_cost.flags: another port set of the form in the row before (uops16 of them, on ports) */
       FORM_UNPIPELINED = 1,      /* holds its unit (divider, microcode sequencer) for recip16 */
       FORM_COMPLEX = 2,          /* only the first decoder takes it */
       FORM_MAX_SETS = 12 };
struct form {                     /* one instruction form: "add r64,m64" */
    char *name; uint16_t uops16, latency, recip16, flags; uint8_t nsets;
    struct { uint16_t ports, n16; } set[FORM_MAX_SETS];
};
struct uop_table;
struct uarch {                    /* one for all machines of a World whose tables say the same: what is worked out from it is in the host's caches once */
    int64_t row[UA_NROWS]; bool have_rows; uint32_t users /* machines */;
    struct uop_table *uops;       /* of blocks' code (uoptable.c) */
    struct form *forms; uint32_t nforms; uint32_t *hash, hash_bits;     /* hash: index + 1 */
};
const char *uarch_row_name(int row);
const struct form *uarch_form(const struct uarch *, const char *name);  /* exact name, or NULL */
int window_rows(cs_world *, const int64_t *row);                         /* limits.c; -1: the window model cannot hold that, with a sentence */
#endif
