/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block's static cost: bounds, not a window. Which bound binds is what a throughput model can say; how blocks overlap it cannot. */
#include "decode.h"
#include <string.h>

/* Fewest sixteenths of a cycle in which the micro-ops can be spread over their ports: the worst, over all sets of ports, of the
 * work that only they can do, divided by their number (Hall's condition, so exact for fractional assignments). Sets that are
 * no union of the micro-ops' own sets cannot be the worst. */
enum { MASKS_MAX = 48, UNIONS_MAX = 256 };

static uint32_t port_bound16(const struct uarch *u, const struct dop *d, uint32_t n) {
    uint32_t work[MASKS_MAX], nmasks = 0, nunions = 0;
    uint16_t masks[MASKS_MAX], unions[UNIONS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        if (d[i].kind != DOP_PLAIN || !d[i].form) continue;
        for (int s = 0; s < d[i].form->nsets; s++) {
            uint16_t p = d[i].form->set[s].ports;
            if (d[i].fused && !(p & ~u->row[UA_alu_ports])) continue;          /* the branch carries the compare */
            uint32_t k = 0;
            while (k < nmasks && masks[k] != p) k++;
            if (k == MASKS_MAX) continue;
            if (k == nmasks) { masks[nmasks] = p; work[nmasks++] = 0; }
            work[k] += d[i].form->set[s].n16;
        }
    }
    for (uint32_t k = 0; k < nmasks; k++)
        for (uint32_t i = 0, end = nunions; i <= end && nunions < UNIONS_MAX; i++) {
            uint16_t both = (uint16_t)(masks[k] | (i < end ? unions[i] : 0));
            uint32_t seen = 0;
            while (seen < nunions && unions[seen] != both) seen++;
            if (seen == nunions) unions[nunions++] = both;
        }
    uint32_t worst = 0;
    for (uint32_t i = 0; i < nunions; i++) {
        uint32_t sum = 0, ports = (uint32_t)__builtin_popcount(unions[i]);
        for (uint32_t k = 0; k < nmasks; k++) if (!(masks[k] & ~unions[i])) sum += work[k];
        uint32_t bound = (sum + ports - 1) / ports;
        if (bound > worst) worst = bound;
    }
    return worst;
}

/* Loop-carried dependencies: let the block's data flow run a few times with unlimited resources and take the slope. */
enum { FLOW_WARM = 4, FLOW_RUNS = 12, FLOW_STORES = 32 };
struct flow_store { uint8_t base, index, scale, segment; uint32_t base_version, index_version; int64_t disp; uint32_t ready; };

static uint32_t flow_bound16(const struct uarch *u, const struct dop *d, uint32_t n) {
    uint32_t ready[DREG_COUNT] = { 0 }, version[DREG_COUNT] = { 0 }, warm[DREG_COUNT] = { 0 }, nstores = 0, next_store = 0;
    uint32_t warm_store = 0, last_store = 0;
    struct flow_store stores[FLOW_STORES];
    uint32_t load16 = (uint32_t)u->row[UA_load_latency] * 16, forward16 = ((uint32_t)u->row[UA_store_forward] + 1) * 16;    /* 1: the store data micro-op */
    for (uint32_t run = 0; run < FLOW_RUNS; run++) {
        if (run == FLOW_WARM) { memcpy(warm, ready, sizeof warm); warm_store = last_store; }
        for (uint32_t i = 0; i < n; i++) {
            const struct dop *o = &d[i];
            if (o->kind == DOP_REP) continue;
            uint32_t at = 0, data = 0, addr = 0;
            for (int k = 0; k < o->naddr; k++) if (ready[o->addr[k]] > addr) addr = ready[o->addr[k]];
            struct flow_store name = { o->addr[0], o->addr[1], o->scale, o->segment, version[o->addr[0]], version[o->addr[1]], o->disp, 0 };
            struct flow_store *same = NULL;
            bool load = o->load && o->kind != DOP_SERIAL, store = o->store && o->kind != DOP_SERIAL;    /* a serialising row holds its memory time */
            if ((load || store) && o->naddr)
                for (uint32_t k = 0; k < nstores && !same; k++)
                    if (stores[k].base == name.base && stores[k].index == name.index && stores[k].scale == name.scale && stores[k].segment == name.segment
                        && stores[k].disp == name.disp && stores[k].base_version == name.base_version && stores[k].index_version == name.index_version) same = &stores[k];
            if (load) {
                data = addr + load16;
                if (same && same->ready + forward16 > data) data = same->ready + forward16;
            }
            for (int k = 0; k < o->nreads; k++) if (ready[o->reads[k]] > data) data = ready[o->reads[k]];
            if (!load && !store && addr > data) data = addr;            /* LEA */
            at = data;
            if (o->kind == DOP_PLAIN) at += 16u * (o->form ? o->form->latency : (uint32_t)u->row[UA_default_latency]);
            for (int k = 0; k < o->nwrites; k++) {
                uint8_t r = o->writes[k];
                ready[r] = at;
                if (r < DREG_CARRY) version[r]++;
            }
            if (store && o->naddr) {
                name.ready = at;
                if (same) same->ready = at;
                else { stores[next_store] = name; next_store = (next_store + 1) % FLOW_STORES; if (nstores < FLOW_STORES) nstores++; }
                if (at > last_store) last_store = at;
            }
        }
    }
    uint32_t slope = (last_store - warm_store) / (FLOW_RUNS - FLOW_WARM);
    for (int r = 1; r < DREG_OTHER; r++) {
        uint32_t s = (ready[r] - warm[r]) / (FLOW_RUNS - FLOW_WARM);
        if (ready[r] > warm[r] && s > slope) slope = s;
    }
    return slope;
}

