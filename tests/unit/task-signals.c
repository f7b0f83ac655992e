/* SPDX-License-Identifier: MIT */
/*
 * Signals in /proc/PID/status (emul/task.c), and who is taken for a thread that no stop signal
 * reaches (rm_freeze_needed): one that blocks it; after one was sent, only while that is pending.
 * Needs nothing else.
 */
#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/syscall.h>

#include "emul/freeze.h"
#include "emul/quiesce.h"
#include "emul/sys.h"
#include "emul/task.h"

static void lines_of_a_status(void **state)
{
	static const char status[] = "SigPnd:\t1\nName:\tSigBlk:\nShdPnd:\t0000000000000002\n"
				     "SigBlk:\tfffffffe7ffba0ff\nSigPndX:\t4\n";
	uint64_t signals = 7;

	(void)state;
	assert_true(rm_task_signals(status, "SigBlk", &signals));
	assert_true(signals == 0xfffffffe7ffba0ffULL);
	assert_true(rm_task_signals(status, "ShdPnd", &signals));
	assert_int_equal(signals, 2);
	assert_false(rm_task_signals(status, "SigPnd", &signals)); /* not behind a newline */
	assert_false(rm_task_signals("", "SigBlk", &signals));
	assert_int_equal(signals, 2);
}

static void a_thread_that_blocks_the_signal(void **state)
{
	const uint64_t stop = 1ULL << (RM_STOP_SIGNAL - 1);
	const struct timespec now = {0, 0};
	const int tid = rm_sys_gettid();
	siginfo_t info = {.si_signo = RM_STOP_SIGNAL, .si_code = SI_QUEUE};
	uint64_t before;

	(void)state;
	assert_false(rm_freeze_needed(tid, false));
	assert_int_equal(rm_sys_rt_sigprocmask(SIG_BLOCK, &stop, &before), 0);
	assert_true(rm_freeze_needed(tid, false));
	assert_false(rm_freeze_needed(tid, true)); /* what was sent has come through */
	assert_int_equal(rm_sys_rt_tgsigqueueinfo(rm_sys_getpid(), tid, RM_STOP_SIGNAL, &info), 0);
	assert_true(rm_freeze_needed(tid, true));
	assert_int_equal(rm_syscall(SYS_rt_sigtimedwait, (long)&stop, (long)&info, (long)&now,
				 sizeof(stop), 0, 0),
		RM_STOP_SIGNAL);
	assert_false(rm_freeze_needed(tid, true));
	assert_int_equal(rm_sys_rt_sigprocmask(SIG_SETMASK, &before, NULL), 0);
	assert_false(rm_freeze_needed(tid, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_a_status),
		cmocka_unit_test(a_thread_that_blocks_the_signal),
	};

	return unit_run(tests);
}
