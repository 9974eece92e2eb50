/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions of libunicorn that the core calls, by name. Python resolves them (cs_needed_symbol) and hands the addresses to
 * cs_open; nothing is linked. Capstone's are decode.c's own business (decode_symbols). */
#ifndef CS_API_H
#define CS_API_H
#include <unicorn/unicorn.h>

/* the public API, then internal symbols that libunicorn.so.2 exports but no header declares (proven in layout.c) */
#define UNICORN_FUNCTIONS(X) \
    X(unsigned, uc_version, (unsigned *, unsigned *)) \
    X(uc_err, uc_open, (uc_arch, uc_mode, uc_engine **)) \
    X(uc_err, uc_close, (uc_engine *)) \
    X(const char *, uc_strerror, (uc_err)) \
    X(uc_err, uc_emu_start, (uc_engine *, uint64_t, uint64_t, uint64_t, size_t)) \
    X(uc_err, uc_emu_stop, (uc_engine *)) \
    X(uc_err, uc_reg_read, (uc_engine *, int, void *)) \
    X(uc_err, uc_reg_write, (uc_engine *, int, const void *)) \
    X(uc_err, uc_mem_map_ptr, (uc_engine *, uint64_t, uint64_t, uint32_t, void *)) \
    X(uc_err, uc_mmio_map, (uc_engine *, uint64_t, uint64_t, uc_cb_mmio_read_t, void *, uc_cb_mmio_write_t, void *)) \
    X(uc_err, uc_mem_unmap, (uc_engine *, uint64_t, uint64_t)) \
    X(uc_err, uc_hook_add, (uc_engine *, uc_hook *, int, void *, void *, uint64_t, uint64_t, ...)) \
    X(uc_err, uc_hook_del, (uc_engine *, uc_hook)) \
    X(uc_err, uc_ctl, (uc_engine *, uc_control_type, ...)) \
    X(uc_err, uc_context_alloc, (uc_engine *, uc_context **)) \
    X(uc_err, uc_context_save, (uc_engine *, uc_context *)) \
    X(uc_err, uc_context_restore, (uc_engine *, uc_context *)) \
    X(uc_err, uc_context_free, (uc_context *)) \
    X(void, x86_cpu_do_interrupt_x86_64, (void *)) \
    X(void, do_interrupt_x86_hardirq_x86_64, (void *, int, int)) \
    X(uint64_t, helper_read_eflags_x86_64, (void *)) \
    X(void, helper_write_eflags_x86_64, (void *, uint64_t, uint32_t)) \
    X(void, helper_check_iob_x86_64, (void *, uint32_t)) \
    X(void, helper_check_iow_x86_64, (void *, uint32_t)) \
    X(void, helper_check_iol_x86_64, (void *, uint32_t)) \
    X(void, cpu_x86_update_cr0_x86_64, (void *, uint32_t)) \
    X(void, cpu_x86_update_cr4_x86_64, (void *, uint32_t)) \
    X(bool, cpu_restore_state_x86_64, (void *, uintptr_t, bool)) \
    X(void, cpu_loop_exit_restore_x86_64, (void *, uintptr_t)) \
    X(void, tb_invalidate_phys_range_x86_64, (void *, uint64_t, uint64_t)) \
    X(void *, find_memory_mapping_x86_64, (uc_engine *, uint64_t)) \
    X(uint64_t, helper_ret_ldub_mmu_x86_64, (void *, uint64_t, uint32_t, uintptr_t)) \
    X(uint64_t, helper_le_lduw_mmu_x86_64, (void *, uint64_t, uint32_t, uintptr_t)) \
    X(uint64_t, helper_le_ldul_mmu_x86_64, (void *, uint64_t, uint32_t, uintptr_t)) \
    X(uint64_t, helper_le_ldq_mmu_x86_64, (void *, uint64_t, uint32_t, uintptr_t)) \
    X(void, helper_ret_stb_mmu_x86_64, (void *, uint64_t, uint64_t, uint32_t, uintptr_t)) \
    X(void, helper_le_stw_mmu_x86_64, (void *, uint64_t, uint64_t, uint32_t, uintptr_t)) \
    X(void, helper_le_stl_mmu_x86_64, (void *, uint64_t, uint64_t, uint32_t, uintptr_t)) \
    X(void, helper_le_stq_mmu_x86_64, (void *, uint64_t, uint64_t, uint32_t, uintptr_t)) \
    X(void, tlb_flush_x86_64, (void *)) \
    X(void, tlb_flush_by_mmuidx_x86_64, (void *, uint16_t)) \
    X(void, tlb_init_x86_64, (void *)) \
    X(bool, x86_cpu_tlb_fill_x86_64, (void *, uint64_t, int, int, int, bool, uintptr_t)) \
    X(void, cpu_x86_update_cr3_x86_64, (void *, uint64_t)) \
    X(void, tlb_reset_dirty_x86_64, (void *, uintptr_t, uint64_t)) \
    X(void *, cpu_x86_init_x86_64, (uc_engine *))

struct unicorn_api {
#define X(ret, name, args) ret (*name) args;
    UNICORN_FUNCTIONS(X)
#undef X
};
extern struct unicorn_api unicorn;

#endif
