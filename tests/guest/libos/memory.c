/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The allocator: alignment, no overlap, frees by other vCPUs, exhaustion and recovery. */
#include "check.h"

#define HELD 512u
#define STEPS 8000u
#define ROUNDS 100u
#define BATCH 256u

struct test_block {
    uint8_t *memory;
    uint32_t size;
    uint8_t mark;
};

static struct test_step test_local, test_remote;
static struct test_block *test_given[LIBOS_MAX_CPUS];   /* by receiver */
static unsigned test_round;
static size_t test_free_at_start;

static uint32_t test_size(uint32_t *random)
{
    uint32_t r = test_random(random);

    return r % 16 == 0 ? r / 16 % 100000 : r % 4 == 0 ? r / 16 % 5000 : r / 16 % 200;
}

static void test_fill(struct test_block *block, uint32_t *random)
{
    block->size = test_size(random);
    block->mark = (uint8_t)test_random(random);
    block->memory = mem_alloc(block->size);
    CHECK(block->memory, "no memory for %u bytes", block->size);
    CHECK((uint64_t)block->memory % 16 == 0, "%p", block->memory);
    memset(block->memory, block->mark, block->size);
}

static void test_check_and_free(struct test_block *block)
{
    for (uint32_t i = 0; i < block->size; i++)
        CHECK(block->memory[i] == block->mark, "byte %u of %u is %x, not %x", i, block->size, block->memory[i],
              block->mark);
    mem_free(block->memory);
}

static void test_alone(void *arg)
{
    struct test_block *held = mem_zalloc(HELD * sizeof(*held));
    uint32_t random = cpu_id() + 12345;

    (void)arg;
    CHECK(held, "no memory");
    for (unsigned step = 0; step < STEPS; step++) {
        struct test_block *block = &held[test_random(&random) % HELD];

        if (block->memory)
            test_check_and_free(block);
        test_fill(block, &random);
    }
    for (unsigned i = 0; i < HELD; i++)
        test_check_and_free(&held[i]);
    mem_free(held);
}

/* Takes what the left neighbour left here, frees it, leaves the same for the right one. */
static void test_pass(void *arg)
{
    unsigned cpu = cpu_id(), right = (cpu + 1) % cpu_count();
    struct test_block *batch = __atomic_exchange_n(&test_given[cpu], NULL, __ATOMIC_ACQUIRE);
    uint32_t random = cpu + 1 + test_round * 31;

    (void)arg;
    if (batch) {
        for (unsigned i = 0; i < BATCH; i++)
            test_check_and_free(&batch[i]);
        mem_free(batch);
    }
    batch = mem_alloc(BATCH * sizeof(*batch));
    CHECK(batch, "no memory");
    for (unsigned i = 0; i < BATCH; i++) {
        batch[i].size = test_random(&random) % 1000;
        batch[i].mark = (uint8_t)random;
        batch[i].memory = mem_alloc(batch[i].size);
        CHECK(batch[i].memory, "no memory");
        memset(batch[i].memory, batch[i].mark, batch[i].size);
    }
    batch = __atomic_exchange_n(&test_given[right], batch, __ATOMIC_ACQ_REL);
    if (batch) {                /* the neighbour was slower */
        for (unsigned i = 0; i < BATCH; i++)
            test_check_and_free(&batch[i]);
        mem_free(batch);
    }
}

static void test_exhaust(void)
{
    void *list = NULL;
    size_t got = 0, before = mem_free_bytes();

    for (;;) {
        void **block = mem_alloc(1 << 20);

        if (block == NULL)
            break;
        *block = list;
        list = block;
        got += 1 << 20;
    }
    CHECK(got > before / 2, "only %zu of %zu", got, before);
    CHECK(mem_alloc(before) == NULL, "memory from nowhere");
    while (list) {
        void **block = list;

        list = *block;
        mem_free(block);
    }
    CHECK(mem_free_bytes() == before, "%zu, not %zu", mem_free_bytes(), before);
    CHECK(mem_alloc(SIZE_MAX) == NULL && mem_alloc(SIZE_MAX - 65536) == NULL, "sizes wrap");
}

static void test_next_round(void *arg)
{
    (void)arg;
    if (test_round == 10)
        test_free_at_start = mem_free_bytes();
    if (test_round++ < ROUNDS) {
        test_on_every_cpu(&test_remote, test_pass, test_next_round);
        return;
    }
    /* Chunks stay with vCPUs and classes, but remote frees must not leak: a bound, not growth by rounds. */
    size_t gone = test_free_at_start - mem_free_bytes();

    CHECK(gone < cpu_count() * (4u << 20), "%zu bytes went", gone);
    mem_free(NULL);
    test_exhaust();
    test_success();
}

void app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    test_on_every_cpu(&test_local, test_alone, test_next_round);
}
