/* SPDX-License-Identifier: MIT */
/*
 * Rules that every plan obeys (emul/plan.c), over all combinations of what it can depend on, three
 * million of them: it fits into RM_PLAN_STEPS; what opens closes; in the window of "twin first"
 * there is nothing that needs memory or a mapping more; the source is verified before it is
 * touched, left once and filled at once; what was armed is armed in the end, and no armed page is
 * moved while a monitor that would be told stands still. And the text of each step, as --explain
 * prints it. Needs nothing.
 */
#include "tests/unit/unit.h"

#include <linux/userfaultfd.h>

#include "emul/plan.h"

#define SRC 0x100000000000UL
#define LEN 0x10000UL

static unsigned int longest;

/* The first step of that kind, at that place if one is given; -1: none. */
static int find(const struct rm_plan *plan, enum rm_op op, enum rm_place place)
{
	for (unsigned int i = 0; i < plan->nsteps; i++)
		if (plan->steps[i].op == op && (!place || plan->steps[i].place == place))
			return (int)i;
	return -1;
}

static bool builds(enum rm_op op)
{
	return op == RM_OP_MAP || op == RM_OP_PROTECT || op == RM_OP_ADVISE || op == RM_OP_BIND ||
	       op == RM_OP_NAME || op == RM_OP_RESERVE;
}

/* NULL, or the rule that the plan breaks: those about the window. */
static const char *broken_in_window(
	const struct rm_facts *facts, enum rm_variant variant, const struct rm_plan *plan)
{
	const int stop = find(plan, RM_OP_STOP, 0), resume = find(plan, RM_OP_RESUME, 0);
	const int last = (int)plan->nsteps - 1;
	const bool told = find(plan, RM_OP_MOVE_TOLD, 0) >= 0;
	bool armed = facts->uffd.fd >= 0, target_armed = false;
	int built = 0;

	if ((stop < 0) != (resume < 0) || (stop < 0) != (variant == RM_VARIANT_DUPLICATE))
		return "everybody is stopped, but for the variant that can not, and runs again";
	if (told != (find(plan, RM_OP_AWAIT, 0) >= 0) ||
		told != rm_uffd_wants_remap_event(&facts->uffd))
		return "the event of a move is awaited if there is one";
	if (stop < 0)
		return NULL;
	if (resume != last - told || (told && find(plan, RM_OP_AWAIT, 0) != last))
		return "they run again at the end; nobody is waited for before";
	if (find(plan, RM_OP_VERIFY, 0) != stop + 1)
		return "the source is verified first thing in the window";
	for (int i = stop + 1; i < resume; i++)
		built += builds(plan->steps[i].op);
	if (variant == RM_VARIANT_TWIN_FIRST && built)
		return "nothing is built in the window";
	if (variant == RM_VARIANT_DIRECT && built > 3)
		return "direct is by one call and at most two more";
	for (int i = 0; i <= last; i++) {
		const struct rm_step *s = &plan->steps[i];

		if ((s->op == RM_OP_DISARM || s->op == RM_OP_ARM) && s->place == RM_TARGET) {
			target_armed = s->op == RM_OP_ARM;
			continue;
		}
		if ((s->op == RM_OP_DISARM || s->op == RM_OP_MOVE_TOLD) && !armed)
			return "what is disarmed was armed";
		if (s->op == RM_OP_MOVE && s->place == RM_SOURCE && armed)
			return "no armed source is moved unless its monitor is to be told";
		if (s->op == RM_OP_DUPLICATE && (s->place == RM_SOURCE ? armed : target_armed) &&
			rm_uffd_wants_remap_event(&facts->uffd))
			return "no second view of an armed mapping is made, which would be an "
			       "event, too";
		target_armed |= s->op == RM_OP_MOVE_TOLD;
		if (s->op == RM_OP_DISARM || s->op == RM_OP_MOVE_TOLD)
			armed = false;
		if (s->op == RM_OP_ARM || s->op == RM_OP_GROW)
			armed = facts->uffd.fd >= 0;
		if (s->op == RM_OP_REJOIN && (armed || find(plan, RM_OP_DISARM, 0) >= 0))
			return "no page that a monitor watches is lent";
		if (s->op == RM_OP_HEAL && armed && rm_uffd_wants_unmap_event(&facts->uffd))
			return "no armed page is moved while the monitor stands still";
	}
	return armed == (facts->uffd.fd >= 0) ? NULL : "what was armed is armed in the end";
}

