/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Distributed Ebbs and the matrix's representative on one node, by messages to ourselves: `matrix COUNT` sends so many, most of them malformed. Each
 * is answered or refused, none leaks memory, none changes what a well-formed one wrote.
 */
#include "check.h"
#include "serve.h"

#define AT_ONCE 16u
#define ROWS 100u
#define COLUMNS 70u
#define BODY 400u

static uint32_t test_state = 1, test_count, test_sent, test_answered, test_refused;
static global_id test_id;
static size_t test_free;
static struct distributed_lookup test_lookups[3];
static struct future test_known[2];
static struct future_wait test_wait;

struct test_call {
    struct message_call call;
    struct future_wait wait;
};

static uint64_t test_few(void)
{
    static const uint64_t values[] = { 0, 1, 2, 31, 32, 33, 64, 69, 70, 99, 100, 8000, 8001, 1u << 20, 0xFFFFFFFF, 1ull << 32, ~0ull, ~0ull >> 1 };

    return test_random(&test_state) % 4 ? values[test_random(&test_state) % (sizeof(values) / sizeof(values[0]))] : test_random(&test_state);
}

/* A request with fields of every kind: whatever it writes is of a later epoch than what is checked at the end, or out of place. */
static uint32_t test_body(uint8_t *body)
{
    struct matrix_request request = {
        { test_few(), (uint32_t)test_random(&test_state) % 3, (uint32_t)(test_random(&test_state) % 8 ? test_random(&test_state) % 2 : test_few()) },
        { test_few(), test_few(), (uint32_t)test_few(), (uint32_t)test_few() },
    };
    struct matrix_product product = {
        test_id, test_random(&test_state) % 2 ? test_id : (uint32_t)test_few(), request.base, request.base,
        { ROWS, test_few(), 64, 32 }, { test_few(), COLUMNS, 32, 32 * (1 + test_random(&test_state) % 2) },
    };

    for (uint32_t i = 0; i < BODY; i++)
        body[i] = (uint8_t)test_random(&test_state);
    if (test_random(&test_state) % 2) {
        product.a_shape.columns = product.b_shape.rows = 1 + test_random(&test_state) % 90;
        product.a_shape.tile_columns = product.b_shape.tile_rows = 32;
    }
    memcpy(body, &request, sizeof(request));
    memcpy(body + sizeof(request), &product, sizeof(product));
    for (uint32_t i = sizeof(request) + sizeof(product); i < BODY; i += 2)
        if (test_random(&test_state) % 4)
            memcpy(body + i, (uint16_t[]){ test_random(&test_state) % 3 ? MATRIX_NOWHERE : 0 }, 2);
    switch (test_random(&test_state) % 4) {
    case 0:
        return test_random(&test_state) % BODY;
    case 1:
        return sizeof(request) + (test_random(&test_state) % 8) * 8;
    case 2:
        return sizeof(request) + sizeof(product) + (test_random(&test_state) % 7) * 2;
    default:
        return sizeof(request);
    }
}

static void test_more(void);

/* ---- at the end: a matrix is as well as on the first day ---- */

static struct message_call test_last;
static struct future_wait test_last_wait;

static void test_read_back(void *arg)
{
    const struct matrix_done *done = (const struct matrix_done *)test_last.reply;

    (void)arg;
    CHECK(test_last.answered.state == FUTURE_FULFILLED && test_last.type == MATRIX_DONE, "type %u", test_last.type);
    CHECK(test_last.length == sizeof(*done) + 8 && *(const double *)(done + 1) == 2.5, "what was written is not there");
    CHECK(done->blocks == 1 && done->tiles == 1, "%lu blocks", done->blocks);
    console_printf("answered %u refused %u\n", test_answered, test_refused);
    test_success();
}

static void test_written(void *arg)
{
    struct matrix_request request = { { 0, 0xFFFFFFFF, 0 }, { 99, 69, 1, 1 } };

    (void)arg;
    CHECK(test_last.type == MATRIX_DONE, "%.*s", (int)test_last.length, (const char *)test_last.reply);
    mem_free(test_last.reply);
    test_last = (struct message_call){ 0 };
    future_then(&test_last.answered, &test_last_wait, test_read_back, NULL);
    message_ask(&test_last, 0, test_id, MATRIX_READ, &request, sizeof(request), 1000000000);
}

