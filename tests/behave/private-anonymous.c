/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_DONTUNMAP of private anonymous memory: what is where afterwards, and what the mappings are.
 * Needs nothing that 4.14 lacks, but where a case says so.
 */
#include <sys/uio.h>

#include "tests/behave/behave.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static struct arena a;

/* A mapping of that protection, filled, and what smaps says of it. */
static void make(size_t pages, int prot, int flags, struct vma *before)
{
	arena_make(&a, pages);
	arena_map(&a, RW, flags, -1);
	fill(a.source, a.len, 1);
	if (prot != RW)
		check(!mprotect(a.source, a.len, prot));
	check(vma_at(a.source, before));
}

/* After a move of all of a.source to new. */
static void check_whole(const struct vma *before, char *new, int prot)
{
	struct vma now;

	check_both(before, a.source, new, a.len, "");
	check(vma_at(a.source, &now) && !now.rss);
	check(vma_at(new, &now));
	check_is(now.rss, before->rss);
	check_is(vma_count(a.source - PAGE, a.len + 2 * PAGE), 3);
	if (prot != RW) {
		check(!mprotect(a.source, a.len, RW));
		check(!mprotect(new, a.len, RW));
	}
	check(filled(new, a.len, 1));
	check(zeroed(a.source, a.len));
	/* two mappings of their own, not two views of one memory */
	fill(a.source, a.len, 2);
	check(filled(new, a.len, 1));
	fill(new, a.len, 3);
	check(filled(a.source, a.len, 2));
}

static void whole_with(size_t pages, int prot, int flags)
{
	struct vma before;

	make(pages, prot, flags, &before);
	check_whole(&before, moved(a.source, a.len, ONTO, a.target), prot);
	arena_end(&a);
}

static void whole(void **state)
{
	(void)state;
	whole_with(8, RW, ANON);
}

static void one_page(void **state)
{
	(void)state;
	whole_with(1, RW, ANON);
}

static void read_only(void **state)
{
	(void)state;
	whole_with(8, PROT_READ, ANON);
}

static void no_access(void **state)
{
	(void)state;
	whole_with(8, PROT_NONE, ANON);
}

static void executable(void **state)
{
	(void)state;
	whole_with(8, PROT_READ | PROT_EXEC, ANON);
	whole_with(8, RW | PROT_EXEC, ANON);
}

static void noreserve(void **state)
{
	struct vma before;

	(void)state;
	make(8, RW, ANON | MAP_NORESERVE, &before);
	check(vma_has(&before, "nr"));
	check_whole(&before, moved(a.source, a.len, ONTO, a.target), RW);
	arena_end(&a);
}

static void growsdown(void **state)
{
	struct vma before;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, ANON | MAP_GROWSDOWN, -1);
	fill(a.source, a.len, 1);
	check(vma_at(a.source, &before));
	check(vma_has(&before, "gd"));
	check_whole(&before, moved(a.source, a.len, ONTO, a.target), RW);
	arena_end(&a);
}

static void anywhere(void **state)
{
	struct vma before;
	char *new;

	(void)state;
	make(8, RW, ANON, &before);
	new = moved(a.source, a.len, ANYWHERE, NULL);
	check_both(&before, a.source, new, a.len, "");
	check(filled(new, a.len, 1));
	check(zeroed(a.source, a.len));
	check(!munmap(new, a.len));
	arena_end(&a);
}

/*
 * Memory in use beside whatever the kernel next gives room for len bytes: what is mapped there for a while may merge
 * with it, and must not be different for that.
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

	make(8, RW, ANON, &before);
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
 * The first part of memory that was touched elsewhere: the kernel counts its pages from there, and nothing that is mapped anew
 * counts so.
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

/* The same at the lower end of what is mapped: there the kernel puts what is mapped next, and a hole counts as free. */
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
 * The same where the memory comes from what is still there, and nothing lies on either side of that: a part of the mapping that it
 * was one with, or what has been left of it, untouched, also after it was split by protection.
 */
