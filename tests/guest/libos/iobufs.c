/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frame buffers: head and tail room, no two alike, returned to their owner by whoever frees them, and no leak. */
#include "check.h"

#define BATCH 200u
#define ROUNDS 150u

static struct test_step test_step;
static struct iobuf *test_given[LIBOS_MAX_CPUS];
static unsigned test_round;
static size_t test_free_bytes;

static void test_free_list(struct iobuf *list)
{
    while (list) {
        struct iobuf *next = list->next;

        CHECK(list->len == UDP_MAX_PAYLOAD, "%u", list->len);
        for (uint32_t i = 0; i < list->len; i++)
            CHECK(list->data[i] == (uint8_t)((uint64_t)list >> 11), "byte %u", i);
        iobuf_free(list);
        list = next;
    }
}

static void test_pass(void *arg)
{
    unsigned cpu = cpu_id(), right = (cpu + 1) % cpu_count();
    struct iobuf *list = __atomic_exchange_n(&test_given[cpu], NULL, __ATOMIC_ACQUIRE);

    (void)arg;
    test_free_list(list);
    list = NULL;
    for (unsigned i = 0; i < BATCH; i++) {
        struct iobuf *buf = iobuf_alloc_tx();

        CHECK(buf, "no memory");
        CHECK(buf->len == 0 && (uint64_t)buf % IOBUF_SIZE == 0, "%p %u", (void *)buf, buf->len);
        CHECK(iobuf_room(buf) >= UDP_MAX_PAYLOAD, "%u", iobuf_room(buf));
        CHECK(buf->data - (uint8_t *)buf >= (ptrdiff_t)sizeof(*buf) + 54, "no head room");
        memset(buf->data, (int)(uint8_t)((uint64_t)buf >> 11), UDP_MAX_PAYLOAD);
        buf->len = UDP_MAX_PAYLOAD;
        buf->next = list;
        list = buf;
    }
    test_free_list(__atomic_exchange_n(&test_given[right], list, __ATOMIC_ACQ_REL));
}

static void test_next_round(void *arg)
{
    (void)arg;
    if (test_round == 10)
        test_free_bytes = mem_free_bytes();
    if (test_round++ < ROUNDS) {
        test_on_every_cpu(&test_step, test_pass, test_next_round);
        return;
    }
    /* A vCPU may be ahead of its neighbour by a batch or two, not by one a round. */
    size_t gone = test_free_bytes - mem_free_bytes();

    CHECK(gone <= cpu_count() * 4 * BATCH * IOBUF_SIZE, "%zu bytes went", gone);
    test_success();
}

void app_main(int argc, char **argv)
{
    struct iobuf *buf = iobuf_alloc_tx();

    (void)argc;
    (void)argv;
    buf->len = 10;
    memcpy(buf->data, "0123456789", 10);
    iobuf_pull(buf, 4);
    CHECK(buf->len == 6 && memcmp(buf->data, "456789", 6) == 0, "pull");
    CHECK(memcmp(iobuf_push(buf, 4), "0123456789", 10) == 0 && buf->len == 10, "push");
    CHECK(iobuf_end(buf) == buf->data + 10, "end");
    iobuf_free(buf);
    CHECK(iobuf_alloc_tx() == buf, "the last one freed is the first one used");
    iobuf_free(buf);
    test_next_round(NULL);
}
