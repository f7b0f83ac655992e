/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_DONTUNMAP of locked memory: the new range is locked, the old one is not (semantics.md 2.2,
 * A11).
 *
 * VmLck is left out: 6.15 and later count it twice (2.4). That a partial move unlocks the rest of
 * the source as well is a quirk that nobody should want; only the part that moved is looked at.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/behave/behave.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

static struct arena a;

static void check_locks(const char *old, const char *new, size_t len)
{
	struct vma now;

	check(vma_at(old, &now));
	check(!vma_has(&now, "lo"));
	check(!vma_has(&now, "lf"));
	check_is(now.locked, 0);
	check(vma_at(new, &now));
	check(vma_has(&now, "lo"));
	check_is(now.end - now.start, len);
}

static void locked(void **state)
{
	struct vma before, now;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, ANON, -1);
	check(!mlock(a.source, a.len));
	fill(a.source, a.len, 1);
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "lo ");
	check_locks(a.source, a.target, a.len);
	check(vma_at(a.source, &now) && !now.rss);
	check(vma_at(a.target, &now) && now.rss == before.rss && now.locked == before.locked);
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	check(!munlock(a.target, a.len));
	arena_end(&a);
}

/* Locked as it is touched: nothing is touched for it. */
static void on_fault(void **state)
{
	struct vma before, now;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, ANON, -1);
	if (syscall(SYS_mlock2, a.source, a.len, (long)MLOCK_ONFAULT)) {
		arena_end(&a);
		behave_skip("no mlock2");
	}
	fill(a.source, 2 * PAGE, 1);
	check(vma_at(a.source, &before)); /* lf is ?? before 6.6 */
	check_is(before.rss, 2 * PAGE / 1024);
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "lo lf ?? ");
	check_locks(a.source, a.target, a.len);
	check(vma_at(a.target, &now));
	check(!strcmp(now.flags, before.flags));
	check_is(now.rss, before.rss);
	check(vma_at(a.source, &now) && !now.rss);
	check(filled(a.target, 2 * PAGE, 1));
	check(zeroed(a.target + 2 * PAGE, a.len - 2 * PAGE));
	arena_end(&a);
}

static void part(void **state)
{
	struct vma now;

	(void)state;
	arena_make(&a, 9);
	arena_map(&a, RW, ANON, -1);
	check(!mlock(a.source, a.len));
	fill(a.source, a.len, 1);
	moved(a.source + 3 * PAGE, 3 * PAGE, ONTO, a.target);
	check(vma_at(a.source + 3 * PAGE, &now) && !vma_has(&now, "lo"));
	check(vma_at(a.target, &now) && vma_has(&now, "lo"));
	check(zeroed(a.source + 3 * PAGE, 3 * PAGE));
	check(filled(a.source, 3 * PAGE, 1));
	check(!memcmp(memcpy(a.source + 3 * PAGE, a.target, 3 * PAGE), a.target, 3 * PAGE));
	check(filled(a.source, a.len, 1));
	check(!munlock(a.source, a.len));
	arena_end(&a);
}

/*
 * Of a mapping that was moved before, too: what was left behind is one with the rest again when
 * that is unlocked.
 */
static void part_again(int flags)
{
	const size_t len = 3 * PAGE;
	struct vma before, now;
	char *source, *target;

	arena_make(&a, 9);
	arena_map(&a, RW, ANON, -1);
	if (syscall(SYS_mlock2, a.source, a.len, (long)flags)) {
		arena_end(&a);
		behave_skip("no mlock2");
	}
	for (unsigned int i = 0; i < 3; i++)
		fill(a.source + i * len, len, 1 + i);
	moved(a.source, a.len, ONTO, a.target);
	check(vma_at(a.target, &before));
	source = a.target + len;
	target = a.source + len;
	moved(source, len, ONTO, target);
	check(vma_at(source, &now) && !vma_has(&now, "lo"));
	check(vma_at(target, &now) && !strcmp(now.flags, before.flags));
	check(filled(target, len, 2));
	check(zeroed(source, len));
	/* Where it stays locked, all of it is, and as it was. */
	check(vma_at(source - PAGE, &now));
	if (vma_has(&now, "lo")) {
		check(now.start == (uintptr_t)a.target && now.end == (uintptr_t)source);
		check(!strcmp(now.flags, before.flags));
	}
	check(filled(a.target, len, 1));
	check(filled(source + len, len, 3));
	check(!munlock(a.target, a.len));
	check_is(vma_count(a.target, a.len), 1);
	arena_end(&a);
}

static void part_of_moved(void **state)
{
	(void)state;
	part_again(0);
}

static void part_of_moved_on_fault(void **state)
{
	(void)state;
	part_again(MLOCK_ONFAULT);
}

