/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the engine makes leaves from rm_syscall, on a page of its own.
 *
 * Reasons: a seccomp filter can exempt our own calls by instruction pointer (semantics.md 8, rule 9; E4), nothing
 * of libc is entered (no errno, no cancellation, no interposed name), and the return value is the kernel's.
 * rm_sigreturn is the restorer of our signal handler. Neither touches memory but the stack's seventh argument
 * and the red zone.
 */
	.section .text.rm_stub, "ax", %progbits
	.p2align 12
#if defined(__x86_64__)
	.globl rm_syscall
	.hidden rm_syscall
	.type rm_syscall, @function
rm_syscall:
	.cfi_startproc
	endbr64
	movq	%rdi, %rax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %r10
	movq	%r9, %r8
	movq	8(%rsp), %r9
	movq	%rax, -8(%rsp)		/* call-number.c */
	syscall
	ret
	.cfi_endproc
	.size rm_syscall, . - rm_syscall

	/* rm_clone(function, stack_top, flags, argument): the child runs function(argument) and exits with its result */
	.globl rm_clone
	.hidden rm_clone
	.type rm_clone, @function
rm_clone:
	endbr64
	andq	$-16, %rsi
	subq	$16, %rsi
	movq	%rdi, (%rsi)
	movq	%rcx, 8(%rsi)
	movq	%rdx, %rdi
	xorl	%edx, %edx
	xorl	%r10d, %r10d
	xorl	%r8d, %r8d
	movl	$56, %eax
	syscall
	testq	%rax, %rax
	jnz	1f
	xorl	%ebp, %ebp
	popq	%rax
	popq	%rdi
	call	*%rax
	movl	%eax, %edi
	movl	$60, %eax
	syscall
1:	ret
	.size rm_clone, . - rm_clone

	/*
	 * rm_leave_handler(context, fpstate, xfeatures, pc, nr): the interrupted context as sigreturn would make it, but
	 * at pc and with nr in %rax, and without the system call, which would forget the restart block. %rcx and %r11
	 * are dead there (SYSCALL has clobbered them). For a stop signal that comes as soon as the mask lets it (restart.c):
	 * between rm_leave_begin and rm_leave_load %rbx is the context, from there to rm_leave_jump %r11 points into it;
	 * at rm_leave_jump all is in place but the program counter. The stack pointer is put back to where the handler began, so
	 * that handlers that interrupt each other's leaving do not pile up. Offsets: struct ucontext, checked in restart.c.
	 */
	.globl rm_leave_handler, rm_leave_begin, rm_leave_load, rm_leave_jump
	.hidden rm_leave_handler, rm_leave_begin, rm_leave_load, rm_leave_jump
	.type rm_leave_handler, @function
rm_leave_handler:
	movq	%rdi, %rbx
	movq	%rsi, %r12
	movq	%rdx, %r13
	movq	%rcx, %r14
	movq	%r8, %r15
	leaq	-8(%rdi), %rsp		/* the frame is pretcode, then the context */
rm_leave_begin:
	movl	$2, %edi		/* SIG_SETMASK */
	leaq	296(%rbx), %rsi		/* uc_sigmask */
	xorl	%edx, %edx
	movl	$8, %r10d
	movl	$14, %eax		/* rt_sigprocmask */
	syscall
	movq	%r13, %rdx
	testq	%rdx, %rdx
	jz	2f
	shrq	$32, %rdx
	movl	%r13d, %eax
	xrstor64 (%r12)
	jmp	3f
2:	fxrstor64 (%r12)
3:	movq	%r14, %rcx
	movq	%r15, %rax
	leaq	40(%rbx), %r11		/* uc_mcontext.gregs */
	pushq	136(%r11)		/* REG_EFL */
	popfq
rm_leave_load:
	movq	0(%r11), %r8
	movq	8(%r11), %r9
	movq	16(%r11), %r10
	movq	32(%r11), %r12
	movq	40(%r11), %r13
	movq	48(%r11), %r14
	movq	56(%r11), %r15
	movq	64(%r11), %rdi
	movq	72(%r11), %rsi
	movq	80(%r11), %rbp
	movq	88(%r11), %rbx
	movq	96(%r11), %rdx
	movq	120(%r11), %rsp
