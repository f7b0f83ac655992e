/* SPDX-License-Identifier: MIT */
/*
 * Waits whose number or timeout stands in memory (emul/restart.c, emul/call-number.c): system calls
 * made by the preload's syscall(2), which leaves the number in the red zone; by glibc from 2.41 on
 * and musl, whose callers have it; by code as compilers write it, and by code that only looks like
 * it; io_uring_enter, whose timeout is in a struct that only some flags tell of; and what would
 * never be done.
 *
 * x86-64 only. Needs nothing else.
 */
#include "tests/unit/unit.h"

#if defined(__x86_64__)

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "emul/restart.h"

enum { IO_URING_ENTER = 426 };

/* mov %rax, -8(%rsp); syscall; the engine looks at 64 bytes before where that returns to */
static const uint8_t code[96] = {
	[80] = 0x48, [81] = 0x89, [82] = 0x44, [83] = 0x24, [84] = 0xf8, [85] = 0x0f, [86] = 0x05};

/* Whether a call of the number with the flags and the fifth argument is begun again. */
static bool goes_on(int64_t nr, long flags, const void *argument)
{
	static int64_t stack[16];
	const greg_t after = (greg_t)(code + 87);
	greg_t *regs;
	ucontext_t uc;

	memset(&uc, 0, sizeof(uc));
	regs = uc.uc_mcontext.gregs;
	stack[7] = nr;
	regs[REG_RSP] = (greg_t)&stack[8];
	regs[REG_RIP] = regs[REG_RCX] = after;
	regs[REG_RAX] = -EINTR;
	regs[REG_R10] = flags;
	regs[REG_R8] = (greg_t)argument;
	(void)rm_restart_wait(&uc);
	if (regs[REG_RIP] == after)
		return false;
	assert_int_equal(regs[REG_RIP], after - 2);
	assert_int_equal(regs[REG_RAX], nr);
	return true;
}

static void a_number_in_the_red_zone(void **state)
{
	(void)state;
	assert_true(goes_on(SYS_pause, 0, NULL));
	assert_true(goes_on(SYS_io_getevents, 1, NULL));
	assert_true(goes_on(SYS_semtimedop, 0, NULL));
	assert_false(goes_on(SYS_semtimedop, 0x1000, NULL));
	assert_false(goes_on(SYS_read, 0, NULL));
	assert_false(goes_on(SYS_pause + (1LL << 32), 0, NULL));
	assert_false(goes_on(-1, 0, NULL));
}

#define AT_SP(disp)	0x48, 0x8b, 0x74, 0x24, disp /* mov disp(%rsp), %rsi */
#define AT_BP(disp)	0x48, 0x8b, 0x75, disp	     /* mov disp(%rbp), %rsi */
#define MOV_RDX_R8	0x49, 0x89, 0xd0
#define MOV_RDI_RDX	0x48, 0x89, 0xfa
#define MOV_R11_RDI	0x4c, 0x89, 0xdf
#define MOV_RBX_RSI	0x48, 0x89, 0xde
#define MOV_R12_RBP	0x4c, 0x89, 0xe5
#define MOV_RBP_RSI	0x48, 0x89, 0xee
#define MOV_R12_RSI	0x4c, 0x89, 0xe6
#define MOV_R13_R12	0x4d, 0x89, 0xec
#define MOV_R8_RSI	0x4c, 0x89, 0xc6
#define LEA_RDI		0x48, 0x8d, 0x7b, 0x3c			 /* lea 60(%rbx), %rdi */
#define LEA_FAR_RDI	0x48, 0x8d, 0xbb, 0x08, 0x03, 0x00, 0x00 /* lea 776(%rbx), %rdi */
#define LEA_RSI		0x48, 0x8d, 0x73, 0x3c
#define PUSH_R9		0x41, 0x51
#define PUSH_RDX	0x52
#define PUSH_R8		0x41, 0x50
#define MAX_CALLER_CODE 32

/*
 * Whether a pause is known that __syscall_cancel_arch has made, called from behind that code; the
 * number is on the stack, 7 words above the return address, and 3 words above %rbp, or it is in
 * %rbp and %r12. far: the call is of something that far away.
 */
