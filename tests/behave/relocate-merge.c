/* SPDX-License-Identifier: MIT */
/*
 * What MREMAP_MUST_RELOCATE_ANON is for: what has been moved is one mapping with what lies beside
 * it, row by row as the proposal's own tests had it (semantics.md 4.4), with its content at every
 * byte; and that it keeps its attributes, grows, shrinks, and stays behind (MREMAP_DONTUNMAP) as
 * any move does.
 *
 * Where the kernel has no UFFDIO_MOVE, what has been touched is EFAULT with source and destination
 * as they were, and RELOCATE is an ordinary move; what has not been touched merges there as well.
 * Needs /proc.
 */
#include "tests/behave/relocate.h"

#include <linux/mempolicy.h>
#include <sys/resource.h>

#define UNTOUCHED 0
#define PAGES	  8

static struct arena a;

/*
 * In the arena: pages 0 to 7 of the target are the left neighbour, 8 to 15 the destination, 16 to
 * 23 the right one.
 */
static char *left, *middle, *right;

static void make(void)
{
	arena_make(&a, 3 * PAGES);
	left = a.target;
	middle = left + PAGES * PAGE;
	right = middle + PAGES * PAGE;
	a.source += PAGES * PAGE; /* nothing of the arena's beside it */
}

static void end(void)
{
	a.source -= PAGES * PAGE;
	check(mmap(a.source, a.len, PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0) ==
		a.source);
	arena_end(&a);
}

/* The pages there, or zeros if nobody has touched them. */
static void check_content(const char *at, size_t pages, unsigned int seed)
{
	check(seed ? filled(at, pages * PAGE, seed) : zeroed(at, pages * PAGE));
}

/* MUST of the source onto the middle. False: it is EFAULT here, and nothing has changed. */
static bool must(unsigned int seed)
{
	if (!seed || can_relocate()) {
		check(remapped(a.source, PAGES * PAGE, PAGES * PAGE, MUST | MREMAP_FIXED, middle) ==
			middle);
		check_is(vma_count(a.source, PAGES * PAGE), 0);
		check_content(middle, PAGES, seed);
		return true;
	}
	refused(a.source, PAGES * PAGE, PAGES * PAGE, MUST | MREMAP_FIXED, middle, EFAULT);
	check_content(a.source, PAGES, seed);
	return false;
}

