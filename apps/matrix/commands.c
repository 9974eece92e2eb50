/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a line can ask for. README.md has all of it. */
#include "blocks.h"
#include "lines.h"

/* ---- what they begin with ---- */

static bool line_matrix(struct words *words, struct front_matrix **matrix)
{
    uint64_t number;

    if (!line_number(words, &number)) {
        line_usage();
        return false;
    }
    *matrix = front_matrix_find(number);
    if (*matrix == NULL)
        line_error("there is no matrix %lu; create makes one", number);
    return *matrix != NULL;
}

/* front.rect, checked, and memory for its values. */
static bool line_rect(uint64_t row, uint64_t column, uint64_t rows, uint64_t columns)
{
    const struct matrix_shape *shape = &front.matrix->shape;

    if (row >= shape->rows || column >= shape->columns || rows == 0 || columns == 0 || rows > shape->rows - row || columns > shape->columns - column) {
        line_error("matrix %u has %lu rows and %lu columns, from 0; %lu x %lu elements at (%lu, %lu) are not in it", front.matrix->number, shape->rows,
                   shape->columns, rows, columns, row, column);
        return false;
    }
    if (rows > FRONT_ELEMENTS_MOST || columns > FRONT_ELEMENTS_MOST || rows * columns > FRONT_ELEMENTS_MOST) {
        line_error("%lu x %lu elements are %lu bytes; at most %u elements are read or written at once", rows, columns, rows * columns * 8,
                   FRONT_ELEMENTS_MOST);
        return false;
    }
    front.rect = (struct matrix_rect){ row, column, (uint32_t)rows, (uint32_t)columns };
    front.values = mem_alloc(rows * columns * sizeof(double));
    if (front.values == NULL)
        line_error("the front end has no memory for %lu elements", rows * columns);
    return front.values != NULL;
}

/* ---- what operations end with ---- */

static void line_done(void)
{
    if (line_over())
        line_answer("ok\n", 3);
}

static void line_done_value(void)
{
    if (line_over())
        line_values(&front.result, 1);
}

static void line_done_values(void)
{
    if (line_over())
        line_values(front.values, (uint64_t)front.rect.rows * front.rect.columns);
}

static void line_done_made(void)
{
    if (line_over())
        line_ok("%u", front.matrix->number);
    else
        front_matrix_forget(front.matrix);
}

/* ---- commands ---- */

static void run_create(struct words *words)
{
    struct matrix_shape shape = { 0 };
    char sentence[FRONT_SENTENCE];

    if (!line_number(words, &shape.rows) || !line_number(words, &shape.columns) ||
        (!line_at_end(words) && (!line_number(words, &shape.tile_rows) || !line_number(words, &shape.tile_columns) || !line_at_end(words)))) {
        line_usage();
        return;
    }

    front.matrix = front_matrix_make(shape, sentence);
    if (front.matrix)
        front_create(line_done_made);
    else
        line_error("%s", sentence);
}

static void run_drop(struct words *words)
{
    if (!line_matrix(words, &front.matrix))
        return;
    if (!line_at_end(words))
        line_usage();
    else
        front_drop(line_done);
}

static void run_read(struct words *words)
{
    uint64_t row, column, rows, columns;

    if (!line_matrix(words, &front.matrix))
        return;
    if (!line_number(words, &row) || !line_number(words, &column) || !line_number(words, &rows) || !line_number(words, &columns) || !line_at_end(words))
        line_usage();
    else if (line_rect(row, column, rows, columns))
        front_read(line_done_values);
}

static void run_get(struct words *words)
{
    uint64_t row, column;

    if (!line_matrix(words, &front.matrix))
        return;
    if (!line_number(words, &row) || !line_number(words, &column) || !line_at_end(words))
        line_usage();
    else if (line_rect(row, column, 1, 1))
        front_read(line_done_values);
}

/* A row or a column, or `count` of it from `from` on. */
static void line_slice(struct words *words, bool is_row)
{
    uint64_t which, from = 0, count;

    if (!line_matrix(words, &front.matrix))
        return;
    count = is_row ? front.matrix->shape.columns : front.matrix->shape.rows;
    if (!line_number(words, &which) || (!line_at_end(words) && (!line_number(words, &from) || !line_number(words, &count) || !line_at_end(words))))
        line_usage();
    else if (is_row ? line_rect(which, from, 1, count) : line_rect(from, which, count, 1))
        front_read(line_done_values);
}

static void run_row(struct words *words)
{
    line_slice(words, true);
}

static void run_column(struct words *words)
{
    line_slice(words, false);
}

static void run_set(struct words *words)
{
    uint64_t row, column;
    double value;

    if (!line_matrix(words, &front.matrix))
        return;
    if (!line_number(words, &row) || !line_number(words, &column)) {
        line_usage();
    } else if (!line_value(words, &value) || !line_at_end(words)) {
        line_error("a value is a decimal number of up to 15 digits with an exponent of up to 22, nan, inf, or x and its bits in 16 hexadecimal digits");
    } else if (line_rect(row, column, 1, 1)) {
        front.values[0] = value;
        front_write(line_done);
    }
}

static void run_write(struct words *words)
{
    uint64_t row, column, rows, columns;

    if (!line_matrix(words, &front.matrix))
        return;
    if (!line_number(words, &row) || !line_number(words, &column) || !line_number(words, &rows) || !line_number(words, &columns)) {
        line_usage();
        return;
    }
    if (!line_rect(row, column, rows, columns))
        return;
    for (uint64_t i = 0; i < rows * columns; i++)
        if (!line_value(words, &front.values[i])) {
            line_error("%lu x %lu values are to be written; number %lu of them is missing, or is none", rows, columns, i + 1);
            return;
        }
    if (!line_at_end(words))
        line_error("%lu x %lu values are to be written, and more are there", rows, columns);
    else
        front_write(line_done);
}

