/* SPDX-License-Identifier: MIT */
/*
 * Mirrors of huge pages: mremap refuses old_size 0 for them on every kernel (semantics.md 1.6), so
 * the view is a second mapping of the file.
 *
 * Shared: the file is looked for among the descriptors, in /proc/self/map_files (with privilege:
 * the only way if it has no name and its descriptor was closed) and by its path. It must be open
 * for writing if the source can be written.
 *
 * Private anonymous: the range is converted to a memfd of huge pages (B22). The huge pages that it
 * takes are reserved when the memfd is mapped, so that the pool being empty is ENOMEM then and no
 * SIGBUS later. With every other thread stopped the pages that there are get copied, and the memfd
 * takes the source's place by one mmap(MAP_FIXED). Huge pages can not be moved aside before 5.16;
 * what mmap could still fail for (map count, RLIMIT_AS, the reservation) has been asked for by
 * then, or the call replaces one for one. The view is there before that, with its page tables if
 * they were asked for: after it only its way to a MREMAP_FIXED destination is left. The descriptor
 * is closed: kept, it would hold the huge pages when the program has unmapped all. So a further
 * mirror of such a range needs /proc/self/map_files. The file would be subject to RLIMIT_FSIZE,
 * with a signal (B7); that is looked at first.
 */
#include "emul/hugetlb.h"

#include <errno.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/resource.h>

#include "emul/attributes.h"
#include "emul/conf.h"
#include "emul/copy.h"
#include "emul/facts.h"
#include "emul/features.h"
#include "emul/file.h"
#include "emul/log.h"
#include "emul/populate.h"
#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4U
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define MAX_TRIES 10

/* An object and where in it the range begins. */
struct object {
	int fd;
	long offset;
	int flags; /* of mmap: MAP_NORESERVE or 0 */
};

/*
 * By the huge page's size; what is wrong with that is EINVAL, and a wish that can not be is none.
 */
static int align(
	const struct rm_request *request, const struct rm_vma *vma, struct rm_request *huge)
{
	const uintptr_t mask = vma->page - 1, task_size = rm_features()->task_size;
	const bool fixed = request->flags & RM_FIXED;
	bool good;

	*huge = *request;
	if (!vma->page || (request->source.start & mask))
		return -EINVAL;
	huge->source.len = (request->source.len + mask) & ~mask;
	good = !(huge->target & mask) && huge->source.len <= task_size &&
	       huge->target <= task_size - huge->source.len &&
	       !rm_range_overlaps(huge->source, (struct rm_range){huge->target, huge->source.len});
	if (fixed && !good)
		return -EINVAL;
	if (!good)
		huge->target = 0;
	return huge->source.len > vma->end - huge->source.start ? -EFAULT : 0;
}

static int close_to(struct rm_range view, const struct rm_vma *vma, bool populate)
{
	int r = rm_advise_like(view, vma);

	if (!r)
		r = rm_lock_like(view, vma, populate);
	if (!r && vma->pkey)
		r = rm_protect_like(view, vma, vma->prot);
	return r;
}

/*
 * A view at an address, which is a wish if flags have not MAP_FIXED: where it is, or -errno and it
 * is nowhere.
 */
static long map_view(const struct rm_request *huge, const struct rm_vma *vma,
	const struct object *object, uintptr_t address, int flags)
{
	const size_t len = huge->source.len;
	const bool populate = huge->flags & RM_POPULATE;
	long at = rm_sys_mmap(address, len, vma->prot, MAP_SHARED | object->flags | flags,
		object->fd, object->offset);
	int r;

	if (rm_is_err(at))
		return at;
	r = close_to((struct rm_range){(uintptr_t)at, len}, vma, populate);
	if (!r && populate)
		r = rm_populate((struct rm_range){(uintptr_t)at, len}, vma->prot);
	if (r)
		rm_sys_munmap((uintptr_t)at, len);
	return r ? r : at;
}

