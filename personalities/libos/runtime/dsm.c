/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Distributed shared memory: faults, and messages in and out. The rest: dsm_pages.c, dsm_home.c, dsm_lease.c. */
#include "dsm_parts.h"
#include "cpu.h"
#include "fault.h"

/* A message on its way, or, for the keeper, one that another vCPU got. */
struct dsm_parcel {
    struct future delivered;
    struct future_wait wait;
    struct event event;
    struct message message;
    uint8_t body[];
};

uint16_t dsm_own;
uint64_t dsm_lease_ns;
struct dsm_counts dsm_counted;
static uint8_t dsm_out[sizeof(struct dsm_head) + DSM_PAGE];
static dsm_failed_fn dsm_failed;
static void *dsm_failed_arg;

const char *dsm_error(int error)
{
    static const char *const words[] = {
        "no error", "it was being written on a node that died", "its home does not answer or lives anew", "its home has no such page", "no memory",
    };

    return error >= 0 && (unsigned)error < array_size(words) ? words[error] : "unknown error";
}

const struct dsm_counts *dsm_counts(void)
{
    return &dsm_counted;
}

/* ---- out ---- */

static void dsm_delivered(void *arg)
{
    struct dsm_parcel *parcel = arg;

    if (parcel->delivered.state == FUTURE_FAILED)
        dsm_undelivered(parcel->message.from);
    mem_free(parcel);
}

void dsm_send(uint16_t node, uint16_t type, const struct dsm_head *head, const void *page)
{
    struct dsm_parcel *parcel = mem_alloc(sizeof(*parcel));
    uint32_t length = sizeof(*head);

    if (parcel == NULL) {
        dsm_undelivered(node);
        return;
    }
    memcpy(dsm_out, head, sizeof(*head));
    if (page) {
        memcpy(dsm_out + length, page, DSM_PAGE);
        length += DSM_PAGE;
    }
    memset(&parcel->delivered, 0, sizeof(parcel->delivered));
    parcel->message.from = node;
    future_then(&parcel->delivered, &parcel->wait, dsm_delivered, parcel);
    message_send(node, DSM_EBB, type, dsm_out, length, &parcel->delivered);
}

/* ---- in ---- */

static bool dsm_well_formed(const struct message *message, const struct dsm_head *head)
{
    bool grants = message->type == DSM_GRANT && head->content == DSM_DATA;
    uint32_t length = sizeof(*head) + (grants || message->type == DSM_RETURN ? DSM_PAGE : 0);

    return message->type >= DSM_HELLO && message->type <= DSM_RETURN && message->length == length && head->page < DSM_HOME_PAGES &&
           head->rights <= DSM_RIGHT_WRITE && head->content <= DSM_DATA && (message->type == DSM_HELLO) == (message->call != 0);
}

static void dsm_handle(const struct message *message)
{
    struct dsm_head head;
    const uint8_t *page = message->body + sizeof(head);

    if (message->length >= sizeof(head))
        memcpy(&head, message->body, sizeof(head));
    if (message->length < sizeof(head) || !dsm_well_formed(message, &head)) {
        dsm_counted.malformed++;
        return;
    }
    switch (message->type) {
    case DSM_HELLO:
        dsm_hello(message, &head);
        break;
    case DSM_ASK_READ:
    case DSM_ASK_WRITE:
    case DSM_INVALIDATED:
    case DSM_RETURN:
        dsm_to_home(message->from, message->type, &head, page);
        break;
    default:
        dsm_from_home(message->from, message->type, &head, page);
    }
}

static void dsm_arrived(void *arg)
{
    struct dsm_parcel *parcel = arg;

    dsm_handle(&parcel->message);
    mem_free(parcel);
}

static void dsm_message(void *ctx, const struct message *message)
{
    (void)ctx;
    if (cpu_id() == DSM_KEEPER) {
        dsm_handle(message);
        return;
    }

    struct dsm_parcel *parcel = mem_alloc(sizeof(*parcel) + message->length);

    if (parcel == NULL)
        panic("dsm: no memory for a message of %u bytes", message->length);
    parcel->message = *message;
    parcel->message.body = parcel->body;
    memcpy(parcel->body, message->body, message->length);
    event_post(DSM_KEEPER, &parcel->event, dsm_arrived, parcel);
}

/* ---- faults ---- */

static int dsm_obtain(uint64_t address, enum dsm_rights rights)
{
    struct dsm_waiter waiter = { .context = context_current(), .address = address, .cpu = cpu_id(), .rights = rights };

    if (waiter.cpu == DSM_KEEPER)
        dsm_want(&waiter);
    waiter.asleep = !waiter.done;
    if (waiter.cpu != DSM_KEEPER)
        event_post(DSM_KEEPER, &waiter.event, dsm_want, &waiter);
    if (waiter.asleep)
        context_suspend();
    return waiter.error;
}

int dsm_acquire(const void *address, bool write)
{
    uint64_t at = (uint64_t)address;

    if (context_current() == NULL)
        panic("dsm: a page is waited for outside a context");
    if (at - WINDOW_SHARED >= WINDOW_SIZE)
        return DSM_ABSENT;
    return dsm_obtain(at, write ? DSM_RIGHT_WRITE : DSM_RIGHT_READ);
}

static void dsm_fault(uint64_t address, uint64_t kind)
{
    int error = dsm_obtain(address, kind == FAULT_WRITE ? DSM_RIGHT_WRITE : DSM_RIGHT_READ);

    if (error == 0)
        return;
    if (dsm_failed == NULL)
        panic("dsm: page %lu of node %lu cannot be had: %s", (address - WINDOW_SHARED) / DSM_PAGE % DSM_HOME_PAGES,
              (address - WINDOW_SHARED) / DSM_PAGE / DSM_HOME_PAGES, dsm_error(error));
    dsm_failed(dsm_failed_arg, (const void *)address, error);
    context_exit();
}

void dsm_on_failure(dsm_failed_fn fn, void *arg)
{
    dsm_failed_arg = arg;
    dsm_failed = fn;
}

static void dsm_start_keeper(void *arg)
{
    (void)arg;
    dsm_lease_start();
    if (!messenger_target(DSM_EBB, dsm_message, NULL))
        panic("dsm: too many Ebbs take messages");
}

void dsm_start(uint64_t lease_ns)
{
    static uint32_t started;

    if (__atomic_exchange_n(&started, 1, __ATOMIC_ACQ_REL))
        return;
    dsm_own = messenger_own();
    dsm_lease_ns = lease_ns ? lease_ns : DSM_LEASE_NS;
    fault_shared = dsm_fault;
    if (cpu_id() == DSM_KEEPER)
        dsm_start_keeper(NULL);
    else if (!event_spawn(DSM_KEEPER, dsm_start_keeper, NULL))
        panic("dsm: no memory");
}
