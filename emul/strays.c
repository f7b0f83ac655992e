/* SPDX-License-Identifier: MIT */
/*
 * Strays.
 *
 * When all of a mapping is moved by MREMAP_DONTUNMAP 6.18 takes its anon_vma away and lets it go on
 * counting its pages as before. So it merges with what had moved along beside it as soon as both
 * are alike; unless it has been touched before: then it has got an anon_vma of its own, and merges
 * with nothing. (If they were unlike in their protection only, it has got its neighbour's.)
 *
 * Ours counts as it did because it has the anon_vma of what was in it (rejoin.c), and merges,
 * touched or not. So they are kept in a list, and before a call that may make them alike it is
 * looked whether there are pages; if so, mremap across its ends says EFAULT from then on, as across
 * any two mappings, and only /proc/self/maps shows one.
 *
 * What was touched and emptied again before such a call counts as never touched. Without anybody
 * who sees the calls the list is empty. What is forgotten, for the list is short, is what a program
 * does not notice unless it wants that EFAULT.
 */
#include "emul/strays.h"

#include <stdatomic.h>
#include <stddef.h>

#include "emul/known.h"
#include "emul/pagemap.h"
#include "emul/world.h"

#define MAX_STRAYS 16

static struct stray {
	_Atomic uintptr_t start; /* 0: none */
	_Atomic uintptr_t end;
	_Atomic bool touched;
} strays[MAX_STRAYS];

static _Atomic bool any; /* ever */

static struct rm_range range_of(const struct stray *s)
{
	const uintptr_t start = atomic_load(&s->start);

	return (struct rm_range){start, start ? atomic_load(&s->end) - start : 0};
}

static bool is_here(const struct stray *s, struct rm_range range, bool ends)
{
	const uintptr_t start = atomic_load(&s->start), end = atomic_load(&s->end);

	return start && (ends ? range.start <= end && start <= rm_range_end(range)
			      : range.start < end && start < rm_range_end(range));
}

void rm_strays_add(struct rm_range range)
{
	static unsigned int next;
	size_t i;

	if (!rm_known_watching())
		return;
	for (i = 0; i < MAX_STRAYS && atomic_load(&strays[i].start); i++)
		;
	if (i == MAX_STRAYS)
		i = next++ % MAX_STRAYS;
	atomic_store(&strays[i].start, 0);
	atomic_store(&strays[i].end, rm_range_end(range));
	atomic_store(&strays[i].touched, false);
	atomic_store(&strays[i].start, range.start);
	atomic_store(&any, true);
}

static bool none(void)
{
	return !atomic_load_explicit(&any, memory_order_relaxed);
}

void rm_strays_look(struct rm_range range)
{
	for (size_t i = 0; i < MAX_STRAYS && !none(); i++)
		if (is_here(&strays[i], range, true) && !atomic_load(&strays[i].touched))
			atomic_store(&strays[i].touched, rm_pagemap_any(range_of(&strays[i])));
}

/* One that has merged as it would have there is none any more. */
void rm_strays_settle(struct rm_range range)
{
	for (size_t i = 0; i < MAX_STRAYS && !none(); i++)
		if (is_here(&strays[i], range, true) && !atomic_load(&strays[i].touched) &&
			(rm_is_joined(atomic_load(&strays[i].start)) ||
				rm_is_joined(atomic_load(&strays[i].end))))
			atomic_store(&strays[i].start, 0);
}

void rm_strays_forget(struct rm_range range)
{
	for (size_t i = 0; i < MAX_STRAYS && !none(); i++)
		if (is_here(&strays[i], range, false))
			atomic_store(&strays[i].start, 0);
}

bool rm_strays_span(struct rm_range range)
{
	for (size_t i = 0; i < MAX_STRAYS && !none(); i++) {
		const uintptr_t start = atomic_load(&strays[i].start),
				end = atomic_load(&strays[i].end);

		if (start && atomic_load(&strays[i].touched) &&
			((start > range.start && start < rm_range_end(range)) ||
				(end > range.start && end < rm_range_end(range))))
			return true;
	}
	return false;
}
