/* SPDX-License-Identifier: MIT */
/*
 * syscall(2), taken over from libc for the sake of syscall(SYS_mremap, ...), and of the numbers that watch.c has to see.
 *
 * In assembly because it is variadic with up to six arguments of which we know nothing, and because it must be as
 * transparent as libc's own: no frame, so that a system call that returns twice or on another stack (vfork, clone) meets the
 * same state as after libc's function. (What is left in the red zone is nobody's once the call has returned.) Everything
 * but mremap and the numbers of watch.c is the bare system call here; those, too, where nothing has to be seen: the kernel
 * has it all, and no memory has been converted. A frame around the instruction costs 10 ns by itself, for the return
 * from it is mispredicted after a system call.
 */
	.text
	.globl syscall
#if defined(__x86_64__)
	.type syscall, @function
	.p2align 4
syscall:
	.cfi_startproc
	endbr64
	cmpq	$25, %rdi		/* __NR_mremap */
	je	1f
	cmpq	$512, %rdi		/* RM_SHIM_NUMBERS */
	jae	3f
	leaq	rm_shim_watched(%rip), %rax
	cmpb	$0, (%rax,%rdi)
	jne	4f
3:
	movq	%rdi, %rax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %r10
	movq	%r9, %r8
	movq	8(%rsp), %r9
	movq	%rax, -8(%rsp)		/* for restart.c: which wait a stop has cut short */
	syscall
	cmpq	$-4095, %rax
	jae	2f
	ret
1:	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %rcx
	movq	%r9, %r8
	jmp	rm_shim_syscall_mremap
2:	movq	%rax, %rdi
	jmp	rm_shim_errno
4:	cmpb	$1, (%rax,%rdi)		/* 2: in any case */
	jne	rm_shim_syscall		/* nr and six arguments are where it wants them */
	cmpl	$1, rm_shim_state(%rip)	/* RM_SHIM_PASS */
	jne	rm_shim_syscall
	cmpl	$0, rm_converted_objects(%rip)
	jne	rm_shim_syscall
	jmp	3b
	.cfi_endproc
	.size syscall, . - syscall
#elif defined(__aarch64__)
	.type syscall, %function
	.p2align 4
syscall:
	.cfi_startproc
	cmp	x0, #216		/* __NR_mremap */
	b.eq	1f
	cmp	x0, #512		/* RM_SHIM_NUMBERS */
	b.hs	3f
	adrp	x8, rm_shim_watched
	add	x8, x8, :lo12:rm_shim_watched
	ldrb	w8, [x8, x0]
	cbnz	w8, 4f
3:
	mov	x9, x1			/* emul/call-code.c */
	mov	x8, x0
	mov	x0, x1
	mov	x1, x2
	mov	x2, x3
	mov	x3, x4
	mov	x4, x5
	mov	x5, x6
	svc	#0
	cmn	x0, #4095
	b.cs	2f
	ret
1:	mov	x0, x1
	mov	x1, x2
	mov	x2, x3
	mov	x3, x4
	mov	x4, x5
	b	rm_shim_syscall_mremap
2:	b	rm_shim_errno
4:	cmp	w8, #1			/* 2: in any case */
	b.ne	rm_shim_syscall		/* nr and six arguments are where it wants them */
	adrp	x8, rm_shim_state
	ldr	w8, [x8, :lo12:rm_shim_state]
	cmp	w8, #1			/* RM_SHIM_PASS */
	b.ne	rm_shim_syscall
	adrp	x8, rm_converted_objects
	ldr	w8, [x8, :lo12:rm_converted_objects]
	cbnz	w8, rm_shim_syscall
	b	3b
	.cfi_endproc
	.size syscall, . - syscall
#endif
	.section .note.GNU-stack, "", %progbits
