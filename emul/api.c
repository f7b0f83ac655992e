/* SPDX-License-Identifier: MIT */
/*
 * The public calls: argument rules in the order of 6.18, then facts, plan and execution.
 *
 * On a kernel whose mremap is 6.18's, nothing but the first lines of rm_mremap() is executed, unless the call wants a
 * mirror, which no kernel makes (mirror.c). Elsewhere the rules are those
 * of check_mremap_params(), remap_move() and check_prep_vma() of 6.18 (semantics.md 1.2, "6.17 - 7.0", and 5), whatever
 * the kernel's own are (A15). What the kernel then does as 6.18 would is given to it; the rest is emulated.
 *
 * A MREMAP_FIXED range over several mappings is moved mapping by mapping, gaps kept and what the destination has in
 * the gaps left alone, as 6.17 does; all of it under one stop, so that nobody sees half of it.
 */
#include "emul/api.h"

#include <errno.h>
#include <stdarg.h>

#include "emul/conf.h"
#include "emul/converted.h"
#include "emul/exec.h"
#include "emul/facts.h"
#include "emul/features.h"
#include "emul/fill.h"
#include "emul/log.h"
#include "emul/mirror.h"
#include "emul/plan.h"
#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"
#include "libremap.h"

#define MAX_TRIES 100 /* starting over because another thread changed the mapping meanwhile */

/* Whether a plan that failed with r leaves another way, and which. */
static bool try_otherwise(long r, const struct rm_facts *facts, enum rm_variant *variant)
{
	const bool shared = facts->kind == RM_KIND_SHARED;

	/* Opening a file in the window could wait for a thread that is stopped, if it lies on FUSE. */
	if (r == -ENOMEM && *variant == RM_VARIANT_TWIN_FIRST && facts->kind != RM_KIND_FILE) {
		*variant = RM_VARIANT_TWIN_LATE;
		return true;
	}
	/* The world would not stop. Dropping page tables would tell a userfaultfd's monitor (EVENT_REMOVE). */
	if (r == -EINVAL && shared && *variant != RM_VARIANT_DUPLICATE && facts->uffd.fd < 0) {
		*variant = RM_VARIANT_DUPLICATE;
		rm_refuse_clear();
		return true;
	}
	return false;
}

/* One mapping's part of the request, retried while its facts go stale. The new address or -errno. */
static long move_piece(struct rm_world *world, struct rm_request *piece, struct rm_facts *facts)
{
	const struct rm_features *features = rm_features();
	enum rm_variant variant = RM_VARIANT_TWIN_FIRST;
	struct rm_plan plan;
	long r = 0;

	for (int tries = 0; tries < MAX_TRIES; tries++) {
		rm_plan_build(piece, facts, features, variant, &plan);
		if (plan.error) {
			if (plan.reason)
				rm_refuse(plan.reason);
			return plan.error;
		}
		r = rm_exec(world, piece, facts, &plan);
		if (try_otherwise(r, facts, &variant))
			continue;
		if (r != -ESTALE) {
			if (!rm_is_err(r) && plan.steps[0].op != RM_OP_NATIVE) {
				rm_stat_add(RM_STAT_EMULATED, 1);
				rm_stat_add(RM_STAT_BYTES, piece->source.len);
			}
			return r;
		}
		r = rm_facts_collect(world, piece, facts);
		if (r)
			return r;
	}
	return rm_refuse("another thread keeps changing the range");
}

static int collect(struct rm_world *world, const struct rm_request *piece, struct rm_facts *facts)
{
	int r = rm_facts_collect(world, piece, facts);

	/* -ENOENT and the like: no /proc, or no smaps in it */
	if (r && r != -EFAULT && r != -ENOMEM)
		return rm_refuse("/proc/self/smaps can not be read, so nothing can be emulated");
	return r;
}

