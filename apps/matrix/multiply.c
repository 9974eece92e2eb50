/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A product's tile, worked out where it will be kept: panel by panel of 32 columns of a and 32 rows of b, asked from the nodes that have them,
 * in order of the common index. Each element is 0 + a0 b0 + a1 b1 + ..., rounded after each step.
 */
#include "serve.h"

#define PANEL MATRIX_BLOCK
#define PATIENCE_NS 5000000000ull

struct factor {
    global_id id;
    struct matrix_base base;
    struct matrix_shape shape;
    uint16_t *nodes;                    /* of its row, or column, of tiles */
    double *panel;                      /* of a: rows x PANEL; of b: PANEL x columns */
};

struct job {
    struct matrix_store *store;
    struct message question;
    struct matrix_rect tile;            /* of the product */
    struct factor a, b;
    uint64_t at, inner;                 /* how far along the common index; its length */
    uint64_t since_ns, generated;
    unsigned waiting;
    char failed[160];
    double *product;
};

struct piece {                          /* of a panel, from another node */
    struct message_call call;
    struct future_wait wait;
    struct job *job;
    double *to;
    uint32_t stride;
    uint16_t node;
    struct matrix_request request;
};

static void multiply_end(struct job *job)
{
    mem_free(job->a.nodes);
    mem_free(job->b.nodes);
    mem_free(job->a.panel);
    mem_free(job->b.panel);
    mem_free(job->product);
    mem_free(job);
}

static void multiply_run(struct job *job);

/* Stores the product, in pieces of whole rows of blocks as far as messages would hold. */
static void multiply_store(struct job *job)
{
    uint64_t generated;

    for (uint32_t row = 0; row < job->tile.rows; row++) {
        for (uint32_t column = 0; column < job->tile.columns; column += MATRIX_RECT_MOST) {
            uint32_t left = job->tile.columns - column;
            struct matrix_rect rect = { job->tile.row + row, job->tile.column + column, 1, left < MATRIX_RECT_MOST ? left : MATRIX_RECT_MOST };

            if (!matrix_store_write(job->store, &rect, job->product + (uint64_t)row * job->tile.columns + column, &generated)) {
                matrix_refuse(&job->question, "node %u has no memory for the product; part of it is there", messenger_own());
                multiply_end(job);
                return;
            }
        }
    }
    matrix_answer(&job->question, job->since_ns, job->generated, NULL, 0);
    multiply_end(job);
}

static void multiply_add(struct job *job, unsigned width)
{
    for (uint32_t i = 0; i < job->tile.rows; i++)
        for (unsigned k = 0; k < width; k++) {
            double a = job->a.panel[i * PANEL + k], *out = job->product + (uint64_t)i * job->tile.columns;
            const double *b = job->b.panel + (uint64_t)k * job->tile.columns;

            for (uint32_t j = 0; j < job->tile.columns; j++)
                out[j] += a * b[j];
        }
}

/* A panel is there, or has failed. Whether there is another one to get. */
static bool multiply_panel_done(struct job *job)
{
    if (job->failed[0]) {
        matrix_refuse(&job->question, "%s", job->failed);
        multiply_end(job);
        return false;
    }
    multiply_add(job, (unsigned)(job->inner - job->at < PANEL ? job->inner - job->at : PANEL));
    job->at += PANEL;
    if (job->at < job->inner)
        return true;
    multiply_store(job);
    return false;
}

