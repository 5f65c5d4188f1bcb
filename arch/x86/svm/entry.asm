; Into the guest and back (APM Vol. 2, 15.5 and 15.6).
        default rel
        bits 64
        section .text

        global  svm_enter:function hidden

; Offsets in the array of general registers, by encoding number. RAX and RSP are in the VMCB.
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

; void svm_enter(uint64_t *general, struct vmcb *vmcb, const void *host)
svm_enter:
        push    rbp             ; what the ABI has us keep
        push    rbx
        push    r12
        push    r13
        push    r14
        push    r15
        push    rdi             ; the array and the host's VMCB, for the way back
        push    rdx
        clgi                    ; nothing comes between here and the guest, nor on the way back;
        sti                     ; in the guest it counts that our interrupts are on (15.21.1)
        mov     rax, rsi
        vmload
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
        vmrun                   ; comes back with our RSP and RAX, the other registers the guest's
        vmsave
        pop     rax
        vmload                  ; our GS base and task register among it
        pop     rax
        mov     [rax + RCX_AT], rcx
        mov     [rax + RDX_AT], rdx
        mov     [rax + RBX_AT], rbx
        mov     [rax + RBP_AT], rbp
        mov     [rax + RSI_AT], rsi
        mov     [rax + RDI_AT], rdi
        mov     [rax + R8_AT],  r8
        mov     [rax + R9_AT],  r9
        mov     [rax + R10_AT], r10
        mov     [rax + R11_AT], r11
        mov     [rax + R12_AT], r12
        mov     [rax + R13_AT], r13
        mov     [rax + R14_AT], r14
        mov     [rax + R15_AT], r15
        xor     ecx, ecx        ; no value of the guest's stays where speculation could use it
        xor     edx, edx
        xor     esi, esi
        xor     edi, edi
        xor     r8d, r8d
        xor     r9d, r9d
        xor     r10d, r10d
        xor     r11d, r11d
        cli
        stgi                    ; an NMI that waited is taken here, an interrupt when we allow it
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rbx
        pop     rbp
        ret

        section .note.GNU-stack noalloc noexec nowrite progbits
