/* SPDX-License-Identifier: MIT */
/*
 * Rules that every plan obeys (emul/plan.c), over all combinations of what it can depend on, half a million of them:
 * it fits into RM_PLAN_STEPS; what opens closes; in the window of "twin first" there is nothing that needs memory or a
 * mapping more; the source is verified before it is touched; what was disarmed is armed again, as the last thing
 * before the threads run; nobody is stopped without need. And the text of each step, as --explain prints it.
 * Needs nothing.
 */
#include "tests/unit/unit.h"

#include <linux/userfaultfd.h>

#include "emul/plan.h"

#define SRC 0x100000000000UL
#define LEN 0x10000UL

static unsigned int longest;

static int find(const struct rm_plan *plan, enum rm_op op, enum rm_place place)
{
	for (unsigned int i = 0; i < plan->nsteps; i++)
		if (plan->steps[i].op == op && (!place || plan->steps[i].place == place))
			return (int)i;
	return -1;
}

/* NULL, or the rule that the plan breaks. */
static const char *broken_rule(const struct rm_request *piece, const struct rm_facts *facts,
	enum rm_variant variant, const struct rm_plan *plan)
{
	const int stop = find(plan, RM_OP_STOP, 0), resume = find(plan, RM_OP_RESUME, 0);
	const int verify = find(plan, RM_OP_VERIFY, 0), disarm = find(plan, RM_OP_DISARM, 0);
	const int arm = find(plan, RM_OP_ARM, 0), last = (int)plan->nsteps - 1;
	const int away = find(plan, RM_OP_MOVE, RM_SOURCE), back = find(plan, RM_OP_MOVE, RM_TWIN);
	const bool twin = facts->kind != RM_KIND_SHARED;

	if (plan->nsteps > RM_PLAN_STEPS || plan->nsteps < 1)
		return "it fits";
	if ((stop < 0) != (resume < 0) || (stop >= 0 && resume != last))
		return "what is stopped runs again, at the end";
	if ((disarm < 0) != (arm < 0) || (arm >= 0 && arm != resume - 1))
		return "what was disarmed is armed, last";
	if (stop >= 0 && verify != stop + 1)
		return "the source is verified first thing in the window";
	if (disarm >= 0 && disarm != verify + 1)
		return "a disarmed source is touched by nobody";
	if (twin && (away < 0 || away < stop))
		return "the pages move in the window";
	if (twin && (facts->uffd.fd >= 0) != (disarm >= 0))
		return "an armed source is disarmed, no other";
	if (twin && (find(plan, RM_OP_RESERVE, RM_TARGET) >= 0) !=
			   (!(piece->flags & RM_FIXED) || facts->target_armed))
		return "a destination that is not fixed is reserved";
	if (twin && variant == RM_VARIANT_TWIN_FIRST) {
		if (back != away + 1)
			return "the twin follows at once";
		for (int i = stop + 1; i < resume; i++)
			if (plan->steps[i].op == RM_OP_MAP || plan->steps[i].op == RM_OP_PROTECT ||
				plan->steps[i].op == RM_OP_ADVISE || plan->steps[i].op == RM_OP_BIND)
				return "nothing is built in the window";
		if (find(plan, RM_OP_MAP, RM_TWIN) > stop)
			return "the twin is made before the window";
	}
	if (!twin && find(plan, RM_OP_EMPTY, RM_SOURCE) < find(plan, RM_OP_DUPLICATE, RM_SOURCE))
		return "page tables are dropped when the second view is there";
	if (!twin && (facts->vma.vmflags & RM_VF_LOCKED) &&
		!(find(plan, RM_OP_UNLOCK, RM_SOURCE) >= 0 &&
			find(plan, RM_OP_UNLOCK, RM_SOURCE) < find(plan, RM_OP_DUPLICATE, RM_SOURCE) &&
			find(plan, RM_OP_LOCK, RM_TARGET) > find(plan, RM_OP_DUPLICATE, RM_SOURCE) &&
			find(plan, RM_OP_LOCK, RM_TARGET) < find(plan, RM_OP_EMPTY, RM_SOURCE)))
		return "a lock goes with the pages";
	if (!twin && (stop >= 0) !=
			     (facts->uffd.fd >= 0 &&
				     (facts->uffd.features & UFFD_FEATURE_EVENT_REMOVE) != 0))
		return "nobody is stopped for shared memory without need";
	return NULL;
}

