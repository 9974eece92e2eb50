/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this node counts, as lines of text. */
#include "node_parts.h"

#define TEXT_BYTES 2048u

struct stat_text {
    uint32_t length;
    char bytes[TEXT_BYTES];
};

static void stat_add(struct stat_text *text, const char *key, uint64_t value)
{
    int length = format_string(text->bytes + text->length, TEXT_BYTES - text->length, "%s %lu\n", key, value);

    if (text->length + (uint32_t)length < TEXT_BYTES)
        text->length += (uint32_t)length;
}

void node_stat(const struct message *question)
{
    static struct stat_text text;       /* gpos's messages come one after the other, to one vCPU */
    struct messenger_counts messages = messenger_counts();
    struct node_log_counts log = node_log_counts();
    char key[16];

    text.length = 0;
    stat_add(&text, "uptime_us", clock_ns() / 1000);
    stat_add(&text, "vcpus", cpu_count());
    stat_add(&text, "memory_free_kib", mem_free_bytes() >> 10);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        format_string(key, sizeof(key), "events.%u", cpu);
        stat_add(&text, key, event_count(cpu));
    }
    stat_add(&text, "messages_sent", messages.sent);
    stat_add(&text, "messages_received", messages.received);
    stat_add(&text, "segments_resent", messages.resent);
    stat_add(&text, "segments_twice", messages.duplicates);
    stat_add(&text, "segments_malformed", messages.malformed);
    stat_add(&text, "segments_strangers", messages.strangers);
    stat_add(&text, "messages_undeliverable", messages.undeliverable);
    stat_add(&text, "log_lines", log.lines);
    stat_add(&text, "log_stored", log.stored);
    stat_add(&text, "log_lost", log.lost);
    message_answer(question, NODE_STAT_IS, text.bytes, text.length);
}
