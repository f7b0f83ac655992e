/* SPDX-License-Identifier: MIT */
/*
 * Facts: what is known from earlier (known.c), or one pass over /proc/self/smaps, a look at the
 * NUMA policy, and who has armed the range.
 *
 * smaps and not maps, because the twin has to be what the source is (A4) and only VmFlags tell:
 * NORESERVE, the advice flags, VM_ACCOUNT, VM_LOCKED, VM_DONTEXPAND. It costs a walk over the page
 * tables up to the range; that price is paid only where the kernel lacks the flag, and, if somebody
 * sees what could change the facts, once a range.
 *
 * Between reading and acting another thread may change the mapping, and be gone when threads are
 * stopped; whoever acts with the threads stopped calls rm_facts_verify() first and starts over on
 * -ESTALE. Of private anonymous memory that does not walk the page tables again (glance.c).
 * Async-signal-safe.
 */
#include "emul/facts.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "emul/apart.h"
#include "emul/counted.h"
#include "emul/file.h"
#include "emul/glance.h"
#include "emul/known.h"
#include "emul/origins.h"
#include "emul/quiesce.h"
#include "emul/scars.h"
#include "emul/sys.h"
#include "emul/world.h"
#include "libremap.h"

#define MPOL_F_ADDR_FLAG  2UL
#define MPOL_DEFAULT_MODE 0

enum rm_kind rm_facts_kind(const struct rm_vma *vma)
{
	if (vma->vmflags & RM_VF_HUGETLB)
		return RM_KIND_HUGETLB;
	if (vma->vmflags & (RM_VF_DONTEXPAND | RM_VF_PFNMAP))
		return RM_KIND_SPECIAL;
	if (vma->shared)
		return RM_KIND_SHARED;
	return vma->inode || vma->dev_major || vma->dev_minor ? RM_KIND_FILE : RM_KIND_ANON;
}

/*
 * The policy of the mapping itself. The kernel answers with the thread's policy where the mapping
 * has none, so what equals the thread's is taken for that: giving the twin a policy of its own
 * would keep it from merging.
 */
static void read_policy(uintptr_t addr, struct rm_policy *policy)
{
	struct rm_policy own;

	memset(policy, 0, sizeof(*policy));
	memset(&own, 0, sizeof(own));
	if (rm_sys_get_mempolicy(
		    &policy->mode, policy->nodes, RM_POLICY_NODES, addr, MPOL_F_ADDR_FLAG) ||
		policy->mode == MPOL_DEFAULT_MODE)
		return;
	if (!rm_sys_get_mempolicy(&own.mode, own.nodes, RM_POLICY_NODES, 0, 0) &&
		own.mode == policy->mode && !memcmp(own.nodes, policy->nodes, sizeof(own.nodes)))
		return;
	policy->set = true;
}

/*
 * Whether mlockall(MCL_FUTURE) may be in force, where nobody has seen it: what is mapped then
 * counts as locked, also if it is not populated. Only looked at where the answer is kept; it takes
 * a few calls.
 */
static bool may_lock_future(struct rm_world *world, struct rm_range source)
{
	static const char key[] = "\nVmLck:";
	char *text = world->maps.buf, *at;
	long page, fd, got = -1;

	if (!rm_known_is_told(world, source))
		return true;
	page = rm_map_own(rm_page_size(), PROT_NONE);
	fd = rm_sys_open("/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		got = rm_sys_read((int)fd, text, sizeof(world->maps.buf) - 1);
		rm_sys_close((int)fd);
	}
	if (!rm_is_err(page))
		rm_sys_munmap((uintptr_t)page, rm_page_size());
	if (rm_is_err(page) || got <= 0)
		return true;
	text[got] = '\0';
	at = strstr(text, key);
	if (!at)
		return true;
	for (at += strlen(key); *at == ' ' || *at == '\t'; at++)
		;
	return *at != '0';
}

/*
 * Whether this kernel takes the charge off memory that has never been touched when it can not be
 * written any more. Asked of a page between two of shared memory, so that it does not merge with
 * what has been touched.
 */
