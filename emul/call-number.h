/* SPDX-License-Identifier: MIT */
/*
 * Which system call a context has returned from. call-number.c explains.
 */
#ifndef RM_CALL_NUMBER_H
#define RM_CALL_NUMBER_H

#include <ucontext.h>

#if defined(__x86_64__)
/*
 * The number of the system call that a context with these registers has just returned from; -1 if
 * it has not, or if the code before it does not tell. Async-signal-safe.
 */
int rm_call_number(const greg_t *regs);
#endif

#endif
