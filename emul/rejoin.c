/* SPDX-License-Identifier: MIT */
/*
 * Making the empty head of a mapping one with the rest of it.
 *
 * The twin of a head merges with the rest only if it counts its pages as the rest does (origins.c)
 * and has the rest's anon_vma or none. A new mapping counts from its own address, so next to memory
 * that was moved it stays apart. What has the right count and the right anon_vma is what was in the
 * head, and a mapping can be given more pages at its end, not at its beginning. So, with everybody
 * stopped and h where the head was first touched:
 *
 *   the first page of what was moved goes to h          there its count is its address
 *   the first page of the twin goes to h - 1 page       empty and untouched: its count is its
 *                                                       address wherever it goes; the two merge,
 *                                                       and it has their anon_vma
 *   the page at h - 1 is moved on and grows             now the pages behind it are empty, and
 *                                                       count as the head's did
 *   those take the twin's place                         and merge with the rest
 *   the first page of what was moved goes back
 *
 * That nothing is shown to anybody follows from moving page tables only. Where the head may be of
 * huge pages it is done with 2 MiB instead of a page, so that none is split.
 *
 * Memory of the program that has nothing to do with the move is not taken away for a moment, as
 * what the kernel does by itself (io_uring, vhost, another process that reads it) does not stand
 * still. So this needs h - 1 and h free. If only one of them is, the page of the twin goes there,
 * and may merge with what lies on the other:
 *
 *   a part of the mapping that stayed there   it has the anon_vma
 *   the mapping's own emptied source          by 6.18 it has none until it is touched. Then it is
 *                                             given ours: by a page behind its end, from the end of
 *                                             what was moved, grown to count on from there. That it
 *                                             has ours from then on shows only where the kernel
 *                                             would merge it with something that has another
 *   anything else                             has another one; what has grown from it does not
 *                                             merge, and the twin is made again
 *
 * If it is h that is free, and the page of the twin there does not merge with what lies at h - 1,
 * it is given ours in the same way: by the page that counts on behind it, at h + 1.
 *
 * Pages that are lent come back as they went only if they have an anon_vma where that is assumed,
 * and none where it is not: so what was moved is looked at first, and the twin if it has merged
 * with what lies in front of it (counts()). Otherwise nothing is tried.
 *
 * Not for what a forked child has inherited: the kernel merges nothing new with that
 * (is_mergeable_anon_vma()).
 */
#include "emul/rejoin.h"

#include <errno.h>

#include "emul/ballast.h"
#include "emul/counted.h"
#include "emul/features.h"
#include "emul/origins.h"
#include "emul/scars.h"
#include "emul/strays.h"
#include "emul/sys.h"
#include "emul/world.h"

#define PMD_SIZE (2UL << 20)

/* Whether nothing lies there; then it is reserved. */
static bool reserve(struct rm_range place)
{
	const long at = rm_sys_mmap(place.start, place.len, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == (long)place.start)
		return true;
	if (!rm_is_err(at))
		rm_sys_munmap((uintptr_t)at, place.len);
	return false;
}

struct head {
	struct rm_range range; /* where the twin is */
	uintptr_t end;	       /* of the mapping that it begins */
	uintptr_t target;      /* where what was in it is now */
	bool huge;	       /* perhaps it is of huge pages */
	bool goes_on;	       /* there is a rest; else it is all of the mapping */
};

/* Where a page of the twin is put. */
struct way {
	struct rm_range place; /* reserved meanwhile */
	uintptr_t at;
	size_t unit; /* how much of the twin */
	size_t skip; /* from there to what counts as the head */
	/*
	 * it merges with what was in the head; else with what lies there, and may have got another
	 * anon_vma
	 */
	bool sure;
	/* the end of what lies there, if it may have no anon_vma, or of the page; or 0 */
	uintptr_t behind;
};

static bool is_one(uintptr_t start, uintptr_t end)
{
	return rm_sys_in_one_mapping(start, end - start, rm_features()->task_size);
}

/*
 * Where the mapping that at lies in begins. Asking the kernel a few times takes less than reading
 * /proc/self/maps.
 */
static uintptr_t find_start(uintptr_t at)
{
	const size_t page = rm_page_size();
	const uintptr_t end = at + page;
	size_t step;

	for (step = page; step < at && is_one(at - step, end); step *= 2)
		at -= step;
	while ((step /= 2) >= page)
		if (is_one(at - step, end))
			at -= step;
	return at;
}

/* Where it ends, most likely at guess. */
static uintptr_t find_end(uintptr_t at, uintptr_t guess)
{
	const size_t page = rm_page_size();
	uintptr_t end = at + page;
	size_t step;

	if (is_one(at, guess) && !is_one(at, guess + page))
		return guess;
	for (step = page; is_one(at, end + step); step *= 2)
		end += step;
	while ((step /= 2) >= page)
		if (is_one(at, end + step))
			end += step;
	return end;
}

