/* SPDX-License-Identifier: MIT */
/*
 * Moving what a request names: MREMAP_DONTUNMAP, and MREMAP_FIXED over several mappings. The caller holds the world; arguments are
 * checked.
 */
#ifndef RM_MOVE_H
#define RM_MOVE_H

#include "emul/facts.h"
#include "emul/types.h"

struct rm_world;

/*
 * One mapping's part of the request. The new address or -errno; -ESTALE if the facts do not hold (any more), nothing
 * has been done, and the caller has to look again.
 */
long rm_move_piece(struct rm_world *world, const struct rm_request *piece, const struct rm_facts *facts);

/* MREMAP_FIXED over one or more mappings: remap_move() of 6.17. */
long rm_move_fixed(struct rm_world *world, const struct rm_request *request);

/* To the hint, or anywhere. */
long rm_move_anywhere(struct rm_world *world, const struct rm_request *request);

#endif
