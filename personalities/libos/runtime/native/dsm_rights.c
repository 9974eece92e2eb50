/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A page's rights are its page-table entry. vCPUs may go on as it was until they have forgotten it, which each does in an event of its own. */
#include "../dsm_parts.h"
#include "cpu.h"
#include "window_native.h"

struct dsm_shootdown {
    struct event events[LIBOS_MAX_CPUS];
    struct dsm_page *page;
    unsigned left;
};

void dsm_rights_begin(struct dsm_page *leaf, uint64_t address)
{
    (void)leaf;
    (void)address;
}

bool dsm_rights_grant(struct dsm_page *page, const void *content, enum dsm_rights rights)
{
    if (page->frame == NULL)
        page->frame = window_frame();
    if (page->frame == NULL)
        return false;
    if (content)
        memcpy(page->frame, content, DSM_PAGE);
    if (!window_map(dsm_page_address(page), page->frame, rights == DSM_RIGHT_WRITE ? WINDOW_WRITE : WINDOW_READ))
        return false;
    dsm_granted(page, rights);
    return true;
}

const void *dsm_rights_content(struct dsm_page *page)
{
    return page->frame;
}

static void dsm_shot(void *arg)
{
    struct dsm_shootdown *shootdown = arg;

    dsm_revoked(shootdown->page);
    mem_free(shootdown);
}

/* INVLPG serialises: what this vCPU has stored is in memory before it says so. */
static void dsm_shoot(void *arg)
{
    struct dsm_shootdown *shootdown = arg;

    window_forget(dsm_page_address(shootdown->page));
    if (__atomic_sub_fetch(&shootdown->left, 1, __ATOMIC_ACQ_REL) == 0)
        event_post(DSM_KEEPER, &shootdown->events[DSM_KEEPER], dsm_shot, shootdown);
}

void dsm_rights_revoke(struct dsm_page *page, enum dsm_rights keeps)
{
    window_map(dsm_page_address(page), page->frame, keeps == DSM_RIGHT_READ ? WINDOW_READ : WINDOW_NONE);
    if (cpu_count() == 1) {
        dsm_revoked(page);
        return;
    }

    struct dsm_shootdown *shootdown = mem_alloc(sizeof(*shootdown));

    if (shootdown == NULL)
        panic("dsm: no memory to take a page from other vCPUs");
    shootdown->page = page;
    shootdown->left = cpu_count() - 1;
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        if (cpu != DSM_KEEPER)
            event_post(cpu, &shootdown->events[cpu], dsm_shoot, shootdown);
}
