/* SPDX-License-Identifier: MIT */
/*
 * From facts to steps.
 *
 *   source               kernel has it   otherwise
 *   -------------------  --------------  ----------------------------------------------------------
 *   private anonymous    5.7   native    twin: an empty copy of the mapping is made, the world is
 *                                        stopped, the
 *   private file         5.13  native    pages move to the destination, the twin moves into the
 *                                        hole
 *   shared               5.13  native    the same; the twin is a second view of the object
 *                                        (old_size 0)
 *   hugetlb, special     never           EINVAL, as every kernel
 *
 * A part of a private mapping that does not begin with it needs no twin: when the pages have gone,
 * what is left in front of the hole grows over it (mremap in place). The kernel itself then makes
 * the range what the mapping is, page offset and userfaultfd included, and nothing is split, even
 * in a mapping that was moved before. Kernels before 6.1 do not merge what has grown with what lies
 * behind; moving one empty page away and back does (A9). Locked mappings are left to the twin, as
 * growing would populate; unless a part can grow all the same (grow.c), so that all is one again
 * when the rest is unlocked.
 *
 * A private twin must be what the source is (A4): its lock is taken off, it is made writable once
 * so that it is charged (VM_ACCOUNT) and merges as the source would, then protection, advice,
 * policy and name follow. Kernels from 6.6 on take the charge off again when it becomes read-only,
 * unless it has been touched: there, which is only where the flag is native anyway, it is made in
 * the hole and touched. A shared twin is made by the kernel with all that; only a lock is taken
 * off, with what it has populated.
 *
 * A userfaultfd with EVENT_REMAP is told of the move by the kernel, which holds the mover until the
 * program's monitor has read the event; the monitor may stand still. So that move is made by a
 * helper, and what follows does not wait for it until everybody runs again (exec.c). The range is
 * not disarmed before: the destination stays armed, as natively.
 *
 * What is left of a mapping whose head has gone goes on counting its pages from where it was first
 * touched. If that is known, and it is not here, the head's twin is made to count so, too, and they
 * merge (rejoin.c). So is the twin of all of a mapping, if something moved along beside it: 6.18's
 * goes on counting.
 *
 * Variant "direct": where one call makes the mapping again (private anonymous memory, a second view
 * of shared memory), it is made in the hole at once, and its advice, policy and name follow there
 * as long as they are few. The window is as long as with a twin, what is around it shorter. It
 * fails for want of memory when the kernel's own call does, and then, as there (semantics.md 1.4),
 * a FIXED destination is lost. What was made before it has its advice may have merged with what
 * lies beside the hole; the kernel splits it again as the advice is given.
 *
 * Variant "twin late": when the twin does not fit beside source and destination (RLIMIT_AS,
 * RLIMIT_DATA, RLIMIT_MEMLOCK, the map count), it is made in the hole itself, with everybody
 * stopped. Then usage peaks where the kernel's own call does; the price is a longer window and a
 * destination that is lost if it fails, as in 6.18 (semantics.md 1.4).
 *
 * Variant "duplicate", for shared memory when threads can not be stopped: the second view becomes
 * the destination and the old page tables are dropped. The range is never a hole (A8), but the new
 * one's page tables are empty: Rss moves only with the first touches, which is why it is not the
 * first choice.
 *
 * Variant "running": the same for a small range of shmem that is neither armed nor locked; the page
 * table entries that were there are made again by touching (present.c). Where there are other
 * threads it is the first choice: to stop one of them takes longer.
 *
 * No system call is made here and nothing outside the arguments is read.
 */
#include "emul/plan-parts.h"

#include <errno.h>
#include <string.h>

#include "emul/log.h"
#include "emul/rejoin.h"
#include "emul/sys.h"

/*
 * In the window a twin costs a move (3.5 us), making the mapping there an mmap (2 us) and these
 * calls (0.7 us each); outside of it the twin costs four calls more (11 us), which is what a
 * process with one thread notices.
 */
#define MAX_FINISHING_CALLS 2

