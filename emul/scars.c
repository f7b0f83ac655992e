/* SPDX-License-Identifier: MIT */
/*
 * Scars.
 *
 * When the first part of a private mapping is moved by MREMAP_DONTUNMAP, 6.18 leaves the mapping
 * whole. We map that part anew, and the kernel joins it with the rest only if the rest lies where
 * it was first mapped: in a mapping that was moved itself, or inherited over fork, the page offset
 * or the anon_vma differ. For what was moved rejoin.c knows a way, if nothing stands in it; what
 * was inherited, and the rest, stays in two. Nothing but /proc/self/maps shows that, except mremap,
 * which wants its source in one mapping (EFAULT).
 *
 * So those places are kept in a list, and a mremap across one of them is done piece by piece with
 * everybody stopped, if the pieces are alike in all else. Whoever unmaps or maps something there
 * strikes them off (shim/watch.c sees it); without anybody who sees that, the list stays empty. A
 * forked child inherits it with the mappings.
 *
 * Seams are the opposite: where 6.18 would have left two mappings that are alike but not merged (a
 * locked mapping that was moved as a whole loses its lock, and nobody merges it with its
 * neighbours; two that were touched before they lay side by side), and ours has merged, because it
 * is new. There mremap says EFAULT as it would, until something is done to either side by which the
 * kernel would have merged them.
 *
 * Three more lists tell of one or the other, where that depends on what is done later: strays.c (of
 * what moved along), counted.c (of what counts from elsewhere) and charges.c (of what keeps its
 * charge). What is asked here takes them into account.
 *
 * An armed source is left to its EFAULT: its monitor would be told of pieces.
 */
#include "emul/scars.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "emul/charges.h"
#include "emul/counted.h"
#include "emul/known.h"
#include "emul/move.h"
#include "emul/origins.h"
#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/strays.h"
#include "emul/sys.h"
#include "emul/world.h"

#define MAX_PLACES 64
#define MAX_PIECES 16

struct places {
	_Atomic uintptr_t at[MAX_PLACES]; /* 0: none */
	_Atomic unsigned int count;	  /* at most so many are set */
	_Atomic unsigned int next;	  /* given up next */
};

static struct places scars, seams;

static bool is_in(const struct places *places, uintptr_t at)
{
	if (!atomic_load_explicit(&places->count, memory_order_relaxed))
		return false;
	for (size_t i = 0; i < MAX_PLACES; i++)
		if (atomic_load(&places->at[i]) == at)
			return true;
	return false;
}

static void strike_off(struct places *places, size_t i, uintptr_t at)
{
	if (atomic_compare_exchange_strong(&places->at[i], &at, 0))
		atomic_fetch_sub(&places->count, 1);
}

/* By the world's holder only. */
static void add(struct places *places, uintptr_t at)
{
	size_t i;

	if (is_in(places, at))
		return;
	for (i = 0; i < MAX_PLACES && atomic_load(&places->at[i]); i++)
		;
	if (i == MAX_PLACES) {
		i = atomic_fetch_add(&places->next, 1) % MAX_PLACES;
		strike_off(places, i, atomic_load(&places->at[i]));
	}
	atomic_fetch_add(&places->count, 1);
	atomic_store(&places->at[i], at);
}

/* Also at both ends of the range. */
static void forget(struct places *places, struct rm_range range)
{
	if (!atomic_load_explicit(&places->count, memory_order_relaxed))
		return;
	for (size_t i = 0; i < MAX_PLACES; i++) {
		const uintptr_t at = atomic_load(&places->at[i]);

		if (at && at >= range.start && at <= rm_range_end(range))
			strike_off(places, i, at);
	}
}

static bool span(const struct places *places, struct rm_range range)
{
	if (!atomic_load_explicit(&places->count, memory_order_relaxed))
		return false;
	for (size_t i = 0; i < MAX_PLACES; i++) {
		const uintptr_t at = atomic_load(&places->at[i]);

		if (at > range.start && at < rm_range_end(range))
			return true;
	}
	return false;
}

void rm_scars_forget(struct rm_range range)
{
	forget(&scars, range);
	rm_strays_forget(range);
	rm_charges_forget(range);
	rm_counted_forget(range);
}

