/* SPDX-License-Identifier: MIT */
/*
 * The plan of a relocation (relocate.c): pages are taken out of the source and given to a fresh
 * mapping at the destination, with every other thread stopped (semantics.md 4.6, 7.1, 10.D).
 *
 *   the fresh mapping   a twin of the source (plan.c), writable until the end, as UFFDIO_MOVE wants
 *                       both sides to be; untouched, so that it takes on the page offset of where
 *                       it is moved to and merges there before it has any pages
 *   the source          loses its lock and is made writable for as long; emptied, it goes aside and
 *                       is unmapped when everybody runs again, so that up to then all can be taken
 *                       back; with DONTUNMAP it stays, and is never a hole
 *   a destination that  is not given up for pages that may not go: they are moved to a place aside
 *                       first, on trial, and from there to
 *   is mapped (FIXED)   the destination. Only what comes to be pinned in between can still fail,
 *                       and then it is lost, as 6.18 loses it
 *   without UFFDIO_MOVE what has no pages at all is replaced by its twin; everything else is not
 *   relocated
 *
 * The touching: what the kernel merges by (the anon_vma) is shared with a neighbour when memory is
 * touched, also of another protection, and not when it gets its pages by UFFDIO_MOVE; and before
 * 6.15 what has been touched does not merge with a mapping before it that has not been. So one page
 * is touched and given back before the pages come. Where all of it can be huge pages, which go
 * whole only to where there are no page tables, only if it has merged with something that has to be
 * kept.
 *
 * Pure, as plan.c.
 */
#include <errno.h>

#include "emul/plan-parts.h"
#include "emul/sys.h"

#define HUGE_MASK (((size_t)2 << 20) - 1)

/*
 * What can not be relocated, by 4.3 of semantics.md or because we could not do it identically.
 * NULL: nothing.
 */
static const char *not_eligible(const struct rm_facts *facts)
{
	const uint32_t flags = facts->vma.vmflags;

	if (facts->kind != RM_KIND_ANON)
		return "only private anonymous memory can be relocated";
	if (flags & (RM_VF_UFFD | RM_VF_DROPPABLE | RM_VF_SHADOWSTACK | RM_VF_MTE))
		return "memory that a userfaultfd watches, droppable memory, shadow stacks and "
		       "memory tags can not be relocated";
	if (flags & (RM_VF_GROWSDOWN | RM_VF_MIXEDMAP | RM_VF_IO))
		return "a stack that grows and memory of devices can not be relocated";
	if (facts->target_armed)
		return "a userfaultfd watches the destination";
	return NULL;
}

void rm_plan_relocate(struct rm_plan *plan, const struct rm_request *piece,
	const struct rm_facts *facts, const struct rm_features *features)
{
	const struct rm_vma *vma = &facts->vma;
	const int writable = vma->prot | PROT_READ | PROT_WRITE;
	const bool stays = piece->flags & RM_DONTUNMAP, locked = vma->vmflags & RM_VF_LOCKED;
	const bool fixed = piece->flags & RM_FIXED, moves = features->uffd_move;
	const bool on_trial = moves && fixed && facts->target_mapped;
	const bool huge = !((piece->target | (piece->source.len + piece->grown)) & HUGE_MASK);
	const char *reason = not_eligible(facts);

	if (reason) {
		rm_plan_fail(plan, -EFAULT, reason);
		return;
	}
	plan->strategy = "relocate";
	if (!fixed)
		rm_plan_add(plan, RM_OP_RESERVE, RM_TARGET, RM_NOWHERE, 0);
	if (moves)
		rm_plan_add(plan, RM_OP_OPEN, RM_NOWHERE, RM_NOWHERE, 0);
	if (!stays || on_trial)
		rm_plan_add(plan, RM_OP_RESERVE, RM_ASIDE, RM_NOWHERE, 0);
	if (on_trial && facts->lock_future)
		rm_plan_add(plan, RM_OP_UNLOCK, RM_ASIDE, RM_NOWHERE, 0);
	if (on_trial)
		rm_plan_add(plan, RM_OP_PROTECT, RM_ASIDE, RM_NOWHERE, writable);
	rm_plan_private_twin(plan, facts, RM_TWIN, writable);
	rm_plan_add(plan, RM_OP_STOP, RM_NOWHERE, RM_NOWHERE, 0);
	rm_plan_add(plan, RM_OP_VERIFY, RM_SOURCE, RM_NOWHERE, 0);
	if (!moves)
		rm_plan_add(plan, RM_OP_NONE, RM_SOURCE, RM_NOWHERE, 0);
	if (locked)
		rm_plan_add(plan, RM_OP_UNLOCK, RM_SOURCE, RM_NOWHERE, 1);
	if (moves && writable != vma->prot)
		rm_plan_add(plan, RM_OP_PROTECT, RM_SOURCE, RM_NOWHERE, writable);
	if (on_trial)
		rm_plan_add(plan, RM_OP_TRANSFER, RM_SOURCE, RM_ASIDE, 0);
	rm_plan_add(plan, RM_OP_MOVE, RM_TWIN, RM_TARGET, 0);
	rm_plan_add(plan, RM_OP_TOUCH, RM_TARGET, RM_NOWHERE, huge);
	rm_plan_add(plan, RM_OP_EMPTY, RM_TARGET, RM_NOWHERE, 0);
	if (moves)
		rm_plan_add(plan, RM_OP_TRANSFER, on_trial ? RM_ASIDE : RM_SOURCE, RM_TARGET, 0);
	if (writable != vma->prot)
		rm_plan_add(plan, RM_OP_PROTECT, RM_TARGET, RM_NOWHERE, vma->prot);
	if (locked)
		rm_plan_lock(plan, facts);
	if (!stays)
		rm_plan_add(plan, RM_OP_MOVE, RM_SOURCE, RM_ASIDE, 0);
	else if (moves && writable != vma->prot)
		rm_plan_add(plan, RM_OP_PROTECT, RM_SOURCE, RM_NOWHERE, vma->prot);
	rm_plan_add(plan, RM_OP_RESUME, RM_NOWHERE, RM_NOWHERE, 0);
}