void rm_plan_add(
	struct rm_plan *plan, enum rm_op op, enum rm_place place, enum rm_place other, int arg)
{
	/* The longest plan has 23 steps; the unit test builds it. */
	plan->steps[plan->nsteps++] = (struct rm_step){op, place, other, arg};
}

void rm_plan_fail(struct rm_plan *plan, int error, const char *reason)
{
	plan->strategy = "refuse";
	plan->nsteps = 0;
	plan->error = error;
	plan->reason = reason;
}

/*
 * A second view of the object, made by the kernel from the source, or from the destination when the
 * source has moved.
 */
static void add_shared_twin(struct rm_plan *plan, const struct rm_facts *facts, enum rm_place place)
{
	const enum rm_place from = place == RM_TWIN ? RM_SOURCE : RM_TARGET;

	rm_plan_add(plan, RM_OP_DUPLICATE, from, place, 0);
	/*
	 * A locked view is populated as it is made (semantics.md 10.C, 3). In the hole the lock is
	 * off already.
	 */
	if (place == RM_TWIN && (facts->vma.vmflags & RM_VF_LOCKED)) {
		rm_plan_add(plan, RM_OP_UNLOCK, place, RM_NOWHERE, 0);
		rm_plan_add(plan, RM_OP_EMPTY, place, RM_NOWHERE, 0);
	}
}

/* Whether there is more of the mapping in front of the piece, and stays there. */
static bool goes_on_in_front(const struct rm_request *piece, const struct rm_facts *facts)
{
	return rm_facts_rest(facts, piece).start < piece->source.start;
}

static bool goes_on_behind(const struct rm_request *piece, const struct rm_facts *facts)
{
	return rm_range_end(piece->source) < rm_range_end(rm_facts_rest(facts, piece));
}

/*
 * A locked mapping that is moved as a whole loses its lock, and may then be like what lies beside
 * it; 6.18 does not merge them, now or when it is moved again, until something is done to either.
 */
static bool stays_apart(const struct rm_request *piece, const struct rm_facts *facts)
{
	return ((facts->vma.vmflags & RM_VF_LOCKED) || facts->apart_before ||
		       facts->apart_behind) &&
	       facts->uffd.fd < 0 && rm_range_is(piece->source, rm_facts_rest(facts, piece));
}

/*
 * The head of such a mapping is to merge with the rest, but not with what lies before it: not when
 * it comes, but by what makes the kernel look again at where the rest begins, and only there.
 */
static bool joins_rest(const struct rm_request *piece, const struct rm_facts *facts)
{
	return facts->apart_before && !facts->apart_behind && facts->uffd.fd < 0 &&
	       !(facts->vma.vmflags & RM_VF_LOCKED) && piece->source.start == facts->vma.start &&
	       goes_on_behind(piece, facts);
}

static void add_twin(struct rm_plan *plan, const struct rm_facts *facts, enum rm_place place)
{
	if (facts->kind == RM_KIND_SHARED)
		add_shared_twin(plan, facts, place);
	else
		rm_plan_private_twin(plan, facts, place, facts->vma.prot);
}

void rm_plan_lock(struct rm_plan *plan, const struct rm_facts *facts)
{
	rm_plan_add(plan, RM_OP_LOCK, RM_TARGET, RM_NOWHERE,
		(facts->vma.vmflags & RM_VF_ON_FAULT) != 0);
}

/*
 * Of a mapping that was moved before: the twin of its head, if it is untouched, can be made to
 * merge with the rest; that of all of it to merge, once they are alike, with what has moved along
 * beside it, or it is found out with what it would not. rm_rejoin_how.
 */