static bool pause_is_known(
	const uint8_t *code_of_caller, size_t len, bool in_register, long far, int64_t nr)
{
	/* cmp, jne, then all of glibc's own */
	static const uint8_t arch[] = {0x8b, 0x07, 0xf6, 0x07, 0x08, 0x0f, 0x85, 0, 0, 0, 0, 0x49,
		0x89, 0xfb, 0x48, 0x89, 0xf0, 0x48, 0x89, 0xd7, 0x48, 0x89, 0xce, 0x4c, 0x89, 0xc2,
		0x4d, 0x89, 0xca, 0x4c, 0x8b, 0x44, 0x24, 0x08, 0x4c, 0x8b, 0x4c, 0x24, 0x10, 0x4c,
		0x89, 0x5c, 0x24, 0x08, 0x0f, 0x05, 0xc3};
	static uint8_t text[64 + 2 * 256];
	uint8_t *callee = text + 64, *at = text + 64 + 256 - len - 5;
	int64_t stack[16] = {0}, frame[8] = {0};
	greg_t *regs, after;
	ucontext_t uc;
	int32_t rel;

	assert_true(len <= MAX_CALLER_CODE);
	memset(text, 0x90, sizeof(text));
	memcpy(callee, arch, sizeof(arch));
	memcpy(at, code_of_caller, len);
	at += len;
	*at = 0xe8;
	rel = (int32_t)(callee - far - (at + 5));
	memcpy(at + 1, &rel, sizeof(rel));
	stack[0] = (int64_t)(at + 5);
	if (!in_register)
		stack[1 + 6] = frame[3] = nr;

	memset(&uc, 0, sizeof(uc));
	regs = uc.uc_mcontext.gregs;
	after = (greg_t)(callee + sizeof(arch) - 1);
	regs[REG_RSP] = (greg_t)stack;
	regs[REG_RBP] = in_register ? (greg_t)nr : (greg_t)frame;
	regs[REG_R12] = in_register ? (greg_t)nr : -1;
	regs[REG_RIP] = regs[REG_RCX] = after;
	regs[REG_RAX] = -EINTR;
	(void)rm_restart_wait(&uc);
	return regs[REG_RIP] == after - 2 && regs[REG_RAX] == SYS_pause;
}

#define CODE(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static void a_number_on_the_stack_of_the_caller(void **state)
{
	const uint64_t high = 1ULL << 32;
#define KNOWN(...) pause_is_known(CODE(__VA_ARGS__), false, 0, SYS_pause)

	(void)state;
	/* 2.41 and 2.43 as Debian has them; frame pointers; nothing in between */
	assert_true(KNOWN(AT_SP(48), MOV_RDX_R8, MOV_RDI_RDX, MOV_R11_RDI));
	assert_true(KNOWN(PUSH_R8, AT_SP(48), MOV_RDX_R8, MOV_R11_RDI));
	assert_true(KNOWN(AT_BP(24), MOV_RDX_R8, MOV_RDI_RDX, MOV_R11_RDI));
	assert_true(KNOWN(AT_SP(48)));
	assert_true(KNOWN(AT_SP(32), PUSH_R8, MOV_RDX_R8, PUSH_RDX, LEA_FAR_RDI));

	assert_false(KNOWN(AT_SP(40), MOV_R11_RDI)); /* there is no number */
	assert_false(KNOWN(AT_SP(48), PUSH_R8, MOV_R11_RDI));
	assert_false(KNOWN(AT_SP(48), MOV_RBX_RSI));
	assert_false(KNOWN(AT_SP(48), LEA_RSI));
	assert_true(KNOWN(AT_SP(48), 0x90));	 /* nop */
	assert_false(KNOWN(AT_SP(48), 0xeb, 0)); /* jmp */
	assert_false(KNOWN(AT_BP(24), MOV_R12_RBP));
	assert_false(KNOWN(MOV_RDI_RDX, MOV_R11_RDI));
	assert_false(pause_is_known(CODE(AT_SP(48), MOV_R11_RDI), false, 0, SYS_read));
	assert_false(pause_is_known(CODE(AT_SP(48)), false, 0, (int64_t)(SYS_pause | high)));
	/* not called by it */
	assert_false(pause_is_known(CODE(AT_SP(48), MOV_R11_RDI), false, 100, SYS_pause));
	assert_false(pause_is_known(CODE(AT_SP(48), MOV_R11_RDI), false, -100, SYS_pause));
#undef KNOWN
}

static void a_number_in_a_register_of_the_caller(void **state)
{
#define KNOWN(...) pause_is_known(CODE(__VA_ARGS__), true, 0, SYS_pause)
	(void)state;
	/* musl, as Debian has it, and as its musl-tools do */
	assert_true(KNOWN(MOV_RBP_RSI, PUSH_R9, MOV_RDX_R8, MOV_RDI_RDX, LEA_RDI));
	assert_true(KNOWN(LEA_RDI, MOV_R12_RSI, PUSH_R9, MOV_RDX_R8));

	assert_false(KNOWN(MOV_R8_RSI, PUSH_R9, LEA_RDI)); /* has another value by now */
	assert_false(KNOWN(MOV_R12_RSI, MOV_R13_R12, LEA_RDI));
	assert_false(KNOWN(MOV_R12_RSI, MOV_RBX_RSI, LEA_RDI));
#undef KNOWN
}