/* MREMAP_FIXED over one or more mappings: remap_move() of 6.17. */
static long move_fixed(struct rm_world *world, const struct rm_request *request)
{
	const uintptr_t end = rm_range_end(request->source);
	uintptr_t at = request->source.start;
	bool first = true, stopped = false;
	struct rm_facts facts;
	long result = -EFAULT, r;

	while (at < end) {
		struct rm_request piece = *request;
		uintptr_t piece_end;

		piece.source.start = at;
		piece.source.len = end - at;
		piece.target = request->target + (at - request->source.start);
		r = collect(world, &piece, &facts);
		if (r == -EFAULT && !first) /* a gap at the end */
			break;
		if (r || (first && facts.vma.start > at)) {
			result = r ? r : -EFAULT;
			break;
		}
		if (facts.vma.start > at) {
			at = facts.vma.start;
			piece.source.start = at;
			piece.target = request->target + (at - request->source.start);
		}
		piece_end = facts.vma.end < end ? facts.vma.end : end;
		piece.source.len = piece_end - at;
		/* vma_multi_allowed(): an armed mapping moves alone or not at all */
		if ((facts.vma.vmflags & RM_VF_UFFD) && (!first || piece_end < end)) {
			result = -EFAULT;
			break;
		}
		/* Unmapping it would hold us until a monitor that stands still has read the event. */
		if (piece_end < end && facts.target_armed) {
			result = rm_refuse(
				"several mappings move onto a range that a userfaultfd watches");
			break;
		}
		if (piece_end < end && !stopped) {
			r = rm_quiesce_stop(world, request->source);
			if (r) {
				result = r;
				break;
			}
			stopped = true;
			continue; /* what was read before the stop may be out of date */
		}
		r = move_piece(world, &piece, &facts);
		if (rm_is_err(r)) {
			result = r;
			break;
		}
		if (first)
			result = r;
		first = false;
		at = piece_end;
	}
	if (stopped)
		rm_quiesce_resume(world);
	return result;
}

static long move_anywhere(struct rm_world *world, struct rm_request *request)
{
	struct rm_facts facts;
	int r = collect(world, request, &facts);

	if (r)
		return r;
	return move_piece(world, request, &facts);
}

/* check_mremap_params() of 6.18; lengths are rounded. Its map-count test is left to the kernel's own calls. */
static long check_params(const struct rm_request *request, size_t old_len, uintptr_t task_size)
{
	const unsigned long flags = request->flags;
	const size_t len = request->source.len;
	const uintptr_t offset_mask = rm_page_size() - 1;
	const struct rm_range source = {request->source.start, old_len},
			      target = {request->target, len};

	if (flags & ~(RM_MAYMOVE | RM_FIXED | RM_DONTUNMAP))
		return -EINVAL;
	if ((source.start & offset_mask) || !len || len > task_size)
		return -EINVAL;
	if (!(flags & (RM_FIXED | RM_DONTUNMAP)))
		return 0;
	if (request->target > task_size - len || (request->target & offset_mask))
		return -EINVAL;
	if (!(flags & RM_MAYMOVE) || ((flags & RM_DONTUNMAP) && old_len != len))
		return -EINVAL;
	return rm_range_overlaps(source, target) ? -EINVAL : 0;
}

/*
 * Whether [start, start + len) lies in one mapping: 0, or -EFAULT. One system call that changes nothing: growing it in
 * place beyond the end of user space is refused in any case, but EFAULT comes first (semantics.md 1.2, resize checks).
 */
static int in_one_mapping(uintptr_t start, size_t len, uintptr_t task_size)
{
	return rm_sys_mremap(start, len, task_size, 0, 0) == -EFAULT ? -EFAULT : 0;
}

static long emulate(struct rm_request *request)
{
	struct rm_entry entry;
	long r;

	rm_fill_wait(); /* what is being filled is watched by a userfaultfd that nobody would find */
	r = rm_world_enter(&entry);
	if (r)
		return r;
	if (rm_world_is_own(request->source) ||
		((request->flags & RM_FIXED) &&
			rm_world_is_own((struct rm_range){request->target, request->source.len})))
		r = rm_refuse("the range holds libremap's own memory or the caller's stack");
	else if (request->flags & RM_FIXED)
		r = move_fixed(entry.world, request);
	else
		r = move_anywhere(entry.world, request);
	rm_world_leave(&entry);
	return r;
}

/* A second view (old_size 0) is made of shared memory only: 0, -EFAULT, -EINVAL. Without /proc the kernel is asked. */
static int can_duplicate(uintptr_t addr)
{
	struct rm_entry entry;
	struct rm_vma vma;
	int r = rm_world_enter(&entry);

	if (r)
		return 0;
	r = rm_maps_find(&entry.world->maps, false, addr, &vma);
	rm_world_leave(&entry);
	return r < 0 ? 0 : !r ? -EFAULT : vma.shared ? 0 : -EINVAL;
}

/*
 * What 6.18 would do and this kernel would not, for a call that this kernel knows: 0, it may go to the kernel as it is;
 * 1, it has to be done mapping by mapping; -errno.
 */
static int beside_the_kernel(
	const struct rm_request *request, size_t old_len, const struct rm_features *features)
{
	const size_t len = request->source.len, kept = len < old_len ? len : old_len;
	const uintptr_t start = request->source.start;

	/* A destination must not be lost to a source that can not be moved (semantics.md 1.4). */
	if ((request->flags & RM_FIXED) && !features->native_multi && !old_len)
		return can_duplicate(start);
	if ((request->flags & RM_FIXED) && !features->native_multi && old_len &&
		in_one_mapping(start, kept, features->task_size))
		return len == old_len ? 1 : -EFAULT;
	if (!(request->flags & RM_FIXED) && !features->native_lookup && old_len)
		return rm_sys_is_mapped(start) ? 0 : -EFAULT;
	return 0;
}