bool rm_scars_at(uintptr_t at)
{
	return is_in(&scars, at);
}

bool rm_scars_span(struct rm_range range)
{
	return span(&scars, range) || rm_charges_join(range) || rm_counted_join(range);
}

void rm_seams_forget(struct rm_range range)
{
	forget(&seams, range);
	rm_strays_settle(range);
}

bool rm_seams_span(struct rm_range range)
{
	return span(&seams, range) || rm_strays_span(range) || rm_counted_part(range) ||
	       rm_charges_part(range);
}

bool rm_seams_at(uintptr_t at)
{
	return atomic_load_explicit(&seams.count, memory_order_relaxed) && is_in(&seams, at);
}

/* Whether what is on either side of at is one mapping is asked of the kernel. */
static void look(uintptr_t at)
{
	if (rm_is_joined(at))
		forget(&scars, (struct rm_range){at, 0});
	else
		add(&scars, at);
}

void rm_scars_meet(struct rm_range range)
{
	const uintptr_t ends[] = {range.start, rm_range_end(range)};

	for (size_t i = 0; i < 2; i++)
		if (rm_counted_join_at(ends[i]))
			add(&scars, ends[i]);
}

void rm_scars_keep(struct rm_range range, struct rm_scars_kept *kept)
{
	kept->n = 0;
	if (!atomic_load_explicit(&scars.count, memory_order_relaxed))
		return;
	for (size_t i = 0; i < MAX_PLACES && kept->n < RM_SCARS_KEPT; i++) {
		const uintptr_t at = atomic_load(&scars.at[i]);

		if (at > range.start && at < rm_range_end(range))
			kept->at[kept->n++] = at;
	}
}

void rm_scars_carry(const struct rm_scars_kept *kept, struct rm_range range, uintptr_t target)
{
	for (size_t i = 0; i < kept->n; i++)
		look(target + (kept->at[i] - range.start));
}

/*
 * Whether a mapping that was moved as a whole, to right beside where it was, is one with what it
 * has left. To 6.18 it is, if it had not been touched: then it counts anew. Had it been, ours would
 * be one only if it had come home to where it counts from, and that is a seam.
 */
static bool has_met_itself(uintptr_t at, struct rm_range piece, uintptr_t target)
{
	uintptr_t origins[RM_ORIGINS_TRIED];
	size_t n;

	if ((at != piece.start || target + piece.len != at) &&
		(at != rm_range_end(piece) || target != at))
		return false;
	/* what it has left goes on counting from elsewhere */
	if (rm_counted_is(piece.start))
		return false;
	n = rm_origins_of(piece.start, origins);
	while (n && origins[n - 1] != target)
		n--;
	return !n;
}

/*
 * Whether there is a seam where a mapping that was moved as a whole begins or ends: what lies on
 * the other side has merged with its twin, or is there, and the twin has been kept apart.
 */
static bool is_seam(uintptr_t at, uintptr_t beyond, bool apart, const struct rm_facts *facts,
	struct rm_range piece, uintptr_t target)
{
	if (apart)
		return rm_sys_is_mapped(beyond);
	return facts->known && rm_is_joined(at) && !has_met_itself(at, piece, target);
}

bool rm_seams_made(const struct rm_facts *facts, const struct rm_request *request, uintptr_t target)
{
	const struct rm_range piece = request->source;
	const bool whole = rm_range_is(piece, rm_facts_rest(facts, request));
	const uintptr_t ends[] = {piece.start, rm_range_end(piece)};
	bool made = false;

	/* what lies beside it may have come or gone since the facts were read */
	if (facts->others && !facts->known)
		return false;
	for (size_t i = 0; i < RM_ARRAY_LEN(ends); i++) {
		if (is_in(&scars, ends[i]))
			return false;
		if ((i && !whole) || !rm_is_joined(ends[i])) /* a head goes on behind it */
			continue;
		if (has_met_itself(ends[i], piece, target)) /* and is to stay so */
			return false;
		made = true;
	}
	return made;
}