static void run_fill(struct words *words)
{
    double value;

    if (!line_matrix(words, &front.matrix))
        return;
    if (!line_value(words, &value) || !line_at_end(words))
        line_usage();
    else
        front_rebase((struct matrix_base){ .bits = matrix_bits(value) }, line_done);
}

static void run_randomize(struct words *words)
{
    uint64_t seed;

    if (!line_matrix(words, &front.matrix))
        return;
    if (!line_number(words, &seed) || !line_at_end(words))
        line_usage();
    else
        front_rebase((struct matrix_base){ .bits = seed, .random = 1 }, line_done);
}

static void run_sum(struct words *words)
{
    if (!line_matrix(words, &front.matrix))
        return;
    if (!line_at_end(words))
        line_usage();
    else
        front_sum(line_done_value);
}

static void run_multiply(struct words *words)
{
    char sentence[FRONT_SENTENCE];

    if (!line_matrix(words, &front.a) || !line_matrix(words, &front.b))
        return;

    const struct matrix_shape *a = &front.a->shape, *b = &front.b->shape;

    if (!line_at_end(words)) {
        line_usage();
    } else if (a->columns != b->rows) {
        line_error("%lu x %lu and %lu x %lu do not multiply", a->rows, a->columns, b->rows, b->columns);
    } else if (a->rows * b->columns > front_limit / a->columns) {
        line_error("%lu x %lu x %lu multiplications, and a product of up to %lu bytes: the limit is %lu multiplications (limit N)", a->rows, a->columns,
                   b->columns, a->rows * b->columns * 8, front_limit);
    } else {
        front.matrix = front_matrix_make((struct matrix_shape){ a->rows, b->columns, a->tile_rows, b->tile_columns }, sentence);
        if (front.matrix)
            front_multiply(line_done_made);
        else
            line_error("%s", sentence);
    }
}

static void run_stat(struct words *words)
{
    uint64_t blocks = 0, tiles, placed = 0;
    unsigned nodes = 0, lost = 0;

    if (!line_matrix(words, &front.matrix))
        return;

    const struct matrix_shape *shape = &front.matrix->shape;

    tiles = matrix_tiles_down(shape) * matrix_tiles_across(shape);
    for (uint64_t i = 0; i < tiles; i++)
        placed += front.matrix->nodes[i] != MATRIX_NOWHERE;
    for (unsigned node = 0; node < MESSENGER_NODES; node++) {
        nodes += front_nodes[node].known && !front_nodes[node].lost;
        lost += front_nodes[node].lost;
        blocks += front_nodes[node].lost ? 0 : front_nodes[node].last.blocks;
    }
    line_ok("rows %lu columns %lu tile_rows %lu tile_columns %lu tiles %lu placed %lu nodes %u lost %u blocks %lu resident %lu dense %lu",
            shape->rows, shape->columns, shape->tile_rows, shape->tile_columns, tiles, placed, nodes, lost, blocks,
            blocks * MATRIX_BLOCK_BYTES, shape->rows * shape->columns * 8);
}

static void run_nodes(struct words *words)
{
    char text[4000];
    unsigned length = 0;

    if (!line_at_end(words)) {
        line_usage();
        return;
    }
    length += (unsigned)format_string(text, sizeof(text), "ok");
    for (unsigned node = 0; node < MESSENGER_NODES; node++)
        if (front_nodes[node].known && length < sizeof(text) - 80)
            length += (unsigned)format_string(text + length, sizeof(text) - length, " %u:%s%lu", node, front_nodes[node].lost ? "lost" : "",
                                              front_nodes[node].last.blocks);
    text[length++] = '\n';
    line_answer(text, length);
}

static void run_time(struct words *words)
{
    const struct front_figures *f = line_figures();

    if (line_at_end(words))
        line_ok("ns %lu node_ns %lu messages %lu bytes %lu generated %lu provisioned %u freed %u", f->ns, f->node_ns, f->messages, f->bytes, f->generated,
                f->provisioned, f->freed);
    else
        line_usage();
}

static void run_limit(struct words *words)
{
    uint64_t limit;

    if (!line_number(words, &limit) || !line_at_end(words) || limit == 0) {
        line_usage();
        return;
    }
    front_limit = limit;
    line_ok("%lu", limit);
}

const struct command line_commands[] = {
    { "create", "ROWS COLUMNS [TILE_ROWS TILE_COLUMNS]", run_create },
    { "get", "MATRIX ROW COLUMN", run_get },
    { "set", "MATRIX ROW COLUMN VALUE", run_set },
    { "row", "MATRIX ROW [FROM COUNT]", run_row },
    { "column", "MATRIX COLUMN [FROM COUNT]", run_column },
    { "read", "MATRIX ROW COLUMN ROWS COLUMNS", run_read },
    { "write", "MATRIX ROW COLUMN ROWS COLUMNS VALUE...", run_write },
    { "fill", "MATRIX VALUE", run_fill },
    { "randomize", "MATRIX SEED", run_randomize },
    { "sum", "MATRIX", run_sum },
    { "multiply", "MATRIX MATRIX", run_multiply },
    { "stat", "MATRIX", run_stat },
    { "nodes", "", run_nodes },
    { "time", "", run_time },
    { "limit", "OPERATIONS", run_limit },
    { "drop", "MATRIX", run_drop },
    { NULL, NULL, NULL },
};
