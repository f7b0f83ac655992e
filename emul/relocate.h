/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_RELOCATE_ANON and MREMAP_MUST_RELOCATE_ANON. relocate.c explains.
 */
#ifndef RM_RELOCATE_H
#define RM_RELOCATE_H

#include "emul/types.h"

/*
 * mremap(2) with flags of which one is in RM_RELOCATE_ANY: the new address or -errno; with
 * RM_MUST_RELOCATE -EFAULT if it can not be done, with source and destination as they were.
 * Async-signal-safe once rm_features() was called.
 */
long rm_relocate(
	uintptr_t old, size_t old_len, size_t new_len, unsigned long flags, uintptr_t new);

#endif
