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

/*
 * The result in these registers, of a call that rm_call_number() has told, stays what it is: a
 * signal that ends the call natively has come, or whatever else does. Of this context it says -1
 * from now on, so the next stop, which may come before the program has executed an instruction,
 * does not take it for one that it has cut short itself. The program has nothing in %rcx there:
 * SYSCALL has overwritten it.
 */
static inline void rm_call_is_over(greg_t *regs)
{
	regs[REG_RCX] = 0;
}
#endif

#endif
