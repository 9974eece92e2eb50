/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages to a matrix on this node. Whatever is in one, it is answered, or refused in a sentence. */
#include "serve.h"

void matrix_answer(const struct message *question, uint64_t since_ns, uint64_t generated, const void *values, uint32_t length)
{
    struct matrix_kept kept = matrix_kept();
    struct matrix_done *done = mem_alloc(sizeof(*done) + length);

    if (done == NULL) {
        matrix_refuse(question, "node %u has no memory for an answer", messenger_own());
        return;
    }
    *done = (struct matrix_done){ clock_ns() - since_ns, generated, kept.blocks, kept.tiles, mem_free_bytes() };
    if (length)
        memcpy(done + 1, values, length);
    message_answer(question, MATRIX_DONE, done, (uint32_t)sizeof(*done) + length);
    mem_free(done);
}

void matrix_refuse(const struct message *question, const char *format, ...)
{
    char sentence[200];
    va_list args;

    va_start(args, format);
    format_vstring(sentence, sizeof(sentence), format, args);
    va_end(args);
    message_answer(question, MATRIX_REFUSED, sentence, (uint32_t)strlen(sentence));
}

static void matrix_take_read(struct matrix_store *store, const struct message *message, const struct matrix_request *request)
{
    uint64_t since = clock_ns();
    uint32_t length = request->rect.rows * request->rect.columns * (uint32_t)sizeof(double);
    double *values = mem_alloc(length);

    if (values == NULL) {
        matrix_refuse(message, "node %u has no memory for %u bytes of values", messenger_own(), length);
        return;
    }

    uint64_t generated = matrix_store_read(store, &request->rect, values);

    matrix_answer(message, since, generated, values, length);
    mem_free(values);
}

static void matrix_take_write(struct matrix_store *store, const struct message *message, const struct matrix_request *request)
{
    uint64_t since = clock_ns(), generated;
    uint32_t count = request->rect.rows * request->rect.columns;
    double *values = NULL;

    if (message->length != sizeof(*request) + count * sizeof(double)) {
        matrix_refuse(message, "a request to write %u elements has %u bytes", count, message->length);
        return;
    }
    if ((values = mem_alloc(count * sizeof(double))) == NULL) {
        matrix_refuse(message, "node %u has no memory for %u elements", messenger_own(), count);
        return;
    }
    memcpy(values, message->body + sizeof(*request), count * sizeof(double));
    if (matrix_store_write(store, &request->rect, values, &generated))
        matrix_answer(message, since, generated, NULL, 0);
    else
        matrix_refuse(message, "node %u has no memory for more blocks of 8 KiB; it keeps %lu, and nothing was written there", messenger_own(),
                      matrix_kept().blocks);
    mem_free(values);
}

static void matrix_take_sum(struct matrix_store *store, const struct message *message, const struct matrix_request *request)
{
    uint64_t since = clock_ns(), generated;

    if (store->base.random && store->shape.tile_rows * store->shape.tile_columns > MATRIX_WORK_MOST &&
        store->shape.rows * store->shape.columns > MATRIX_WORK_MOST) {
        matrix_refuse(message, "a tile of %lu x %lu random elements is more than one node adds up at once (%lu)", store->shape.tile_rows,
                      store->shape.tile_columns, MATRIX_WORK_MOST);
        return;
    }

    double sum = matrix_store_sum(store, matrix_tile_of(&store->shape, request->rect.row, request->rect.column), &generated);

    matrix_answer(message, since, generated, &sum, sizeof(sum));
}

static void matrix_take(void *ctx, const struct message *message)
{
    struct matrix_store *store = ctx;
    struct matrix_request request;

    if (message->call == 0)
        return;                         /* nobody waits, so nothing happened */
    if (message->length < sizeof(request)) {
        matrix_refuse(message, "a request of %u bytes is none", message->length);
        return;
    }
    memcpy(&request, message->body, sizeof(request));
    if (request.base.random > 1 || !matrix_rect_valid(&store->shape, &request.rect)) {
        matrix_refuse(message, "there is no rectangle of %u rows and %u columns at (%lu, %lu) in one tile", request.rect.rows, request.rect.columns,
                      request.rect.row, request.rect.column);
        return;
    }
    if (!matrix_store_rebase(store, &request.base)) {
        matrix_refuse(message, "the request is older than the matrix's last filling");
        return;
    }
    switch (message->type) {
    case MATRIX_READ:
        matrix_take_read(store, message, &request);
        return;
    case MATRIX_WRITE:
        matrix_take_write(store, message, &request);
        return;
    case MATRIX_SUM:
        matrix_take_sum(store, message, &request);
        return;
    case MATRIX_REBASE:
        matrix_answer(message, clock_ns(), 0, NULL, 0);
        return;
    case MATRIX_MULTIPLY:
        matrix_multiply(store, message);
        return;
    default:
        matrix_refuse(message, "a matrix takes no message of type %u", message->type);
    }
}

static void *matrix_make(global_id id, const void *description, uint32_t length)
{
    struct matrix_shape shape;

    (void)id;
    if (length != sizeof(shape))
        return NULL;
    memcpy(&shape, description, sizeof(shape));
    return matrix_shape_valid(&shape) ? matrix_store_make(&shape) : NULL;
}

/* Other nodes, as the front end tells of them. */
static void matrix_node_message(void *ctx, const struct message *message)
{
    struct matrix_meet meet;
    uint16_t met = 0;

    (void)ctx;
    if (message->call == 0 || message->type != MATRIX_MEET || message->length != sizeof(meet))
        return;
    memcpy(&meet, message->body, sizeof(meet));
    if (meet.node < MESSENGER_NODES && meet.node != messenger_own() && meet.ip && meet.port) {
        if (!messenger_knows(meet.node))
            messenger_peer(meet.node, meet.ip, meet.port);
        met = 1;
    }
    message_answer(message, MATRIX_MET, &met, sizeof(met));
}

bool matrix_node_start(void)
{
    static const struct distributed_kind kinds[] = { { MATRIX_KIND, matrix_make, matrix_take } };

    matrix_store_start();
    return distributed_start(kinds, 1) && messenger_target(EBB_MATRIX_NODE, matrix_node_message, NULL);
}
