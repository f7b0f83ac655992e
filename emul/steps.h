/* SPDX-License-Identifier: MIT */
/*
 * What each step of a plan does, and how it is undone. For exec.c.
 */
#ifndef RM_STEPS_H
#define RM_STEPS_H

#include "emul/facts.h"
#include "emul/mover.h"
#include "emul/plan.h"
#include "emul/present.h"
#include "emul/types.h"

struct rm_world;

/* A plan that is being executed. */
struct rm_steps {
	struct rm_world *world;
	const struct rm_request *piece;
	const struct rm_facts *facts;
	const struct rm_plan *plan;
	uintptr_t at[RM_PLACES]; /* by enum rm_place */
	bool owned[RM_PLACES];	 /* ours to unmap */
	int uffd; /* the descriptor of RM_OP_APART or RM_OP_OPEN, to be closed at the end; or -1 */
	uintptr_t room; /* where the twin's surroundings begin; 0: there are none */
	bool rejoined;	/* RM_OP_REJOIN has done it */
	bool stopped;
	bool guarded; /* instead of stopped: other threads run */
	struct rm_mover mover;
	struct rm_present present;
	long native; /* what RM_OP_NATIVE returned */
	int undo_failures;
};

/* 0 or -errno; -ESTALE from RM_OP_VERIFY. */
int rm_steps_do(struct rm_steps *x, const struct rm_step *step);
/* 0, or -errno if it can not be taken back. */
int rm_steps_undo(struct rm_steps *x, const struct rm_step *step);

/*
 * The pages beside the twin, which is not there any more, are unmapped, and it needs no userfaultfd
 * any more.
 */
int rm_steps_leave_room(struct rm_steps *x);
/* Single steps, for undo.c. */
struct rm_range rm_steps_range(const struct rm_steps *x, enum rm_place place);
int rm_steps_move(struct rm_steps *x, enum rm_place from, enum rm_place to);
int rm_steps_disarm(const struct rm_steps *x, enum rm_place place);
int rm_steps_lock(const struct rm_steps *x, enum rm_place place, bool on_fault);
void rm_steps_close_window(struct rm_steps *x);

/* What lies at place is unmapped if it is ours. */
int rm_steps_unmap(struct rm_steps *x, enum rm_place place);
/* The destination, empty now, is kept from others. While nobody else runs. */
void rm_steps_reserve_again(struct rm_steps *x);

#endif
