/* SPDX-License-Identifier: MIT */
/*
 * Starting over because another thread changed the mapping between the look at it and the stop.
 *
 * Whoever maps and unmaps beside the range all the time, where it merges, makes every look out of
 * date. It is not a matter of luck when that ends: being stopped and going on puts such a thread
 * into step with us, and it has changed its mapping by the next stop again. So after a few tries
 * everybody is stopped before the look, and nothing changes any more. Where that can not be, as
 * something is done between look and stop that may wait for a thread, the time between tries is
 * made longer and uneven.
 */
#ifndef RM_AGAIN_H
#define RM_AGAIN_H

#include "emul/types.h"
#include "emul/world.h"

struct rm_again {
	struct rm_world *world;
	int tries;
	bool stopped; /* everybody is, until rm_again_end() */
};

/*
 * After -ESTALE from a try to do something with range. 0: look again; -EINVAL, with a reason: not
 * any more, or as rm_quiesce_stop().
 */
int __must_check rm_again(struct rm_again *again, struct rm_range range, bool may_stop);

/* Stops everybody for what tries there still are. As rm_quiesce_stop(). */
int __must_check rm_again_stop(struct rm_again *again, struct rm_range range);

/* After the last try. */
void rm_again_end(struct rm_again *again);

#endif
