/* SPDX-License-Identifier: MIT */
/*
 * Making the empty head of a mapping one with the rest of it. rejoin.c explains.
 */
#ifndef RM_REJOIN_H
#define RM_REJOIN_H

#include "emul/types.h"

enum rm_rejoin_how {
	RM_REJOIN_MERGE = 1, /* is to be done */
	RM_REJOIN_COUNT =
		2, /* all of the mapping: find out from where it would count (counted.c) */
};

/*
 * range is empty and begins a mapping that goes on behind it, to end, or is all of it; what was in
 * it has moved to target. With everybody stopped. 1: it counts its pages as they were counted; 0:
 * nothing could be done, or had to be; -ENOMEM: there may be a hole.
 */
int __must_check rm_rejoin(
	struct rm_range range, uintptr_t end, uintptr_t target, unsigned int how);

#endif
