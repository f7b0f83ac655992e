/* SPDX-License-Identifier: MIT */
/*
 * Taking what a move has left out of what it should not have merged with. part.c explains.
 */
#ifndef RM_PART_H
#define RM_PART_H

#include "emul/steps.h"

/*
 * The source has been mapped anew, empty, after all or the first part of its mapping has moved.
 * With everybody stopped. 0, also if it has merged with nothing that 6.18 would not merge it with,
 * or nothing can be done about that; -errno: there is a hole.
 */
int __must_check rm_part(struct rm_steps *x);

#endif
