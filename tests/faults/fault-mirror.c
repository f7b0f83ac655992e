/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the engine makes for a mirror fails once, from outside (inject.h), those of the thread that fills
 * converted memory too.
 *
 * When the call fails, all must be as it was: the source with all of its content, the destination (but for what 6.18 loses
 * itself, semantics.md 1.4), every mapping, descriptor and thread; and the same call made again succeeds. When it succeeds
 * all the same, both views show the content and are one memory. Another thread counts up a word of the source all the while, and
 * no count may be lost. What was private may be found converted only if nothing but the finished view's way to its place was
 * left to fail: then it has its content, and nothing else is left over.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emul/fill.h"
#include "emul/numbers.h"
#include "libremap.h"
#include "tests/faults/faults.h"
#include "tests/faults/inject.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4U
#endif
#define NEW_UFFD      _IO(0xAA, 0) /* USERFAULTFD_IOC_NEW of /dev/userfaultfd, 6.1 */
#define POPULATE_READ 22
#define RW	      (PROT_READ | PROT_WRITE)
#define HUGE	      ((size_t)2 << 20)
#define LARGE_LEN                                                                                  \
	((size_t)5 << 20) /* 4 MiB of content, from which on it is filled later; and a hole */
#define MAX_LEN		  (4 * HUGE) /* with what lies before and behind */
#define WORD		  64	     /* where in the range is counted */
#define EVERY_NTH_READ	  6	     /* smaps is read in many small pieces, which are all alike */
#define EVERY_NTH_PAGEMAP 3
#define EMPTY_PAGE	  (PAGES - 3)

enum mirror_kind { PRIVATE, SHARED, HUGE_PRIVATE, HUGE_SHARED, CONVERTED };

enum mirror_flag {
	READ_ONLY = 1 << 20, /* after it was written */
	NO_ACCESS = 1 << 21,
	LOCK = 1 << 22,
	ADVISED = 1 << 23,   /* DONTFORK, RANDOM, a NUMA policy, and a name where there are such */
	LARGE = 1 << 24,     /* so that the content follows later */
	NO_UFFD = 1 << 25,   /* userfaultfd is refused */
	POPULATED = 1 << 26, /* MREMAP_POPULATE */
	PREPARED = 1 << 27,  /* remap_prepare in place of mremap */
	WATCHES = 1 << 28,   /* the program's userfaultfd */
	MIDDLE = 1 << 29,    /* a part of the mapping */
};

struct mirror {
	const char *name;
	enum mirror_kind kind;
	enum scenario_target target;
	unsigned int flags;
};

