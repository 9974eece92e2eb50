/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A page's rights are mprotect's. There is one mapping, so nobody may run while contents are put into it: where there are several vCPUs, the keeper
 * stops the others between two of their events.
 */
#include "../runtime/dsm_parts.h"
#include "cpu.h"
#include "runtime.h"

#define MAP_PRIVATE_FIXED_ANONYMOUS_NORESERVE 0x4032
#define PROT_NONE 0
#define PROT_READ 1
#define FUTEX_WAKE_PRIVATE 129

struct dsm_install {
    struct dsm_install *next;
    struct dsm_page *page;
    enum dsm_rights rights;
    uint8_t content[DSM_PAGE];
};

static uint8_t dsm_taken[DSM_PAGE];         /* from the page whose rights are being taken */
static struct event dsm_stops[LIBOS_MAX_CPUS];
static struct dsm_install *dsm_installs;        /* while they stop */
static uint32_t dsm_running;            /* other vCPUs that have not stopped */
static uint32_t dsm_round;              /* they stand still until it changes */

static void dsm_protect(const struct dsm_page *page, long rights)
{
    if (rt_syscall(RT_NR_MPROTECT, (long)dsm_page_address(page), DSM_PAGE, rights, 0, 0, 0) != 0)
        panic("dsm: the system does not change a page's rights");
}

static long dsm_prot(enum dsm_rights rights)
{
    return rights == DSM_RIGHT_WRITE ? RT_PROT_READ_WRITE : rights == DSM_RIGHT_READ ? PROT_READ : PROT_NONE;
}

void dsm_rights_begin(struct dsm_page *leaf, uint64_t address)
{
    long got = rt_syscall(RT_NR_MMAP, (long)address, DSM_LEAF * DSM_PAGE, PROT_NONE, MAP_PRIVATE_FIXED_ANONYMOUS_NORESERVE, -1, 0);

    (void)leaf;
    if (got != (long)address)
        panic("dsm: there is no room for its addresses");
}

static void dsm_put(struct dsm_page *page, const void *content, enum dsm_rights rights)
{
    dsm_protect(page, RT_PROT_READ_WRITE);
    memcpy((void *)dsm_page_address(page), content, DSM_PAGE);
    if (rights != DSM_RIGHT_WRITE)
        dsm_protect(page, dsm_prot(rights));
}

/* All others stand still. */
static void dsm_put_all(void *arg)
{
    struct dsm_install *installs = dsm_installs;

    (void)arg;
    dsm_installs = NULL;
    for (struct dsm_install *each = installs; each; each = each->next)
        dsm_put(each->page, each->content, each->rights);
    __atomic_add_fetch(&dsm_round, 1, __ATOMIC_RELEASE);
    rt_syscall(RT_NR_FUTEX, (long)&dsm_round, FUTEX_WAKE_PRIVATE, LIBOS_MAX_CPUS, 0, 0, 0);
    while (installs) {
        struct dsm_install *next = installs->next;

        dsm_granted(installs->page, installs->rights);
        mem_free(installs);
        installs = next;
    }
}

static void dsm_stand_still(void *arg)
{
    uint32_t round = __atomic_load_n(&dsm_round, __ATOMIC_ACQUIRE);

    (void)arg;
    if (__atomic_sub_fetch(&dsm_running, 1, __ATOMIC_ACQ_REL) == 0)
        event_post(DSM_KEEPER, &dsm_stops[DSM_KEEPER], dsm_put_all, NULL);
    while (__atomic_load_n(&dsm_round, __ATOMIC_ACQUIRE) == round)
        rt_futex_wait(&dsm_round, round);
}

bool dsm_rights_grant(struct dsm_page *page, const void *content, enum dsm_rights rights)
{
    if (content == NULL || cpu_count() == 1) {
        if (content)
            dsm_put(page, content, rights);
        else
            dsm_protect(page, dsm_prot(rights));
        dsm_granted(page, rights);
        return true;
    }

    struct dsm_install *install = mem_alloc(sizeof(*install));
    bool stopping = dsm_installs != NULL;

    if (install == NULL)
        return false;
    install->page = page;
    install->rights = rights;
    memcpy(install->content, content, DSM_PAGE);
    install->next = dsm_installs;
    dsm_installs = install;
    if (stopping)
        return true;
    dsm_running = cpu_count() - 1;
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        if (cpu != DSM_KEEPER)
            event_post(cpu, &dsm_stops[cpu], dsm_stand_still, NULL);
    return true;
}

/* Contents are taken when nobody may write any more, and sent when nobody may read. The kernel sees to other threads. */
void dsm_rights_revoke(struct dsm_page *page, enum dsm_rights keeps)
{
    if (page->owed == DSM_OWES_RETURN && keeps == DSM_RIGHT_NONE) {
        dsm_protect(page, PROT_READ);
        memcpy(dsm_taken, (const void *)dsm_page_address(page), DSM_PAGE);
    }
    dsm_protect(page, dsm_prot(keeps));
    dsm_revoked(page);
}

const void *dsm_rights_content(struct dsm_page *page)
{
    return page->rights == DSM_RIGHT_NONE ? dsm_taken : (const void *)dsm_page_address(page);
}
