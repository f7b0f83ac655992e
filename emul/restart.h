/* SPDX-License-Identifier: MIT */
#ifndef RM_RESTART_H
#define RM_RESTART_H

#include <stdbool.h>
#include <sys/user.h>

/*
 * Called at the end of the stop handler with the interrupted context: if the stop has cut short a
 * wait that the kernel does not restart by itself, the context is turned back so that the wait goes
 * on. True: that takes rm_restart_leave() (leave.h) instead of the return from the handler. See restart.c.
 */
bool rm_restart_wait(void *context);

/*
 * The same for a thread that a tracer has stopped: whether its registers were changed so that the
 * kernel begins the wait anew when it is let go (or says EINTR after all, if a handler of the
 * program runs then).
 */
bool rm_restart_traced(int tid, struct user_regs_struct *regs);

#endif
