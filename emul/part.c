/* SPDX-License-Identifier: MIT */
/*
 * Keeping what a move leaves from merging with its like, where that shows only afterwards.
 *
 * When all of a mapping is moved by MREMAP_DONTUNMAP, 6.18 leaves it as it is and looks at none of
 * its neighbours: two mappings that are alike, and were not one because they had been touched
 * before they came to lie side by side, or count their pages from different places, go on not being
 * one. Ours is new, and the kernel merges it as it is mapped in the hole. So it is with the first
 * part of a mapping, which is to be one with the rest, but with nothing before it.
 *
 * Whether it has is known only then. So it is asked then, and if it has, one like it is made
 * elsewhere, watched by a userfaultfd of ours and moved over it. What is watched merges with
 * nothing, and moving ends the watching. That shows nothing to anybody: both are empty, and
 * everybody is stopped. From then on the place is known (scars.c), and moves from there make their
 * twin so from the start.
 *
 * Where the last move from here to there has merged with nothing, nor has anything changed since,
 * it is not asked again.
 *
 * Not while other threads run, and nothing here fails a move unless there would be a hole.
 */
#include "emul/part.h"

#include "emul/attributes.h"
#include "emul/known.h"
#include "emul/plan-parts.h"
#include "emul/scars.h"
#include "emul/sys.h"
#include "emul/world.h"

/* Whether there is one, that will not merge. */
static bool make_twin(struct rm_steps *x)
{
	struct rm_plan plan = {0};
	int r = rm_steps_leave_room(x); /* of an earlier one */

	rm_plan_private_twin(&plan, x->facts, RM_TWIN, x->facts->vma.prot);
	rm_plan_add(&plan, RM_OP_APART, RM_TWIN, RM_NOWHERE, 0);
	for (unsigned int i = 0; i < plan.nsteps && !r; i++)
		r = rm_steps_do(x, &plan.steps[i]);
	return !r && x->uffd >= 0;
}

int rm_part(struct rm_steps *x)
{
	const uintptr_t end = rm_range_end(x->piece->source),
			rest_end = rm_range_end(rm_facts_rest(x->facts, x->piece));
	int r;

	if (rm_known_was_loose(x->world, x->facts, x->at[RM_TARGET]) ||
		!rm_seams_made(x->facts, x->piece, x->at[RM_TARGET]) || !make_twin(x))
		return 0;
	r = rm_steps_move(x, RM_TWIN, RM_SOURCE);
	if (r)
		return rm_sys_is_mapped(x->at[RM_SOURCE]) ? 0 : r;
	x->world->parted = true;
	if (end < rest_end) /* a head is to be one with that */
		rm_advise_again((struct rm_range){end, rest_end - end}, &x->facts->vma);
	return 0;
}
