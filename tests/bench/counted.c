/* SPDX-License-Identifier: MIT */
/*
 * The engine's pure parts, one function each, for callgrind to count the instructions of: what is
 * known of a range, what a watched call costs, plans, lines of /proc, argument rules. No system
 * call is among them.
 *
 * main() calls each twice; the first call is for what is done once (the dynamic linker, lazy
 * set-up). tests/bench/count runs it under valgrind and prints the second call's count,
 * tests/bench/counts.t compares. Every function looks at its result, so that a count is never that
 * of something which did not work. "counted --build" tells what the counts depend on.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "emul/api.h"
#include "emul/conf.h"
#include "emul/features.h"
#include "emul/known.h"
#include "emul/plan.h"
#include "emul/world.h"

#ifndef RM_COUNTED_CFLAGS
#define RM_COUNTED_CFLAGS "?"
#endif

#define PAGE	4096UL
#define SOURCE	0x100000000000UL
#define TARGET	0x200000000000UL
#define LEN	0x100000UL
#define RW	(PROT_READ | PROT_WRITE)
#define COUNTED __attribute__((noinline, used)) static void

static const struct rm_features old_kernel = {.task_size = 1UL << 47};
static const struct rm_request request = {
	{SOURCE, LEN}, TARGET, RM_MAYMOVE | RM_FIXED | RM_DONTUNMAP, 0};

static struct rm_world *world;
static struct rm_facts facts, found;
static struct rm_plan plan;
static struct rm_vma vma;

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "counted: %s did not do what is counted\n", what);
	exit(1);
}

/* Private memory, written to, the request's source and nothing else. */
static void set_facts(enum rm_kind kind, uint32_t vmflags)
{
	memset(&facts, 0, sizeof(facts));
	facts.kind = kind;
	facts.vma = (struct rm_vma){.start = SOURCE,
		.end = SOURCE + LEN,
		.prot = RW,
		.shared = kind == RM_KIND_SHARED,
		.have_flags = true,
		.vmflags = vmflags};
	facts.uffd.fd = -1;
}

static void keep(uintptr_t start)
{
	facts.vma.start = start;
	facts.vma.end = start + LEN;
	rm_known_keep(world, rm_known_mark(world), &facts);
	must(facts.known != 0, "rm_known_keep");
}

/* Every entry is taken; the source's is the last. */
static void know_sixteen(void)
{
	set_facts(RM_KIND_ANON, RM_VF_ACCOUNT);
	for (unsigned int i = RM_KNOWN_RANGES; i--;)
		keep(SOURCE + i * 2 * LEN);
}

/* Of the destination nothing is asked, for that is counted apart. */
static const struct rm_request anywhere = {{SOURCE, LEN}, 0, RM_MAYMOVE | RM_DONTUNMAP, 0};

COUNTED count_known_find(void)
{
	must(rm_known_find(world, &anywhere, &found), "rm_known_find");
}

COUNTED count_known_find_nothing(void)
{
	static const struct rm_request other = {
		{SOURCE + LEN, LEN}, 0, RM_MAYMOVE | RM_DONTUNMAP, 0};

	must(!rm_known_find(world, &other, &found), "rm_known_find of nothing");
}

COUNTED count_known_keep(void)
{
	rm_known_keep(world, rm_known_mark(world), &facts);
}

/* What mprotect of some other range pays in a preloaded program. */
COUNTED count_watched_call(void)
{
	struct rm_change change;

	rm_known_begin(&change);
	rm_known_end(&change, (struct rm_range){TARGET, LEN});
}

static void not_armed(void)
{
	must(!rm_known_may_be_armed((struct rm_range){TARGET, LEN}), "rm_known_may_be_armed");
}

/* No program without a userfaultfd pays for the list of what is armed; one with, all of it. */
COUNTED count_may_be_armed(void)
{
	not_armed();
}

COUNTED count_may_be_armed_list(void)
{
	not_armed();
}

static void build(const char *strategy, enum rm_variant variant)
{
	rm_plan_build(&request, &facts, &old_kernel, variant, &plan);
	must(strategy ? !plan.error && !strcmp(plan.strategy, strategy) : plan.error,
		"rm_plan_build");
}

COUNTED count_plan_direct(void)
{
	build("direct", RM_VARIANT_DIRECT);
}

COUNTED count_plan_twin(void)
{
	build("twin", RM_VARIANT_TWIN_FIRST);
}

COUNTED count_plan_attributes(void)
{
	build("twin", RM_VARIANT_TWIN_FIRST);
}

COUNTED count_plan_armed(void)
{
	build("twin", RM_VARIANT_TWIN_FIRST);
}

COUNTED count_plan_shared(void)
{
	build("direct", RM_VARIANT_DIRECT);
}

