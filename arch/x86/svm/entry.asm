; Into the guest and back (APM Vol. 2, 15.5 and 15.6).
        default rel
        bits 64
        section .text

%include "arch/x86/cpu/return_stack.inc"

        global  svm_enter:function hidden

; The registers that VMRUN leaves alone, at their places (encoding number * 8) in the array; RDI,
; from which they are loaded, comes last.
%macro EACH_GENERAL 1
        %1      rcx, 1 * 8
        %1      rdx, 2 * 8
        %1      rbx, 3 * 8
        %1      rbp, 5 * 8
        %1      rsi, 6 * 8
        %1      r8, 8 * 8
        %1      r9, 9 * 8
        %1      r10, 10 * 8
        %1      r11, 11 * 8
        %1      r12, 12 * 8
        %1      r13, 13 * 8
        %1      r14, 14 * 8
        %1      r15, 15 * 8
        %1      rdi, 7 * 8
%endmacro
%macro LOAD_FROM_RDI 2
        mov     %1, [rdi + %2]
%endmacro
%macro STORE_TO_RAX 2
        mov     [rax + %2], %1
%endmacro

; DEFENCE_ bits of arch/x86/cpu/errata.h: the number of one, the others as masks.
CLEAR_BUFFERS equ 0
FILL_RETURNS  equ 1 << 2
BARRIER       equ 1 << 3
PRED_CMD      equ 0x49          ; an MSR
IBPB          equ 1

; void svm_enter(uint64_t *general, struct vmcb *vmcb, const void *host, unsigned defences)
svm_enter:
        push    rbp             ; what the ABI has us keep
        push    rbx
        push    r12
        push    r13
        push    r14
        push    r15
        push    rcx             ; the defences, the array and the host's VMCB, for the way back
        push    rdi
        push    rdx
        clgi                    ; nothing comes between here and the guest, nor on the way back;
        sti                     ; in the guest it counts that our interrupts are on (15.21.1)
        mov     rax, rsi
        vmload
        bt      ecx, CLEAR_BUFFERS      ; CF: with VERW. MOV leaves it alone
        EACH_GENERAL LOAD_FROM_RDI
        jnc     .run
        verw    [selector]      ; what is in the CPU's buffers, but for the guest's own registers
.run:
        vmrun                   ; comes back with our RSP and RAX, the other registers the guest's
        vmsave
        pop     rax
        vmload                  ; our GS base and task register among it
        pop     rax
        EACH_GENERAL STORE_TO_RAX
        pop     rsi
        test    sil, BARRIER
        jz      .no_barrier
        mov     ecx, PRED_CMD
        mov     eax, IBPB
        xor     edx, edx
        wrmsr
.no_barrier:
        test    sil, FILL_RETURNS
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
        cli
        stgi                    ; an NMI that waited is taken here, an interrupt when we allow it
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
