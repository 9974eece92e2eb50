/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the processors: RSDP -> XSDT or RSDT -> MADT (ACPI 6.4, sections 5.2.5 to 5.2.12). */
#include "acpi.h"
#include "boot.h"
#include "cpu.h"

#define MADT_LOCAL_APIC 0
#define LOCAL_APIC_ENABLED 1u

struct acpi_rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
} __attribute__((packed));

struct acpi_table {
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem[6];
    char oem_table[8];
    uint32_t oem_revision;
    uint32_t creator;
    uint32_t creator_revision;
} __attribute__((packed));

struct acpi_madt {
    struct acpi_table header;
    uint32_t local_apic;
    uint32_t flags;
    uint8_t entries[];
} __attribute__((packed));

unsigned acpi_cpu_count;
uint32_t acpi_cpu_apic_ids[LIBOS_MAX_CPUS];

static bool acpi_sum_ok(const void *table, size_t length)
{
    const uint8_t *byte = table;
    uint8_t sum = 0;

    while (length--)
        sum = (uint8_t)(sum + *byte++);
    return sum == 0;
}

static const struct acpi_rsdp *acpi_find_rsdp(void)
{
    if (boot_info.rsdp)
        return (const struct acpi_rsdp *)boot_info.rsdp;
    for (uint64_t at = 0xE0000; at < 0x100000; at += 16)
        if (memcmp((const void *)at, "RSD PTR ", 8) == 0 && acpi_sum_ok((const void *)at, 20))
            return (const struct acpi_rsdp *)at;
    panic("acpi: no RSDP");
}

static void acpi_read_madt(const struct acpi_madt *madt)
{
    const uint8_t *entry = madt->entries;
    const uint8_t *end = (const uint8_t *)madt + madt->header.length;

    /* Entry: type, length; local APIC: processor uid, APIC id, 32 bits of flags. */
    for (; entry + 2 <= end && entry[1] >= 2 && entry + entry[1] <= end; entry += entry[1]) {
        if (entry[0] != MADT_LOCAL_APIC || entry[1] < 8 || !(entry[4] & LOCAL_APIC_ENABLED))
            continue;
        if (acpi_cpu_count == LIBOS_MAX_CPUS) {
            console_printf("acpi: more than %u vCPUs; the others stay off\n", LIBOS_MAX_CPUS);
            break;
        }
        acpi_cpu_apic_ids[acpi_cpu_count++] = entry[3];
    }
}

void acpi_init(void)
{
    const struct acpi_rsdp *rsdp = acpi_find_rsdp();

    if (memcmp(rsdp->signature, "RSD PTR ", 8) != 0 || !acpi_sum_ok(rsdp, 20))
        panic("acpi: the RSDP at %p is damaged", (const void *)rsdp);

    bool wide = rsdp->revision >= 2 && rsdp->xsdt;
    const struct acpi_table *list = (const struct acpi_table *)(wide ? rsdp->xsdt : rsdp->rsdt);
    size_t width = wide ? 8 : 4;

    for (size_t at = sizeof(*list); at + width <= list->length; at += width) {
        uint64_t address = 0;

        memcpy(&address, (const uint8_t *)list + at, width);

        const struct acpi_table *table = (const struct acpi_table *)address;

        if (memcmp(table->signature, "APIC", 4) == 0 && acpi_sum_ok(table, table->length))
            acpi_read_madt((const struct acpi_madt *)table);
    }
    if (acpi_cpu_count == 0)
        panic("acpi: no MADT with an enabled processor");
}
