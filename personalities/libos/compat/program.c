/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's ELF file, which may be anything: every number in it is checked before it is used. Its segments go where they
 * ask to be, which is below the image, since virtual is physical; a position-independent one goes to 4 MiB.
 */
#include "compat.h"

#define PROGRAM_LOWEST 0x200000ul       /* firmware and boot data below */
#define PROGRAM_PIE 0x400000ul
#define PROGRAM_STACK (1ul << 20)
#define PROGRAM_SEGMENTS 64u
#define PT_LOAD 1u
#define PT_INTERP 3u
#define PF_X 1u
#define PF_W 2u
#define PF_R 4u

enum { AT_NULL, AT_PHDR = 3, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_FLAGS, AT_ENTRY, AT_UID = 11, AT_EUID, AT_GID, AT_EGID,
       AT_PLATFORM, AT_HWCAP, AT_CLKTCK, AT_SECURE = 23, AT_RANDOM = 25, AT_EXECFN = 31, AT_SYSINFO = 32 };

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, program_headers, section_headers;
    uint32_t flags;
    uint16_t header_bytes, entry_bytes, count, section_entry_bytes, section_count, section_names;
};

struct elf_segment {
    uint32_t type, flags;
    uint64_t offset, address, physical, file_bytes, memory_bytes, alignment;
};

extern uint8_t image_text[];

static const struct elf_header *program_header(const struct program *program)
{
    const struct elf_header *elf = (const struct elf_header *)program->file;

    if (program->bytes < sizeof(*elf))
        panic("linux: %s: %lu bytes are less than an ELF64 header; boot it with a static x86-64 program as the first module", program->name, program->bytes);
    if (memcmp(elf->ident, "\177ELF\2\1", 6) != 0)
        panic("linux: %s: is not a 64-bit little-endian ELF file", program->name);
    if (elf->machine != 62)
        panic("linux: %s: is for ELF machine %u, not for x86-64 (62)", program->name, elf->machine);
    if (elf->type != 2 && elf->type != 3)
        panic("linux: %s: is of ELF type %u, not a program", program->name, elf->type);
    if (elf->count == 0 || elf->count > PROGRAM_SEGMENTS || elf->entry_bytes != sizeof(struct elf_segment))
        panic("linux: %s: has %u program headers of %u bytes; 1 to %u of %zu can be read", program->name, elf->count,
              elf->entry_bytes, PROGRAM_SEGMENTS, sizeof(struct elf_segment));
    if (elf->program_headers > program->bytes ||
        elf->count * sizeof(struct elf_segment) > program->bytes - elf->program_headers)
        panic("linux: %s: is cut short: its program header table ends behind the end of the file", program->name);
    return elf;
}

/* Panics unless segment `i` can be put at base + its address, behind `end`; returns the new end. */
static uint64_t program_check(const struct program *program, const struct elf_segment *segment, unsigned i, uint64_t base, uint64_t end)
{
    uint64_t limit = (uint64_t)image_text;

    if (segment->file_bytes > segment->memory_bytes)
        panic("linux: %s: segment %u has more bytes in the file than in memory", program->name, i);
    if (segment->offset > program->bytes || segment->file_bytes > program->bytes - segment->offset)
        panic("linux: %s: is cut short: segment %u ends behind the end of the file", program->name, i);
    if (segment->address > limit - base || base + segment->address < PROGRAM_LOWEST || segment->memory_bytes > limit - base - segment->address)
        panic("linux: %s: segment %u wants %lu KiB at %lx; programs lie between %lx and %lx", program->name, i, segment->memory_bytes >> 10,
              base + segment->address, PROGRAM_LOWEST, limit);
    if (base + segment->address < end)
        panic("linux: %s: segment %u overlaps the one before it", program->name, i);
    return base + segment->address + segment->memory_bytes;
}

static unsigned program_rights(uint32_t flags)
{
    return (flags & PF_R ? RIGHT_READ : 0) | (flags & PF_W ? RIGHT_WRITE : 0) | (flags & PF_X ? RIGHT_EXEC : 0);
}