/* How much of a load's latency the window hides here: row chased_hidden for loads whose address comes from another load (in the block, or
 * in its run before), load_hidden for the others, their mean for the block: the memory hooks cannot tell which load they see. */
static uint32_t hidden_cycles(const struct uarch *u, const struct dop *d, uint32_t n) {
    bool loaded[DREG_COUNT] = { false };
    uint32_t loads = 0, chased = 0;
    for (uint32_t run = 0; run < 2; run++) {
        loads = chased = 0;
        for (uint32_t i = 0; i < n; i++) {
            bool address = false, from = d[i].load;
            for (int k = 0; k < d[i].naddr; k++) address |= loaded[d[i].addr[k]];
            for (int k = 0; k < d[i].nreads; k++) from |= loaded[d[i].reads[k]];
            if (!d[i].load && !d[i].store) from |= address;             /* LEA */
            loads += d[i].load; chased += d[i].load && address;
            for (int k = 0; k < d[i].nwrites; k++) if (d[i].writes[k] != DREG_FLAGS && d[i].writes[k] != DREG_CARRY) loaded[d[i].writes[k]] = from;
        }
    }
    uint32_t apart = (uint32_t)u->row[UA_load_hidden], together = (uint32_t)u->row[UA_chased_hidden];
    return loads ? (chased * together + (loads - chased) * apart) / loads : apart;
}

enum { LCP_CYCLES = 3 };     /* Intel optimisation manual: length-changing prefixes; only code that is decoded anew each time pays */

void block_cost(const struct uarch *u, const struct dop *d, uint32_t n, uint32_t bytes, bool rep, struct block_cost *out) {
    uint32_t slots16 = 0, own16 = 0, serial16 = 0, plain = 0, lcp = 0;
    for (uint32_t i = 0; i < n; i++) {
        serial16 += d[i].serial16;
        lcp += d[i].lcp;
        if (d[i].kind == DOP_REP) continue;
        plain++;
        if (i && d[i - 1].fused) continue;
        if (d[i].kind == DOP_SERIAL) { slots16 += 16; continue; }
        slots16 += d[i].form ? d[i].form->uops16 : 16 * (uint32_t)u->row[UA_default_uops];
        if (d[i].form && d[i].kind == DOP_PLAIN && d[i].form->flags & FORM_UNPIPELINED) own16 += d[i].form->recip16;
    }
    uint32_t retire16 = (slots16 + (uint32_t)u->row[UA_issue_width] - 1) / (uint32_t)u->row[UA_issue_width], worst = retire16, b;
    if (own16 > worst) worst = own16;
    if (u->row[UA_frontend_bytes] && plain && (b = 16 * bytes / (uint32_t)u->row[UA_frontend_bytes] + 16 * LCP_CYCLES * lcp) > worst) worst = b;
    if (plain && (b = port_bound16(u, d, n)) > worst) worst = b;
    if (plain && (b = flow_bound16(u, d, n)) > worst) worst = b;
    if (!rep && worst < (uint32_t)u->row[UA_block_min16]) worst = (uint32_t)u->row[UA_block_min16];
    out->cost16 = worst + serial16; out->serial16 = serial16; out->retire16 = retire16;
    out->load_hidden = hidden_cycles(u, d, n);
}
