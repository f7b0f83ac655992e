/* SPDX-License-Identifier: MIT */
/*
 * MADV_DONTNEED of private memory means zeros at the next touch; allocators and collectors count on
 * it. Of shared memory it drops page tables and no more (B2). For converted ranges it is therefore
 * MADV_REMOVE, a hole in the object, which all views see. A view that may not be written now
 * (kernels want that) is given another one for the purpose. MADV_FREE, which is EINVAL for shared
 * memory (B3), may do the same: its pages may become zeros at any time.
 *
 * A range over converted and other mappings is taken apart, in the order of the addresses; as in
 * the kernel, what is not mapped is passed over and makes it ENOMEM in the end, and another error
 * ends it.
 *
 * What is still being filled is waited for: what the program lets go of, also by MADV_REMOVE, must
 * not come back, and what it says of children is not for the fill to undo (fill.c keeps its views
 * from them for the time being).
 */
#include "emul/dontneed.h"

#include <errno.h>

#include "emul/converted.h"
#include "emul/fill.h"
#include "emul/sys.h"
#include "emul/world.h"

#ifndef MADV_FREE
#define MADV_FREE 8
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static bool lets_go(int advice)
{
	return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_DONTNEED_LOCKED;
}

/* Whether the advice may be one for us. */
static bool concerns_us(int advice)
{
	return lets_go(advice) || (atomic_load(&rm_fills_active) &&
					  (advice == MADV_REMOVE || advice == MADV_DONTFORK ||
						  advice == MADV_DOFORK));
}

/* Through a view of our own, which can be written and is not locked. */
static long remove_by_alias(uintptr_t start, size_t len)
{
	long alias = rm_sys_mremap(start, 0, len, RM_MAYMOVE, 0), r;

	if (rm_is_err(alias))
		return alias;
	r = rm_sys_munlock((uintptr_t)alias, len);
	if (!r)
		r = rm_sys_mprotect((uintptr_t)alias, len, PROT_READ | PROT_WRITE);
	if (!r)
		r = rm_sys_madvise((uintptr_t)alias, len, MADV_REMOVE);
	rm_sys_munmap((uintptr_t)alias, len);
	return r;
}

static long let_go(const struct rm_vma *vma, uintptr_t start, size_t len, int advice)
{
	long r;

	if (!rm_converted_find(vma))
		return rm_sys_madvise(start, len, advice);
	/*
	 * EINVAL if it is locked, or if the kernel does not know the advice, as for private memory
	 */
	r = rm_sys_madvise(start, len, advice == MADV_FREE ? MADV_DONTNEED : advice);
	if (r)
		return r;
	r = advice == MADV_DONTNEED_LOCKED ? -EINVAL : rm_sys_madvise(start, len, MADV_REMOVE);
	return r == -EACCES || r == -EINVAL ? remove_by_alias(start, len) : r;
}

static bool range_has_converted(struct rm_world *world, uintptr_t start, uintptr_t end)
{
	struct rm_vma vma;
	bool found = false;

	if (rm_maps_open(&world->maps, false, start))
		return false;
	while (!found && rm_maps_next(&world->maps, &vma) > 0 && vma.start < end)
		found = vma.end > start && rm_converted_find(&vma);
	rm_maps_close(&world->maps);
	return found;
}

static long take_apart(struct rm_world *world, uintptr_t start, uintptr_t end, int advice)
{
	uintptr_t at = start;
	bool hole = false;
	struct rm_vma vma;
	long r = rm_maps_open(&world->maps, false, start);

	if (r)
		return r;
	while (!r && at < end && rm_maps_next(&world->maps, &vma) > 0) {
		uintptr_t to = vma.end < end ? vma.end : end;

		if (vma.end <= at || vma.start >= end)
			continue;
		hole = hole || vma.start > at;
		at = vma.start > at ? vma.start : at;
		r = let_go(&vma, at, to - at, advice);
		at = to;
	}
	rm_maps_close(&world->maps);
	return r ? r : hole || at < end ? -ENOMEM : 0;
}

long rm_madvise(uintptr_t addr, size_t len, int advice)
{
	const uintptr_t end = addr + rm_page_round(len);
	struct rm_entry entry;
	bool ours;
	long r;

	/* what is wrong with the arguments the kernel says */
	if (!concerns_us(advice) || (addr & (rm_page_size() - 1)) || end <= addr)
		return rm_sys_madvise(addr, len, advice);
	if (!rm_converted_any()) {
		r = rm_sys_madvise(addr, len, advice);
		/*
		 * the first conversion may have come between: then that was of shared memory; twice
		 * does no harm
		 */
		if (!rm_converted_any())
			return r;
	}
	if (rm_world_enter(&entry))
		return rm_sys_madvise(addr, len, advice);
	while ((ours = range_has_converted(entry.world, addr, end)) && rm_fill_running()) {
		rm_world_leave(&entry);
		rm_fill_wait();
		if (rm_world_enter(&entry))
			return -EINVAL;
	}
	r = ours && lets_go(advice) ? take_apart(entry.world, addr, end, advice)
				    : rm_sys_madvise(addr, len, advice);
	rm_world_leave(&entry);
	return r;
}
