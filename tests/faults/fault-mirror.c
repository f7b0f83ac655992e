/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the engine makes for a mirror fails once, from outside (inject.h), those
 * of the thread that fills converted memory too.
 *
 * When the call fails, all must be as it was: the source with all of its content, the destination
 * (but for what 6.18 loses itself, semantics.md 1.4), every mapping, descriptor and thread; and the
 * same call made again succeeds. When it succeeds all the same, both views show the content and are
 * one memory. Another thread counts up a word of the source all the while, and no count may be
 * lost. What was private may be found converted only if nothing but the finished view's way to its
 * place was left to fail: then it has its content, and nothing else is left over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emul/fill.h"
#include "libremap.h"
#include "tests/faults/inject.h"
#include "tests/faults/mirrors.h"

#define NEW_UFFD	  _IO(0xAA, 0) /* USERFAULTFD_IOC_NEW of /dev/userfaultfd, 6.1 */
#define POPULATE_READ	  22
#define EVERY_NTH_READ	  6 /* smaps is read in many small pieces, which are all alike */
#define EVERY_NTH_PAGEMAP 3

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

/* --- the call and what is to be seen after it --- */

static uint64_t converted(void)
{
	struct remap_stats stats = {.size = sizeof(stats)};

	remap_stats(&stats);
	return stats.bytes_converted;
}

/* The view's address, 0 if it was prepared, or -errno. */
static long call(const struct mirror *m, enum inject_who who, int fail_at, int nr, int error)
{
	const uintptr_t to = m->target == TO_ANYWHERE
				     ? 0
				     : mirror_mapping(DESTINATION) + mirror_start(m);
	const int flags = (m->target == TO_HOLE || m->target == TO_MAPPING ? REMAP_MREMAP_FIXED
									   : 0) |
			  (m->flags & POPULATED ? REMAP_MREMAP_POPULATE : 0);
	long r;

	inject->fail_who = who;
	inject->fail_at = fail_at;
	inject->fail_nr = nr;
	inject->error = error;
	inject->count[INJECT_CALLER] = inject->count[INJECT_BESIDE] = 0;
	inject->target_touched = inject->failed = false;
	inject_begin();
	errno = 12345;
	if (m->flags & PREPARED)
		r = remap_prepare((void *)mirror_source(m), mirror_len(m), REMAP_PREPARE_MIRROR);
	else
		r = mirror_make(mirror_source(m), mirror_len(m), flags, to);
	if (r >= 0 && errno != 12345)
		r = -99999; /* errno is kept on success */
	rm_fill_wait();
	inject->active = false;
	return r;
}

/*
 * VmFlags that a conversion keeps, of those that they are; private huge pages are not for children
 * afterwards (B1).
 */
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
	       mirror_complain("huge pages are for children too");
}

/* Whether what was made to fail is about the destination, and what it was. */
static bool failed_at_target(void)
{
	const int k = inject->failed && inject->fail_who == INJECT_CALLER ? inject->fail_at : 0;
	const int nr = k ? inject->calls[INJECT_CALLER][k - 1].nr : 0;
	const long *args = k ? inject->calls[INJECT_CALLER][k - 1].args : NULL;
	const uintptr_t to = k ? (uintptr_t)args[nr == SYS_mremap ? 4 : 0] : 0;

	return to >= DESTINATION && to < DESTINATION + MAX_LEN;
}

static bool failed_to_populate(void)
{
	const int k = inject->failed && inject->fail_who == INJECT_CALLER ? inject->fail_at : 0;

	return k && inject->calls[INJECT_CALLER][k - 1].nr == SYS_madvise &&
	       inject->calls[INJECT_CALLER][k - 1].args[2] == POPULATE_READ;
}

/*
 * Nothing is left over but the source, and the process is what it was. around: nothing there was
 * kept.
 */
static bool nothing_else_changed(const struct mirror *m, bool source_too)
{
	const uintptr_t around = source_too ? 0 : mirror_mapping(SOURCE);

	return mirror_wait_for_fills() && snapshot_take(&mirror_process.after) &&
	       snapshot_same_process(&mirror_process.before, &mirror_process.after) &&
	       snapshot_same_maps(&mirror_process.before, &mirror_process.after, around,
		       source_too ? 0 : mirror_map_len(m), true);
}

/* Both are one memory, to the last page. */
static bool is_one_memory(const struct mirror *m, uintptr_t view)
{
	const size_t len = mirror_len(m);
	volatile char *a = (volatile char *)mirror_source(m), *b = (volatile char *)view;

	if (m->flags & READ_ONLY)
		return true; /* the content was compared */
	if ((m->flags & NO_ACCESS) &&
		(mprotect((void *)a, len, RW) || mprotect((void *)b, len, RW)))
		return mirror_complain("views that have no access can not be given it");
	for (size_t i = 0; i < len; i += PAGE) {
		a[i + 8] = 'x';
		b[i + 16] = 'y';
		if (b[i + 8] != 'x' || a[i + 16] != 'y')
			return mirror_complain("the views are not one memory");
	}
	return true;
}

