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

/* In place of what was remembered of it. */
void rm_marks_add(struct rm_marks *marks, struct rm_range range, unsigned int word);
/* Nothing is remembered of the range any more; its length is rounded up to whole pages. */
void rm_marks_cut(struct rm_marks *marks, struct rm_range range);
/* The next one that overlaps the range, from *i on, which begins at 0. */
bool rm_marks_next(
	const struct rm_marks *marks, struct rm_range range, size_t *i, struct rm_mark *mark);

/* What is remembered of that address; 0 also if nothing is. */
unsigned int rm_marks_word(const struct rm_marks *marks, uintptr_t addr);
/* Whether for one of the marks' ends inside of the range "is" says the wanted. */
bool rm_marks_end(const struct rm_marks *marks, struct rm_range range,
	bool (*is)(uintptr_t at, bool wanted), bool wanted);

#endif