/* The view at the place that is wished for or anywhere; one that is FIXED is still to be placed. */
static long make_view(
	const struct rm_request *huge, const struct rm_vma *vma, const struct object *object)
{
	return map_view(huge, vma, object, huge->flags & RM_FIXED ? 0 : huge->target, 0);
}

/*
 * Where a FIXED destination is wanted the finished view is made a second time, onto that: the huge
 * pages and the address space have been found to be there. To move it would do from 5.16 on;
 * before, mremap unmaps the destination and refuses then.
 */
static long place_view(const struct rm_request *huge, const struct rm_vma *vma,
	const struct object *object, long view)
{
	if (!(huge->flags & RM_FIXED))
		return view;
	/* or both would count towards RLIMIT_MEMLOCK */
	rm_sys_munmap((uintptr_t)view, huge->source.len);
	return map_view(huge, vma, object, huge->target, MAP_FIXED);
}

/* The file of a shared mapping. What can not be written needs no descriptor that can. */
static int find_object(
	const struct rm_request *huge, const struct rm_vma *vma, struct object *object)
{
	struct rm_entry entry;
	int fd, r = rm_world_enter(&entry);

	if (r)
		return r;
	fd = rm_file_open(vma, true, entry.world->dirents, sizeof(entry.world->dirents));
	if (fd < 0 && !(vma->prot & PROT_WRITE))
		fd = rm_file_open(vma, false, entry.world->dirents, sizeof(entry.world->dirents));
	rm_world_leave(&entry);
	if (fd < 0)
		return rm_refuse("the file behind the huge pages can not be opened: its descriptor "
				 "is closed, and /proc/self/map_files needs privilege");
	rm_refuse_clear();
	object->fd = fd;
	object->offset = (long)(vma->offset + (huge->source.start - vma->start));
	object->flags = vma->vmflags & RM_VF_NORESERVE ? MAP_NORESERVE : 0;
	return 0;
}

/* A memfd of that many huge pages, all of them reserved by the mapping at *at. */
static int make_object(size_t len, size_t page, struct object *object, uintptr_t *at)
{
	const unsigned int flags = MFD_CLOEXEC | MFD_HUGETLB |
				   (unsigned int)__builtin_ctzl(page) << 26; /* MFD_HUGE_SHIFT */
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	long fd, map;

	if (!rm_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0) &&
		len > limit.rlim_cur)
		return -ENOMEM;
	fd = rm_sys_memfd_create("libremap", flags);
	if (fd == -EACCES) /* vm.memfd_noexec (B15) */
		fd = rm_sys_memfd_create("libremap", flags | MFD_NOEXEC_SEAL);
	if (fd < 0)
		return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM
			       ? -ENOMEM
			       : rm_refuse("no memfd of huge pages can be made");
	map = rm_sys_ftruncate((int)fd, (long)len);
	if (!map)
		map = rm_sys_mmap(rm_remote_hint(len, 0, page), len, PROT_READ | PROT_WRITE,
			MAP_SHARED, (int)fd, 0);
	if (rm_is_err(map)) {
		rm_sys_close((int)fd);
		return map == -ENOMEM ? -ENOMEM : rm_refuse("no huge pages can be mapped");
	}
	*object = (struct object){(int)fd, 0, 0};
	*at = (uintptr_t)map;
	return 0;
}

/*
 * Inside the window. The huge pages that the source has, to the object. The source may be left
 * readable.
 */
static int copy_pages(const struct rm_request *huge, const struct rm_vma *vma, uintptr_t object)
{
	const uintptr_t end = rm_range_end(huge->source);
	unsigned char there[1];
	long r = vma->prot & PROT_READ
			 ? 0
			 : rm_sys_mprotect(huge->source.start, huge->source.len, PROT_READ);

	for (uintptr_t at = huge->source.start; at < end && !r; at += vma->page) {
		/* one byte: the huge page's first small one tells of all of it */
		r = rm_syscall(SYS_mincore, (long)at, (long)rm_page_size(), (long)there, 0, 0, 0);
		if (!r && (there[0] & 1))
			r = rm_copy(object + (at - huge->source.start), at, vma->page);
	}
	return (int)r;
}

