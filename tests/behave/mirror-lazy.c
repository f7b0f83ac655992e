/* SPDX-License-Identifier: MIT */
/*
 * Mirrors of much private memory: the call returns before the content has been copied, and nobody
 * can tell (emul/fill.c). Whatever is done to the views meanwhile, each page has what it had. Every
 * case leaves it to chance how much is filled by then, and is right in any case. Needs
 * userfaultfd(2) for that; where it is refused everything is copied at once. RM_LAZY_MIB makes it
 * another size than 24 MiB (8 or more), for machines on which faults are slow.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/behave/mirror.h"

static size_t much = (size_t)24 << 20;
static char *source;

static void make(void)
{
	source = mmap(NULL, much, RW, ANON, -1, 0);
	check(source != MAP_FAILED);
	number(source, much);
}

static char *mirror(char *at, size_t len)
{
	char *view = mremap(at, len, len, MIRROR, NULL);

	check(view != MAP_FAILED);
	return view;
}

static void content(void **state)
{
	char *view;
	struct vma vma;

	(void)state;
	for (int backwards = 0; backwards < 2; backwards++) {
		make();
		view = mirror(source, much);
		check(backwards ? numbered_backwards(source, much) : numbered(source, much));
		check(numbered(view, much));
		settle(view);
		check(numbered(source, much));
		check(vma_at(source, &vma) && !strcmp(vma.perms, "rw-s") && !vma_has(&vma, "dc"));
		check_is(vma.end - vma.start, much);
		check_one_memory(source, view, much);
		check(!munmap(source, much) && !munmap(view, much));
	}
}

/* No descriptor is left over, and none of the program's matters. */
static void descriptors_child(void *arg)
{
	int fd = dup(0), later;
	char *view;

	(void)arg;
	check(fd >= 0);
	close(fd);
	make();
	view = mirror(source, much);
	for (int i = 3; i < 256; i++)
		close(i); /* what a careful daemon does */
	check(numbered_backwards(view, much) && numbered(source, much));
	later = dup(0);
	check(later >= 0 && later <= fd);
}

static void descriptors(void **state)
{
	(void)state;
	in_child(descriptors_child, NULL);
}

/* A pipe of the program's ends when the program closes it. */
static void pipes(void **state)
{
	int end[2];
	char byte, *view;

	(void)state;
	make();
	check(!pipe(end));
	view = mirror(source, much);
	check(numbered(view, PAGE));
	close(end[1]);
	check_is(read(end[0], &byte, 1), 0);
	close(end[0]);
	check(numbered(view, much));
	check(!munmap(source, much) && !munmap(view, much));
}

/*
 * The program has unmapped what the kernel would use first, and maps something there again: it may,
 * as long as it maps nothing else. What the mirror needs meanwhile lies elsewhere.
 */
static void gap_filled(void **state)
{
	const size_t len = 4 * much;
	char *gap, *view;

	(void)state;
	make();
	view = mmap(NULL, much, PROT_NONE, ANON, -1, 0);
	gap = mmap(NULL, len, PROT_NONE, ANON, -1, 0);
	check(view != MAP_FAILED && gap != MAP_FAILED && !munmap(gap, len));
	check(mremap(source, much, much, MIRROR_ONTO, view) == view);
	check(mmap(gap, len, RW, ANON | MAP_FIXED, -1, 0) == gap);
	for (size_t i = 0; i < len; i += PAGE)
		gap[i] = 'g';
	check(numbered(view, much) && numbered(source, much));
	settle(view);
	check(numbered(view, much));
	for (size_t i = 0; i < len; i += PAGE)
		check(gap[i] == 'g');
	check(!munmap(source, much) && !munmap(view, much) && !munmap(gap, len));
}

