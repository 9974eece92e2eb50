/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a datagram goes. */
#include "internal.h"

enum { HEADER = KVD_ROUTER_HEADER, KEY_MAX = 250 };
#define WRITING UINT32_MAX

struct word {
    const uint8_t *at;
    size_t length;
};

static bool kvd_router_is(struct word word, const char *text)
{
    size_t i = 0;
    while (i < word.length && text[i] != '\0' && word.at[i] == (uint8_t)text[i])
        i++;
    return i == word.length && text[i] == '\0';
}

/* The next word of a line, which ends at `end`. */
static struct word kvd_router_word(const uint8_t **at, const uint8_t *end)
{
    while (*at < end && **at == ' ')
        ++*at;
    struct word word = {*at, 0};
    while (*at < end && **at != ' ')
        ++*at;
    word.length = (size_t)(*at - word.at);
    return word;
}

/* The key of a datagram that holds one command on one key, and nothing else; of length 0 where it does not. */
static struct word kvd_router_key(const uint8_t *at, const uint8_t *end)
{
    static const char *const storing[] = {"set", "add", "replace", "append", "prepend", "cas"};
    static const char *const others[] = {"get", "gets", "delete", "incr", "decr", "touch"};
    const struct word none = {at, 0};
    const uint8_t *line = at, *eol = at;
    bool stores = false, known = false;
    while (eol < end && *eol != '\n')
        eol++;
    if (eol == end || eol == at || eol[-1] != '\r')
        return none;
    const uint8_t *behind = eol + 1, *last = eol - 1;
    struct word command = kvd_router_word(&line, last), key = kvd_router_word(&line, last);
    for (size_t i = 0; i < sizeof storing / sizeof *storing; i++) {
        stores |= kvd_router_is(command, storing[i]);
        known |= kvd_router_is(command, others[i]);
    }
    if (key.length > KEY_MAX)
        return none;
    if (stores) {
        kvd_router_word(&line, last), kvd_router_word(&line, last); /* flags, expiry */
        struct word bytes = kvd_router_word(&line, last);
        size_t size = 0;
        for (size_t i = 0; i < bytes.length && bytes.at[i] >= '0' && bytes.at[i] <= '9' && size < 65536; i++)
            size = size * 10 + (size_t)(bytes.at[i] - '0');
        return (size_t)(end - behind) == size + 2 ? key : none;
    }
    if (!known || behind != end || (command.at[0] == 'g' && kvd_router_word(&line, last).length != 0))
        return none;
    return key;
}

static uint32_t kvd_router_hash(struct word key) /* FNV-1a, 32 bits */
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < key.length; i++)
        hash = (hash ^ key.at[i]) * 16777619u;
    return hash;
}

