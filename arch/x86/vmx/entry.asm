; Into the guest and back (SDM Vol. 3C, chapters 26 and 27).
        default rel
        bits 64
        section .text

%include "arch/x86/cpu/return_stack.inc"

        global  vmx_enter:function hidden
        global  vmx_exit_point:function hidden

HOST_RSP equ 0x6c14             ; VMCS_HOST_RSP

; Offsets in the array of general registers, by encoding number; RSP's place is not used.
RAX_AT equ 0 * 8
RCX_AT equ 1 * 8
RDX_AT equ 2 * 8
RBX_AT equ 3 * 8
RBP_AT equ 5 * 8
RSI_AT equ 6 * 8
RDI_AT equ 7 * 8
R8_AT  equ 8 * 8
R9_AT  equ 9 * 8
R10_AT equ 10 * 8
R11_AT equ 11 * 8
R12_AT equ 12 * 8
R13_AT equ 13 * 8
R14_AT equ 14 * 8
R15_AT equ 15 * 8

; DEFENCE_ bits of arch/x86/cpu/errata.h: the number of one, the other as a mask.
CLEAR_BUFFERS equ 0
FILL_RETURNS  equ 1 << 2

; bool vmx_enter(uint64_t *general, bool launched, unsigned defences)
; True after an exit, false if VMLAUNCH or VMRESUME itself failed.
vmx_enter:
        push    rbp             ; what the ABI has us keep
        push    rbx
        push    r12
        push    r13
        push    r14
        push    r15
        push    rdx             ; the defences and the array, for the way back
        push    rdi
        mov     eax, HOST_RSP
        vmwrite rax, rsp        ; the exit comes back to this very stack
        test    sil, sil        ; ZF: first entry. BT and MOV leave it alone
        bt      edx, CLEAR_BUFFERS      ; CF: with VERW
        mov     rax, [rdi + RAX_AT]
        mov     rcx, [rdi + RCX_AT]
        mov     rdx, [rdi + RDX_AT]
        mov     rbx, [rdi + RBX_AT]
        mov     rbp, [rdi + RBP_AT]
        mov     rsi, [rdi + RSI_AT]
        mov     r8,  [rdi + R8_AT]
        mov     r9,  [rdi + R9_AT]
        mov     r10, [rdi + R10_AT]
        mov     r11, [rdi + R11_AT]
        mov     r12, [rdi + R12_AT]
        mov     r13, [rdi + R13_AT]
        mov     r14, [rdi + R14_AT]
        mov     r15, [rdi + R15_AT]
        mov     rdi, [rdi + RDI_AT]
        jc      .clear
        jz      .launch
        vmresume
        jmp     .failed
.launch:
        vmlaunch
        jmp     .failed
.clear:                         ; what is in the CPU's buffers, but for the guest's own registers
        jz      .clear_and_launch
        verw    [selector]
        vmresume
        jmp     .failed
.clear_and_launch:
        verw    [selector]
        vmlaunch
.failed:                        ; only reached if the guest was not entered
        add     rsp, 16
        xor     eax, eax
        jmp     restore

vmx_exit_point:                 ; VMCS_HOST_RIP: every register but RSP is the guest's
        xchg    rdi, [rsp]      ; the array; the guest's RDI takes its place
        mov     [rdi + RAX_AT], rax
        mov     [rdi + RCX_AT], rcx
        mov     [rdi + RDX_AT], rdx
        mov     [rdi + RBX_AT], rbx
        mov     [rdi + RBP_AT], rbp
        mov     [rdi + RSI_AT], rsi
        mov     [rdi + R8_AT],  r8
        mov     [rdi + R9_AT],  r9
        mov     [rdi + R10_AT], r10
        mov     [rdi + R11_AT], r11
        mov     [rdi + R12_AT], r12
        mov     [rdi + R13_AT], r13
        mov     [rdi + R14_AT], r14
        mov     [rdi + R15_AT], r15
        pop     rax
        mov     [rdi + RDI_AT], rax
        pop     rdx
        test    dl, FILL_RETURNS
        jz      .filled
        FILL_RETURN_STACK
.filled:
        lfence                  ; nor does speculation come by another way to the return below
        xor     ecx, ecx        ; no value of the guest's stays where speculation could use it
        xor     edx, edx
        xor     esi, esi
        xor     edi, edi
        xor     r8d, r8d
        xor     r9d, r9d
        xor     r10d, r10d
        xor     r11d, r11d
        mov     eax, 1
restore:
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rbx
        pop     rbp
        ret

        section .rodata
selector: dw 0x10               ; of a data segment that may be written: only the side effect counts

        section .note.GNU-stack noalloc noexec nowrite progbits
