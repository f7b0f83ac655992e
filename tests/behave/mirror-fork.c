/* SPDX-License-Identifier: MIT */
/*
 * Children and memory that has got a mirror (semantics.md B1): a fork's child has a copy of its
 * own, vfork and posix_spawn need none; a fork beside a conversion, and one by a raw system call,
 * which libremap does not see, while it is being filled: whatever the child has, the parent loses
 * nothing, and nothing keeps it waiting. How far the filling has come by then is left to chance,
 * and every case is right in any case. RM_LAZY_MIB as for mirror-lazy.c.
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/behave/mirror.h"

#define PAGES 16

static struct arena a;
static char *view;
static size_t much = (size_t)24 << 20;

/*
 * B1: the child has its own, of the moment of the fork, with both of its views; and so has its
 * child.
 */
static void fork_snapshot(void **state)
{
	int go[2], ready[2];
	struct vma vma;
	char byte;
	pid_t pid;

	(void)state;
	view = make_converted(&a, PAGES);
	check(!mprotect(view, a.len, PROT_READ));
	check(!pipe(go) && !pipe(ready));
	pid = behave_fork();
	if (!pid) {
		check(filled(a.source, a.len, 1) && filled(view, a.len, 1));
		fill(a.source, a.len, 2);
		check(filled(view, a.len, 2));
		check(write(ready[1], "x", 1) == 1 && read(go[0], &byte, 1) == 1);
		/* the parent has written meanwhile */
		check(filled(a.source, a.len, 2));
		check(vma_at(view, &vma) && !strcmp(vma.perms, "r--s"));
		check(vma_at(a.source, &vma) && !strcmp(vma.perms, "rw-s"));
		pid = behave_fork();
		if (!pid) {
			check(filled(view, a.len, 2));
			fill(a.source, a.len, 5);
			check(filled(view, a.len, 5));
			_exit(0);
		}
		behave_join(pid);
		check(filled(view, a.len, 2));
		/* and it goes on as converted memory */
		check(!munmap(view, a.len));
		check(mremap(a.source, a.len, a.len, MIRROR_ONTO, view) == view);
		check_one_memory(a.source, view, a.len);
		_exit(0);
	}
	check(read(ready[0], &byte, 1) == 1);
	check(filled(a.source, a.len, 1) && filled(view, a.len, 1));
	fill(a.source, a.len, 3);
	check(write(go[1], "x", 1) == 1);
	behave_join(pid);
	check(filled(a.source, a.len, 3) && filled(view, a.len, 3));
	for (int i = 0; i < 2; i++) {
		close(go[i]);
		close(ready[i]);
	}
	end_converted(&a);
}

