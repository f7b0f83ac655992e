/* SPDX-License-Identifier: MIT */
/*
 * Moves after which private memory counts as if it had been touched where it is now, so that it merges with its neighbours there
 * (semantics.md 4): MREMAP_RELOCATE_ANON, or else an ordinary move; MREMAP_MUST_RELOCATE_ANON, or else EFAULT with source and
 * destination as they were. Proposed in 2025 and never merged, so always ours.
 *
 *   call                                         RELOCATE         MUST
 *   -------------------------------------------  ---------------  -------------------------------
 *   moves nothing (no-op, shrink, room behind)   the flags have no effect
 *   what 6.18 refuses                            its errno        its errno
 *   not eligible: shared, file, huge, special,   ordinary move    EFAULT
 *   watched by a userfaultfd, several mappings
 *   pages that can not be relocated              ordinary move    EFAULT
 *   otherwise                                    relocated        relocated
 *
 * The ordinary move is that of the same call without the two flags: it may be emulated in its turn. Memory that a mirror was made of
 * (convert.c) is shared.
 */
#include "emul/relocate.h"

#include <errno.h>

#include "emul/api.h"
#include "emul/facts.h"
#include "emul/features.h"
#include "emul/fill.h"
#include "emul/glance.h"
#include "emul/known.h"
#include "emul/log.h"
#include "emul/plan.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"

/* No address and no errno: it can not be relocated. */
#define ORDINARY 1

/*
 * What 6.18 refuses beside what the plan knows: huge pages that are not aligned or grow, old_size 0 of private memory, a
 * sealed destination.
 */
static int kernel_refuses(
	const struct rm_request *request, size_t old_len, const struct rm_facts *facts)
{
	const size_t huge_mask = facts->vma.page - 1;

	if (facts->vma.start <= request->source.start && facts->kind == RM_KIND_HUGETLB &&
		(((request->source.start | request->target) & huge_mask) || request->grown))
		return -EINVAL;
	if (!old_len && !facts->vma.shared)
		return -EINVAL;
	return facts->target_sealed ? -EPERM : 0;
}

/* The address, -errno if 6.18 refuses it, or ORDINARY and *why. */
static long attempt(struct rm_world *world, const struct rm_request *request, size_t old_len,
	const char **why)
{
	const struct rm_range target = {request->target, request->source.len + request->grown};
	struct rm_facts facts;
	struct rm_plan plan;
	int r;

	*why = "the range holds libremap's own memory or the caller's stack";
	if (rm_world_is_own(request->source) ||
		((request->flags & RM_FIXED) && rm_world_is_own(target)))
		return ORDINARY;
	r = rm_facts_read(world, request, &facts);
	*why = "/proc/self/smaps can not be read";
	if (r)
		return r == -EFAULT ? r : ORDINARY;
	rm_glance_prepare(world, &facts);
	rm_plan_build(request, &facts, rm_features(), RM_VARIANT_RELOCATE, &plan);
	r = plan.reason ? 0 : plan.error;
	if (!r)
		r = kernel_refuses(request, old_len, &facts);
	if (r)
		return r;
	*why = plan.reason;
	return ORDINARY;
}

/* In the world. Returns what attempt() does. */
static long relocate(const struct rm_request *request, size_t old_len, const char **why)
{
	struct rm_change change;
	struct rm_entry entry;
	long r;

	if (atomic_load(&rm_fills_active))
		rm_fill_wait(); /* what is being filled is watched by a userfaultfd that nobody would find */
	r = rm_world_enter(&entry);
	*why = "memory is shared with another process (vfork), or there is no room for libremap's own";
	if (r)
		return ORDINARY;
	rm_known_begin(&change);
	r = attempt(entry.world, request, old_len, why);
	rm_known_also(&change, (struct rm_range){rm_is_err(r) || r == ORDINARY ? request->target
									       : (uintptr_t)r,
				       request->source.len + request->grown});
	rm_known_end(&change, request->source);
	rm_world_leave(&entry);
	return r;
}

/* Of the length that stays; what the kernel looks at for old_size 0 is the mapping at the address. */
static struct rm_request request_for(
	uintptr_t old, size_t old_len, size_t len, unsigned long flags, uintptr_t new)
{
	const size_t kept = !old_len ? rm_page_size() : len < old_len ? len : old_len;

	return (struct rm_request){.source = {old, kept},
		.grown = len > kept ? len - kept : 0,
		.target = flags & (RM_FIXED | RM_DONTUNMAP) ? new : 0,
		.flags = flags};
}

long rm_relocate(uintptr_t old, size_t old_len, size_t new_len, unsigned long flags, uintptr_t new)
{
	const unsigned long plain = flags & ~RM_RELOCATE_ANY;
	const size_t len = rm_page_round(new_len);
	const bool moves = plain & (RM_FIXED | RM_DONTUNMAP);
	struct rm_request request = {.source = {old, len}, .target = new, .flags = plain};
	const char *why = "";
	long r;

	rm_refuse_clear();
	old_len = rm_page_round(old_len);
	r = rm_check_params(&request, old_len, rm_features()->task_size);
	if (r || !(flags & RM_MAYMOVE))
		return r ? r : -EINVAL;
	/* What stays where it is needs no relocation; what grows stays if there is room behind it. */
	if (!moves) {
		const bool grows = len > old_len;

		r = rm_mremap(old, old_len, len, grows ? plain & ~RM_MAYMOVE : plain, 0);
		if (!grows || r != -ENOMEM)
			return r;
	}
	request = request_for(old, old_len, len, flags, new);
	r = relocate(&request, old_len, &why);
	if (r == ORDINARY && (flags & RM_MUST_RELOCATE)) {
		(void)rm_refuse(why);
		r = -EFAULT;
	} else if (!(flags & RM_MUST_RELOCATE) && (r == ORDINARY || rm_is_err(r))) {
		if (r == ORDINARY)
			rm_log(RM_LOG_INFO, "not relocated: %s", why);
		rm_stat_add(RM_STAT_NOT_RELOCATED, 1);
		r = rm_mremap(old, old_len, len, plain, new);
	}
	if (rm_log_on(RM_LOG_INFO))
		rm_log(RM_LOG_INFO, "mremap(%lx, %lu, %lu, %lx, %lx) = %lx", old, old_len, new_len,
			flags, new, r);
	return r;
}
