/* SPDX-License-Identifier: MIT */
/*
 * process_vm_readv on ourselves: a copy that meets guard pages, poisoned memory or the end of an
 * object gives an error, where a load would raise a signal that is blocked and kill the process.
 * Filters may forbid it, and it is an optional part of the kernel; then the bytes are copied by
 * instructions, which libc's memcpy is not needed for (it may be bound lazily, by a lock that a
 * stopped thread holds).
 */
#include "emul/copy.h"

#include <errno.h>
#include <sys/uio.h>

#include "emul/sys.h"

static void copy_by_hand(uintptr_t to, uintptr_t from, size_t len)
{
#if defined(__x86_64__)
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
#else
	volatile uint64_t *t = (volatile uint64_t *)to;
	const volatile uint64_t *f = (const volatile uint64_t *)from;

	for (size_t i = 0; i < len / sizeof(*t); i++)
		t[i] = f[i];
#endif
}

int rm_copy(uintptr_t to, uintptr_t from, size_t len)
{
	while (len) {
		struct iovec local = {(void *)to, len}, remote = {(void *)from, len};
		long r = rm_syscall(SYS_process_vm_readv, rm_sys_getpid(), (long)&local, 1,
			(long)&remote, 1, 0);

		if (r == -ENOSYS || r == -EPERM) {
			copy_by_hand(to, from, len);
			return 0;
		}
		if (r <= 0)
			return r ? (int)r : -EFAULT;
		to += (size_t)r;
		from += (size_t)r;
		len -= (size_t)r;
	}
	return 0;
}

bool rm_read_own(uintptr_t from, void *to, size_t len)
{
	struct iovec local = {to, len}, remote = {(void *)from, len};

	return rm_syscall(SYS_process_vm_readv, rm_sys_getpid(), (long)&local, 1, (long)&remote, 1,
		       0) == (long)len;
}