static void multiply_fail(struct job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void multiply_fail(struct job *job, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (job->failed[0] == '\0')
        format_vstring(job->failed, sizeof(job->failed), format, args);
    va_end(args);
}

static void multiply_got(void *arg)
{
    struct piece *piece = arg;
    const struct matrix_rect *rect = &piece->request.rect;
    const struct message_call *call = &piece->call;
    uint32_t values = rect->rows * rect->columns * (uint32_t)sizeof(double);

    if (call->answered.state == FUTURE_FULFILLED && call->type == MATRIX_DONE && call->length == sizeof(struct matrix_done) + values) {
        const struct matrix_done *done = (const struct matrix_done *)call->reply;

        piece->job->generated += done->generated;
        for (uint32_t i = 0; i < rect->rows; i++)
            memcpy(piece->to + (uint64_t)i * piece->stride, (const double *)(done + 1) + i * rect->columns, rect->columns * sizeof(double));
    } else if (call->answered.state == FUTURE_FULFILLED && call->type == MATRIX_REFUSED) {
        multiply_fail(piece->job, "node %u refused a factor's part", piece->node);
    } else {
        multiply_fail(piece->job, "node %u, which has a part of a factor, does not answer node %u", piece->node, messenger_own());
    }

    struct job *job = piece->job;

    mem_free(piece->call.reply);
    mem_free(piece);
    if (--job->waiting == 0 && multiply_panel_done(job))
        multiply_run(job);
}

/* A rectangle of a factor, to `to`, whose rows are `stride` apart: from a node, or out of the base. It lies in one tile. */
static void multiply_ask(struct job *job, const struct factor *factor, uint16_t node, struct matrix_rect rect, double *to, uint32_t stride)
{
    struct piece *piece = NULL;

    if (node == MATRIX_NOWHERE) {
        for (uint32_t i = 0; i < rect.rows; i++)
            job->generated += matrix_base_row(&factor->base, rect.row + i, rect.column, rect.columns, to + (uint64_t)i * stride);
        return;
    }
    if ((piece = mem_zalloc(sizeof(*piece))) == NULL) {
        multiply_fail(job, "node %u has no memory to multiply", messenger_own());
        return;
    }
    piece->job = job;
    piece->to = to;
    piece->stride = stride;
    piece->node = node;
    piece->request = (struct matrix_request){ factor->base, rect };
    job->waiting++;
    future_then(&piece->call.answered, &piece->wait, multiply_got, piece);
    message_ask(&piece->call, node, factor->id, MATRIX_READ, &piece->request, sizeof(piece->request), PATIENCE_NS);
}

static void multiply_panel(struct job *job)
{
    uint32_t width = (uint32_t)(job->inner - job->at < PANEL ? job->inner - job->at : PANEL), most = MATRIX_RECT_MOST / width;
    uint16_t a_node = job->a.nodes[job->at / job->a.shape.tile_columns], b_node = job->b.nodes[job->at / job->b.shape.tile_rows];

    for (uint32_t row = 0; row < job->tile.rows; row += most) {
        uint32_t rows = job->tile.rows - row < most ? job->tile.rows - row : most;

        multiply_ask(job, &job->a, a_node, (struct matrix_rect){ job->tile.row + row, job->at, rows, width }, job->a.panel + row * PANEL, PANEL);
    }
    for (uint32_t column = 0; column < job->tile.columns; column += most) {
        uint32_t columns = job->tile.columns - column < most ? job->tile.columns - column : most;

        multiply_ask(job, &job->b, b_node, (struct matrix_rect){ job->at, job->tile.column + column, width, columns }, job->b.panel + column,
                     job->tile.columns);
    }
}

/* Panel by panel, as far as none must be waited for; `waiting` counts this function, too. */
static void multiply_run(struct job *job)
{
    do {
        job->waiting = 1;
        multiply_panel(job);
        if (--job->waiting)
            return;
    } while (multiply_panel_done(job));
}

static void *multiply_copy(const void *from, size_t bytes)
{
    void *to = mem_alloc(bytes);

    if (to)
        memcpy(to, from, bytes);
    return to;
}

/* Whether the factors fit each other and the product; the nodes are where they should be. */
static bool multiply_fits(const struct matrix_shape *to, const struct matrix_product *product, uint64_t bytes)
{
    const struct matrix_shape *a = &product->a_shape, *b = &product->b_shape;

    return matrix_shape_valid(a) && matrix_shape_valid(b) && product->a_base.random <= 1 && product->b_base.random <= 1 &&
           a->columns == b->rows && a->rows == to->rows && b->columns == to->columns && a->tile_rows == to->tile_rows &&
           b->tile_columns == to->tile_columns && bytes == (matrix_tiles_across(a) + matrix_tiles_down(b)) * sizeof(uint16_t);
}

void matrix_multiply(struct matrix_store *store, const struct message *message)
{
    struct matrix_request request;
    struct matrix_product product;
    const uint8_t *nodes = message->body + sizeof(request) + sizeof(product);

    if (message->length >= sizeof(request) + sizeof(product)) {
        memcpy(&request, message->body, sizeof(request));
        memcpy(&product, message->body + sizeof(request), sizeof(product));
    }
    if (message->length < sizeof(request) + sizeof(product) ||
        !multiply_fits(&store->shape, &product, message->length - sizeof(request) - sizeof(product))) {
        matrix_refuse(message, "the factors do not fit");
        return;
    }

    struct matrix_rect tile = { request.rect.row / store->shape.tile_rows * store->shape.tile_rows,
                                request.rect.column / store->shape.tile_columns * store->shape.tile_columns, 0, 0 };
    uint64_t rows = store->shape.rows - tile.row, columns = store->shape.columns - tile.column;

    rows = rows < store->shape.tile_rows ? rows : store->shape.tile_rows;
    columns = columns < store->shape.tile_columns ? columns : store->shape.tile_columns;
    if (rows * columns > MATRIX_TILE_MULTIPLIED_MOST) {
        matrix_refuse(message, "a product's tile of %lu x %lu elements is too large; take smaller tiles", rows, columns);
        return;
    }
    if (rows * columns > MATRIX_WORK_MOST / product.a_shape.columns) {
        matrix_refuse(message, "%lu x %lu x %lu multiplications are more than one node does at once (%lu)", rows, columns, product.a_shape.columns,
                      MATRIX_WORK_MOST);
        return;
    }
    tile.rows = (uint32_t)rows;
    tile.columns = (uint32_t)columns;

    struct job *job = mem_zalloc(sizeof(*job));

    if (job == NULL) {
        matrix_refuse(message, "node %u has no memory to multiply", messenger_own());
        return;
    }

    uint64_t a_nodes = matrix_tiles_across(&product.a_shape), b_nodes = matrix_tiles_down(&product.b_shape);

    job->store = store;
    job->question = *message;
    job->question.body = NULL;
    job->tile = tile;
    job->inner = product.a_shape.columns;
    job->since_ns = clock_ns();
    job->a = (struct factor){ product.a, product.a_base, product.a_shape, multiply_copy(nodes, a_nodes * 2), mem_alloc(rows * PANEL * 8) };
    job->b = (struct factor){ product.b, product.b_base, product.b_shape, multiply_copy(nodes + a_nodes * 2, b_nodes * 2), mem_alloc(columns * PANEL * 8) };
    job->product = mem_zalloc(rows * columns * sizeof(double));
    if (job->a.nodes && job->b.nodes && job->a.panel && job->b.panel && job->product) {
        multiply_run(job);
        return;
    }
    matrix_refuse(message, "node %u has no memory to multiply", messenger_own());
    multiply_end(job);
}