static bool find_way(uintptr_t h, const struct head *head, struct way *way)
{
	const size_t page = rm_page_size(), unit = head->huge ? PMD_SIZE : page;
	uintptr_t start, end;

	if (h <= 2 * unit || (h & (unit - 1)))
		return false;
	*way = (struct way){
		{h - unit, h == head->target ? unit : 2 * unit}, h - unit, unit, unit, true, 0};
	if (reserve(way->place))
		return true;
	if (!rm_sys_is_mapped(h)) {
		*way = (struct way){{h, 2 * page}, h, page, 0, false, h + page};
		if (!head->huge && reserve(way->place))
			return true;
		*way = (struct way){{h, page}, h, page, 0, false, 0};
		return reserve(way->place);
	}
	start = find_start(h);
	if (start <= page)
		return false;
	start -= page;
	*way = (struct way){{start, page}, start, page, h - start, false, 0};
	if (!reserve(way->place))
		return false;
	end = find_end(h, h + (head->end - head->range.start));
	/* where the twin begins is a hole for a moment only, and not one to be filled */
	if (!head->huge && end != head->range.start)
		way->behind = end;
	return true;
}

static bool has_merged(const struct way *way)
{
	return rm_is_joined(way->at + way->unit) || (!way->skip && rm_is_joined(way->at));
}

/*
 * Now that there is a page like the head at way->at. 1: it is done; 0: it is not; -ENOMEM: a way
 * back has failed.
 */
static int take(
	const struct way *way, struct rm_range twin, uintptr_t room, struct rm_ballast *ballast)
{
	if (rm_is_err(rm_sys_mremap(
		    way->at, way->unit, way->skip + twin.len, RM_MAYMOVE | RM_FIXED, room)))
		return 0;
	return rm_put(room + way->skip, twin.len, twin.start, ballast) ? 1 : -ENOMEM;
}

/* By what was in the head. 1: it is done; 0: all is as before; -ENOMEM: a way back has failed. */
static int by_head(const struct way *way, uintptr_t h, const struct head *head, uintptr_t room,
	struct rm_ballast *ballast)
{
	const bool there = h == head->target; /* its pages have moved to where they come from */
	const bool borrowed = there || !rm_is_err(rm_shift(head->target, way->unit, h));
	const bool lent = borrowed && !rm_is_err(rm_shift(head->range.start, way->unit, way->at));
	int r = lent && has_merged(way) ? take(way, head->range, room, ballast) : 0;

	if (!r && lent && !rm_put(way->at, way->unit, head->range.start, ballast))
		r = -ENOMEM;
	if (borrowed && !there && !rm_put(h, way->unit, head->target, ballast))
		r = -ENOMEM;
	return r;
}

/* Whether the page that counts on behind what lies at h was in the head; then where it is now. */
static uintptr_t find_tail(const struct way *way, uintptr_t h, const struct head *head)
{
	return way->behind && way->behind < h + head->range.len ? head->target + (way->behind - h)
								: 0;
}

/* How much room making that page takes. */
static size_t tail_len(const struct way *way, uintptr_t h, const struct head *head)
{
	return way->behind < h + head->range.len
		       ? 0
		       : way->behind - (h + head->range.len) + 2 * rm_page_size();
}

/*
 * What lies at h is mostly what the whole mapping has left there when it was moved; if nobody has
 * touched it since, it has no anon_vma, and would count anew in the room. A page behind it that
 * goes on counting where it ends, and has ours, gives it that: by merging (6.15), or when it is
 * touched (find_mergeable_anon_vma()). What was in the head has such a page, or grows into one.
 * Whether there is one now, 0 or 1; -ENOMEM. The same page gives it to a page of the twin at h.
 */
static int put_tail(const struct way *way, uintptr_t h, const struct head *head, uintptr_t room,
	struct rm_ballast *ballast)
{
	const size_t page = rm_page_size(), len = tail_len(way, h, head);
	const uintptr_t tail = find_tail(way, h, head),
			last = head->target + head->range.len - page;
	bool moved;

	/* looked at now, as the room may have come to lie there, unless it is reserved */
	if (!way->behind || (way->skip && rm_sys_is_mapped(way->behind)))
		return 0;
	if (tail)
		return !rm_is_err(rm_shift(tail, page, way->behind));
	if (rm_is_err(rm_sys_mremap(last, page, len, RM_MAYMOVE | RM_FIXED, room)))
		return 0;
	moved = !rm_is_err(rm_shift(room + len - page, page, way->behind));
	return rm_put(room, page, last, ballast) ? moved : -ENOMEM;
}

