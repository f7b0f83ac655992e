/* SPDX-License-Identifier: MIT */
/*
 * When all of a mapping is moved by MREMAP_DONTUNMAP, 6.18 leaves it as it is and looks at none of
 * its neighbours: two mappings that are alike, and were not one because they had been touched
 * before they came to lie side by side, or count their pages from different places, go on not being
 * one. Ours is new, and the kernel merges it as it is mapped in the hole.
 *
 * Whether it has is known only then. So it is asked then, and if it has, one like it is made
 * elsewhere, watched by a userfaultfd of ours and moved over it. What is watched merges with
 * nothing, and moving ends the watching. That shows nothing to anybody: both are empty, and
 * everybody is stopped. From then on the place is known (scars.c), and moves from there make their
 * twin so from the start.
 *
 * Where the last move from here to there has merged with nothing, nor has anything changed since,
 * it is not asked again.
 */
#include "emul/part.h"

#include "emul/attributes.h"
#include "emul/known.h"
#include "emul/plan-parts.h"
#include "emul/scars.h"
#include "emul/sys.h"
#include "emul/uffd.h"
#include "emul/world.h"

static int make_twin(struct rm_steps *x)
{
	struct rm_plan plan = {0};
	int r = rm_steps_leave_room(x); /* of an earlier one */

	rm_plan_private_twin(&plan, x->facts, RM_TWIN, x->facts->vma.prot);
	for (unsigned int i = 0; i < plan.nsteps && !r; i++)
		r = rm_steps_do(x, &plan.steps[i]);
	if (r)
		return r;
	x->uffd = rm_uffd_set_apart(rm_steps_range(x, RM_TWIN));
	return x->uffd < 0 ? x->uffd : 0;
}

int rm_part(struct rm_steps *x)
{
	const struct rm_range piece = x->piece->source, rest = rm_facts_rest(x->facts, x->piece);
	const uintptr_t end = rm_range_end(piece);
	int r;

	if (rm_known_was_loose(x->world, x->facts, x->at[RM_TARGET]) ||
		!rm_seams_made(x->facts, piece, rest, x->at[RM_TARGET]) || make_twin(x))
		return 0;
	r = rm_steps_move(x, RM_TWIN, RM_SOURCE);
	if (r)
		return rm_sys_is_mapped(piece.start) ? 0 : r;
	x->world->parted = true;
	if (end < rm_range_end(rest))
		rm_advise_again((struct rm_range){end, rm_range_end(rest) - end}, &x->facts->vma);
	return 0;
}