/* One bit an attribute. */
static void all_combinations(void **state)
{
	static const uint32_t flags[] = {RM_VF_ACCOUNT, RM_VF_LOCKED, RM_VF_HUGEPAGE,
		RM_VF_NOHUGEPAGE, RM_VF_MERGEABLE, RM_VF_DONTFORK, RM_VF_WIPEONFORK,
		RM_VF_DONTDUMP, RM_VF_SEQUENTIAL, RM_VF_RANDOM};
	static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC};
	static const enum rm_kind kinds[] = {RM_KIND_ANON, RM_KIND_FILE, RM_KIND_SHARED};
	const struct rm_features features = {.task_size = 1UL << 47};
	struct rm_request piece = {.source = {SRC, LEN}};
	struct rm_facts facts;
	struct rm_plan plan;

	(void)state;
	memset(&facts, 0, sizeof(facts));
	facts.vma.start = SRC;
	facts.vma.end = SRC + LEN;
	for (unsigned int bits = 0; bits < 1U << 19; bits++) {
		const enum rm_variant variant = bits & 1 ? RM_VARIANT_TWIN_LATE : RM_VARIANT_TWIN_FIRST;
		const char *broken;

		facts.vma.vmflags = 0;
		for (size_t i = 0; i < RM_ARRAY_LEN(flags); i++)
			if (bits & 2U << i)
				facts.vma.vmflags |= flags[i];
		facts.uffd.fd = bits & 1U << 11 ? 3 : -1;
		facts.uffd.features = bits & 1U << 12 ? UFFD_FEATURE_EVENT_REMOVE : 0;
		facts.policy.set = bits & 1U << 13;
		strcpy(facts.vma.name, bits & 1U << 13 ? "[anon:name]" : "");
		facts.vma.pkey = bits & 1U << 14 ? 1 : 0;
		facts.target_armed = bits & 1U << 15;
		piece.flags = RM_MAYMOVE | RM_DONTUNMAP | (bits & 1U << 16 ? RM_FIXED : 0);
		piece.target = bits & 1U << 16 ? 2 * SRC : 0;
		facts.vma.prot = prots[bits >> 17];
		for (size_t k = 0; k < RM_ARRAY_LEN(kinds); k++) {
			facts.kind = kinds[k];
			facts.vma.shared = kinds[k] == RM_KIND_SHARED;
			rm_plan_build(&piece, &facts, &features, variant, &plan);
			assert_int_equal(plan.error, 0);
			broken = broken_rule(&piece, &facts, variant, &plan);
			if (broken)
				fail_msg("combination %x of kind %zu breaks: %s", bits, k, broken);
			if (plan.nsteps > longest)
				longest = plan.nsteps;
		}
	}
	print_message("# the longest plan has %u steps of at most %d\n", longest, RM_PLAN_STEPS);
	assert_in_range(longest, 20, 24); /* 24 is what plan.c says */
}

static const struct text {
	struct rm_step step;
	const char *text;
} texts[] = {
	{{RM_OP_NATIVE, RM_SOURCE, RM_TARGET, 0}, "give the call to the kernel as it is"},
	{{RM_OP_RESERVE, RM_TARGET, RM_NOWHERE, 0}, "reserve the destination: mmap PROT_NONE"},
	{{RM_OP_MAP, RM_TWIN, RM_NOWHERE, RM_MAP_NONE},
		"map an empty mapping like the source at the twin, PROT_NONE for now"},
	{{RM_OP_MAP, RM_SOURCE, RM_NOWHERE, RM_MAP_PROT},
		"map an empty mapping like the source at the source"},
	{{RM_OP_UNLOCK, RM_TWIN, RM_NOWHERE, 0}, "munlock the twin"},
	{{RM_OP_LOCK, RM_TARGET, RM_NOWHERE, 0}, "mlock the destination"},
	{{RM_OP_LOCK, RM_TARGET, RM_NOWHERE, 1}, "mlock the destination on fault"},
	{{RM_OP_PROTECT, RM_TWIN, RM_NOWHERE, PROT_READ | PROT_EXEC}, "mprotect the twin to r-x"},
	{{RM_OP_PROTECT, RM_TWIN, RM_NOWHERE, 0}, "mprotect the twin to ---"},
	{{RM_OP_ADVISE, RM_TWIN, RM_NOWHERE, MADV_DONTDUMP}, "madvise the twin MADV_DONTDUMP"},
	{{RM_OP_ADVISE, RM_TWIN, RM_NOWHERE, 12345}, "madvise the twin MADV_?"},
	{{RM_OP_BIND, RM_TWIN, RM_NOWHERE, 0}, "mbind the twin like the source"},
	{{RM_OP_NAME, RM_TWIN, RM_NOWHERE, 0}, "name the twin like the source"},
	{{RM_OP_STOP, RM_NOWHERE, RM_NOWHERE, 0}, "stop every other thread"},
	{{RM_OP_VERIFY, RM_SOURCE, RM_NOWHERE, 0},
		"check that the source has not changed meanwhile"},
	{{RM_OP_DISARM, RM_SOURCE, RM_NOWHERE, 0},
		"unregister the source from the program's userfaultfd"},
	{{RM_OP_MOVE, RM_TWIN, RM_SOURCE, 0},
		"move the page tables: mremap the twin onto the source"},
	{{RM_OP_ARM, RM_SOURCE, RM_NOWHERE, 0},
		"register the source with the program's userfaultfd"},
	{{RM_OP_RESUME, RM_NOWHERE, RM_NOWHERE, 0}, "let the threads run"},
	{{RM_OP_DUPLICATE, RM_SOURCE, RM_TARGET, 0},
		"map a second view of the source at the destination: mremap, old_size 0"},
	{{RM_OP_EMPTY, RM_SOURCE, RM_NOWHERE, 0},
		"drop the page tables of the source: MADV_DONTNEED"},
	{{(enum rm_op)(RM_OP_EMPTY + 1), RM_NOWHERE, RM_NOWHERE, 0}, "?"},
};

static void every_step_has_a_text(void **state)
{
	bool seen[RM_OP_EMPTY + 2] = {false};
	struct rm_plan plan = {.nsteps = 1};

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(texts); i++) {
		char text[160], cut[8];

		plan.steps[0] = texts[i].step;
		seen[texts[i].step.op] = true;
		assert_int_equal(rm_plan_describe(&plan, 0, text, sizeof(text)), strlen(texts[i].text));
		assert_string_equal(text, texts[i].text);
		rm_plan_describe(&plan, 0, cut, sizeof(cut));
		assert_true(strlen(cut) < sizeof(cut));
	}
	for (int op = 0; op <= RM_OP_EMPTY + 1; op++)
		assert_true(seen[op]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_combinations),
		cmocka_unit_test(every_step_has_a_text),
	};

	return unit_run(tests);
}
