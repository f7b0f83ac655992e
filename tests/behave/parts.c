/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_DONTUNMAP of a part of a private anonymous mapping: head, middle, tail, also of memory
 * that was moved before. The mapping is not split, what did not move keeps its pages, and pages
 * that come home make one mapping again (A9). Whole mappings: private-anonymous.c.
 */
#include "tests/behave/behave.h"

static struct arena a;

/*
 * Memory in use beside whatever the kernel next gives room for len bytes: what is mapped there for
 * a while may merge with it, and must not be different for that.
 */
#define CROWD 64
static char *crowd[CROWD];

static void crowd_make(size_t len)
{
	for (int i = 0; i < CROWD; i++) {
		crowd[i] = mmap(NULL, len, RW, ANON, -1, 0);
		check(crowd[i] != MAP_FAILED);
		fill(crowd[i], len, 500);
	}
}

static void crowd_end(size_t len)
{
	for (int i = 0; i < CROWD; i++)
		check(filled(crowd[i], len, 500) && !munmap(crowd[i], len));
}

/* Part of a mapping: it is not split, and the rest of it keeps its pages. */
static void part(size_t from, size_t pages)
{
	const size_t at = from * PAGE, len = pages * PAGE;
	struct vma before, now;
	char *new;

	arena_make_filled(&a, 8, RW, ANON);
	check(vma_at(a.source, &before));
	crowd_make(len);
	new = moved(a.source + at, len, ONTO, a.target);
	check_is(vma_count(a.source, a.len), 1);
	check(vma_at(a.source, &now));
	check_is(now.start, before.start);
	check_is(now.end, before.end);
	check_is(now.rss, before.rss - len / 1024);
	check(!strcmp(now.flags, before.flags));
	check(vma_at(new, &now));
	check_is(now.start, (uintptr_t) new);
	check_is(now.rss, len / 1024);
	check(zeroed(a.source + at, len));
	/* moved pages back over the zeros: the pattern is whole again */
	check(!memcmp(memcpy(a.source + at, new, len), new, len));
	check(filled(a.source, a.len, 1));
	check(!munmap(new, len));
	crowd_end(len);
	arena_end(&a);
}

static void head(void **state)
{
	(void)state;
	part(0, 3);
}

static void middle(void **state)
{
	(void)state;
	part(3, 2);
}

static void tail(void **state)
{
	(void)state;
	part(5, 3);
}

/* Far from everything: nothing comes to lie there by itself. */
static char *const far = (char *)0x280000000000;

/*
 * The first part of memory that was touched elsewhere: the kernel counts its pages from there, and
 * nothing that is mapped anew counts so.
 */
static void head_of_moved(void **state)
{
	const size_t len = 3 * PAGE;
	struct vma now;
	char *new;

	(void)state;
	arena_make(&a, 8);
	check(mmap(far, a.len, RW, ANON | MAP_FIXED, -1, 0) == far);
	fill(far, a.len, 1);
	check(mremap(far, a.len, a.len, MREMAP_MAYMOVE | MREMAP_FIXED, a.target) == a.target);
	for (int i = 0; i < 2; i++) {
		new = moved(a.target, len, ANYWHERE, NULL);
		check_is(vma_count(a.target, a.len), 1);
		check(vma_at(a.target, &now));
		check_is(now.start, (uintptr_t)a.target);
		check(zeroed(a.target, len));
		check(!memcmp(memcpy(a.target, new, len), new, len));
		check(filled(a.target, a.len, 1));
		check(!munmap(new, len));
	}
	check(!vma_at(far, &now) && !vma_at(far - PAGE, &now));
	/* back to where it was: one mapping for the ordinary mremap, too */
	check(mremap(a.target, a.len, a.len, MREMAP_MAYMOVE | MREMAP_FIXED, far) == far);
	check(filled(far, a.len, 1));
	check(!munmap(far, a.len));
}

/*
 * The same at the lower end of what is mapped: there the kernel puts what is mapped next, and a
 * hole counts as free.
 */
