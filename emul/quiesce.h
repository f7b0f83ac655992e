/* SPDX-License-Identifier: MIT */
/*
 * Stopping every other thread of the process for the length of a window (DESIGN 4, mode "stop").
 */
#ifndef RM_QUIESCE_H
#define RM_QUIESCE_H

#include "emul/types.h"
#include "emul/world.h"

/*
 * The signal that stops threads: the second of those that the C libraries keep for themselves
 * (glibc: SIGSETXID, musl: SIGCANCEL). No program can block it, take it or ask about it through
 * libc: sigfillset, pthread_sigmask and sigaction all leave it out. So "a thread that blocks every
 * signal" still stops, and the program's own signal handling is as if we were not there. How it is
 * shared with libc is said in obey.c.
 */
#define RM_STOP_SIGNAL 33
#define RM_STOP_BIT    (1ULL << (RM_STOP_SIGNAL - 1)) /* in a mask of the kernel */

void rm_quiesce_set_mode(int mode);
/* The mode unless one was set before. */
void rm_quiesce_default_mode(int mode);
int rm_quiesce_mode(void);

/*
 * After this no other thread of the process executes an instruction or is inside a system call that
 * it began before, until rm_quiesce_resume(). moving is the range that will be a hole. The caller
 * holds the world.
 *
 * 0, or -EINVAL with a reason (rm_refuse): /proc is missing; a thread could not be stopped for 10
 * seconds; a thread's own stack lies in the range. After a failure every thread runs again. Stops
 * nest.
 */
int __must_check rm_quiesce_stop(struct rm_world *world, struct rm_range moving);
void rm_quiesce_resume(struct rm_world *world);

/* Threads of this process, from one stat(2) of /proc/self/task; -errno. */
int rm_quiesce_count_threads(void);
/*
 * Whether nobody else has the caller's memory, no thread and no process; false if that can not be
 * told cheaply. One system call.
 */
bool rm_quiesce_is_alone(void);
/*
 * Whether there may be others. Not asked again if they, or that nobody can come, were found when
 * the world was entered.
 */
bool rm_quiesce_may_have_others(const struct rm_world *world);

/*
 * Keeps the calling thread from being stopped, with its own signal mask in force, as long as that
 * is undone by rm_quiesce_let_go(): for execve. False: not needed, or not possible, and nothing to
 * be undone.
 */
bool rm_quiesce_hold(struct rm_entry *entry);
void rm_quiesce_let_go(struct rm_entry *entry);

/* Installs the handler now, so that the first stop need not. 0 or -errno. */
int rm_quiesce_prepare(void);

#endif