static void holes(void **state)
{
	struct vma vma;
	char *view;

	(void)state;
	source = mmap(NULL, 2 * much, RW, ANON, -1, 0);
	check(source != MAP_FAILED);
	check(!madvise(source, 2 * much, MADV_NOHUGEPAGE));
	for (size_t i = 0; i < 2 * much; i += 2 * PAGE)
		*(size_t *)(source + i) = i + 1;
	view = mirror(source, 2 * much);
	for (size_t i = 100 * PAGE; i < 200 * PAGE; i += PAGE)
		check_is(*(size_t *)(view + i), i / PAGE % 2 ? 0 : i + 1);
	settle(view);
	for (size_t i = 0; i < 2 * much; i += 2 * PAGE)
		check_is(*(size_t *)(source + i), i + 1);
	check(vma_at(source, &vma));
	check(vma.rss <= (much + 400 * PAGE + much / 2) / 1024); /* faults bring neighbours */
	for (size_t i = PAGE; i < 2 * much; i += 2 * PAGE)
		check_is(*(size_t *)(source + i), 0);
	check(!munmap(source, 2 * much) && !munmap(view, 2 * much));
}

static void no_access(void **state)
{
	struct vma vma;
	char *view;

	(void)state;
	make();
	check(!mprotect(source, much, PROT_NONE));
	view = mirror(source, much);
	check(vma_at(source, &vma) && !strcmp(vma.perms, "---s"));
	check(!mprotect(view, much, PROT_READ));
	check(numbered_backwards(view, much));
	check(!munmap(source, much) && !munmap(view, much));
}

/* Onto a place; then either is unmapped at once, moved, and mirrored again. */
static void moves(void **state)
{
	char *place = mmap(NULL, much, RW, ANON, -1, 0), *other = mmap(NULL, much, RW, ANON, -1, 0),
	     *view;

	(void)state;
	make();
	check(mremap(source, much, much, MIRROR_ONTO, place) == place);
	check(!munmap(source, much));
	check(mremap(place, much, much, MREMAP_MAYMOVE | MREMAP_FIXED, other) == other);
	view = mirror(other + much / 2, much / 2);
	check(*(size_t *)(view + much / 2 - PAGE + 8) == much - PAGE + 1);
	check(numbered_backwards(other, much));
	for (size_t i = 0; i < much / 2; i += PAGE)
		check_is(*(size_t *)(view + i + 8), much / 2 + i + 1);
	check(!munmap(other, much) && !munmap(view, much / 2));
}

/* A part of it moves together with what lies behind it. */
static void moves_along(void **state)
{
	const int flags[] = {ONTO, MREMAP_MAYMOVE | MREMAP_FIXED};
	char *view, *place;

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		source = mmap(NULL, much + PAGE, RW, ANON, -1, 0);
		place = mmap(NULL, 2 * PAGE, PROT_NONE, ANON, -1, 0);
		check(source != MAP_FAILED && place != MAP_FAILED);
		number(source, much + PAGE);
		view = mirror(source, much);
		check(mremap(source + much - PAGE, 2 * PAGE, 2 * PAGE, flags[i], place) == place);
		check(!memcmp(place, view + much - PAGE, PAGE));
		check_is(*(size_t *)(place + PAGE + 8), much + 1);
		check(numbered(view, much) && numbered(source, much - PAGE));
		check(!munmap(source, much + PAGE) && !munmap(view, much));
		check(!munmap(place, 2 * PAGE));
	}
}

static void dontunmap(void **state)
{
	char *view, *third;

	(void)state;
	make();
	view = mirror(source, much);
	third = mremap(view, much, much, ANYWHERE, NULL);
	check(third != MAP_FAILED);
	check(numbered_backwards(third, much) && numbered(view, much) && numbered(source, much));
	check(!munmap(source, much) && !munmap(view, much) && !munmap(third, much));
}