/* Likewise: those about what goes where. */
static const char *broken_rule(const struct rm_request *piece, const struct rm_facts *facts,
	enum rm_variant variant, const struct rm_plan *plan)
{
	const int stop = find(plan, RM_OP_STOP, 0), reserve = find(plan, RM_OP_RESERVE, RM_TARGET);
	const int heal = find(plan, RM_OP_HEAL, 0), scratch = find(plan, RM_OP_RESERVE, RM_SCRATCH);
	const int unlock = find(plan, RM_OP_UNLOCK, RM_SOURCE);
	int left = -1, refilled = -1;

	if (plan->nsteps > RM_PLAN_STEPS || plan->nsteps < 1)
		return "it fits";
	if (variant == RM_VARIANT_DUPLICATE) {
		if (find(plan, RM_OP_EMPTY, RM_SOURCE) < find(plan, RM_OP_DUPLICATE, RM_SOURCE))
			return "page tables are dropped when the second view is there";
		return NULL;
	}
	if ((reserve >= 0) != (!(piece->flags & RM_FIXED) || facts->target_armed))
		return "a destination that is not fixed, or is watched, is reserved";
	if (reserve > stop && (facts->target_armed || unlock < stop || unlock > reserve))
		return "that is done before the window, or when the source's lock has made room "
		       "for it";
	if ((heal >= 0) != (scratch >= 0) || scratch > stop)
		return "a page that is lent goes to a reserved place";
	for (int i = 0; i < (int)plan->nsteps; i++) {
		const struct rm_step *s = &plan->steps[i];

		if ((s->op == RM_OP_MOVE || s->op == RM_OP_MOVE_TOLD) && s->place == RM_SOURCE) {
			if (left >= 0)
				return "the pages move once";
			left = i;
		}
		if (((s->op == RM_OP_MOVE || s->op == RM_OP_DUPLICATE) && s->other == RM_SOURCE) ||
			((s->op == RM_OP_MAP || s->op == RM_OP_GROW) && s->place == RM_SOURCE)) {
			if (refilled >= 0)
				return "the hole is filled once";
			refilled = i;
		}
	}
	/* between them at most the destination is disarmed, so that its second view is no event */
	if (left >= stop && refilled == left + 2 && plan->steps[left + 1].op == RM_OP_DISARM &&
		plan->steps[left + 1].place == RM_TARGET)
		refilled--;
	if (left < stop || refilled != left + 1)
		return "the hole is filled at once";
	if (find(plan, RM_OP_MAP, RM_TWIN) > stop)
		return "a private twin is made before the window";
	return broken_in_window(facts, variant, plan);
}