/*
 * Whether a pause is known that was made by these instructions and syscall. Its number is in %rbx
 * and %r9, and at 16(%rsp) and 16(%rbp).
 */
static bool inline_pause_is_known(const uint8_t *insns, size_t len)
{
	uint8_t text[128];
	int64_t stack[4] = {0, 0, SYS_pause, 0};
	greg_t *regs;
	ucontext_t uc;

	memset(text, 0x90, sizeof(text));
	text[100 - len - 1] = 0xc3;
	memcpy(text + 100 - len, insns, len);
	memcpy(text + 100, "\x0f\x05", 2);
	memset(&uc, 0, sizeof(uc));
	regs = uc.uc_mcontext.gregs;
	regs[REG_RBX] = regs[REG_R9] = SYS_pause;
	regs[REG_RSP] = regs[REG_RBP] = (greg_t)stack;
	regs[REG_RIP] = regs[REG_RCX] = (greg_t)(text + 102);
	regs[REG_RAX] = -EINTR;
	(void)rm_restart_wait(&uc);
	return regs[REG_RIP] == (greg_t)(text + 100) && regs[REG_RAX] == SYS_pause;
}

#define INLINE_KNOWN(...) inline_pause_is_known(CODE(__VA_ARGS__))
#define CONSTANT(...)	  __VA_ARGS__, SYS_pause, 0, 0, 0
#define TO_EAX		  0xb8
#define TO_RAX		  0x48, 0xc7, 0xc0
#define TO_ECX		  0xb9
#define TO_R9D		  0x41, 0xb9
#define ECX_TO_EAX	  0x89, 0xc8
#define R9D_TO_EAX	  0x44, 0x89, 0xc8
#define EBX_TO_EAX	  0x89, 0xd8
#define EAX_TO_EBX	  0x89, 0xc3
#define PREPARE                                                                                    \
	0x48, 0x8b, 0x74, 0x24, 0x18,	     /* mov 24(%rsp), %rsi */                              \
		0x8b, 0x7c, 0x24, 0x14,	     /* mov 20(%rsp), %edi */                              \
		0x48, 0x8d, 0x3d, 1, 0, 0, 0 /* lea 1(%rip), %rdi */
#define ARITHMETIC                                                                                 \
	0x45, 0x31, 0xc0,			/* xor %r8d, %r8d */                               \
		0x40, 0x80, 0xf6, 0x81,		/* xor $0x81, %sil */                              \
		0x81, 0xe6, 0x80, 0, 0, 0,	/* and $0x80, %esi */                              \
		0x48, 0x83, 0xc2, 1, 0xf7, 0xd7 /* add $1, %rdx; not %edi */

static void a_number_in_straight_code(void **state)
{
	(void)state;
	assert_true(INLINE_KNOWN(CONSTANT(TO_EAX)));
	assert_true(INLINE_KNOWN(CONSTANT(TO_RAX)));
	assert_true(INLINE_KNOWN(CONSTANT(TO_EAX), PREPARE)); /* pselect of 2.31 */
	assert_true(INLINE_KNOWN(CONSTANT(TO_EAX), ARITHMETIC));
	assert_true(INLINE_KNOWN(CONSTANT(TO_ECX), ARITHMETIC, ECX_TO_EAX)); /* sem_wait of 2.31 */
	assert_true(INLINE_KNOWN(CONSTANT(TO_R9D), R9D_TO_EAX, PREPARE));
	assert_true(INLINE_KNOWN(EBX_TO_EAX, PREPARE));	       /* it is still there */
	assert_true(INLINE_KNOWN(0x48, 0x8b, 0x44, 0x24, 16)); /* mov 16(%rsp), %rax */
	assert_true(INLINE_KNOWN(0x48, 0x8b, 0x45, 16));       /* mov 16(%rbp), %rax */
	assert_true(INLINE_KNOWN(0x48, 0x8b, 0x84, 0x24, 16, 0, 0, 0));
	assert_true(INLINE_KNOWN(0x48, 0x8b, 0x44, 0x24, 8, 0x50)); /* push: 16 it is now */

	assert_false(INLINE_KNOWN(CONSTANT(TO_R9D)));
	assert_false(INLINE_KNOWN(CONSTANT(TO_ECX)));
	assert_false(INLINE_KNOWN(CONSTANT(TO_EAX), 0x31, 0xc0));	   /* xor %eax, %eax */
	assert_false(INLINE_KNOWN(CONSTANT(TO_EAX), 0x83, 0xc0, 1));	   /* add $1, %eax */
	assert_false(INLINE_KNOWN(CONSTANT(TO_EAX), 0x80, 0xf4, 1));	   /* xor $1, %ah */
	assert_false(INLINE_KNOWN(CONSTANT(TO_EAX), 0x8b, 0x03));	   /* mov (%rbx), %eax */
	assert_false(INLINE_KNOWN(CONSTANT(TO_EAX), 0xe8, 0, 0, 0, 0));	   /* call */
	assert_false(INLINE_KNOWN(CONSTANT(TO_EAX), 0x75, 0));		   /* jne */
	assert_false(INLINE_KNOWN(CONSTANT(TO_EAX), 0x48, 0x83, 0xec, 8)); /* sub $8, %rsp */
	assert_false(INLINE_KNOWN(ECX_TO_EAX));				   /* SYSCALL's */
	assert_false(INLINE_KNOWN(EBX_TO_EAX, 0x89, 0xcb));		   /* mov %ecx, %ebx */
	assert_false(INLINE_KNOWN(EAX_TO_EBX));
	assert_false(INLINE_KNOWN(0x48, 0x8b, 0x44, 0x24, 8));
	assert_false(INLINE_KNOWN(0x48, 0x8b, 0x7c, 0x24, 16));	      /* %rdi */
	assert_false(INLINE_KNOWN(0x48, 0x8b, 0x46, 16));	      /* 16(%rsi) */
	assert_false(INLINE_KNOWN(0x48, 0x8b, 0x44, 0x2c, 16));	      /* 16(%rsp,%rbp) */
	assert_false(INLINE_KNOWN(0x64, 0x48, 0x8b, 0x44, 0x24, 16)); /* %fs:16(%rsp) */
	assert_false(INLINE_KNOWN(0x49, 0x8b, 0x45, 16));	      /* 16(%r13) */
}

