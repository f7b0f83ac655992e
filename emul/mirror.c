/* SPDX-License-Identifier: MIT */
/*
 * A second view of the same pages, as the RFC of 2017 meant it (semantics.md 3), with the checks
 * that it lacked.
 *
 *   source               how
 *   -------------------  --------------------------------------------------------------------------
 *   shared, any object   mremap with old_size 0: every kernel's, needs no descriptor and no stopped
 *                        threads
 *   hugetlb              a second mapping of its file; private: of the file that it is converted to
 *                        (hugetlb.c)
 *   private anonymous    converted to shared memory with everybody standing still (convert.c),
 *                        unless mirror_private:einval
 *   private file         EINVAL: what was written to it privately has no object that could be seen
 *                        twice
 *
 * The bare old_size 0 destroys a mapping that is its own destination, reads on into what lies
 * behind the mapping, loses a MREMAP_FIXED destination when it fails late, and says nothing of
 * pages that can not be had (semantics.md 10.C). So the ranges are compared first, the source has
 * to lie in one mapping, and the view is made elsewhere and moves to where it is wanted when
 * nothing but that move can fail any more. The limits are thereby those of 6.18, which also asks
 * for all of the memory before the destination goes. What lies beyond the end of the object in the
 * source does so in the view: SIGBUS in both, until the object grows. MREMAP_POPULATE reports it:
 * EFAULT.
 *
 * A userfaultfd with EVENT_REMAP is told of a second view (length 0) and of a move; to let it hear
 * of one thing only, an armed source is given to the kernel in one call: it keeps the destination's
 * fate in its own hands.
 *
 * A locked source gives a locked view, and RLIMIT_MEMLOCK counts both (10.C, 3; B5). The kernel
 * populates it unasked; we do not: without MREMAP_POPULATE the view is locked as it is touched
 * (MLOCK_ONFAULT).
 *
 * The fifth argument is a wish without MREMAP_FIXED. The RFC's callers pass four arguments, so a
 * wish that can not be fulfilled (not page-aligned, not in user space, touching the source) is
 * none, and no error.
 */
#include "emul/mirror.h"

#include <errno.h>

#include "emul/conf.h"
#include "emul/convert.h"
#include "emul/features.h"
#include "emul/fill.h"
#include "emul/hugetlb.h"
#include "emul/known.h"
#include "emul/log.h"
#include "emul/populate.h"
#include "emul/procmaps.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"

#define MAX_BLOCKERS 8

int rm_mirror_check(uintptr_t old, size_t old_len, size_t new_len, unsigned long flags,
	uintptr_t new, uintptr_t task_size, struct rm_request *request)
{
	const uintptr_t offset_mask = rm_page_size() - 1;
	const size_t len = rm_page_round(new_len);
	const struct rm_range source = {old, len}, target = {new, len};
	bool good;

	if (flags & ~(RM_MAYMOVE | RM_FIXED | RM_MIRROR | RM_POPULATE))
		return -EINVAL;
	if ((old & offset_mask) || !len || len > task_size)
		return -EINVAL;
	good = !(new &offset_mask) && new <= task_size - len &&
	       !(old <= task_size - len && rm_range_overlaps(source, target));
	if ((flags & RM_FIXED) && !good)
		return -EINVAL;
	if (!(flags & RM_MAYMOVE) || (old_len && rm_page_round(old_len) != len))
		return -EINVAL;
	request->source = source;
	request->target = good ? new : 0;
	request->flags = flags;
	request->grown = 0;
	return 0;
}

/*
 * The kernel keeps asynchronous and invalidating msync for one thing: it tells locked memory, by
 * EBUSY.
 */
static bool is_locked(uintptr_t addr)
{
	return rm_syscall(SYS_msync, (long)addr, (long)rm_page_size(), MS_ASYNC | MS_INVALIDATE, 0,
		       0, 0) == -EBUSY;
}

/*
 * The view of a locked source, populated as it was made, becomes one that is locked as it is
 * touched.
 */
static int lock_on_fault(struct rm_range view)
{
	long r = rm_sys_munlock(view.start, view.len);

	if (!r)
		r = rm_sys_madvise(view.start, view.len, MADV_DONTNEED);
	if (!r)
		r = rm_sys_mlock2(view.start, view.len, MLOCK_ONFAULT);
	return r == -ENOMEM || r == -EPERM ? -EAGAIN : (int)r;
}

/*
 * A view at an address of the kernel's choice that is the target itself or does not touch it: the
 * address or -errno.
 */