static unsigned int rejoins(const struct rm_request *piece, const struct rm_facts *facts)
{
	if (!facts->moved || facts->touched || facts->kind != RM_KIND_ANON || facts->uffd.fd >= 0 ||
		(facts->vma.vmflags & (RM_VF_LOCKED | RM_VF_DROPPABLE)) ||
		goes_on_in_front(piece, facts))
		return 0;
	if (goes_on_behind(piece, facts))
		return RM_REJOIN_MERGE;
	/* to come back is to merge with it */
	if (facts->apart_before || facts->apart_behind)
		return 0;
	return (facts->moved_along ? RM_REJOIN_MERGE : 0) | (facts->unsure ? RM_REJOIN_COUNT : 0);
}

/*
 * In front of the piece there is more of a locked mapping. What is left behind is to be one with it
 * when that is unlocked as well. A twin would be so only on 6.15 and later, where what has been
 * touched merges with what has not, if it counts as it does, and is not read-only, as it would not
 * be charged.
 */
static bool has_locked_front(const struct rm_request *piece, const struct rm_facts *facts)
{
	return facts->kind == RM_KIND_ANON && facts->uffd.fd < 0 &&
	       (facts->vma.vmflags & RM_VF_LOCKED) && !(facts->vma.vmflags & RM_VF_DROPPABLE) &&
	       goes_on_in_front(piece, facts);
}

/*
 * Whether what is mapped anew may merge with what 6.18 would not merge it with, and can be made
 * apart (part.c): not what has to be touched where it is.
 */
static bool parts(const struct rm_request *piece, const struct rm_facts *facts)
{
	return facts->kind == RM_KIND_ANON && facts->uffd.fd < 0 &&
	       !(facts->vma.vmflags & (RM_VF_LOCKED | RM_VF_DROPPABLE)) && !facts->touched &&
	       !goes_on_in_front(piece, facts);
}

