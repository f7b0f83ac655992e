/* SPDX-License-Identifier: MIT */
/*
 * execve and its relatives, taken over for one thing: a stop signal that is on its way to the
 * thread that executes would find the new program, which has no handler for it, and end it. So
 * nobody can stop the world from just before the call on (the engine's lock is held), and what is
 * still pending is taken away. The new memory has no lock; if the call fails, it is given back. A
 * process with one thread, and so the child of a fork or vfork, goes straight on.
 *
 * What execs by itself (inlined system calls) or inside of libc (posix_spawn's child is a process
 * of its own) does not come here.
 */
#include <alloca.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include "emul/quiesce.h"
#include "emul/sys.h"
#include "shim/next.h"
#include "shim/shim.h"
#include "shim/poison.h"

#define EXPORT __attribute__((visibility("default")))

#define UNSTOPPED(call)                                                                            \
	do {                                                                                       \
		struct rm_entry entry_;                                                            \
		const bool held_ = rm_quiesce_hold(&entry_);                                       \
		__typeof__(call) r_ = call;                                                        \
		if (held_)                                                                         \
			rm_quiesce_let_go(&entry_);                                                \
		return r_;                                                                         \
	} while (0)

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	UNSTOPPED(rm_next_execve(path, argv, envp));
}

EXPORT int execv(const char *path, char *const argv[])
{
	UNSTOPPED(rm_next_execve(path, argv, environ));
}

EXPORT int execvp(const char *file, char *const argv[])
{
	UNSTOPPED(rm_next_execvpe(file, argv, environ));
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	UNSTOPPED(rm_next_execvpe(file, argv, envp));
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	UNSTOPPED(rm_next_fexecve(fd, argv, envp));
}

EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	UNSTOPPED(rm_next_execveat(dir, path, argv, envp, flags));
}

/* Not by the next definition: whoever has taken execve over may have come here to do it. */
long rm_shim_exec(long nr, long a, long b, long c, long d, long e)
{
	UNSTOPPED(rm_shim_errno(rm_syscall(nr, a, b, c, d, e, 0)));
}

/* The arguments from first to the null pointer, on the caller's stack; args ends behind that. */
#define COLLECT(argv, args, first)                                                                 \
	do {                                                                                       \
		va_list count_;                                                                    \
		size_t n_ = 1;                                                                     \
		va_copy(count_, args);                                                             \
		while (va_arg(count_, const char *))                                               \
			n_++;                                                                      \
		va_end(count_);                                                                    \
		(argv) = alloca((n_ + 1) * sizeof(char *));                                        \
		(argv)[0] = (char *)(uintptr_t)(first);                                            \
		for (size_t i_ = 1; i_ <= n_; i_++)                                                \
			(argv)[i_] = va_arg(args, char *);                                         \
	} while (0)

EXPORT int execl(const char *path, const char *first, ...)
{
	va_list args;
	char **argv;

	va_start(args, first);
	COLLECT(argv, args, first);
	va_end(args);
	return execv(path, argv);
}

EXPORT int execlp(const char *file, const char *first, ...)
{
	va_list args;
	char **argv;

	va_start(args, first);
	COLLECT(argv, args, first);
	va_end(args);
	return execvp(file, argv);
}

EXPORT int execle(const char *path, const char *first, ...)
{
	char **argv, *const *envp;
	va_list args;

	va_start(args, first);
	COLLECT(argv, args, first);
	envp = va_arg(args, char *const *);
	va_end(args);
	return execve(path, argv, envp);
}