static void test_end(void)
{
    struct {
        struct matrix_request request;
        double value;
    } write = { { { 0, 0xFFFFFFFF, 0 }, { 99, 69, 1, 1 } }, 2.5 };

    future_then(&test_last.answered, &test_last_wait, test_written, NULL);
    message_ask(&test_last, 0, test_id, MATRIX_WRITE, &write, sizeof(write), 1000000000);
}

static void test_told(void *arg)
{
    struct test_call *call = arg;

    if (call->call.answered.state == FUTURE_FULFILLED)
        test_answered++;
    else
        test_refused++;
    CHECK(call->call.answered.state == FUTURE_FULFILLED || call->call.error == MESSAGE_NO_TARGET, "error %d", call->call.error);
    mem_free(call->call.reply);
    mem_free(call);
    if (test_answered + test_refused == test_count / 2)
        test_free = mem_free_bytes();
    if (test_answered + test_refused == test_count) {
        CHECK(mem_free_bytes() + (1u << 20) > test_free, "from %zu bytes free to %zu", test_free, mem_free_bytes());
        test_end();
    }
    test_more();
}

static void test_more(void)
{
    static uint8_t body[BODY];

    while (test_sent < test_count && test_sent - test_answered - test_refused < AT_ONCE) {
        struct test_call *call = mem_zalloc(sizeof(*call));
        const ebb_id ids[] = { test_id, test_id, test_id, EBB_DISTRIBUTED, EBB_MATRIX_NODE, test_id + 1, (uint32_t)test_few() };
        ebb_id id = ids[test_random(&test_state) % 7];
        uint32_t length = test_body(body);

        CHECK(call, "no memory");
        if (id == EBB_DISTRIBUTED || id == EBB_MATRIX_NODE)     /* what they cannot use they leave unanswered: make it a question that they know */
            length = id == EBB_DISTRIBUTED ? 4 : sizeof(struct matrix_meet);
        test_sent++;
        future_then(&call->call.answered, &call->wait, test_told, call);
        message_ask(&call->call, 0, id, id == EBB_DISTRIBUTED ? 0xFE00 : id == EBB_MATRIX_NODE ? MATRIX_MEET : 1 + test_random(&test_state) % 7, body, length,
                    10000000000ull);
    }
}

/* An id of nobody has no representative; one of ours has the same whoever asks. */
static void test_looked_up(void *arg)
{
    (void)arg;
    CHECK(test_lookups[0].made.state == FUTURE_FULFILLED && test_lookups[1].made.state == FUTURE_FULFILLED, "no representative");
    CHECK(test_lookups[0].made.value == test_lookups[1].made.value, "two representatives");
    CHECK(test_lookups[2].made.state == FUTURE_FAILED, "a representative of nothing");
    test_more();
}

void app_main(int argc, char **argv)
{
    struct matrix_shape shape = { ROWS, COLUMNS, 64, 32 }, wrong = { ROWS, COLUMNS, 63, 32 };

    CHECK(argc == 2, "%d words", argc);
    for (const char *at = argv[1]; *at; at++)
        test_count = test_count * 10 + (uint32_t)(*at - '0');
    CHECK(matrix_node_start() && messenger_start(0, 0, 1) == false, "port 0");
    test_id = distributed_create(MATRIX_KIND, &shape, sizeof(shape), &test_known[0]);
    CHECK(test_id >> NODE_ID_BITS == 1 && future_decided(&test_known[0]), "id %x", test_id);
    CHECK(distributed_create(MATRIX_KIND, argv, DISTRIBUTED_DESCRIPTION + 1, &test_known[1]) == 0, "a description that is too long");
    distributed_rep(&test_lookups[0], test_id);
    distributed_rep(&test_lookups[1], test_id);
    distributed_rep(&test_lookups[2], distributed_create(MATRIX_KIND, &wrong, sizeof(wrong), &test_known[1]));
    future_then(&test_lookups[2].made, &test_wait, test_looked_up, NULL);
}
