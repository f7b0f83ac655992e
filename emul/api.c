/* SPDX-License-Identifier: MIT */
/*
 * The public calls: argument rules in the order of 6.18, then facts, plan and execution.
 *
 * On a kernel whose mremap is 6.18's, nothing but the first lines of rm_mremap() is executed,
 * unless the call wants a mirror (mirror.c) or a relocation (relocate.c), which no kernel makes.
 * Elsewhere the rules are those of check_mremap_params(), remap_move() and check_prep_vma() of 6.18
 * (semantics.md 1.2, "6.17 - 7.0", and 5), whatever the kernel's own are (A15). What the kernel
 * then does as 6.18 would is given to it; the rest is emulated.
 *
 * Moving is move.c; what has been left in pieces by earlier moves is put together by scars.c.
 */
#include "emul/api.h"

#include <errno.h>
#include <stdarg.h>

#include "emul/conf.h"
#include "emul/converted.h"
#include "emul/counted.h"
#include "emul/facts.h"
#include "emul/features.h"
#include "emul/fill.h"
#include "emul/guard.h"
#include "emul/known.h"
#include "emul/log.h"
#include "emul/mirror.h"
#include "emul/move.h"
#include "emul/mover.h"
#include "emul/origins.h"
#include "emul/plan.h"
#include "emul/quiesce.h"
#include "emul/relocate.h"
#include "emul/scars.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"
#include "libremap.h"

int rm_check_params(const struct rm_request *request, size_t old_len, uintptr_t task_size)
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

/* What becomes untrue by a move of the kernel's own. */
static void left(uintptr_t old, size_t old_len, uintptr_t now, size_t len)
{
	if (now != old) {
		if (old_len)
			rm_scars_forget((struct rm_range){old, old_len});
		rm_scars_forget((struct rm_range){now, len});
	} else if (len < old_len) {
		rm_scars_forget((struct rm_range){old + len, old_len - len});
	} else if (len > old_len) {
		rm_counted_grown(old + old_len, len - old_len);
	}
	rm_origins_moved(old, now, old_len, len);
}

/* What is being filled is watched by a userfaultfd, and so does not move with other mappings. */
static long kernels_own(
	uintptr_t old, size_t old_len, size_t len, unsigned long flags, uintptr_t new)
{
	if (atomic_load(&rm_fills_active) && (flags & RM_FIXED) &&
		!rm_sys_in_one_mapping(old, old_len, rm_features()->task_size))
		rm_fill_wait();
	return rm_sys_mremap(old, old_len, len, flags, new);
}

/* The kernel's own. A userfaultfd with EVENT_REMAP goes with what it watches. */
static long native(uintptr_t old, size_t old_len, size_t len, unsigned long flags, uintptr_t new)
{
	const struct rm_range none = {0, 0};
	struct rm_range from = {old, old_len > len ? old_len : len};
	struct rm_change change;
	long r;

	rm_stat_add(RM_STAT_NATIVE, 1);
	rm_known_begin(&change);
	r = kernels_own(old, old_len, len, flags, new);
	if (!rm_is_err(r)) {
		const struct rm_range to = {(uintptr_t)r, len};

		left(old, old_len, (uintptr_t)r, len);
		if (rm_known_has_seen(RM_SEEN_UFFD) && rm_known_may_be_armed(from))
			rm_known_armed(to);
		if (!old_len) /* a second view, and the first one is as it was */
			from = none;
		else if ((uintptr_t)r != old)
			from.len = old_len;
		rm_known_also(&change, to);
	}
	/* one that fails has changed nothing, unless it has taken a destination away before */
	if (rm_is_err(r) && (flags & RM_FIXED))
		rm_known_also(&change, (struct rm_range){new, len});
	rm_known_end(&change, rm_is_err(r) && !(flags & RM_FIXED) ? none : from);
	return r;
}

/*
 * The kernel's own move of a mapping whose facts are known: they go with it, so that who moves a
 * heap away and back pays /proc once. False if it was not done: nothing is known.
 */
