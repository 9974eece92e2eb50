/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the PVH entry (32-bit, paging off, EBX = start info) and from INIT/SIPI (real mode) to 64-bit C. */

#define KERNEL_BASE 0xffffffff80000000
#define TRAMPOLINE 0x8000
#define CR4_BITS 0x6a0          /* PAE, PGE, OSFXSR, OSXMMEXCPT */
#define CR0_BITS 0x80010033     /* PG, WP, NE, ET, MP, PE */
#define EFER_BITS 0x901         /* NXE, LME, SCE */

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, 18              /* sizes of name and description, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad pvh_start

    .section .boot, "ax"
    .code32
    .globl pvh_start
    .type pvh_start, @function
pvh_start:
    cli
    cld
    mov %ebx, %edi
    lgdt boot_gdtr
    mov $CR4_BITS, %eax
    mov %eax, %cr4
    mov $boot_pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    mov $EFER_BITS, %eax
    xor %edx, %edx
    wrmsr
    mov $CR0_BITS, %eax
    mov %eax, %cr0
    ljmp $0x10, $1f
    .code64
1:  mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    movabs $boot_stack_top, %rsp
    xor %ebp, %ebp
    mov %edi, %edi
    movabs $kernel_main, %rax
    call *%rax
    ud2
    .size pvh_start, . - pvh_start

    .section .boot.data, "aw"
    .balign 8
boot_gdt:
    .quad 0, 0
    .quad 0x00af9b000000ffff    /* 0x10: 64-bit code */
    .quad 0x00cf93000000ffff    /* 0x18: data */
    .quad 0x00cf9b000000ffff    /* 0x20: 32-bit code, for the trampoline */
boot_gdtr:
    .word . - boot_gdt - 1
    .quad boot_gdt
    .balign 4096
    .globl boot_pml4
boot_pml4:                      /* the first 1 GiB, at 0 and at KERNEL_BASE; left behind once the final tables stand */
    .quad boot_pdpt_low + 3
    .fill 510, 8, 0
    .quad boot_pdpt_high + 3
boot_pdpt_low:
    .quad boot_pd + 3
    .fill 511, 8, 0
boot_pdpt_high:
    .fill 510, 8, 0
    .quad boot_pd + 3
    .quad 0
boot_pd:
    .set page, 0
    .rept 512
    .quad page + 0x83
    .set page, page + 0x200000
    .endr

    /* Copied to TRAMPOLINE; the started processor begins at its first byte in real mode. */
    .section .rodata
    .globl ap_trampoline, ap_trampoline_end
    .balign 16
    .code16
ap_trampoline:
    cli
    cld
    xor %ax, %ax
    mov %ax, %ds
    lgdtl TRAMPOLINE + (ap_gdtr - ap_trampoline)
    mov $1, %eax
    mov %eax, %cr0
    ljmpl $0x20, $(TRAMPOLINE + (ap_start32 - ap_trampoline))
    .code32
ap_start32:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $CR4_BITS, %eax
    mov %eax, %cr4
    mov $boot_pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    mov $EFER_BITS, %eax
    xor %edx, %edx
    wrmsr
    mov $CR0_BITS, %eax
    mov %eax, %cr0
    ljmp $0x10, $(TRAMPOLINE + (ap_start64 - ap_trampoline))
    .code64
ap_start64:
    mov $ap_enter, %rax
    jmp *%rax
    .balign 8
ap_gdtr:
    .word 39
    .long boot_gdt
ap_trampoline_end:

    .text
    .type ap_enter, @function
ap_enter:                       /* the stack is in the linear map: first the tables that have it */
    mov $kernel_pml4 - KERNEL_BASE, %eax
    mov %rax, %cr3
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov ap_boot_stack, %rsp
    xor %ebp, %ebp
    call smp_ap_main
    ud2
    .size ap_enter, . - ap_enter

    .section .bss
    .balign 4096
    .skip 16384
boot_stack_top:
