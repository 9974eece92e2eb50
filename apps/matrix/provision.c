/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where nodes come from: a list, and then machines that the provisioner powers on (docs/elasticity.md has its lines). Such a machine is a node when
 * it says so itself, with MATRIX_HERE.
 */
#include "front.h"
#include "words.h"

#define PROVISIONER_PORT 5641u
#define OWN_PORT 5642u
#define AGAIN_NS 2000000u               /* a question without an answer is asked again */
#define BOOT_NS 3000000000ull           /* a machine that says nothing for so long is given up */

static uint16_t listed[MESSENGER_NODES];
static unsigned listed_count, listed_given;

static const char *pool_kind;
static struct udp_peer pool_provisioner;
static uint32_t pool_tags;
static struct front_grant *pool_waiting;        /* asked for, or powered on and not heard of */

/* ---- the list ---- */

bool front_provision_list(const char *list)
{
    while (*list) {
        struct matrix_end at = { .node = listed_count + 1, .port = MESSENGER_PORT };

        if (!matrix_end_at(list, &at, &list) || at.node == 0 || at.node == messenger_own() || front_nodes[at.node].ip)
            return false;
        front_nodes[at.node].ip = at.ip;
        front_nodes[at.node].port = (uint16_t)at.port;
        listed[listed_count++] = (uint16_t)at.node;
        if (*list == ',' && list[1])
            list++;
        else if (*list)
            return false;
    }
    return true;
}

/* ---- the pool ---- */

static void pool_remove(struct front_grant *grant)
{
    struct front_grant **link = &pool_waiting;

    while (*link != grant)
        link = &(*link)->next;
    *link = grant->next;
    timer_cancel(&grant->timer);
}

static void pool_decide(struct front_grant *grant, bool there)
{
    pool_remove(grant);
    if (!there)
        grant->number = MATRIX_NOWHERE;
    future_fulfil(&grant->given, grant);
}

static void pool_ask(struct front_grant *grant)
{
    struct iobuf *question = iobuf_alloc_tx();

    if (question == NULL)
        return;                         /* as if it had been lost */
    question->len = (uint32_t)format_string((char *)question->data, 100, "allocate m%u %s", grant->tag, pool_kind);
    udp_send(OWN_PORT, &pool_provisioner, question);
}

/* No answer yet, or a machine that is not up yet. */
static void pool_later(void *arg)
{
    struct front_grant *grant = arg;

    if (clock_ns() - grant->asked_ns > BOOT_NS) {
        front_fail(grant->number == MATRIX_NOWHERE ? "the provisioner does not answer" : "node %u was powered on, and does not say that it is up",
                   grant->number);
        pool_decide(grant, false);
        return;
    }
    if (grant->number == MATRIX_NOWHERE)
        pool_ask(grant);
    if (!timer_start(&grant->timer, AGAIN_NS, pool_later, grant))
        pool_decide(grant, false);
}

/* `machine TAG NUMBER ADDRESS ...` or `refused TAG WHY`: whatever else comes is nothing. */
static void pool_answer(void *ctx, const struct udp_peer *from, struct iobuf *rx)
{
    char text[260];
    const char *at = text;
    uint64_t tag, number;
    bool machine;
    struct front_grant *grant = pool_waiting;

    (void)ctx;
    memcpy(text, rx->data, rx->len < sizeof(text) - 1 ? rx->len : sizeof(text) - 1);
    text[rx->len < sizeof(text) - 1 ? rx->len : sizeof(text) - 1] = '\0';
    iobuf_free(rx);
    machine = strncmp(text, "machine m", 9) == 0;
    if (from->ip != pool_provisioner.ip || (!machine && strncmp(text, "refused m", 9) != 0) || !matrix_number_at(text + 9, 1u << 31, &tag, &at))
        return;
    while (grant && !(grant->tag == tag && grant->number == MATRIX_NOWHERE))
        grant = grant->next;
    if (grant == NULL)
        return;
    if (!machine) {
        pool_decide(grant, false);
        return;
    }
    if (*at != ' ' || !matrix_number_at(at + 1, MESSENGER_NODES - 1, &number, &at) || *at != ' ' || (grant->ip = matrix_address_at(at + 1, &at)) == 0 ||
        number == 0 || number == messenger_own())
        return;
    grant->number = (uint16_t)number;
    grant->port = MESSENGER_PORT;
    if (!messenger_knows(grant->number))
        messenger_peer(grant->number, grant->ip, grant->port);
}

void front_provision_here(uint16_t node)
{
    struct front_grant *grant = pool_waiting;

    while (grant && grant->number != node)
        grant = grant->next;
    if (grant)
        pool_decide(grant, true);
}

bool front_provision_pool(const char *kind, uint32_t provisioner_ip)
{
    pool_kind = kind;
    pool_provisioner = (struct udp_peer){ .ip = provisioner_ip, .port = __builtin_bswap16(PROVISIONER_PORT) };
    return udp_bind(OWN_PORT, pool_answer, NULL);
}

void front_provision(struct front_grant *grant)
{
    grant->number = MATRIX_NOWHERE;
    if (listed_given < listed_count) {
        grant->number = listed[listed_given++];
        grant->ip = front_nodes[grant->number].ip;
        grant->port = front_nodes[grant->number].port;
        if (!messenger_knows(grant->number))
            messenger_peer(grant->number, grant->ip, grant->port);
    }
    if (grant->number != MATRIX_NOWHERE || pool_kind == NULL) {
        future_fulfil(&grant->given, grant);
        return;
    }
    grant->tag = ++pool_tags;
    grant->asked_ns = clock_ns();
    grant->next = pool_waiting;
    pool_waiting = grant;
    pool_ask(grant);
    if (!timer_start(&grant->timer, AGAIN_NS, pool_later, grant))
        pool_decide(grant, false);
}
