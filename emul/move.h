/* SPDX-License-Identifier: MIT */
/*
 * Moving what a request names: MREMAP_DONTUNMAP, and MREMAP_FIXED over several mappings. The caller
 * holds the world; arguments are checked.
 */
#ifndef RM_MOVE_H
#define RM_MOVE_H

#include "emul/facts.h"
#include "emul/types.h"

struct rm_world;

/*
 * No address and no errno: the call is for the kernel, once the world's lock is free. It may hold
 * us for long (EVENT_REMAP).
 */
#define RM_LEFT_TO_KERNEL 1

/*
 * One mapping's part of the request. The new address or -errno; -ESTALE if the facts do not hold
 * (any more), nothing has been done, and the caller has to look again; if the part is the whole,
 * perhaps RM_LEFT_TO_KERNEL.
 */
long rm_move_piece(struct rm_world *world, const struct rm_request *piece,
	const struct rm_facts *facts, bool whole);

/*
 * Gives back what attempts that failed have kept of a FIXED destination. It was the program's, and
 * is lost as in 6.18.
 */
void rm_move_give_back(struct rm_world *world);

/* MREMAP_FIXED over one or more mappings: remap_move() of 6.17. */
long rm_move_fixed(struct rm_world *world, const struct rm_request *request);

/* To the hint, or anywhere. Both may return RM_LEFT_TO_KERNEL. */
long rm_move_anywhere(struct rm_world *world, const struct rm_request *request);

#endif