rm_leave_jump:
	jmpq	*%rcx
	.size rm_leave_handler, . - rm_leave_handler

	.globl rm_sigreturn
	.hidden rm_sigreturn
	.type rm_sigreturn, @function
	nop /* unwinders look one byte before the return address */
rm_sigreturn:
	movq	$15, %rax
	syscall
	.size rm_sigreturn, . - rm_sigreturn
#elif defined(__aarch64__)
	.globl rm_syscall
	.hidden rm_syscall
	.type rm_syscall, %function
rm_syscall:
	.cfi_startproc
	mov	x9, x1			/* call-code.c */
	mov	x8, x0
	mov	x0, x1
	mov	x1, x2
	mov	x2, x3
	mov	x3, x4
	mov	x4, x5
	mov	x5, x6
	svc	#0
	ret
	.cfi_endproc
	.size rm_syscall, . - rm_syscall

	.globl rm_clone
	.hidden rm_clone
	.type rm_clone, %function
rm_clone:
	and	x1, x1, #-16
	stp	x0, x3, [x1, #-16]!
	mov	x0, x2
	mov	x2, #0
	mov	x3, #0
	mov	x4, #0
	mov	x8, #220
	svc	#0
	cbnz	x0, 1f
	mov	x29, #0
	ldp	x1, x0, [sp], #16
	blr	x1
	mov	x8, #93
	svc	#0
1:	ret
	.size rm_clone, . - rm_clone

	/*
	 * rm_go_on(open, closed): restart_syscall with the signal mask "open", and "closed" before and after it: its
	 * result. Where it is interrupted by the next stop's handler rm_go_on_again(context) begins it anew, with what
	 * x19, x21 and the stack pointer were in the interrupted context; all else that functions keep is on the stack
	 * (leave.c).
	 */
	.globl rm_go_on, rm_go_on_again, rm_go_on_begin, rm_go_on_made
	.hidden rm_go_on, rm_go_on_again, rm_go_on_begin, rm_go_on_made
	.type rm_go_on, %function
	.type rm_go_on_again, %function
rm_go_on_again:
	ldr	x1, [x0, #256]		/* mcontext_t: sp */
	ldr	x19, [x0, #160]		/* x19 */
	ldr	x21, [x0, #176]		/* x21 */
	mov	sp, x1
	b	rm_go_on_begin
	.size rm_go_on_again, . - rm_go_on_again
rm_go_on:
	stp	x29, x30, [sp, #-160]!
	mov	x29, sp
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	mov	x19, x0
	mov	x21, x1
rm_go_on_begin:
	mov	x0, #2			/* SIG_SETMASK */
	mov	x1, x19
	mov	x2, #0
	mov	x3, #8
	mov	x8, #135		/* rt_sigprocmask */
	svc	#0
	mov	x8, #128		/* restart_syscall */
	svc	#0
rm_go_on_made:
	mov	x20, x0
	mov	x0, #2
	mov	x1, x21
	mov	x2, #0
	mov	x3, #8
	mov	x8, #135
	svc	#0
	mov	x0, x20
	ldp	d14, d15, [sp, #144]
	ldp	d12, d13, [sp, #128]
	ldp	d10, d11, [sp, #112]
	ldp	d8, d9, [sp, #96]
	ldp	x27, x28, [sp, #80]
	ldp	x25, x26, [sp, #64]
	ldp	x23, x24, [sp, #48]
	ldp	x21, x22, [sp, #32]
	ldp	x19, x20, [sp, #16]
	ldp	x29, x30, [sp], #160
	ret
	.size rm_go_on, . - rm_go_on

	.globl rm_sigreturn
	.hidden rm_sigreturn
	.type rm_sigreturn, %function
	nop
rm_sigreturn:
	mov	x8, #139
	svc	#0
	.size rm_sigreturn, . - rm_sigreturn
#else
#error "libremap: x86-64 and arm64 only"
#endif
	.section .note.GNU-stack, "", %progbits
