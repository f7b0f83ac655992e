/* SPDX-License-Identifier: MIT */
/*
 * What madvise, mbind and prctl have said about private anonymous memory stays true of both ranges.
 * Needs: for some cases newer kernels, said there.
 */
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "tests/behave/behave.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static struct arena a;

/* Moved whole, and again the middle third of another one, whose rest must keep the flag as well. */
static void advised(int advice, const char *flag)
{
	struct vma before, now;
	const size_t third = 3 * PAGE;

	arena_make(&a, 9);
	arena_map(&a, RW, ANON, -1);
	if (madvise(a.source, a.len, advice)) {
		arena_end(&a);
		behave_skip("this kernel has not that advice");
	}
	fill(a.source, a.len, 1);
	check(vma_at(a.source, &before));
	if (!vma_has(&before, flag)) {
		arena_end(&a);
		behave_skip("the advice leaves no flag");
	}
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	check_is(vma_count(a.source, a.len), 1);

	fill(a.source, a.len, 2);
	moved(a.source + third, third, ONTO, a.target);
	for (size_t at = 0; at < a.len; at += third) {
		check(vma_at(a.source + at, &now));
		check(!strcmp(now.flags, before.flags));
	}
	check_is(vma_count(a.source, a.len), 1);
	check(!memcmp(memcpy(a.source + third, a.target, third), a.target, third));
	check(filled(a.source, a.len, 2));
	arena_end(&a);
}

#define ADVISED(name, advice, flag)                                                                \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		advised(advice, flag);                                                             \
	}

ADVISED(dontfork, MADV_DONTFORK, "dc")
ADVISED(wipeonfork, MADV_WIPEONFORK, "wf")
ADVISED(dontdump, MADV_DONTDUMP, "dd")
ADVISED(mergeable, MADV_MERGEABLE, "mg")
ADVISED(hugepage, MADV_HUGEPAGE, "hg")
ADVISED(nohugepage, MADV_NOHUGEPAGE, "nh")
ADVISED(sequential, MADV_SEQUENTIAL, "sr")
ADVISED(random_access, MADV_RANDOM, "rr")

/* Several at once. */
static void together(void **state)
{
	struct vma before;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, ANON | MAP_NORESERVE, -1);
	check(!madvise(a.source, a.len, MADV_DONTFORK));
	check(!madvise(a.source, a.len, MADV_DONTDUMP));
	check(!madvise(a.source, a.len, MADV_RANDOM));
	check(!madvise(a.source, a.len, MADV_WIPEONFORK));
	check(vma_at(a.source, &before));
	fill(a.source, a.len, 1);
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check(filled(a.target, a.len, 1));
	arena_end(&a);
}

/* Not only a flag: a child finds neither range's content. */
static void wipe_works(void **state)
{
	pid_t pid;

	(void)state;
	arena_make(&a, 4);
	arena_map(&a, RW, ANON, -1);
	check(!madvise(a.source, a.len, MADV_WIPEONFORK));
	fill(a.source, a.len, 1);
	moved(a.source, a.len, ONTO, a.target);
	fill(a.source, a.len, 2);
	pid = behave_fork();
	if (!pid)
		_exit(!(zeroed(a.source, a.len) && zeroed(a.target, a.len)));
	behave_join(pid);
	check(filled(a.target, a.len, 1));
	check(filled(a.source, a.len, 2));
	arena_end(&a);
}

/* The policy of the mapping at that address: mode and nodes. */
static bool policy(const void *at, int *mode, unsigned long *nodes)
{
	memset(nodes, 0, 128);
	return !syscall(SYS_get_mempolicy, mode, nodes, 1024L, at, (long)MPOL_F_ADDR);
}

static void bound(int mode)
{
	unsigned long nodes[16] = {1}, now[16];
	struct vma before;
	int got = -1;

	arena_make(&a, 8);
	arena_map(&a, RW, ANON, -1);
	if (syscall(SYS_mbind, a.source, a.len, (long)mode, nodes, 1025L, 0L)) {
		arena_end(&a);
		behave_skip("no NUMA policies");
	}
	fill(a.source, a.len, 1);
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	for (int i = 0; i < 2; i++) {
		check(policy(i ? a.target : a.source, &got, now));
		check_is(got, mode);
		check(!memcmp(now, nodes, sizeof(now)));
	}
	/* and only there */
	check(policy(a.source - PAGE, &got, now));
	check_is(got, MPOL_DEFAULT);
	check(filled(a.target, a.len, 1));
	arena_end(&a);
}

static void bind_policy(void **state)
{
	(void)state;
	bound(MPOL_BIND);
}

static void interleave_policy(void **state)
{
	(void)state;
	bound(MPOL_INTERLEAVE);
}

static void preferred_policy(void **state)
{
	(void)state;
	bound(MPOL_PREFERRED);
}

/*
 * MPOL_LOCAL is stored as "preferred, no node" before 5.12: the kernel's own answer before is the
 * measure.
 */
static void local_policy(void **state)
{
	unsigned long nodes[16], now[16];
	int mode = -1, got = -1;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, ANON, -1);
	if (syscall(SYS_mbind, a.source, a.len, (long)MPOL_LOCAL, NULL, 0L, 0L)) {
		arena_end(&a);
		behave_skip("no MPOL_LOCAL");
	}
	check(policy(a.source, &mode, nodes));
	moved(a.source, a.len, ONTO, a.target);
	for (int i = 0; i < 2; i++) {
		check(policy(i ? a.target : a.source, &got, now));
		check_is(got, mode);
		check(!memcmp(now, nodes, sizeof(now)));
	}
	arena_end(&a);
}