static bool kernel_discharges(struct rm_world *world)
{
	static _Atomic int known; /* 1 no, 2 yes */
	const size_t page = rm_page_size();
	struct rm_vma vma;
	uintptr_t at;
	long room;

	if (atomic_load(&known))
		return atomic_load(&known) == 2;
	room = rm_sys_mmap(rm_remote_hint(3 * page, 0, page), 3 * page, PROT_NONE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (rm_is_err(room))
		return false;
	at = (uintptr_t)room + page;
	/* unlocked first, as mlockall(MCL_FUTURE) would touch it */
	if (!rm_is_err(rm_sys_mmap(
		    at, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)) &&
		!rm_sys_munlock(at, page) && !rm_sys_mprotect(at, page, PROT_READ | PROT_WRITE) &&
		!rm_sys_mprotect(at, page, PROT_READ) &&
		rm_maps_find(&world->maps, true, at, &vma) > 0)
		atomic_store(&known, vma.vmflags & RM_VF_ACCOUNT ? 1 : 2);
	rm_sys_munmap((uintptr_t)room, 3 * page);
	return atomic_load(&known) == 2;
}

/* What has been done to it earlier. */
static void look_back(struct rm_world *world, struct rm_facts *facts)
{
	const bool anon = facts->kind == RM_KIND_ANON;
	uintptr_t origins[RM_ORIGINS_TRIED];

	facts->moved = anon && rm_origins_of(facts->vma.start, origins);
	facts->moved_along = facts->moved && (rm_origins_go_on(facts->vma.start) ||
						     rm_origins_go_on(facts->vma.end));
	facts->unsure = facts->moved && rm_known_watching() &&
			!rm_counted_is_known((struct rm_range){
				facts->vma.start, facts->vma.end - facts->vma.start});
	facts->apart_before = rm_seams_at(facts->vma.start);
	facts->apart_behind = rm_seams_at(facts->vma.end);
	facts->touched = anon && (facts->vma.vmflags & RM_VF_ACCOUNT) &&
			 !(facts->vma.prot & PROT_WRITE) && kernel_discharges(world);
}

int rm_facts_collect(
	struct rm_world *world, const struct rm_request *request, struct rm_facts *facts)
{
	const bool told = rm_known_is_told(world, request->source);
	const uint32_t mark = rm_known_mark(world);
	int r;

	if (rm_known_find(world, request, facts)) {
		look_back(world, facts);
		return 0;
	}
	/*
	 * What can not be kept can not be verified later, so it is not used either. What can not be
	 * written any more may have lost its charge when it became so.
	 */
	if (rm_born_find(world, request, facts)) {
		look_back(world, facts);
		if (!facts->touched)
			rm_known_keep(world, mark, facts);
		if (!facts->touched && facts->known)
			return 0;
	}
	r = rm_facts_read(world, request, facts);
	if (!r && told)
		rm_known_keep(world, mark, facts);
	if (!r && !facts->known)
		rm_glance_prepare(world, facts);
	return r;
}

int rm_facts_read(struct rm_world *world, const struct rm_request *request, struct rm_facts *facts)
{
	const bool fixed = request->flags & RM_FIXED;
	const uintptr_t source_end = rm_range_end(request->source);
	const uintptr_t target_end = fixed ? request->target + request->source.len + request->grown
					   : 0;
	struct rm_maps *maps = &world->maps;
	bool found = false;
	struct rm_vma vma;
	int r;

	facts->target_armed = facts->target_sealed = facts->target_mapped = false;
	facts->known = 0;
	facts->others = rm_quiesce_mode() != REMAP_QUIESCE_CALLER &&
			rm_quiesce_may_have_others(world);
	facts->lock_future = rm_known_watching() ? rm_known_has_seen(RM_SEEN_LOCK_FUTURE)
						 : may_lock_future(world, request->source);
	r = rm_maps_open(maps, true,
		fixed && request->target < request->source.start ? request->target
								 : request->source.start);
	if (r)
		return r;
	for (;;) {
		const uint64_t record = maps->position;

		r = rm_maps_next(maps, &vma);
		if (r <= 0)
			break;
		if (!found && vma.end > request->source.start) {
			if (vma.start >= source_end) {
				r = -EFAULT;
				break;
			}
			facts->vma = vma;
			facts->record = record;
			found = true;
		}
		if (fixed && vma.start < target_end && vma.end > request->target) {
			facts->target_mapped = true;
			facts->target_armed |= (vma.vmflags & RM_VF_UFFD) != 0;
			facts->target_sealed |= (vma.vmflags & RM_VF_SEALED) != 0;
		}
		if (found && vma.end >= target_end)
			break;
	}
	rm_maps_close(maps);
	if (r < 0)
		return r;
	if (!found)
		return -EFAULT;
	if (!facts->vma.have_flags)
		return -ENOENT; /* a kernel without CONFIG_PROC_PAGE_MONITOR */

	facts->kind = rm_facts_kind(&facts->vma);
	facts->shmem = facts->kind == RM_KIND_SHARED && rm_file_is_shmem(&facts->vma);
	look_back(world, facts);
	if (facts->kind == RM_KIND_ANON || facts->kind == RM_KIND_FILE) {
		uintptr_t first = facts->vma.start > request->source.start ? facts->vma.start
									   : request->source.start;

		if (!rm_known_watching() || rm_known_has_seen(RM_SEEN_POLICY))
			read_policy(first, &facts->policy);
		else
			facts->policy.set = false;
	} else {
		facts->policy.set = false;
	}
	facts->uffd_error = rm_uffd_find(&facts->vma,
		(struct rm_range){facts->vma.start, facts->vma.end - facts->vma.start},
		world->dirents, sizeof(world->dirents), &facts->uffd);
	return 0;
}

bool rm_facts_same_mapping(const struct rm_vma *a, const struct rm_vma *b)
{
	return a->start == b->start && a->end == b->end && a->prot == b->prot &&
	       a->shared == b->shared && a->offset == b->offset && a->dev_major == b->dev_major &&
	       a->dev_minor == b->dev_minor && a->inode == b->inode &&
	       a->have_flags == b->have_flags && a->vmflags == b->vmflags && a->pkey == b->pkey &&
	       !strcmp(a->name, b->name);
}

struct looking {
	struct rm_world *world;
	uintptr_t addr;
	struct rm_vma *vma;
};

static long look_apart(void *argument)
{
	const struct looking *looking = argument;

	return rm_maps_find(&looking->world->maps, true, looking->addr, looking->vma);
}

int rm_facts_verify(struct rm_world *world, const struct rm_facts *facts, struct rm_range range)
{
	struct rm_vma now;
	struct looking looking = {world, range.start, &now};
	int r;

	if (facts->known) {
		if (rm_known_holds(world, facts))
			return 0;
		rm_known_drop(world, facts);
		return -ESTALE;
	}
	r = world->depth ? rm_glance_check(world, facts) : -EAGAIN; /* guarded threads run */
	if (r != -EAGAIN)
		return r || rm_range_end(range) <= facts->vma.end ? r : -ESTALE;
	r = rm_maps_find(&world->maps, true, range.start, &now);
	if (rm_apart_helps(r))
		r = (int)rm_apart(world, look_apart, &looking);
	if (r < 0)
		return r;
	if (!r || rm_range_end(range) > now.end)
		return -ESTALE;
	/* What lay in front of it in the same mapping may be what the plan lets grow. */
	if (facts->vma.start < range.start && now.start == range.start)
		return -ESTALE;
	/*
	 * A neighbour that came or went and merged or not: no matter, as long as the range is in
	 * one mapping.
	 */
	if (!facts->vma.inode || now.offset - now.start == facts->vma.offset - facts->vma.start) {
		now.start = facts->vma.start;
		now.end = facts->vma.end;
		now.offset = facts->vma.offset;
	}
	return rm_facts_same_mapping(&now, &facts->vma) ? 0 : -ESTALE;
}