static bool take_tail(
	const struct way *way, uintptr_t h, const struct head *head, struct rm_ballast *ballast)
{
	const uintptr_t tail = find_tail(way, h, head);

	if (tail)
		return rm_put(way->behind, rm_page_size(), tail, ballast);
	rm_let_go(way->behind, rm_page_size(), ballast);
	return true;
}

/*
 * Before 6.15: way->at is touched, with what lies at h, if what lies behind that really counts on.
 * Otherwise, as h is only a guess, it would get an anon_vma that nobody else has. An empty page of
 * the twin shows it: that counts from wherever it lies.
 */
static void touch(const struct way *way, uintptr_t empty, struct rm_ballast *ballast)
{
	const size_t page = rm_page_size();
	const uintptr_t next = way->behind + page;

	if (rm_sys_is_mapped(next) || rm_is_err(rm_shift(empty, page, next)))
		return;
	if (rm_is_joined(next))
		rm_sys_touch(way->at);
	rm_let_go(next, page, ballast);
}

/*
 * The page at h has not merged with what lies in front of it: what was in the head has a page that
 * goes on behind it (put_tail()). Whether there is one now, 0 or 1; -ENOMEM. *poked: a page has
 * been written to.
 */
static int by_tail(const struct way *way, const struct head *head, uintptr_t room, bool *poked,
	struct rm_ballast *ballast)
{
	const int tail = put_tail(way, way->at, head, room, ballast);

	if (tail > 0 && !rm_is_joined(way->behind)) { /* before 6.15 */
		rm_sys_touch(way->at);
		*poked = true;
	}
	return tail;
}

/*
 * By what lies beside way->at. A second page of the twin is kept, from which it can be grown again.
 */
static int by_neighbour(const struct way *way, uintptr_t h, const struct head *head, uintptr_t room,
	struct rm_ballast *ballast)
{
	const struct rm_range range = head->range;
	const uintptr_t lent = room + way->skip + range.len, kept = lent + way->unit,
			empty = kept + way->unit, rest = empty + way->unit;
	/*
	 * The very page, as long as nothing has become of it: where the twin has merged with what
	 * lies in front of it, and has that one's anon_vma, another one counts on from it.
	 */
	uintptr_t back = lent;
	bool poked = false;
	int tail = 0, r = 0;

	if (rm_is_err(rm_sys_mremap(
		    range.start, way->unit, 3 * way->unit, RM_MAYMOVE | RM_FIXED, lent)))
		return 0;
	if (way->skip)
		tail = put_tail(way, h, head, rest, ballast);
	if (tail < 0)
		return -ENOMEM;
	if (!rm_is_err(rm_shift(lent, way->unit, way->at))) {
		const bool merged = has_merged(way);

		back = way->at;
		if (merged && tail && !rm_is_joined(way->behind))
			touch(way, empty, ballast);
		else if (!merged && !way->skip)
			tail = by_tail(way, head, rest, &poked, ballast);
		if (tail < 0)
			return -ENOMEM;
		if (merged || (tail && !way->skip)) {
			back = kept;
			r = take(way, range, room, ballast);
		}
	}
	if (!r && !rm_put(back, way->unit, range.start, ballast))
		r = -ENOMEM;
	/* another anon_vma */
	if (r > 0 && !rm_is_joined(rm_range_end(range)) &&
		!rm_is_err(rm_sys_mremap(
			kept, way->unit, range.len, RM_MAYMOVE | RM_FIXED, room + way->skip)))
		r = rm_put(room + way->skip, range.len, range.start, ballast) ? 0 : -ENOMEM;
	else if (r > 0 && poked)
		(void)rm_sys_madvise(range.start, rm_page_size(), MADV_DONTNEED);
	if (tail && !take_tail(way, h, head, ballast))
		r = -ENOMEM;
	return r;
}

/* 1: it is done; 0: all is as before; -ENOMEM: a way back has failed. */
static int rejoin_at(uintptr_t h, const struct head *head, struct rm_ballast *ballast)
{
	struct way way;
	size_t len;
	long room;
	int r = 0;

	if (!find_way(h, head, &way))
		return 0;
	/* whether it has got the right anon_vma shows in the rest only */
	if (!way.sure && !head->goes_on) {
		rm_let_go(way.place.start, way.place.len, ballast);
		return 0;
	}
	if (!way.sure && !ballast->parts[1].len && !rm_ballast_get(&ballast->parts[1])) {
		rm_let_go(way.place.start, way.place.len, ballast);
		return 0;
	}
	/*
	 * Before there are holes: what grows must not come to lie in one, nor reach into where it
	 * is to go.
	 */
	len = way.skip + head->range.len;
	if (!way.sure)
		len += 3 * way.unit + (way.behind ? tail_len(&way, h, head) : 0);
	room = rm_map_remote(len, PROT_NONE, 0, way.unit, way.place);
	if (!rm_is_err(room)) {
		r = way.sure ? by_head(&way, h, head, (uintptr_t)room, ballast)
			     : by_neighbour(&way, h, head, (uintptr_t)room, ballast);
		if (r < 0) /* what is there is not to be unmapped */
			return r;
		rm_let_go((uintptr_t)room, len, ballast);
	}
	rm_let_go(way.place.start, way.place.len, ballast);
	return r;
}