/* A policy of the thread is not one of the mapping. */
static void threads_policy_child(void *arg)
{
	unsigned long nodes[16] = {1}, now[16];
	int got = -1;

	(void)arg;
	arena_make_filled(&a, 8, RW, ANON);
	if (syscall(SYS_set_mempolicy, (long)MPOL_BIND, nodes, 1025L))
		behave_skip("no NUMA policies");
	moved(a.source, a.len, ONTO, a.target);
	check(!syscall(SYS_set_mempolicy, (long)MPOL_DEFAULT, NULL, 0L));
	for (int i = 0; i < 2; i++) {
		check(policy(i ? a.target : a.source, &got, now));
		check_is(got, MPOL_DEFAULT);
	}
	arena_end(&a);
}

static void threads_policy(void **state)
{
	(void)state;
	in_child(threads_policy_child, NULL);
}

/* prctl(PR_SET_VMA_ANON_NAME), 5.17, and only if the kernel is built with it. */
static void anon_name(void **state)
{
	struct vma before;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, ANON, -1);
	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, a.source, a.len, "behave heap")) {
		arena_end(&a);
		behave_skip("no PR_SET_VMA_ANON_NAME");
	}
	fill(a.source, a.len, 1);
	check(vma_at(a.source, &before));
	check(!strcmp(before.name, "[anon:behave heap]"));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	arena_end(&a);
}

/* MAP_DROPPABLE, 6.11. */
static void droppable(void **state)
{
	struct vma before;

	(void)state;
	arena_make(&a, 8);
	if (mmap(a.source, a.len, RW, MAP_DROPPABLE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
		a.source) {
		arena_end(&a);
		behave_skip("no MAP_DROPPABLE");
	}
	fill(a.source, a.len, 1);
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	arena_end(&a);
}

/* Protection keys: the key of the mapping goes with both. */
static void protection_key(void **state)
{
	struct vma before;
	int key = (int)syscall(SYS_pkey_alloc, 0L, 0L);

	(void)state;
	if (key < 0)
		behave_skip("no protection keys");
	arena_make_filled(&a, 8, RW, ANON);
	check(!syscall(SYS_pkey_mprotect, a.source, a.len, (long)RW, (long)key));
	check(vma_at(a.source, &before));
	check_is(before.key, key);
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	check(!syscall(SYS_pkey_free, (long)key));
	arena_end(&a);
}

static useconds_t delay;

static void *advise_later(void *arg)
{
	(void)arg;
	usleep(delay);
	return (void *)(uintptr_t)!madvise(a.source, a.len, MADV_DONTFORK);
}

/*
 * Advice that another thread gives at the same time comes before or after: what stays behind has it
 * in either case.
 */
static void meanwhile(void **state)
{
	const int rounds = 30;

	(void)state;
	for (int round = 0; round < rounds; round++) {
		pthread_t thread;
		struct vma vma;
		void *good;

		arena_make_filled(&a, 2048, RW, ANON);
		delay = (useconds_t)round * 100;
		check(!pthread_create(&thread, NULL, advise_later, NULL));
		check(mremap(a.source, a.len, a.len, ONTO, a.target) == a.target);
		check(!pthread_join(thread, &good) && good);
		check(vma_at(a.source, &vma) && vma_has(&vma, "dc"));
		check_is(vma.end - vma.start, a.len);
		check(vma_at(a.target, &vma));
		check_is(vma.end - vma.start, a.len);
		check(filled(a.target, a.len, 1) && zeroed(a.source, a.len));
		arena_end(&a);
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(dontfork, "dontunmap-keeps-dontfork"),
		CASE(wipeonfork, "dontunmap-keeps-wipeonfork"),
		CASE(dontdump, "dontunmap-keeps-dontdump"),
		CASE(mergeable, "dontunmap-keeps-mergeable"),
		CASE(hugepage, "dontunmap-keeps-hugepage"),
		CASE(nohugepage, "dontunmap-keeps-nohugepage"),
		CASE(sequential, "dontunmap-keeps-sequential"),
		CASE(random_access, "dontunmap-keeps-random"),
		CASE(together, "dontunmap-keeps-several-advices"),
		CASE(wipe_works, "dontunmap-both-ranges-are-wiped-on-fork"),
		CASE(bind_policy, "dontunmap-keeps-bind-policy"),
		CASE(interleave_policy, "dontunmap-keeps-interleave-policy"),
		CASE(preferred_policy, "dontunmap-keeps-preferred-policy"),
		CASE(local_policy, "dontunmap-keeps-local-policy"),
		CASE(threads_policy, "dontunmap-takes-no-policy-from-the-thread"),
		CASE(anon_name, "dontunmap-keeps-the-name"),
		CASE(droppable, "dontunmap-keeps-droppable"),
		CASE(protection_key, "dontunmap-keeps-the-protection-key"),
		CASE(meanwhile, "dontunmap-and-advice-given-at-the-same-time"),
	};

	return BEHAVE_RUN(cases);
}
