/* SPDX-License-Identifier: MIT */
/*
 * fork and converted memory. Shared memory is one for parent and child; the private memory that it
 * was is the child's own after a fork (B1). mirror_fork says what to do:
 *
 *   snapshot   the child gets a copy of every converted object, and its views show that. The copy
 *              is made in the parent, before libc's fork and with every other thread stopped; so it
 *              is of the moment when fork was called. The stop can not last until the child is
 *              there: libc waits for its allocator's locks in between.
 *   share      nothing is done
 *   drop       conversion marks the range and its views MADV_DONTFORK, and the child has nothing
 *              there
 *
 * What another thread converts between that moment and the fork itself is added by that thread, in
 * its own window, and is not filled lazily. It can not be made to wait: our handler is one of many,
 * and the next may wait for a lock that this thread holds.
 *
 * pthread_atfork is how we learn of a fork; vfork, posix_spawn and the raw system calls do not
 * tell, and copy nothing. The first two need no copy, they run in the parent's memory. Where the
 * copy can not be had (ENOMEM), the child has nothing there: that ends it when it looks, sharing
 * would spoil the parent's memory unseen.
 *
 * Which pages an object has is asked of mincore, which looks into the object and not into one
 * view's page tables, as pagemap does (B12). It does not know of pages in swap, so while any swap
 * is in use every page is copied.
 *
 * The fork lock is held from before the fork until after; it is taken before the world's. In the
 * child it is free again.
 */
#include "emul/forked.h"

#include <errno.h>
#include <pthread.h>
#include <sys/sysinfo.h>

#include "emul/attributes.h"
#include "emul/conf.h"
#include "emul/converted.h"
#include "emul/copy.h"
#include "emul/fill.h"
#include "emul/log.h"
#include "emul/once.h"
#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"

static struct {
	_Atomic uint32_t lock;
	bool failed;	/* some copy could not be had */
	bool under_way; /* between the handlers; for the holder of the world */
} forking;

static void lock(void)
{
	uint32_t expected = 0;

	if (atomic_compare_exchange_strong(&forking.lock, &expected, 1))
		return;
	while (atomic_exchange(&forking.lock, 2))
		rm_sys_futex_wait(&forking.lock, 2, NULL);
}

static void unlock(void)
{
	if (atomic_exchange(&forking.lock, 0) == 2)
		rm_sys_futex_wake(&forking.lock, 1);
}

/* Whether mincore may miss pages. */
static bool swapping(void)
{
	struct sysinfo info;

	return rm_syscall(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0) ||
	       info.freeswap < info.totalswap;
}

/*
 * Part of a view, at most as long as there is room to ask about: what the object has and the copy
 * has not yet.
 */
static int copy_some(
	struct rm_world *world, uintptr_t from, uintptr_t to, size_t len, bool everything)
{
	unsigned char *const has = (unsigned char *)world->dirents;
	unsigned char *const copied = has + sizeof(world->dirents) / 2;
	const size_t page = rm_page_size(), pages = len / page;
	int r = (int)rm_syscall(SYS_mincore, (long)from, (long)len, (long)has, 0, 0, 0);

	if (!r)
		r = (int)rm_syscall(SYS_mincore, (long)to, (long)len, (long)copied, 0, 0, 0);
	for (size_t i = 0; i < pages && !r; i++) {
		size_t n = 0;

		while (i + n < pages && (everything || (has[i + n] & 1)) && !(copied[i + n] & 1))
			n++;
		if (n)
			r = rm_copy(to + i * page, from + i * page, n * page);
		i += n;
	}
	return r;
}

/* One view's part of the snapshot. */
static int copy_view(struct rm_world *world, const struct rm_vma *vma,
	const struct rm_converted *object, bool everything)
{
	const size_t most = sizeof(world->dirents) / 2 * rm_page_size(),
		     len = vma->end - vma->start;
	const uintptr_t to = object->snapshot + (uintptr_t)(vma->offset - object->low);
	uintptr_t from = vma->start;
	int r = 0;

	/* what can not be read is, through another view */
	if (!(vma->prot & PROT_READ)) {
		long alias = rm_sys_mremap(vma->start, 0, len, RM_MAYMOVE, 0);

		if (rm_is_err(alias))
			return (int)alias;
		from = (uintptr_t)alias;
		r = (int)rm_sys_mprotect(from, len, PROT_READ);
	}
	for (size_t done = 0; done < len && !r; done += most)
		r = copy_some(world, from + done, to + done, len - done < most ? len - done : most,
			everything);
	if (from != vma->start)
		rm_sys_munmap(from, len);
	return r;
}

/* How much of each object that has no copy can be seen: into low and high. */
static int measure(struct rm_world *world)
{
	struct rm_converted *objects, *object;
	unsigned int n = rm_converted_list(&objects);
	struct rm_vma vma;
	int r;

	for (unsigned int i = 0; i < n; i++) {
		objects[i].missed = !objects[i].snapshot;
		if (!objects[i].missed)
			continue;
		objects[i].low = UINT64_MAX;
		objects[i].high = 0;
	}
	r = rm_maps_open(&world->maps, false, 0);
	if (r)
		return r;
	while ((r = rm_maps_next(&world->maps, &vma)) > 0) {
		object = rm_converted_find(&vma);
		if (!object || !object->missed)
			continue;
		if (vma.offset < object->low)
			object->low = vma.offset;
		if (vma.offset + (vma.end - vma.start) > object->high)
			object->high = vma.offset + (vma.end - vma.start);
	}
	rm_maps_close(&world->maps);
	return r;
}

