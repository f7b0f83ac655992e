/* SPDX-License-Identifier: MIT */
/*
 * The engine's one way in, for the shim: the system call's own shape.
 */
#ifndef RM_API_H
#define RM_API_H

#include "emul/types.h"

/*
 * mremap(2) as 6.18 does it: the new address or -errno. Async-signal-safe once rm_features() was
 * called.
 */
long rm_mremap(uintptr_t old, size_t old_len, size_t new_len, unsigned long flags, uintptr_t new);

/*
 * check_mremap_params() of 6.18: 0 or -EINVAL. request->source.len is the new length; lengths are
 * rounded. Its map-count test is left to the kernel's own calls. Pure.
 */
int __must_check rm_check_params(
	const struct rm_request *request, size_t old_len, uintptr_t task_size);

#endif