static void rows(void **state)
{
	enum { NOBODY = -1 };
	static const struct {
		int left, moved, right;
	} table[] = {
		{UNTOUCHED, 1, NOBODY},
		{NOBODY, 1, UNTOUCHED},
		{UNTOUCHED, 1, UNTOUCHED},
		{2, 1, NOBODY},
		{NOBODY, 1, 3},
		{2, 1, UNTOUCHED},
		{UNTOUCHED, 1, 3},
		{2, UNTOUCHED, NOBODY},
		{NOBODY, UNTOUCHED, 3},
		{UNTOUCHED, UNTOUCHED, 3},
		{2, UNTOUCHED, UNTOUCHED},
		{NOBODY, 1, NOBODY},
		{UNTOUCHED, UNTOUCHED, UNTOUCHED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (int onto = 0; onto < 2; onto++) { /* a hole, or what is mapped */
			const bool has_left = table[i].left != NOBODY,
				   has_right = table[i].right != NOBODY;
			const char *from, *to;

			make();
			check(!munmap(left, 3 * PAGES * PAGE));
			lay(a.source, PAGES, RW, (unsigned int)table[i].moved);
			if (has_left)
				lay(left, PAGES, RW, (unsigned int)table[i].left);
			if (has_right)
				lay(right, PAGES, RW, (unsigned int)table[i].right);
			if (onto)
				check(mmap(middle, PAGES * PAGE, PROT_READ,
					      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
					      0) == middle);
			if (must((unsigned int)table[i].moved)) {
				from = has_left ? left : middle;
				to = has_right ? right + PAGES * PAGE : right;
				if (vma_count(from, (size_t)(to - from)) != 1)
					printf("# row %zu, onto %d\n", i, onto);
				check_is(vma_count(from, (size_t)(to - from)), 1);
			}
			if (has_left)
				check_content(left, PAGES, (unsigned int)table[i].left);
			if (has_right)
				check_content(right, PAGES, (unsigned int)table[i].right);
			end();
		}
}

/*
 * Between two that were touched by themselves: with one of them. The proposal says the right one;
 * UFFDIO_MOVE leaves it to the kernel.
 */
static void between_strangers(void **state)
{
	struct vma vma;

	(void)state;
	make();
	check(!munmap(left, 3 * PAGES * PAGE));
	lay(a.source, PAGES, RW, 1);
	lay(left, PAGES, RW, 2);
	lay(right, PAGES, RW, 3);
	if (must(1)) {
		check_is(vma_count(left, 3 * PAGES * PAGE), 2);
		check(vma_at(middle, &vma));
		check(vma.start == (uintptr_t)left || vma.end == (uintptr_t)right + PAGES * PAGE);
	}
	check_content(left, PAGES, 2);
	check_content(right, PAGES, 3);
	end();
}

/* Back into the gap that it was cut out of, or that another was. */
static void between_relatives(void **state)
{
	(void)state;
	for (int home = 0; home < 2; home++) {
		make();
		check(!munmap(left, 3 * PAGES * PAGE));
		lay(left, 3 * PAGES, RW, 2);
		if (home)
			check(mremap(middle, PAGES * PAGE, PAGES * PAGE,
				      MREMAP_MAYMOVE | MREMAP_FIXED, a.source) == a.source);
		else
			check(!munmap(middle, PAGES * PAGE));
		if (home)
			fill(a.source, PAGES * PAGE, 1);
		else
			lay(a.source, PAGES, RW, 1);
		if (must(1))
			check_is(vma_count(left, 3 * PAGES * PAGE), 1);
		end();
	}
}

/* What differs in protection merges when it does not any more. */
static void protections(void **state)
{
	static const struct {
		int left, moved;
	} table[] = {{RW, PROT_READ}, {PROT_READ, RW}, {RW, PROT_NONE}, {PROT_NONE, PROT_READ}};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct vma vma;

		make();
		check(!munmap(left, 3 * PAGES * PAGE));
		lay(a.source, PAGES, table[i].moved, 1);
		lay(left, PAGES, table[i].left, 2);
		if (can_relocate()) {
			check(remapped(a.source, PAGES * PAGE, PAGES * PAGE, MUST | MREMAP_FIXED,
				      middle) == middle);
			check_is(vma_count(left, 2 * PAGES * PAGE), 2);
			check(vma_at(middle, &vma));
			check(vma.perms[0] == (table[i].moved & PROT_READ ? 'r' : '-'));
			check(vma.perms[1] == (table[i].moved & PROT_WRITE ? 'w' : '-'));
			check(!mprotect(left, 2 * PAGES * PAGE, RW));
			check_is(vma_count(left, 2 * PAGES * PAGE), 1);
			check_content(middle, PAGES, 1);
		} else {
			refused(a.source, PAGES * PAGE, PAGES * PAGE, MUST | MREMAP_FIXED, middle,
				EFAULT);
			check(vma_at(a.source, &vma));
			check(vma.perms[1] == (table[i].moved & PROT_WRITE ? 'w' : '-'));
			check(!mprotect(a.source, PAGES * PAGE, RW) &&
				!mprotect(left, PAGES * PAGE, RW));
			check_content(a.source, PAGES, 1);
		}
		check_content(left, PAGES, 2);
		end();
	}
}

/* A part of a mapping; the rest of it stays where and what it is. */
static void part(void **state)
{
	(void)state;
	for (int which = 0; which < 3; which++) {
		const size_t first = which == 0 ? 0 : 3, pages = which == 1 ? 3 : PAGES - first;
		char *from;

		make();
		check(!munmap(left, 3 * PAGES * PAGE));
		lay(a.source, PAGES, RW, 1);
		lay(left, PAGES, RW, 2);
		from = a.source + first * PAGE;
		if (which == 0)
			from = a.source;
		if (can_relocate()) {
			static char copy[PAGES * 65536];

			check(PAGES * PAGE <= sizeof(copy));
			memcpy(copy, a.source, PAGES * PAGE);
			check(remapped(from, pages * PAGE, pages * PAGE, MUST | MREMAP_FIXED,
				      middle) == middle);
			check(!memcmp(middle, from - a.source + copy, pages * PAGE));
			check_is(vma_count(from, pages * PAGE), 0);
			check(!memcmp(a.source, copy, (size_t)(from - a.source)));
			check(!memcmp(from + pages * PAGE, copy + (from - a.source) + pages * PAGE,
				PAGES * PAGE - (size_t)(from - a.source) - pages * PAGE));
			check_is(vma_count(left, (PAGES + pages) * PAGE), 1);
		} else {
			refused(from, pages * PAGE, pages * PAGE, MUST | MREMAP_FIXED, middle,
				EFAULT);
			check_content(a.source, PAGES, 1);
		}
		end();
	}
}

/* Pages that were never touched stay so: nothing is filled in. */
static void partly_touched(void **state)
{
	struct vma vma;

	(void)state;
	make();
	lay(a.source, PAGES, RW, 0);
	check(!madvise(a.source, PAGES * PAGE, MADV_NOHUGEPAGE));
	fill(a.source + 2 * PAGE, PAGE, 5);
	fill(a.source + 6 * PAGE, PAGE, 6);
	if (can_relocate()) {
		check(remapped(a.source, PAGES * PAGE, PAGES * PAGE, MUST | MREMAP_FIXED, middle) ==
			middle);
		check(vma_at(middle, &vma));
		check_is(vma.rss, 2 * PAGE / 1024);
		check(filled(middle + 2 * PAGE, PAGE, 5) && filled(middle + 6 * PAGE, PAGE, 6));
		check(zeroed(middle, 2 * PAGE) && zeroed(middle + 3 * PAGE, 3 * PAGE) &&
			zeroed(middle + 7 * PAGE, PAGE));
	} else {
		refused(a.source, PAGES * PAGE, PAGES * PAGE, MUST | MREMAP_FIXED, middle, EFAULT);
	}
	end();
}

/*
 * Emptied memory counts as touched to the kernel; it has nothing that would have to be moved, on
 * any kernel.
 */
static void emptied(void **state)
{
	(void)state;
	make();
	check(!munmap(left, 3 * PAGES * PAGE));
	lay(a.source, PAGES, RW, 1);
	check(!madvise(a.source, PAGES * PAGE, MADV_DONTNEED));
	lay(left, PAGES, RW, 2);
	check(must(UNTOUCHED));
	check_is(vma_count(left, 2 * PAGES * PAGE), 1);
	end();
}

/* RELOCATE where nothing else will do is an ordinary move: with its content. */
static void relocate_always_moves(void **state)
{
	(void)state;
	make();
	check(!munmap(left, 3 * PAGES * PAGE));
	lay(a.source, PAGES, RW, 1);
	lay(left, PAGES, RW, 2);
	check(remapped(a.source, PAGES * PAGE, PAGES * PAGE, RELOCATE | MREMAP_FIXED, middle) ==
		middle);
	check_is(vma_count(a.source, PAGES * PAGE), 0);
	check_content(middle, PAGES, 1);
	check_is(vma_count(left, 2 * PAGES * PAGE), can_relocate() ? 1 : 2);
	end();
}

/* To anywhere, and to a wish. */
static void anywhere(void **state)
{
	char *new;

	(void)state;
	make();
	lay(a.source, PAGES, RW, 1);
	/* something behind it, so that it has to move to grow */
	lay(a.source + PAGES * PAGE, 1, PROT_READ, 0);
	new = remapped(a.source, PAGES * PAGE, (PAGES + 2) * PAGE, RELOCATE, NULL);
	check(new != a.source &&filled(new, PAGES * PAGE, 1) &&
		zeroed(new + PAGES *PAGE, 2 * PAGE));
	check_is(vma_count(a.source, PAGES * PAGE), 0);
	check_is(vma_count(new, (PAGES + 2) * PAGE), 1);
	check(!munmap(new, (PAGES + 2) * PAGE));
	lay(a.source, PAGES, RW, 1);
	check(!munmap(middle, PAGES * PAGE));
	new = remapped(a.source, PAGES * PAGE, PAGES * PAGE, RELOCATE | MREMAP_DONTUNMAP, middle);
	check(new == middle &&filled(new, PAGES * PAGE, 1) && zeroed(a.source, PAGES * PAGE));
	end();
}

static void dontunmap(void **state)
{
	struct vma before, after;

	(void)state;
	for (int prot = 0; prot < 2; prot++) {
		make();
		check(!munmap(left, 3 * PAGES * PAGE));
		lay(a.source, PAGES, prot ? PROT_READ : RW, 1);
		lay(left, PAGES, prot ? PROT_READ : RW, 2);
		check(vma_at(a.source, &before));
		if (can_relocate()) {
			check(remapped(a.source, PAGES * PAGE, PAGES * PAGE,
				      MUST | MREMAP_FIXED | MREMAP_DONTUNMAP, middle) == middle);
			check_content(middle, PAGES, 1);
			check(zeroed(a.source, PAGES * PAGE));
			check(vma_at(a.source, &after));
			check_is(after.start, before.start);
			check_is(after.end, before.end);
			check(!strcmp(after.perms, before.perms) &&
				!strcmp(after.flags, before.flags));
			check(!mprotect(left, 2 * PAGES * PAGE, RW));
			check_is(vma_count(left, 2 * PAGES * PAGE), 1);
		} else {
			refused(a.source, PAGES * PAGE, PAGES * PAGE,
				MUST | MREMAP_FIXED | MREMAP_DONTUNMAP, middle, EFAULT);
			check_content(a.source, PAGES, 1);
		}
		check_content(left, PAGES, 2);
		end();
	}
}

static void grows_and_shrinks(void **state)
{
	(void)state;
	for (int grows = 0; grows < 2; grows++) {
		const size_t len = (grows ? PAGES + 3 : PAGES - 3) * PAGE;
		const size_t kept = len < PAGES * PAGE ? len : PAGES * PAGE;

		make();
		check(!munmap(left, 3 * PAGES * PAGE));
		lay(a.source, PAGES, RW, 1);
		lay(left, PAGES, RW, 2);
		lay(middle, PAGES + 3, PROT_READ, 3);
		if (can_relocate()) {
			check(remapped(a.source, PAGES * PAGE, len, MUST | MREMAP_FIXED, middle) ==
				middle);
			check(filled(middle, kept, 1) && zeroed(middle + kept, len - kept));
			check_is(vma_count(a.source, PAGES * PAGE), 0);
			check_is(vma_count(left, PAGES * PAGE + len), 1);
		} else {
			refused(a.source, PAGES * PAGE, len, MUST | MREMAP_FIXED, middle, EFAULT);
			check_content(a.source, PAGES, 1);
			check_content(middle, PAGES + 3, 3);
		}
		end();
	}
}

/*
 * Advice, policy, reservation: the destination is what the source was, and so merges with its like
 * only.
 */
static void attributes(void **state)
{
	static const int advice[] = {MADV_DONTFORK, MADV_DONTDUMP, MADV_WIPEONFORK, MADV_NOHUGEPAGE,
		MADV_RANDOM, MADV_MERGEABLE, MADV_NORMAL};
	const unsigned long node = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++)
		for (int noreserve = 0; noreserve < 2; noreserve++) {
			struct vma before, after;
			int mode = 0;

			make();
			check(mmap(a.source, PAGES * PAGE, RW,
				      ANON | MAP_FIXED | (noreserve ? MAP_NORESERVE : 0), -1,
				      0) == a.source);
			fill(a.source, PAGES * PAGE, 1);
			if (madvise(a.source, PAGES * PAGE, advice[i])) {
				end();
				continue;
			}
			syscall(SYS_mbind, a.source, PAGES * PAGE, MPOL_BIND, &node, 64UL, 0UL);
			check(vma_at(a.source, &before));
			check(remapped(a.source, PAGES * PAGE, PAGES * PAGE,
				      RELOCATE | MREMAP_FIXED, middle) == middle);
			check(vma_at(middle, &after));
			check_content(middle, PAGES, 1);
			check_is(after.start, (uintptr_t)middle);
			check_is(after.end, (uintptr_t)right);
			check(!strcmp(after.perms, before.perms) &&
				!strcmp(after.flags, before.flags));
			if (!syscall(SYS_get_mempolicy, &mode, NULL, 0UL, middle, 2UL))
				check_is(mode, MPOL_BIND);
			end();
		}
}