static long view_beside(const struct rm_request *request)
{
	const size_t len = request->source.len;
	const struct rm_range target = {request->target, request->flags & RM_FIXED ? len : 0};
	uintptr_t blockers[MAX_BLOCKERS];
	size_t n = 0;
	long view;

	for (;;) {
		view = rm_sys_mremap(request->source.start, 0, len, RM_MAYMOVE, 0);
		if (rm_is_err(view) || (uintptr_t)view == target.start ||
			!rm_range_overlaps((struct rm_range){(uintptr_t)view, len}, target))
			break;
		if (n == MAX_BLOCKERS) {
			rm_sys_munmap((uintptr_t)view, len);
			view = -ENOMEM;
			break;
		}
		blockers[n++] = (uintptr_t)view;
	}
	while (n)
		rm_sys_munmap(blockers[--n], len);
	return view;
}

/*
 * A place that was reserved and not taken: given back if it is still the reservation, and not what
 * another thread has mapped after the kernel had taken it away.
 */
static void give_back(struct rm_range place)
{
	struct rm_entry entry;
	struct rm_vma vma;

	if (rm_world_enter(&entry))
		return;
	if (rm_maps_find(&entry.world->maps, false, place.start, &vma) > 0 && !vma.prot &&
		!vma.shared && !vma.inode && vma.end >= rm_range_end(place))
		rm_sys_munmap(place.start, place.len);
	rm_world_leave(&entry);
}

