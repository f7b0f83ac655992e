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
 * What lies at h - 1 and h is moved aside and back. That nothing is shown to anybody follows from moving page tables only. Where
 * the head may be of huge pages it is done with 2 MiB instead of a page, so that none is split.
 *
 * Not for what a forked child has inherited: the kernel merges nothing new with that (is_mergeable_anon_vma()). Not where
 * the place is used by anything but ordinary memory that nobody watches and that is not locked, nor where that is a stack: a
 * thread that stands still may be woken, to look whether it may go on.
 */
#include "emul/rejoin.h"

#include <errno.h>
#include <string.h>

#include "emul/facts.h"
#include "emul/origins.h"
#include "emul/quiesce.h"
#include "emul/sys.h"
#include "emul/world.h"

#define PMD_SIZE (2UL << 20)
#define ISLANDS                                                                                    \
	12 /* two mappings each, to be given up when the map count is what a way back fails for */

/* Somewhere to put things, with what lies around it in the process. All PROT_NONE. */
struct spare {
	struct rm_range all;
	uintptr_t grown;    /* where the page at h - 1 grows */
	uintptr_t aside[2]; /* for what lies at h - 1 and at h */
	struct rm_range ballast;
};

struct rejoin {
	struct rm_world *world;
	struct rm_range head, mapping;
	uintptr_t target;
	size_t unit; /* a page, or a huge one */
	struct spare spare;
	int lost; /* ways back that failed */
};

static long move(uintptr_t from, size_t len, uintptr_t to)
{
	return rm_sys_mremap(from, len, len, RM_MAYMOVE | RM_FIXED, to);
}

/* What must not fail. The map count is the only reason that there is, and it is less without the ballast. */
static void put(struct rejoin *x, uintptr_t from, size_t len, uintptr_t to)
{
	if (!rm_is_err(move(from, len, to)))
		return;
	rm_sys_munmap(x->spare.ballast.start, x->spare.ballast.len);
	if (rm_is_err(move(from, len, to)))
		x->lost++;
}

static bool get_spare(struct rejoin *x, struct rm_range place)
{
	const size_t page = rm_page_size(), unit = x->unit, grown = unit + x->head.len;
	struct spare *s = &x->spare;
	uintptr_t at;
	long got;

	s->all.len = grown + 2 * unit + (4 + 2 * ISLANDS) * page;
	got = rm_sys_mmap(
		0, s->all.len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rm_is_err(got))
		return false;
	if (rm_range_overlaps((struct rm_range){(uintptr_t)got, s->all.len}, place)) {
		rm_sys_munmap((uintptr_t)got, s->all.len);
		return false;
	}
	/* A page between any two of them, so that nothing merges. */
	s->all.start = at = (uintptr_t)got;
	s->grown = at += page;
	s->aside[0] = at += grown + page;
	s->aside[1] = at += unit + page;
	s->ballast.start = at += unit + page;
	s->ballast.len = 2 * ISLANDS * page;
	for (size_t i = 0; i < ISLANDS; i++)
		if (rm_sys_mprotect(at + 2 * i * page, page, PROT_READ)) {
			rm_sys_munmap(s->all.start, s->all.len);
			return false;
		}
	return true;
}

/* Huge pages are moved as such only between places alike, and must not be split. */
static bool may_be_huge(const struct rm_vma *vma, uintptr_t at)
{
	const uintptr_t block = at & ~(PMD_SIZE - 1);

	return vma->start <= block && block + PMD_SIZE <= vma->end;
}

/* Page tables and nothing else is what moving it moves: no driver is asked, no monitor told. */
static bool is_ordinary(const struct rm_vma *vma)
{
	const uint32_t watched = RM_VF_UFFD | RM_VF_LOCKED | RM_VF_SEALED | RM_VF_SHADOWSTACK |
				 RM_VF_MTE | RM_VF_IO | RM_VF_MIXEDMAP;
	const enum rm_kind kind = rm_facts_kind(vma);
	const bool has_role = vma->name[0] == '[' && strncmp(vma->name, "[anon", 5) &&
			      strcmp(vma->name, "[heap]");

	return (kind == RM_KIND_ANON || kind == RM_KIND_SHARED) && !has_role && vma->have_flags &&
	       !(vma->vmflags & watched);
}

