/* SPDX-License-Identifier: MIT */
/*
 * Executing a plan, and taking it back.
 */
#ifndef RM_EXEC_H
#define RM_EXEC_H

#include "emul/facts.h"
#include "emul/plan.h"
#include "emul/types.h"
#include "emul/world.h"

/*
 * Executes the plan for the piece. The new address, or -errno with source (and where possible
 * destination) as they were: -ESTALE if the facts were out of date (the caller starts over), -ETIME
 * if the world would not stop, else an errno that mremap(2) documents, or of a plan to relocate
 * -EBUSY or -ENOSYS: its pages can not be transferred, nor any. Every stopped thread runs again in
 * either case.
 */
long __must_check rm_exec(struct rm_world *world, const struct rm_request *piece,
	const struct rm_facts *facts, const struct rm_plan *plan);

/*
 * For tests: called before every system call of a plan with the step's number, forwards (undo
 * false) and on the way back. A negative value is taken as the call's answer, and the call is not
 * made. NULL in production.
 */
extern int (*rm_exec_test_hook)(unsigned int step, const struct rm_step *what, bool undo);

#endif
