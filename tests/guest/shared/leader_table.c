/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one node sees of an object: a table of operations and how each must end. What a read must give is what the rows before it wrote. */
#include "leader.h"

enum op { OPEN, CLOSE, WRITE, READ };

struct row {
    enum op op;
    unsigned handle;
    const char *name;           /* of what the handle is of, or is to be */
    uint64_t offset;
    uint32_t length;
    int error;
};

#define SMALL 10000u
#define BIG 1000013u

static const struct row rows[] = {
    /* names */
    { OPEN, 0, "absent", 0, 0, SHARED_ABSENT },
    { OPEN, 0, "", 0, 0, SHARED_ABSENT },
    { OPEN, 0, "no/name", 0, 0, SHARED_ABSENT },
    { OPEN, 0, "..", 0, 0, SHARED_ABSENT },
    { READ, 0, "small", 0, 1, SHARED_CLOSED },
    { WRITE, 0, "small", 0, 0, SHARED_CLOSED },
    { CLOSE, 0, "small", 0, 0, SHARED_CLOSED },
    /* zeros; the end */
    { OPEN, 0, "small", 0, 0, 0 },
    { READ, 0, "small", 0, SMALL, 0 },
    { READ, 0, "small", SMALL, 0, 0 },
    { READ, 0, "small", SMALL, 1, SHARED_RANGE },
    { READ, 0, "small", SMALL - 1, 2, SHARED_RANGE },
    { READ, 0, "small", SMALL + 1, 0, SHARED_RANGE },
    { READ, 0, "small", UINT64_MAX, 1, SHARED_RANGE },
    { READ, 0, "small", UINT64_MAX - 1, 4, SHARED_RANGE },
    { WRITE, 0, "small", SMALL, 1, SHARED_RANGE },
    { WRITE, 0, "small", SMALL - 5, 6, SHARED_RANGE },
    { WRITE, 0, "small", 1ull << 63, 1, SHARED_RANGE },
    { READ, 0, "small", 0, SMALL, 0 },          /* none of these wrote anything */
    /* about a block's border, and a second handle */
    { WRITE, 0, "small", 0, 1, 0 },
    { WRITE, 0, "small", SMALL - 1, 1, 0 },
    { WRITE, 0, "small", 4095, 1, 0 },
    { WRITE, 0, "small", 4096, 1, 0 },
    { READ, 0, "small", 4094, 4, 0 },
    { WRITE, 0, "small", 4090, 12, 0 },
    { OPEN, 1, "small", 0, 0, 0 },
    { READ, 1, "small", 0, SMALL, 0 },
    { WRITE, 1, "small", 1, SMALL - 2, 0 },
    { READ, 0, "small", 0, SMALL, 0 },
    { WRITE, 0, "small", 500, 0, 0 },
    { READ, 0, "small", 0, SMALL, 0 },
    { CLOSE, 0, "small", 0, 0, 0 },
    { READ, 0, "small", 0, 1, SHARED_CLOSED },
    { WRITE, 0, "small", 0, 1, SHARED_CLOSED },
    { CLOSE, 0, "small", 0, 0, SHARED_CLOSED },
    { READ, 1, "small", 0, SMALL, 0 },          /* the other handle stays */
    { OPEN, 0, "small", 0, 0, 0 },
    { READ, 0, "small", 0, SMALL, 0 },
    { CLOSE, 0, "small", 0, 0, 0 },
    { CLOSE, 1, "small", 0, 0, 0 },
    /* none, one, exactly a call's most */
    { OPEN, 0, "empty", 0, 0, 0 },
    { READ, 0, "empty", 0, 0, 0 },
    { WRITE, 0, "empty", 0, 0, 0 },
    { READ, 0, "empty", 0, 1, SHARED_RANGE },
    { WRITE, 0, "empty", 0, 1, SHARED_RANGE },
    { CLOSE, 0, "empty", 0, 0, 0 },
    { OPEN, 0, "one", 0, 0, 0 },
    { READ, 0, "one", 0, 1, 0 },
    { WRITE, 0, "one", 0, 1, 0 },
    { READ, 0, "one", 0, 1, 0 },
    { WRITE, 0, "one", 1, 1, SHARED_RANGE },
    { CLOSE, 0, "one", 0, 0, 0 },
    { OPEN, 0, "exact", 0, 0, 0 },
    { WRITE, 0, "exact", 0, 32768, 0 },
    { READ, 0, "exact", 0, 32768, 0 },
    { WRITE, 0, "exact", 32767, 1, 0 },
    { READ, 0, "exact", 1, 32767, 0 },
    { CLOSE, 0, "exact", 0, 0, 0 },
    /* more than one call */
    { OPEN, 2, "big", 0, 0, 0 },
    { READ, 2, "big", 0, BIG, 0 },
    { WRITE, 2, "big", 32760, 16, 0 },
    { READ, 2, "big", 32768, 8, 0 },
    { WRITE, 2, "big", 32767, 32770, 0 },
    { READ, 2, "big", 0, 100000, 0 },
    { WRITE, 2, "big", 0, BIG, 0 },
    { READ, 2, "big", 0, BIG, 0 },
    { WRITE, 2, "big", 1, BIG, SHARED_RANGE },
    { READ, 2, "big", 12345, BIG - 23456, 0 },
};