/* What lies in [start, start + 2 units) can be moved aside and back: there is nothing, or ordinary memory. */
static bool can_clear(struct rejoin *x, uintptr_t start, bool *used)
{
	const struct rm_range at = {start, 2 * x->unit};
	struct rm_maps *maps = &x->world->maps;
	struct rm_vma vma;
	bool can = true;
	int r;

	used[0] = used[1] = false;
	if (rm_maps_open(maps, true, start))
		return false;
	while ((r = rm_maps_next(maps, &vma)) > 0 && can && vma.start < rm_range_end(at)) {
		if (vma.end <= start)
			continue;
		can = is_ordinary(&vma) &&
		      !rm_world_is_own((struct rm_range){vma.start, vma.end - vma.start});
		for (size_t i = 0; i < 2; i++) {
			const uintptr_t place = start + i * x->unit;

			if (vma.start >= place + x->unit || vma.end <= place)
				continue;
			used[i] = true;
			can &= vma.start <= place && vma.end >= place + x->unit &&
			       (x->unit == PMD_SIZE || !may_be_huge(&vma, place));
		}
	}
	rm_maps_close(maps);
	return can && r >= 0 && (!(used[0] || used[1]) || !rm_quiesce_uses(x->world, at));
}

static bool is_suitable(const struct rejoin *x, uintptr_t h)
{
	const struct rm_range at = {h - x->unit, 2 * x->unit}, target = {x->target, x->head.len};

	/* where the head's pages lie may be where they come from */
	return h > 2 * x->unit && !(h & (x->unit - 1)) && !rm_range_overlaps(at, x->mapping) &&
	       (!rm_range_overlaps(at, target) || h == x->target) && !rm_world_is_own(at);
}

/* Whether it is done; if not, all is as before. */
static bool rejoin_at(struct rejoin *x, uintptr_t h)
{
	const size_t unit = x->unit;
	const uintptr_t below = h - unit;
	const bool there = h == x->target;
	bool used[2], cleared[2] = {false, false}, borrowed = there, lent = false, done = false, ok;

	if (!is_suitable(x, h) || !can_clear(x, below, used))
		return false;
	ok = get_spare(x, (struct rm_range){below, 2 * unit});
	if (!ok)
		return false;
	if (there)
		used[1] = false;
	for (size_t i = 0; i < 2 && ok; i++)
		if (used[i])
			ok = cleared[i] = !rm_is_err(
				move(below + i * unit, unit, x->spare.aside[i]));
	if (ok && !there)
		ok = borrowed = !rm_is_err(move(x->target, unit, h));
	if (ok)
		ok = lent = !rm_is_err(move(x->head.start, unit, below));
	if (ok && rm_is_joined(h))
		done = !rm_is_err(rm_sys_mremap(
			below, unit, unit + x->head.len, RM_MAYMOVE | RM_FIXED, x->spare.grown));
	if (done)
		put(x, x->spare.grown + unit, x->head.len, x->head.start);
	else if (lent)
		put(x, below, unit, x->head.start);
	if (borrowed && !there)
		put(x, h, unit, x->target);
	for (size_t i = 0; i < 2; i++)
		if (cleared[i])
			put(x, x->spare.aside[i], unit, below + i * unit);
	if (!x->lost) /* else what is in there is not to be unmapped */
		rm_sys_munmap(x->spare.all.start, x->spare.all.len);
	return done;
}

int rm_rejoin(struct rm_world *world, struct rm_range head, uintptr_t end, uintptr_t target)
{
	struct rejoin x = {.world = world,
		.head = head,
		.mapping = {head.start, end - head.start},
		.target = target};
	uintptr_t origins[RM_ORIGINS_TRIED];
	const size_t n = rm_origins_of(head.start, origins);
	bool done = false;

	if (!n || rm_is_joined(rm_range_end(head)))
		return 0;
	x.unit = head.len >= PMD_SIZE && !(target & (PMD_SIZE - 1)) ? PMD_SIZE : rm_page_size();
	for (size_t i = 0; i < n && !done && !x.lost; i++)
		done = rejoin_at(&x, origins[i]);
	return x.lost ? -ENOMEM : 0;
}
