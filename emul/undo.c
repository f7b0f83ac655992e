/* SPDX-License-Identifier: MIT */
/*
 * Taking the steps of a plan back (steps.c), in reverse order, each as if it had been the last one.
 *
 * What only changes the twin, or a place of ours, needs no undoing: it goes as a whole. What can
 * not be taken back is counted and logged by exec.c. With everybody standing still, if they stood
 * when the step was made: raw system calls and no log.
 */
#include <errno.h>

#include "emul/attributes.h"
#include "emul/steps.h"
#include "emul/sys.h"
#include "emul/transfer.h"
#include "emul/world.h"

/*
 * A move is undone by moving back; a reservation that it consumed is made again, while nobody else
 * runs.
 */
static int undo_move(struct rm_steps *x, const struct rm_step *step)
{
	const bool from_twin = step->place == RM_TWIN;
	int r = rm_steps_move(x, step->other, step->place);

	if (r)
		return r;
	if (from_twin)
		x->owned[RM_TWIN] = true;
	if (step->other == RM_TARGET)
		rm_steps_reserve_again(x);
	return 0;
}

/*
 * The pages come back and the source is armed again; the event of the move can not be taken back.
 */
static int undo_move_told(struct rm_steps *x, const struct rm_step *step)
{
	int r = rm_steps_disarm(x, step->other);

	if (!r)
		r = undo_move(x, step);
	if (!r)
		r = rm_uffd_arm(&x->facts->uffd, rm_steps_range(x, step->place));
	return r ? r : -EINPROGRESS;
}

/*
 * What is relocated has to be writable as long as pages go to and fro; twins and places aside go as
 * a whole.
 */
static int undo_protect(const struct rm_steps *x, const struct rm_step *step)
{
	const struct rm_vma *vma = &x->facts->vma;

	if (x->uffd < 0 || (step->place != RM_SOURCE && step->place != RM_TARGET))
		return 0;
	return rm_protect_like(rm_steps_range(x, step->place), vma,
		step->arg == vma->prot ? vma->prot | PROT_READ | PROT_WRITE : vma->prot);
}

/* A FIXED destination stays reserved for the next attempt: others may run. */
static int undo_duplicate(struct rm_steps *x, const struct rm_step *step)
{
	long r;

	if (step->other != RM_TARGET || !(x->piece->flags & RM_FIXED))
		return rm_steps_unmap(x, step->other);
	r = rm_sys_mmap(x->at[RM_TARGET], x->piece->source.len, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	return rm_is_err(r) ? (int)r : 0;
}

int rm_steps_undo(struct rm_steps *x, const struct rm_step *step)
{
	switch (step->op) {
	case RM_OP_RESERVE:
		if (step->place == RM_TARGET && (x->piece->flags & RM_FIXED))
			return 0; /* kept, see rm_exec() */
		return rm_steps_unmap(x, step->place);
	case RM_OP_MAP:
	case RM_OP_GROW:
		return rm_steps_unmap(x, step->place);
	case RM_OP_UNLOCK:
		/* a twin's goes with it */
		return step->arg
			       ? rm_steps_lock(x, RM_SOURCE, x->facts->vma.vmflags & RM_VF_ON_FAULT)
			       : 0;
	case RM_OP_STOP:
		if (x->stopped)
			rm_steps_close_window(x);
		return 0;
	case RM_OP_DISARM:
		return rm_uffd_arm(&x->facts->uffd, rm_steps_range(x, step->place));
	case RM_OP_MOVE:
		return undo_move(x, step);
	case RM_OP_MOVE_TOLD:
		return undo_move_told(x, step);
	case RM_OP_DUPLICATE:
		return undo_duplicate(x, step);
	case RM_OP_PROTECT:
		return undo_protect(x, step);
	case RM_OP_LOCK:
		return (int)rm_sys_munlock(x->at[step->place], rm_steps_range(x, step->place).len);
	case RM_OP_TRANSFER:
		return rm_transfer_back(x->uffd,
			(struct rm_range){x->at[step->other], x->piece->source.len},
			x->at[step->place]);
	default:
		return 0; /* changes only the twin, which goes as a whole, or nothing */
	}
}
