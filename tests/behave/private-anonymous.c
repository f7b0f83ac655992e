/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_DONTUNMAP of private anonymous memory: what is where afterwards, and what the mappings
 * are. Parts of a mapping: parts.c. Needs nothing that 4.14 lacks, but where a case says so.
 */
#include <sys/uio.h>

#include "tests/behave/behave.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static struct arena a;

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

	arena_make_filled(&a, pages, prot, flags);
	check(vma_at(a.source, &before));
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
	arena_make_filled(&a, 8, RW, ANON | MAP_NORESERVE);
	check(vma_at(a.source, &before));
	check(vma_has(&before, "nr"));
	check_whole(&before, moved(a.source, a.len, ONTO, a.target), RW);
	arena_end(&a);
}

static void growsdown(void **state)
{
	struct vma before;

	(void)state;
	arena_make_filled(&a, 8, RW, ANON | MAP_GROWSDOWN);
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
	arena_make_filled(&a, 8, RW, ANON);
	check(vma_at(a.source, &before));
	new = moved(a.source, a.len, ANYWHERE, NULL);
	check_both(&before, a.source, new, a.len, "");
	check(filled(new, a.len, 1));
	check(zeroed(a.source, a.len));
	check(!munmap(new, a.len));
	arena_end(&a);
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
	arena_make_filled(&a, 4096, RW, ANON);
	check(vma_at(a.source, &before));
	new = mmap(NULL, a.len + 8 * PAGE, PROT_NONE, ANON, -1, 0);
	check(new != MAP_FAILED);
	moved(a.source, a.len, ONTO, new + 3 * PAGE);
	check_both(&before, a.source, new + 3 * PAGE, a.len, "");
	check(filled(new + 3 * PAGE, a.len, 1));
	check(zeroed(a.source, a.len));
	check(!munmap(new, a.len + 8 * PAGE));
	arena_end(&a);
}

/* From place to place, each time leaving an empty mapping behind. */
static void onwards(void **state)
{
	struct vma before;
	char *at, *places[6];

	(void)state;
	arena_make_filled(&a, 4, RW, ANON);
	check(vma_at(a.source, &before));
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
	arena_make_filled(&a, 8, RW, ANON);
	check(vma_at(a.source, &before));
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
	arena_make_filled(&a, 8, RW, ANON);
	check(vma_at(a.source, &before));
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
	arena_make_filled(&a, 4, RW, ANON);
	check(vma_at(a.source, &before));
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
		CASE(read_only, "dontunmap-keeps-read-only"),
		CASE(no_access, "dontunmap-keeps-prot-none"),
		CASE(executable, "dontunmap-keeps-executable"),
		CASE(noreserve, "dontunmap-keeps-noreserve"),
		CASE(growsdown, "dontunmap-keeps-growsdown"),
		CASE(unfaulted, "dontunmap-of-untouched-memory"),
		CASE(sparse, "dontunmap-moves-holes-as-holes"),
		CASE(huge_page, "dontunmap-keeps-huge-pages"),
		CASE(large, "dontunmap-of-16-mib-to-a-crooked-address"),
		CASE(onwards, "dontunmap-again-from-each-new-place"),
		CASE(shared_with_child, "dontunmap-of-pages-shared-with-a-child"),
		CASE(old_is_a_mapping, "dontunmap-leaves-a-usable-mapping"),
		CASE(heap, "dontunmap-of-brk-memory"),
		CASE(guards, "dontunmap-moves-guard-regions"),
	};

	return BEHAVE_RUN(cases);
}
