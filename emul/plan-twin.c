/* SPDX-License-Identifier: MIT */
/*
 * The part of a plan that makes a private mapping again, empty: one call to map it, and those that
 * make it what the source is. plan.c says when, and where.
 */
#include "emul/plan-parts.h"

#include <string.h>

#include "emul/sys.h"

/* Flags of the source that madvise gives to the twin. */
static const struct {
	uint32_t vmflag;
	int advice;
} advices[] = {
	{RM_VF_HUGEPAGE, MADV_HUGEPAGE},
	{RM_VF_NOHUGEPAGE, MADV_NOHUGEPAGE},
	{RM_VF_MERGEABLE, MADV_MERGEABLE},
	{RM_VF_DONTFORK, MADV_DONTFORK},
	{RM_VF_WIPEONFORK, MADV_WIPEONFORK},
	{RM_VF_DONTDUMP, MADV_DONTDUMP},
	{RM_VF_SEQUENTIAL, MADV_SEQUENTIAL},
	{RM_VF_RANDOM, MADV_RANDOM},
};

/*
 * An empty copy of the source, but with that protection, at place, which is RM_TWIN, or RM_SOURCE
 * when the hole is already there.
 */
void rm_plan_private_twin(
	struct rm_plan *plan, const struct rm_facts *facts, enum rm_place place, int wanted)
{
	const struct rm_vma *vma = &facts->vma;
	/*
	 * Mapped PROT_NONE and unlocked before it gets its protection, lest mlockall(MCL_FUTURE)
	 * populate it (A11, A24). Not if it is executable: gaining PROT_EXEC by mprotect is what
	 * hardened systems forbid (MDWE).
	 */
	const enum rm_map_how how = (vma->prot & PROT_EXEC) || !facts->lock_future ? RM_MAP_PROT
										   : RM_MAP_NONE;
	int prot = how == RM_MAP_PROT ? vma->prot : PROT_NONE;

	rm_plan_add(plan, RM_OP_MAP, place, RM_NOWHERE, how);
	if (facts->lock_future)
		rm_plan_add(plan, RM_OP_UNLOCK, place, RM_NOWHERE, 0);
	if (facts->lock_future && how == RM_MAP_PROT)
		rm_plan_add(plan, RM_OP_EMPTY, place, RM_NOWHERE, 0);
	if ((vma->vmflags & RM_VF_ACCOUNT) && !(prot & PROT_WRITE)) {
		prot = PROT_READ | PROT_WRITE;
		rm_plan_add(plan, wanted & PROT_WRITE ? RM_OP_PROTECT : RM_OP_CHARGE, place,
			RM_NOWHERE, prot);
	}
	/*
	 * Only in the hole: touched elsewhere it would count its pages from there and merge with
	 * nothing here.
	 */
	if (facts->touched && place == RM_SOURCE) {
		rm_plan_add(plan, RM_OP_TOUCH, place, RM_NOWHERE, 0);
		rm_plan_add(plan, RM_OP_EMPTY, place, RM_NOWHERE, 0);
	}
	if (prot != wanted || vma->pkey)
		rm_plan_add(plan, RM_OP_PROTECT, place, RM_NOWHERE, wanted);
	for (size_t i = 0; i < RM_ARRAY_LEN(advices); i++)
		if (vma->vmflags & advices[i].vmflag)
			rm_plan_add(plan, RM_OP_ADVISE, place, RM_NOWHERE, advices[i].advice);
	if (facts->policy.set)
		rm_plan_add(plan, RM_OP_BIND, place, RM_NOWHERE, facts->policy.mode);
	if (!strncmp(vma->name, "[anon:", 6))
		rm_plan_add(plan, RM_OP_NAME, place, RM_NOWHERE, 0);
}

/*
 * Calls that a mapping made by mmap still needs to be like the source, each short, none of which
 * waits for anybody.
 */
unsigned int rm_plan_finishing_calls(const struct rm_facts *facts)
{
	unsigned int n = facts->policy.set;

	for (size_t i = 0; i < RM_ARRAY_LEN(advices); i++)
		n += (facts->vma.vmflags & advices[i].vmflag) != 0;
	return n + !strncmp(facts->vma.name, "[anon:", 6);
}
