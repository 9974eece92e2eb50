/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What distributed shared memory costs: `dsm OWN NODES FIRST_ADDRESS COUNT`, on each node. Node 0 is home to all pages and says what happens next; the others do what they are
 * told (a step), and tell how long it took. Each measurement is COUNT accesses, each to a page of its own, one after the other, between two lines of node 0's console.
 */
#include "dsm.h"
#include "messenger.h"
#include "node.h"

#define STEPS NODE_EBB_APPLICATION      /* the Ebb that takes them */
#define PATIENCE_NS 20000000000ull
#define COUNT_MOST 1000u
#define NODES_MOST 64u

enum { STEP_READ = 1, STEP_WRITE, STEP_TURNS, STEP_DONE };

struct bench_step {
    uint32_t page, count, parity;
};

struct bench_told {
    uint64_t cycles, least, most;
};

/* One that is under way, here or on another node. */
struct bench_call {
    struct message_call call;
    struct bench_told told;
    uint16_t node;
};

static uint32_t bench_own, bench_nodes, bench_count;
static uint32_t bench_page;             /* the next that nobody has touched */

static volatile uint64_t *bench_word(uint32_t page)
{
    return dsm_address(0, page);
}

static uint32_t bench_number(const char *text)
{
    uint32_t number = 0;

    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (uint32_t)(*text - '0');
    return number;
}

static void bench_note(struct bench_told *told, uint64_t cycles)
{
    told->cycles += cycles;
    told->least = cycles < told->least ? cycles : told->least;
    told->most = cycles > told->most ? cycles : told->most;
}

/* ---- a step, in a context of the node that does it ---- */

/* Two nodes count in turn, each waiting for the other with the page in its hands. */
static void bench_turns(const struct bench_step *step)
{
    for (uint32_t i = 0; i < step->count; i++) {
        while (dsm_acquire((const void *)bench_word(step->page), true) == 0 && *bench_word(step->page) % 2 != step->parity)
            context_yield();
        ++*bench_word(step->page);
    }
}

static void bench_do(uint16_t what, const struct bench_step *step, struct bench_told *told)
{
    uint64_t begun = clock_cycles();

    *told = (struct bench_told){ .least = ~0ull };
    for (uint32_t i = 0; what != STEP_TURNS && i < step->count; i++) {
        uint64_t before = clock_cycles();

        if (what == STEP_READ)
            (void)*bench_word(step->page + i);
        else
            *bench_word(step->page + i) = i;
        bench_note(told, clock_cycles() - before);
    }
    if (what == STEP_TURNS) {
        bench_turns(step);
        bench_note(told, clock_cycles() - begun);
    }
}

static void bench_told_to(void *arg)
{
    struct message *question = arg;
    struct bench_step step;
    struct bench_told told;

    memcpy(&step, question->body, sizeof(step));
    bench_do(question->type, &step, &told);
    message_answer(question, STEP_DONE, &told, sizeof(told));
    mem_free(question);
}

static void bench_message(void *ctx, const struct message *message)
{
    struct message *question = mem_alloc(sizeof(*question) + message->length);

    (void)ctx;
    if (question == NULL || message->length != sizeof(struct bench_step) || message->call == 0)
        panic("dsm: a step of %u bytes", message->length);
    *question = *message;
    question->body = (uint8_t *)(question + 1);
    memcpy(question + 1, message->body, message->length);
    if (!context_run(bench_told_to, question))
        panic("dsm: no memory for a context");
}

/* ---- what node 0 says ---- */

static void bench_begin(struct bench_call *call, uint16_t node, uint16_t what, struct bench_step step)
{
    memset(call, 0, sizeof(*call));
    call->node = node;
    message_ask(&call->call, node, STEPS, what, &step, sizeof(step), PATIENCE_NS);
}

static struct bench_told bench_end(struct bench_call *call)
{
    if (future_wait(&call->call.answered) != 0 || call->call.length != sizeof(struct bench_told))
        panic("dsm: node %u did not do its step", call->node);
    memcpy(&call->told, call->call.reply, sizeof(call->told));
    mem_free(call->call.reply);
    return call->told;
}

static struct bench_told bench_on(uint16_t node, uint16_t what, uint32_t page, uint32_t count)
{
    struct bench_call call;

    bench_begin(&call, node, what, (struct bench_step){ page, count, 0 });
    return bench_end(&call);
}

/* The lines between which a measurement lies. */
static void bench_measure(const char *name, uint16_t node, uint16_t what, uint32_t page)
{
    struct bench_told told;

    console_printf("dsm: begin %s\n", name);
    told = bench_on(node, what, page, bench_count);
    console_printf("dsm: end %s: count %u cycles %lu least %lu most %lu\n", name, bench_count, told.cycles, told.least, told.most);
}