static void locked(void **state)
{
	struct vma before, after;
	unsigned long vmlck;

	(void)state;
	for (int onfault = 0; onfault < 2; onfault++) {
		make();
		check(!munmap(left, 3 * PAGES * PAGE));
		lay(a.source, PAGES, RW, 0);
		fill(a.source, 4 * PAGE, 1);
		if (onfault ? syscall(SYS_mlock2, a.source, PAGES * PAGE, 1L)
			    : syscall(SYS_mlock, a.source, PAGES * PAGE))
			behave_skip("RLIMIT_MEMLOCK");
		check(vma_at(a.source, &before) && vma_has(&before, "lo"));
		vmlck = process_status("VmLck:");
		lay(left, PAGES, RW, 2);
		if (can_relocate()) {
			check(remapped(a.source, PAGES * PAGE, PAGES * PAGE, MUST | MREMAP_FIXED,
				      middle) == middle);
			check(vma_at(middle, &after));
			check(!strcmp(after.flags, before.flags));
			check_is(after.rss, before.rss);
			check_is(after.locked, before.locked);
			check(filled(middle, 4 * PAGE, 1) && !madvise(left, PAGE, MADV_NORMAL));
			check_is(process_status("VmLck:"), vmlck);
			check(!syscall(SYS_munlock, middle, PAGES * PAGE));
			check_is(vma_count(left, 2 * PAGES * PAGE), 1);
		} else {
			refused(a.source, PAGES * PAGE, PAGES * PAGE, MUST | MREMAP_FIXED, middle,
				EFAULT);
			check(vma_at(a.source, &after) && !strcmp(after.flags, before.flags));
			check_is(process_status("VmLck:"), vmlck);
		}
		end();
	}
}

