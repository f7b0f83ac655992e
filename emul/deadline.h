/* SPDX-License-Identifier: MIT */
/*
 * When waits end that the kernel only knows a length of. deadline.c explains.
 */
#ifndef RM_DEADLINE_H
#define RM_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* --- for who sees the program's calls: the shim --- */

/*
 * What an outer wait of the thread had, if this one is made by a signal handler that interrupted
 * it.
 */
struct rm_deadline {
	unsigned int slot;
	bool known;
	uint64_t first, argument, ends;
};

/*
 * Around a system call of the calling thread that waits for at most so many nanoseconds. first is
 * its first argument, argument the timeout, as the system call gets them: a number, or a pointer.
 * Async-signal-safe; errno is
 * left alone. If the call never returns (longjmp, cancellation), what is noted is of no use to
 * anybody once the time has passed.
 */
void rm_deadline_begin(
	struct rm_deadline *outer, uint64_t first, uint64_t argument, uint64_t timeout_ns);
void rm_deadline_end(const struct rm_deadline *outer);

/* --- for restart.c; the thread stands still, or is in its own stop handler --- */

/* Whether it is known when the wait of that thread ends that has this argument. */
bool rm_deadline_is_known(int tid, uint64_t argument);
/* The first argument of that wait. */
uint64_t rm_deadline_first(int tid);
/* What remains of it. */
uint64_t rm_deadline_rest_ns(int tid);
/*
 * The same wait with what remains of it: a number of milliseconds, rounded up, or a pointer to a
 * struct timespec.
 */
uint64_t rm_deadline_rest_ms(int tid);
uint64_t rm_deadline_rest_pointer(int tid);

#endif
