/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands between programs and a processor that speculates, chosen as Linux chooses it (Documentation/admin-guide/hw-vuln, and x86/pti):
 *
 *   page-table isolation   Intel processors that do not say they are free of Meltdown: while a program runs, CR3 holds tables without the
 *                          kernel's data (pgtable.c), and each ring crossing writes CR3 (entry.S).
 *   Spectre v1, v2         indirect calls by way of a return that is never predicted (retpoline.S), the return stack refilled when threads change,
 *                          fences behind SWAPGS, registers cleared at entry, indices from programs masked.
 *   SMAP                   not against speculation, but of the same kind: the kernel reaches user memory in the copy routines alone.
 *
 * mitigations=off leaves out the first two; pti=0 and pti=1 decide on the first whatever the processor says.
 */
#include "alternative.h"
#include "defs.h"

#define FEATURE_SMEP 7
#define FEATURE_SMAP 20
#define FEATURE_ARCH_CAPABILITIES 29

struct mitigations mitigations;

static bool mitigation_meltdown(void)
{
    u32 r[4];
    cpuid(0, 0, r);
    if (r[1] != 0x756e6547) /* "Genu": Intel's */
        return false;
    cpuid(7, 0, r);
    return !(r[3] >> FEATURE_ARCH_CAPABILITIES & 1) || !(rdmsr(MSR_ARCH_CAPABILITIES) & 1);
}

void mitigation_select(void)
{
    u32 r[4];
    char v[8] = "";
    cmdline_get("mitigations", v, sizeof v);
    bool off = !strcmp(v, "off");
    cpuid(7, 0, r);
    mitigations.smap = r[1] >> FEATURE_SMAP & 1 && !knobs.ring0; /* with ring=0 programs' pages are the kernel's to run in */
    mitigations.spectre = !off;
    mitigations.pti = cmdline_get_u64("pti", !off && mitigation_meltdown()) && !knobs.ring0;
    const bool has[NR_ALTERNATIVES] = { [ALT_PTI] = mitigations.pti, [ALT_SMAP] = mitigations.smap, [ALT_SPECTRE] = mitigations.spectre };
    alternative_apply(has);
}

void mitigation_init_cpu(void)
{
    u32 r[4];
    cpuid(7, 0, r);
    if (r[1] >> FEATURE_SMEP & 1 && !knobs.ring0)
        write_cr4(read_cr4() | 1ul << 20);
    if (mitigations.smap)
        write_cr4(read_cr4() | 1ul << 21);
}