void program_load(struct program *program)
{
    const struct elf_header *elf = program_header(program);
    const struct elf_segment *segments = (const struct elf_segment *)(program->file + elf->program_headers);
    uint64_t base = elf->type == 3 ? PROGRAM_PIE : 0, end = 0;
    bool entered = false;

    for (unsigned i = 0; i < elf->count; i++) {
        const struct elf_segment *segment = &segments[i];

        if (segment->type == PT_INTERP)
            panic("linux: %s: is dynamically linked; link it with -static", program->name);
        if (segment->type != PT_LOAD || segment->memory_bytes == 0)
            continue;
        end = program_check(program, segment, i, base, end);
        entered |= segment->flags & PF_X && elf->entry - segment->address < segment->memory_bytes;
        if (elf->program_headers - segment->offset < segment->file_bytes)
            program->headers = base + segment->address + (elf->program_headers - segment->offset);
    }
    if (!entered)
        panic("linux: %s: its entry point %lx lies in none of its executable segments", program->name, elf->entry);

    for (unsigned i = 0; i < elf->count; i++) {
        const struct elf_segment *segment = &segments[i];
        uint64_t at = base + segment->address;

        if (segment->type != PT_LOAD || segment->memory_bytes == 0)
            continue;
        memset((void *)at, 0, segment->memory_bytes);
        memcpy((void *)at, program->file + segment->offset, segment->file_bytes);
    }
    /* Rights last: two segments may share a page, which then has those of both. */
    for (unsigned i = 0; i < elf->count; i++)
        if (segments[i].type == PT_LOAD && segments[i].memory_bytes) {
            uint64_t at = base + segments[i].address;
            unsigned rights = program_rights(segments[i].flags);

            if (i && segments[i - 1].type == PT_LOAD && ((base + segments[i - 1].address + segments[i - 1].memory_bytes - 1) ^ at) < PAGE_BYTES)
                rights |= program_rights(segments[i - 1].flags);
            if (!protect_pages(at, at + segments[i].memory_bytes, rights))
                panic("linux: %s: no memory for page tables", program->name);
        }
    program->entry = base + elf->entry;
    program->header_count = elf->count;
    program->end = (end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

/* ---- what the first instruction finds on its stack (System V AMD64 ABI, 3.4.1) ---- */

static uint64_t program_push(uint64_t *rsp, const void *bytes, uint64_t size)
{
    *rsp -= size;
    memcpy((void *)*rsp, bytes, size);
    return *rsp;
}

static uint64_t program_random(void)
{
    static uint64_t state;

    /* Of the clock alone: the same run gives the same bytes. Nothing here is secret from the program's own ring. */
    state += clock_cycles() * 0x9E3779B97F4A7C15ull | 1;
    return state ^ state >> 29;
}

uint64_t program_stack(const struct program *program, int argc, char **argv)
{
    uint8_t *stack = memory_map(PROGRAM_STACK);
    uint64_t words[128];
    uint64_t random[2] = { program_random(), program_random() };
    size_t n = 0;

    if (stack == NULL || !protect_pages((uint64_t)stack, (uint64_t)stack + PAGE_BYTES, 0))
        panic("linux: no memory for a stack");
    if (argc > 64)
        panic("linux: %d words are too many", argc);

    uint64_t rsp = (uint64_t)stack + PROGRAM_STACK - 16;
    uint64_t platform = program_push(&rsp, "x86_64", 7), secret = program_push(&rsp, random, sizeof(random));
    uint32_t features[4];

    cpuid(1, features);
    words[n++] = (uint64_t)argc;
    for (int i = 0; i < argc; i++)
        words[n++] = program_push(&rsp, argv[i], strlen(argv[i]) + 1);
    words[n++] = 0;                 /* behind the arguments, and behind an empty environment */
    words[n++] = 0;

    const uint64_t vector[][2] = {
        { AT_HWCAP, features[3] }, { AT_PAGESZ, PAGE_BYTES }, { AT_CLKTCK, 100 }, { AT_PHDR, program->headers },
        { AT_PHENT, sizeof(struct elf_segment) }, { AT_PHNUM, program->headers ? program->header_count : 0 }, { AT_BASE, 0 }, { AT_FLAGS, 0 },
        { AT_ENTRY, program->entry }, { AT_UID, 0 }, { AT_EUID, 0 }, { AT_GID, 0 }, { AT_EGID, 0 }, { AT_SECURE, 0 },
        { AT_RANDOM, secret }, { AT_EXECFN, argc ? words[1] : platform }, { AT_PLATFORM, platform },
        { program->gate ? AT_SYSINFO : AT_FLAGS, (uint64_t)program->gate }, { AT_NULL, 0 },
    };

    memcpy(words + n, vector, sizeof(vector));
    n += sizeof(vector) / sizeof(words[0]);
    rsp = (rsp & ~15ull) - n % 2 * 8;
    return program_push(&rsp, words, n * sizeof(words[0]));
}