long rm_mremap(uintptr_t old, size_t old_len, size_t new_len, unsigned long flags, uintptr_t new)
{
	const struct rm_features *features;
	struct rm_request request;
	long r;

	if (rm_conf_disabled())
		return rm_sys_mremap(old, old_len, new_len, flags, new);
	features = rm_features();
	if (flags & RM_MIRROR) /* no kernel's own */
		return rm_mirror(old, old_len, new_len, flags, new);
	/* Shared memory would grow beyond its object, to SIGBUS (B19). Nobody else has such an answer to growth. */
	if (rm_converted_any() && old_len && rm_page_round(new_len) > rm_page_round(old_len) &&
		rm_converted_at(old))
		return -ENOMEM;
	if (rm_features_all_native(features)) {
		rm_stat_add(RM_STAT_NATIVE, 1);
		return rm_sys_mremap(old, old_len, new_len, flags, new);
	}
	old_len = rm_page_round(old_len);
	request.source.start = old;
	request.source.len = rm_page_round(new_len);
	request.target = new;
	request.flags = flags;
	r = check_params(&request, old_len, features->task_size);
	if (r)
		return r;
	if (!(flags & RM_DONTUNMAP) || rm_features_dontunmap(features)) {
		r = beside_the_kernel(&request, old_len, features);
		if (r < 0)
			return r;
		if (!r) {
			rm_stat_add(RM_STAT_NATIVE, 1);
			return rm_sys_mremap(old, old_len, request.source.len, flags, new);
		}
	}
	rm_refuse_clear();
	r = emulate(&request);
	if (rm_log_on(RM_LOG_INFO))
		rm_log(RM_LOG_INFO, "mremap(%lx, %lu, %lu, %lx, %lx) = %lx", old, old_len,
			request.source.len, flags, new, r);
	return r;
}

void *remap_mremap(void *old_address, size_t old_size, size_t new_size, int flags, ...)
{
	void *new_address = NULL;
	long r;

	/* Callers leave garbage in the fifth argument unless the flags call for it (E1). */
	if (flags & (REMAP_MREMAP_FIXED | REMAP_MREMAP_DONTUNMAP | REMAP_MREMAP_MIRROR)) {
		va_list args;

		va_start(args, flags);
		new_address = va_arg(args, void *);
		va_end(args);
	}
	/* int to long: a negative flags stays an error, as in the kernel (E7) */
	r = rm_mremap((uintptr_t)old_address, old_size, new_size, (unsigned long)(long)flags,
		(uintptr_t)new_address);
	if (rm_is_err(r)) {
		errno = (int)-r;
		return MAP_FAILED;
	}
	return (void *)r;
}

int remap_set_quiesce(int mode)
{
	if (mode != REMAP_QUIESCE_STOP && mode != REMAP_QUIESCE_CALLER)
		return -EINVAL;
	(void)rm_conf(); /* else the environment would override it later */
	rm_quiesce_set_mode(mode);
	return 0;
}

const char *remap_strerror_last(void)
{
	return rm_refuse_reason();
}

int remap_prepare(void *addr, size_t len, unsigned int flags)
{
	const struct rm_features *features = rm_features();
	struct rm_request request = {.source = {(uintptr_t)addr, rm_page_round(len)},
		.flags = RM_MAYMOVE | RM_DONTUNMAP};
	struct rm_entry entry;
	struct rm_facts facts;
	struct rm_plan plan;
	int r;

	if ((flags & ~(unsigned int)REMAP_PREPARE_MIRROR) || ((uintptr_t)addr & (rm_page_size() - 1)))
		return -EINVAL;
	if (flags & REMAP_PREPARE_MIRROR)
		return addr ? rm_mirror_prepare((uintptr_t)addr, len) : -EINVAL;
	if (rm_quiesce_count_threads() < 0)
		return -ENOSYS;
	r = rm_world_enter(&entry);
	if (r)
		return r;
	if (!rm_features_all_native(features))
		r = rm_quiesce_prepare();
	if (!r && addr) {
		r = rm_facts_collect(entry.world, &request, &facts);
		if (!r) {
			rm_plan_build(&request, &facts, features, RM_VARIANT_TWIN_FIRST, &plan);
			r = plan.error;
			if (plan.reason)
				rm_refuse(plan.reason);
		}
	}
	rm_world_leave(&entry);
	return r;
}
