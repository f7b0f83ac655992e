/* SPDX-License-Identifier: MIT */
/*
 * What a forked child has of converted memory (B1).
 */
#ifndef RM_FORKED_H
#define RM_FORKED_H

#include "emul/world.h"

/*
 * Before the first conversion, and not inside the world: from now on libc's fork takes snapshots. 0
 * or -ENOMEM.
 */
int rm_forked_prepare(void);

/*
 * Whether a thread is in fork: what is converted now, its child may have. The caller holds the
 * world.
 */
bool rm_forked_under_way(void);

/* Inside the window: that child is to have what has just been converted, too. */
void rm_forked_include(struct rm_world *world);

#endif
