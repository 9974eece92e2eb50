/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our 9P client, with the server that client_begin finds. Words: stat NAME, create NAME, write NAME BYTES, check NAME BYTES (written here before, or the same
 * elsewhere), remove NAME, open NAME, print NAME (the first line). What each came to is printed; a refusal is no failure.
 */
#include "check.h"
#include "client.h"
#include "words.h"

static struct ninep session;

static uint8_t client_byte(uint64_t at)
{
    return (uint8_t)(at * 7 + (at >> 8));
}

/* What a question came to. */
static const char *client_end(struct ninep_call *call)
{
    static char text[128];
    int error = future_wait(&call->done);

    if (error == NINEP_REFUSED)
        format_string(text, sizeof(text), "refused: %s", call->why);
    else
        format_string(text, sizeof(text), "%s", error ? ninep_error(error) : "done");
    return text;
}

static bool client_walk(uint32_t fid, const char *path)
{
    struct ninep_call call = { 0 };

    ninep_walk(&session, &call, 0, fid, path);

    const char *end = client_end(&call);

    if (call.done.state == FUTURE_FAILED)
        console_printf("walk %s: %s\n", path, end);
    return call.done.state == FUTURE_FULFILLED;
}

static void client_clunk(uint32_t fid)
{
    struct ninep_call call = { 0 };

    ninep_clunk(&session, &call, fid);
    CHECK(future_wait(&call.done) == 0, "clunk: %s", client_end(&call));
    ninep_fid_free(&session, fid);
}

/* All of the file, in questions as large as the server takes them. Bytes moved before one failed or was short of any. */
static uint64_t client_move(uint32_t fid, uint64_t size, bool writes, uint32_t most)
{
    uint8_t *bytes = mem_alloc(most);
    uint64_t at = 0;

    CHECK(bytes, "no memory");
    while (at < size) {
        struct ninep_call call = { 0 };
        uint32_t count = size - at < most ? (uint32_t)(size - at) : most;

        for (uint32_t i = 0; i < count; i++)
            bytes[i] = writes ? client_byte(at + i) : 0;
        if (writes)
            ninep_write(&session, &call, fid, at, bytes, count);
        else
            ninep_read(&session, &call, fid, at, bytes, count);
        if (future_wait(&call.done) || call.count == 0) {
            console_printf("at %lu: %s\n", at, client_end(&call));
            break;
        }
        for (uint32_t i = 0; !writes && i < call.count; i++)
            CHECK(bytes[i] == client_byte(at + i), "byte %lu is %x", at + i, bytes[i]);
        at += call.count;
    }
    mem_free(bytes);
    return at;
}

static void client_print(uint32_t fid)
{
    struct ninep_call call = { 0 };
    char text[80] = "";

    ninep_read(&session, &call, fid, 0, text, sizeof(text) - 1);
    CHECK(future_wait(&call.done) == 0, "read: %s", client_end(&call));
    for (char *at = text; *at; at++)
        *at = *at == '\n' ? '\0' : *at;
    console_printf(": %s", text);
}

/* Of a path: what is before its last name, and that name. */
static const char *client_last(const char *path, char *directory, size_t room)
{
    size_t last = 0;

    for (size_t i = 0; path[i]; i++)
        last = path[i] == '/' ? i + 1 : last;
    CHECK(last < room, "a long path");
    memcpy(directory, path, last);
    directory[last] = '\0';
    return path + last;
}

static void client_do(const char *what, const char *name, uint64_t size)
{
    char directory[128];
    const char *last = client_last(name, directory, sizeof(directory));
    uint32_t fid = ninep_fid(&session);
    bool creates = strcmp(what, "create") == 0, writes = strcmp(what, "write") == 0;
    struct ninep_call call = { 0 };

    if (!client_walk(fid, creates ? directory : name)) {
        ninep_fid_free(&session, fid);
        return;
    }
    if (strcmp(what, "stat") == 0) {
        ninep_stat(&session, &call, fid);

        const char *end = client_end(&call);

        console_printf("stat %s: %s, %lu bytes, mode %x\n", name, end, call.length, call.mode);
    } else if (strcmp(what, "remove") == 0) {
        ninep_remove(&session, &call, fid);
        console_printf("remove %s: %s\n", name, client_end(&call));
        ninep_fid_free(&session, fid);
        return;
    } else {
        if (creates)
            ninep_create(&session, &call, fid, last, 0644, 2);
        else
            ninep_open(&session, &call, fid, writes ? 1 : 0);
        console_printf("%s %s: %s", what, name, client_end(&call));
        if (call.done.state == FUTURE_FULFILLED && size)
            console_printf(", %lu bytes", client_move(fid, size, writes, call.most));
        if (call.done.state == FUTURE_FULFILLED && strcmp(what, "print") == 0)
            client_print(fid);
        console_printf("\n");
    }
    client_clunk(fid);
}

static void client(void *arg)
{
    char **words = arg;
    struct future begun = { 0 };

    client_begin(&session, &begun);

    int error = future_wait(&begun);

    if (error) {
        console_printf("begin: %s %s\n", ninep_error(error), session.call.why);
        machine_exit(1);
    }
    console_printf("begin: msize %u\n", session.msize);
    for (int i = 1; words[i]; i += 2) {
        CHECK(words[i + 1], "%s of what", words[i]);

        bool moves = strcmp(words[i], "write") == 0 || strcmp(words[i], "check") == 0;

        client_do(words[i], words[i + 1], moves ? test_number(words[i + 2]) : 0);
        i += moves;
    }
    test_success();
}

void app_main(int argc, char **argv)
{
    (void)argc;
    CHECK(context_run(client, argv), "no memory");
}
