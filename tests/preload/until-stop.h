/* SPDX-License-Identifier: MIT */
/*
 * For handlers of the tests' that are to return when the next stop is waiting for that.
 */
#ifndef RM_TESTS_UNTIL_STOP_H
#define RM_TESTS_UNTIL_STOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Whether one of libc's own signals is pending for the thread: a stop's is one of these. */
static inline bool is_stop_pending(void)
{
	char line[128];
	unsigned long long pending = 0;
	FILE *status = fopen("/proc/thread-self/status", "re");

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "SigPnd: %llx", &pending) == 1)
			break;
	if (status)
		fclose(status);
	return pending >> 31;
}

/*
 * Blocks every signal, which libc never does, until a stop is pending: what the handler returns to
 * is what the stop finds, before the program has executed an instruction of it. Natively there is
 * none, and 50 ms are enough.
 */
static inline void block_until_stop(void)
{
	const struct timespec ms = {0, 1000000};
	const uint64_t all = ~0ULL;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, sizeof(all));
	for (int i = 0; i < 50 && !is_stop_pending(); i++)
		nanosleep(&ms, NULL);
}

#endif
