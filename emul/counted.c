/* SPDX-License-Identifier: MIT */
/*
 * What is left behind of memory that was moved before.
 *
 * The kernel counts the pages of private memory from where they were first touched, and what
 * MREMAP_DONTUNMAP leaves behind goes on counting as what was in it. It merges with nothing that is
 * mapped beside it, as that counts from where it lies; and mremap across the two is EFAULT. Ours is
 * new and counts from where it lies, too, and is one mapping with that. So such ranges are kept in
 * a list, until they are unmapped or replaced: whatever else is done to them, they go on counting
 * so.
 *
 * Whether a range is one is found out by a page of what was in it, while everybody stands still:
 * back at its place it merges with an empty page behind it, which has never been touched and so
 * counts from where it lies, if it has been touched there itself or not at all.
 *
 *   what is left goes aside, grown by a page
 *   a page of what was moved goes to its place
 *   the page that has grown goes behind it                  they merge, or not
 *   all goes back, without that page
 *
 * In this order, as before 6.15 what has been touched does not merge with what has not, when it is
 * the one that comes. In front of the two and behind them has to be a hole, or they would merge
 * with what is there: so it is the first page, or the second one, and not tried where neither
 * will do.
 *
 * What comes to lie beside one and counts on is one mapping with it there, if nobody has touched it
 * before, and is not here. Where it counts from is known for sure only if there is one place where
 * it may have been touched. That it has been touched, and not where it is now, shows in that it has
 * not merged with ours.
 *
 * Two such ranges side by side have moved along with each other more often than not, and count on:
 * they are taken for one. Without anybody who sees what is mapped the list is empty.
 */
#include "emul/counted.h"

#include <errno.h>

#include "emul/known.h"
#include "emul/marks.h"
#include "emul/origins.h"
#include "emul/pagemap.h"
#include "emul/scars.h"
#include "emul/sys.h"
#include "emul/world.h"

/* Whether a mapping is one. */
enum { HERE, ELSEWHERE };

static struct rm_marks counted;

void rm_counted_forget(struct rm_range range)
{
	rm_marks_cut(&counted, range);
}

bool rm_counted_is_known(struct rm_range range)
{
	struct rm_mark mark;
	size_t i = 0;

	while (rm_marks_next(&counted, range, &i, &mark))
		if (rm_range_is(mark.range, range))
			return true;
	return false;
}

bool rm_counted_is(uintptr_t addr)
{
	return rm_marks_word(&counted, addr) == ELSEWHERE;
}

static void note(struct rm_range range, unsigned int word)
{
	if (rm_known_watching())
		rm_marks_add(&counted, range, word);
}

void rm_counted_add(struct rm_range range)
{
	note(range, ELSEWHERE);
}

/* Whether one ends at that address, and no other one begins. */
static bool is_edge(uintptr_t at)
{
	return rm_counted_is(at - 1) != rm_counted_is(at);
}

void rm_counted_grown(uintptr_t at, size_t len)
{
	if (rm_counted_is(at - 1))
		rm_marks_add(&counted, (struct rm_range){at, len}, ELSEWHERE);
}

void rm_counted_follow(struct rm_range range)
{
	const uintptr_t end = rm_range_end(range);

	if ((rm_scars_at(range.start) && rm_counted_is(range.start - 1)) ||
		(rm_scars_at(end) && rm_counted_is(end)))
		rm_counted_add(range);
}

bool rm_counted_join_at(uintptr_t at)
{
	struct rm_mark mark;
	size_t i = 0;
	const uintptr_t side = rm_counted_is(at) ? at : at - 1;

	return is_edge(at) && rm_marks_next(&counted, (struct rm_range){side, 1}, &i, &mark) &&
	       rm_origins_surely_go_on(at) && !rm_is_joined(at) && !rm_pagemap_any(mark.range);
}

/* Where one ends: whether it joins what lies beside it, or not. */
static bool is_end(uintptr_t at, bool joins)
{
	return is_edge(at) && !rm_scars_at(at) && rm_counted_join_at(at) == joins;
}

bool rm_counted_join(struct rm_range range)
{
	return rm_marks_end(&counted, range, is_end, true);
}

bool rm_counted_part(struct rm_range range)
{
	return rm_marks_end(&counted, range, is_end, false);
}

/*
 * Which unit can come back with a hole in front of it and one behind the page that follows; or -1.
 */
static int find_unit(struct rm_range range, size_t unit)
{
	const size_t page = rm_page_size(), k = rm_sys_is_mapped(range.start - page) ? 1 : 0;
	const uintptr_t end = rm_range_end(range), behind = range.start + (k + 1) * unit;

	if (behind > end || (behind == end && rm_sys_is_mapped(end)) ||
		(behind + page >= end && rm_sys_is_mapped(behind + page)))
		return -1;
	return (int)k;
}

/*
 * What was left is aside, and a page more at empty. Whether what was moved counts from elsewhere, 1
 * or 0; -1: not known; -ENOMEM: a way back has failed.
 */
static int try_at(
	uintptr_t from, uintptr_t home, size_t unit, uintptr_t empty, struct rm_ballast *ballast)
{
	const uintptr_t behind = home + unit;
	int r = -1;

	if (rm_is_err(rm_shift(from, unit, home)))
		return -1;
	if (!rm_is_err(rm_shift(empty, rm_page_size(), behind))) {
		r = !rm_is_joined(behind);
		rm_let_go(behind, rm_page_size(), ballast);
	}
	return rm_put(home, unit, from, ballast) ? r : -ENOMEM;
}

int rm_counted_look(
	struct rm_range range, uintptr_t target, size_t unit, struct rm_ballast *ballast)
{
	const size_t page = rm_page_size(), len = range.len + page;
	const int k = find_unit(range, unit);
	uintptr_t room, skip;
	long at;
	int r = -1;

	/* where huge pages can not lie they would be split */
	if (k < 0 || (range.start & (unit - 1)))
		return 0;
	at = rm_map_remote(len, PROT_NONE, range.start, unit,
		(struct rm_range){range.start - page, len + 2 * page});
	if (rm_is_err(at))
		return 0;
	room = (uintptr_t)at;
	skip = (size_t)k * unit;
	if (!rm_is_err(rm_sys_mremap(range.start, range.len, len, RM_MAYMOVE | RM_FIXED, room))) {
		r = try_at(target + skip, range.start + skip, unit, room + range.len, ballast);
		if (r != -ENOMEM && !rm_put(room, range.len, range.start, ballast))
			r = -ENOMEM;
	}
	if (r == -ENOMEM)
		return r;
	rm_let_go(room, len, ballast);
	if (r >= 0)
		note(range, r ? ELSEWHERE : HERE);
	return 0;
}