static void plan_twin(struct rm_plan *plan, const struct rm_request *piece,
	const struct rm_facts *facts, enum rm_variant variant)
{
	const bool late = variant == RM_VARIANT_TWIN_LATE || variant == RM_VARIANT_DIRECT;
	const bool armed = facts->uffd.fd >= 0;
	const bool told = rm_uffd_wants_remap_event(&facts->uffd);
	/*
	 * A second view of an armed mapping would be an event of its own: it is made with everybody
	 * stopped, disarmed.
	 */
	const bool twin_in_window = told && facts->kind == RM_KIND_SHARED && !late;
	/*
	 * The late twin of a locked view would be populated, and under mlockall(MCL_FUTURE) any
	 * twin counts as locked for a moment, for which RLIMIT_MEMLOCK may leave no room: the lock
	 * comes off first and is put back after.
	 */
	const bool relock = late && (facts->vma.vmflags & RM_VF_LOCKED) &&
			    (facts->kind == RM_KIND_SHARED || facts->lock_future);
	const unsigned int rejoin = rejoins(piece, facts);
	const bool part = variant == RM_VARIANT_DIRECT && parts(piece, facts);
	/* So does what is reserved: then it waits for that room. */
	const bool reserve_late = relock && facts->lock_future && !facts->target_armed &&
				  !(piece->flags & RM_FIXED);

	plan->strategy = variant == RM_VARIANT_DIRECT ? "direct" : late ? "twin-late" : "twin";
	/*
	 * A destination that a userfaultfd watches goes before the window: its UNMAP event holds us
	 * until the program's monitor has read it, and the monitor would stand still.
	 */
	if ((!(piece->flags & RM_FIXED) || facts->target_armed) && !reserve_late)
		rm_plan_add(plan, RM_OP_RESERVE, RM_TARGET, RM_NOWHERE, 0);
	if (!late && !twin_in_window)
		add_twin(plan, facts, RM_TWIN);
	rm_plan_add(plan, RM_OP_STOP, RM_NOWHERE, RM_NOWHERE, 0);
	rm_plan_add(plan, RM_OP_VERIFY, RM_SOURCE, RM_NOWHERE, 0);
	/* now, as it takes a descriptor, and nobody else is to see that */
	if (!late && (stays_apart(piece, facts) || joins_rest(piece, facts)))
		rm_plan_add(plan, RM_OP_APART, RM_TWIN, RM_NOWHERE, 0);
	if (twin_in_window) {
		rm_plan_add(plan, RM_OP_DISARM, RM_SOURCE, RM_NOWHERE, 0);
		add_twin(plan, facts, RM_TWIN);
		rm_plan_add(plan, RM_OP_ARM, RM_SOURCE, RM_NOWHERE, 0);
	}
	/*
	 * Moving an armed mapping would tell the monitor of an unmapping that did not happen (A6).
	 */
	if (armed && !told)
		rm_plan_add(plan, RM_OP_DISARM, RM_SOURCE, RM_NOWHERE, 0);
	if (relock)
		rm_plan_add(plan, RM_OP_UNLOCK, RM_SOURCE, RM_NOWHERE, 1);
	if (reserve_late)
		rm_plan_add(plan, RM_OP_RESERVE, RM_TARGET, RM_NOWHERE, 0);
	rm_plan_add(plan, told ? RM_OP_MOVE_TOLD : RM_OP_MOVE, RM_SOURCE, RM_TARGET, 0);
	/*
	 * The destination of a move that was told of is armed: its second view would be another
	 * event.
	 */
	if (told && late && facts->kind == RM_KIND_SHARED) {
		rm_plan_add(plan, RM_OP_DISARM, RM_TARGET, RM_NOWHERE, 0);
		add_twin(plan, facts, RM_SOURCE);
		rm_plan_add(plan, RM_OP_ARM, RM_TARGET, RM_NOWHERE, 0);
	} else if (late) {
		add_twin(plan, facts, RM_SOURCE);
	} else {
		rm_plan_add(plan, RM_OP_MOVE, RM_TWIN, RM_SOURCE, has_locked_front(piece, facts));
		if (joins_rest(piece, facts))
			rm_plan_add(plan, RM_OP_JOIN, RM_SOURCE, RM_NOWHERE, 0);
	}
	/*
	 * A head is rejoined only if it has not merged with what lies before it; and a rejoining
	 * that does not succeed, or only finds out how the twin counts, puts a page back, which may
	 * merge again.
	 */
	if (part && rejoin && goes_on_behind(piece, facts))
		rm_plan_add(plan, RM_OP_PART, RM_SOURCE, RM_NOWHERE, 0);
	if (rejoin)
		rm_plan_add(plan, RM_OP_REJOIN, RM_SOURCE, RM_TARGET, (int)rejoin);
	if (part)
		rm_plan_add(plan, RM_OP_PART, RM_SOURCE, RM_NOWHERE, 0);
	if (relock)
		rm_plan_lock(plan, facts);
	if (armed)
		rm_plan_add(plan, RM_OP_ARM, RM_SOURCE, RM_NOWHERE, 0);
	rm_plan_add(plan, RM_OP_RESUME, RM_NOWHERE, RM_NOWHERE, 0);
	if (told)
		rm_plan_add(plan, RM_OP_AWAIT, RM_NOWHERE, RM_NOWHERE, 0);
}

/* See the head of this file. */
static void plan_grow(
	struct rm_plan *plan, const struct rm_request *piece, const struct rm_facts *facts)
{
	const bool more_behind = goes_on_behind(piece, facts);

	plan->strategy = "grow";
	if (!(piece->flags & RM_FIXED) || facts->target_armed)
		rm_plan_add(plan, RM_OP_RESERVE, RM_TARGET, RM_NOWHERE, 0);
	if (more_behind)
		rm_plan_add(plan, RM_OP_RESERVE, RM_SCRATCH, RM_NOWHERE, 0);
	rm_plan_add(plan, RM_OP_STOP, RM_NOWHERE, RM_NOWHERE, 0);
	rm_plan_add(plan, RM_OP_VERIFY, RM_SOURCE, RM_NOWHERE, 0);
	if (facts->uffd.fd >= 0)
		rm_plan_add(plan, RM_OP_DISARM, RM_SOURCE, RM_NOWHERE, 0);
	rm_plan_add(plan, RM_OP_MOVE, RM_SOURCE, RM_TARGET, 0);
	rm_plan_add(plan, RM_OP_GROW, RM_SOURCE, RM_NOWHERE, 0);
	if (more_behind)
		rm_plan_add(plan, RM_OP_HEAL, RM_SOURCE, RM_SCRATCH, 0);
	/*
	 * What grows is armed with what it grows from; the page that went away and came back is
	 * not.
	 */
	if (facts->uffd.fd >= 0 && more_behind)
		rm_plan_add(plan, RM_OP_ARM, RM_SOURCE, RM_NOWHERE, 0);
	rm_plan_add(plan, RM_OP_RESUME, RM_NOWHERE, RM_NOWHERE, 0);
}

