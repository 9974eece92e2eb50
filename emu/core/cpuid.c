/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What CPUID says: a Skylake server that has what is modelled and nothing else (Intel SDM vol. 2, CPUID).
 *
 * Hidden: RDRAND, RDSEED (host randomness), AVX, XSAVE, x2APIC, PCID, TSC deadline, MONITOR, SYSENTER, machine check, MTRR, ERMS (one block an
 * iteration makes REP MOVSB the slow way here), any hypervisor leaf. The crystal runs at LAPIC_CRYSTAL_HZ, which also drives the
 * LAPIC timer, and leaf 0x15 gives the TSC as a ratio of it, exactly.
 */
#include "machine.h"
#include <string.h>

enum { FAMILY_MODEL = 0x50654, MAX_LEAF = 0x16 };
static const char brand[48] = "Intel(R) Xeon(R) Processor (Skylake)";

static uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }
static uint32_t bits_for(uint32_t n) { uint32_t b = 0; while (1u << b < n) b++; return b; }

static void cache_leaf(uint32_t r[4], uint32_t type, uint32_t level, uint32_t ways, uint32_t kib, uint32_t sharing, uint32_t ncpus)
{
    uint32_t sets = kib * 1024 / 64 / ways;
    r[0] = type | level << 5 | 1 << 8 | (sharing - 1) << 14 | ((1u << bits_for(ncpus)) - 1) << 26;
    r[1] = 63 | (ways - 1) << 22;
    r[2] = sets - 1;
    r[3] = 0;
}

bool cpuid_answer(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    const struct machine *m = v->machine;
    uint32_t n = (uint32_t)m->ncpus, mhz = (uint32_t)(m->hz / 1000000);
    uint64_t g = gcd(m->hz, LAPIC_CRYSTAL_HZ);
    memset(r, 0, 4 * sizeof *r);
    switch (leaf) {
    case 0: r[0] = MAX_LEAF; memcpy(&r[1], "Genu", 4); memcpy(&r[3], "ineI", 4); memcpy(&r[2], "ntel", 4); break;
    case 1:
        r[0] = FAMILY_MODEL;
        r[1] = v->apic_id << 24 | (1u << bits_for(n)) << 16 | 8 << 8;
        /* SSE3 PCLMUL SSSE3 CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES; OSXSAVE stays clear */
        r[2] = 1u << 0 | 1u << 1 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23 | 1u << 25;
        /* FPU DE PSE TSC MSR PAE CX8 APIC PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 */
        r[3] = 1u << 0 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 8 | 1u << 9 | 1u << 13 | 1u << 15 | 1u << 16 | 1u << 17 | 1u << 19
            | 1u << 23 | 1u << 24 | 1u << 25 | 1u << 26;
        if (n > 1) r[3] |= 1u << 28;
        break;
    case 2: r[0] = 0x00feff01; break;                 /* see leaf 4 */
    case 4:
        if (subleaf == 0) cache_leaf(r, 1, 1, 8, 32, 1, n);
        if (subleaf == 1) cache_leaf(r, 2, 1, 8, 32, 1, n);
        if (subleaf == 2) cache_leaf(r, 3, 2, 16, 1024, 1, n);
        if (subleaf == 3) cache_leaf(r, 3, 3, 16, 1024 << bits_for(n), 1u << bits_for(n), n);
        break;
    case 7:
        if (subleaf == 0) r[1] = 1u << 0 | 1u << 3 | 1u << 7 | 1u << 8 | 1u << 19 | 1u << 20;   /* FSGSBASE BMI1 SMEP BMI2 ADX SMAP */
        break;
    case 0xb:                                         /* one thread a core, one package */
        r[2] = subleaf & 0xff;
        r[3] = v->apic_id;
        if (subleaf == 0) { r[1] = 1; r[2] |= 1 << 8; }
        if (subleaf == 1) { r[0] = bits_for(n); r[1] = n; r[2] |= 2 << 8; }
        break;
    case 0x15: r[0] = (uint32_t)(LAPIC_CRYSTAL_HZ / g); r[1] = (uint32_t)(m->hz / g); r[2] = LAPIC_CRYSTAL_HZ; break;
    case 0x16: r[0] = r[1] = mhz; r[2] = 100; break;
    case 0x80000000: r[0] = 0x80000008; break;
    case 0x80000001:
        r[2] = 1u << 0 | 1u << 5 | 1u << 8;           /* LAHF LZCNT PREFETCHW */
        r[3] = 1u << 11 | 1u << 20 | 1u << 26 | 1u << 27 | 1u << 29;   /* SYSCALL NX 1 GiB pages RDTSCP long mode */
        break;
    case 0x80000002: case 0x80000003: case 0x80000004: memcpy(r, brand + 16 * (leaf - 0x80000002), 16); break;
    case 0x80000006: r[2] = 1024u << 16 | 8u << 12 | 64; break;
    case 0x80000007: r[3] = 1u << 8; break;           /* invariant TSC */
    case 0x80000008: r[0] = 46 | 48 << 8; break;
    default: return false;
    }
    return true;
}
