/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to the provisioner about one back end, and what its answers mean. docs/elasticity.md has the protocol. */
#include "internal.h"

enum { AGAIN_NS = 5000000 }; /* a question without an answer is asked again */

struct line {
    char text[KVD_ROUTER_QUESTION];
    size_t length;
};

static void kvd_router_put(struct line *line, const char *text)
{
    while (*text != '\0' && line->length < sizeof line->text)
        line->text[line->length++] = *text++;
}

static void kvd_router_put_number(struct line *line, uint32_t number)
{
    char digits[11];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    kvd_router_put(line, digits + at);
}

/* A new question has a new tag; the same one keeps it. */
static void kvd_router_question(struct kvd_router *router, struct kvd_router_backend *backend, const char *verb, kvd_router_send send, void *ctx)
{
    struct line line = {.length = 0};
    if (backend->tag == 0)
        backend->tag = ++router->tags;
    kvd_router_put(&line, verb);
    kvd_router_put(&line, " r");
    kvd_router_put_number(&line, backend->tag);
    kvd_router_put(&line, " ");
    if (backend->state == KVD_ROUTER_ASKED)
        kvd_router_put(&line, router->plan.pool);
    else
        kvd_router_put_number(&line, backend->number);
    send(ctx, router->plan.provisioner, line.text, line.length);
}

void kvd_router_ask(struct kvd_router *router, uint32_t index, uint64_t now_ns, kvd_router_send send, void *ctx)
{
    struct kvd_router_backend *backend = &router->backend[index];
    if (backend->state == KVD_ROUTER_STARTING && !backend->ready) {
        kvd_router_question(router, backend, "status", send, ctx);
    } else if (backend->state == KVD_ROUTER_ASKED || backend->state == KVD_ROUTER_LEAVING) {
        if (backend->tag != 0 && now_ns - backend->asked_ns < AGAIN_NS)
            return;
        backend->asked_ns = now_ns;
        kvd_router_question(router, backend, backend->state == KVD_ROUTER_ASKED ? "allocate" : "free", send, ctx);
    }
}

void kvd_router_post(struct kvd_router *router, const uint8_t *text, size_t length)
{
    for (size_t i = 0; i < sizeof router->letter / sizeof *router->letter; i++) {
        struct kvd_router_letter *letter = &router->letter[i];
        uint32_t empty = 0;
        if (!__atomic_compare_exchange_n(&letter->state, &empty, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        size_t kept = length < sizeof letter->text - 1 ? length : sizeof letter->text - 1;
        for (size_t j = 0; j < kept; j++)
            letter->text[j] = (char)text[j];
        letter->text[kept] = '\0';
        __atomic_store_n(&letter->state, 2, __ATOMIC_RELEASE);
        return;
    } /* no room: it is asked again */
}

static bool kvd_router_word_is(const char *text, const char *word)
{
    while (*word != '\0' && *text == *word)
        text++, word++;
    return *word == '\0' && (*text == ' ' || *text == '\0');
}

static const char *kvd_router_behind(const char *text) /* the next word */
{
    while (*text != ' ' && *text != '\0')
        text++;
    return *text == ' ' ? text + 1 : text;
}

static bool kvd_router_number(const char *text, uint32_t *number)
{
    uint32_t digits = 0;
    for (*number = 0; *text >= '0' && *text <= '9' && digits < 9; text++, digits++)
        *number = *number * 10 + (uint32_t)(*text - '0');
    return digits > 0 && (*text == ' ' || *text == '\0');
}

static void kvd_router_gone(struct kvd_router_backend *backend)
{
    backend->state = KVD_ROUTER_NONE;
    backend->peer = (struct kvd_router_peer){0, 0};
    for (uint32_t i = 0; i < KVD_ROUTER_SLOTS; i++)
        __atomic_store_n(&backend->slot[i].id, 0, __ATOMIC_RELAXED);
}

/* A machine of that number and address is ours. */
static void kvd_router_promised(struct kvd_router *router, struct kvd_router_backend *backend, const char *text, uint64_t now_ns)
{
    char address[16];
    uint32_t number, ip;
    size_t length = 0;
    bool fits = kvd_router_number(text, &number);
    for (text = kvd_router_behind(text); *text != ' ' && *text != '\0' && length < sizeof address - 1; text++)
        address[length++] = *text;
    address[length] = '\0';
    if (!fits || *text != ' ' || !kvd_router_address(address, &ip))
        return;
    backend->peer = (struct kvd_router_peer){ip, router->port};
    backend->number = number;
    backend->ready = kvd_router_word_is(text + 1, "warm");
    backend->state = KVD_ROUTER_STARTING;
    backend->pooled = 1;
    backend->tag = 0;
    backend->probed = 0;
    backend->since_ns = now_ns;
    backend->seen = __atomic_load_n(&backend->answered, __ATOMIC_RELAXED);
}

static void kvd_router_read(struct kvd_router *router, const char *text, uint64_t now_ns)
{
    const char *tag = kvd_router_behind(text), *rest = kvd_router_behind(tag);
    uint32_t number;
    if (*tag != 'r' || !kvd_router_number(tag + 1, &number) || number == 0)
        return;
    for (uint32_t i = 0; i < router->backends; i++) {
        struct kvd_router_backend *backend = &router->backend[i];
        if (backend->tag != number)
            continue;
        bool refused = kvd_router_word_is(text, "refused");
        if (backend->state == KVD_ROUTER_ASKED && kvd_router_word_is(text, "machine")) {
            kvd_router_promised(router, backend, rest, now_ns);
        } else if (backend->state == KVD_ROUTER_ASKED && refused) {
            backend->tag = 0;
            router->refused_ns = now_ns;
            kvd_router_gone(backend);
        } else if (backend->state == KVD_ROUTER_LEAVING && (refused || kvd_router_word_is(text, "freed"))) {
            backend->tag = 0;
            kvd_router_gone(backend);
        } else if (backend->state == KVD_ROUTER_STARTING && kvd_router_word_is(text, "status")) {
            const char *stage = kvd_router_behind(kvd_router_behind(rest));
            backend->ready = kvd_router_word_is(stage, "on");
            if (kvd_router_word_is(stage, "ended")) { /* it died while it booted */
                backend->tag = 0;
                kvd_router_gone(backend);
            }
        }
        return;
    }
}

void kvd_router_read_letters(struct kvd_router *router, uint64_t now_ns)
{
    for (size_t i = 0; i < sizeof router->letter / sizeof *router->letter; i++) {
        struct kvd_router_letter *letter = &router->letter[i];
        if (__atomic_load_n(&letter->state, __ATOMIC_ACQUIRE) != 2)
            continue;
        kvd_router_read(router, letter->text, now_ns);
        __atomic_store_n(&letter->state, 0, __ATOMIC_RELEASE);
    }
}
