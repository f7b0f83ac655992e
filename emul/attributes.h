/* SPDX-License-Identifier: MIT */
/*
 * Giving one mapping what another one has.
 */
#ifndef RM_ATTRIBUTES_H
#define RM_ATTRIBUTES_H

#include "emul/facts.h"
#include "emul/types.h"

/*
 * The advice of vma (fork, dump, huge pages, access pattern, merging) for range. What the kernel
 * refuses, as it lacks the feature, can not have had an effect on vma either. WIPEONFORK is not for
 * shared memory and left out. 0 or -errno.
 */
int __must_check rm_advise_like(struct rm_range range, const struct rm_vma *vma);

/*
 * Locks range if vma is locked: as it is touched, or (all) at once if vma is. 0 or -EAGAIN:
 * RLIMIT_MEMLOCK.
 */
int __must_check rm_lock_like(struct rm_range range, const struct rm_vma *vma, bool all);

/*
 * Range, a part of vma, gets another advice for a moment: for the kernel to merge it with what lies
 * on either side.
 */
void rm_advise_again(struct rm_range range, const struct rm_vma *vma);

/* Range gets vma's anonymous name, if it has one. 0 or -errno. */
int __must_check rm_name_like(struct rm_range range, const struct rm_vma *vma);

/* mprotect with vma's protection key. */
int __must_check rm_protect_like(struct rm_range range, const struct rm_vma *vma, int prot);

#endif
