; Where a CPU that gets a start-up interrupt begins: real mode, at a page below 1 MiB. The code is
; copied there, so it may use no address of its own but through `trampoline_data`, filled in by C.
        default rel
        section .text

        global  trampoline_start:function hidden
        global  trampoline_data:function hidden
        global  trampoline_end:function hidden

MSR_EFER    equ 0xc0000080
EFER_LME    equ 1 << 8
EFER_NXE    equ 1 << 11
CR0_PE      equ 1 << 0
CR0_PG      equ 1 << 31
CR4_PAE     equ 1 << 5
; The copy is the segment CS, so its offsets are those from its start.
%define AT(label) (label - trampoline_start)

        bits 16
        align   16
trampoline_start:
        cli
        mov     ax, cs
        mov     ds, ax
        o32 lgdt [AT(gdt_pointer)]
        mov     eax, CR4_PAE
        mov     cr4, eax
        mov     eax, [AT(page_table)]
        mov     cr3, eax
        mov     ecx, MSR_EFER   ; the no-execute bit is used in our tables
        xor     edx, edx
        mov     eax, EFER_LME | EFER_NXE
        wrmsr
        mov     eax, CR0_PG | CR0_PE
        mov     cr0, eax        ; protection and paging at once: long mode (SDM Vol. 3A, 10.8.5)
        jmp far dword [AT(long_pointer)]

        bits 64
long_mode:
        mov     rax, [stack_slot]
        mov     rsp, [rax]      ; the stack of the CPU that is being started
        mov     rax, [cpu_slot]
        mov     rdi, [rax]      ; and its object
        xor     ebp, ebp
        mov     eax, 0x10       ; flat data; C reloads everything
        mov     ss, eax
        mov     ds, eax
        mov     es, eax
        call    [entry]         ; does not come back

        align   16
gdt:    dq      0
        dq      0x00af9b000000ffff ; 0x08: 64-bit code
        dq      0x00cf93000000ffff ; 0x10: data
gdt_end:

        align   8
trampoline_data:                ; struct trampoline_data in cpus.c
page_table:     dq 0            ; below 4 GiB
entry:          dq 0
stack_slot:     dq 0
cpu_slot:       dq 0
long_pointer:   dd 0            ; linear address of long_mode
                dw 0x08
                dw AT(long_mode)
gdt_pointer:    dw gdt_end - gdt - 1
                dd 0            ; linear address of gdt
                dw AT(gdt)
trampoline_end:

        section .note.GNU-stack noalloc noexec nowrite progbits