long rm_mirror_place(uintptr_t view, const struct rm_request *request)
{
	const size_t len = request->source.len;
	const bool fixed = request->flags & RM_FIXED;
	long at;

	if (view == request->target || (!fixed && !request->target))
		return (long)view;
	if (!fixed) {
		at = rm_sys_mmap(request->target, len, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (rm_is_err(at))
			return (long)view; /* it was a wish */
		if ((uintptr_t)at != request->target) {
			rm_sys_munmap((uintptr_t)at, len);
			return (long)view;
		}
	}
	at = rm_sys_mremap(view, len, len, RM_MAYMOVE | RM_FIXED, request->target);
	if (!rm_is_err(at) || fixed)
		return at;
	give_back((struct rm_range){request->target, len});
	return (long)view;
}

/*
 * The page tables of a view. What is still to be filled would come page by page, each asked for by
 * itself: so that is waited for.
 */
static int populate(struct rm_range view, const struct rm_vma *vma)
{
	if (atomic_load(&rm_fills_active))
		rm_fill_wait();
	return rm_populate(view, vma->prot);
}

/*
 * What a view that the kernel has made still needs: its page tables if they were asked for, or no
 * more than the lock.
 */
static int finish(const struct rm_request *request, long view, const struct rm_vma *vma)
{
	const struct rm_range range = {(uintptr_t)view, request->source.len};

	if (request->flags & RM_POPULATE)
		return populate(range, vma);
	return is_locked(range.start) ? lock_on_fault(range) : 0;
}

/* One call, by which an armed source's monitor is told of one thing. */
static long mirror_armed(const struct rm_request *request, const struct rm_vma *vma)
{
	const size_t len = request->source.len;
	const bool fixed = request->flags & RM_FIXED;
	long view = rm_sys_mremap(request->source.start, 0, len,
		request->flags & (RM_MAYMOVE | RM_FIXED), fixed ? request->target : 0);
	int r;

	if (rm_is_err(view))
		return view;
	r = finish(request, view, vma);
	if (r)
		rm_sys_munmap((uintptr_t)view, len);
	return r ? r : view;
}

static long mirror(const struct rm_request *request);

static long mirror_shared(const struct rm_request *request, const struct rm_vma *vma)
{
	long view = view_beside(request), placed;
	int r;

	if (rm_is_err(view))
		return view;
	r = finish(request, view, vma);
	placed = r ? r : rm_mirror_place((uintptr_t)view, request);
	if (rm_is_err(placed))
		rm_sys_munmap((uintptr_t)view, request->source.len);
	return placed;
}

/*
 * The one mapping that has the source, by check_prep_vma() of 6.18 in its order: 0, -EFAULT,
 * -EPERM.
 */
static int look(const struct rm_request *request, bool details, struct rm_vma *vma)
{
	const uintptr_t start = request->source.start;
	struct rm_entry entry;
	int r = rm_world_enter(&entry);

	if (r)
		return r;
	r = rm_maps_find(&entry.world->maps, details, start, vma);
	/*
	 * what a range that is too long would reach beyond its mapping does not matter: it is
	 * EFAULT
	 */
	if (r > 0 &&
		((rm_world_is_own(request->source) &&
			 request->source.len <= vma->end - start) ||
			((request->flags & RM_FIXED) &&
				rm_world_is_own((struct rm_range){
					request->target, request->source.len}))))
		r = rm_refuse("the range holds libremap's own memory or the caller's stack");
	rm_world_leave(&entry);
	if (r < 0)
		return r == -EINVAL ? r : rm_refuse("/proc/self/maps can not be read");
	if (!r)
		return -EFAULT;
	return vma->vmflags & RM_VF_SEALED ? -EPERM : 0;
}

static int may_convert(const struct rm_vma *vma)
{
	if (vma->inode || vma->dev_major || vma->dev_minor)
		return rm_refuse("a private file mapping has no object to be seen twice");
	if (rm_conf()->mirror_private == RM_MIRROR_EINVAL)
		return rm_refuse("mirror_private:einval is set");
	return 0;
}

/* The view of what is converted comes with the conversion. */
static long mirror_private(const struct rm_request *request, const struct rm_vma *vma)
{
	const size_t len = request->source.len;
	long view, placed;
	int r = may_convert(vma);

	if (r)
		return r;
	view = rm_convert(request);
	if (view == -ESTALE) /* another thread was faster: it is shared now */
		return mirror(request);
	if (rm_is_err(view))
		return view;
	if (request->flags & RM_POPULATE)
		r = populate((struct rm_range){(uintptr_t)view, len}, vma);
	placed = r ? r : rm_mirror_place((uintptr_t)view, request);
	if (rm_is_err(placed))
		rm_sys_munmap((uintptr_t)view, len);
	return placed;
}

static long mirror(const struct rm_request *request)
{
	/* smaps is slow, and only who may be watching the source matters here */
	const bool details = request->target || (request->flags & RM_FIXED);
	struct rm_vma vma;
	int r = look(request, details, &vma);
	long view;

	if (!r && !details && vma.shared &&
		request->source.len <= vma.end - request->source.start) {
		view = mirror_shared(request, &vma);
		if (view != -EINVAL)
			return view;
	}
	if (!r && !vma.have_flags)
		r = look(request, true, &vma);
	if (r)
		return r;
	if (vma.vmflags & RM_VF_HUGETLB)
		return rm_mirror_hugetlb(request, &vma);
	if (!vma.shared)
		return mirror_private(request, &vma);
	if (request->source.len > vma.end - request->source.start)
		return -EFAULT;
	return vma.vmflags & RM_VF_UFFD ? mirror_armed(request, &vma)
					: mirror_shared(request, &vma);
}

/*
 * What system calls on the way may say besides (EACCES of mprotect, EMFILE of open, EBUSY of a
 * userfaultfd) is nobody's to know.
 */
static int documented(int error)
{
	switch (error) {
	case -EAGAIN:
	case -EFAULT:
	case -EINVAL:
	case -ENOMEM:
	case -EPERM:
		return error;
	case -EACCES:
		return rm_refuse("the protection is forbidden for shared memory");
	default:
		return rm_refuse("a system call fails that hardly ever does");
	}
}

long rm_mirror(uintptr_t old, size_t old_len, size_t new_len, unsigned long flags, uintptr_t new)
{
	struct rm_request request;
	struct rm_change change;
	long r;

	rm_refuse_clear();
	r = rm_mirror_check(old, old_len, new_len, flags, new, rm_features()->task_size, &request);
	if (!r) {
		rm_known_begin(&change);
		r = mirror(&request);
		rm_known_also(
			&change, (struct rm_range){rm_is_err(r) ? request.target : (uintptr_t)r,
					 request.source.len});
		rm_known_end(&change, request.source);
	}
	if (rm_is_err(r))
		r = documented((int)r);
	else
		rm_stat_add(RM_STAT_MIRRORS, 1);
	if (rm_log_on(RM_LOG_INFO))
		rm_log(RM_LOG_INFO, "mremap(%lx, %lu, %lu, %lx, %lx) = %lx", old, old_len, new_len,
			flags, new, r);
	return r;
}

static int prepare(const struct rm_request *request)
{
	struct rm_vma vma;
	long view;
	int r = look(request, true, &vma);

	if (r)
		return r;
	if (vma.vmflags & RM_VF_HUGETLB)
		return rm_refuse("huge pages are converted with their first mirror only");
	if (vma.shared)
		return request->source.len > vma.end - request->source.start ? -EFAULT : 0;
	r = may_convert(&vma);
	if (r)
		return r;
	view = rm_convert(request);
	if (view == -ESTALE) /* another thread has done it */
		return 0;
	if (!rm_is_err(view))
		rm_sys_munmap((uintptr_t)view, request->source.len);
	return rm_is_err(view) ? (int)view : 0;
}

int rm_mirror_prepare(uintptr_t addr, size_t len)
{
	struct rm_request request;
	struct rm_change change;
	int r = rm_mirror_check(
		addr, len, len, RM_MAYMOVE | RM_MIRROR, 0, rm_features()->task_size, &request);

	if (r)
		return r;
	rm_known_begin(&change);
	r = prepare(&request);
	rm_known_end(&change, request.source);
	return r ? documented(r) : 0;
}