bool rm_scars_look(struct rm_world *world, const struct rm_facts *facts, struct rm_range piece,
	uintptr_t target, uint32_t mark)
{
	const struct rm_vma *vma = &facts->vma;
	const bool locked = vma->vmflags & RM_VF_LOCKED,
		   apart = locked || world->parted || facts->apart_before || facts->apart_behind;
	bool start = false, end = false, whole = true;

	if (!rm_known_watching())
		return false;
	/*
	 * Of a part, the lock goes and stays with the rest: two mappings; the kernel's own way is
	 * not imitated (A11). Where the mapping began and ended it still does, to the kernel; but
	 * not where it was left in pieces.
	 */
	if (vma->start != piece.start || is_in(&scars, vma->start)) {
		whole = false;
		if (!locked)
			look(piece.start);
	} else {
		start = is_seam(
			vma->start, vma->start - rm_page_size(), apart, facts, piece, target);
	}
	if (vma->end != rm_range_end(piece) || is_in(&scars, vma->end)) {
		whole = false;
		if (!locked)
			look(rm_range_end(piece));
	} else {
		end = is_seam(vma->end, vma->end, apart, facts, piece, target);
	}
	/*
	 * If somebody has mapped something meanwhile, it is that which has merged, as everywhere.
	 */
	if ((!start && !end) || !rm_known_unchanged(world, mark))
		return whole && !start && !end;
	if (start)
		add(&seams, vma->start);
	if (end)
		add(&seams, vma->end);
	return false;
}

/*
 * From 6.6 on memory that is not writable and was never touched is not charged any more, which no
 * program sees.
 */
static bool are_alike(const struct rm_vma *a, const struct rm_vma *b)
{
	return a->end == b->start && a->prot == b->prot && a->shared == b->shared &&
	       !((a->vmflags ^ b->vmflags) & ~(uint32_t)RM_VF_ACCOUNT) && a->pkey == b->pkey &&
	       a->dev_major == b->dev_major && a->dev_minor == b->dev_minor &&
	       a->inode == b->inode &&
	       (!a->inode || b->offset - a->offset == b->start - a->start) &&
	       !strcmp(a->name, b->name);
}

/* Whether to 6.18 two mappings that are alike are one. */
static bool are_one(const struct rm_vma *a, const struct rm_vma *b)
{
	return is_in(&scars, b->start) || rm_counted_join_at(b->start) ||
	       (((a->vmflags ^ b->vmflags) & RM_VF_ACCOUNT) && rm_charges_part_at(b->start));
}

/*
 * The source's pieces, how many; -EFAULT if it is not one mapping but for scars, or has one of the
 * flags unfit.
 */
static int find_pieces(
	struct rm_world *world, struct rm_range source, uint32_t unfit, struct rm_range *pieces)
{
	struct rm_vma vma, last;
	int n = 0, r;

	r = rm_maps_open(&world->maps, true, source.start);
	if (r)
		return -EFAULT;
	while ((r = rm_maps_next(&world->maps, &vma)) > 0 && vma.start < rm_range_end(source)) {
		if (vma.end <= source.start)
			continue;
		if (n ? !are_alike(&last, &vma) || !are_one(&last, &vma) : vma.start > source.start)
			break;
		if (n == MAX_PIECES || (vma.vmflags & unfit))
			break;
		pieces[n].start = n ? vma.start : source.start;
		last = vma;
		if (vma.end < rm_range_end(source)) {
			pieces[n].len = vma.end - pieces[n].start;
			n++;
			continue;
		}
		pieces[n].len = rm_range_end(source) - pieces[n].start;
		rm_maps_close(&world->maps);
		return n + 1;
	}
	rm_maps_close(&world->maps);
	return -EFAULT;
}

/* piece.len is its old_size, which may reach over what is to be cut off. */
static long move_one(struct rm_world *world, struct rm_range piece, size_t new_len,
	uintptr_t target, unsigned long flags)
{
	const struct rm_request request = {piece, target, flags | RM_MAYMOVE | RM_FIXED, 0};
	struct rm_facts facts;
	int r;

	if (!(flags & RM_DONTUNMAP)) {
		long moved = rm_sys_mremap(
			piece.start, piece.len, new_len, RM_MAYMOVE | RM_FIXED, target);

		if (!rm_is_err(moved))
			rm_origins_moved(piece.start, target, piece.len, new_len);
		return moved;
	}
	r = rm_facts_read(world, &request, &facts);
	return r ? r : rm_move_piece(world, &request, &facts, false);
}

