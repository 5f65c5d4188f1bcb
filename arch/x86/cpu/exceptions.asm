; Entry points of the hypervisor's own exceptions and interrupts.
        default rel
        bits 64
        section .text

        global  exception_stubs:function hidden
        global  load_segments:function hidden
        global  msr_set_bits:function hidden
        global  msr_set_bits_try:data hidden
        global  msr_set_bits_fail:data hidden
        extern  exception_handle

STUB_SIZE equ 16                ; EXCEPTION_STUB_SIZE

; Vectors for which the processor itself pushes an error code (SDM Vol. 3A, table 6-1).
%define HAS_ERROR_CODE(v) ((v) = 8 || ((v) >= 10 && (v) <= 14) || (v) = 17 || (v) = 21)

        align   16
exception_stubs:
%assign vector 0
%rep 256
        align   STUB_SIZE
%if !HAS_ERROR_CODE(vector)
        push    0               ; the same frame for all: a zero in the error code's place
%endif
        push    vector
        jmp     save_registers
%assign vector vector + 1
%endrep
        align   STUB_SIZE

; Saves the registers as struct exception_frame, calls the handler, and goes back.
save_registers:
        push    rax
        push    rcx
        push    rdx
        push    rbx
        push    rbp
        push    rsi
        push    rdi
        push    r8
        push    r9
        push    r10
        push    r11
        push    r12
        push    r13
        push    r14
        push    r15
        cld                     ; the ABI wants the direction flag clear
        mov     rdi, rsp        ; the frame
        call    exception_handle ; the processor aligned RSP to 16: 22 pushes keep it so
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     r11
        pop     r10
        pop     r9
        pop     r8
        pop     rdi
        pop     rsi
        pop     rbp
        pop     rbx
        pop     rdx
        pop     rcx
        pop     rax
        add     rsp, 16         ; vector and error code
        iretq

; void load_segments(uint64_t code, uint64_t data)
load_segments:
        mov     ds, si
        mov     es, si
        mov     ss, si
        xor     eax, eax
        mov     fs, ax          ; not used by us
        mov     gs, ax          ; its base is set by MSR afterwards
        pop     rax             ; return address
        push    rdi             ; new CS
        push    rax
        retfq                   ; the only way to load CS in 64-bit mode without a far pointer

; bool msr_set_bits(uint32_t msr, uint64_t bits): no stack in between, so that a #GP can be sent to
; the end by its RIP alone.
msr_set_bits:
        mov     ecx, edi
msr_set_bits_try:
        rdmsr
        shl     rdx, 32
        or      rax, rdx
        or      rax, rsi
        mov     rdx, rax
        shr     rdx, 32
        wrmsr
        mov     eax, 1
        ret
msr_set_bits_fail:
        xor     eax, eax
        ret

        section .note.GNU-stack noalloc noexec nowrite progbits