/* With the world stopped: the content goes into the object, the object into the source's place. */
static int swap(struct rm_world *world, const struct rm_request *huge, const struct rm_vma *vma,
	const struct object *object, uintptr_t at)
{
	struct rm_facts facts = {.vma = *vma};
	long placed;
	int r = rm_quiesce_stop(world, huge->source);

	if (r)
		return r;
	r = rm_facts_verify(world, &facts, huge->source);
	if (r)
		goto resume;
	r = copy_pages(huge, vma, at);
	if (!r) {
		placed = rm_sys_mmap(huge->source.start, huge->source.len, vma->prot,
			MAP_SHARED | MAP_FIXED, object->fd, 0);
		r = rm_is_err(placed) ? (int)placed : 0;
	}
	if (r && !(vma->prot & PROT_READ) && rm_protect_like(huge->source, vma, vma->prot))
		rm_stat_add(RM_STAT_UNDO_FAILURES, 1);
resume:
	rm_quiesce_resume(world);
	return r;
}

/*
 * The view of what is converted then, or -errno; *object is the caller's to close, and *vma is what
 * the view is like.
 */
static long convert(const struct rm_request *huge, struct rm_vma *vma, struct object *object)
{
	const struct rm_vma was = *vma;
	struct rm_facts facts;
	struct rm_entry entry;
	uintptr_t at = 0;
	long view = 0;
	int r = rm_world_enter(&entry);

	if (r)
		return r;
	r = huge->flags & RM_FIXED ? rm_facts_read(entry.world, huge, &facts) : 0;
	if (!r && (huge->flags & RM_FIXED) && facts.target_sealed)
		r = -EPERM; /* which the view would find too late */
	if (r)
		goto leave;
	/* No copy of huge pages is made for a child: it has nothing there (B1). */
	if (rm_conf()->mirror_fork != RM_FORK_SHARE)
		vma->vmflags |= RM_VF_DONTFORK;
	r = make_object(huge->source.len, vma->page, object, &at);
	if (r)
		goto leave;
	view = make_view(huge, vma, object);
	r = rm_is_err(view) ? (int)view : swap(entry.world, huge, &was, object, at);
	rm_sys_munmap(at, huge->source.len);
	if (r) {
		if (!rm_is_err(view))
			rm_sys_munmap((uintptr_t)view, huge->source.len);
		goto leave;
	}
	rm_stat_add(RM_STAT_CONVERTED, huge->source.len);
	/*
	 * it has had all that before: what is refused now is tried again, and no reason to fail,
	 * with the content safe
	 */
	for (unsigned int tries = 0; tries < MAX_TRIES; tries++)
		if (!close_to(huge->source, vma, true))
			goto leave;
	rm_log(RM_LOG_WARN, "%lx has lost its advice, or its lock", huge->source.start);
leave:
	rm_world_leave(&entry);
	return r ? r : view;
}

long rm_mirror_hugetlb(const struct rm_request *request, struct rm_vma *vma)
{
	const bool anonymous = !strcmp(vma->name, "/anon_hugepage (deleted)");
	struct rm_request huge;
	struct object object = {.fd = -1};
	long view = align(request, vma, &huge);

	if (view)
		return view;
	if (vma->shared)
		view = find_object(&huge, vma, &object);
	else if (!anonymous)
		view = rm_refuse("a private file mapping has no object to be seen twice");
	else if (rm_conf()->mirror_private == RM_MIRROR_EINVAL)
		view = rm_refuse("mirror_private:einval is set");
	else if (vma->vmflags & RM_VF_UFFD)
		view = rm_refuse("private memory that a userfaultfd watches can not be converted");
	else
		view = convert(&huge, vma, &object);
	if (!view)
		view = make_view(&huge, vma, &object);
	if (!rm_is_err(view))
		view = place_view(&huge, vma, &object, view);
	if (object.fd >= 0)
		rm_sys_close(object.fd);
	return view == -ESTALE ? rm_refuse("another thread keeps changing the range") : view;
}
