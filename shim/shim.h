/* SPDX-License-Identifier: MIT */
/*
 * What the files of the preload share.
 *
 * Rules of preload code (poison.h enforces the first three):
 *  - no malloc, no stdio, no getenv: any of them may be the caller, or be interposed itself;
 *  - no libc function that issues a system call where the raw one will do (rm_sys_*);
 *  - no dlsym outside the constructor (next.c, init.c);
 *  - errno and the signal mask are the program's: untouched on success, errno set as libc would on
 *    failure;
 *  - a call that comes before the constructor (another library's constructor) must work: then the
 *    engine is asked, which sets itself up.
 */
#ifndef RM_SHIM_H
#define RM_SHIM_H

/*
 * Whether the kernel's own mremap will do. Unknown until the constructor has run: then the engine
 * decides each call. One word, read on every call of mremap; never written after start-up.
 */
enum rm_shim_state { RM_SHIM_UNKNOWN, RM_SHIM_PASS, RM_SHIM_SERVE };
extern int rm_shim_state;

/* As libc does: -errno becomes -1 and errno. */
long rm_shim_errno(long r) __attribute__((visibility("hidden")));

/* execve or execveat by syscall(2), exec.c: as libc's names, but straight to the kernel. */
long rm_shim_exec(long nr, long a, long b, long c, long d, long e)
	__attribute__((visibility("hidden")));

#define RM_SHIM_NUMBERS 512 /* system calls that syscall.S looks up */

#endif
