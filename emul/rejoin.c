/* SPDX-License-Identifier: MIT */
/*
 * Making the empty head of a mapping one with the rest of it.
 *
 * The twin of a head merges with the rest only if it counts its pages as the rest does (origins.c) and has the rest's anon_vma
 * or none. A new mapping counts from its own address, so next to memory that was moved it stays apart. What
 * has the right count and the right anon_vma is what was in the head, and a mapping can be given more pages at its end, not
 * at its beginning. So, with everybody stopped and h where the head was first touched:
 *
 *   the first page of what was moved goes to h          there its count is its address
 *   the first page of the twin goes to h - 1 page       empty and untouched: its count is its address wherever it goes;
 *                                                       the two merge, and it has their anon_vma
 *   the page at h - 1 is moved on and grows             now the pages behind it are empty, and count as the head's did
 *   those take the twin's place                         and merge with the rest
 *   the first page of what was moved goes back
 *
 * That nothing is shown to anybody follows from moving page tables only. Where the head may be of huge pages it is done
 * with 2 MiB instead of a page, so that none is split.
 *
 * Only if nothing lies at h - 1 and h: memory of the program that has nothing to do with the move is not taken away for a moment,
 * as what the kernel does by itself (io_uring, vhost, another process that reads it) does not stand still. Not for what a forked
 * child has inherited: the kernel merges nothing new with that (is_mergeable_anon_vma()).
 */
#include "emul/rejoin.h"

#include <errno.h>

#include "emul/origins.h"
#include "emul/sys.h"
#include "emul/world.h"

#define PMD_SIZE (2UL << 20)
#define ISLANDS	 4 /* with what is between them more mappings than what is done here adds */

static long move(uintptr_t from, size_t len, uintptr_t to)
{
	return rm_sys_mremap(from, len, len, RM_MAYMOVE | RM_FIXED, to);
}

/*
 * The map count is the only reason for which a way back could fail, and nobody else maps anything now: so some mappings are
 * made that can be given up then.
 */
static bool get_ballast(struct rm_range *ballast)
{
	const size_t page = rm_page_size();
	bool got = true;
	long at;

	ballast->len = 2 * ISLANDS * page;
	at = rm_sys_mmap(
		0, ballast->len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rm_is_err(at))
		return false;
	ballast->start = (uintptr_t)at;
	for (size_t i = 0; i < ISLANDS && got; i++)
		got = !rm_sys_mprotect(ballast->start + 2 * i * page, page, PROT_READ);
	if (!got)
		rm_sys_munmap(ballast->start, ballast->len);
	return got;
}

/* Once: others may come to lie there. */
static void drop(struct rm_range *ballast)
{
	if (ballast->len)
		rm_sys_munmap(ballast->start, ballast->len);
	ballast->len = 0;
}

/* What must not fail. */
static bool put(uintptr_t from, size_t len, uintptr_t to, struct rm_range *ballast)
{
	if (!rm_is_err(move(from, len, to)))
		return true;
	drop(ballast);
	return !rm_is_err(move(from, len, to));
}

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

/* 1: it is done; 0: all is as before; -ENOMEM: a way back has failed. */
static int rejoin_at(
	uintptr_t h, size_t unit, struct rm_range head, uintptr_t target, struct rm_range *ballast)
{
	const uintptr_t below = h - unit;
	const bool there = h == target; /* the head's pages have moved to where they come from */
	const struct rm_range place = {below, there ? unit : 2 * unit};
	bool borrowed = there, lent, done = false, back = true;
	uintptr_t room;
	long got;

	if (h <= 2 * unit || (h & (unit - 1)) || !reserve(place))
		return 0;
	/* Before there are holes: what grows must not come to lie in one, nor reach into where it is to go. */
	got = rm_map_away(unit + head.len, PROT_NONE, place);
	if (rm_is_err(got)) {
		rm_sys_munmap(place.start, place.len);
		return 0;
	}
	room = (uintptr_t)got;
	if (!there)
		borrowed = !rm_is_err(move(target, unit, h));
	lent = borrowed && !rm_is_err(move(head.start, unit, below));
	if (lent && rm_is_joined(h))
		done = !rm_is_err(
			rm_sys_mremap(below, unit, unit + head.len, RM_MAYMOVE | RM_FIXED, room));
	if (done)
		back = put(room + unit, head.len, head.start, ballast);
	else if (lent)
		back = put(below, unit, head.start, ballast);
	if (borrowed && !there)
		back &= put(h, unit, target, ballast);
	if (!back) /* what is there is not to be unmapped */
		return -ENOMEM;
	rm_sys_munmap(room, unit + head.len);
	rm_sys_munmap(place.start, place.len);
	return done;
}

int rm_rejoin(struct rm_range head, uintptr_t target)
{
	const size_t unit = head.len >= PMD_SIZE && !(target & (PMD_SIZE - 1)) ? PMD_SIZE
									       : rm_page_size();
	uintptr_t origins[RM_ORIGINS_TRIED];
	const size_t n = rm_origins_of(head.start, origins);
	struct rm_range ballast;
	int r = 0;

	if (!n || rm_is_joined(rm_range_end(head)) || !get_ballast(&ballast))
		return 0;
	for (size_t i = 0; i < n && !r; i++)
		r = rejoin_at(origins[i], unit, head, target, &ballast);
	drop(&ballast);
	return r < 0 ? r : 0;
}