static bool move_known(const struct rm_request *request, size_t old_len, long *r)
{
	const struct rm_range source = request->source;
	struct rm_entry entry;
	struct rm_facts facts;
	uint32_t mark;
	bool known;

	if (old_len != source.len || !(request->flags & RM_FIXED) || !rm_known_covers(source) ||
		rm_world_enter(&entry))
		return false;
	mark = rm_known_mark(entry.world);
	known = rm_known_find(entry.world, request, &facts) && facts.uffd.fd < 0;
	if (known) {
		rm_stat_add(RM_STAT_NATIVE, 1);
		*r = rm_sys_mremap(
			source.start, old_len, source.len, request->flags, request->target);
		rm_known_changed(entry.world, source);
		rm_known_changed(entry.world, (struct rm_range){request->target, source.len});
		if (!rm_is_err(*r)) {
			left(source.start, old_len, request->target, source.len);
			rm_known_moved(entry.world, mark, &facts, source, request->target);
		}
	}
	rm_world_leave(&entry);
	return known;
}

/*
 * What the kernel does not do at once: MREMAP_DONTUNMAP, several mappings, one that was left in
 * pieces.
 */
static long in_the_world(struct rm_world *world, const struct rm_request *request, size_t old_len)
{
	const struct rm_range source = {request->source.start, old_len},
			      target = {request->target, request->source.len};
	const bool fixed = request->flags & RM_FIXED;
	struct rm_scars_kept kept;
	long r;

	if (rm_world_is_own(source) || (fixed && rm_world_is_own(target)))
		return rm_refuse("the range holds libremap's own memory or the caller's stack");
	if (rm_scars_span(source)) {
		r = rm_scars_mremap(world, request, old_len);
		/* Not one mapping: then what the kernel says, unless it goes by mappings. */
		if (r != -EFAULT ||
			(!(request->flags & RM_DONTUNMAP) && (!fixed || old_len != target.len)))
			return r;
	}
	if (!fixed)
		return rm_move_anywhere(world, request);
	/* to 6.18 what has been left in pieces is one also where other mappings move with it */
	rm_scars_keep(source, &kept);
	r = rm_move_fixed(world, request);
	if (!rm_is_err(r) && r != RM_LEFT_TO_KERNEL)
		rm_scars_carry(&kept, source, request->target);
	return r;
}

static long emulate(const struct rm_request *request, size_t old_len)
{
	struct rm_mover mover;
	struct rm_entry entry;
	long r;

	if (atomic_load(&rm_fills_active))
		/* what is being filled is watched by a userfaultfd that nobody would find */
		rm_fill_wait();
	r = rm_world_enter(&entry);
	if (r)
		return r;
	r = in_the_world(entry.world, request, old_len);
	/*
	 * A monitor that has to read the event may take as long as it likes: the lock is free
	 * meanwhile.
	 */
	mover = entry.world->mover;
	entry.world->mover.shared = NULL;
	rm_world_leave(&entry);
	rm_mover_finish(&mover);
	if (r != RM_LEFT_TO_KERNEL)
		return r;
	return native(request->source.start, old_len, request->source.len, request->flags,
		request->target);
}

/*
 * A second view (old_size 0) is made of shared memory only: 0, -EFAULT, -EINVAL. Without /proc the
 * kernel is asked.
 */
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
 * What 6.18 would do and this kernel would not, for a call that this kernel knows: 0, it may go to
 * the kernel as it is; 1, it has to be done mapping by mapping; -errno.
 */
static int beside_the_kernel(
	const struct rm_request *request, size_t old_len, const struct rm_features *features)
{
	const size_t len = request->source.len, kept = len < old_len ? len : old_len;
	const uintptr_t start = request->source.start;

	/* Left in pieces by earlier moves: to the kernel it is not one mapping. */
	if (old_len && ((request->flags & RM_FIXED) || len > old_len) &&
		rm_scars_span((struct rm_range){start, kept}))
		return 1;
	/* A destination must not be lost to a source that can not be moved (semantics.md 1.4). */
	if ((request->flags & RM_FIXED) && !features->native_multi && !old_len)
		return can_duplicate(start);
	if ((request->flags & RM_FIXED) && !features->native_multi && old_len &&
		!rm_sys_in_one_mapping(start, kept, features->task_size))
		return len == old_len ? 1 : -EFAULT;
	/* What grows is looked up by every kernel. */
	if (!(request->flags & RM_FIXED) && !features->native_lookup && old_len && len <= old_len)
		return rm_sys_is_mapped(start) ? 0 : -EFAULT;
	return 0;
}

