/* SPDX-License-Identifier: MIT */
/*
 * The system calls of the engine, raw: each returns what the kernel returns (-errno on failure),
 * none touches errno, enters libc or is a cancellation point. All are async-signal-safe and may be
 * used inside the window.
 *
 * What is newer than 4.14 is marked with the version, and its callers have a fallback.
 */
#ifndef RM_SYS_H
#define RM_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "emul/types.h"

/* what headers of 4.14 and of libcs from then have not */
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#define MADV_KEEPONFORK 19
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1U
#endif

long rm_syscall(long nr, long a, long b, long c, long d, long e, long f);

static inline long rm_sys_mmap(uintptr_t addr, size_t len, int prot, int flags, int fd, long offset)
{
	return rm_syscall(SYS_mmap, (long)addr, (long)len, prot, flags, fd, offset);
}

static inline long rm_sys_munmap(uintptr_t addr, size_t len)
{
	return rm_syscall(SYS_munmap, (long)addr, (long)len, 0, 0, 0, 0);
}

static inline long rm_sys_mprotect(uintptr_t addr, size_t len, int prot)
{
	return rm_syscall(SYS_mprotect, (long)addr, (long)len, prot, 0, 0, 0);
}

/* pkeys are x86 CPUs', kernel 4.9 */
static inline long rm_sys_pkey_mprotect(uintptr_t addr, size_t len, int prot, int pkey)
{
	return rm_syscall(SYS_pkey_mprotect, (long)addr, (long)len, prot, pkey, 0, 0);
}

static inline long rm_sys_mremap(
	uintptr_t old, size_t old_len, size_t new_len, unsigned long flags, uintptr_t new)
{
	return rm_syscall(
		SYS_mremap, (long)old, (long)old_len, (long)new_len, (long)flags, (long)new, 0);
}

static inline long rm_sys_madvise(uintptr_t addr, size_t len, int advice)
{
	return rm_syscall(SYS_madvise, (long)addr, (long)len, advice, 0, 0, 0);
}

static inline long rm_sys_mlock(uintptr_t addr, size_t len)
{
	return rm_syscall(SYS_mlock, (long)addr, (long)len, 0, 0, 0, 0);
}

static inline long rm_sys_mlock2(uintptr_t addr, size_t len, int flags)
{
	return rm_syscall(SYS_mlock2, (long)addr, (long)len, flags, 0, 0, 0);
}

static inline long rm_sys_munlock(uintptr_t addr, size_t len)
{
	return rm_syscall(SYS_munlock, (long)addr, (long)len, 0, 0, 0, 0);
}

static inline long rm_sys_mbind(
	uintptr_t addr, size_t len, int mode, const unsigned long *nodes, unsigned long maxnode)
{
	return rm_syscall(SYS_mbind, (long)addr, (long)len, mode, (long)nodes, (long)maxnode, 0);
}

static inline long rm_sys_get_mempolicy(
	int *mode, unsigned long *nodes, unsigned long maxnode, uintptr_t addr, unsigned long flags)
{
	return rm_syscall(SYS_get_mempolicy, (long)mode, (long)nodes, (long)maxnode, (long)addr,
		(long)flags, 0);
}

static inline long rm_sys_prctl(int op, long a, long b, long c, long d)
{
	return rm_syscall(SYS_prctl, op, a, b, c, d, 0);
}

/*
 * The lowest descriptors are the program's: it may have closed one to open something else there, or
 * dup2 onto one of ours at any moment. So ours lie higher, where there is room for them.
 */
#define RM_FD_ASIDE 200

static inline long rm_fd_dup_aside(int fd)
{
	const long high = rm_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, RM_FD_ASIDE, 0, 0, 0);

	return high >= 0 ? high : rm_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
}

static inline long rm_fd_aside(long fd)
{
	long high;

	if (fd < 0 || fd >= RM_FD_ASIDE)
		return fd;
	high = rm_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, RM_FD_ASIDE, 0, 0, 0);
	if (high < 0)
		return fd;
	rm_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	return high;
}

static inline long rm_sys_open(const char *path, int flags, int mode)
{
	return rm_fd_aside(rm_syscall(SYS_openat, AT_FDCWD, (long)path, flags, mode, 0, 0));
}

static inline long rm_sys_openat(int dirfd, const char *path, int flags)
{
	return rm_syscall(SYS_openat, dirfd, (long)path, flags, 0, 0, 0);
}

static inline long rm_sys_read(int fd, void *buf, size_t len)
{
	return rm_syscall(SYS_read, fd, (long)buf, (long)len, 0, 0, 0);
}

