/* SPDX-License-Identifier: MIT */
/*
 * Waiting in the stop handler, after the stop, for what the interrupted call was waiting for.
 * x86-64 only. Async-signal-safe.
 */
#ifndef RM_HANDLER_WAIT_H
#define RM_HANDLER_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <ucontext.h>

/*
 * Waits for these events of poll(2), with that signal mask, for ever if timeout is NULL. What there
 * is of them and of errors; 0 if it is late; -EINTR if a handler of the program has run, which the
 * next stop's is not.
 */
long rm_wait_for(int fd, short events, struct timespec *timeout, const uint64_t *mask);

/*
 * Whether handlers can interrupt this one: the next stop's, and the program's. What is known of
 * alternate stacks is how large they are, and 8 KiB, as many are, are too small for that.
 */
bool rm_has_room_to_wait(const ucontext_t *uc);

#endif