static void head_at_the_end(void **state)
{
	const size_t len = 64UL << 20, room = 1UL << 30, some = 64 * PAGE;
	char *hole = mmap(NULL, 3 * some, RW, ANON, -1, 0), *at, *target, *end;
	struct vma now;

	(void)state;
	check(hole != MAP_FAILED && !munmap(hole + some, some)); /* for what is small */
	target = mmap(NULL, len + PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	check(target != MAP_FAILED);
	target += ((uintptr_t)target & (PAGE * 512 - 1)) ? 0 : PAGE; /* not as huge pages lie */
	end = mmap(NULL, room, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	check(end != MAP_FAILED && !munmap(end, room));
	at = end + room - len;
	check(mmap(far, len, RW, ANON | MAP_FIXED, -1, 0) == far);
	fill(far, 8 * PAGE, 1);
	check(mremap(far, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
	moved(at, len / 2, ONTO, target);
	check(filled(target, 8 * PAGE, 1));
	check_is(vma_count(at, len), 1);
	check(zeroed(at, 8 * PAGE));
	check(!vma_at(at - PAGE, &now));
	check(!munmap(at, len) && !munmap(target, len / 2) && !munmap(hole, 3 * some));
}

/*
 * The same where the memory comes from what is still there, and nothing lies on either side of
 * that: a part of the mapping that it was one with, or what has been left of it, untouched, also
 * after it was split by protection.
 */
static void head_of_moved_from(void **state)
{
	static const struct {
		/* what is moved, of 8 pages, and what of that is another mapping then */
		size_t first, pages, skip;
	} rows[] = {{0, 8, 0}, {2, 4, 0}, {0, 4, 0}, {3, 5, 0}, {0, 8, 3}, {2, 6, 2}};
	char *area = mmap(NULL, 256 * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	char *at = area + 32 * PAGE, *to = area + 64 * PAGE, *head, *aside = area + 96 * PAGE;

	(void)state;
	check(area != MAP_FAILED);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const size_t len = rows[i].pages * PAGE, skip = rows[i].skip * PAGE;

		check(!munmap(area, 256 * PAGE));
		check(mmap(at, 8 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == at);
		fill(at, 8 * PAGE, 2);
		fill(at + rows[i].first * PAGE, len, 1);
		moved(at + rows[i].first * PAGE, len, ONTO, to);
		head = to + skip;
		if (skip)
			check(!mprotect(to, skip, PROT_READ));
		/* again: what it comes from is not what it was after the first time */
		for (int twice = 0; twice < 2; twice++) {
			moved(head, 2 * PAGE, ONTO, aside);
			check_is(vma_count(to, len), 1 + !!skip);
			check(zeroed(head, 2 * PAGE));
			check(!memcmp(memcpy(head, aside, 2 * PAGE), aside, 2 * PAGE));
			if (skip)
				check(!mprotect(to, skip, RW));
			check_is(vma_count(to, len), 1);
			check(filled(to, len, 1));
			if (skip)
				check(!mprotect(to, skip, PROT_READ));
		}
		check_is(vma_count(area, 256 * PAGE), 3 + !!skip);
		check(zeroed(at + rows[i].first * PAGE, len));
		check_is(vma_count(at, 8 * PAGE), 1);
	}
	check(!munmap(area, 256 * PAGE));
}

/*
 * The same of huge pages, which are not split for it: neither those that stay nor those that move.
 */
static void head_of_huge(void **state)
{
	const size_t huge = 2UL << 20, len = 4 * huge;
	char *area = mmap(NULL, 16 * huge, PROT_NONE, ANON | MAP_NORESERVE, -1, 0), *to, *new;
	struct vma was, now;

	(void)state;
	check(area != MAP_FAILED);
	to = (char *)(((uintptr_t)area + 2 * huge) & ~(huge - 1));
	check(mmap(far, len, RW, ANON | MAP_FIXED, -1, 0) == far);
	if (madvise(far, len, MADV_HUGEPAGE)) {
		munmap(far, len);
		munmap(area, 16 * huge);
		behave_skip("no huge pages");
	}
	fill(far, len, 1);
	check(mremap(far, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	check(vma_at(to, &was));
	if (was.anon_huge < len / 1024) {
		munmap(area, 16 * huge);
		behave_skip("no huge pages now");
	}
	new = moved(to, 2 * huge, ONTO, to + 5 * huge);
	check_is(vma_count(to, len), 1);
	check(vma_at(to, &now));
	check_is(now.anon_huge, was.anon_huge / 2);
	check(vma_at(new, &now));
	check_is(now.anon_huge, was.anon_huge / 2);
	check(!memcmp(memcpy(to, new, 2 * huge), new, 2 * huge));
	check(filled(to, len, 1));
	check(!munmap(area, 16 * huge));
}

/*
 * Away a hundred times, the middle of a larger mapping; at last the pages go home, and it is one
 * mapping.
 */
static void home_again(void **state)
{
	const size_t len = 2 * PAGE;
	struct vma before;
	char *at;

	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	check(vma_at(a.source, &before));
	crowd_make(len);
	at = a.source + 3 * PAGE;
	for (unsigned int i = 0; i < 100; i++) {
		fill(at, len, 100 + i);
		check(mremap(at, len, len, ONTO, a.target) == a.target);
		check(filled(a.target, len, 100 + i));
		check(zeroed(at, len));
	}
	check_is(vma_count(a.source, a.len), 1);
	check(mremap(a.target, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
	check(filled(at, len, 199));
	check_is(vma_count(a.source, a.len), 1);
	check(mmap(a.target, len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.target);
	crowd_end(len);
	arena_end(&a);
}

/*
 * A part of it lies behind what it was cut from: its twin merges with that, and the head that moves
 * is one mapping still (rejoin.c tries to make it one with the rest of the part, and can not).
 */
static void head_behind_its_origin(void **state)
{
	const size_t len = 9 * PAGE;
	char *const cut = far + len, *const away = far + 4 * len;
	char *first, *second;

	(void)state;
	check(mmap(far, len, RW, ANON | MAP_FIXED, -1, 0) == far);
	fill(far, len, 1);
	check(mremap(far + PAGE, 3 * PAGE, 3 * PAGE, ONTO, away) == away);
	check(mremap(away, 3 * PAGE, 3 * PAGE, ONTO, cut) == cut);
	first = mremap(cut, 2 * PAGE, 2 * PAGE, ANYWHERE, NULL);
	/* of several mappings it would be EFAULT */
	second = mremap(cut, 2 * PAGE, 2 * PAGE, ANYWHERE, NULL);
	check(first != MAP_FAILED && second != MAP_FAILED);
	check(zeroed(cut, 2 * PAGE) && !zeroed(cut + 2 * PAGE, PAGE));
	check(!zeroed(first, 2 * PAGE) && zeroed(second, 2 * PAGE));
	check(!munmap(far, 8 * len) && !munmap(first, 2 * PAGE) && !munmap(second, 2 * PAGE));
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(head, "dontunmap-of-the-head-does-not-split"),
		CASE(head_of_moved, "dontunmap-of-the-head-of-moved-memory-does-not-split"),
		CASE(head_at_the_end, "dontunmap-of-the-head-of-moved-memory-at-the-lower-end"),
		CASE(head_of_moved_from, "dontunmap-of-the-head-of-memory-moved-from-what-is-still-"
					 "there-does-not-split"),
		CASE(head_behind_its_origin,
			"dontunmap-of-a-head-that-lies-behind-what-it-was-cut-from"),
		CASE(head_of_huge, "dontunmap-of-the-head-of-moved-huge-pages-splits-none"),
		CASE(middle, "dontunmap-of-the-middle-does-not-split"),
		CASE(tail, "dontunmap-of-the-tail-does-not-split"),
		CASE(home_again, "dontunmap-a-hundred-times-then-home"),
	};

	return BEHAVE_RUN(cases);
}
