/* SPDX-License-Identifier: MIT */
/*
 * A helper that shares our memory and is no thread of ours; from stub.S.
 */
#ifndef RM_CLONE_H
#define RM_CLONE_H

/*
 * clone(flags) on the stack that ends at stack_top: the child runs function(argument) and exits
 * with its result, by raw system calls alone. It has the caller's thread-local storage: function
 * must not touch errno or anything of libc's. Returns the child's id or -errno.
 */
long rm_clone(int (*function)(void *), void *stack_top, unsigned long flags, void *argument);

#endif
