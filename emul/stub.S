/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the engine makes leaves from rm_syscall, on a page of its own.
 *
 * Reasons: a seccomp filter can exempt our own calls by instruction pointer (semantics.md 8, rule 9; E4), nothing
 * of libc is entered (no errno, no cancellation, no interposed name), and the return value is the kernel's.
 * rm_sigreturn is the restorer of our signal handler. Neither touches memory but the stack's seventh argument.
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
	syscall
	ret
	.cfi_endproc
	.size rm_syscall, . - rm_syscall

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
