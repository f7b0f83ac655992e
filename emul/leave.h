/* SPDX-License-Identifier: MIT */
/*
 * Leaving the stop handler without sigreturn, so that the kernel does not forget what remains of a
 * wait. leave.c explains.
 */
#ifndef RM_LEAVE_H
#define RM_LEAVE_H

#include <stdbool.h>
#include <ucontext.h>

/* Whether it can be done for this context. */
bool rm_restart_can_leave(const ucontext_t *uc);

/*
 * Goes on with the context's wait from the kernel's restart block. On x86-64 it leaves the signal
 * handler for that; on arm64 it returns when the wait is over, with the result in the context.
 */
void rm_restart_leave(void *context);

/* Whether the context is that of a handler which has been there already and goes on (arm64). */
bool rm_restart_is_leaving(const ucontext_t *uc);

/*
 * The context that matters to a stop handler: its own; or, if the signal came while an earlier one
 * was being left by rm_restart_leave(), the one that is being left for. The wait can then still go
 * on, by leaving for it anew.
 */
void *rm_restart_was_leaving(void *context);

#endif