bool kvd_router_note(struct kvd_router_backend *backend, bool managed, struct kvd_router_peer from, uint8_t *datagram)
{
    uint16_t id = (uint16_t)__atomic_fetch_add(&backend->next, 1, __ATOMIC_RELAXED);
    struct kvd_router_slot *slot = &backend->slot[id % KVD_ROUTER_SLOTS];
    uint64_t asked = (uint64_t)from.address << 32 | (uint64_t)from.port << 16 | (uint64_t)datagram[0] << 8 | datagram[1];
    uint32_t old = __atomic_load_n(&slot->id, __ATOMIC_RELAXED);
    if (old == WRITING || !__atomic_compare_exchange_n(&slot->id, &old, WRITING, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return false;
    if (managed && old != 0 && __atomic_exchange_n(&slot->done, old, __ATOMIC_RELAXED) != old)
        __atomic_fetch_add(&backend->forgotten, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->asked, asked, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->id, (uint32_t)id + 1, __ATOMIC_RELEASE);
    datagram[0] = (uint8_t)(id >> 8);
    datagram[1] = (uint8_t)id;
    return true;
}

static enum kvd_router_verdict kvd_router_return(struct kvd_router_backend *backend, bool managed, uint8_t *datagram,
                                                 struct kvd_router_peer *to)
{
    uint32_t id = (uint32_t)datagram[0] << 8 | datagram[1];
    struct kvd_router_slot *slot = &backend->slot[id % KVD_ROUTER_SLOTS];
    if (__atomic_load_n(&slot->id, __ATOMIC_SEQ_CST) != id + 1)
        return KVD_ROUTER_DROP;
    uint64_t asked = __atomic_load_n(&slot->asked, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&slot->id, __ATOMIC_SEQ_CST) != id + 1)
        return KVD_ROUTER_DROP; /* taken for another request meanwhile */
    if (managed && datagram[3] + 1 == datagram[5] && __atomic_exchange_n(&slot->done, id + 1, __ATOMIC_RELAXED) != id + 1)
        __atomic_fetch_add(&backend->answered, 1, __ATOMIC_RELAXED); /* its last datagram */
    if (asked == 0)
        return KVD_ROUTER_DROP; /* the tick asked whether it lives */
    datagram[0] = (uint8_t)(asked >> 8);
    datagram[1] = (uint8_t)asked;
    *to = (struct kvd_router_peer){(uint32_t)(asked >> 32), (uint16_t)(asked >> 16)};
    return KVD_ROUTER_SEND;
}

enum kvd_router_verdict kvd_router_route(struct kvd_router *router, struct kvd_router_peer from, uint8_t *datagram, size_t length,
                                         struct kvd_router_peer *to)
{
    if (length <= HEADER)
        return KVD_ROUTER_DROP;
    bool managed = router->plan.managed;
    for (uint32_t i = 0, n = __atomic_load_n(&router->backends, __ATOMIC_ACQUIRE); i < n; i++)
        if (router->backend[i].peer.address == from.address && router->backend[i].peer.port == from.port)
            return kvd_router_return(&router->backend[i], managed, datagram, to);
    if (managed && from.address == router->plan.provisioner.address && from.port == router->plan.provisioner.port) {
        kvd_router_post(router, datagram, length);
        return KVD_ROUTER_DROP;
    }
    if (datagram[4] != 0 || datagram[5] != 1)
        return KVD_ROUTER_DROP; /* requests of several datagrams are dropped, as memcached drops them */
    struct word key = kvd_router_key(datagram + HEADER, datagram + length);
    if (key.length == 0)
        return KVD_ROUTER_REFUSE;
    uint32_t hash = kvd_router_hash(key), place = hash % (managed ? KVD_ROUTER_PLACES : router->backends);
    if (managed) {
        uint8_t owner = __atomic_load_n(&router->table[place], __ATOMIC_ACQUIRE);
        if (owner == 0)
            return KVD_ROUTER_NOBODY;
        place = owner - 1u;
    }
    struct kvd_router_backend *backend = &router->backend[place];
    *to = backend->peer;
    return kvd_router_note(backend, managed, from, datagram) ? KVD_ROUTER_SEND : KVD_ROUTER_DROP;
}

size_t kvd_router_refusal(enum kvd_router_verdict why, const uint8_t *datagram, uint8_t refusal[KVD_ROUTER_REFUSAL])
{
    static const char several[] = "SERVER_ERROR one command on one key a datagram\r\n", nobody[] = "SERVER_ERROR no back end\r\n";
    _Static_assert(HEADER + sizeof several - 1 <= KVD_ROUTER_REFUSAL && sizeof nobody <= sizeof several, "room");
    const uint8_t header[HEADER] = {datagram[0], datagram[1], 0, 0, 0, 1, 0, 0};
    const char *text = why == KVD_ROUTER_NOBODY ? nobody : several;
    size_t length = why == KVD_ROUTER_NOBODY ? sizeof nobody - 1 : sizeof several - 1;
    for (size_t i = 0; i < HEADER; i++)
        refusal[i] = header[i];
    for (size_t i = 0; i < length; i++)
        refusal[HEADER + i] = (uint8_t)text[i];
    return HEADER + length;
}

/* Four numbers joined by dots; *at is then behind them. */
static bool kvd_router_dotted(const char **at, uint32_t *address)
{
    *address = 0;
    for (int part = 0; part < 4; part++) {
        uint32_t number = 0, digits = 0;
        for (; **at >= '0' && **at <= '9' && digits < 4; ++*at, digits++)
            number = number * 10 + (uint32_t)(**at - '0');
        if (digits == 0 || number > 255 || (part < 3 && *(*at)++ != '.'))
            return false;
        *address |= number << (8 * part);
    }
    return true;
}

bool kvd_router_address(const char *text, uint32_t *address) { return kvd_router_dotted(&text, address) && *text == '\0'; }

size_t kvd_router_backends(struct kvd_router *router, const char *text, uint16_t port)
{
    const char *at = text;
    do {
        uint32_t address;
        const char *from = at;
        if (!kvd_router_dotted(&at, &address) || (*at != ',' && *at != '\0') || router->backends == KVD_ROUTER_LISTED)
            return (size_t)(from - text) + 1;
        router->backend[router->backends++].peer = (struct kvd_router_peer){address, port};
    } while (*at++ == ',');
    return 0;
}
