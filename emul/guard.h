/* SPDX-License-Identifier: MIT */
/*
 * Quiesce mode "guard" (DESIGN 4): the other threads run on; who touches the hole waits until it is
 * filled.
 */
#ifndef RM_GUARD_H
#define RM_GUARD_H

#include "emul/plan.h"
#include "emul/types.h"
#include "emul/world.h"

/*
 * Sets the mode up: see guard.c. What fails makes threads be stopped later. Not in a signal
 * handler.
 */
void rm_guard_prepare(void);

/*
 * Opens a guarded window for the plan, in which range will be a hole. False: nothing is open, and
 * the threads have to be stopped (rm_quiesce_stop): another mode is in force, they are stopped
 * already, or the window can not be guarded. The caller holds the world. Not inside a window.
 */
bool __must_check rm_guard_open(
	struct rm_world *world, const struct rm_plan *plan, struct rm_range range);

/* Closes it: who waits goes on. */
void rm_guard_close(void);

/*
 * Inside a guarded window: mremap of what lies at from onto the hole, but not onto a mapping of
 * another thread. Its result; or -EEXIST: such a mapping lies there and did not go within a second.
 */
long __must_check rm_guard_fill(uintptr_t from, struct rm_range hole);

/* Whether the range touches state of this mode, which is not to be moved. */
bool rm_guard_is_own(struct rm_range range);

#endif