static void read_only(void **state)
{
	struct vma before;

	(void)state;
	arena_make_filled(&a, 4, RW, ANON);
	check(!mprotect(a.source, a.len, PROT_READ));
	check(!mlock(a.source, a.len));
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "lo ");
	check_locks(a.source, a.target, a.len);
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	check(!munlock(a.target, a.len));
	arena_end(&a);
}

/* A part of what can not be written any more stays charged. */
static void part_of_read_only(void **state)
{
	const size_t len = 3 * PAGE;
	struct vma before, now;

	(void)state;
	arena_make(&a, 6);
	arena_map(&a, RW, ANON, -1);
	fill(a.source, len, 1);
	fill(a.source + len, len, 2);
	check(!mprotect(a.source, a.len, PROT_READ));
	check(!mlock(a.source, a.len));
	check(vma_at(a.source, &before));
	check(vma_has(&before, "ac"));
	moved(a.source + len, len, ONTO, a.target);
	check(vma_at(a.source + len, &now) && vma_has(&now, "ac") && !vma_has(&now, "lo"));
	check(vma_at(a.target, &now) && !strcmp(now.flags, before.flags));
	check(filled(a.target, len, 2));
	check(filled(a.source, len, 1));
	check(zeroed(a.source + len, len));
	check(!munlock(a.source, a.len));
	check_is(vma_count(a.source, a.len), 1);
	arena_end(&a);
}

static void shared(void **state)
{
	struct vma before;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	check(!mlock(a.source, a.len));
	fill(a.source, a.len, 1);
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "lo ");
	check_locks(a.source, a.target, a.len);
	check(filled(a.target, a.len, 1));
	check(filled(a.source, a.len, 1));
	check(!munlock(a.target, a.len));
	arena_end(&a);
}

static void shared_on_fault(void **state)
{
	struct vma before, now;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	if (syscall(SYS_mlock2, a.source, a.len, (long)MLOCK_ONFAULT)) {
		arena_end(&a);
		behave_skip("no mlock2");
	}
	fill(a.source, PAGE, 1);
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_locks(a.source, a.target, a.len);
	check(vma_at(a.target, &now));
	check(!strcmp(now.flags, before.flags));
	check(now.rss <= before.rss);
	check(filled(a.target, PAGE, 1));
	arena_end(&a);
}

/* Everything new is locked and populated, but what is left behind is neither. */
static void future_child(void *arg)
{
	const int flags = *(int *)arg;
	struct vma before, now;
	char *p;

	arena_make(&a, 8);
	if (mlockall(flags))
		behave_skip("mlockall is not permitted");
	arena_map(&a, RW, ANON, -1);
	fill(a.source, a.len, 1);
	check(vma_at(a.source, &before));
	check(vma_has(&before, "lo"));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "lo lf ?? ");
	check_locks(a.source, a.target, a.len);
	check(vma_at(a.source, &now) && !now.rss);
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	/* still in force */
	p = mmap(NULL, PAGE, RW, ANON, -1, 0);
	check(vma_at(p, &now) && vma_has(&now, "lo"));
	check(!munlockall());
	arena_end(&a);
}

static void future(void **state)
{
	int flags = MCL_FUTURE;

	(void)state;
	in_child(future_child, &flags);
}

static void all(void **state)
{
	int flags = MCL_FUTURE | MCL_CURRENT;

	(void)state;
	in_child(future_child, &flags);
}

/* MCL_ONFAULT (4.4): the source is locked, but untouched pages stay untouched. */
static void future_on_fault(void **state)
{
	int flags = MCL_FUTURE | 4;

	(void)state;
	in_child(future_child, &flags);
}

/*
 * RLIMIT_MEMLOCK does not count for a move (semantics.md 1.5), however tight it is. Root is not
 * limited.
 */
static void memlock_child(void *arg)
{
	const bool is_shared = arg != NULL;
	struct rlimit limit = {64 * 1024, 64 * 1024};

	if (geteuid())
		behave_skip("needs root to become nobody");
	arena_make(&a, 48 * 1024 / PAGE);
	arena_map(&a, RW, is_shared ? MAP_SHARED | MAP_ANONYMOUS : ANON, -1);
	check(!setrlimit(RLIMIT_MEMLOCK, &limit));
	check(!setresgid(65534, 65534, 65534));
	check(!setresuid(65534, 65534, 65534));
	check(!prctl(PR_SET_DUMPABLE, 1));
	check(!mlock(a.source, a.len));
	fill(a.source, a.len, 1);
	moved(a.source, a.len, ONTO, a.target);
	check_locks(a.source, a.target, a.len);
	check(filled(a.target, a.len, 1));
	arena_end(&a);
}

