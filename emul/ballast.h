/* SPDX-License-Identifier: MIT */
/*
 * Moves within the window that must not fail.
 *
 * What is taken away for a moment has to come back, and the map count is the only reason for which
 * that could fail: nobody else maps anything now. So some mappings are made that can be given up
 * then.
 */
#ifndef RM_BALLAST_H
#define RM_BALLAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emul/types.h"

struct rm_ballast {
	struct rm_range parts[2]; /* of 9 mappings each */
};

/* False: there is no room for them. */
bool __must_check rm_ballast_get(struct rm_range *part);
/* Once: others may come to lie there. */
void rm_ballast_drop(struct rm_ballast *ballast);

/* mremap with MREMAP_FIXED: the address or -errno. */
long rm_shift(uintptr_t from, size_t len, uintptr_t to);
/* What must not fail; false if it did all the same. */
bool __must_check rm_put(uintptr_t from, size_t len, uintptr_t to, struct rm_ballast *ballast);
/* Unmaps what may have merged with a mapping of the program's, which is split by that. */
void rm_let_go(uintptr_t start, size_t len, struct rm_ballast *ballast);

#endif
