/* SPDX-License-Identifier: MIT */
/*
 * What plans are put together from, for plan*.c and part.c only. Pure.
 */
#ifndef RM_PLAN_PARTS_H
#define RM_PLAN_PARTS_H

#include "emul/plan.h"

void rm_plan_add(
	struct rm_plan *plan, enum rm_op op, enum rm_place place, enum rm_place other, int arg);
/* There is no plan: error is -errno, reason a static string or NULL. */
void rm_plan_fail(struct rm_plan *plan, int error, const char *reason);
/* An empty mapping like the source, but with that protection. */
void rm_plan_private_twin(
	struct rm_plan *plan, const struct rm_facts *facts, enum rm_place place, int wanted);
/* How many calls that takes in a mapping made by mmap with the source's protection. */
unsigned int rm_plan_finishing_calls(const struct rm_facts *facts);
/* The source's lock, put on the destination. */
void rm_plan_lock(struct rm_plan *plan, const struct rm_facts *facts);

void rm_plan_relocate(struct rm_plan *plan, const struct rm_request *piece,
	const struct rm_facts *facts, const struct rm_features *features);

#endif