static void forked(void **state)
{
	char *view;
	pid_t pid;

	(void)state;
	make();
	view = mirror(source, much);
	pid = behave_fork();
	if (!pid) {
		check(numbered_backwards(view, much));
		check(numbered(source, much));
		memset(source, 0, much);
		_exit(0);
	}
	check(numbered(view, much));
	behave_join(pid);
	check(numbered(source, much));
	check(!munmap(source, much) && !munmap(view, much));
}

#ifdef BEHAVE_LINKED
#define NEEDS_PRELOAD behave_skip("madvise is taken over by the preload only")
#else
#define NEEDS_PRELOAD ((void)0)
#endif

/* What is let go of does not come back with the rest. */
static void dontneed(void **state)
{
	static const int advices[] = {MADV_DONTNEED, MADV_REMOVE};

	(void)state;
	NEEDS_PRELOAD;
	for (int i = 0; i < 2; i++) {
		char *view;

		make();
		view = mirror(source, much);
		check(!madvise(view + much / 2, much / 2, advices[i]));
		check(zeroed(source + much / 2, much / 2));
		settle(view);
		check(zeroed(view + much / 2, much / 2));
		check(numbered(view, much / 2));
		check(!munmap(source, much) && !munmap(view, much));
	}
}

/* What is said of children meanwhile holds afterwards, and what was said before. */
static void dontfork(void **state)
{
	struct vma s, v;
	char *view;

	(void)state;
	NEEDS_PRELOAD;
	make();
	check(!madvise(source, much, MADV_DONTFORK));
	view = mirror(source, much);
	check(!madvise(view, much, MADV_DOFORK));
	settle(view);
	check(vma_at(source, &s) && vma_at(view, &v));
	check(vma_has(&s, "dc") && !vma_has(&v, "dc"));
	check(!munmap(source, much) && !munmap(view, much));
	make();
	view = mirror(source, much);
	check(!madvise(view, much, MADV_DONTFORK));
	settle(view);
	check(vma_at(source, &s) && vma_at(view, &v));
	check(!vma_has(&s, "dc") && vma_has(&v, "dc"));
	check(numbered(view, much));
	check(!munmap(source, much) && !munmap(view, much));
}

static void *mirror_and_go(void *arg)
{
	*(char **)arg = mirror(source, much);
	return NULL;
}

/* Who asked for it is gone, with stack and thread-local storage. */
static void thread_gone(void **state)
{
	pthread_attr_t attributes;
	pthread_t thread;
	char *view, *stack;
	const size_t stack_size = (size_t)1 << 20;

	(void)state;
	make();
	stack = mmap(NULL, stack_size, RW, ANON, -1, 0);
	check(!pthread_attr_init(&attributes));
	check(!pthread_attr_setstack(&attributes, stack, stack_size));
	check(!pthread_create(&thread, &attributes, mirror_and_go, &view));
	check(!pthread_join(thread, NULL));
	check(!munmap(stack, stack_size));
	check(numbered_backwards(view, much) && numbered(source, much));
	check(!munmap(source, much) && !munmap(view, much));
}

/* The kernel reads it for us. */
static void by_system_calls(void **state)
{
	static char bytes[65536];
	char *view;
	int end[2];

	(void)state;
	make();
	check(!pipe(end));
	view = mirror(source, much);
	for (size_t i = much - PAGE; i > much / 2; i -= 37 * PAGE) {
		check(write(end[1], view + i, PAGE) == (ssize_t)PAGE);
		check(read(end[0], bytes, PAGE) == (ssize_t)PAGE);
		check_is(*(size_t *)(bytes + 8), i + 1);
	}
	close(end[0]);
	close(end[1]);
	check(numbered(source, much));
	check(!munmap(source, much) && !munmap(view, much));
}

