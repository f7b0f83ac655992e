/* SPDX-License-Identifier: MIT */
/*
 * One request: facts, plan, execution, and again if the facts have become untrue.
 *
 * A MREMAP_FIXED range over several mappings is moved mapping by mapping, gaps kept and what the
 * destination has in the gaps left alone, as 6.17 does; all of it under one stop, so that nobody
 * sees half of it.
 */
#include "emul/move.h"

#include <errno.h>

#include "emul/again.h"
#include "emul/apart.h"
#include "emul/charges.h"
#include "emul/exec.h"
#include "emul/facts.h"
#include "emul/features.h"
#include "emul/known.h"
#include "emul/log.h"
#include "emul/origins.h"
#include "emul/plan.h"
#include "emul/present.h"
#include "emul/quiesce.h"
#include "emul/scars.h"
#include "emul/stats.h"
#include "emul/strays.h"
#include "emul/sys.h"
#include "emul/went.h"
#include "emul/world.h"
#include "libremap.h"

/* A guarded window holds nothing but moves. */
static enum rm_variant stopping_variant(const struct rm_facts *facts)
{
	return rm_quiesce_mode() == REMAP_QUIESCE_GUARD ? RM_VARIANT_TWIN_FIRST
							: rm_plan_first_variant(facts);
}

static enum rm_variant first_variant(
	const struct rm_world *world, const struct rm_request *piece, const struct rm_facts *facts)
{
	return piece->source.len <= RM_PRESENT_PAGES * rm_page_size() &&
			       rm_plan_may_run_on(facts) &&
			       rm_quiesce_mode() != REMAP_QUIESCE_CALLER &&
			       rm_quiesce_may_have_others(world)
		       ? RM_VARIANT_RUNNING
		       : stopping_variant(facts);
}

/* Whether a plan that failed with r leaves another way, and which. */
static bool try_otherwise(long r, const struct rm_facts *facts, enum rm_variant *variant)
{
	const bool shared = facts->kind == RM_KIND_SHARED;

	if (r == -ETIME && *variant == RM_VARIANT_RUNNING) {
		*variant = stopping_variant(facts);
		return true;
	}
	/*
	 * Opening a file in the window could wait for a thread that is stopped, if it lies on FUSE.
	 */
	if (r == -ENOMEM && *variant == RM_VARIANT_TWIN_FIRST && facts->kind != RM_KIND_FILE) {
		*variant = RM_VARIANT_TWIN_LATE;
		return true;
	}
	/* Dropping page tables would tell a userfaultfd's monitor (EVENT_REMOVE). */
	if (r == -ETIME && shared && *variant != RM_VARIANT_DUPLICATE && facts->uffd.fd < 0) {
		*variant = RM_VARIANT_DUPLICATE;
		rm_refuse_clear();
		return true;
	}
	return false;
}

void rm_move_give_back(struct rm_world *world)
{
	if (world->kept.len)
		rm_sys_munmap(world->kept.start, world->kept.len);
	world->kept.len = 0;
}

/*
 * Whether the kernel's own move holds up nobody, and what is known of the mapping goes with it: then
 * it is made at once, with the world's lock, so that who moves a heap again and again pays /proc
 * once where only private memory is moved by the kernel (5.7 to 5.12).
 */
static bool nobody_is_told(const struct rm_facts *facts)
{
	return facts->known && facts->uffd.fd < 0 && !facts->target_armed;
}

