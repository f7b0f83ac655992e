/* SPDX-License-Identifier: MIT */
/*
 * What /proc says of one thread of this process.
 */
#ifndef RM_TASK_H
#define RM_TASK_H

#include "emul/numbers.h"
#include "emul/types.h"

struct rm_world;

struct rm_task {
	char state; /* R, S, D, Z, X, T, t, ... */
	/* io_uring's or vhost's, which the kernel has put into our thread group */
	bool kernel_worker;
	uint32_t blocked; /* signals 1 to 31, signal n at bit n - 1 */
};

/*
 * 0, or -ENOENT or -ESRCH: it is gone; else -errno of /proc, -EINVAL: not understood.
 * Async-signal-safe.
 */
int __must_check rm_task_read(int tid, struct rm_task *task);
/*
 * The same of the process pid, as seen by one that has our memory and is another; 0: our own, also
 * if /proc is not of our namespace.
 */
int __must_check rm_task_read_of(int pid, int tid, struct rm_task *task);

/*
 * A set of signals in the text of /proc/PID/status, of that line: "SigPnd" and the like. False if
 * there is no such line. Async-signal-safe.
 */
bool __must_check rm_task_signals(const char *status, const char *line, uint64_t *signals);

static inline bool rm_task_is_dead(const struct rm_task *task)
{
	return task->state == 'Z' || task->state == 'X';
}

/*
 * The list of threads, as rm_numbers_open() and what follows, in the world's room for that; without
 * a descriptor if none is to be had (apart.c). rm_task_rewind() comes before the first
 * rm_task_next(). The list may end early if a thread exits (task.c).
 */
int __must_check rm_task_open(struct rm_world *world, struct rm_numbers *tasks);
/* The same without one, to begin with. */
void rm_task_open_apart(struct rm_world *world, struct rm_numbers *tasks);
int __must_check rm_task_rewind(struct rm_world *world, struct rm_numbers *tasks);
int __must_check rm_task_next(struct rm_numbers *tasks, int *tid);
void rm_task_close(struct rm_numbers *tasks);
int __must_check rm_task_count_of(const struct rm_numbers *tasks);

/*
 * How many threads /proc/self/task has, at the path or, with an empty path, at the descriptor; or
 * -errno.
 */
int __must_check rm_task_count(int dir, const char *path);

#endif
