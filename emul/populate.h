/* SPDX-License-Identifier: MIT */
/*
 * Making page tables in advance (MREMAP_POPULATE).
 */
#ifndef RM_POPULATE_H
#define RM_POPULATE_H

#include "emul/types.h"

/*
 * Maps every page of range, which has that protection, as if each had been read. 0, or -errno of
 * the first that can not be had: -EFAULT (beyond the end of the object, or read errors of its
 * file), -ENOMEM. What was done until then stays. Memory that nobody may read is left alone. May
 * sleep; async-signal-safe.
 */
int __must_check rm_populate(struct rm_range range, int prot);

#endif