long rm_move_piece(struct rm_world *world, const struct rm_request *piece,
	const struct rm_facts *facts, bool whole)
{
	const struct rm_features *features = rm_features();
	const uint32_t mark = rm_known_mark(world);
	const uintptr_t target = piece->target ? piece->target : rm_went(world, piece->source);
	/*
	 * Going where it went last time, and nothing has come to lie beside it: as little merges as
	 * then.
	 */
	const bool all = piece->source.start == facts->vma.start &&
			 rm_range_end(piece->source) == facts->vma.end,
		   loose = all && rm_known_was_loose(world, facts, target);
	enum rm_variant variant = first_variant(world, piece, facts);
	struct rm_plan plan;
	bool native;
	long r;

	do {
		rm_plan_build(piece, facts, features, variant, &plan);
		/*
		 * What is known from earlier is enough to act on, for it is verified then; not to
		 * refuse on.
		 */
		if (plan.error && facts->known)
			return -ESTALE;
		if (plan.error) {
			if (plan.reason)
				rm_refuse(plan.reason);
			return plan.error;
		}
		native = plan.steps[0].op == RM_OP_NATIVE;
		/* the kernel does not verify, and takes a destination away before it refuses */
		if (whole && native && facts->known && !rm_known_holds(world, facts))
			return -ESTALE;
		if (whole && native && !nobody_is_told(facts))
			return RM_LEFT_TO_KERNEL;
		rm_strays_forget(piece->source);
		rm_charges_forget(piece->source);
		if (piece->flags & RM_FIXED)
			rm_known_changed(
				world, (struct rm_range){piece->target, piece->source.len});
		r = rm_exec(world, piece, facts, &plan);
	} while (try_otherwise(r, facts, &variant));
	/*
	 * It may have failed for what is not true any more; not if it was refused: that has nothing
	 * to do with facts.
	 */
	if (rm_is_err(r) && facts->known && !(whole && native) && !*rm_refuse_reason())
		return -ESTALE;
	if (rm_is_err(r))
		return r == -ETIME ? -EINVAL : r;
	world->kept.len = 0; /* taken */
	rm_origins_moved(piece->source.start, (uintptr_t)r, piece->source.len, piece->source.len);
	if (!(piece->flags & RM_DONTUNMAP)) { /* there is nothing any more */
		rm_scars_forget(piece->source);
		rm_known_changed(world, piece->source);
	}
	rm_known_changed(world, (struct rm_range){(uintptr_t)r, piece->source.len});
	rm_known_moved(world, mark, facts, piece->source, (uintptr_t)r);
	if (rm_uffd_wants_remap_event(&facts->uffd))
		rm_known_armed((struct rm_range){(uintptr_t)r, piece->source.len});
	if (native) {
		rm_stat_add(RM_STAT_NATIVE, 1);
		rm_scars_forget(piece->source);
		rm_seams_forget(piece->source);
		rm_scars_forget((struct rm_range){(uintptr_t)r, piece->source.len});
	} else {
		if (!piece->target)
			rm_went_to(world, piece->source, (uintptr_t)r);
		if ((loose && (uintptr_t)r == target) ||
			rm_scars_look(world, facts, piece->source, (uintptr_t)r, mark))
			rm_known_is_loose(world, facts, mark, (uintptr_t)r);
		/*
		 * What has come to lie beside the source, perhaps in the same mapping before, is
		 * another one everywhere.
		 */
		rm_scars_forget((struct rm_range){(uintptr_t)r, piece->source.len});
		rm_scars_meet((struct rm_range){(uintptr_t)r, piece->source.len});
		if (all && facts->touched && !facts->moved && (piece->flags & RM_DONTUNMAP))
			rm_charges_add(piece->source, facts->vma.prot);
		rm_stat_add(RM_STAT_EMULATED, 1);
		rm_stat_add(RM_STAT_BYTES, piece->source.len);
	}
	return r;
}

/* After -ESTALE: whether to look again, 0 or -EINVAL. */
static int look_again(struct rm_again *again, struct rm_range source, const struct rm_facts *facts)
{
	rm_known_drop(again->world, facts);
	/* a file of FUSE can not be opened while threads are stopped (try_otherwise()) */
	return rm_again(again, source, facts->kind != RM_KIND_FILE);
}

struct reading {
	struct rm_world *world;
	const struct rm_request *piece;
	struct rm_facts *facts;
};

static long read_apart(void *argument)
{
	const struct reading *reading = argument;

	return rm_facts_read(reading->world, reading->piece, reading->facts);
}

/*
 * Where nothing can be read: whether it is for the kernel to say if it moves that (5.7 to 5.12). It
 * takes a FIXED destination away before it refuses shared memory, as without us; to ask it by
 * old_size 0 first would put a warning about private memory into its log (E8).
 */
static bool kernel_may_do(const struct rm_request *request)
{
	const struct rm_features *features = rm_features();

	return features->native_anon && (request->flags & RM_DONTUNMAP) &&
	       rm_sys_in_one_mapping(
		       request->source.start, request->source.len, features->task_size);
}

/* What is known from earlier is used once only. */
static int collect(
	struct rm_world *world, const struct rm_request *piece, int tries, struct rm_facts *facts)
{
	struct reading reading = {world, piece, facts};
	int r = tries ? rm_facts_read(world, piece, facts) : rm_facts_collect(world, piece, facts);

