/* SPDX-License-Identifier: MIT */
/*
 * What relocated memory may have behind it: relatives by fork, threads that use it at that moment,
 * huge pages, pages of zeros, pages that a device holds, guard regions; and what happens when it
 * can not be done: MREMAP_MUST_RELOCATE_ANON leaves everything as it was, MREMAP_RELOCATE_ANON
 * moves all the same, and no value is lost in either case.
 *
 * Needs /proc; io_uring, transparent huge pages and guard regions where there are some.
 */
#include "tests/behave/relocate.h"

#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define PAGES 8
#define HUGE  ((size_t)2 << 20)
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static struct arena a;

static void make(size_t pages)
{
	arena_make(&a, pages);
	check(!munmap(a.target, a.len));
}

static void end(void)
{
	check(mmap(a.source, a.len, PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0) ==
		a.source);
	check(mmap(a.target, a.len, PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0) ==
		a.target);
	arena_end(&a);
}

/* MUST is EFAULT, onto a hole and onto a mapping; then RELOCATE moves there and back. */
static void can_not(unsigned int seed)
{
	refused(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target, EFAULT);
	check_is(vma_count(a.target, a.len), 0);
	lay(a.target, a.len / PAGE, RW, 99);
	refused(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target, EFAULT);
	refused(a.source, a.len, a.len, MUST | MREMAP_FIXED | MREMAP_DONTUNMAP, a.target, EFAULT);
	check(filled(a.target, a.len, 99) && filled(a.source, a.len, seed));
	check(remapped(a.source, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target) == a.target);
	check(filled(a.target, a.len, seed));
	check(mremap(a.target, a.len, a.len, RELOCATE | MREMAP_FIXED, a.source) == a.source);
	check(filled(a.source, a.len, seed));
	check_is(vma_count(a.target, a.len), 0);
}

static void grandchild(void *arg)
{
	(void)arg;
	can_not(1);
}

static void child(void *arg)
{
	(void)arg;
	in_child(grandchild, NULL);
	can_not(1);
}

