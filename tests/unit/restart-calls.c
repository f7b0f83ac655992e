/* SPDX-License-Identifier: MIT */
/*
 * Waits whose number or timeout stands in memory (emul/restart.c): system calls made by the
 * preload's syscall(2), which leaves the number in the red zone; and io_uring_enter, whose timeout
 * is in a struct that only some flags tell of.
 *
 * x86-64 only. Needs nothing else.
 */
#include "tests/unit/unit.h"

#if defined(__x86_64__)

#include <errno.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "emul/restart.h"

enum { IO_URING_ENTER = 426 };

/* mov %rax, -8(%rsp); syscall */
static const uint8_t code[32] = {
	[16] = 0x48, [17] = 0x89, [18] = 0x44, [19] = 0x24, [20] = 0xf8, [21] = 0x0f, [22] = 0x05};

/* Whether a call of the number with the flags and the fifth argument is begun again. */
static bool goes_on(int64_t nr, long flags, const void *argument)
{
	static int64_t stack[16];
	const greg_t after = (greg_t)(code + 23);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_in_the_red_zone),
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
