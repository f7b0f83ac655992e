/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_MIRROR: a second view of the same pages.
 */
#ifndef RM_MIRROR_H
#define RM_MIRROR_H

#include "emul/types.h"

/*
 * mremap(2) with flags that have RM_MIRROR: the new view's address, or -errno with everything as it
 * was, but for a MREMAP_FIXED destination in the cases that mirror.c names. May sleep.
 * Async-signal-safe once rm_features() was called.
 */
long rm_mirror(uintptr_t old, size_t old_len, size_t new_len, unsigned long flags, uintptr_t new);

/*
 * Pure: the arguments by themselves, in the order of check_mremap_params(). 0 with *request filled:
 * lengths rounded, target 0 if there is no wish; or -EINVAL.
 */
int __must_check rm_mirror_check(uintptr_t old, size_t old_len, size_t new_len, unsigned long flags,
	uintptr_t new, uintptr_t task_size, struct rm_request *request);

/*
 * Makes private anonymous memory what it would become with its first mirror; other memory that can
 * be mirrored is left as it is. 0 or -errno, as rm_mirror().
 */
int __must_check rm_mirror_prepare(uintptr_t addr, size_t len);

/*
 * Moves a finished view to where request wants it: its address then, or -errno and the view is
 * where it was; a MREMAP_FIXED destination is then lost if the kernel loses it.
 */
long __must_check rm_mirror_place(uintptr_t view, const struct rm_request *request);

#endif
