/* SPDX-License-Identifier: MIT */
/*
 * Where ranges go that may go anywhere. went.c explains.
 */
#ifndef RM_WENT_H
#define RM_WENT_H

#include <stdbool.h>

#include "emul/types.h"

#define RM_WENT 16 /* ranges that are remembered, by their address */

struct rm_world;

/* In the world's page; only its holder looks at it. */
struct rm_went {
	struct {
		struct rm_range source;
		uintptr_t target;
		bool again; /* it went there twice in a row */
	} ranges[RM_WENT];
};

/* Where the range is expected to go, as it did the last two times; 0: nothing is expected. */
uintptr_t rm_went(const struct rm_world *world, struct rm_range source);
/* It has gone to target. */
void rm_went_to(struct rm_world *world, struct rm_range source, uintptr_t target);
/* Reserves room for it, PROT_NONE. The address, or -errno. */
long __must_check rm_went_reserve(const struct rm_world *world, struct rm_range source);

#endif
