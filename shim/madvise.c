/* SPDX-License-Identifier: MIT */
/*
 * madvise, taken over from libc; and syscall(SYS_madvise, ...), whose way in is syscall.S.
 *
 * Only memory that was converted for MREMAP_MIRROR is treated in another way than by the kernel (emul/dontneed.c). While
 * there is none, it is one load and then the kernel.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "emul/converted.h"
#include "emul/dontneed.h"
#include "emul/sys.h"
#include "shim/shim.h"
#include "shim/poison.h"

static long serve(uintptr_t addr, size_t len, int advice)
{
	long r = rm_converted_any() ? rm_madvise(addr, len, advice)
				    : rm_sys_madvise(addr, len, advice);

	if (!rm_is_err(r))
		return r;
	errno = (int)-r;
	return -1;
}

__attribute__((visibility("default"))) int madvise(void *addr, size_t len, int advice)
{
	return (int)serve((uintptr_t)addr, len, advice);
}

long rm_shim_syscall_madvise(long addr, long len, long advice) __attribute__((visibility("hidden")));

/* From syscall.S: the arguments of syscall(2) behind the number. */
long rm_shim_syscall_madvise(long addr, long len, long advice)
{
	return serve((uintptr_t)addr, (size_t)len, (int)advice);
}
