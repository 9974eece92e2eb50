/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node: joins, and does what its words ask for: `publish TEXT` gives an id to an Ebb whose root is the text and says which; `attach ID` makes that Ebb's
 * representative here and calls it twice; `greet NODE` sends a message to another node, which says so; `say N` prints N lines; `set KEY VALUE` changes the configuration.
 */
#include "check.h"
#include "node.h"

static struct future joined, done;
static struct future_wait wait_joined, wait_done;
static struct message_call greeting;
static ebb_id slot;
static unsigned misses;
static int words_count;
static char **words;

static uint32_t number_of(const char *text)
{
    uint32_t value = 0;

    while (*text >= '0' && *text <= '9')
        value = value * 10 + (uint32_t)(*text++ - '0');
    return value;
}

static void *test_root_miss(ebb_id id, void *root)
{
    (void)id;
    misses++;
    return root;
}

static void test_greeted(void *ctx, const struct message *message)
{
    (void)ctx;
    console_printf("greeted by node %u: %s\n", message->from, (const char *)message->body);
    message_answer(message, 2, NULL, 0);
}

static void test_greeting_answered(void *arg)
{
    console_printf("greeting %s\n", greeting.answered.state == FUTURE_FULFILLED ? "answered" : "lost");
    (void)arg;
}

static void test_after(void *arg)
{
    const char *word = words[1];

    (void)arg;
    if (done.state == FUTURE_FAILED) {
        console_printf("%s failed: %d\n", word, done.error);
        return;
    }
    if (strcmp(word, "set") == 0)
        console_printf("stored\n");
    if (strcmp(word, "publish") == 0)
        console_printf("published\n");
    if (strcmp(word, "attach") == 0) {
        const struct node_root *root = ebb_rep(slot);

        CHECK(ebb_rep(slot) == root && misses == 1, "one miss");
        console_printf("attached id %u of node %u: %s\n", root->id, root->home, (const char *)root->bytes);
    }
    if (strcmp(word, "greet") == 0) {
        message_ask(&greeting, (uint16_t)number_of(words[2]), NODE_EBB_APPLICATION, 1, "hello", 6, 2000000000ull);
        future_then(&greeting.answered, &wait_done, test_greeting_answered, NULL);
    }
}

static void test_colour(void *ctx, const char *value)
{
    (void)ctx;
    console_printf("colour is %s\n", value);
}

static void test_has_joined(void *arg)
{
    (void)arg;
    if (joined.state == FUTURE_FAILED) {
        console_printf("not joined: %s\n", node_refusal());
        machine_exit(3);
    }

    uint32_t id = node_new_id();

    console_printf("joined as %s, node %u, prefix %u, map %u\n", node_name(), node_number(), id >> NODE_ID_BITS, node_version(NODE_EBB_MAP));
    if (words_count < 3)
        return;
    if (strcmp(words[1], "publish") == 0) {
        console_printf("id %u\n", id);
        node_publish(id, words[2], (uint16_t)(strlen(words[2]) + 1), &done);
    } else if (strcmp(words[1], "attach") == 0) {
        node_attach(number_of(words[2]), test_root_miss, &slot, &done);
    } else if (strcmp(words[1], "say") == 0) {
        for (uint32_t i = 0; i < number_of(words[2]); i++)
            console_printf("line %u\n", i);
        return;
    } else if (strcmp(words[1], "set") == 0 && words_count == 4) {
        node_config_set(words[2], words[3], &done);
    } else {
        node_peer(number_of(words[2]), &done);
    }
    future_then(&done, &wait_done, test_after, NULL);
}

void app_main(int argc, char **argv)
{
    words_count = argc;
    words = argv;
    CHECK(messenger_target(NODE_EBB_APPLICATION, test_greeted, NULL), "target");
    CHECK(node_config_watch("colour", test_colour, NULL), "watch");
    CHECK(node_start("test", &joined), "a word gpos= is missing");
    future_then(&joined, &wait_joined, test_has_joined, NULL);
    console_printf("node: ready\n");
}