static inline long rm_sys_write(int fd, const void *buf, size_t len)
{
	return rm_syscall(SYS_write, fd, (long)buf, (long)len, 0, 0, 0);
}

static inline long rm_sys_close(int fd)
{
	return rm_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline long rm_sys_lseek(int fd, long offset, int whence)
{
	return rm_syscall(SYS_lseek, fd, offset, whence, 0, 0, 0);
}

static inline long rm_sys_getdents64(int fd, void *buf, size_t len)
{
	return rm_syscall(SYS_getdents64, fd, (long)buf, (long)len, 0, 0, 0);
}

static inline long rm_sys_readlinkat(int dirfd, const char *path, char *buf, size_t len)
{
	return rm_syscall(SYS_readlinkat, dirfd, (long)path, (long)buf, (long)len, 0, 0);
}

static inline long rm_sys_ioctl(int fd, unsigned long op, void *arg)
{
	return rm_syscall(SYS_ioctl, fd, (long)op, (long)arg, 0, 0, 0);
}

static inline long rm_sys_memfd_create(const char *name, unsigned int flags)
{
	return rm_fd_aside(rm_syscall(SYS_memfd_create, (long)name, flags, 0, 0, 0, 0));
}

static inline long rm_sys_ftruncate(int fd, long len)
{
	return rm_syscall(SYS_ftruncate, fd, len, 0, 0, 0, 0);
}

static inline int rm_sys_getpid(void)
{
	return (int)rm_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

static inline int rm_sys_gettid(void)
{
	return (int)rm_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

static inline long rm_sys_tgkill(int tgid, int tid, int sig)
{
	return rm_syscall(SYS_tgkill, tgid, tid, sig, 0, 0, 0);
}

static inline long rm_sys_rt_tgsigqueueinfo(int tgid, int tid, int sig, const siginfo_t *info)
{
	return rm_syscall(SYS_rt_tgsigqueueinfo, tgid, tid, sig, (long)info, 0, 0);
}

/* Masks are the kernel's: 64 bits, signal n at bit n - 1. */
static inline long rm_sys_rt_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
	return rm_syscall(SYS_rt_sigprocmask, how, (long)set, (long)old, sizeof(uint64_t), 0, 0);
}

static inline long rm_sys_rt_sigpending(uint64_t *set)
{
	return rm_syscall(SYS_rt_sigpending, (long)set, sizeof(uint64_t), 0, 0, 0, 0);
}

/* Written to by the kernel's hand: what can not be written, or had, stays as it is, no signal. */
static inline void rm_sys_touch(uintptr_t at)
{
	(void)rm_sys_rt_sigpending((uint64_t *)at);
}

struct rm_ksigaction {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static inline long rm_sys_rt_sigaction(
	int sig, const struct rm_ksigaction *act, struct rm_ksigaction *old)
{
	return rm_syscall(SYS_rt_sigaction, sig, (long)act, (long)old, sizeof(uint64_t), 0, 0);
}

static inline long rm_sys_futex_wait(
	const void *word, uint32_t value, const struct timespec *timeout)
{
	return rm_syscall(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, value, (long)timeout, 0, 0);
}

static inline long rm_sys_futex_wake(const void *word, int count)
{
	return rm_syscall(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, count, 0, 0, 0);
}

/*
 * Asynchronous msync has done nothing since 2.6.19 but fail with ENOMEM where nothing is mapped.
 * addr: of a page.
 */
static inline bool rm_sys_is_mapped(uintptr_t addr)
{
	return rm_syscall(SYS_msync, (long)addr, 1, MS_ASYNC, 0, 0, 0) != -ENOMEM;
}

/*
 * Whether [start, start + len) lies in one mapping. One system call that changes nothing: growing
 * it in place beyond the end of user space is refused in any case, but EFAULT comes first
 * (semantics.md 1.2, resize checks).
 */
static inline bool rm_sys_in_one_mapping(uintptr_t start, size_t len, uintptr_t task_size)
{
	return rm_sys_mremap(start, len, task_size, 0, 0) != -EFAULT;
}

static inline uint64_t rm_sys_now_ns(void)
{
	struct timespec ts = {0, 0};

	rm_syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&ts, 0, 0, 0, 0);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static inline void rm_sys_sleep_ns(uint64_t ns)
{
	struct timespec ts = {(time_t)(ns / 1000000000ULL), (long)(ns % 1000000000ULL)};

	rm_syscall(SYS_nanosleep, (long)&ts, 0, 0, 0, 0, 0);
}

#endif
