/* SPDX-License-Identifier: MIT */
/*
 * rm_restart_leave (emul/restart.c, emul/stub.S) with real sleeps: signals that come while it
 * leaves, at every instruction (by ptrace), and five hundred of them one after the other, which
 * must not pile up on the stack. The sleep lasts as long as was asked for and says no EINTR. Which
 * waits go on at all is restart-wait.c. x86-64 only. Needs nothing else.
 */
#include "tests/unit/unit.h"

#if defined(__x86_64__)

#include <errno.h>
#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <time.h>
#include <ucontext.h>

#include "emul/leave.h"
#include "emul/restart.h"

extern const char rm_leave_begin[], rm_leave_jump[];

/* --- leaving: like quiesce.c's handler, but for SIGUSR1, and raised again while it runs --- */

enum { SLEEP_MS = 60, NESTED = 500, FRAMES = 16384 };
static volatile int more;
static volatile uintptr_t lowest, highest;

__attribute__((no_sanitize("address"))) static void leaving_handler(
	int sig, siginfo_t *info, void *context)
{
	char here;

	(void)info;
	context = rm_restart_was_leaving(context);
	lowest = (uintptr_t)&here < lowest ? (uintptr_t)&here : lowest;
	highest = (uintptr_t)&here > highest ? (uintptr_t)&here : highest;
	if (more) {
		/*
		 * Blocked now, so it comes as soon as leaving opens the mask. The wait would go
		 * without it, too.
		 */
		more--;
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
		rm_restart_leave(context);
	}
	if (rm_restart_wait(context))
		rm_restart_leave(context);
}

static void install_leaving_handler(void)
{
	struct sigaction action = {
		.sa_sigaction = leaving_handler, .sa_flags = SA_SIGINFO | SA_RESTART};

	sigfillset(&action.sa_mask);
	sigaction(SIGUSR1, &action, NULL);
	lowest = UINTPTR_MAX;
	highest = 0;
}

static int sleep_whole(void)
{
	const struct timespec wanted = {0, SLEEP_MS * 1000000L};
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	if (nanosleep(&wanted, NULL))
		return errno == EINTR ? 1 : 2;
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec < wanted.tv_nsec
		       ? 3
		       : 0;
}

static void *interrupt(void *thread)
{
	usleep(SLEEP_MS * 1000 / 4);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

static int sleep_under_nested_signals(void *unused)
{
	pthread_t self = pthread_self(), other;
	int r;

	(void)unused;
	install_leaving_handler();
	more = NESTED;
	if (pthread_create(&other, NULL, interrupt, &self))
		return 9;
	r = sleep_whole();
	pthread_join(other, NULL);
	if (r)
		return r;
	if (more)
		return 4;
	return highest - lowest < FRAMES ? 0 : 5;
}

static void handlers_do_not_pile_up(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(sleep_under_nested_signals, NULL));
}

static int traced_sleep(void *unused)
{
	(void)unused;
	install_leaving_handler();
	if (ptrace(PTRACE_TRACEME, 0, 0, 0))
		return 9;
	raise(SIGSTOP);
	return sleep_whole();
}

static int wait_stop(pid_t child, int signal)
{
	int status;

	return waitpid(child, &status, 0) == child && WIFSTOPPED(status) &&
	       WSTOPSIG(status) == signal;
}

/* To the last instruction: the system call that is gone back to. */
static bool is_leaving(pid_t child)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, child, 0, &regs))
		return false;
	return (regs.rip >= (uintptr_t)rm_leave_begin && regs.rip <= (uintptr_t)rm_leave_jump) ||
	       regs.rax == SYS_restart_syscall;
}

/*
 * A child that sleeps and is sent the signal, and again after step instructions of leaving. Its
 * exit status; -1: the leaving has fewer instructions; -2: something is wrong with the test.
 */
static pid_t stepped;

static int signal_at(int step)
{
	struct user_regs_struct regs;
	pid_t child = stepped = fork();
	int status;

	if (!child)
		_exit(traced_sleep(NULL));
	if (!wait_stop(child, SIGSTOP) || ptrace(PTRACE_CONT, child, 0, 0))
		return -2;
	usleep(SLEEP_MS * 1000 / 4);
	kill(child, SIGUSR1);
	if (!wait_stop(child, SIGUSR1) || ptrace(PTRACE_SINGLESTEP, child, 0, SIGUSR1))
		return -2;
	do {
		if (!wait_stop(child, SIGTRAP))
			return -2;
		if (is_leaving(child))
			break;
	} while (!ptrace(PTRACE_SINGLESTEP, child, 0, 0));
	for (int i = 0; i < step; i++)
		if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) || !wait_stop(child, SIGTRAP))
			return -2;
	if (!is_leaving(child)) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		return -1;
	}
	kill(child, SIGUSR1);
	/*
	 * stepping over popf leaves the trap flag on, for the kernel takes it for the program's own
	 */
	if (ptrace(PTRACE_GETREGS, child, 0, &regs))
		return -2;
	regs.eflags &= ~0x100ULL;
	if (ptrace(PTRACE_SETREGS, child, 0, &regs) || ptrace(PTRACE_CONT, child, 0, 0) ||
		!wait_stop(child, SIGUSR1) || ptrace(PTRACE_CONT, child, 0, SIGUSR1) ||
		waitpid(child, &status, 0) != child)
		return -2;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void a_signal_at_every_instruction_of_leaving(void **state)
{
	int step, r = 0;

	(void)state;
	for (step = 0; r >= 0; step++) {
		/* on a busy machine the child may not be asleep yet, or not any more */
		for (int tries = 0; (r = signal_at(step)) == -2 && tries < 20; tries++) {
			kill(stepped, SIGKILL);
			waitpid(stepped, NULL, 0);
		}
		if (r > 0)
			fail_msg("after %d instructions: %s (%d)", step,
				r == 1	 ? "EINTR"
				: r == 3 ? "woke early"
					 : "died",
				r);
	}
	assert_int_equal(r, -1);
	assert_in_range(step, 20, 60); /* the whole of it was seen */
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handlers_do_not_pile_up),
		cmocka_unit_test(a_signal_at_every_instruction_of_leaving),
	};

	return unit_run(tests);
}

#else

int main(void)
{
	return unit_skip_all("handlers leave by themselves on x86-64 only");
}

#endif
