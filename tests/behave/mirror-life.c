/* SPDX-License-Identifier: MIT */
/*
 * Life after conversion: what was private memory before it got a mirror goes on to behave as such,
 * as far as remap(7), "Converted memory", promises (semantics.md 10.B). Linked programs have their
 * own madvise, so some cases are the preload's. What children have of it: mirror-fork.c; a
 * userfaultfd on it: mirror-watched.c.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/behave/mirror.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MADV_FREE
#define MADV_FREE 8
#endif

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#ifdef BEHAVE_LINKED
#define NEEDS_PRELOAD behave_skip("madvise is taken over by the preload only")
#else
#define NEEDS_PRELOAD ((void)0)
#endif

#define PAGES 16

static struct arena a;
static char *view;

/* B2: zeros, in all views. */
static void dontneed(void **state)
{
	(void)state;
	NEEDS_PRELOAD;
	view = make_converted(&a, PAGES);
	check(!madvise(a.source + PAGE, 2 * PAGE, MADV_DONTNEED));
	check(zeroed(a.source + PAGE, 2 * PAGE) && zeroed(view + PAGE, 2 * PAGE));
	check(filled(a.source, PAGE, 1));
	check(!madvise(view + 4 * PAGE, PAGE, MADV_FREE));
	check(zeroed(a.source + 4 * PAGE, PAGE) && zeroed(view + 4 * PAGE, PAGE));
	check(!syscall(SYS_madvise, view + 6 * PAGE, PAGE, (long)MADV_DONTNEED));
	check(zeroed(a.source + 6 * PAGE, PAGE));
	/* a view that may not be written or read now */
	check(!mprotect(view, a.len, PROT_READ));
	check(!madvise(view + 8 * PAGE, PAGE, MADV_DONTNEED));
	check(zeroed(a.source + 8 * PAGE, PAGE));
	check(!mprotect(view, a.len, PROT_NONE));
	check(!madvise(view + 9 * PAGE, PAGE - 1, MADV_DONTNEED));
	check(zeroed(a.source + 9 * PAGE, PAGE));
	check(!mprotect(view, a.len, RW));
	check(!zeroed(a.source + 10 * PAGE, PAGE));
	check_one_memory(a.source, view, a.len);
	end_converted(&a);
}

