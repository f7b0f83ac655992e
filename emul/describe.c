/* SPDX-License-Identifier: MIT */
/*
 * A plan's steps as people read them, in the log and from remap-probe --explain: one line each,
 * without addresses, as a plan has none. What a step is for is said where the plan is made
 * (plan.c). Async-signal-safe.
 */
#include "emul/log.h"
#include "emul/plan.h"
#include "emul/rejoin.h"
#include "emul/sys.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static const char *advice_name(int advice)
{
	static const struct {
		int advice;
		const char *name;
	} names[] = {
		{MADV_HUGEPAGE, "HUGEPAGE"},
		{MADV_NOHUGEPAGE, "NOHUGEPAGE"},
		{MADV_MERGEABLE, "MERGEABLE"},
		{MADV_DONTFORK, "DONTFORK"},
		{MADV_WIPEONFORK, "WIPEONFORK"},
		{MADV_DONTDUMP, "DONTDUMP"},
		{MADV_SEQUENTIAL, "SEQUENTIAL"},
		{MADV_RANDOM, "RANDOM"},
	};

	for (size_t i = 0; i < RM_ARRAY_LEN(names); i++)
		if (names[i].advice == advice)
			return names[i].name;
	return "?";
}

size_t rm_plan_describe(const struct rm_plan *plan, unsigned int i, char *buf, size_t size)
{
	static const char *const places[] = {
		"", "source", "destination", "twin", "scratch page", "place aside"};
	const struct rm_step *step = &plan->steps[i];
	const char *place = places[step->place], *other = places[step->other];

	switch (step->op) {
	case RM_OP_NATIVE:
		return rm_format(buf, size, "give the call to the kernel as it is");
	case RM_OP_RESERVE:
		return rm_format(buf, size, "reserve the %s: mmap PROT_NONE", place);
	case RM_OP_MAP:
		return rm_format(buf, size, "map an empty mapping like the source at the %s%s",
			place, step->arg == RM_MAP_NONE ? ", PROT_NONE for now" : "");
	case RM_OP_UNLOCK:
		return rm_format(buf, size, "munlock the %s", place);
	case RM_OP_LOCK:
		return rm_format(buf, size, "mlock the %s%s", place, step->arg ? " on fault" : "");
	case RM_OP_PROTECT:
		return rm_format(buf, size, "mprotect the %s to %s%s%s", place,
			step->arg & PROT_READ ? "r" : "-", step->arg & PROT_WRITE ? "w" : "-",
			step->arg & PROT_EXEC ? "x" : "-");
	case RM_OP_CHARGE:
		return rm_format(buf, size,
			"mprotect the %s to rw- for a moment, so that it is charged", place);
	case RM_OP_TOUCH:
		return rm_format(buf, size,
			step->arg ? "write a word to the %s if it has merged, so that it does again"
			: step->place == RM_TARGET
				? "write a word to the %s, so that it shares what neighbours "
				  "merge by"
				: "write a word to the %s, so that it stays charged when it is "
				  "read-only",
			place);
	case RM_OP_ADVISE:
		return rm_format(
			buf, size, "madvise the %s MADV_%s", place, advice_name(step->arg));
	case RM_OP_BIND:
		return rm_format(buf, size, "mbind the %s like the source", place);
	case RM_OP_NAME:
		return rm_format(buf, size, "name the %s like the source", place);
	case RM_OP_APART:
		return rm_format(buf, size,
			"watch the %s, so that it will not merge where it is moved", place);
	case RM_OP_STOP:
		return rm_format(buf, size, "stop every other thread");
	case RM_OP_VERIFY:
		return rm_format(buf, size, "check that the %s has not changed meanwhile", place);
	case RM_OP_DISARM:
		return rm_format(
			buf, size, "unregister the %s from the program's userfaultfd", place);
	case RM_OP_PART:
		return rm_format(buf, size,
			"make the %s a mapping of its own again, if it has merged", place);
	case RM_OP_MOVE:
		return rm_format(buf, size, "move the page tables: mremap the %s onto the %s%s",
			place, other, step->arg ? ", unless what lies before that can grow" : "");
	case RM_OP_GROW:
		return rm_format(
			buf, size, "grow what lies before the %s over it: mremap in place", place);
	case RM_OP_HEAL:
		return rm_format(buf, size,
			"merge: move the last page of the %s to the %s and back", place, other);
	case RM_OP_JOIN:
		return rm_format(buf, size,
			"merge: madvise what goes on behind the %s otherwise, and as it was",
			place);
	case RM_OP_REJOIN:
		return rm_format(buf, size,
			step->arg & RM_REJOIN_MERGE
				? "merge: give the %s the page offset of what goes on behind it, "
				  "by way of where it was first touched"
				: "merge: find out by way of what moved whether the %s would count "
				  "its pages from elsewhere",
			place);
	case RM_OP_MOVE_TOLD:
		return rm_format(buf, size,
			"move the page tables: mremap the %s onto the %s, by a helper that waits "
			"for the "
			"monitor",
			place, other);
	case RM_OP_AWAIT:
		return rm_format(
			buf, size, "wait until the program's monitor has read the REMAP event");
	case RM_OP_ARM:
		return rm_format(
			buf, size, "register the %s with the program's userfaultfd", place);
	case RM_OP_RESUME:
		return rm_format(buf, size, "let the threads run");
	case RM_OP_DUPLICATE:
		return rm_format(buf, size,
			"map a second view of the %s at the %s: mremap, old_size 0", place, other);
	case RM_OP_EMPTY:
		return rm_format(buf, size, "drop the page tables of the %s: MADV_DONTNEED", place);
	case RM_OP_PRESENT:
		return rm_format(
			buf, size, "look which pages of the %s have page table entries", place);
	case RM_OP_OPEN:
		return rm_format(buf, size, "open a userfaultfd that can move pages");
	case RM_OP_TRANSFER:
		return rm_format(buf, size,
			"give the pages of the %s to the %s: UFFDIO_MOVE, or all goes back", place,
			other);
	case RM_OP_NONE:
		return rm_format(buf, size, "check that the %s has no pages", place);
	case RM_OP_BRING:
		return rm_format(buf, size, "bring in the same pages of the %s", place);
	}
	return rm_format(buf, size, "?");
}