/*
 * All pieces to target, the last one grown by more bytes, or with less bytes cut off behind it:
 * that is the kernel's to do, for whatever lies there, mapped or not, in whatever mappings. Undone
 * if one fails, except for what has been cut off, as in 6.18.
 */
static long move_all(struct rm_world *world, const struct rm_range *pieces, int n, size_t more,
	size_t less, uintptr_t target, unsigned long flags)
{
	const uintptr_t start = pieces[0].start;

	for (int i = 0; i < n; i++) {
		const bool last = i == n - 1;
		const struct rm_range piece = {pieces[i].start, pieces[i].len + (last ? less : 0)};
		long r = move_one(world, piece, pieces[i].len + (last ? more : 0),
			target + (piece.start - start), flags & RM_DONTUNMAP);

		if (!rm_is_err(r))
			continue;
		while (i--) {
			long back = rm_sys_mremap(target + (pieces[i].start - start), pieces[i].len,
				pieces[i].len, RM_MAYMOVE | RM_FIXED, pieces[i].start);

			if (rm_is_err(back))
				rm_stat_add(RM_STAT_UNDO_FAILURES, 1);
		}
		return r == -ESTALE ? -EFAULT : r;
	}
	return (long)target;
}

/* In the window. */
static long in_pieces(struct rm_world *world, const struct rm_request *request, size_t old_len)
{
	const size_t len = request->source.len, kept = old_len < len ? old_len : len,
		     more = len - kept, less = old_len - kept;
	const uintptr_t start = request->source.start;
	const bool fixed = request->flags & RM_FIXED;
	struct rm_range pieces[MAX_PIECES];
	/* DONTUNMAP takes the lock off all of a mapping, which is not imitated (A11). */
	const uint32_t unfit = RM_VF_UFFD | RM_VF_SEALED |
			       (request->flags & RM_DONTUNMAP ? RM_VF_LOCKED : 0);
	int n = find_pieces(world, (struct rm_range){start, kept}, unfit, pieces);
	long r, target = (long)request->target;

	if (n < 0)
		return n;
	if (!(request->flags & (RM_FIXED | RM_DONTUNMAP))) {
		r = rm_sys_mremap(
			pieces[n - 1].start, pieces[n - 1].len, pieces[n - 1].len + more, 0, 0);
		if (r != -ENOMEM || !(request->flags & RM_MAYMOVE))
			return rm_is_err(r) ? r : (long)start;
		target = 0;
	}
	if (!fixed)
		target = rm_sys_mmap((uintptr_t)target, len, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rm_is_err(target))
		return target;
	rm_scars_forget((struct rm_range){(uintptr_t)target, len});
	r = move_all(world, pieces, n, more, less, (uintptr_t)target, request->flags);
	if (less)
		rm_scars_forget((struct rm_range){start + kept, less});
	if (rm_is_err(r)) {
		if (!fixed)
			rm_sys_munmap((uintptr_t)target, len);
		return r;
	}
	for (int i = 1; i < n; i++) {
		look((uintptr_t)target + (pieces[i].start - start));
		if (request->flags & RM_DONTUNMAP)
			look(pieces[i].start);
	}
	if (!(request->flags & RM_DONTUNMAP))
		rm_scars_forget((struct rm_range){start, old_len});
	return target;
}

long rm_scars_mremap(struct rm_world *world, const struct rm_request *request, size_t old_len)
{
	const struct rm_range source = {request->source.start, old_len};
	long r = rm_quiesce_stop(world, source);

	if (r)
		return r == -ETIME ? -EINVAL : r;
	r = in_pieces(world, request, old_len);
	rm_move_give_back(world);
	rm_quiesce_resume(world);
	if (r == -EFAULT)
		return r;
	rm_known_changed(world, source);
	if (!rm_is_err(r))
		rm_known_changed(world, (struct rm_range){(uintptr_t)r, request->source.len});
	return r;
}