static void dontneed_locked(void **state)
{
	(void)state;
	NEEDS_PRELOAD;
	view = make_converted(&a, PAGES);
	check(!mlock(view, a.len));
	check(madvise(view, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL);
	check(filled(a.source, PAGE, 1));
	if (!madvise(view + PAGE, PAGE, MADV_DONTNEED_LOCKED)) /* 5.18 */
		check(zeroed(a.source + PAGE, PAGE));
	else
		check(errno == EINVAL && !zeroed(a.source + PAGE, PAGE));
	check(!munlock(view, a.len));
	check(!madvise(view, PAGE, MADV_DONTNEED));
	check(zeroed(a.source, PAGE));
	end_converted(&a);
}

/* One range over converted, private and shared memory and a hole. */
static void dontneed_across(void **state)
{
	(void)state;
	NEEDS_PRELOAD;
	view = make_converted(&a, PAGES);
	check(mmap(a.source + 4 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == a.source + 4 * PAGE);
	check(mmap(a.source + 5 * PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		a.source + 5 * PAGE);
	fill(a.source + 4 * PAGE, 2 * PAGE, 7);
	errno = 4242;
	check(!madvise(a.source + 3 * PAGE, 4 * PAGE, MADV_DONTNEED));
	check_is(errno, 4242);
	check(zeroed(a.source + 3 * PAGE, 2 * PAGE));
	check(!zeroed(a.source + 5 * PAGE, PAGE)); /* the program's own shared memory stays */
	check(zeroed(a.source + 6 * PAGE, PAGE) && zeroed(view + 6 * PAGE, PAGE));
	check(!zeroed(view + 4 * PAGE, PAGE)); /* not part of what was advised */
	check(!munmap(a.source + 8 * PAGE, PAGE));
	check(madvise(a.source + 7 * PAGE, 3 * PAGE, MADV_DONTNEED) == -1 && errno == ENOMEM);
	check(zeroed(a.source + 7 * PAGE, PAGE) && zeroed(a.source + 9 * PAGE, PAGE));
	check(madvise(a.source + 1, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL);
	check(madvise(a.source, PAGE, 12345) == -1 && errno == EINVAL);
	end_converted(&a);
}

/* B3 */
static void wipeonfork(void **state)
{
	(void)state;
	view = make_converted(&a, PAGES);
	check(madvise(view, a.len, MADV_WIPEONFORK) == -1 && errno == EINVAL);
	check(!madvise(view, a.len, MADV_DONTFORK) && !madvise(view, a.len, MADV_DOFORK));
	end_converted(&a);
}

/* A view moves, shrinks, and does not grow beyond its object (B19). */
static void mremap_of_a_view(void **state)
{
	char *moved_to;
	struct vma vma;

	(void)state;
	view = make_converted(&a, PAGES);
	moved_to = mmap(NULL, a.len, PROT_NONE, ANON, -1, 0);
	check(mremap(view, a.len, a.len, MREMAP_MAYMOVE | MREMAP_FIXED, moved_to) == moved_to);
	check_one_memory(a.source, moved_to, a.len);
	check(!vma_at(view, &vma));
	refused(moved_to, a.len, 2 * a.len, MREMAP_MAYMOVE, NULL, ENOMEM);
	refused(a.source, a.len, a.len + PAGE, 0, NULL, ENOMEM);
	check(mremap(moved_to, a.len, 2 * PAGE, 0) == moved_to);
	check_is(vma_count(moved_to, a.len), 1);
	check(!memcmp(moved_to, a.source, 2 * PAGE));
	check(!munmap(moved_to, 2 * PAGE));
	check(mmap(view, a.len, PROT_NONE, ANON, -1, 0) != MAP_FAILED);
	end_converted(&a);
}

/*
 * As of any shared memory: both ranges show it afterwards, and nobody had to be stopped for the
 * source's sake.
 */
static void dontunmap_of_a_view(void **state)
{
	char *third = mmap(NULL, PAGES * PAGE, PROT_NONE, ANON, -1, 0);

	(void)state;
	view = make_converted(&a, PAGES);
	check(mremap(view, a.len, a.len, ONTO, third) == third);
	check_one_memory(third, view, a.len);
	check_one_memory(third, a.source, a.len);
	check(!munmap(third, a.len));
	end_converted(&a);
}

/* B5: each view's own, and counted for each. */
static void locks(void **state)
{
	const unsigned long before = process_status("VmLck:");
	struct vma s, v;

	(void)state;
	view = make_converted(&a, PAGES);
	check(!mlock(view, a.len));
	check(vma_at(view, &v) && vma_has(&v, "lo"));
	check(vma_at(a.source, &s) && !vma_has(&s, "lo"));
	check_is(process_status("VmLck:"), before + a.len / 1024);
	check(!mlock(a.source, a.len));
	check_is(process_status("VmLck:"), before + 2 * a.len / 1024);
	check(!munlock(view, a.len));
	check(vma_at(a.source, &s) && vma_has(&s, "lo"));
	check_is(process_status("VmLck:"), before + a.len / 1024);
	check(!munlock(a.source, a.len));
	end_converted(&a);
}

static void *wait_shared(void *arg)
{
	while (*(_Atomic uint32_t *)arg == 7)
		syscall(SYS_futex, arg, (long)FUTEX_WAIT, 7L, NULL, NULL, 0L);
	return NULL;
}

/* B17: without FUTEX_PRIVATE_FLAG a waiter is woken through the other view. */
static void futex_across(void **state)
{
	pthread_t thread;
	long woken = 0;

	(void)state;
	view = make_converted(&a, PAGES);
	*(_Atomic uint32_t *)a.source = 7;
	check(!pthread_create(&thread, NULL, wait_shared, a.source));
	while (!woken) {
		usleep(1000);
		woken = syscall(SYS_futex, view, (long)FUTEX_WAKE, 1L, NULL, NULL, 0L);
	}
	*(_Atomic uint32_t *)view = 8;
	syscall(SYS_futex, view, (long)FUTEX_WAKE, 1L, NULL, NULL, 0L);
	check(!pthread_join(thread, NULL));
	end_converted(&a);
}

static _Atomic bool asleep;

static void *wait_privately(void *arg)
{
	asleep = true;
	while (*(_Atomic uint32_t *)arg == 7)
		syscall(SYS_futex, arg, (long)FUTEX_WAIT_PRIVATE, 7L, NULL, NULL, 0L);
	return NULL;
}

/* With it only through the view in which it waits. */
static void futex_private(void **state)
{
	pthread_t thread;

	(void)state;
	view = make_converted(&a, PAGES);
	*(_Atomic uint32_t *)a.source = 7;
	asleep = false;
	check(!pthread_create(&thread, NULL, wait_privately, a.source));
	while (!asleep)
		usleep(1000);
	for (int i = 0; i < 20; i++, usleep(1000))
		check_is(syscall(SYS_futex, view, (long)FUTEX_WAKE_PRIVATE, 1L, NULL, NULL, 0L), 0);
	*(_Atomic uint32_t *)view = 8;
	syscall(SYS_futex, a.source, (long)FUTEX_WAKE_PRIVATE, 1L, NULL, NULL, 0L);
	check(!pthread_join(thread, NULL));
	end_converted(&a);
}

/*
 * A view is not anonymous any more: MREMAP_RELOCATE_ANON is an ordinary move,
 * MREMAP_MUST_RELOCATE_ANON is EFAULT, and beside MREMAP_MIRROR either is EINVAL.
 */
static void relocate(void **state)
{
	char *elsewhere;

	(void)state;
	view = make_converted(&a, PAGES);
	elsewhere = mmap(NULL, a.len, RW, ANON, -1, 0);
	check(elsewhere != MAP_FAILED);
	for (int flag = 8; flag <= 16; flag *= 2)
		refused(view, a.len, a.len, MIRROR | flag, NULL, EINVAL);
	refused(view, a.len, a.len, MREMAP_MAYMOVE | MREMAP_FIXED | REMAP_MREMAP_MUST_RELOCATE_ANON,
		elsewhere, EFAULT);
	check_one_memory(a.source, view, a.len);
	check(mremap(view, a.len, a.len, MREMAP_MAYMOVE | MREMAP_FIXED | REMAP_MREMAP_RELOCATE_ANON,
		      elsewhere) == elsewhere);
	check_one_memory(a.source, elsewhere, a.len);
	check(!munmap(elsewhere, a.len));
	end_converted(&a);
}

/* Either goes first, whole or in part: the other one has all of it. */
static void unmapped_first(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		char *gone, *stays;

		view = make_converted(&a, PAGES);
		gone = first ? view : a.source;
		stays = first ? a.source : view;
		check(!munmap(gone + 2 * PAGE, 3 * PAGE));
		check(filled(stays, a.len, 1));
		fill(stays, a.len, 2);
		check(!memcmp(gone, stays, 2 * PAGE) &&
			!memcmp(gone + 5 * PAGE, stays + 5 * PAGE, a.len - 5 * PAGE));
		check(!munmap(gone, a.len));
		check(filled(stays, a.len, 2));
		check(mremap(stays, a.len, a.len, MIRROR_ONTO, gone) == gone);
		check_one_memory(stays, gone, a.len);
		end_converted(&a);
	}
}

/*
 * B15, B16: nothing to close, nothing to inherit; neither at the beginning nor as long as it lives.
 */
static void no_descriptors(void **state)
{
	char link[40], target[80];

	(void)state;
	view = make_converted(&a, PAGES);
	for (int fd = 3; fd < 256; fd++) {
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		check(!strstr(target, "memfd:") && !strstr(target, "/dev/zero"));
	}
	end_converted(&a);
}

/* Whether a page lets itself be written to: a system call says so without a signal. */
static bool writable(char *at)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	ssize_t got = read(fd, at, 1);

	close(fd);
	return got == 1;
}

/* B14: protection is each view's own, the other one stays a way in. */
static void protection(void **state)
{
	struct vma s, v;
	int key;

	(void)state;
	view = make_converted(&a, PAGES);
	check(!mprotect(a.source, a.len, PROT_READ));
	check(vma_at(a.source, &s) && vma_at(view, &v));
	check(!strcmp(s.perms, "r--s") && !strcmp(v.perms, "rw-s"));
	check(!writable(a.source) && writable(view));
	fill(view, a.len, 51);
	check(filled(a.source, a.len, 51));
	check(!mprotect(view, a.len, PROT_NONE) && !mprotect(a.source, a.len, RW));
	check(writable(a.source) && !writable(view));
	fill(a.source, a.len, 52);
	check(!mprotect(view, a.len, RW) && filled(view, a.len, 52));
	key = (int)syscall(SYS_pkey_alloc, 0L, 0L);
	if (key > 0) {
		check(!syscall(SYS_pkey_mprotect, view, a.len, (long)RW, (long)key));
		check(vma_at(a.source, &s) && vma_at(view, &v));
		check_is(v.key, key);
		check_is(s.key, 0);
		check(!syscall(SYS_pkey_mprotect, view, a.len, (long)RW, 0L));
		check(!syscall(SYS_pkey_free, (long)key));
	}
	end_converted(&a);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(dontneed, "dontneed-of-converted-memory-gives-zeros-in-all-views"),
		CASE(dontneed_locked, "dontneed-of-locked-converted-memory-is-einval"),
		CASE(dontneed_across, "dontneed-over-converted-and-other-memory"),
		CASE(wipeonfork, "wipeonfork-of-converted-memory-is-einval"),
		CASE(mremap_of_a_view, "mremap-of-a-view-moves-shrinks-and-does-not-grow"),
		CASE(dontunmap_of_a_view, "dontunmap-of-a-view"),
		CASE(locks, "mlock-of-a-view-is-its-own"),
		CASE(protection, "mprotect-of-a-view-is-its-own"),
		CASE(futex_across, "futex-across-views"),
		CASE(futex_private, "private-futex-stays-in-its-view"),
		CASE(relocate, "relocation-of-a-view-is-einval"),
		CASE(unmapped_first, "munmap-of-either-view-first"),
		CASE(no_descriptors, "converted-memory-has-no-descriptor"),
	};

	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
