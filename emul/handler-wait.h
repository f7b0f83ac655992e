/* SPDX-License-Identifier: MIT */
/*
 * Waiting in the stop handler, after the stop, for what the interrupted call was waiting for.
 * Async-signal-safe.
 */
#ifndef RM_HANDLER_WAIT_H
#define RM_HANDLER_WAIT_H

#include <stdint.h>
#include <time.h>
#include <ucontext.h>

#include "emul/fd.h"
#include "emul/types.h"

/* One that has begun. */
struct rm_wait {
	ucontext_t *uc; /* what the handler has interrupted */
	uint64_t mask;	/* there */
	int signals;	/* a signalfd, or -1: handlers interrupt the wait itself */
	struct rm_fd_id id;
	uint64_t watched;
};

/* Whether handlers can interrupt this one. */
bool rm_wait_has_room(const ucontext_t *uc);

/*
 * Whether there can be one: on a small alternate signal stack only if a descriptor can be had.
 */
bool __must_check rm_wait_begin(struct rm_wait *wait, ucontext_t *uc);
void rm_wait_end(struct rm_wait *wait);

/*
 * Waits for these events of poll(2), for ever if timeout is NULL, and leaves there what remains.
 * What there is of them and of errors; 0 if it is late; -EINTR if a handler of the program has run,
 * or is to run now, which the next stop's is not.
 */
long rm_wait_for(struct rm_wait *wait, int fd, short events, struct timespec *timeout);

#endif