static const char *combination(unsigned int bits, enum rm_kind kind, unsigned int *steps)
{
	static const uint32_t flags[] = {RM_VF_ACCOUNT, RM_VF_LOCKED, RM_VF_HUGEPAGE,
		RM_VF_MERGEABLE, RM_VF_DONTFORK, RM_VF_DONTDUMP, RM_VF_SEQUENTIAL};
	static const int prots[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC};
	static const uint64_t events[] = {0, UFFD_FEATURE_EVENT_REMAP, UFFD_FEATURE_EVENT_UNMAP,
		UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE};
	const struct rm_features features = {.task_size = 1UL << 47};
	enum rm_variant variant = bits & 1		 ? RM_VARIANT_TWIN_LATE
					: kind != RM_KIND_SHARED ? RM_VARIANT_TWIN_FIRST
					: bits & 2		 ? RM_VARIANT_DUPLICATE
								 : RM_VARIANT_TWIN_FIRST;
	struct rm_request piece = {.source = {SRC, LEN}};
	struct rm_facts facts;
	struct rm_plan plan;

	memset(&facts, 0, sizeof(facts));
	facts.kind = kind;
	facts.vma.shared = kind == RM_KIND_SHARED;
	facts.vma.start = SRC - (bits & 2U && kind != RM_KIND_SHARED ? LEN : 0);
	facts.vma.end = SRC + LEN + (bits & 4U ? LEN : 0);
	facts.vma.prot = prots[bits >> 3 & 3];
	facts.uffd.fd = bits & 1U << 5 && variant != RM_VARIANT_DUPLICATE ? 3 : -1;
	facts.uffd.features = facts.uffd.fd >= 0 ? events[bits >> 6 & 3] : 0;
	facts.policy.set = bits & 1U << 8;
	strcpy(facts.vma.name, facts.policy.set ? "[anon:name]" : "");
	facts.vma.pkey = bits & 1U << 9 ? 1 : 0;
	facts.target_armed = bits & 1U << 10;
	piece.flags = RM_MAYMOVE | RM_DONTUNMAP | (bits & 1U << 11 ? RM_FIXED : 0);
	piece.target = bits & 1U << 11 ? 2 * SRC : 0;
	for (size_t i = 0; i < RM_ARRAY_LEN(flags); i++)
		if (bits & 1U << (12 + i))
			facts.vma.vmflags |= flags[i];
	facts.lock_future = !(bits & 1U << 19);
	facts.moved = bits & 1U << 20;
	if (variant == RM_VARIANT_TWIN_FIRST && !facts.lock_future)
		variant = rm_plan_first_variant(&facts);
	rm_plan_build(&piece, &facts, &features, variant, &plan);
	*steps = plan.nsteps;
	return plan.error ? "there is a plan" : broken_rule(&piece, &facts, variant, &plan);
}

/*
 * One bit an attribute; every rule that is broken is told once, with the first combination that
 * breaks it.
 */
static void all_combinations(void **state)
{
	static const enum rm_kind kinds[] = {RM_KIND_ANON, RM_KIND_FILE, RM_KIND_SHARED};
	const char *told = NULL;
	unsigned int steps;

	(void)state;
	for (unsigned int bits = 0; bits < 1U << 21; bits++)
		for (size_t k = 0; k < RM_ARRAY_LEN(kinds); k++) {
			const char *broken = combination(bits, kinds[k], &steps);

			if (broken && broken != told) {
				print_message("# combination %x of kind %zu breaks: %s\n", bits, k,
					broken);
				told = broken;
			}
			if (steps > longest)
				longest = steps;
		}
	assert_null(told);
	print_message("# the longest of them has %u steps\n", longest);
}

static void the_longest_plan_fits(void **state)
{
	const struct rm_features features = {.task_size = 1UL << 47};
	const struct rm_request piece = {{SRC, LEN}, 0, RM_MAYMOVE | RM_DONTUNMAP, 0};
	struct rm_facts facts;
	struct rm_plan plan;

	(void)state;
	memset(&facts, 0, sizeof(facts));
	facts.kind = RM_KIND_ANON;
	facts.vma.start = SRC;
	facts.vma.end = SRC + LEN;
	facts.vma.prot = PROT_READ | PROT_EXEC;
	facts.vma.vmflags = ~(uint32_t)(RM_VF_SEALED | RM_VF_SHADOWSTACK | RM_VF_MTE);
	facts.vma.pkey = 1;
	facts.policy.set = true;
	strcpy(facts.vma.name, "[anon:name]");
	facts.uffd.fd = 3;
	facts.lock_future = true;
	for (int variant = RM_VARIANT_TWIN_FIRST; variant <= RM_VARIANT_TWIN_LATE; variant++)
		for (int told = 0; told < 2; told++) {
			facts.uffd.features = told ? UFFD_FEATURE_EVENT_REMAP : 0;
			rm_plan_build(&piece, &facts, &features, variant, &plan);
			assert_int_equal(plan.error, 0);
			assert_in_range(plan.nsteps, 20, 24); /* 24 is what plan.c says */
		}
	assert_true(24 <= RM_PLAN_STEPS);
}

