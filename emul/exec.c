/* SPDX-License-Identifier: MIT */
/*
 * Executing a plan step by step (steps.c); on failure, undoing what was done in reverse order.
 *
 * Between STOP and RESUME: raw system calls and no log. An undo that fails is counted and logged
 * once the threads run again; it means memory lost and is never expected.
 */
#include "emul/exec.h"

#include <errno.h>

#include "emul/log.h"
#include "emul/mover.h"
#include "emul/stats.h"
#include "emul/steps.h"
#include "emul/sys.h"
#include "emul/world.h"

int (*rm_exec_test_hook)(unsigned int step, const struct rm_step *what, bool undo);

/*
 * The errno of a step as mremap would say it; -ETIME for the world that would not stop, or has to
 * stop after all; and what is for relocate.c only: -EBUSY and -ENOSYS for pages that can not be
 * transferred.
 */
static int documented(const struct rm_step *step, int error)
{
	if (step->op == RM_OP_NATIVE)
		return error;
	if (step->op == RM_OP_STOP || step->op == RM_OP_PRESENT)
		return -ETIME;
	if (step->op == RM_OP_TRANSFER || step->op == RM_OP_NONE)
		return -EBUSY;
	if (step->op == RM_OP_OPEN)
		return -ENOSYS;
	if (error == -ESTALE || error == -ENOMEM || error == -EPERM || error == -EINVAL)
		return error;
	if (error == -EAGAIN)
		return -ENOMEM; /* mlockall(MCL_FUTURE) and RLIMIT_MEMLOCK: the twin does not fit */
	return -EINVAL;
}

long rm_exec(struct rm_world *world, const struct rm_request *piece, const struct rm_facts *facts,
	const struct rm_plan *plan)
{
	struct rm_steps x = {
		.world = world, .piece = piece, .facts = facts, .plan = plan, .uffd = -1};
	unsigned int i, failed = 0;
	bool guarded;
	int r = 0;

	world->parted = false;
	x.at[RM_SOURCE] = piece->source.start;
	x.at[RM_TARGET] = piece->target;
	for (i = 0; i < plan->nsteps; i++) {
		r = rm_exec_test_hook ? rm_exec_test_hook(i, &plan->steps[i], false) : 0;
		if (!r)
			r = rm_steps_do(&x, &plan->steps[i]);
		if (r)
			break;
	}
	if (!r) {
		(void)rm_steps_unmap(&x, RM_TWIN); /* one that has not moved */
		(void)rm_steps_unmap(&x, RM_ASIDE);
		(void)rm_steps_leave_room(&x);
		return (long)x.at[RM_TARGET];
	}

	failed = i;
	guarded = x.guarded;
	/* mremap unmaps a FIXED destination first, and may fail then. */
	if ((plan->steps[i].op == RM_OP_MOVE || plan->steps[i].op == RM_OP_DUPLICATE) &&
		plan->steps[i].other == RM_TARGET && (piece->flags & RM_FIXED) &&
		!rm_sys_is_mapped(x.at[RM_TARGET]))
		rm_steps_reserve_again(&x);
	while (i--) {
		int u = rm_exec_test_hook ? rm_exec_test_hook(i, &plan->steps[i], true) : 0;

		if (!u)
			u = rm_steps_undo(&x, &plan->steps[i]);
		if (u)
			x.undo_failures++;
	}
	rm_mover_finish(&x.mover); /* nobody is stopped any more */
	if (rm_steps_unmap(&x, RM_TWIN) || rm_steps_unmap(&x, RM_ASIDE) || rm_steps_leave_room(&x))
		x.undo_failures++;
	if (x.owned[RM_TARGET] && (piece->flags & RM_FIXED))
		world->kept = (struct rm_range){x.at[RM_TARGET], piece->source.len + piece->grown};
	if (failed)
		rm_stat_add(RM_STAT_UNDONE, 1);
	if (x.undo_failures) {
		rm_stat_add(RM_STAT_UNDO_FAILURES, (uint64_t)x.undo_failures);
		rm_log(RM_LOG_ERROR, "%d steps of plan %s could not be undone at %lx",
			x.undo_failures, plan->strategy, piece->source.start);
	}
	if (rm_log_on(RM_LOG_DEBUG)) {
		char what[128];

		rm_plan_describe(plan, failed, what, sizeof(what));
		rm_log(RM_LOG_DEBUG, "plan %s failed with errno %d at step %u: %s", plan->strategy,
			-r, failed + 1, what);
	}
	/* Somebody has the hole and keeps it: there is nothing to try again. */
	return guarded && x.undo_failures ? -EINVAL : documented(&plan->steps[failed], r);
}
