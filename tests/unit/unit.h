/* SPDX-License-Identifier: MIT */
/*
 * What every unit test includes: cmocka with what it needs, TAP as the output, a limit of time, and
 * small helpers.
 *
 * cmocka 1.1.5 writes its skip() as "not ok N # SKIP", which automake's driver counts as a failure.
 * So single cases are never skipped here: a program whose subject is missing on this machine says
 * so as a whole, by unit_skip_all.
 */
#ifndef RM_TESTS_UNIT_H
#define RM_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNIT_SECONDS	   240
#define UNIT_CHILD_SECONDS 60

/* main() returns this. A test that hangs dies by SIGALRM, which the TAP driver reports. */
#define unit_run(tests)                                                                            \
	(cmocka_set_message_output(CM_OUTPUT_TAP), alarm(UNIT_SECONDS),                            \
		cmocka_run_group_tests(tests, NULL, NULL))

static inline int unit_skip_all(const char *reason)
{
	printf("1..0 # SKIP %s\n", reason);
	return 77;
}

/*
 * fork, and run it there: what waitpid says. One that hangs is killed from outside, for it may hang
 * with every signal blocked.
 */
static inline int unit_in_child(int (*run)(void *), void *arg)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGSEGV, SIG_DFL); /* cmocka has handlers of its own */
		signal(SIGBUS, SIG_DFL);
		_exit(run(arg));
	}
	assert_true(pid > 0);
	for (long ms = 0; waitpid(pid, &status, WNOHANG) == 0; ms += 2) {
		if (ms > UNIT_CHILD_SECONDS * 1000L)
			kill(pid, SIGKILL);
		usleep(2000);
	}
	return status;
}

/* The child ended by itself with exit status 0. */
#define assert_child_ok(status)                                                                    \
	do {                                                                                       \
		assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, 0);                   \
		assert_int_equal(WEXITSTATUS(status), 0);                                          \
	} while (0)

#endif
