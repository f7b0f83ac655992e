/* SPDX-License-Identifier: MIT */
/*
 * Standing still: the stopped threads' side of quiesce.c.
 */
#ifndef RM_OBEY_H
#define RM_OBEY_H

#include <signal.h>

#include "emul/types.h"
#include "emul/world.h"

/*
 * Installs the handler, if libc has put its own in its place, with the mask that it blocks
 * (ignored.h). 0 or -errno.
 */
int rm_obey_prepare(uint64_t mask);
/* Whose stops the handler obeys. */
void rm_obey_to(struct rm_world *world);
/*
 * What a thread is sent to stand still, the next time the handler runs in it, as slot of the
 * generation's stop.
 */
void rm_obey_sign(siginfo_t *info, int pid, uint32_t generation, uint32_t slot);
/*
 * In the handler: obeys the stops whose signals are pending. context is what the handler has
 * interrupted.
 */
void rm_obey_pending(void *context);
/*
 * In the handler: whether the calling thread, which blocks the signal there, will obey soon all the
 * same.
 */
void rm_obey_inside(bool inside);
/* Who stands still goes on. */
void rm_obey_release(struct rm_world *world);
/* Takes what the calling thread was sent and has not been shown, of stops that are over. */
void rm_obey_forget(void);
/*
 * With everybody stopped: whether the program still ignores what our handler does not block, so
 * that no handler of its own runs in a stopped thread. The same is then true of the stopper.
 */
bool rm_obey_handlers_rest(void);

#endif
