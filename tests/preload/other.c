/* SPDX-License-Identifier: MIT */
/*
 * Another library that takes over mremap, as UCX does: it counts, and hands the call on, by
 * dlsym(RTLD_NEXT) or, with OTHER_HOW=syscall, by syscall(2). It says what it has seen when the
 * program ends. And execve, which it always does by syscall(2), as sandboxes and build tracers may.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void *mremap_function(void *old, size_t old_size, size_t new_size, int flags, ...);

static int calls;

void *mremap(void *old, size_t old_size, size_t new_size, int flags, ...);

__attribute__((visibility("default"))) void *mremap(
	void *old, size_t old_size, size_t new_size, int flags, ...)
{
	const char *how = getenv("OTHER_HOW");
	mremap_function *next;
	va_list args;
	void *new;

	va_start(args, flags);
	new = va_arg(args, void *);
	va_end(args);
	calls++;
	if (how && !strcmp(how, "syscall"))
		return (void *)syscall(SYS_mremap, old, old_size, new_size, (long)flags, new);
	*(void **)&next = dlsym(RTLD_NEXT, "mremap");
	return next(old, old_size, new_size, flags, new);
}

int execve(const char *path, char *const argv[], char *const envp[]);

__attribute__((visibility("default"))) int execve(
	const char *path, char *const argv[], char *const envp[])
{
	return (int)syscall(SYS_execve, path, argv, envp);
}

__attribute__((destructor)) static void report(void)
{
	printf("other saw %d\n", calls);
	fflush(stdout);
}