static void head_of_moved_from(void **state)
{
	static const struct {
		size_t first, pages, skip; /* what is moved, of 8 pages, and what of that is another mapping then */
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

/* The same of huge pages, which are not split for it: neither those that stay nor those that move. */
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

static void unfaulted(void **state)
{
	struct vma before;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, ANON, -1);
	check(vma_at(a.source, &before));
	check_is(before.rss, 0);
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check(zeroed(a.source, a.len));
	check(zeroed(a.target, a.len));
	arena_end(&a);
}

static void sparse(void **state)
{
	struct vma before, now;

	(void)state;
	arena_make(&a, 16);
	arena_map(&a, RW, ANON, -1);
	for (int i = 0; i < 16; i += 3)
		fill(a.source + (size_t)i * PAGE, PAGE, 10 + (unsigned int)i);
	check(zeroed(a.source + PAGE, PAGE)); /* the zero page is mapped there */
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check(vma_at(a.target, &now));
	check_is(now.rss, before.rss);
	for (int i = 0; i < 16; i++)
		check(i % 3 ? zeroed(a.target + (size_t)i * PAGE, PAGE)
			    : filled(a.target + (size_t)i * PAGE, PAGE, 10 + (unsigned int)i));
	check(zeroed(a.source, a.len));
	arena_end(&a);
}

static void huge_page(void **state)
{
	const size_t huge = 1 << 21;
	struct vma before, now;

	(void)state;
	arena_make(&a, 2 * huge / PAGE);
	arena_map(&a, RW, ANON, -1);
	madvise(a.source, a.len, MADV_HUGEPAGE);
	fill(a.source, a.len, 1);
	check(vma_at(a.source, &before));
	if (before.anon_huge * 1024 != a.len) {
		check(!munmap(a.base, a.size));
		behave_skip("no transparent huge pages to be had");
	}
	moved(a.source, a.len, ONTO, a.target);
	check(vma_at(a.target, &now));
	check_is(now.anon_huge, before.anon_huge);
	check_both(&before, a.source, a.target, a.len, "");
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	arena_end(&a);
}

/* 16 MiB at addresses that page tables cannot follow: entry by entry. */
static void large(void **state)
{
	struct vma before;
	char *new;

	(void)state;
	make(4096, RW, ANON, &before);
	new = mmap(NULL, a.len + 8 * PAGE, PROT_NONE, ANON, -1, 0);
	check(new != MAP_FAILED);
	moved(a.source, a.len, ONTO, new + 3 * PAGE);
	check_both(&before, a.source, new + 3 * PAGE, a.len, "");
	check(filled(new + 3 * PAGE, a.len, 1));
	check(zeroed(a.source, a.len));
	check(!munmap(new, a.len + 8 * PAGE));
	arena_end(&a);
}

/* Away a hundred times, the middle of a larger mapping; at last the pages go home, and it is one mapping. */
static void home_again(void **state)
{
	const size_t len = 2 * PAGE;
	struct vma before;
	char *at;

	(void)state;
	make(8, RW, ANON, &before);
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

/* From place to place, each time leaving an empty mapping behind. */
static void onwards(void **state)
{
	struct vma before;
	char *at, *places[6];

	(void)state;
	make(4, RW, ANON, &before);
	at = a.source;
	for (int i = 0; i < 6; i++) {
		at = places[i] = moved(at, a.len, ANYWHERE, NULL);
	}
	check(filled(at, a.len, 1));
	for (int i = 0; i < 6; i++)
		check((i == 5 || zeroed(places[i], a.len)) && !munmap(places[i], a.len));
	check(zeroed(a.source, a.len));
	arena_end(&a);
}

/* Pages that a child shares until somebody writes: each process moves its own. */
static void shared_with_child(void **state)
{
	struct vma before;
	int go[2];
	pid_t pid;
	char c;

	(void)state;
	make(8, RW, ANON, &before);
	check(!pipe(go));
	pid = behave_fork();
	if (!pid) {
		close(go[1]); /* so that we end if the parent fails */
		bool ok = read(go[0], &c, 1) == 1 && filled(a.source, a.len, 1) &&
			  mremap(a.source, a.len, a.len, ONTO, a.target) == a.target &&
			  filled(a.target, a.len, 1) && zeroed(a.source, a.len);

		_exit(!ok);
	}
	check_whole(&before, moved(a.source, a.len, ONTO, a.target), RW);
	check_is(write(go[1], "", 1), 1);
	behave_join(pid);
	check(filled(a.target, a.len, 3));
	close(go[0]);
	close(go[1]);
	arena_end(&a);
}

/* The old mapping may be used as before the move: unmapped in part, protected, grown. */
static void old_is_a_mapping(void **state)
{
	struct vma before, now;

	(void)state;
	make(8, RW, ANON, &before);
	moved(a.source, a.len, ONTO, a.target);
	check(!mprotect(a.source, a.len, RW | PROT_EXEC));
	check(!mprotect(a.source, a.len, RW));
	fill(a.source, a.len, 5);
	check(!madvise(a.source, PAGE, MADV_DONTNEED));
	check(zeroed(a.source, PAGE));
	check(!munmap(a.source + 7 * PAGE, PAGE));
	check(mremap(a.source, 7 * PAGE, 8 * PAGE, 0) == a.source);
	check(vma_at(a.source, &now));
	check_is(now.end - now.start, a.len);
	check(zeroed(a.source + 7 * PAGE, PAGE));
	arena_end(&a);
}

/* Memory of brk is private anonymous memory like any other. */
static void heap(void **state)
{
	char *p = sbrk((intptr_t)(16 * PAGE)), *at;
	struct vma now;

	(void)state;
	check(p != (void *)-1);
	at = (char *)(((uintptr_t)p + PAGE - 1) & ~(PAGE - 1)) + 4 * PAGE;
	arena_make(&a, 4);
	fill(at, a.len, 1);
	moved(at, a.len, ONTO, a.target);
	check(filled(a.target, a.len, 1));
	check(zeroed(at, a.len));
	check(vma_at(at, &now));
	check(!strcmp(now.name, "[heap]"));
	check_is(vma_count(at - PAGE, a.len + 2 * PAGE), 1);
	arena_end(&a);
}

/* MADV_GUARD_INSTALL (6.13): guards go with the pages. */
static void guards(void **state)
{
	char byte;
	struct iovec here = {&byte, 1}, there = {NULL, 1};
	struct vma before;

	(void)state;
	make(4, RW, ANON, &before);
	if (madvise(a.source + PAGE, PAGE, MADV_GUARD_INSTALL)) {
		arena_end(&a);
		behave_skip("no MADV_GUARD_INSTALL");
	}
	moved(a.source, a.len, ONTO, a.target);
	check(filled(a.target, PAGE, 1));
	there.iov_base = a.target + PAGE;
	check(process_vm_readv(getpid(), &here, 1, &there, 1, 0) == -1 && errno == EFAULT);
	check(zeroed(a.source, a.len));
	arena_end(&a);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(whole, "dontunmap-moves-a-whole-mapping"),
		CASE(one_page, "dontunmap-moves-one-page"),
		CASE(anywhere, "dontunmap-moves-to-anywhere"),
		CASE(head, "dontunmap-of-the-head-does-not-split"),
		CASE(head_of_moved, "dontunmap-of-the-head-of-moved-memory-does-not-split"),
		CASE(head_at_the_end, "dontunmap-of-the-head-of-moved-memory-at-the-lower-end"),
		CASE(head_of_moved_from,
			"dontunmap-of-the-head-of-memory-moved-from-what-is-still-there-does-not-split"),
		CASE(head_of_huge, "dontunmap-of-the-head-of-moved-huge-pages-splits-none"),
		CASE(middle, "dontunmap-of-the-middle-does-not-split"),
		CASE(tail, "dontunmap-of-the-tail-does-not-split"),
		CASE(read_only, "dontunmap-keeps-read-only"),
		CASE(no_access, "dontunmap-keeps-prot-none"),
		CASE(executable, "dontunmap-keeps-executable"),
		CASE(noreserve, "dontunmap-keeps-noreserve"),
		CASE(growsdown, "dontunmap-keeps-growsdown"),
		CASE(unfaulted, "dontunmap-of-untouched-memory"),
		CASE(sparse, "dontunmap-moves-holes-as-holes"),
		CASE(huge_page, "dontunmap-keeps-huge-pages"),
		CASE(large, "dontunmap-of-16-mib-to-a-crooked-address"),
		CASE(home_again, "dontunmap-a-hundred-times-then-home"),
		CASE(onwards, "dontunmap-again-from-each-new-place"),
		CASE(shared_with_child, "dontunmap-of-pages-shared-with-a-child"),
		CASE(old_is_a_mapping, "dontunmap-leaves-a-usable-mapping"),
		CASE(heap, "dontunmap-of-brk-memory"),
		CASE(guards, "dontunmap-moves-guard-regions"),
	};

	return BEHAVE_RUN(cases);
}
