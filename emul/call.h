/* SPDX-License-Identifier: MIT */
/*
 * The system call that a context has just returned from, and how to change what becomes of it.
 * call.c explains. Async-signal-safe.
 */
#ifndef RM_CALL_H
#define RM_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/* Its number, and the arguments that it was made with. */
struct rm_call {
	int nr;
	bool whole; /* the first argument is known, too: always on x86-64 */
	uint64_t args[6];
};

/* What it has returned; something else if the context has not just returned from one. */
long rm_call_result(const ucontext_t *uc);
void rm_call_set_result(ucontext_t *uc, long result);

/*
 * The call that the context has just returned from; false if it has not, if it is over
 * (rm_call_is_over()), or if the number can not be told any more.
 */
bool rm_call_find(const ucontext_t *uc, struct rm_call *call);

/*
 * The call that the context is about to make, because the kernel has turned it back after a signal
 * whose handler has SA_RESTART; also one that it has not made yet, where that can not be told
 * apart. Only the number and the first two arguments are sure.
 */
bool rm_call_find_turned_back(const ucontext_t *uc, struct rm_call *call);

/* Whether the context is about to execute restart_syscall. */
bool rm_call_is_restarting(const ucontext_t *uc);

/* Turns the context back to make the call that it has returned from, which is whole. */
void rm_call_again(ucontext_t *uc, const struct rm_call *call);

/* The opposite: a call that it is about to make has returned this instead. */
void rm_call_skip(ucontext_t *uc, long result);

/*
 * The result of the call that rm_call_find() has told stays what it is: a signal that ends the call
 * natively has come, or whatever else does. The next stop, which may come before the program has
 * executed an instruction, does not take it for one that it has cut short itself.
 */
void rm_call_is_over(ucontext_t *uc);

uintptr_t rm_context_stack(const ucontext_t *uc);

#endif