long rm_mremap(uintptr_t old, size_t old_len, size_t new_len, unsigned long flags, uintptr_t new)
{
	const struct rm_range target = {new, flags &RM_FIXED ? new_len : 0}; /* perhaps a hole */
	const struct rm_features *features;
	struct rm_request request;
	long r;

	if (rm_conf_disabled())
		return rm_sys_mremap(old, old_len, new_len, flags, new);
	features = rm_features_away(target);
	if (flags & RM_MIRROR) /* no kernel's own */
		return rm_mirror(old, old_len, new_len, flags, new);
	if (flags & RM_RELOCATE_ANY)
		return rm_relocate(old, old_len, new_len, flags, new);
	/*
	 * Shared memory would grow beyond its object, to SIGBUS (B19). Nobody else has such an
	 * answer to growth.
	 */
	if (rm_converted_any() && old_len && rm_page_round(new_len) > rm_page_round(old_len) &&
		rm_converted_at(old))
		return -ENOMEM;
	if (rm_features_all_native(features)) {
		rm_stat_add(RM_STAT_NATIVE, 1);
		return kernels_own(old, old_len, new_len, flags, new);
	}
	old_len = rm_page_round(old_len);
	request.source.start = old;
	request.source.len = rm_page_round(new_len);
	request.grown = 0;
	request.target = new;
	request.flags = flags;
	r = rm_check_params(&request, old_len, features->task_size);
	if (r)
		return r;
	/*
	 * Of two mappings that are one here only a move of all, mapping by mapping, and shrinking
	 * in place are possible.
	 */
	if (rm_seams_span((struct rm_range){
		    old, request.source.len < old_len ? request.source.len : old_len}) &&
		((flags & RM_FIXED) ? request.source.len != old_len
				    : (request.source.len > old_len || (flags & RM_DONTUNMAP))))
		return -EFAULT;
	if (!(flags & RM_DONTUNMAP) || rm_features_dontunmap(features)) {
		r = beside_the_kernel(&request, old_len, features);
		if (r < 0)
			return r;
		if (!r)
			return move_known(&request, old_len, &r)
				       ? r
				       : native(old, old_len, request.source.len, flags, new);
	}
	rm_refuse_clear();
	r = emulate(&request, old_len);
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
	if (mode != REMAP_QUIESCE_STOP && mode != REMAP_QUIESCE_GUARD &&
		mode != REMAP_QUIESCE_CALLER)
		return -EINVAL;
	(void)rm_conf(); /* else the environment would override it later */
	if (mode == REMAP_QUIESCE_GUARD && !rm_features_all_native(rm_features()))
		rm_guard_prepare();
	rm_quiesce_set_mode(mode);
	return 0;
}

const char *remap_strerror_last(void)
{
	return rm_refuse_reason();
}

void remap_changed(const void *addr, size_t len)
{
	const uintptr_t start = (uintptr_t)addr;

	rm_known_tell(
		len ? (struct rm_range){start, len > SIZE_MAX - start ? SIZE_MAX - start : len}
		    : rm_everything);
}

int remap_prepare(void *addr, size_t len, unsigned int flags)
{
	const struct rm_features *features = rm_features();
	struct rm_request request = {.source = {(uintptr_t)addr, rm_page_round(len)},
		.flags = RM_MAYMOVE | RM_DONTUNMAP};
	struct rm_entry entry;
	struct rm_facts facts;
	struct rm_plan plan;
	unsigned int promised;
	int r;

	if ((flags & ~(REMAP_PREPARE_MIRROR | REMAP_PREPARE_CACHED)) || (flags && !addr) ||
		((uintptr_t)addr & (rm_page_size() - 1)))
		return -EINVAL;
	r = flags & REMAP_PREPARE_MIRROR ? rm_mirror_prepare((uintptr_t)addr, len) : 0;
	if (r || flags == REMAP_PREPARE_MIRROR)
		return r;
	if (rm_quiesce_count_threads() < 0)
		return -ENOSYS;
	if (addr)
		rm_fill_wait(); /* as before a move: our own userfaultfd would be taken for another's */
	r = rm_world_enter(&entry);
	if (r)
		return r;
	if (!rm_features_all_native(features))
		r = rm_quiesce_prepare();
	promised = entry.world->known.npromised;
	if (!r && (flags & REMAP_PREPARE_CACHED))
		r = rm_known_promise(entry.world, request.source);
	if (!r && addr) {
		r = rm_facts_collect(entry.world, &request, &facts);
		if (!r) {
			rm_plan_build(&request, &facts, features, RM_VARIANT_TWIN_FIRST, &plan);
			r = plan.error;
			if (plan.reason)
				rm_refuse(plan.reason);
		}
	}
	if (r)
		entry.world->known.npromised = promised;
	rm_world_leave(&entry);
	return r;
}