/* Memory for each copy. The kernel charges it now, so that there is no SIGBUS later. */
static int allocate(struct rm_world *world)
{
	struct rm_converted *objects;
	unsigned int n = rm_converted_list(&objects);
	int result = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct rm_vma vma;
		size_t len;
		long at;

		if (!objects[i].missed || !objects[i].high)
			continue;
		len = objects[i].high - objects[i].low;
		at = rm_sys_mmap(rm_remote_hint(len, 0, rm_page_size()), len,
			PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (rm_is_err(at)) {
			result = (int)at;
			continue;
		}
		if (rm_maps_find(&world->maps, false, (uintptr_t)at, &vma) <= 0) {
			rm_sys_munmap((uintptr_t)at, len);
			result = -ENOMEM;
			continue;
		}
		objects[i].snapshot = (uintptr_t)at;
		objects[i].copy_inode = vma.inode;
	}
	return result;
}

static void drop_snapshots(void)
{
	struct rm_converted *objects;
	unsigned int n = rm_converted_list(&objects);

	for (unsigned int i = 0; i < n; i++)
		if (objects[i].snapshot)
			rm_sys_munmap(objects[i].snapshot, objects[i].high - objects[i].low);
}

static void forget_snapshots(void)
{
	struct rm_converted *objects;
	unsigned int n = rm_converted_list(&objects);

	while (n--)
		objects[n].snapshot = 0;
}

/* With the world stopped, of what has none yet. A copy that fails is dropped. */
static int take_snapshot(struct rm_world *world)
{
	const bool everything = swapping();
	struct rm_converted *object;
	struct rm_vma vma;
	int result = measure(world), r;

	if (result)
		return result;
	result = allocate(world);
	r = rm_maps_open(&world->maps, false, 0);
	if (r)
		return r;
	while ((r = rm_maps_next(&world->maps, &vma)) > 0) {
		object = rm_converted_find(&vma);
		if (!object || !object->missed || !object->snapshot)
			continue;
		r = copy_view(world, &vma, object, everything);
		if (r) {
			rm_sys_munmap(object->snapshot, object->high - object->low);
			object->snapshot = 0;
			result = r;
		}
	}
	rm_maps_close(&world->maps);
	return r ? r : result;
}

static void before_fork(void)
{
	struct rm_entry entry;
	int r = 0;

	lock();
	forking.failed = false;
	rm_fill_wait(); /* whatever mirror_fork says: nobody would fill the child's */
	if (rm_world_enter(&entry))
		return;
	while (rm_fill_running()) {
		rm_world_leave(&entry);
		rm_fill_wait();
		if (rm_world_enter(&entry))
			return;
	}
	forking.under_way = true;
	forget_snapshots();
	if (rm_converted_any() && rm_conf()->mirror_fork == RM_FORK_SNAPSHOT) {
		r = rm_quiesce_stop(entry.world, (struct rm_range){0, 0});
		if (!r) {
			r = take_snapshot(entry.world);
			rm_quiesce_resume(entry.world);
		}
	}
	forking.failed = r;
	rm_world_leave(&entry);
}

bool rm_forked_under_way(void)
{
	return forking.under_way;
}

void rm_forked_include(struct rm_world *world)
{
	if (forking.under_way && rm_conf()->mirror_fork == RM_FORK_SNAPSHOT && take_snapshot(world))
		forking.failed = true;
}

static void after_fork_in_parent(void)
{
	struct rm_entry entry;

	if (!rm_world_enter(&entry)) {
		drop_snapshots();
		forget_snapshots();
		forking.under_way = false;
		rm_world_leave(&entry);
	}
	if (forking.failed)
		rm_log(RM_LOG_ERROR, "a forked child lacks mirrored memory: no copy could be made");
	unlock();
}

/* The view shows the copy from now on, with what it had; or it is no more. */
static void show_copy(const struct rm_vma *vma, const struct rm_converted *object)
{
	const size_t len = vma->end - vma->start;
	const struct rm_range range = {vma->start, len};
	long r = -EINVAL;

	if (object->snapshot && vma->offset >= object->low && vma->offset + len <= object->high)
		r = rm_sys_mremap(object->snapshot + (uintptr_t)(vma->offset - object->low), 0, len,
			RM_MAYMOVE | RM_FIXED, vma->start);
	if (rm_is_err(r) || rm_advise_like(range, vma) || rm_protect_like(range, vma, vma->prot))
		rm_sys_munmap(vma->start, len);
}

static void after_fork_in_child(void)
{
	struct rm_converted *object;
	struct rm_entry entry;
	struct rm_vma vma;

	atomic_store(&forking.lock, 0);
	forking.under_way = false;
	if (!rm_converted_any() || rm_conf()->mirror_fork != RM_FORK_SNAPSHOT ||
		rm_world_enter(&entry))
		return;
	if (!rm_maps_open(&entry.world->maps, true, 0)) {
		while (rm_maps_next(&entry.world->maps, &vma) > 0) {
			object = rm_converted_find(&vma);
			if (object && vma.start != object->snapshot)
				show_copy(&vma, object);
		}
		rm_maps_close(&entry.world->maps);
	}
	drop_snapshots();
	rm_converted_replace();
	rm_world_leave(&entry);
}

static int registered;

static void register_handlers(void)
{
	registered = -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

int rm_forked_prepare(void)
{
	static _Atomic uint32_t once;

	rm_once(&once, register_handlers);
	return registered;
}
