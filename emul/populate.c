/* SPDX-License-Identifier: MIT */
/*
 * Prefaulting that reports its errors and raises no signal.
 *
 * MADV_POPULATE_READ does it from 5.14 on. Reading, also for memory that may be written: the pages
 * of a shared object are mapped as they are, and those of a file do not become dirty. Before 5.14
 * one system call a page touches it: rt_sigprocmask reads the new set before it finds the operation
 * to be none, so it answers EFAULT where a load would raise SIGBUS, and changes nothing.
 */
#include "emul/populate.h"

#include <errno.h>

#include "emul/sys.h"
#include "emul/world.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define NO_OPERATION (-1)

static int touch(uintptr_t addr)
{
	long r = rm_sys_rt_sigprocmask(NO_OPERATION, (const uint64_t *)addr, NULL);

	return r == -EINVAL ? 0 : (int)r;
}

int rm_populate(struct rm_range range, int prot)
{
	const size_t page = rm_page_size();
	long r;

	if (!(prot & PROT_READ))
		return 0;
	do {
		r = rm_sys_madvise(range.start, range.len, MADV_POPULATE_READ);
	} while (r == -EAGAIN || r == -EINTR);
	if (r != -EINVAL)
		return (int)r;
	for (uintptr_t at = range.start; at < rm_range_end(range); at += page) {
		r = touch(at);
		if (r)
			return (int)r;
	}
	return 0;
}
