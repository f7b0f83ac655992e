/* SPDX-License-Identifier: MIT */
/*
 * A move that the kernel does not return from until a monitor has read its event, made by somebody
 * else.
 */
#ifndef RM_MOVER_H
#define RM_MOVER_H

#include "emul/types.h"

struct rm_mover {
	struct rm_mover_shared *shared; /* NULL: nothing was started */
	int pid;
};

/*
 * mremap(source, source.len, source.len, MAYMOVE | FIXED, target) in a helper process that shares
 * the memory. Returns as soon as the pages have moved: 0; or the call's own error, and nothing has
 * moved. Inside the window.
 */
int __must_check rm_mover_start(struct rm_mover *mover, struct rm_range source, uintptr_t target);

/*
 * Waits until the helper's call has returned, which is when the event was read. Outside the window.
 */
void rm_mover_finish(struct rm_mover *mover);

#endif
