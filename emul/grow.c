/* SPDX-License-Identifier: MIT */
/*
 * Growing a locked mapping over what is to be unlocked.
 *
 * What grows counts its pages as what it grows from, so that the kernel merges the two as soon as
 * the lock is the same. But in a locked mapping it is populated. So it grows from one page, the
 * last before the hole, which is locked on fault for that long: no page is without its lock at any
 * time. The hole counts as locked until it is unlocked, so RLIMIT_MEMLOCK may forbid it.
 */
#include "emul/grow.h"

#include <sys/mman.h>

#include "emul/procmaps.h"
#include "emul/sys.h"
#include "emul/world.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

bool rm_grow_locked(struct rm_range hole, uint32_t vmflags)
{
	const size_t page = rm_page_size();
	const uintptr_t last = hole.start - page;
	const bool alone = !rm_is_joined(last);
	bool grown, on_fault;

	if (alone && (vmflags & RM_VF_NAMELESS))
		return false; /* it may be locked on fault, and not be known to be */
	if (rm_sys_mlock2(last, page, MLOCK_ONFAULT))
		return false;
	/* What has the lock that it had before has not been split. */
	on_fault = alone ? vmflags & RM_VF_LOCKONFAULT : rm_is_joined(last);
	grown = !rm_is_err(rm_sys_mremap(last, page, page + hole.len, 0, 0));
	if (grown && rm_sys_munlock(hole.start, hole.len)) {
		/* the map count, to which cutting off adds nothing */
		rm_sys_munmap(hole.start, hole.len);
		grown = false;
	}
	/* What is there may be there already, or may not be populated: locked it is. */
	if (!on_fault)
		rm_sys_mlock(last, page);
	return grown;
}
