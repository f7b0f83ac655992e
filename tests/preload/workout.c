/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the preload run: each word on the command line is something to do, and prints a
 * line about it. An unmodified program: libc only. With OWN_MREMAP it has an mremap of its own, as
 * some do.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static size_t page;

#ifdef OWN_MREMAP
#include <stdarg.h>

static int own_calls;

__attribute__((visibility("default"))) void *mremap(
	void *old, size_t old_size, size_t new_size, int flags, ...)
{
	va_list args;
	void *new;

	va_start(args, flags);
	new = va_arg(args, void *);
	va_end(args);
	own_calls++;
	return (void *)syscall(SYS_mremap, old, old_size, new_size, (long)flags, new);
}
#endif

/* One move, its result and what it did to errno and the signal mask. */
static void do_move(void)
{
	char *p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigset_t before, after;
	char *new;

	memset(p, 'x', 4 * page);
	sigprocmask(SIG_BLOCK, NULL, &before);
	errno = 4242;
	new = mremap(p, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (new == MAP_FAILED) {
		printf("move: %s\n", strerror(errno));
		return;
	}
	sigprocmask(SIG_BLOCK, NULL, &after);
	printf("move: %s\n", new[0] != 'x' || new[4 * page - 1] != 'x' ? "the pages are not there"
			     : p[0] || p[4 * page - 1]	  ? "the old range is not empty"
			     : errno != 4242		  ? "errno has changed"
			     : memcmp(&before, &after, 8) ? "the signal mask has changed"
							  : "ok");
	munmap(p, 4 * page);
	munmap(new, 4 * page);
#ifdef OWN_MREMAP
	printf("own calls: %d\n", own_calls);
#endif
}

static int count_entries(const char *folder)
{
	DIR *dir = opendir(folder);
	int count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count - 2;
}

static void do_resources(void)
{
	printf("descriptors: %d, threads: %d\n", count_entries("/proc/self/fd"),
		count_entries("/proc/self/task"));
}

/*
 * syscall(2) with six arguments, with errors, with results that look like errors to a careless eye.
 */
static void do_syscalls(void)
{
	int fd = memfd_create("workout", MFD_CLOEXEC);
	char *p;
	long r;

	if (fd < 0 || ftruncate(fd, 3 * (off_t)page) ||
		pwrite(fd, "third", 5, 2 * (off_t)page) != 5)
		printf("no memfd\n");
	errno = 4242;
	p = (char *)syscall(
		SYS_mmap, NULL, page, (long)PROT_READ, (long)MAP_SHARED, (long)fd, 2 * page);
	printf("six arguments: %s\n", p != MAP_FAILED && !strcmp(p, "third") ? "ok" : "wrong");
	printf("errno after success: %s\n", errno == 4242 ? "untouched" : "changed");
	r = syscall(SYS_close, -1L);
	printf("error: %ld %s\n", r, strerror(errno));
	r = syscall(SYS_kill, (long)getpid(), 12345L);
	printf("error: %ld %s\n", r, strerror(errno));
	r = syscall(999999L, 1L, 2L, 3L, 4L, 5L, 6L);
	printf("unknown: %ld %s\n", r, strerror(errno));
	printf("no arguments: %s\n", syscall(SYS_getpid) == getpid() ? "ok" : "wrong");
	r = syscall(SYS_mremap, p, page, page, 64L, NULL);
	printf("mremap: %ld %s\n", r, strerror(errno));
}

/* clone by syscall(2): as fork, and with the memory shared and a stack of its own. */
#ifdef __x86_64__
static volatile int child_was_here;

static void child_on_own_stack(void)
{
	child_was_here = 1;
	syscall(SYS_exit, 7L);
}
#endif

static void do_clone(void)
{
	int status = 0;
	pid_t pid = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);

	if (!pid)
		_exit(5);
	if (waitpid(pid, &status, 0) != pid)
		status = -1;
	printf("clone as fork: %d\n", WEXITSTATUS(status));
#ifdef __x86_64__
	{
		/*
		 * libc's syscall has no frame: the child returns to what its new stack begins with
		 */
		static uintptr_t stack[8192] __attribute__((aligned(16)));
		uintptr_t *top = &stack[8000];

		top[1] = (uintptr_t)child_on_own_stack;
		pid = (pid_t)syscall(SYS_clone, (long)(CLONE_VM | SIGCHLD), &top[1], 0L, 0L, 0L);
		if (waitpid(pid, &status, 0) != pid)
			status = -1;
		printf("clone with a stack: %d, it was here: %d\n", WEXITSTATUS(status),
			child_was_here);
	}
#else
	printf("clone with a stack: 7, it was here: 1\n");
#endif
}

/*
 * Between two calls that mark the place (count-syscalls): a hundred calls of mremap of each sort.
 */
static void do_count(void)
{
	const size_t len = 4 * page;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *new = to;

	syscall(SYS_getppid, 0x4c52L);
	for (int i = 0; i < 100 && new == to; i++)
		new = mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to);
	for (int i = 0; i < 50 && new != MAP_FAILED; i++) {
		new = mremap(p, len, len - page, 0);
		new = mremap(p, len - page, len, 0);
	}
	for (int i = 0; i < 100 && new != MAP_FAILED; i++)
		new = (char *)syscall(SYS_mremap, p, len, len,
			(long)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP), to);
	syscall(SYS_getppid, 0x4c53L);
	printf("count: %s\n", new == MAP_FAILED ? strerror(errno) : "ok");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*function)(void);
	} what[] = {{"move", do_move}, {"resources", do_resources}, {"syscalls", do_syscalls},
		{"clone", do_clone}, {"count", do_count}};

	page = (size_t)sysconf(_SC_PAGESIZE);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		for (size_t k = 0; k < sizeof(what) / sizeof(what[0]); k++)
			if (!strcmp(argv[i], what[k].name))
				what[k].function();
	return 0;
}