static const struct text {
	struct rm_step step;
	const char *text; /* NULL: any */
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
	{{RM_OP_APART, RM_TWIN, RM_NOWHERE, 0}, NULL},
	{{RM_OP_TOUCH, RM_SOURCE, RM_NOWHERE, 0}, NULL},
	{{RM_OP_TOUCH, RM_TARGET, RM_NOWHERE, 1},
		"write a word to the destination if it has merged, so that it does again"},
	{{RM_OP_STOP, RM_NOWHERE, RM_NOWHERE, 0}, "stop every other thread"},
	{{RM_OP_VERIFY, RM_SOURCE, RM_NOWHERE, 0},
		"check that the source has not changed meanwhile"},
	{{RM_OP_DISARM, RM_SOURCE, RM_NOWHERE, 0},
		"unregister the source from the program's userfaultfd"},
	{{RM_OP_MOVE, RM_TWIN, RM_SOURCE, 0},
		"move the page tables: mremap the twin onto the source"},
	{{RM_OP_MOVE, RM_TWIN, RM_SOURCE, 1},
		"move the page tables: mremap the twin onto the source, unless what lies before "
		"that can grow"},
	{{RM_OP_CHARGE, RM_TWIN, RM_NOWHERE, 3}, NULL},
	{{RM_OP_MOVE_TOLD, RM_SOURCE, RM_TARGET, 0}, NULL},
	{{RM_OP_GROW, RM_SOURCE, RM_NOWHERE, 0}, NULL},
	{{RM_OP_HEAL, RM_SOURCE, RM_SCRATCH, 0}, NULL},
	{{RM_OP_JOIN, RM_SOURCE, RM_NOWHERE, 0},
		"merge: madvise what goes on behind the source otherwise, and as it was"},
	{{RM_OP_REJOIN, RM_SOURCE, RM_TARGET, 0}, NULL},
	{{RM_OP_PART, RM_SOURCE, RM_NOWHERE, 0},
		"make the source a mapping of its own again, if it has merged"},
	{{RM_OP_AWAIT, RM_NOWHERE, RM_NOWHERE, 0}, NULL},
	{{RM_OP_ARM, RM_SOURCE, RM_NOWHERE, 0},
		"register the source with the program's userfaultfd"},
	{{RM_OP_RESUME, RM_NOWHERE, RM_NOWHERE, 0}, "let the threads run"},
	{{RM_OP_DUPLICATE, RM_SOURCE, RM_TARGET, 0},
		"map a second view of the source at the destination: mremap, old_size 0"},
	{{RM_OP_EMPTY, RM_SOURCE, RM_NOWHERE, 0},
		"drop the page tables of the source: MADV_DONTNEED"},
	{{RM_OP_PRESENT, RM_SOURCE, RM_NOWHERE, 0},
		"look which pages of the source have page table entries"},
	{{RM_OP_BRING, RM_TARGET, RM_NOWHERE, 0}, "bring in the same pages of the destination"},
	{{RM_OP_OPEN, RM_NOWHERE, RM_NOWHERE, 0}, "open a userfaultfd that can move pages"},
	{{RM_OP_TRANSFER, RM_SOURCE, RM_ASIDE, 0},
		"give the pages of the source to the place aside: UFFDIO_MOVE, or all goes back"},
	{{RM_OP_NONE, RM_SOURCE, RM_NOWHERE, 0}, "check that the source has no pages"},
	{{(enum rm_op)(RM_OP_NONE + 1), RM_NOWHERE, RM_NOWHERE, 0}, "?"},
};

static void every_step_has_a_text(void **state)
{
	bool seen[RM_OP_NONE + 2] = {false};
	struct rm_plan plan = {.nsteps = 1};

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(texts); i++) {
		char text[160], cut[8];
		size_t len;

		plan.steps[0] = texts[i].step;
		seen[texts[i].step.op] = true;
		len = rm_plan_describe(&plan, 0, text, sizeof(text));
		assert_int_equal(len, strlen(text));
		assert_true(strlen(text) > 10 || texts[i].text);
		if (texts[i].text)
			assert_string_equal(text, texts[i].text);
		rm_plan_describe(&plan, 0, cut, sizeof(cut));
		assert_true(strlen(cut) < sizeof(cut));
	}
	for (int op = 0; op <= RM_OP_NONE + 1; op++)
		assert_true(seen[op]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_combinations),
		cmocka_unit_test(the_longest_plan_fits),
		cmocka_unit_test(every_step_has_a_text),
	};

	return unit_run(tests);
}
