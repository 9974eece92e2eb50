/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sampled profile, as often as the key profile_us says (0: not at all). Events run with interrupts off, so no timer's interrupt finds out where a vCPU is: each one's timer sends
 * an NMI to the next. A vCPU that is busy samples late; one alone has nobody that would sample it.
 */
#include "node_profile.h"

#define ADDRESSES 256u                  /* different ones on a vCPU; a power of two */
#define TEXT_BYTES 30000u
#define LINE_MOST 32u
#define PERIOD_LEAST_US 5u
#define PERIOD_MOST_US 1000000u

struct profile_cpu {
    uint64_t samples, left_out;
    struct { uint64_t ip, count; } at[ADDRESSES];
    struct timer timer;
    uint32_t random;
    bool ready, due;
};

static struct profile_cpu *cpus;
static uint32_t period_us;

__attribute__((target("general-regs-only"))) void profile_sample(uint64_t ip)
{
    struct profile_cpu *own = &cpus[cpu_id()];

    own->samples++;
    for (unsigned i = 0; i < ADDRESSES; i++) {
        unsigned slot = ((unsigned)(ip * 0x9E3779B1u >> 8) + i) & (ADDRESSES - 1);

        if (own->at[slot].count == 0 || own->at[slot].ip == ip) {
            own->at[slot].ip = ip;
            own->at[slot].count++;
            return;
        }
    }
    own->left_out++;
}

/* From half a period to one and a half: in step, one vCPU's timer would always find the next in its own. Marsaglia's xorshift (2003). */
static uint64_t profile_pause_ns(struct profile_cpu *own)
{
    own->random = own->random ? own->random : 2463534242u + cpu_id();
    own->random ^= own->random << 13;
    own->random ^= own->random >> 17;
    own->random ^= own->random << 5;
    return period_us * 500ull + (uint64_t)own->random * (period_us * 1000ull) / 0x100000000ull;
}

static void profile_tick(void *arg)
{
    struct profile_cpu *own = &cpus[cpu_id()];
    unsigned next = (cpu_id() + 1) % cpu_count();

    (void)arg;
    own->due = false;
    if (period_us == 0)
        return;
    if (__atomic_load_n(&cpus[next].ready, __ATOMIC_ACQUIRE))
        profile_hit(next);
    own->due = timer_start(&own->timer, profile_pause_ns(own), profile_tick, NULL);
}

static void profile_begin(void *arg)
{
    struct profile_cpu *own = &cpus[cpu_id()];

    (void)arg;
    if (!own->ready && !profile_begin_cpu())
        return;
    __atomic_store_n(&own->ready, true, __ATOMIC_RELEASE);
    if (!own->due)
        profile_tick(NULL);
}

/* On vCPU 0. */
static void profile_changed(void *ctx, const char *value)
{
    uint32_t us = 0;

    (void)ctx;
    for (const char *at = value; *at >= '0' && *at <= '9' && us <= PERIOD_MOST_US; at++)
        us = us * 10 + (uint32_t)(*at - '0');
    if (us && cpus == NULL)
        cpus = mem_zalloc(cpu_count() * sizeof(*cpus));
    if (cpus == NULL)
        return;
    period_us = us == 0 ? 0 : us < PERIOD_LEAST_US ? PERIOD_LEAST_US : us > PERIOD_MOST_US ? PERIOD_MOST_US : us;
    for (unsigned cpu = 0; period_us && cpu_count() > 1 && cpu < cpu_count(); cpu++)
        event_spawn(cpu, profile_begin, NULL);
}

void node_profile(const struct message *question)
{
    static char text[TEXT_BYTES];
    uint32_t length = 0;
    uint64_t samples = 0, left_out = 0;

    for (unsigned cpu = 0; cpus && cpu < cpu_count(); cpu++) {
        samples += cpus[cpu].samples;
        left_out += cpus[cpu].left_out;
        for (unsigned i = 0; i < ADDRESSES && length < TEXT_BYTES - 4 * LINE_MOST; i++)
            if (cpus[cpu].at[i].count)
                length += (uint32_t)format_string(text + length, LINE_MOST, "%u %lx %lu\n", cpu, cpus[cpu].at[i].ip, cpus[cpu].at[i].count);
    }
    length += (uint32_t)format_string(text + length, LINE_MOST, "samples %lu\n", samples);
    length += (uint32_t)format_string(text + length, LINE_MOST, "left_out %lu\n", left_out);
    message_answer(question, NODE_STAT_IS, text, length);
}

void node_profile_start(void)
{
    if (!node_config_watch("profile_us", profile_changed, NULL))
        panic("node: too many watch the configuration");
}
