/* SPDX-License-Identifier: MIT */
/*
 * Growing a locked mapping over what is to be unlocked. grow.c explains.
 */
#ifndef RM_GROW_H
#define RM_GROW_H

#include "emul/types.h"

/*
 * Whether the locked mapping that ends where the hole begins has taken it in, empty and unlocked.
 * Otherwise all is as before. With everybody stopped. vmflags: the mapping's.
 */
bool rm_grow_locked(struct rm_range hole, uint32_t vmflags);

#endif
