/* SPDX-License-Identifier: MIT */
/*
 * Which pending signals are a reason to let a wait end with EINTR (emul/restart.c): those that a
 * handler of the program waits for, and none that the program ignores. The stop handler blocks
 * every signal, and the kernel keeps a blocked one even if it would have thrown it away. And waits
 * that the kernel itself has turned back after such a signal.
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

/* mov $SYS_pause, %eax; syscall; the engine looks at 64 bytes before where that returns to */
static const uint8_t code[96] = {[80] = 0xb8, [81] = SYS_pause, [85] = 0x0f, [86] = 0x05};

static bool goes_on(void)
{
	const greg_t after = (greg_t)(code + 87);
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

/*
 * After a signal without a handler the kernel sets a sleep back onto its instruction, to execute
 * restart_syscall; ours may come before that. Then it is left for anew, as it is: the return from a
 * handler would make the kernel forget.
 */
static void a_wait_that_is_about_to_go_on(void **state)
{
	const greg_t call = (greg_t)(code + 85);
	static struct _libc_fpstate fpstate;
	ucontext_t uc, before;

	(void)state;
	memset(&uc, 0, sizeof(uc));
	uc.uc_mcontext.fpregs = &fpstate;
	uc.uc_mcontext.gregs[REG_RIP] = call;
	uc.uc_mcontext.gregs[REG_RCX] = call + 2;
	uc.uc_mcontext.gregs[REG_RAX] = SYS_restart_syscall;
	before = uc;
	assert_true(rm_restart_wait(&uc));
	assert_memory_equal(&uc, &before, sizeof(uc));
	/* another call, another place, another instruction */
	uc.uc_mcontext.gregs[REG_RAX] = SYS_pause;
	assert_false(rm_restart_wait(&uc));
	uc.uc_mcontext.gregs[REG_RAX] = SYS_restart_syscall;
	uc.uc_mcontext.gregs[REG_RCX] = call + 3;
	assert_false(rm_restart_wait(&uc));
	uc.uc_mcontext.gregs[REG_RIP] = uc.uc_mcontext.gregs[REG_RCX] = (greg_t)code;
	assert_false(rm_restart_wait(&uc));
}

/*
 * read(2), which the kernel has turned back because our handler has SA_RESTART. What of it is to be
 * ended?
 */
static bool is_ended(greg_t nr, greg_t second, greg_t behind, int sig, int flags)
{
	const greg_t call = (greg_t)(code + 85);
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
	struct sigaction before;
	sigset_t one, old;
	ucontext_t uc;
	bool ended;

	sigemptyset(&one);
	sigaddset(&one, sig);
	assert_int_equal(sigprocmask(SIG_BLOCK, &one, &old), 0);
	assert_int_equal(sigaction(sig, &action, &before), 0);
	raise(sig);
	memset(&uc, 0, sizeof(uc));
	uc.uc_mcontext.gregs[REG_RIP] = call;
	uc.uc_mcontext.gregs[REG_RCX] = call + behind;
	uc.uc_mcontext.gregs[REG_RAX] = nr;
	uc.uc_mcontext.gregs[REG_RSI] = second;
	assert_false(rm_restart_wait(&uc));
	ended = uc.uc_mcontext.gregs[REG_RIP] == call + 2;
	assert_int_equal(uc.uc_mcontext.gregs[REG_RAX], ended ? -EINTR : nr);
	signal(sig, SIG_IGN); /* forgets it */
	assert_int_equal(sigaction(sig, &before, NULL), 0);
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
	return ended;
}

static void handlers_without_restart_end_calls(void **state)
{
	enum { SETLKW = 7, SETLK = 6, LOCK_PI = 6, PRIVATE = 128 };

	(void)state;
	assert_true(is_ended(SYS_read, 0, 2, SIGUSR1, 0));
	assert_true(is_ended(SYS_read, 0, 2, SIGSEGV, 0));
	assert_true(is_ended(SYS_wait4, 0, 2, SIGRTMAX, 0));
	assert_true(is_ended(SYS_fcntl, SETLKW, 2, SIGCHLD, 0));
	assert_true(is_ended(SYS_futex, PRIVATE, 2, SIGUSR1, 0));
	assert_false(is_ended(SYS_read, 0, 2, SIGUSR1, SA_RESTART));
	assert_false(is_ended(SYS_clone, 0, 2, SIGUSR1, 0)); /* never says EINTR */
	assert_false(is_ended(SYS_futex, PRIVATE | LOCK_PI, 2, SIGUSR1, 0));
	assert_false(is_ended(SYS_fcntl, SETLK, 2, SIGUSR1, 0));
	assert_false(is_ended(SYS_read, 0, 1, SIGUSR1, 0)); /* not from there */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handlers_without_restart_end_calls),
		cmocka_unit_test(what_is_ignored_ends_no_wait),
		cmocka_unit_test(a_wait_that_is_about_to_go_on),
	};

	return unit_run(tests);
}

#else

int main(void)
{
	return unit_skip_all("waits are restarted on x86-64 only");
}

#endif
