/* SPDX-License-Identifier: MIT */
/*
 * Mappings left empty as a whole that to 6.18 go on counting their pages from where they came from.
 * counted.c explains.
 */
#ifndef RM_COUNTED_H
#define RM_COUNTED_H

#include <stdbool.h>

#include "emul/ballast.h"
#include "emul/types.h"

/*
 * Finds out whether the mapping at range is one, and remembers that: what was in it is at target.
 * unit: what is moved at once, a page or a huge page. With everybody stopped. 0, also if it can not
 * be found out; -ENOMEM: there may be a hole.
 */
int __must_check rm_counted_look(
	struct rm_range range, uintptr_t target, size_t unit, struct rm_ballast *ballast);

/* It is one: that is known already. */
void rm_counted_add(struct rm_range range);
/* What ends at that address has grown by len bytes. Async-signal-safe. */
void rm_counted_grown(uintptr_t at, size_t len);
/* It is one if it is one mapping with one to 6.18, as a scar between the two tells (scars.c). */
void rm_counted_follow(struct rm_range range);

/* Whether that is known of the mapping. Async-signal-safe, like what follows. */
bool rm_counted_is_known(struct rm_range range);
/* Whether that address lies in one. */
bool rm_counted_is(uintptr_t addr);
/* Something has been unmapped, mapped anew or moved away there. */
void rm_counted_forget(struct rm_range range);
/*
 * Whether one begins or ends inside of the range, beside what to 6.18 it is one with and here it is
 * not.
 */
bool rm_counted_join(struct rm_range range);
bool rm_counted_join_at(uintptr_t at);
/* The same, beside anything else. */
bool rm_counted_part(struct rm_range range);

#endif