static struct {
    unsigned row;
    uint8_t *bytes;
} table;

static uint8_t *table_shadow(const char *name)
{
#define TABLE_SHADOW(object, size) \
    static uint8_t *object; \
    if (strcmp(name, #object) == 0) { \
        object = object ? object : mem_zalloc(size + 1); \
        CHECK(object, "no memory"); \
        return object; \
    }
    TEST_OBJECTS(TABLE_SHADOW)
    panic("no object %s", name);
}

static void table_begin(void);

static void table_decided(void *arg)
{
    const struct row *row = &rows[table.row];
    int error = leader.future.state == FUTURE_FULFILLED ? 0 : leader.future.error;

    (void)arg;
    CHECK(error == row->error, "row %u: %s", table.row, shared_error(error));
    if (row->op == READ && error == 0) {
        const uint8_t *shadow = table_shadow(row->name) + row->offset;

        for (uint32_t i = 0; i < row->length; i++)
            CHECK(table.bytes[i] == shadow[i], "row %u: byte %u is %x, not %x", table.row, i, table.bytes[i], shadow[i]);
        CHECK(table.bytes[row->length] == 0xA5, "row %u: more was read", table.row);
    }
    mem_free(table.bytes);
    table.bytes = NULL;
    if (++table.row < sizeof(rows) / sizeof(rows[0])) {
        table_begin();
        return;
    }
    console_printf("table: %u operations\n", table.row);
    leader.shadow_big = table_shadow("big");
    leader_many(NULL);
}

static void table_begin(void)
{
    const struct row *row = &rows[table.row];
    struct shared *handle = &leader.handles[row->handle];
    struct future *future = leader_await(table_decided);

    table.bytes = mem_alloc(row->length + 1);
    CHECK(table.bytes, "no memory");
    memset(table.bytes, 0xA5, row->length + 1);
    switch (row->op) {
    case OPEN:
        shared_open(handle, leader.with, NODE_HOME, row->name, future);
        break;
    case CLOSE:
        shared_close(handle, future);
        break;
    case READ:
        shared_read(handle, row->offset, table.bytes, row->length, future);
        break;
    case WRITE:
        for (uint32_t i = 0; i < row->length; i++)
            table.bytes[i] = test_byte(table.row, row->offset + i);
        if (row->error == 0)
            memcpy(table_shadow(row->name) + row->offset, table.bytes, row->length);
        shared_write(handle, row->offset, table.bytes, row->length, future);
        break;
    }
}

void leader_table(void *arg)
{
    (void)arg;
    table_begin();
}