	if (rm_apart_helps(r))
		r = (int)rm_apart(world, read_apart, &reading);
	if (!r || r == -EFAULT || r == -ENOMEM)
		return r;
	/* -ENOENT and the like: no /proc, or no smaps in it */
	return kernel_may_do(piece) ? RM_LEFT_TO_KERNEL
				    : rm_refuse("/proc/self/smaps can not be read, so nothing can "
						"be emulated");
}

/*
 * Whether a userfaultfd of the program's is told when what lies in the range is unmapped, and holds
 * us until it has been read; true if that can not be found out.
 */
static bool is_told_of_unmapping(struct rm_world *world, struct rm_range range)
{
	struct rm_uffd uffd;
	struct rm_vma vma;
	bool told = false;
	int r;

	if (rm_maps_open(&world->maps, true, range.start))
		return true;
	while (!told && (r = rm_maps_next(&world->maps, &vma)) > 0 &&
		vma.start < rm_range_end(range)) {
		const uintptr_t start = vma.start > range.start ? vma.start : range.start,
				end = vma.end < rm_range_end(range) ? vma.end : rm_range_end(range);

		if (!(vma.vmflags & RM_VF_UFFD) || vma.end <= range.start)
			continue;
		told = rm_uffd_find(&vma, (struct rm_range){start, end - start}, world->dirents,
			       sizeof(world->dirents), &uffd) ||
		       rm_uffd_wants_unmap_event(&uffd);
	}
	rm_maps_close(&world->maps);
	return told || r < 0;
}

long rm_move_fixed(struct rm_world *world, const struct rm_request *request)
{
	const uintptr_t end = rm_range_end(request->source);
	uintptr_t at = request->source.start;
	struct rm_again again = {.world = world};
	bool first = true;
	struct rm_facts facts;
	long result = -EFAULT, r;

	while (at < end) {
		struct rm_request piece = *request;
		uintptr_t piece_end;

		piece.source.start = at;
		piece.source.len = end - at;
		piece.target = request->target + (at - request->source.start);
		r = collect(world, &piece, again.tries, &facts);
		if (r == -EFAULT && !first) /* a gap at the end */
			break;
		if (r == RM_LEFT_TO_KERNEL && !first) /* what could be read before */
			r = -EINVAL;
		if (r || (first && facts.vma.start > at)) {
			result = r ? r : -EFAULT;
			break;
		}
		if (facts.vma.start > at) {
			at = facts.vma.start;
			piece.source.start = at;
			piece.target = request->target + (at - request->source.start);
		}
		piece_end = facts.vma.end < end ? facts.vma.end : end;
		piece.source.len = piece_end - at;
		/* vma_multi_allowed(): an armed mapping moves alone or not at all */
		if ((facts.vma.vmflags & RM_VF_UFFD) && (!first || piece_end < end)) {
			result = -EFAULT;
			break;
		}
		/* A monitor that stands still reads no event. */
		if (piece_end < end && facts.target_armed &&
			is_told_of_unmapping(world,
				(struct rm_range){piece.target,
					request->target + request->source.len - piece.target})) {
			result = rm_refuse(
				"several mappings move onto a range that a userfaultfd is told of");
			break;
		}
		if (piece_end < end && !again.stopped) {
			r = rm_again_stop(&again, request->source);
			if (r) {
				result = r;
				break;
			}
			continue; /* what was read before the stop may be out of date */
		}
		r = rm_move_piece(world, &piece, &facts, first && piece_end == end);
		if (r == -ESTALE) {
			r = look_again(&again, request->source, &facts);
			if (!r)
				continue;
		}
		if (rm_is_err(r)) {
			result = r;
			break;
		}
		if (first)
			result = r;
		first = false;
		at = piece_end;
	}
	rm_again_end(&again);
	rm_move_give_back(world);
	return result == -ETIME ? -EINVAL : result;
}

long rm_move_anywhere(struct rm_world *world, const struct rm_request *request)
{
	struct rm_again again = {.world = world};
	struct rm_facts facts;
	long r;

	do {
		r = collect(world, request, again.tries, &facts);
		if (r)
			break;
		r = rm_move_piece(world, request, &facts, true);
	} while (r == -ESTALE && !(r = look_again(&again, request->source, &facts)));
	rm_again_end(&again);
	rm_move_give_back(world);
	return r;
}