COUNTED count_plan_file(void)
{
	build("twin", RM_VARIANT_TWIN_FIRST);
}

COUNTED count_plan_refused(void)
{
	build(NULL, RM_VARIANT_TWIN_FIRST);
}

static void parse(const char *line, size_t len)
{
	must(rm_maps_parse_header(line, len, &vma), "rm_maps_parse_header");
}

COUNTED count_line_anonymous(void)
{
	static const char line[] = "7f3b9c000000-7f3b9c021000 rw-p 00000000 00:00 0 ";

	parse(line, sizeof(line) - 1);
}

COUNTED count_line_library(void)
{
	static const char line[] = "7f1c2a228000-7f1c2a37d000 r-xp 00028000 fe:01 1311074"
				   "                    /usr/lib/x86_64-linux-gnu/libc.so.6";

	parse(line, sizeof(line) - 1);
}

COUNTED count_line_vmflags(void)
{
	static const char line[] = "VmFlags: rd wr mr mw me ac sd ";

	rm_maps_parse_detail(line, sizeof(line) - 1, &vma);
	must(vma.vmflags & RM_VF_ACCOUNT, "rm_maps_parse_detail");
}

COUNTED count_line_other(void)
{
	static const char line[] = "Private_Dirty:       132 kB";

	rm_maps_parse_detail(line, sizeof(line) - 1, &vma);
}

static void refused(uintptr_t source, uintptr_t target)
{
	must(rm_mremap(source, LEN, LEN, request.flags, target) == -EINVAL, "rm_mremap");
}

/* The first rule of all, and one of the last. */
COUNTED count_arguments_unaligned(void)
{
	refused(SOURCE + 1, TARGET);
}

COUNTED count_arguments_overlap(void)
{
	refused(SOURCE, SOURCE + PAGE);
}

#define TWICE(f)                                                                                   \
	do {                                                                                       \
		f();                                                                               \
		f();                                                                               \
	} while (0)

static void run_known(void)
{
	know_sixteen();
	TWICE(count_known_find);
	TWICE(count_known_find_nothing);
	TWICE(count_watched_call);
	TWICE(count_may_be_armed);
	TWICE(count_known_keep);
	rm_known_armed((struct rm_range){SOURCE, LEN});
	TWICE(count_may_be_armed_list);
}

static void run_plans(void)
{
	set_facts(RM_KIND_ANON, RM_VF_ACCOUNT);
	TWICE(count_plan_direct);
	facts.lock_future = true;
	TWICE(count_plan_twin);
	set_facts(RM_KIND_ANON, RM_VF_ACCOUNT | RM_VF_HUGEPAGE | RM_VF_DONTFORK | RM_VF_DONTDUMP |
					RM_VF_SEQUENTIAL);
	facts.policy.set = true;
	strcpy(facts.vma.name, "[anon:heap]");
	TWICE(count_plan_attributes);
	set_facts(RM_KIND_ANON, RM_VF_ACCOUNT | RM_VF_UFFD_MISSING);
	facts.uffd.fd = 5;
	facts.uffd.features = UFFD_FEATURE_EVENT_REMAP;
	TWICE(count_plan_armed);
	set_facts(RM_KIND_SHARED, 0);
	TWICE(count_plan_shared);
	set_facts(RM_KIND_FILE, RM_VF_ACCOUNT);
	strcpy(facts.vma.name, "/usr/lib/libsomething.so");
	TWICE(count_plan_file);
	set_facts(RM_KIND_HUGETLB, RM_VF_HUGETLB | RM_VF_DONTEXPAND);
	TWICE(count_plan_refused);
}

static void print_build(void)
{
#if defined(__SANITIZE_ADDRESS__)
	printf("sanitized, ");
#endif
#if defined(__clang__)
	printf("clang %d", __clang_major__);
#else
	printf("gcc %d", __GNUC__);
#endif
#if defined(__x86_64__)
	printf(", x86_64");
#elif defined(__aarch64__)
	printf(", aarch64");
#endif
	printf(", %s\n", RM_COUNTED_CFLAGS);
}

int main(int argc, char **argv)
{
	struct rm_entry entry;

	if (argc == 2 && !strcmp(argv[1], "--build")) {
		print_build();
		return fflush(stdout) ? 1 : 0;
	}
	setenv("LIBREMAP_CONF", "native:no", 1);
	unsetenv("LIBREMAP_DISABLE");
	rm_known_watch();
	(void)rm_features();
	TWICE(count_arguments_unaligned);
	TWICE(count_arguments_overlap);
	must(!rm_world_enter(&entry), "rm_world_enter");
	world = entry.world;
	run_known();
	run_plans();
	rm_world_leave(&entry);
	TWICE(count_line_anonymous);
	TWICE(count_line_library);
	TWICE(count_line_vmflags);
	TWICE(count_line_other);
	return 0;
}