/* A piece that goes to and fro, and home, many times, and is whole at every step. */
static void to_and_fro(void **state)
{
	(void)state;
	make();
	check(!munmap(left, 3 * PAGES * PAGE));
	lay(left, PAGES, RW, 2);
	lay(a.source, PAGES, RW, 1);
	for (int i = 0; i < 50; i++) {
		check(mremap(a.source, PAGES * PAGE, PAGES * PAGE, RELOCATE | MREMAP_FIXED,
			      middle) == middle);
		check_content(middle, PAGES, (unsigned int)i + 1);
		fill(middle, PAGES * PAGE, (unsigned int)i + 2);
		check(mremap(middle, PAGES * PAGE, PAGES * PAGE, RELOCATE | MREMAP_FIXED,
			      a.source) == a.source);
		check_content(a.source, PAGES, (unsigned int)i + 2);
	}
	check_content(left, PAGES, 2);
	end();
}

/*
 * The first call of a process, onto a hole below all that is mapped, which is where the kernel
 * would put what the library needs for itself.
 */
static char first_call[64];

static void call_first(void)
{
	const size_t len = 16 * PAGE;
	char *p = mmap(NULL, len, RW, ANON, -1, 0), *to = mmap(NULL, len, RW, ANON, -1, 0), *new;

	if (to > p) {
		new = p;
		p = to;
		to = new;
	}
	*p = 1;
	munmap(to, len);
	new = mremap(p, len, len, (can_relocate() ? MUST : RELOCATE) | MREMAP_FIXED, to);
	snprintf(
		first_call, sizeof(first_call), "%s", new == to &&*new == 1 ? "" : strerror(errno));
	munmap(p, len);
	munmap(to, len);
}

