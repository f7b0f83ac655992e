/* SPDX-License-Identifier: MIT */
/*
 * Stopping threads that block the stop signal by a raw system call (Go's runtime, assembly): by
 * ptrace.
 */
#ifndef RM_FREEZE_H
#define RM_FREEZE_H

#include "emul/types.h"
#include "emul/world.h"

/*
 * Whether the thread blocks RM_STOP_SIGNAL now, by /proc/self/task/TID/status; if one was sent to it
 * already, whether that has not come through.
 */
bool rm_freeze_needed(int tid, bool sent);

/*
 * Lets the helper stop every slot in state RM_SLOT_DEAF; each is marked as having obeyed when it
 * stands still. Returns at once; 0, or -errno if there can be no helper. Inside a stop that is
 * being brought about.
 */
int __must_check rm_freeze_kick(struct rm_world *world);

/* After the generation has moved on: waits until the helper has let go of all and is gone. */
void rm_freeze_finish(struct rm_world *world);

#endif