static void memlock(void **state)
{
	(void)state;
	in_child(memlock_child, NULL);
}

static void memlock_shared(void **state)
{
	(void)state;
	in_child(memlock_child, &a);
}

/* Nor for a part of what was moved before, when nothing more may be locked for a moment either. */
static void memlock_part_child(void *arg)
{
	const size_t len = 16 * 1024;
	struct rlimit limit = {48 * 1024, 48 * 1024};
	struct vma now;

	(void)arg;
	if (geteuid())
		behave_skip("needs root to become nobody");
	arena_make(&a, limit.rlim_cur / PAGE);
	arena_map(&a, RW, ANON, -1);
	check(!setrlimit(RLIMIT_MEMLOCK, &limit));
	check(!setresgid(65534, 65534, 65534));
	check(!setresuid(65534, 65534, 65534));
	check(!prctl(PR_SET_DUMPABLE, 1));
	check(!mlock(a.source, a.len));
	fill(a.source, a.len, 1);
	moved(a.source, a.len, ONTO, a.target);
	moved(a.target + len, len, ONTO, a.source + len);
	check(vma_at(a.target + len, &now) && !vma_has(&now, "lo"));
	check(vma_at(a.source + len, &now) && vma_has(&now, "lo"));
	check(filled(a.target, len, 1));
	check(zeroed(a.target + len, len));
	check(!memcmp(memcpy(a.target + len, a.source + len, len), a.source + len, len));
	check(filled(a.target, a.len, 1));
	arena_end(&a);
}

static void memlock_part(void **state)
{
	(void)state;
	in_child(memlock_part_child, NULL);
}

/* mlockall(MCL_FUTURE) and RLIMIT_MEMLOCK together: a new mapping would not fit, a move does. */
static void memlock_future_child(void *arg)
{
	const int flags = arg ? ANYWHERE : ONTO;
	struct rlimit limit = {64 * 1024, 64 * 1024};
	struct vma now;
	char *new;

	if (geteuid())
		behave_skip("needs root to become nobody");
	arena_make(&a, 48 * 1024 / PAGE);
	check(!setrlimit(RLIMIT_MEMLOCK, &limit));
	check(!setresgid(65534, 65534, 65534));
	check(!setresuid(65534, 65534, 65534));
	check(!prctl(PR_SET_DUMPABLE, 1));
	if (mlockall(MCL_FUTURE))
		behave_skip("mlockall is not permitted");
	arena_map(&a, RW, ANON, -1);
	fill(a.source, a.len, 1);
	check(mmap(NULL, a.len, RW, ANON, -1, 0) == MAP_FAILED && errno == EAGAIN);
	new = moved(a.source, a.len, flags, flags == ONTO ? a.target : NULL);
	check(vma_at(a.source, &now) && !vma_has(&now, "lo") && !now.rss);
	check(vma_at(new, &now) && vma_has(&now, "lo") && now.rss == a.len / 1024);
	check(filled(new, a.len, 1));
	check(!munlockall());
	arena_end(&a);
}

static void memlock_future(void **state)
{
	in_child(memlock_future_child, *state);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(locked, "dontunmap-moves-the-lock"),
		CASE(on_fault, "dontunmap-moves-the-lock-on-fault"),
		CASE(part, "dontunmap-of-a-part-moves-its-lock"),
		CASE(part_of_moved, "dontunmap-of-a-part-of-moved-locked-memory"),
		CASE(part_of_moved_on_fault, "dontunmap-of-a-part-of-moved-memory-locked-on-fault"),
		CASE(read_only, "dontunmap-of-locked-read-only-memory"),
		CASE(part_of_read_only, "dontunmap-of-a-part-of-locked-read-only-memory"),
		CASE(shared, "dontunmap-of-locked-shared-memory"),
		CASE(shared_on_fault, "dontunmap-of-shared-memory-locked-on-fault"),
		CASE(future, "dontunmap-under-mlockall-future"),
		CASE(all, "dontunmap-under-mlockall-current-and-future"),
		CASE(future_on_fault, "dontunmap-under-mlockall-on-fault"),
		CASE(memlock, "dontunmap-ignores-rlimit-memlock"),
		CASE(memlock_shared, "dontunmap-of-shared-memory-ignores-rlimit-memlock"),
		CASE(memlock_part, "dontunmap-of-a-part-of-moved-memory-ignores-rlimit-memlock"),
		CASE(memlock_future, "dontunmap-under-mlockall-future-ignores-rlimit-memlock"),
		{"dontunmap-to-anywhere-under-mlockall-future-ignores-rlimit-memlock",
			memlock_future, NULL, NULL, &a},
	};

	return BEHAVE_RUN(cases);
}
