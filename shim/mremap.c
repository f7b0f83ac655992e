/* SPDX-License-Identifier: MIT */
/*
 * mremap, taken over from libc; and syscall(SYS_mremap, ...), whose way in is syscall.S.
 *
 * One test and then the kernel, where the kernel's mremap is 6.18's; but mirrors and relocations
 * are no kernel's and always the engine's. glibc refuses flags above 7 by itself and musl drops the
 * hint of a DONTUNMAP without FIXED (E2); going to the kernel directly gives its own answer
 * instead, which for those is the same EINVAL and the better hint.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>

#include "emul/api.h"
#include "emul/converted.h"
#include "emul/sys.h"
#include "shim/shim.h"
#include "shim/poison.h"

long rm_shim_errno(long r)
{
	if (!rm_is_err(r))
		return r;
	errno = (int)-r;
	return -1;
}

static long serve(uintptr_t old, size_t old_len, size_t new_len, unsigned long flags, uintptr_t new)
{
	if (rm_shim_state == RM_SHIM_PASS && !(flags & (RM_MIRROR | RM_RELOCATE_ANY)) &&
		!rm_converted_any())
		return rm_sys_mremap(old, old_len, new_len, flags, new);
	return rm_mremap(old, old_len, new_len, flags, new);
}

__attribute__((visibility("default"))) void *mremap(
	void *old, size_t old_len, size_t new_len, int flags, ...)
{
	uintptr_t new = 0;

	/*
	 * The fifth argument is there only if the flags call for it (E1): else it is what was in
	 * the register.
	 */
	if (flags & (int)(RM_FIXED | RM_DONTUNMAP | RM_MIRROR)) {
		va_list args;

		va_start(args, flags);
		new = (uintptr_t)va_arg(args, void *);
		va_end(args);
	}
	return (void *)rm_shim_errno(
		serve((uintptr_t)old, old_len, new_len, (unsigned long)(long)flags, new));
}

long rm_shim_syscall_mremap(long old, long old_len, long new_len, long flags, long new)
	__attribute__((visibility("hidden")));

/*
 * From syscall.S: the arguments of syscall(2) behind the number, all five as they were in the
 * registers.
 */
long rm_shim_syscall_mremap(long old, long old_len, long new_len, long flags, long new)
{
	return rm_shim_errno(serve((uintptr_t)old, (size_t)old_len, (size_t)new_len,
		(unsigned long)flags, (uintptr_t) new));
}