static void first(void **state)
{
	(void)state;
	if (*first_call)
		printf("# %s\n", first_call);
	check(!*first_call);
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		CASE(first, "relocate-as-the-first-call"),
		CASE(rows, "relocated-memory-merges-with-its-neighbours"),
		CASE(between_strangers, "relocated-between-strangers-merges-with-one"),
		CASE(between_relatives, "relocated-into-the-gap-merges-with-both"),
		CASE(protections, "relocated-memory-merges-when-protections-are-alike"),
		CASE(part, "relocate-of-a-part"),
		CASE(partly_touched, "relocate-fills-nothing-in"),
		CASE(emptied, "must-relocate-of-emptied-memory-merges"),
		CASE(relocate_always_moves, "relocate-moves-in-any-case"),
		CASE(anywhere, "relocate-to-anywhere"),
		CASE(dontunmap, "relocate-with-dontunmap-leaves-the-source"),
		CASE(grows_and_shrinks, "relocate-grows-and-shrinks"),
		CASE(attributes, "relocate-keeps-attributes"),
		CASE(locked, "relocate-keeps-locks"),
		CASE(to_and_fro, "relocate-to-and-fro"),
	};

	behave_page = (size_t)sysconf(_SC_PAGESIZE);
	call_first();
	relocate_warm_up();
	return BEHAVE_RUN(cases);
}