/* Whether what lies in front of the piece may grow over it. */
static bool can_grow(const struct rm_request *piece, const struct rm_facts *facts)
{
	return facts->kind != RM_KIND_SHARED && goes_on_in_front(piece, facts) &&
	       /*
	        * healing moves an armed page: its event would hold us, and who is to read it may
	        * stand still
	        */
	       !rm_uffd_wants_remap_event(&facts->uffd) &&
	       !rm_uffd_wants_unmap_event(&facts->uffd) &&
	       !(facts->vma.vmflags & (RM_VF_LOCKED | RM_VF_DROPPABLE));
}

enum rm_variant rm_plan_first_variant(const struct rm_facts *facts)
{
	const struct rm_vma *vma = &facts->vma;
	/* what mmap charges; what was writable once and is not any more stays charged */
	const bool charged = (vma->prot & PROT_WRITE) && !(vma->vmflags & RM_VF_NORESERVE);

	if (rm_uffd_wants_remap_event(&facts->uffd) || facts->apart_before || facts->apart_behind)
		return RM_VARIANT_TWIN_FIRST;
	if (facts->kind == RM_KIND_SHARED)
		return vma->vmflags & RM_VF_LOCKED ? RM_VARIANT_TWIN_FIRST : RM_VARIANT_DIRECT;
	if (facts->kind != RM_KIND_ANON || (vma->vmflags & RM_VF_LOCKED) || vma->pkey)
		return RM_VARIANT_TWIN_FIRST;
	if (facts->touched)
		return RM_VARIANT_DIRECT;
	if (facts->lock_future || charged != !!(vma->vmflags & RM_VF_ACCOUNT))
		return RM_VARIANT_TWIN_FIRST;
	return rm_plan_finishing_calls(facts) <= MAX_FINISHING_CALLS ? RM_VARIANT_DIRECT
								     : RM_VARIANT_TWIN_FIRST;
}

bool rm_plan_may_run_on(const struct rm_facts *facts)
{
	return facts->kind == RM_KIND_SHARED && facts->shmem && (facts->vma.prot & PROT_READ) &&
	       facts->uffd.fd < 0 && !facts->target_armed &&
	       !(facts->vma.vmflags & (RM_VF_LOCKED | RM_VF_UFFD));
}

static void plan_running(struct rm_plan *plan, const struct rm_request *piece)
{
	plan->strategy = "running";
	rm_plan_add(plan, RM_OP_PRESENT, RM_SOURCE, RM_NOWHERE, 0);
	if (!(piece->flags & RM_FIXED) && piece->target)
		rm_plan_add(plan, RM_OP_RESERVE, RM_TARGET, RM_NOWHERE, 0);
	rm_plan_add(plan, RM_OP_VERIFY, RM_SOURCE, RM_NOWHERE, 0);
	rm_plan_add(plan, RM_OP_DUPLICATE, RM_SOURCE, RM_TARGET, 0);
	rm_plan_add(plan, RM_OP_BRING, RM_TARGET, RM_NOWHERE, 0);
	rm_plan_add(plan, RM_OP_EMPTY, RM_SOURCE, RM_NOWHERE, 1);
}

static void plan_duplicate(
	struct rm_plan *plan, const struct rm_request *piece, const struct rm_facts *facts)
{
	const bool locked = facts->vma.vmflags & RM_VF_LOCKED;