/*
 * Whether what lies at at has an anon_vma, and counts from elsewhere: what has none counts anew
 * wherever it is moved, also a page of it that is put in front of the one that it was behind. -1 if
 * there is no room to find out; -ENOMEM: a way back has failed.
 */
static int counts(uintptr_t at, size_t unit, struct rm_ballast *ballast)
{
	const struct rm_range nowhere = {0, 0};
	const size_t len = 3 * unit;
	/* at the same offset, so that no huge page is split */
	const long room = rm_map_remote(len, PROT_NONE, at, unit, nowhere);
	const uintptr_t page = (uintptr_t)room + unit;
	int r = -1;

	if (rm_is_err(room))
		return -1;
	if (!rm_is_err(rm_sys_mremap(at, unit, 2 * unit, RM_MAYMOVE | RM_FIXED, page))) {
		if (!rm_is_err(rm_shift(page + unit, unit, (uintptr_t)room)))
			r = !rm_is_joined(page);
		if (!rm_put(page, unit, at, ballast))
			return -ENOMEM;
	}
	rm_let_go((uintptr_t)room, len, ballast);
	return r;
}

/* And has merged with none of them. */
static bool is_beside_others(struct rm_range range)
{
	return !rm_is_joined(range.start) && (rm_sys_is_mapped(range.start - rm_page_size()) ||
						     rm_sys_is_mapped(rm_range_end(range)));
}

/*
 * What is left as a whole. Not if it is a part of what 6.18 has left whole, nor if it has merged
 * with what has been touched, perhaps only until it got its advice, and has its anon_vma.
 */
static int look_at_count(const struct head *head, size_t unit, struct rm_ballast *ballast)
{
	const struct rm_range range = head->range;
	int r;

	if (rm_scars_at(range.start) || rm_scars_at(rm_range_end(range))) {
		rm_counted_follow(range);
		return 0;
	}
	r = counts(range.start, unit, ballast);
	if (r)
		return r == -ENOMEM ? r : 0;
	return rm_counted_look(range, head->target, unit, ballast);
}

/* Asked before anything is mapped for it. */
static bool can_merge(const struct head *head)
{
	return !rm_is_joined(rm_range_end(head->range)) &&
	       (head->goes_on || is_beside_others(head->range));
}

static int rejoin(const struct head *head, size_t unit, struct rm_ballast *ballast)
{
	const struct rm_range range = head->range;
	uintptr_t origins[RM_ORIGINS_TRIED];
	const size_t n = rm_origins_of(range.start, origins);
	int moved, twin = 0, r = 0;

	if (!n)
		return 0;
	moved = counts(head->target, unit, ballast);
	/* else it has merged with what lies in front, which may have an anon_vma, and it has that */
	if (moved > 0 && rm_is_joined(range.start))
		twin = counts(range.start, unit, ballast);
	if (moved == -ENOMEM || twin == -ENOMEM)
		return -ENOMEM; /* what is there is not to be unmapped */
	for (size_t i = 0; i < n && !r && moved > 0 && !twin; i++)
		r = rejoin_at(origins[i], head, ballast);
	return r;
}

int rm_rejoin(struct rm_range range, uintptr_t end, uintptr_t target, unsigned int how)
{
	const struct head head = {range, end, target,
		range.len >= PMD_SIZE && !(target & (PMD_SIZE - 1)), end > rm_range_end(range)};
	const size_t unit = head.huge ? PMD_SIZE : rm_page_size();
	const bool merge = (how & RM_REJOIN_MERGE) && can_merge(&head),
		   count = how & RM_REJOIN_COUNT;
	struct rm_ballast ballast = {0};
	int r;

	if ((merge || count) && !rm_ballast_get(&ballast.parts[0]))
		return 0;
	r = merge ? rejoin(&head, unit, &ballast) : 0;
	if (!r && count)
		r = look_at_count(&head, unit, &ballast);
	else if (r > 0 && !head.goes_on)
		rm_strays_add(range);
	else if (!r && head.goes_on && !rm_is_joined(rm_range_end(range)))
		rm_counted_add(range); /* as the rest does */
	if (r != -ENOMEM)
		rm_ballast_drop(&ballast);
	return r;
}
