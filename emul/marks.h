/* SPDX-License-Identifier: MIT */
/*
 * A short list of ranges of which something is to be remembered, a word each. No locks, and no
 * waiting: signal handlers change it, too. What two change at once may be forgotten. When it is
 * full a mark is given up.
 */
#ifndef RM_MARKS_H
#define RM_MARKS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "emul/types.h"

#define RM_MARKS 32

struct rm_marks {
	_Atomic bool any;	   /* ever */
	_Atomic unsigned int next; /* given up next */
	struct {
		_Atomic uintptr_t start; /* 0: none */
		_Atomic uintptr_t end;
		_Atomic unsigned int word;
	} at[RM_MARKS];
};

struct rm_mark {
	struct rm_range range;
	unsigned int word;
};

void rm_marks_add(struct rm_marks *marks, struct rm_range range, unsigned int word);
/* Nothing is remembered of the range any more; its length is rounded up to whole pages. */
void rm_marks_cut(struct rm_marks *marks, struct rm_range range);
/* The next one that overlaps the range, from *i on, which begins at 0. */
bool rm_marks_next(
	const struct rm_marks *marks, struct rm_range range, size_t *i, struct rm_mark *mark);

#endif