	plan->strategy = "duplicate";
	/* With a hint the place is reserved first: old_size 0 without FIXED knows no hints. */
	if (!(piece->flags & RM_FIXED) && piece->target)
		rm_plan_add(plan, RM_OP_RESERVE, RM_TARGET, RM_NOWHERE, 0);
	/*
	 * Unlocked first, so that the second view fits into RLIMIT_MEMLOCK whenever the first one
	 * did.
	 */
	if (locked)
		rm_plan_add(plan, RM_OP_UNLOCK, RM_SOURCE, RM_NOWHERE, 1);
	rm_plan_add(plan, RM_OP_DUPLICATE, RM_SOURCE, RM_TARGET, 0);
	if (locked)
		rm_plan_lock(plan, facts);
	rm_plan_add(plan, RM_OP_EMPTY, RM_SOURCE, RM_NOWHERE, 0);
}

/* What 6.18 refuses in check_prep_vma(), in its order. 0: it would go on. */
static int kernel_refuses(const struct rm_request *piece, const struct rm_facts *facts)
{
	const struct rm_vma *vma = &facts->vma;

	if (vma->start > piece->source.start)
		return -EFAULT;
	if (vma->vmflags & RM_VF_SEALED)
		return -EPERM;
	if ((piece->flags & RM_DONTUNMAP) &&
		(facts->kind == RM_KIND_HUGETLB || facts->kind == RM_KIND_SPECIAL))
		return -EINVAL;
	if (piece->source.len > vma->end - piece->source.start)
		return -EFAULT;
	return 0;
}

/* What we could not do identically. NULL: nothing. */
static const char *we_refuse(const struct rm_facts *facts)
{
	if (facts->uffd_error == -ENOENT)
		return "the range is watched by a userfaultfd that only another process holds";
	if (facts->uffd_error)
		return "/proc/self/fd can not be read, so the range's userfaultfd can not be found";
	if (rm_uffd_wants_remap_event(&facts->uffd) && rm_uffd_wants_unmap_event(&facts->uffd))
		return "the range's userfaultfd has both EVENT_REMAP and EVENT_UNMAP: its monitor "
		       "would be told "
		       "of an unmapping that does not happen";
	if (facts->vma.vmflags & RM_VF_SHADOWSTACK)
		return "the range is a shadow stack";
	if (facts->vma.vmflags & RM_VF_MTE)
		return "the range has memory tags (PROT_MTE)";
	return NULL;
}

void rm_plan_build(const struct rm_request *piece, const struct rm_facts *facts,
	const struct rm_features *features, enum rm_variant variant, struct rm_plan *plan)
{
	/* Without DONTUNMAP it is one mapping's part of an ordinary move. */
	const bool native = !(piece->flags & RM_DONTUNMAP)  ? true
			    : facts->kind == RM_KIND_ANON   ? features->native_anon
			    : facts->kind == RM_KIND_SHARED ? features->native_shared
							    : features->native_file;
	const char *reason = native ? NULL : we_refuse(facts);
	int error = kernel_refuses(piece, facts);

	plan->error = 0;
	plan->reason = NULL;
	plan->nsteps = 0;
	if (error) {
		rm_plan_fail(plan, error, NULL);
	} else if (variant == RM_VARIANT_RELOCATE) {
		rm_plan_relocate(plan, piece, facts, features);
	} else if (native) {
		plan->strategy = "native";
		rm_plan_add(plan, RM_OP_NATIVE, RM_SOURCE, RM_TARGET, 0);
	} else if (reason) {
		rm_plan_fail(plan, -EINVAL, reason);
	} else if (variant == RM_VARIANT_DUPLICATE) {
		plan_duplicate(plan, piece, facts);
	} else if (variant == RM_VARIANT_RUNNING) {
		plan_running(plan, piece);
	} else if (can_grow(piece, facts)) {
		plan_grow(plan, piece, facts);
	} else {
		plan_twin(plan, piece, facts, variant);
	}
}
