/* SPDX-License-Identifier: MIT */
/*
 * Where no descriptor is to be had: doing something with a table of descriptors of one's own.
 */
#ifndef RM_APART_H
#define RM_APART_H

#include <errno.h>
#include <stdbool.h>

#include "emul/world.h"

/*
 * Runs function(argument) in a process of its own that shares the memory and has a copy of the
 * descriptors with room for a few more, and waits for it. Its result; or -EMFILE if there can not
 * be such a process. What it opens it has to close.
 */
long __must_check rm_apart(struct rm_world *world, long (*function)(void *), void *argument);

/* Whether what failed so may be done there: no descriptor was free, or ours has gone (fd.h). */
static inline bool rm_apart_helps(long error)
{
	return error == -EMFILE || error == -EBADF;
}

#endif