static const struct mirror mirrors[] = {
	{"shared", SHARED, TO_ANYWHERE, 0},
	{"shared, part, hint, advice", SHARED, TO_HINT, MIDDLE | ADVISED},
	{"shared, fixed", SHARED, TO_HOLE, 0},
	{"shared, fixed over a mapping, populate", SHARED, TO_MAPPING, POPULATED},
	{"shared, read-only, locked, fixed over a mapping", SHARED, TO_MAPPING, READ_ONLY | LOCK},
	{"shared, armed, fixed over a mapping", SHARED, TO_MAPPING, WATCHES},
	{"private, anywhere", PRIVATE, TO_ANYWHERE, 0},
	{"private, part, fixed over a mapping", PRIVATE, TO_MAPPING, MIDDLE},
	{"private, hint, advice, policy", PRIVATE, TO_HINT, ADVISED},
	{"private, read-only, populate", PRIVATE, TO_HOLE, READ_ONLY | POPULATED},
	{"private, no access", PRIVATE, TO_ANYWHERE, NO_ACCESS},
	{"private, locked", PRIVATE, TO_ANYWHERE, LOCK},
	{"private, prepared", PRIVATE, TO_ANYWHERE, PREPARED},
	{"private, lazily", PRIVATE, TO_ANYWHERE, LARGE},
	{"private, lazily, fixed over a mapping, populate", PRIVATE, TO_MAPPING, LARGE | POPULATED},
	{"private, lazily, no access", PRIVATE, TO_HOLE, LARGE | NO_ACCESS},
	{"private, lazily, prepared", PRIVATE, TO_ANYWHERE, LARGE | PREPARED},
	{"private, large without userfaultfd, no access", PRIVATE, TO_MAPPING,
		LARGE | NO_UFFD | NO_ACCESS},
	{"converted before", CONVERTED, TO_ANYWHERE, 0},
	{"converted before, part, fixed over a mapping", CONVERTED, TO_MAPPING, MIDDLE | ADVISED},
	{"converted before, prepared", CONVERTED, TO_ANYWHERE, PREPARED},
	{"shared huge pages", HUGE_SHARED, TO_ANYWHERE, 0},
	{"shared huge pages, fixed over a mapping, populate", HUGE_SHARED, TO_MAPPING, POPULATED},
	{"shared huge pages, read-only, advice, locked", HUGE_SHARED, TO_HINT,
		READ_ONLY | ADVISED | LOCK},
	{"private huge pages", HUGE_PRIVATE, TO_ANYWHERE, 0},
	{"private huge pages, fixed over a mapping", HUGE_PRIVATE, TO_MAPPING, 0},
	{"private huge pages, hint, populate", HUGE_PRIVATE, TO_HINT, POPULATED},
	{"private huge pages, no access", HUGE_PRIVATE, TO_HOLE, NO_ACCESS},
	{"private huge pages, advice, locked", HUGE_PRIVATE, TO_ANYWHERE, ADVISED | LOCK},
};

static struct {
	_Atomic unsigned long counter;
	_Atomic(volatile uint64_t *)
		word; /* counted up by the other thread all the time; NULL: nothing */
	_Atomic uint64_t counted;
	int fd, uffd;
	int threads; /* when no content is on its way */
	struct snapshot before, after;
} t = {.fd = -1, .uffd = -1};

static bool complain(const char *what)
{
	printf("#   %s\n", what);
	return false;
}

/* --- the range and its content --- */

static bool is_huge(const struct mirror *m)
{
	return m->kind == HUGE_PRIVATE || m->kind == HUGE_SHARED;
}

/* The whole mapping's. */
static size_t map_len(const struct mirror *m)
{
	return is_huge(m) ? 2 * HUGE : m->flags & LARGE ? LARGE_LEN : PAGES * PAGE;
}

static uintptr_t mapping_of(uintptr_t area)
{
	return area + HUGE;
}

static size_t start_in(const struct mirror *m)
{
	return m->flags & MIDDLE ? 2 * PAGE : 0;
}

static size_t range_len(const struct mirror *m)
{
	return m->flags & MIDDLE ? 4 * PAGE : map_len(m);
}

static uintptr_t source_of(const struct mirror *m)
{
	return mapping_of(SOURCE) + start_in(m);
}

static char byte_of(const struct mirror *m, size_t page)
{
	if (is_huge(m))
		return page < HUGE / PAGE ? 'h' : '\0';
	if (m->flags & LARGE)
		return page / 256 != 2 ? (char)('a' + page / 64) : '\0';
	return page == EMPTY_PAGE && !(m->flags & WATCHES) ? '\0' : (char)('A' + page);
}

static bool is_counted(const struct mirror *m)
{
	return !(m->flags & (READ_ONLY | NO_ACCESS));
}

