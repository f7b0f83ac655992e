/* SPDX-License-Identifier: MIT */
#ifndef RM_RESTART_H
#define RM_RESTART_H

#include <stdbool.h>
#include <sys/user.h>

/*
 * Called at the end of the stop handler with the interrupted context: if the stop has cut short a
 * wait that the kernel does not restart by itself, the context is turned back so that the wait goes
 * on. True: that takes rm_restart_leave() instead of the return from the handler. See restart.c.
 */
bool rm_restart_wait(void *context);

/*
 * Leaves the signal handler for the context, without sigreturn, to go on with the wait from the
 * kernel's restart block.
 */
void rm_restart_leave(void *context) __attribute__((noreturn));

/*
 * The context that matters to a stop handler: its own; or, if the signal came while an earlier one
 * was being left by rm_restart_leave(), the one that is being left for. The wait can then still go
 * on, by leaving for it anew.
 */
void *rm_restart_was_leaving(void *context);

/*
 * The same for a thread that a tracer has stopped: whether its registers were changed so that the
 * kernel begins the wait anew when it is let go (or says EINTR after all, if a handler of the
 * program runs then).
 */
bool rm_restart_traced(int tid, struct user_regs_struct *regs);

#endif
