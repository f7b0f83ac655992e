/* SPDX-License-Identifier: MIT */
/*
 * What the code around a system call of arm64 tells of it. call-code.c explains.
 */
#ifndef RM_CALL_CODE_H
#define RM_CALL_CODE_H

#include <ucontext.h>

#include "emul/types.h"

#if defined(__aarch64__)
/*
 * What x0 was when the instruction at that address made a call, with the context's registers as
 * they are behind it. False: the code before it does not tell. Async-signal-safe.
 */
bool rm_call_first_argument(const mcontext_t *context, uintptr_t insn, uint64_t *value);

/*
 * Whether the program has nothing in the condition flags at that address: the code from there on
 * sets them before it looks at them. Async-signal-safe.
 */
bool rm_call_flags_are_dead(uintptr_t pc);
#endif

#endif
