/* SPDX-License-Identifier: MIT */
/*
 * Looking at a mapping's attributes again, with everybody standing still, in a time that does not
 * grow with its pages.
 */
#ifndef RM_GLANCE_H
#define RM_GLANCE_H

#include "emul/types.h"

struct rm_facts;
struct rm_world;

/* Kept in the world: a descriptor for smaps, read as far as the mapping that is to be looked at. */
struct rm_glance {
	bool ready;
	int smaps;
	uintptr_t start; /* of that mapping */
};

/*
 * Gets ready to look at what facts, just read from smaps, tell of; nothing of ours has been mapped
 * since. Takes as long as reading smaps up to there. Where it can not be done, or nobody else is
 * there, nothing happens. The caller holds the world.
 */
void rm_glance_prepare(struct rm_world *world, const struct rm_facts *facts);
void rm_glance_end(struct rm_world *world);

/*
 * With everybody else stopped: 0, the mapping is exactly what facts say; -ESTALE, it is not;
 * -EAGAIN, that can not be told like this. Once for each rm_glance_prepare().
 */
int __must_check rm_glance_check(struct rm_world *world, const struct rm_facts *facts);

#endif
