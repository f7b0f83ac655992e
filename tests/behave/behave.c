/* SPDX-License-Identifier: MIT */
/*
 * What the behaviour tests share: checks, children, patterns, the place where things are moved
 * about.
 */
#include "tests/behave/behave.h"

#include <signal.h>
#include <sys/wait.h>

size_t behave_page = 4096;
static bool child;

void behave_check(bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	if (!child)
		_assert_true(0, what, file, line);
	printf("# in a child: %s:%d: %s\n", file, line, what);
	fflush(stdout);
	_exit(1);
}

void behave_check_is(long got, long wanted, const char *what, const char *file, int line)
{
	if (got != wanted)
		printf("# %s is %ld (0x%lx), not %ld (0x%lx)\n", what, got, (unsigned long)got,
			wanted, (unsigned long)wanted);
	behave_check(got == wanted, what, file, line);
}

void behave_skip(const char *reason)
{
	printf("# SKIP-REASON %s\n", reason); /* cmocka has no room for it; run-configs has */
	fflush(stdout);
	if (child)
		_exit(77);
	skip();
}

const char *behave_config(void)
{
	const char *config = getenv("RM_CONFIG");

	return config ? config : "";
}

pid_t behave_fork(void)
{
	const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS};
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		child = true;
		/* cmocka catches them and goes on with the next case; not here */
		for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
			signal(fatal[i], SIG_DFL);
		alarm(30);
	}
	check(pid >= 0);
	return pid;
}

void behave_join(pid_t pid)
{
	int status = -1;

	check_is(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	check_is(status, 0);
}

void in_child(void (*function)(void *arg), void *arg)
{
	pid_t pid = behave_fork();

	if (!pid) {
		function(arg);
		fflush(stdout);
		_exit(0);
	}
	behave_join(pid);
}

static uint64_t word(unsigned int seed, size_t i)
{
	return (seed + 1) * 0x9e3779b97f4a7c15ull + i * 0x100000001b3ull;
}

void fill(void *at, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len / 8; i++)
		((uint64_t *)at)[i] = word(seed, i);
}

bool filled(const void *at, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len / 8; i++)
		if (((const uint64_t *)at)[i] != word(seed, i))
			return false;
	return true;
}

bool zeroed(const void *at, size_t len)
{
	for (size_t i = 0; i < len / 8; i++)
		if (((const uint64_t *)at)[i])
			return false;
	return true;
}

void arena_make(struct arena *arena, size_t pages)
{
	const size_t len = pages * PAGE;
	const uintptr_t align = (uintptr_t)1 << 21; /* so that page tables can move whole */

	arena->len = len;
	arena->size = 2 * (len + 4 * align);
	arena->base = mmap(NULL, arena->size, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	check(arena->base != MAP_FAILED);
	arena->source = (char *)(((uintptr_t)arena->base + 2 * align - 1) & ~(align - 1));
	arena->target = (char *)(((uintptr_t)arena->source + len + 2 * align - 1) & ~(align - 1));
	for (int i = 0; i < 4; i++) {
		char *at = (i & 2 ? arena->target : arena->source) + (i & 1 ? len : -PAGE);

		check(mmap(at, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
		fill(at, PAGE, 900 + (unsigned int)i);
	}
}

char *arena_map(struct arena *arena, int prot, int flags, int fd)
{
	check(mmap(arena->source, arena->len, prot, flags | MAP_FIXED, fd, 0) == arena->source);
	return arena->source;
}

void arena_make_filled(struct arena *arena, size_t pages, int prot, int flags)
{
	arena_make(arena, pages);
	arena_map(arena, RW, flags, -1);
	fill(arena->source, arena->len, 1);
	if (prot != RW)
		check(!mprotect(arena->source, arena->len, prot));
}

bool arena_moves(const struct arena *arena)
{
	const size_t len = arena->len;

	return mremap(arena->source, len, len, ONTO, arena->target) == arena->target &&
	       filled(arena->target, len, 1) && zeroed(arena->source, len);
}

void arena_end(struct arena *arena)
{
	for (int i = 0; i < 4; i++)
		check(filled((i & 2 ? arena->target : arena->source) + (i & 1 ? arena->len : -PAGE),
			PAGE, 900 + (unsigned int)i));
	check(!munmap(arena->base, arena->size));
}

char *moved(void *old, size_t len, int flags, void *target)
{
	return remapped(old, len, len, flags, target);
}

char *remapped(void *old, size_t old_len, size_t new_len, int flags, void *target)
{
	char *new = watched(old, old_len, new_len, flags, target);

	if (new == MAP_FAILED)
		printf("# mremap: %s\n", strerror(errno));
	check(new != MAP_FAILED);
	if (flags & MREMAP_FIXED)
		check(new == target);
	return new;
}

void refused(void *old, size_t old_len, size_t new_len, int flags, void *target, int error)
{
	void *new = watched(old, old_len, new_len, flags, target);

	check(new == MAP_FAILED);
	check_is(errno, error);
}

static void flags_without(const struct vma *vma, const char *without, char *out)
{
	*out = '\0';
	for (const char *f = vma->flags; *f; f += 3) {
		char one[4] = {f[0], f[1], ' ', '\0'};

		if (!strstr(without, one))
			strcat(out, one);
	}
}

void check_both(
	const struct vma *before, const void *old, const void *new, size_t len, const char *without)
{
	char wanted[sizeof(before->flags)], got[sizeof(before->flags)];
	struct vma now;

	flags_without(before, without, wanted);
	for (int i = 0; i < 2; i++) {
		const void *at = i ? new : old;

		check(vma_at(at, &now));
		check_is(now.start, (uintptr_t)at);
		check_is(now.end, (uintptr_t)at + len);
		check(!strcmp(now.perms, before->perms));
		check_is(now.inode, before->inode);
		if (before->inode && !strstr(without, "offset"))
			check_is(now.offset, before->offset);
		check(!strcmp(now.name, before->name));
		check_is(now.key, before->key);
		flags_without(&now, without, got);
		if (strcmp(got, wanted))
			printf("# VmFlags of the %s range: %s; before: %s\n", i ? "new" : "old",
				got, wanted);
		check(!strcmp(got, wanted));
	}
}

int behave_run(const char *name, const struct CMUnitTest *cases, size_t count)
{
	char *page, *new;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (getenv("RM_CASE")) /* for people: only the cases that match this shell pattern */
		cmocka_set_test_filter(getenv("RM_CASE"));
	behave_page = (size_t)sysconf(_SC_PAGESIZE);
	/*
	 * What the library needs for itself is there from now on, and will not be taken for a
	 * change.
	 */
	page = mmap(NULL, PAGE, RW, ANON, -1, 0);
	new = mremap(page, PAGE, PAGE, ANYWHERE, NULL);
	if (new == MAP_FAILED)
		printf("# the first MREMAP_DONTUNMAP failed: %s\n", strerror(errno));
	else
		munmap(new, PAGE);
	munmap(page, PAGE);
	return _cmocka_run_group_tests(name, cases, count, NULL, NULL);
}
