/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry of the first vCPU (PVH: 32-bit protected mode, paging off, EBX = hvm_start_info) and of the others (real mode,
 * from the start-up IPI). Both end in 64-bit C on the one set of page tables.
 */
#define CODE64 0x08
#define DATA   0x10
#define CODE32 0x18

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, 18                  /* name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad boot_start32

    .text
    .code32
    .globl boot_start32
    .type boot_start32, @function
boot_start32:
    cli
    cld
    movl $boot_stack_top, %esp
    movl %ebx, %ebp

    /* The first 4 GiB as 2 MiB pages; mmu_init() sets the final rights before anything else runs. */
    movl $boot_pd, %edi
    movl $0x83, %eax                /* present, writable, large */
    movl $2048, %ecx
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    decl %ecx
    jnz 1b
    movl $boot_pdpt, %edi
    movl $boot_pd + 3, %eax
    movl $4, %ecx
2:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $4096, %eax
    addl $8, %edi
    decl %ecx
    jnz 2b
    movl $boot_pdpt + 3, boot_pml4

    movl $boot_start64, %esi
    jmp boot_long_mode
    .size boot_start32, . - boot_start32

/* ESI: where to go on in 64-bit mode. Keeps EBP. */
    .type boot_long_mode, @function
boot_long_mode:
    movl %cr4, %eax
    orl $0x620, %eax                /* PAE, OSFXSR, OSXMMEXCPT */
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx          /* EFER: LME, NXE */
    rdmsr
    orl $0x900, %eax
    wrmsr
    movl $0x80010033, %eax          /* PG, WP, NE, ET, MP, PE */
    movl %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $CODE64, $boot_enter64
    .size boot_long_mode, . - boot_long_mode

    .code64
    .type boot_enter64, @function
boot_enter64:
    movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movl %esi, %esi
    jmp *%rsi
    .size boot_enter64, . - boot_enter64

    .type boot_start64, @function
boot_start64:
    movl $boot_stack_top, %esp
    movl %ebp, %edi
    xorl %ebp, %ebp
    call boot_main
    ud2
    .size boot_start64, . - boot_start64

    .globl boot_switch_stack
    .type boot_switch_stack, @function
boot_switch_stack:
    movq %rdi, %rsp
    xorl %ebp, %ebp
    call *%rsi
    ud2
    .size boot_switch_stack, . - boot_switch_stack

    .type boot_ap64, @function
boot_ap64:
    movq smp_ap_stack, %rsp
    movq smp_ap_cpu, %rdi
    xorl %ebp, %ebp
    call smp_ap_main
    ud2
    .size boot_ap64, . - boot_ap64

    .code32
    .type boot_ap32, @function
boot_ap32:
    movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $boot_ap64, %esi
    jmp boot_long_mode
    .size boot_ap32, . - boot_ap32

/* Copied to a page below 1 MiB. CS = page >> 4, IP = 0. */
    .code16
    .globl boot_trampoline, boot_trampoline_end
    .type boot_trampoline, @function
boot_trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl boot_trampoline_gdt - boot_trampoline
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $CODE32, $boot_ap32
    .balign 4
boot_trampoline_gdt:
    .word boot_gdt_end - boot_gdt - 1
    .long boot_gdt
boot_trampoline_end:
    .size boot_trampoline, . - boot_trampoline

    .data
    .balign 16
    .globl boot_gdt
boot_gdt:                           /* flat segments, then a TSS (16 bytes) for each vCPU */
    .quad 0
    .quad 0x00AF9B000000FFFF
    .quad 0x00CF93000000FFFF
    .quad 0x00CF9B000000FFFF
    .fill 16 * 2, 8, 0
boot_gdt_end:

    .balign 4
    .word 0
    .globl boot_gdt_pointer
boot_gdt_pointer:
    .word boot_gdt_end - boot_gdt - 1
    .quad boot_gdt

    .bss
    .balign 4096
    .globl boot_pml4, boot_pdpt, boot_pd
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_pd:
    .skip 4 * 4096
boot_stack:
    .skip 16384
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