/* The first page of the range has the word in it. */
static bool page_is_right(const struct mirror *m, const char *at, size_t page)
{
	static char wanted[PAGE];
	const char byte = byte_of(m, page);

	if (wanted[0] != byte || wanted[PAGE - 1] != byte || wanted[WORD] != byte)
		memset(wanted, byte, PAGE);
	if (is_counted(m) && page == start_in(m) / PAGE)
		*(uint64_t *)(wanted + WORD) = t.counted;
	if (!memcmp(at, wanted, PAGE)) {
		*(uint64_t *)(wanted + WORD) = *(uint64_t *)(wanted + WORD + 8);
		return true;
	}
	printf("#   page %zu at %p begins with %02x instead of %02x, and counts %lu instead of "
	       "%lu\n",
		page, (const void *)at, (unsigned char)*at, (unsigned char)byte,
		*(const unsigned long *)(at + WORD), *(unsigned long *)(wanted + WORD));
	memset(wanted, byte, PAGE);
	return false;
}

/* All of [from, from + len) of the mapping, as seen at at. */
static bool content_is_right(const struct mirror *m, uintptr_t at, size_t from, size_t len)
{
	bool ok = true;

	if ((m->flags & NO_ACCESS) && mprotect((void *)at, len, PROT_READ))
		return complain("there is nothing to be read");
	for (size_t i = 0; i < len && ok; i += PAGE)
		ok = page_is_right(m, (const char *)at + i, (from + i) / PAGE);
	if (m->flags & NO_ACCESS)
		mprotect((void *)at, len, PROT_NONE);
	return ok;
}

/* --- the other threads --- */

static void *run_beside(void *arg)
{
	(void)arg;
	for (;;) {
		volatile uint64_t *word = t.word;

		if (word) {
			++*word;
			t.counted++;
		}
		t.counter++;
	}
	return NULL;
}

static bool wait_for_progress(void)
{
	unsigned long was = t.counter;

	for (int i = 0; i < 5000 && t.counter < was + 2; i++)
		usleep(200);
	return t.counter >= was + 2;
}

/* The word stays as it is; false: the other thread stands still. */
static bool stop_counting(void)
{
	t.word = NULL;
	return wait_for_progress();
}

static int count_threads(void)
{
	char buf[1024];
	struct rm_numbers tasks;
	int tid, n = 0;

	if (rm_numbers_open(&tasks, "/proc/self/task", buf, sizeof(buf)))
		return -1;
	while (rm_numbers_next(&tasks, &tid) > 0)
		n++;
	rm_numbers_close(&tasks);
	return n;
}

/* All content is there, and the thread that brought it has gone. */
static bool wait_for_fills(void)
{
	int n = 0;

	rm_fill_wait();
	for (int i = 0; i < 10000 && (n = count_threads()) != t.threads; i++)
		usleep(200);
	return n == t.threads || complain("a thread is left over");
}

/* --- setting up --- */

static long mirror_of(uintptr_t start, size_t len, int flags, uintptr_t to)
{
	void *r = remap_mremap((void *)start, len, len,
		REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_MIRROR | flags, (void *)to);

	return r == MAP_FAILED ? -errno : (long)r;
}

