/* SPDX-License-Identifier: MIT */
/*
 * Words shared by the whole engine: ranges, the request, and the flags of mremap(2).
 *
 * Addresses are uintptr_t, lengths are page-rounded from api.c on. Functions return 0 or -errno (or
 * an address that can be told from -errno by rm_is_err) and leave out-arguments alone on failure.
 */
#ifndef RM_TYPES_H
#define RM_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RM_MAYMOVE   1UL
#define RM_FIXED     2UL
#define RM_DONTUNMAP 4UL
#define RM_MIRROR    (1UL << 24) /* libremap's own: no kernel knows them */
#define RM_POPULATE  (1UL << 25)
#define RM_RELOCATE	 8UL /* no kernel knows these either */
#define RM_MUST_RELOCATE 16UL
#define RM_RELOCATE_ANY	 (RM_RELOCATE | RM_MUST_RELOCATE)

#define __must_check	__attribute__((warn_unused_result))
#define RM_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/*
 * For functions that are left without returning: AddressSanitizer would sweep the whole stack
 * first, with 2 KiB of it.
 */
#define RM_LEFT_EARLY __attribute__((no_sanitize("address")))

struct rm_range {
	uintptr_t start;
	size_t len;
};

static inline uintptr_t rm_range_end(struct rm_range r)
{
	return r.start + r.len;
}

static inline bool rm_range_is(struct rm_range a, struct rm_range b)
{
	return a.start == b.start && a.len == b.len;
}

static inline bool rm_range_overlaps(struct rm_range a, struct rm_range b)
{
	return a.start < rm_range_end(b) && b.start < rm_range_end(a);
}

static inline bool rm_range_holds(struct rm_range r, uintptr_t addr)
{
	return addr >= r.start && addr - r.start < r.len;
}

/* One call of mremap that moves, its lengths rounded and its arguments checked. */
struct rm_request {
	struct rm_range source;
	uintptr_t target; /* the fifth argument: FIXED address, or hint (0: none) */
	unsigned long flags;
	/* by how much the destination is longer than the source: relocate.c; else 0 */
	size_t grown;
};

static inline bool rm_is_err(long value)
{
	return (unsigned long)value >= (unsigned long)-4095L;
}

#endif
