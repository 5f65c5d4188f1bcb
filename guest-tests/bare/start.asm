; The bare guest's first instructions, for each way to boot it, and what only assembly can do.
; All three ways end in bare_main(magic, information) in 64-bit mode.
global start_of_image, ap_trampoline, ap_real_mode_fault, ap_trampoline_end, interrupt_stubs
extern bare_main, ap_main, machine_interrupt

MULTIBOOT_MAGIC  equ 0x1badb002
MULTIBOOT_FLAGS  equ 3 ; modules on pages, memory information
FLAT             equ 0x74616c66 ; "flat", for bare_main
PVH              equ 0x20687670 ; "pvh "
PHYS32_ENTRY     equ 18
CODE_64          equ 0x08
DATA             equ 0x10
CODE_32          equ 0x18
STACK_SIZE       equ 0x4000
VECTOR_GP        equ 13
TRAMPOLINE       equ 0x8000 ; where machine.c copies it to
MSR_EFER         equ 0xc0000080
CR4_PAE          equ 0x20
EFER_LME         equ 0x100
CR0_PG_WP_PE     equ 0x80010001

section .start progbits alloc exec
bits 64
; Flat: entered here, at the image's first byte, in 64-bit mode with RDI -> hvm_start_info.
start_of_image:
    mov rsp, stack_top
    lgdt [gdt_pointer]
    mov rax, page_tables
    mov cr3, rax
    mov rsi, rdi
    mov edi, FLAT
    push CODE_64
    mov rax, start_64
    push rax
    retfq

align 4
    dd MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

section .note note alloc
    dd 4, 4, PHYS32_ENTRY
    db "Xen", 0
    dd start_pvh

section .text
bits 32
start_pvh:
    mov eax, PVH
global start_32
start_32:
    mov esp, stack_top
    mov edi, eax
    mov esi, ebx
    call enter_long_mode
    jmp CODE_64:start_64

; Paging on; the next far jump makes it 64-bit mode. Changes EAX, ECX and EDX.
enter_long_mode:
    lgdt [gdt_pointer]
    mov eax, page_tables
    mov cr3, eax
    mov eax, cr4
    or eax, CR4_PAE
    mov cr4, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LME
    wrmsr
    mov eax, cr0
    or eax, CR0_PG_WP_PE
    mov cr0, eax
    ret

bits 64
start_64:
    mov ax, DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov edi, edi
    mov esi, esi
    call bare_main
.end:
    cli
    hlt
    jmp .end

; Where a start-up interrupt lets another CPU begin, copied to TRAMPOLINE.
bits 16
ap_trampoline:
    cli
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, TRAMPOLINE
    ; An MSR that nobody has: the handler, which expects no error code, finds its frame in order.
    mov word [VECTOR_GP * 4], TRAMPOLINE + .handler - ap_trampoline
    mov word [VECTOR_GP * 4 + 2], ax
    mov ecx, 0x12345678
.faults:
    rdmsr
    jmp .go_on
.handler:
    cmp sp, TRAMPOLINE - 6
    jne .go_on
    cmp dword [TRAMPOLINE - 6], TRAMPOLINE / 16 << 16 | .faults - ap_trampoline ; CS and IP
    jne .go_on
    mov byte [TRAMPOLINE + ap_real_mode_fault - ap_trampoline], 1
.go_on:
    o32 lgdt [TRAMPOLINE + .gdt_pointer - ap_trampoline]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp dword CODE_32:ap_32
.gdt_pointer:
    dw gdt_end - gdt - 1
    dd gdt
ap_real_mode_fault:
    db 0
ap_trampoline_end:

bits 32
ap_32:
    mov ax, DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, ap_stack_top
    call enter_long_mode
    jmp CODE_64:ap_64

bits 64
ap_64:
    call ap_main
.end:
    cli
    hlt
    jmp .end

; One stub a vector, all of which end in machine_interrupt(struct frame *).
%assign vector 0
%rep 256
stub_ %+ vector:
%if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
    push 0 ; in place of an error code
%endif
    push vector
    jmp interrupt_common
%assign vector vector + 1
%endrep

interrupt_common:
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    cld
    call machine_interrupt
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq

section .data
align 8
gdt:
    dq 0
    dq 0x00af9b000000ffff ; CODE_64
    dq 0x00cf93000000ffff ; DATA
    dq 0x00cf9b000000ffff ; CODE_32
gdt_end:
gdt_pointer:
    dw gdt_end - gdt - 1
    dq gdt

interrupt_stubs:
%assign vector 0
%rep 256
    dq stub_ %+ vector
%assign vector vector + 1
%endrep

; The lowest 4 GiB mapped to themselves, in pages of 2 MiB.
align 4096
page_tables:
    dq directory_pointers + 3
    times 511 dq 0
directory_pointers:
    dq directories + 0x0003, directories + 0x1003, directories + 0x2003, directories + 0x3003
    times 508 dq 0
directories:
%assign page 0
%rep 2048
    dq page * 0x200000 + 0x83
%assign page page + 1
%endrep

section .bss
alignb 16
    resb STACK_SIZE
stack_top:
    resb STACK_SIZE
ap_stack_top:
