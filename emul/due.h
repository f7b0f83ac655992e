/* SPDX-License-Identifier: MIT */
/*
 * Signals that the program is due while our handler runs in its place. Async-signal-safe.
 */
#ifndef RM_DUE_H
#define RM_DUE_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/*
 * Those that wait to be delivered when the context goes on. What our handler blocks the kernel
 * keeps, even if it would have thrown it away on arrival (ignored.c).
 */
uint64_t rm_due_signals(const ucontext_t *uc);

/*
 * Whether one of these waits for the calling thread. One that is for the process as a whole is seen
 * by all threads, and is for one of them: who takes it first sends it to itself, and the waits of
 * the others go on.
 */
bool rm_due_here(uint64_t due);

#endif