/* Pages nobody has touched. */
static uint32_t bench_fresh(void)
{
    uint32_t page = bench_page;

    bench_page += bench_count;
    return page;
}

static void bench_reads(void)
{
    uint32_t page = bench_fresh();

    bench_measure("read, zeros", 1, STEP_READ, page);
    bench_measure("read, here", 1, STEP_READ, page);
    page = bench_fresh();
    bench_on(2, STEP_WRITE, page, bench_count);
    bench_on(0, STEP_READ, page, bench_count);
    bench_measure("read, at home", 1, STEP_READ, page);
    page = bench_fresh();
    bench_on(0, STEP_WRITE, page, bench_count);
    bench_measure("read, written at home", 1, STEP_READ, page);
    page = bench_fresh();
    bench_on(2, STEP_WRITE, page, bench_count);
    bench_measure("read, written elsewhere", 1, STEP_READ, page);
    bench_measure("read by the home, zeros", 0, STEP_READ, bench_fresh());
}

static void bench_writes(void)
{
    uint32_t page = bench_fresh();

    bench_measure("write, zeros", 1, STEP_WRITE, page);
    bench_measure("write, here", 1, STEP_WRITE, page);
    page = bench_fresh();
    bench_on(2, STEP_WRITE, page, bench_count);
    bench_measure("write, written elsewhere", 1, STEP_WRITE, page);
    for (uint16_t readers = 0; readers + 2u <= bench_nodes; readers++) {
        char name[40];

        page = bench_fresh();
        bench_on(1, STEP_READ, page, bench_count);
        for (uint16_t reader = 0; reader < readers; reader++)
            bench_on((uint16_t)(2 + reader), STEP_READ, page, bench_count);
        format_string(name, sizeof(name), "write, read here and by %u others", readers);
        bench_measure(name, 1, STEP_WRITE, page);
    }
}

static void bench_alternate(const char *name, uint16_t first, uint16_t second)
{
    struct bench_call one, other;
    uint32_t page = bench_fresh();
    struct bench_told told;

    console_printf("dsm: begin %s\n", name);
    bench_begin(&one, first, STEP_TURNS, (struct bench_step){ page, bench_count, 0 });
    bench_begin(&other, second, STEP_TURNS, (struct bench_step){ page, bench_count, 1 });
    told = bench_end(&one);
    bench_end(&other);
    /* Each turn moves the page once. */
    console_printf("dsm: end %s: count %u cycles %lu least 0 most 0\n", name, 2 * bench_count, told.cycles);
}

static void bench_awake(void *context)
{
    context_resume(context);
}

/* Long enough for whoever waited for the ready lines. */
static void bench_pause(void)
{
    struct timer timer = { 0 };

    if (!timer_start(&timer, 20000000, bench_awake, context_current()))
        panic("dsm: no memory");
    context_suspend();
}

static void bench_all(void *arg)
{
    (void)arg;
    if (dsm_share(64 * COUNT_MOST) == NULL)
        panic("dsm: no pages");
    bench_page = 1;
    for (uint16_t node = 0; node < bench_nodes; node++)         /* all are there, and have joined */
        bench_on(node, STEP_READ, 0, 1);

    bench_pause();
    bench_reads();
    bench_writes();
    bench_alternate("in turn, home elsewhere", 1, 2);
    bench_alternate("in turn, with the home", 0, 1);
    console_printf("dsm: over\n");
}

void app_main(int argc, char **argv)
{
    uint32_t first = 0;
    const char *text = argc == 5 ? argv[3] : "";

    for (unsigned i = 0; i < 4; i++, text += *text == '.') {
        first = first << 8 | bench_number(text);
        while (*text >= '0' && *text <= '9')
            text++;
    }
    bench_own = argc == 5 ? bench_number(argv[1]) : 0;
    bench_nodes = argc == 5 ? bench_number(argv[2]) : 0;
    bench_count = argc == 5 ? bench_number(argv[4]) : 0;
    if (bench_nodes < 3 || bench_nodes > NODES_MOST || bench_own >= bench_nodes || bench_count == 0 || bench_count > COUNT_MOST)
        panic("dsm: give OWN NODES FIRST_ADDRESS COUNT, 3 to %u nodes, 1 to %u accesses", NODES_MOST, COUNT_MOST);
    if (!messenger_start((uint16_t)bench_own, MESSENGER_PORT, 1) || !messenger_target(STEPS, bench_message, NULL))
        panic("dsm: its port is taken");
    for (uint16_t node = 0; node < bench_nodes; node++)
        if (node != bench_own)
            messenger_peer(node, __builtin_bswap32(first + node), MESSENGER_PORT);
    dsm_start(0);
    console_printf("dsm: ready\n");
    if (bench_own == 0 && !context_run(bench_all, NULL))
        panic("dsm: no memory for a context");
}
