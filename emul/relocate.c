/* SPDX-License-Identifier: MIT */
/*
 * Moves after which private memory counts as if it had been touched where it is now, so that it
 * merges with its neighbours there (semantics.md 4): MREMAP_RELOCATE_ANON, or else an ordinary
 * move; MREMAP_MUST_RELOCATE_ANON, or else EFAULT with source and destination as they were.
 * Proposed in 2025 and never merged, so always ours.
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
 * Relocating is taking the pages to a fresh mapping at the destination by UFFDIO_MOVE, from 6.8 on;
 * the plan is plan-relocate.c's. Other threads stand still, as it goes page by page: 0.15 ms a MiB.
 * It can not be done lazily, while they run: whether a page can be taken is known when it is, and
 * by then MUST would have succeeded. Before 6.8 the pages would have to be copied. That is not
 * done, not even for MUST: a page that is pinned (O_DIRECT, io_uring; A20, A21) can not be told
 * there, what the device writes would go to the old page, and the program would lose it. So MUST is
 * EFAULT, but for memory without pages, which is replaced.
 *
 * What the proposal would do otherwise: it refuses memory with relatives by fork, also if no page
 * is shared with them, and takes it when they have gone, also if no page was written since; between
 * two strangers it merges with the right one (10.D, 4 and 5).
 *
 * The ordinary move is that of the same call without the two flags: it may be emulated in its turn.
 * Memory that a mirror was made of (convert.c) is shared.
 */
#include "emul/relocate.h"

#include <errno.h>

#include "emul/again.h"
#include "emul/api.h"
#include "emul/exec.h"
#include "emul/facts.h"
#include "emul/features.h"
#include "emul/fill.h"
#include "emul/glance.h"
#include "emul/known.h"
#include "emul/log.h"
#include "emul/origins.h"
#include "emul/plan.h"
#include "emul/scars.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"

/* No addresses and no errno: it can not be relocated, or need not be. */
#define ORDINARY      1
#define MERGES_ANYWAY 2

/*
 * What 6.18 refuses beside what the plan knows: huge pages that are not aligned or grow, old_size 0
 * of private memory, a sealed destination.
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

/* Why a plan has failed. */
static const char *reason_for(long error, const struct rm_features *features)
{
	static const struct {
		int error;
		const char *text;
	} reasons[] = {
		{-EBUSY, "pages are shared with a relative by fork, merged by KSM, pinned, or "
			 "guarded"},
		{-ENOSYS, "userfaultfd is refused here"},
		{-ENOMEM, "there is no room for a second mapping beside the source"},
	};

	if (*rm_refuse_reason()) /* the threads could not be stopped */
		return rm_refuse_reason();
	if (error == -EBUSY && !features->uffd_move)
		return "the kernel has no UFFDIO_MOVE (6.8), and the memory has been touched";
	for (size_t i = 0; i < RM_ARRAY_LEN(reasons); i++)
		if (reasons[i].error == error)
			return reasons[i].text;
	return "a system call fails that hardly ever does";
}

/* Never writable, so without pages of its own: it merges wherever it is moved. */
static bool merges_anyway(const struct rm_vma *vma)
{
	return !(vma->prot & PROT_WRITE) && !(vma->vmflags & (RM_VF_ACCOUNT | RM_VF_NORESERVE));
}

/*
 * One try with fresh facts: the address, -errno of 6.18, ORDINARY and *why, MERGES_ANYWAY, or
 * -ESTALE.
 */
static long attempt(struct rm_world *world, const struct rm_request *request, size_t old_len,
	const struct rm_features *features, const char **why)
{
	struct rm_facts facts;
	struct rm_plan plan;
	long r = rm_facts_read(world, request, &facts);

	*why = "/proc/self/smaps can not be read";
	if (r)
		return r == -EFAULT ? r : ORDINARY;
	rm_glance_prepare(world, &facts);
	rm_plan_build(request, &facts, features, RM_VARIANT_RELOCATE, &plan);
	r = plan.reason ? 0 : plan.error;
	if (!r)
		r = kernel_refuses(request, old_len, &facts);
	if (r)
		return r;
	*why = plan.reason;
	if (plan.error)
		return ORDINARY;
	if (merges_anyway(&facts.vma))
		return MERGES_ANYWAY;
	r = rm_exec(world, request, &facts, &plan);
	if (!rm_is_err(r) || r == -ESTALE)
		return r;
	*why = reason_for(r, features);
	return ORDINARY;
}

/*
 * The source is not there any more, with what a shrinking call cuts off; the destination is as if
 * it had been mapped anew.
 */