/* Views of parts, one of them not readable, holes in between: the child has all that. */
static void fork_parts(void **state)
{
	char *part;
	pid_t pid;

	(void)state;
	view = make_converted(&a, PAGES);
	part = mirrored(a.source + 3 * PAGE, 4 * PAGE, MIRROR, NULL);
	check(!munmap(view, a.len));
	check(!mprotect(a.source + 4 * PAGE, 2 * PAGE, PROT_NONE));
	check(!munmap(a.source + 8 * PAGE, 2 * PAGE));
	check(!madvise(a.source + 12 * PAGE, PAGE, MADV_DONTFORK));
	pid = behave_fork();
	if (!pid) {
		struct vma vma;

		check(vma_at(a.source + 5 * PAGE, &vma) && !strcmp(vma.perms, "---s"));
		check(!vma_at(a.source + 8 * PAGE, &vma));
		check(!vma_at(a.source + 12 * PAGE, &vma));
		check(!memcmp(part, a.source + 3 * PAGE, PAGE));
		fill(part + PAGE, PAGE, 6);
		check(!mprotect(a.source + 4 * PAGE, 2 * PAGE, RW));
		check(filled(a.source + 4 * PAGE, PAGE, 6));
		check(!memcmp(part + 2 * PAGE, a.source + 5 * PAGE, 2 * PAGE));
		_exit(0);
	}
	behave_join(pid);
	check(!mprotect(a.source + 4 * PAGE, 2 * PAGE, RW));
	check(!filled(a.source + 4 * PAGE, PAGE, 6));
	check(!munmap(part, 4 * PAGE));
	check(mmap(a.target, a.len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.target);
	end_converted(&a);
}

/* Nothing is left behind in the parent, and what nobody converted is shared as ever. */
static void fork_leaves_nothing(void **state)
{
	unsigned long size;
	char *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	(void)state;
	view = make_converted(&a, PAGES);
	size = process_status("VmSize:");
	for (int i = 0; i < 3; i++) {
		pid = behave_fork();
		if (!pid) {
			*shared = (char)(i + 1);
			_exit(0);
		}
		behave_join(pid);
		check_is(*shared, i + 1);
	}
	check_is(process_status("VmSize:"), size);
	check(!munmap(shared, PAGE));
	end_converted(&a);
}

/* vfork's child has the parent's memory, and posix_spawn's program has none of it. */
static void vfork_and_spawn(void **state)
{
	char *arguments[] = {"true", NULL};
	pid_t pid;
	int status;

	(void)state;
	view = make_converted(&a, PAGES);
	pid = vfork();
	if (!pid) {
		*(volatile char *)view = 99;
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid && !status);
	check_is(*a.source, 99);
	check(!posix_spawnp(&pid, "true", NULL, NULL, arguments, environ));
	check(waitpid(pid, &status, 0) == pid && !status);
	end_converted(&a);
}

/*
 * A conversion between the handlers of a fork, as another thread may make it; ours may not wait for
 * that thread.
 */
static struct {
	char *source, *view;
	size_t len;
	_Atomic bool wanted, go, done;
} beside;

static void *mirror_when_told(void *arg)
{
	while (!beside.go)
		usleep(100);
	beside.view = mremap(beside.source, beside.len, beside.len, MIRROR, NULL);
	beside.done = true;
	return arg;
}

/* Registered before libremap's own, so that it runs after that. */
static void in_the_midst(void)
{
	if (!beside.wanted)
		return;
	beside.wanted = false;
	beside.go = true;
	while (!beside.done)
		usleep(100);
}

/*
 * The child has what was private when the fork was asked for, and the parent does not see it write.
 */
static void fork_beside(void **state)
{
	const size_t sizes[] = {PAGES * 4096, (size_t)8 << 20}; /* copied at once, and later */

	(void)state;
	view = make_converted(&a, PAGES); /* the handlers are registered by then */
	for (int i = 0; i < 2; i++) {
		pthread_t thread;
		int go[2];
		char byte;
		pid_t pid;

		beside.len = sizes[i];
		beside.source = mmap(NULL, beside.len, RW, ANON, -1, 0);
		check(beside.source != MAP_FAILED);
		number(beside.source, beside.len);
		beside.go = beside.done = false;
		beside.wanted = true;
		check(!pipe(go));
		check(!pthread_create(&thread, NULL, mirror_when_told, NULL));
		pid = behave_fork();
		if (!pid) {
			struct vma vma;

			check(read(go[0], &byte, 1) == 1);
			check(beside.view != MAP_FAILED);
			check(vma_at(beside.source, &vma) && vma_at(beside.view, &vma));
			check(numbered(beside.source, beside.len));
			check(numbered(beside.view, beside.len));
			beside.source[1] = 9;
			check_is(beside.view[1], 9);
			_exit(0);
		}
		check(!pthread_join(thread, NULL));
		check(beside.view != MAP_FAILED);
		memset(beside.source + beside.len / 2, 7, beside.len / 2);
		check(write(go[1], "x", 1) == 1);
		behave_join(pid);
		check(numbered(beside.source, beside.len / 2) && !beside.source[1]);
		close(go[0]);
		close(go[1]);
		settle(beside.view);
		check(!munmap(beside.source, beside.len) && !munmap(beside.view, beside.len));
	}
	check(filled(view, a.len, 1));
	end_converted(&a);
}

static pid_t raw_fork(void)
{
	return (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
}

/*
 * A child that nobody has seen coming looks at everything there is to see: it finds the content, or
 * nothing mapped.
 */
static void raw_fork_at_once(void **state)
{
	const struct rlimit no_core = {0, 0};

	(void)state;
	for (int round = 0; round < 3; round++) {
		char *source = mmap(NULL, much, RW, ANON, -1, 0);
		int status = -1;
		pid_t pid;

		check(source != MAP_FAILED);
		number(source, much);
		view = mremap(source, much, much, MIRROR, NULL);
		check(view != MAP_FAILED);
		pid = raw_fork();
		if (!pid) {
			signal(SIGSEGV, SIG_DFL);
			setrlimit(RLIMIT_CORE, &no_core);
			alarm(30);
			_exit(numbered_backwards(source, much) ? 0 : 1);
		}
		check(pid > 0 && waitpid(pid, &status, 0) == pid);
		check(!status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
		check(numbered(source, much) && numbered(view, much));
		settle(view);
		check(!munmap(source, much) && !munmap(view, much));
	}
}

#define CHILDREN 60

static struct {
	pid_t pids[CHILDREN];
	_Atomic int n;
	_Atomic bool stop;
} raw;

/* Children that keep whatever they have inherited. */
static void *fork_on(void *arg)
{
	while (!raw.stop && raw.n < CHILDREN) {
		pid_t pid = raw_fork();

		if (!pid) {
			alarm(60); /* should nobody be there any more to end it */
			for (;;)
				pause();
		}
		if (pid > 0)
			raw.pids[raw.n++] = pid;
	}
	return arg;
}

/* What they keep does not matter: in the end nobody waits for a page that nobody brings. */
static void raw_forks_all_the_time(void **state)
{
	const size_t len = (size_t)6 << 20;

	(void)state;
	for (int round = 0; round < 12; round++) {
		char *source = mmap(NULL, 2 * len, RW, ANON, -1, 0);
		pthread_t thread;

		check(source != MAP_FAILED);
		number(source, len);
		raw.stop = false;
		raw.n = 0;
		check(!pthread_create(&thread, NULL, fork_on, NULL));
		while (!raw.n)
			usleep(100);
		view = mremap(source, 2 * len, 2 * len, MIRROR, NULL);
		check(view != MAP_FAILED);
		raw.stop = true;
		check(!pthread_join(thread, NULL));
		settle(view);
		alarm(30); /* or the next line takes for ever */
		check(zeroed(source + len, len));
		alarm(0);
		check(numbered(view, len));
		for (int i = 0; i < raw.n; i++) {
			check(!kill(raw.pids[i], SIGKILL));
			check_is(waitpid(raw.pids[i], NULL, 0), raw.pids[i]);
		}
		check(!munmap(source, 2 * len) && !munmap(view, 2 * len));
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(fork_snapshot, "converted-memory-is-the-childs-own-after-fork"),
		CASE(fork_parts, "converted-memory-in-parts-after-fork"),
		CASE(fork_leaves_nothing, "converted-memory-costs-the-parent-nothing-after-fork"),
		CASE(vfork_and_spawn, "converted-memory-and-vfork-and-posix-spawn"),
		CASE(fork_beside, "mirror-beside-a-fork-is-the-childs-too"),
		CASE(raw_fork_at_once, "mirror-of-much-memory-and-a-raw-fork-at-once"),
		CASE(raw_forks_all_the_time, "mirror-of-much-memory-beside-raw-forks"),
	};

	if (getenv("RM_LAZY_MIB"))
		much = strtoul(getenv("RM_LAZY_MIB"), NULL, 10) << 20;
	if (pthread_atfork(in_the_midst, NULL, NULL))
		return 1;
	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