/* More at a time than there are threads for. */
static void many(void **state)
{
	enum { MANY = 11 };
	const size_t len = (size_t)6 << 20;
	char *sources[MANY], *views[MANY];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		sources[i] = mmap(NULL, len, RW, ANON, -1, 0);
		check(sources[i] != MAP_FAILED);
		number(sources[i], len);
	}
	for (int i = 0; i < MANY; i++)
		views[i] = mirror(sources[i], len);
	for (int i = MANY; i--;) {
		check(numbered_backwards(views[i], len) && numbered(sources[i], len));
		check(!munmap(sources[i], len) && !munmap(views[i], len));
	}
}

/* Another mirror while threads wait for pages: they can be stopped, and go on. */
static void *read_backwards(void *arg)
{
	return (void *)(uintptr_t)numbered_backwards(arg, much);
}

static void stops_meanwhile(void **state)
{
	pthread_t threads[4];
	char *view, *small;
	void *right;

	(void)state;
	make();
	view = mirror(source, much);
	for (int i = 0; i < 4; i++)
		check(!pthread_create(&threads[i], NULL, read_backwards, i & 1 ? view : source));
	for (int i = 0; i < 10; i++) {
		small = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
		number(small, 4 * PAGE);
		check(numbered(mirror(small, 4 * PAGE), 4 * PAGE));
	}
	for (int i = 0; i < 4; i++) {
		check(!pthread_join(threads[i], &right));
		check(right);
	}
	check(numbered(view, much));
	check(!munmap(source, much) && !munmap(view, much));
}

/* The process ends, or becomes another one. */
static void endings(void **state)
{
	char *arguments[] = {"true", NULL};

	(void)state;
	for (int how = 0; how < 3; how++) {
		pid_t pid = behave_fork();

		if (!pid) {
			make();
			mirror(source, much);
			if (how == 0)
				_exit(0);
			if (how == 1)
				execvp("true", arguments);
			check(numbered(source, PAGE));
			exit(0);
		}
		behave_join(pid);
	}
}

/* userfaultfd is forbidden: all is copied before the call returns. */
static void refused_child(void *arg)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
	char *view;

	(void)arg;
	make();
	check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		behave_skip("no seccomp filters");
	view = mirror(source, much);
	check(!watched_by_us(view));
	check_is(process_status("Threads:"), 1);
	check(numbered(view, much) && numbered(source, much));
	check_one_memory(source, view, much);
}

static void refused_userfaultfd(void **state)
{
	(void)state;
	in_child(refused_child, NULL);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(content, "mirror-of-much-memory"),
		CASE(descriptors, "mirror-of-much-memory-when-all-descriptors-are-closed"),
		CASE(pipes, "mirror-of-much-memory-keeps-no-pipe-open"),
		CASE(gap_filled, "mirror-of-much-memory-and-a-hole-is-filled-at-once"),
		CASE(holes, "mirror-of-much-sparse-memory"),
		CASE(no_access, "mirror-of-much-memory-prot-none"),
		CASE(moves, "mirror-of-much-memory-that-moves-at-once"),
		CASE(moves_along, "mirror-of-much-memory-a-part-of-which-moves-with-its-neighbour"),
		CASE(dontunmap, "mirror-of-much-memory-and-dontunmap-at-once"),
		CASE(forked, "mirror-of-much-memory-and-fork-at-once"),
		CASE(dontneed, "mirror-of-much-memory-and-dontneed-at-once"),
		CASE(dontfork, "mirror-of-much-memory-and-dontfork-at-once"),
		CASE(thread_gone, "mirror-of-much-memory-outlives-its-thread"),
		CASE(by_system_calls, "mirror-of-much-memory-read-by-the-kernel"),
		CASE(many, "mirrors-of-much-memory-many-at-once"),
		CASE(stops_meanwhile, "mirror-while-another-is-being-filled"),
		CASE(endings, "mirror-of-much-memory-and-the-process-ends"),
		CASE(refused_userfaultfd, "mirror-of-much-memory-without-userfaultfd"),
	};

	if (getenv("RM_LAZY_MIB"))
		much = strtoul(getenv("RM_LAZY_MIB"), NULL, 10) << 20;
	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