static bool check_success(const struct mirror *m, long r)
{
	const uintptr_t wanted = mirror_mapping(DESTINATION) + mirror_start(m);
	const size_t len = mirror_len(m);
	char was[256], is[256];
	uintptr_t view, start, end;

	if (r == -99999)
		return mirror_complain("errno was changed by a call that succeeded");
	if (!mirror_wait_for_fills() || !mirror_stop_counting())
		return mirror_complain("the other threads do not come to rest");
	if (m->flags & PREPARED) {
		const uint64_t bytes = converted();

		r = mirror_make(mirror_source(m), len, 0, 0);
		if (r < 0 || converted() != bytes)
			return mirror_complain("what was prepared is not ready for a mirror");
	} else if (m->target != TO_ANYWHERE && (uintptr_t)r != wanted &&
		   !(m->target == TO_HINT && failed_at_target())) { /* a wish */
		return mirror_complain("the view is elsewhere");
	}
	view = (uintptr_t)r;
	if (!snapshot_take(&mirror_process.after))
		return false;
	snprintf(was, sizeof(was), "%s",
		snapshot_flags(&mirror_process.before, mirror_source(m), NULL, NULL));
	snprintf(is, sizeof(is), "%s",
		snapshot_flags(&mirror_process.after, mirror_source(m), NULL, NULL));
	if (!same_flags(m, was, is) ||
		!same_flags(m, was, snapshot_flags(&mirror_process.after, view, &start, &end)))
		return false;
	if (start != view || end != view + len)
		return mirror_complain("the view has not the bounds of the range");
	if (!mirror_content_is_right(m, mirror_mapping(SOURCE), 0, mirror_map_len(m)) ||
		!mirror_content_is_right(m, view, mirror_start(m), len))
		return mirror_complain("content was lost");
	if (!is_one_memory(m, view))
		return false;
	munmap((void *)view, len);
	return mirror_map_target(m) && nothing_else_changed(m, false);
}

static bool is_errno(long error)
{
	return error == -EINVAL || error == -EFAULT || error == -ENOMEM || error == -EPERM ||
	       error == -EAGAIN;
}

/*
 * The destination as it was; or, if what 6.18 loses may be lost, unmapped where the view was to be.
 */
static bool check_target(const struct mirror *m, bool source_too)
{
	const uintptr_t start = mirror_mapping(DESTINATION) + mirror_start(m);

	if (m->target == TO_MAPPING && inject->target_touched &&
		!*snapshot_flags(&mirror_process.after, start, NULL, NULL)) {
		if (!snapshot_is_hole(&mirror_process.after, start, mirror_len(m)) ||
			!mirror_map_target(m))
			return false;
	}
	if (m->target == TO_MAPPING)
		for (size_t i = 0; i < mirror_map_len(m); i++)
			if (((const char *)mirror_mapping(DESTINATION))[i] != 'D')
				return mirror_complain("the destination's content has changed");
	return nothing_else_changed(m, source_too);
}

static bool check_failure(const struct mirror *m, long error, uint64_t converted_before)
{
	const bool changed = converted() != converted_before;

	if (!is_errno(error)) {
		printf("#   errno %ld is none that is documented\n", -error);
		return false;
	}
	if (!mirror_wait_for_fills() || !mirror_stop_counting() ||
		!snapshot_take(&mirror_process.after))
		return false;
	if (changed && !failed_at_target() && !failed_to_populate())
		return mirror_complain("the source was converted although the call failed");
	if (!check_target(m, !changed))
		return false;
	if (!mirror_content_is_right(m, mirror_mapping(SOURCE), 0, mirror_map_len(m)))
		return mirror_complain("the source's content has changed");
	if (mirror_is_counted(m))
		mirror_process.word = (volatile uint64_t *)(mirror_source(m) + WORD);
	error = call(m, INJECT_CALLER, 0, 0, 0);
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
	const long *args;
	long r;

	if (!mirror_set_up(m))
		return false;
	bytes = converted();
	r = call(m, who, k, f->nr, error);
	now = *inject; /* the check makes calls too */
	args = now.calls[who][now.fail_at - 1].args;
	if (r < 0 ? check_failure(m, r, bytes) : check_success(m, r))
		return true;
	printf("#   returned %ld (%s) when call %d%s failed with %s: %s(%lx, %lx, %lx, %lx, %lx)\n",
		r, r < 0 ? strerror((int)-r) : "success", k,
		who == INJECT_BESIDE ? " of the thread that fills" : "", strerror(error), f->name,
		args[0], args[1], args[2], args[3], args[4]);
	return false;
}

static bool every_call_fails(const void *arg)
{
	static struct inject_control first;
	const struct mirror *m = arg;
	int reads = 0, looks = 0;
	bool ok = true;
	long r;

	if (!mirror_set_up(m))
		return false;
	r = call(m, INJECT_CALLER, 0, 0, 0);
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
			mirror_begin, every_call_fails, scenario_error, m, MAX_LEN, 120};

		if (argc > 1 && !strstr(m->name, argv[1]))
			continue;
		if ((m->flags & WATCHES) && uffd < 0)
			printf("ok %u - %s # SKIP no userfaultfd for this user\n", ++number,
				m->name);
		else if (mirror_is_huge(m) && !huge)
			printf("ok %u - %s # SKIP no huge pages\n", ++number, m->name);
		else
			ok &= inject_run(++number, m->name, &test);
	}
	printf("1..%u\n", number);
	return ok ? 0 : 1;
}
