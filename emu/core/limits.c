/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the window model can hold: rows of a processor table, and of our users' --set, are checked against it before anything is built on them. */
#include "window.h"

static const struct { int row; const char *name; int64_t least, most; } limits[] = {
#define LIMIT(row, least, most) { UA_##row, #row, least, most },
    LIMIT(issue_width, 1, 16) LIMIT(retire_width, 1, 16) LIMIT(rob, 1, ROB_MAX - 64) LIMIT(scheduler, 1, 256)
    LIMIT(load_buffer, 1, BUFFER_MAX - 32) LIMIT(store_buffer, 1, BUFFER_MAX - 32) LIMIT(idq, 1, IDQ_MAX - 64) LIMIT(fill_buffers, 1, FILL_MAX)
    LIMIT(instruction_queue, 1, IQ_MAX) LIMIT(predecode_width, 1, 16) LIMIT(decoders, 1, 16) LIMIT(decode_slots, 1, 64)
    LIMIT(dsb_width, 1, 64) LIMIT(dsb_line, 1, 64) LIMIT(dsb_window_lines, 1, DSB_WAYS_MAX) LIMIT(dsb_sets, 1, DSB_SETS_MAX) LIMIT(dsb_ways, 1, DSB_WAYS_MAX)
    LIMIT(load_ports, 1, 0xffff) LIMIT(store_ports, 1, 0xffff) LIMIT(data_ports, 1, 0xffff) LIMIT(alu_ports, 1, 0xffff) LIMIT(branch_ports, 1, 0xffff)
    LIMIT(load_latency, 1, 1000) LIMIT(load_latency_x, 1, 1000) LIMIT(load_latency_y, 1, 1000) LIMIT(load_latency_chased, 1, 1000)
    LIMIT(store_forward, 0, 1000) LIMIT(store_blocked, 0, 1000) LIMIT(store_commit, 0, 1000) LIMIT(mispredict, 1, 1000) LIMIT(ms_switch, 0, 1000) LIMIT(lcp_stall, 0, 1000)
#undef LIMIT
};

int window_rows(cs_world *w, const int64_t *row)
{
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (row[limits[i].row] < limits[i].least || row[limits[i].row] > limits[i].most)
            return world_fail(w, "processor table: row %s is %lld; the model holds %lld to %lld", limits[i].name, (long long)row[limits[i].row], (long long)limits[i].least,
                              (long long)limits[i].most);
    if (row[UA_dsb_sets] & (row[UA_dsb_sets] - 1)) return world_fail(w, "processor table: row dsb_sets must be a power of two");
    if (row[UA_dsb_window_lines] > row[UA_dsb_ways]) return world_fail(w, "processor table: row dsb_window_lines must not be above dsb_ways");
    if (row[UA_load_latency_chased] > row[UA_load_latency]) return world_fail(w, "processor table: row load_latency_chased must not be above load_latency");
    return 0;
}
