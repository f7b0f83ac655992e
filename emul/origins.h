/* SPDX-License-Identifier: MIT */
/*
 * Where memory that has been moved may have been touched first, which is what the kernel goes by
 * when it merges mappings.
 */
#ifndef RM_ORIGINS_H
#define RM_ORIGINS_H

#include "emul/types.h"

#define RM_ORIGINS_TRIED 8

/*
 * old_len bytes have moved, or stayed if from is to, and are len now. Async-signal-safe, takes no
 * lock.
 */
void rm_origins_moved(uintptr_t from, uintptr_t to, size_t old_len, size_t len);
/* Something else is mapped there now. */
void rm_origins_forget(struct rm_range range);
/*
 * Addresses at which the page at addr may have been touched first, without addr itself, the
 * likeliest first: how many.
 */
size_t rm_origins_of(uintptr_t addr, uintptr_t origins[RM_ORIGINS_TRIED]);
/*
 * Whether the pages before and behind addr may have lain side by side elsewhere when they were
 * touched first.
 */
bool rm_origins_go_on(uintptr_t addr);
/* Whether they must have. */
bool rm_origins_surely_go_on(uintptr_t addr);

#endif