/* Pages that are shared with parent, child or grandchild. */
static void relatives(void **state)
{
	pid_t pid;

	(void)state;
	make(PAGES);
	lay(a.source, PAGES, RW, 1);
	pid = behave_fork();
	if (!pid) {
		child(NULL);
		fflush(stdout);
		pause(); /* a relative until it is killed */
	}
	can_not(1);
	check(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	/* written again, they are nobody else's */
	fill(a.source, a.len, 2);
	if (can_relocate())
		check(remapped(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target) == a.target);
	else
		can_not(2);
	check(filled(can_relocate() ? a.target : a.source, a.len, 2));
	end();
	/* the same seen from a child, while its parent waits */
	make(PAGES);
	lay(a.source, PAGES, RW, 1);
	in_child(child, NULL);
	check(filled(a.source, a.len, 1));
	end();
}

/* Some pages are shared, and the first is not: what has gone comes back. */
static void some_shared(void **state)
{
	pid_t pid;

	(void)state;
	make(PAGES);
	lay(a.source, PAGES, RW, 3);
	pid = behave_fork();
	if (!pid)
		pause();
	fill(a.source, 4 * PAGE, 3);
	check(filled(a.source, a.len, 3));
	can_not(3);
	check(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	end();
}

/* --- threads --- */

static _Atomic uint64_t *counter; /* in the source */
static _Atomic uint64_t counted;
static _Atomic bool stop;

static void *count_up(void *arg)
{
	(void)arg;
	while (!stop) {
		atomic_fetch_add(counter, 1);
		counted++;
	}
	return NULL;
}

static void *look_on(void *arg)
{
	const char *neighbour = arg;

	while (!stop)
		if (!filled(neighbour, PAGE, 903))
			return "the destination's neighbour has changed";
	return NULL;
}

static void run_beside(pthread_t threads[2])
{
	stop = false;
	counted = 0;
	counter = (_Atomic uint64_t *)(a.source + 3 * PAGE);
	check(!pthread_create(&threads[0], NULL, count_up, NULL));
	check(!pthread_create(&threads[1], NULL, look_on, a.target + a.len));
	while (!counted)
		sched_yield();
}

static void join(pthread_t threads[2])
{
	void *problem;

	stop = true;
	check(!pthread_join(threads[0], NULL));
	check(!pthread_join(threads[1], &problem));
	check(!problem);
}

/*
 * The source stays and is written all the time: each value is at one place or the other, and nobody
 * faults.
 */
static void threads_with_dontunmap(void **state)
{
	pthread_t threads[2];
	uint64_t sum = 0;

	(void)state;
	make(PAGES);
	lay(a.source, PAGES, RW, 0);
	run_beside(threads);
	for (int i = 0; i < 60; i++) {
		check(mremap(a.source, a.len, a.len, RELOCATE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			      a.target) == a.target);
		sum += *(uint64_t *)(a.target + 3 * PAGE);
		sched_yield();
	}
	join(threads);
	check_is(sum + *counter, counted);
	end();
}

/* It fails again and again, with part of the pages on their way: nothing is lost. */
static void threads_while_it_fails(void **state)
{
	pthread_t threads[2];
	pid_t pid;

	(void)state;
	make(PAGES);
	lay(a.source, PAGES, RW, 0);
	fill(a.source + 6 * PAGE, 2 * PAGE, 5);
	pid = behave_fork();
	if (!pid)
		pause();
	run_beside(threads);
	for (int i = 0; i < 60; i++) {
		check(mremap(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target) == MAP_FAILED);
		check_is(errno, EFAULT);
		sched_yield();
	}
	join(threads);
	check_is(*counter, counted);
	check(filled(a.source + 6 * PAGE, 2 * PAGE, 5));
	check_is(vma_count(a.target, a.len), 0);
	check(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	end();
}

/* --- sorts of pages --- */

static void large(void **state)
{
	(void)state;
	make(((size_t)64 << 20) / PAGE);
	lay(a.source, a.len / PAGE, RW, 6);
	check(mremap(a.source, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target) == a.target);
	check(filled(a.target, a.len, 6));
	check_is(vma_count(a.target, a.len), 1);
	check_is(vma_count(a.source, a.len), 0);
	end();
}

/* Huge pages go whole to where they fit, on trial too, and in pieces elsewhere. */
static void huge_pages(void **state)
{
	struct vma vma;

	(void)state;
	for (int how = 0; how < 3; how++) {
		make(3 * HUGE / PAGE);
		lay(a.source, a.len / PAGE, RW, 0);
		if (madvise(a.source, a.len, MADV_HUGEPAGE))
			behave_skip("no transparent huge pages");
		fill(a.source, 2 * HUGE, 7);
		check(vma_at(a.source, &vma));
		if (vma.anon_huge < 2 * HUGE / 1024)
			behave_skip("no transparent huge pages to be had");
		if (how == 1)
			lay(a.target, a.len / PAGE, RW, 8);
		if (!can_relocate()) {
			check(mremap(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target) ==
				MAP_FAILED);
			check(vma_at(a.source, &vma) && vma.anon_huge >= 2 * HUGE / 1024);
		} else if (how == 2) {
			check(mremap(a.source, 2 * HUGE, 2 * HUGE, MUST | MREMAP_FIXED,
				      a.target + PAGE) == a.target + PAGE);
			check(filled(a.target + PAGE, 2 * HUGE, 7));
		} else {
			check(mremap(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target) ==
				a.target);
			check(filled(a.target, 2 * HUGE, 7));
			check(vma_at(a.target, &vma) && vma.anon_huge >= 2 * HUGE / 1024);
		}
		end();
	}
}

static void pages_of_zeros(void **state)
{
	(void)state;
	make(PAGES);
	lay(a.source, PAGES, RW, 0);
	fill(a.source, PAGE, 9);
	check(zeroed(a.source + PAGE, 7 * PAGE)); /* reading makes them */
	if (can_relocate()) {
		check(remapped(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target) == a.target);
		check(filled(a.target, PAGE, 9) && zeroed(a.target + PAGE, 7 * PAGE));
	} else {
		refused(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target, EFAULT);
		check(filled(a.source, PAGE, 9));
	}
	end();
}

/*
 * A registered buffer of io_uring: what it reads into the page goes there also after an ordinary
 * move.
 */
static void pinned(void **state)
{
	struct io_uring_params params = {0};
	struct iovec buffer;
	int ring = (int)syscall(SYS_io_uring_setup, 1L, &params);

	(void)state;
	make(PAGES);
	lay(a.source, PAGES, RW, 10);
	buffer = (struct iovec){a.source + 5 * PAGE, PAGE};
	if (ring < 0 ||
		syscall(SYS_io_uring_register, ring, (long)IORING_REGISTER_BUFFERS, &buffer, 1L))
		behave_skip("no io_uring");
	can_not(10);
	close(ring);
	end();
}

static void guards(void **state)
{
	(void)state;
	make(PAGES);
	lay(a.source, PAGES, RW, 11);
	if (madvise(a.source + 6 * PAGE, PAGE, MADV_GUARD_INSTALL))
		behave_skip("no guard regions (6.13)");
	refused(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target, EFAULT);
	check(filled(a.source, 6 * PAGE, 11));
	check(remapped(a.source, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target) == a.target);
	check(filled(a.target, 6 * PAGE, 11));
	check_is(syscall(SYS_rt_sigpending, a.target + 6 * PAGE, 8L), -1);
	end();
}

/* --- limits --- */

static void without_descriptors(void *arg)
{
	struct rlimit limit;

	(void)arg;
	check(!getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 0;
	make(PAGES);
	lay(a.source, PAGES, RW, 12);
	lay(a.target, PAGES, RW, 13);
	check(!setrlimit(RLIMIT_NOFILE, &limit));
	check(mremap(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target) == MAP_FAILED);
	check_is(errno, EFAULT);
	check(filled(a.source, a.len, 12) && filled(a.target, a.len, 13));
	check(mremap(a.source, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target) == a.target);
	check(filled(a.target, a.len, 12));
}

static void without_room(void *arg)
{
	struct rlimit limit;

	(void)arg;
	make(64 * 1024 * 1024 / PAGE);
	lay(a.source, a.len / PAGE, RW, 0);
	fill(a.source, 16 * PAGE, 14);
	check(!getrlimit(RLIMIT_AS, &limit));
	limit.rlim_cur = process_status("VmSize:") * 1024 + a.len / 2;
	check(!setrlimit(RLIMIT_AS, &limit));
	check(mremap(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target) == MAP_FAILED);
	check_is(errno, EFAULT);
	check(filled(a.source, 16 * PAGE, 14));
	check(mremap(a.source, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target) == a.target);
	check(filled(a.target, 16 * PAGE, 14));
}

static void limits(void **state)
{
	(void)state;
	in_child(without_descriptors, NULL);
	in_child(without_room, NULL);
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		CASE(relatives, "must-relocate-of-what-relatives-share-is-efault"),
		CASE(some_shared, "must-relocate-of-what-relatives-share-in-part-is-efault"),
		CASE(threads_with_dontunmap, "relocate-loses-no-write-of-other-threads"),
		CASE(threads_while_it_fails,
			"must-relocate-that-fails-loses-no-write-of-other-threads"),
		CASE(large, "relocate-of-64-mib"),
		CASE(huge_pages, "relocate-keeps-huge-pages"),
		CASE(pages_of_zeros, "must-relocate-of-pages-of-zeros"),
		CASE(pinned, "must-relocate-of-pinned-pages-is-efault"),
		CASE(guards, "relocate-keeps-guard-regions"),
		CASE(limits, "relocate-within-limits"),
	};

	behave_page = (size_t)sysconf(_SC_PAGESIZE);
	relocate_warm_up();
	return BEHAVE_RUN(cases);
}