static void settle(const struct rm_request *request, size_t old_len, uintptr_t now)
{
	const struct rm_range source = request->source, target = {now, source.len + request->grown};

	if (!(request->flags & RM_DONTUNMAP)) {
		if (old_len > source.len)
			rm_sys_munmap(rm_range_end(source), old_len - source.len);
		rm_scars_forget((struct rm_range){source.start, old_len});
		rm_origins_forget((struct rm_range){source.start, old_len});
	}
	rm_scars_forget(target);
	rm_origins_forget(target);
	rm_stat_add(RM_STAT_EMULATED, 1);
	rm_stat_add(RM_STAT_BYTES, source.len);
}

/*
 * In the world. What attempt() returns, but -ESTALE; *kept: a FIXED destination that was lost,
 * still reserved.
 */
static long relocate(
	const struct rm_request *request, size_t old_len, const char **why, struct rm_range *kept)
{
	const struct rm_range target = {request->target, request->source.len + request->grown};
	struct rm_features features = *rm_features();
	struct rm_change change;
	struct rm_again again = {0};
	struct rm_entry entry;
	long r;

	/*
	 * On a kernel whose mremap is 6.18's this may be the first call that needs it: not in a
	 * destination that is a hole.
	 */
	rm_world_prepare(request->flags & RM_FIXED ? target : (struct rm_range){0, 0});
	features.uffd_move = rm_features_uffd_move();
	if (atomic_load(&rm_fills_active))
		/* what is being filled is watched by a userfaultfd that nobody would find */
		rm_fill_wait();
	*why = "memory is shared with another process (vfork), or there is no room for libremap's "
	       "own";
	if (rm_world_enter(&entry))
		return ORDINARY;
	*why = "the range holds libremap's own memory or the caller's stack";
	if (rm_world_is_own(request->source) ||
		((request->flags & RM_FIXED) && rm_world_is_own(target))) {
		rm_world_leave(&entry);
		return ORDINARY;
	}
	rm_known_begin(&change);
	again.world = entry.world;
	do {
		r = attempt(entry.world, request, old_len, &features, why);
	} while (r == -ESTALE && !rm_again(&again, request->source, true));
	rm_again_end(&again);
	if (r == -ESTALE) {
		*why = rm_refuse_reason();
		r = ORDINARY;
	}
	if (r != ORDINARY && r != MERGES_ANYWAY && !rm_is_err(r)) {
		settle(request, old_len, (uintptr_t)r);
		rm_known_also(&change, (struct rm_range){(uintptr_t)r, target.len});
	} else {
		rm_known_also(&change, target);
	}
	rm_known_end(
		&change, (struct rm_range){request->source.start,
				 old_len > request->source.len ? old_len : request->source.len});
	*kept = entry.world->kept;
	entry.world->kept.len = 0;
	rm_world_leave(&entry);
	return r;
}

/*
 * Of the length that stays; what the kernel looks at for old_size 0 is the mapping at the address.
 */
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
	struct rm_range kept = {0, 0};
	const char *why = "";
	enum rm_stat stat;
	long r;

	rm_refuse_clear();
	old_len = rm_page_round(old_len);
	r = rm_check_params(&request, old_len, rm_features()->task_size);
	if (r || !(flags & RM_MAYMOVE))
		return r ? r : -EINVAL;
	/*
	 * What stays where it is needs no relocation; what grows stays if there is room behind it.
	 */
	if (!moves) {
		const bool grows = len > old_len;

		r = rm_mremap(old, old_len, len, grows ? plain & ~RM_MAYMOVE : plain, 0);
		if (!grows || r != -ENOMEM)
			return r;
	}
	request = request_for(old, old_len, len, flags, new);
	r = relocate(&request, old_len, &why, &kept);
	if (r == ORDINARY && (flags & RM_MUST_RELOCATE)) {
		(void)rm_refuse(why);
		r = -EFAULT;
	} else if (r == MERGES_ANYWAY ||
		   (!(flags & RM_MUST_RELOCATE) && (r == ORDINARY || rm_is_err(r)))) {
		if (r == ORDINARY)
			rm_log(RM_LOG_INFO, "not relocated: %s", why);
		stat = r == MERGES_ANYWAY ? RM_STAT_RELOCATED : RM_STAT_NOT_RELOCATED;
		r = rm_mremap(old, old_len, len, plain, new);
		rm_stat_add(stat, !rm_is_err(r));
	} else if (!rm_is_err(r)) {
		rm_stat_add(RM_STAT_RELOCATED, 1);
	}
	if (kept.len && rm_is_err(r)) /* else it has been moved onto */
		rm_sys_munmap(kept.start, kept.len);
	if (rm_log_on(RM_LOG_INFO))
		rm_log(RM_LOG_INFO, "mremap(%lx, %lu, %lu, %lx, %lx) = %lx", old, old_len, new_len,
			flags, new, r);
	return r;
}