static void timeouts_of_io_uring_enter(void **state)
{
	struct {
		uint64_t sigmask;
		uint32_t sigmask_size, min_wait_us;
		uint64_t timeout;
	} argument = {0, 8, 0, 0};
	const long wait = 1, more = 8, absolute = 32, in_region = 64;

	(void)state;
	assert_true(goes_on(IO_URING_ENTER, wait, NULL));
	assert_true(goes_on(IO_URING_ENTER, wait, &argument)); /* it is a signal mask */
	assert_true(goes_on(IO_URING_ENTER, wait | more, &argument));
	argument.timeout = 0x1000;
	assert_false(goes_on(IO_URING_ENTER, wait | more, &argument));
	assert_true(goes_on(IO_URING_ENTER, wait | more | absolute, &argument));
	assert_true(goes_on(IO_URING_ENTER, wait, &argument));
	argument.timeout = 0;
	argument.min_wait_us = 5;
	assert_false(goes_on(IO_URING_ENTER, wait | more, &argument));
	argument.min_wait_us = 0;
	assert_false(goes_on(IO_URING_ENTER, wait | more | in_region, &argument));
	assert_false(goes_on(IO_URING_ENTER, wait | more, (void *)0x10));
}

/*
 * fallocate of tmpfs gives back what it has got when a signal comes: begun anew each time it would
 * never be done if stops come faster. So it is done in the handler after some of them.
 */
static void what_starves_is_done_in_the_end(void **state)
{
	enum { LEN = 1 << 20, MOST = 10 };
	const greg_t after = (greg_t)(code + 87);
	const int fd = (int)syscall(SYS_memfd_create, "starves", 0);
	static int64_t stack[16];
	struct stat st;
	ucontext_t uc;
	greg_t *regs = uc.uc_mcontext.gregs;
	int again = 0;

	(void)state;
	assert_true(fd >= 0);
	stack[7] = SYS_fallocate;
	do {
		memset(&uc, 0, sizeof(uc));
		regs[REG_RSP] = (greg_t)&stack[8];
		regs[REG_RIP] = regs[REG_RCX] = after;
		regs[REG_RAX] = -EINTR;
		regs[REG_RDI] = fd;
		regs[REG_R10] = LEN;
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, 0); /* until then it is not called here */
		assert_false(rm_restart_wait(&uc));
	} while (regs[REG_RIP] == after - 2 && again++ < MOST);
	assert_in_range(again, 1, MOST);
	assert_int_equal(regs[REG_RIP], after);
	assert_int_equal(regs[REG_RAX], 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, LEN);
	assert_int_equal(st.st_blocks, LEN / 512);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_starves_is_done_in_the_end),
		cmocka_unit_test(a_number_in_the_red_zone),
		cmocka_unit_test(a_number_on_the_stack_of_the_caller),
		cmocka_unit_test(a_number_in_a_register_of_the_caller),
		cmocka_unit_test(a_number_in_straight_code),
		cmocka_unit_test(timeouts_of_io_uring_enter),
	};

	return unit_run(tests);
}

#else

int main(void)
{
	return unit_skip_all("waits are restarted on x86-64 only");
}

#endif