static bool begin(const void *arg)
{
	const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	volatile char deep[262144];
	pthread_t thread;
	long view;
	char *p;

	(void)arg;
	for (size_t i = 0; i < sizeof(deep); i += PAGE) /* the stack does not grow later */
		deep[i] = 0;
	setrlimit(RLIMIT_MEMLOCK, &limit);
	setvbuf(stdout, NULL, _IOLBF, 8192);
	if (remap_prepare(NULL, 0, 0) || pthread_create(&thread, NULL, run_beside, NULL))
		return complain("no thread");
	t.threads = 2;
	/* what the library keeps for itself is there after a first time */
	p = mmap(NULL, LARGE_LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	view = mirror_of((uintptr_t)p, LARGE_LEN, 0, 0);
	if (view < 0 || !wait_for_fills())
		return complain("no mirror can be made");
	munmap(p, LARGE_LEN);
	munmap((void *)view, LARGE_LEN);
	return wait_for_progress();
}

static bool map_at(uintptr_t at, size_t len, int prot, int flags, int fd)
{
	return mmap((void *)at, len, prot, flags | MAP_FIXED, fd, 0) == (void *)at;
}

/* A page on either side, and between them what flags and fd say; as many pages as the source has. */
static bool map_area(const struct mirror *m, uintptr_t area, int flags, int fd)
{
	const uintptr_t at = mapping_of(area);
	const size_t len = map_len(m);

	munmap((void *)area, MAX_LEN);
	return map_at(at - PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1) &&
	       map_at(at + len, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1) &&
	       map_at(at, len, RW, flags, fd);
}

static bool map_source(const struct mirror *m)
{
	switch (m->kind) {
	case PRIVATE:
	case CONVERTED:
		return map_area(m, SOURCE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	case SHARED:
		return map_area(m, SOURCE, MAP_SHARED | MAP_ANONYMOUS, -1);
	case HUGE_PRIVATE:
		return map_area(m, SOURCE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	case HUGE_SHARED:
		t.fd = memfd_create("fault-mirror", MFD_CLOEXEC | MFD_HUGETLB);
		return t.fd >= 0 && !ftruncate(t.fd, (off_t)map_len(m)) &&
		       map_area(m, SOURCE, MAP_SHARED, t.fd);
	}
	return false;
}

static bool watch_source(const struct mirror *m)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {
		.range = {mapping_of(SOURCE), map_len(m)}, .mode = UFFDIO_REGISTER_MODE_MISSING};

	t.uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return t.uffd >= 0 && !ioctl(t.uffd, UFFDIO_API, &api) &&
	       !ioctl(t.uffd, UFFDIO_REGISTER, &reg);
}

static bool decorate_source(const struct mirror *m)
{
	const uintptr_t at = mapping_of(SOURCE);
	const size_t len = map_len(m);
	const unsigned long node = 1;

	for (size_t i = 0; i < len / PAGE; i++)
		if (byte_of(m, i))
			memset((char *)at + i * PAGE, byte_of(m, i), PAGE);
	if (m->flags & ADVISED) {
		if (madvise((void *)at, len, MADV_DONTFORK) ||
			madvise((void *)at, len, MADV_RANDOM) ||
			(syscall(SYS_mbind, at, len, MPOL_BIND, &node, 64UL, 0UL) &&
				errno != ENOSYS))
			return false;
		prctl(0x53564d41 /* PR_SET_VMA */, 0, at, len, "mirror");
	}
	if (m->kind == CONVERTED) {
		long view = mirror_of(at, len, 0, 0);

		if (view < 0 || munmap((void *)view, len) || !wait_for_fills())
			return false;
	}
	if ((m->flags & LOCK) && syscall(SYS_mlock, at, len)) /* ASan has an mlock of its own */
		return false;
	if ((m->flags & WATCHES) && !watch_source(m))
		return false;
	if (is_counted(m)) {
		volatile uint64_t *word = (volatile uint64_t *)(source_of(m) + WORD);

		*word = t.counted = 0;
	}
	return !(m->flags & (READ_ONLY | NO_ACCESS)) ||
	       !mprotect((void *)at, len, m->flags & READ_ONLY ? PROT_READ : PROT_NONE);
}

static bool map_target(const struct mirror *m)
{
	if (m->target != TO_MAPPING)
		return true;
	if (!map_area(m, DESTINATION, MAP_PRIVATE | MAP_ANONYMOUS, -1))
		return false;
	memset((void *)mapping_of(DESTINATION), 'D', map_len(m));
	return true;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool set_up(const struct mirror *m)
{
	if (!stop_counting() || !wait_for_fills())
		return complain("the other threads do not come to rest before the test");
	close_fd(&t.fd);
	close_fd(&t.uffd);
	munmap((void *)DESTINATION, MAX_LEN);
	if (!map_source(m) || !decorate_source(m) || !map_target(m))
		return complain("the scenario can not be set up");
	if (!snapshot_take(&t.before))
		return false;
	if (is_counted(m))
		t.word = (volatile uint64_t *)(source_of(m) + WORD);
	return true;
}

/* --- the call and what is to be seen after it --- */

static uint64_t converted(void)
{
	struct remap_stats stats = {.size = sizeof(stats)};

	remap_stats(&stats);
	return stats.bytes_converted;
}

/* The view's address, 0 if it was prepared, or -errno. */
static long call(const struct mirror *m, enum inject_who who, int fail_at, int error)
{
	const uintptr_t to = m->target == TO_ANYWHERE ? 0 : mapping_of(DESTINATION) + start_in(m);
	const int flags = (m->target == TO_HOLE || m->target == TO_MAPPING ? REMAP_MREMAP_FIXED
									   : 0) |
			  (m->flags & POPULATED ? REMAP_MREMAP_POPULATE : 0);
	long r;

	inject->fail_who = who;
	inject->fail_at = fail_at;
	inject->error = error;
	inject->count[INJECT_CALLER] = inject->count[INJECT_BESIDE] = 0;
	inject->target_touched = inject->failed = false;
	inject->active = true;
	errno = 12345;
	if (m->flags & PREPARED)
		r = remap_prepare((void *)source_of(m), range_len(m), REMAP_PREPARE_MIRROR);
	else
		r = mirror_of(source_of(m), range_len(m), flags, to);
	if (r >= 0 && errno != 12345)
		r = -99999; /* errno is kept on success */
	rm_fill_wait();
	inject->active = false;
	return r;
}

/* VmFlags that a conversion keeps, of those that they are; private huge pages are not for children afterwards (B1). */
static bool same_flags(const struct mirror *m, const char *was, const char *is)
{
	static const char *const kept[] = {"rd", "wr", "ex", "rr", "sr", "lo", "dc"};
	const size_t n = sizeof(kept) / sizeof(kept[0]) - (m->kind == HUGE_PRIVATE);

	for (size_t i = 0; i < n; i++)
		if (!strstr(was, kept[i]) != !strstr(is, kept[i])) {
			printf("#   flags were %s, are %s\n", was, is);
			return false;
		}
	return m->kind != HUGE_PRIVATE || strstr(is, "dc") ||
	       complain("huge pages are for children too");
}

/* Whether what was made to fail is about the destination, and what it was. */
static bool failed_at_target(void)
{
	const int k = inject->fail_who == INJECT_CALLER ? inject->fail_at : 0;
	const int nr = k ? inject->calls[INJECT_CALLER][k - 1].nr : 0;
	const long *args = k ? inject->calls[INJECT_CALLER][k - 1].args : NULL;
	const uintptr_t to = k ? (uintptr_t)args[nr == SYS_mremap ? 4 : 0] : 0;

	return to >= DESTINATION && to < DESTINATION + MAX_LEN;
}

static bool failed_to_populate(void)
{
	const int k = inject->fail_who == INJECT_CALLER ? inject->fail_at : 0;

	return k && inject->calls[INJECT_CALLER][k - 1].nr == SYS_madvise &&
	       inject->calls[INJECT_CALLER][k - 1].args[2] == POPULATE_READ;
}

/* Nothing is left over but the source, and the process is what it was. around: nothing there was kept. */
static bool nothing_else_changed(const struct mirror *m, bool source_too)
{
	const uintptr_t around = source_too ? 0 : mapping_of(SOURCE);

	return wait_for_fills() && snapshot_take(&t.after) &&
	       snapshot_same_process(&t.before, &t.after) &&
	       snapshot_same_maps(&t.before, &t.after, around, source_too ? 0 : map_len(m), true);
}

/* Both are one memory, to the last page. */
static bool is_one_memory(const struct mirror *m, uintptr_t view)
{
	const size_t len = range_len(m);
	volatile char *a = (volatile char *)source_of(m), *b = (volatile char *)view;

	if (m->flags & READ_ONLY)
		return true; /* the content was compared */
	if ((m->flags & NO_ACCESS) &&
		(mprotect((void *)a, len, RW) || mprotect((void *)b, len, RW)))
		return complain("views that have no access can not be given it");
	for (size_t i = 0; i < len; i += PAGE) {
		a[i + 8] = 'x';
		b[i + 16] = 'y';
		if (b[i + 8] != 'x' || a[i + 16] != 'y')
			return complain("the views are not one memory");
	}
	return true;
}

static bool check_success(const struct mirror *m, long r)
{
	const uintptr_t wanted = mapping_of(DESTINATION) + start_in(m);
	const size_t len = range_len(m);
	char was[256], is[256];
	uintptr_t view, start, end;

	if (r == -99999)
		return complain("errno was changed by a call that succeeded");
	if (!wait_for_fills() || !stop_counting())
		return complain("the other threads do not come to rest");
	if (m->flags & PREPARED) {
		const uint64_t bytes = converted();

		r = mirror_of(source_of(m), len, 0, 0);
		if (r < 0 || converted() != bytes)
			return complain("what was prepared is not ready for a mirror");
	} else if (m->target != TO_ANYWHERE && (uintptr_t)r != wanted &&
		   !(m->target == TO_HINT && failed_at_target())) { /* a wish */
		return complain("the view is elsewhere");
	}
	view = (uintptr_t)r;
	if (!snapshot_take(&t.after))
		return false;
	snprintf(was, sizeof(was), "%s", snapshot_flags(&t.before, source_of(m), NULL, NULL));
	snprintf(is, sizeof(is), "%s", snapshot_flags(&t.after, source_of(m), NULL, NULL));
	if (!same_flags(m, was, is) ||
		!same_flags(m, was, snapshot_flags(&t.after, view, &start, &end)))
		return false;
	if (start != view || end != view + len)
		return complain("the view has not the bounds of the range");
	if (!content_is_right(m, mapping_of(SOURCE), 0, map_len(m)) ||
		!content_is_right(m, view, start_in(m), len))
		return complain("content was lost");
	if (!is_one_memory(m, view))
		return false;
	munmap((void *)view, len);
	return map_target(m) && nothing_else_changed(m, false);
}

static bool is_errno(long error)
{
	return error == -EINVAL || error == -EFAULT || error == -ENOMEM || error == -EPERM ||
	       error == -EAGAIN;
}

/* The destination as it was; or, if what 6.18 loses may be lost, unmapped where the view was to be. */
static bool check_target(const struct mirror *m, bool source_too)
{
	const uintptr_t start = mapping_of(DESTINATION) + start_in(m);

	if (m->target == TO_MAPPING && inject->target_touched &&
		!*snapshot_flags(&t.after, start, NULL, NULL)) {
		if (!snapshot_is_hole(&t.after, start, range_len(m)) || !map_target(m))
			return false;
	}
	if (m->target == TO_MAPPING)
		for (size_t i = 0; i < map_len(m); i++)
			if (((const char *)mapping_of(DESTINATION))[i] != 'D')
				return complain("the destination's content has changed");
	return nothing_else_changed(m, source_too);
}

static bool check_failure(const struct mirror *m, long error, uint64_t converted_before)
{
	const bool changed = converted() != converted_before;

	if (!is_errno(error)) {
		printf("#   errno %ld is none that is documented\n", -error);
		return false;
	}
	if (!wait_for_fills() || !stop_counting() || !snapshot_take(&t.after))
		return false;
	if (changed && !failed_at_target() && !failed_to_populate())
		return complain("the source was converted although the call failed");
	if (!check_target(m, !changed))
		return false;
	if (!content_is_right(m, mapping_of(SOURCE), 0, map_len(m)))
		return complain("the source's content has changed");
	if (is_counted(m))
		t.word = (volatile uint64_t *)(source_of(m) + WORD);
	error = call(m, INJECT_CALLER, 0, 0);
	if (error < 0) {
		printf("#   the same call afterwards: %s\n", strerror((int)-error));
		return false;
	}
	return check_success(m, error);
}

/* --- which of them fail --- */

static int scenario_error(const void *arg, const struct seccomp_data *d)
{
	const struct mirror *m = arg;

	return (m->flags & NO_UFFD) && (d->nr == SYS_userfaultfd ||
					       (d->nr == SYS_ioctl && d->args[1] == NEW_UFFD))
		       ? EPERM
		       : 0;
}

static bool fail_call(const struct mirror *m, enum inject_who who, int k,
	const struct inject_failing *f, int error)
{
	uint64_t bytes;
	struct inject_control now;
	long r;

	if (!set_up(m))
		return false;
	bytes = converted();
	r = call(m, who, k, error);
	now = *inject; /* the check makes calls too */
	if (r < 0 ? check_failure(m, r, bytes) : check_success(m, r))
		return true;
	printf("#   returned %ld (%s) when call %d%s failed with %s: %s(%lx, %lx, %lx, %lx, %lx)\n",
		r, r < 0 ? strerror((int)-r) : "success", k,
		who == INJECT_BESIDE ? " of the thread that fills" : "", strerror(error), f->name,
		now.calls[who][k - 1].args[0], now.calls[who][k - 1].args[1],
		now.calls[who][k - 1].args[2], now.calls[who][k - 1].args[3],
		now.calls[who][k - 1].args[4]);
	return false;
}

static bool every_call_fails(const void *arg)
{
	static struct inject_control first;
	const struct mirror *m = arg;
	int reads = 0, looks = 0;
	bool ok = true;
	long r;

	if (!set_up(m))
		return false;
	r = call(m, INJECT_CALLER, 0, 0);
	memcpy(&first, inject, sizeof(first));
	if (r < 0) {
		printf("#   returned %ld (%s) although nothing failed\n", r, strerror((int)-r));
		return false;
	}
	if (!check_success(m, r))
		return false;
	for (int who = 0; who < INJECT_BOTH; who++)
		for (int k = 1; k <= first.count[who] && k <= INJECT_CALLS; k++) {
			const struct inject_failing *f = inject_failing(first.calls[who][k - 1].nr);

			if ((f->nr == SYS_read && reads++ % EVERY_NTH_READ) ||
				(f->nr == SYS_pread64 && looks++ % EVERY_NTH_PAGEMAP))
				continue;
			/* large ranges take longer: there the errors take turns */
			for (const int *e = f->errors; *e; e++)
				if (!(m->flags & LARGE) || !f->errors[1] ||
					(e - f->errors) % 2 == k % 2)
					ok &= fail_call(m, (enum inject_who)who, k, f, *e);
		}
	printf("#   %d system calls, and %d of the thread that fills\n", first.count[INJECT_CALLER],
		first.count[INJECT_BESIDE]);
	return ok;
}

/* Huge pages for the source, its object, and what a failure is tried with. */
static bool have_huge_pages(void)
{
	void *p = mmap(NULL, 6 * HUGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (p != MAP_FAILED)
		munmap(p, 6 * HUGE);
	return p != MAP_FAILED;
}

int main(int argc, char **argv)
{
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	const bool huge = have_huge_pages();
	unsigned int number = 0;
	bool ok = true;

	if (!inject_available())
		return 77;
	close(uffd);
	for (size_t i = 0; i < sizeof(mirrors) / sizeof(mirrors[0]); i++) {
		const struct mirror *m = &mirrors[i];
		const struct inject_test test = {
			begin, every_call_fails, scenario_error, m, MAX_LEN, 120};

		if (argc > 1 && !strstr(m->name, argv[1]))
			continue;
		if ((m->flags & WATCHES) && uffd < 0)
			printf("ok %u - %s # SKIP no userfaultfd for this user\n", ++number,
				m->name);
		else if (is_huge(m) && !huge)
			printf("ok %u - %s # SKIP no huge pages\n", ++number, m->name);
		else
			ok &= inject_run(++number, m->name, &test);
	}
	printf("1..%u\n", number);
	return ok ? 0 : 1;
}
