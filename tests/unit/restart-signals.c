/* SPDX-License-Identifier: MIT */
/*
 * Which pending signals are a reason to let a wait end with EINTR (emul/restart.c): those that a
 * handler of the program waits for, and none that the program ignores. The stop handler blocks
 * every signal, and the kernel keeps a blocked one even if it would have thrown it away.
 *
 * x86-64 only. Needs nothing else.
 */
#include "tests/unit/unit.h"

#if defined(__x86_64__)

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "emul/restart.h"

/* mov $SYS_pause, %eax; syscall */
static const uint8_t code[32] = {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
	0x90, 0x90, 0x90, 0x90, 0x90, 0xb8, SYS_pause, 0, 0, 0, 0x0f, 0x05};

static bool goes_on(void)
{
	const greg_t after = (greg_t)(code + 23);
	ucontext_t uc;

	memset(&uc, 0, sizeof(uc));
	uc.uc_mcontext.gregs[REG_RIP] = uc.uc_mcontext.gregs[REG_RCX] = after;
	uc.uc_mcontext.gregs[REG_RAX] = -EINTR;
	(void)rm_restart_wait(&uc);
	return uc.uc_mcontext.gregs[REG_RIP] == after - 2;
}

static void on_signal(int sig)
{
	(void)sig;
}

/* As in the stop handler: the signal is blocked when it comes. */
static bool goes_on_with(int sig, void (*action)(int))
{
	void (*before)(int) = signal(sig, action);
	sigset_t one, old;
	bool on;

	sigemptyset(&one);
	sigaddset(&one, sig);
	assert_int_equal(sigprocmask(SIG_BLOCK, &one, &old), 0);
	raise(sig);
	on = goes_on();
	signal(sig, SIG_IGN); /* forgets it */
	signal(sig, before);
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
	return on;
}

static void what_is_ignored_ends_no_wait(void **state)
{
	static const int by_default[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};

	(void)state;
	assert_true(goes_on());
	for (size_t i = 0; i < sizeof(by_default) / sizeof(by_default[0]); i++) {
		assert_true(goes_on_with(by_default[i], SIG_DFL));
		assert_true(goes_on_with(by_default[i], SIG_IGN));
		assert_false(goes_on_with(by_default[i], on_signal));
	}
	assert_true(goes_on_with(SIGUSR1, SIG_IGN));
	assert_true(goes_on_with(SIGRTMAX, SIG_IGN));
	assert_false(goes_on_with(SIGUSR1, on_signal));
	assert_false(goes_on_with(SIGRTMAX, on_signal));
	assert_false(goes_on_with(SIGTERM, SIG_DFL));
	assert_true(goes_on());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_ignored_ends_no_wait),
	};

	return unit_run(tests);
}

#else

int main(void)
{
	return unit_skip_all("waits are restarted on x86-64 only");
}

#endif
