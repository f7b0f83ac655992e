/* SPDX-License-Identifier: MIT */
/*
 * Which system call a context has returned from, as the code before it tells.
 *
 * The kernel puts the result where the number was, and keeps the number from signal handlers. But
 * where it came from is in most cases still there (straight.c):
 *
 * - the code in front of the instruction puts it into %rax: glibc to 2.40, and inlined calls
 *   everywhere; glibc from 2.41 on where the thread can not be cancelled, by
 *   __internal_syscall_cancel, which has it on the stack;
 * - __syscall_cancel_arch, by which glibc makes every call that is a cancellation point from 2.41
 *   on, and __syscall_cp_asm, by which musl always has, in the same instructions: assembly, the
 *   same in every build. The number comes in %rsi, which is overwritten. But the caller, compiled,
 *   has it on the stack (__internal_syscall_cancel: the last of seven arguments) or in a register
 *   that functions keep (__syscall_cp_c looks at it afterwards): its code before the call tells;
 * - the preload's syscall(2) (shim/syscall.S) and rm_syscall leave it in the red zone.
 *
 * glibc's own syscall(2) gets it in a register that it overwrites: not known.
 */
#include "emul/call-number.h"

#include <string.h>

#include "emul/copy.h"
#include "emul/straight.h"

#if defined(__x86_64__)

#define MOST	64   /* bytes before */
#define MORE	16   /* bytes behind, of zeros: for instructions that do not end */
#define PAGE	4096 /* at least */
#define LARGEST 4095 /* of numbers that are taken for one */

struct text {
	uint8_t bytes[MOST + MORE];
	uint32_t len; /* so many are there, up to MOST */
};

/*
 * The bytes before an address that code is at. What is on a page before that of the last one may
 * not be readable.
 */
static void read_text(uintptr_t end, struct text *text)
{
	const size_t sure = (end - 1) % PAGE + 1;

	memset(text, 0, sizeof(*text));
	text->len = MOST;
	if (sure < MOST && rm_read_own(end - MOST, text->bytes, MOST))
		return;
	text->len = sure < MOST ? (uint32_t)sure : MOST;
	memcpy(text->bytes + MOST - text->len, (const void *)(end - text->len), text->len);
}

static bool ends_in(const struct text *text, const void *bytes, size_t len)
{
	return !memcmp(text->bytes + MOST - len, bytes, len);
}

/* What has been put into a register before the last bytes of the text. */
static int number_in(const struct text *text, size_t last, unsigned int reg, const greg_t *regs,
	uint32_t intact, uintptr_t sp)
{
	static const int index[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI,
		REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
	struct rm_straight code = {
		text->bytes + MOST - text->len, text->bytes + MOST - last, {0}, intact, sp};
	int64_t value;

	for (int i = 0; i < 16; i++)
		code.values[i] = (uint64_t)regs[index[i]];
	return rm_straight_value(&code, reg, &value) && value >= 0 && value <= LARGEST ? (int)value
										       : -1;
}

/*
 * In __syscall_cancel_arch, with the return address on top of the stack: what its caller has loaded
 * into %rsi for it.
 */
static int number_of_caller(const greg_t *regs)
{
	enum { CALL_LEN = 5, FARTHEST = 64 };
	const uint32_t kept = 1U << RM_BX | 1U << RM_BP | 0xfU << RM_R12;
	const uintptr_t pc = (uintptr_t)regs[REG_RIP], sp = (uintptr_t)regs[REG_RSP];
	struct text text;
	uintptr_t back;
	int32_t far;

	memcpy(&back, (const void *)sp, sizeof(back));
	read_text(back, &text);
	memcpy(&far, text.bytes + MOST - sizeof(far), sizeof(far));
	/* it was called at its first instruction, which is not far in front */
	if (text.bytes[MOST - CALL_LEN] != 0xe8 ||
		pc - (back + (uintptr_t)(intptr_t)far) > FARTHEST)
		return -1;
	return number_in(&text, CALL_LEN, RM_SI, regs, kept, sp + sizeof(back));
}

int rm_call_number(const greg_t *regs)
{
	static const uint8_t cancel_arch[] = {0x49, 0x89, 0xfb, /* mov %rdi, %r11 */
		0x48, 0x89, 0xf0,				/* mov %rsi, %rax */
		0x48, 0x89, 0xd7,				/* mov %rdx, %rdi */
		0x48, 0x89, 0xce,				/* mov %rcx, %rsi */
		0x4c, 0x89, 0xc2,				/* mov %r8, %rdx */
		0x4d, 0x89, 0xca,				/* mov %r9, %r10 */
		0x4c, 0x8b, 0x44, 0x24, 0x08,			/* mov 8(%rsp), %r8 */
		0x4c, 0x8b, 0x4c, 0x24, 0x10,			/* mov 16(%rsp), %r9 */
		0x4c, 0x89, 0x5c, 0x24, 0x08,			/* mov %r11, 8(%rsp) */
		0x0f, 0x05};					/* syscall */
	/* mov %rax, -8(%rsp); syscall */
	static const uint8_t save_number[] = {0x48, 0x89, 0x44, 0x24, 0xf8, 0x0f, 0x05};
	static const uint8_t syscall_insn[] = {0x0f, 0x05};
	const uint32_t changed = 1U << RM_AX | 1U << RM_CX | 1U << RM_R11;
	const uintptr_t sp = (uintptr_t)regs[REG_RSP];
	struct text text;
	int64_t saved;

	/* SYSCALL leaves the return address in %rcx: the context is on its way out of one */
	if (regs[REG_RCX] != regs[REG_RIP])
		return -1;
	read_text((uintptr_t)regs[REG_RIP], &text);
	if (ends_in(&text, cancel_arch, sizeof(cancel_arch)))
		return number_of_caller(regs);
	if (ends_in(&text, save_number, sizeof(save_number))) {
		memcpy(&saved, (const char *)sp - sizeof(saved), sizeof(saved));
		return saved >= 0 && saved <= LARGEST ? (int)saved : -1;
	}
	if (!ends_in(&text, syscall_insn, sizeof(syscall_insn)))
		return -1;
	return number_in(&text, sizeof(syscall_insn), RM_AX, regs, 0xffffU & ~changed, sp);
}

#endif
