/* SPDX-License-Identifier: MIT */
/*
 * What this kernel can do, found out by behaviour.
 */
#ifndef RM_FEATURES_H
#define RM_FEATURES_H

#include "emul/types.h"

enum rm_feature {
	RM_FEAT_DONTUNMAP_ANON,
	RM_FEAT_DONTUNMAP_SHARED,
	RM_FEAT_DONTUNMAP_FILE,
	RM_FEAT_MIRROR,
	RM_FEAT_RELOCATE_ANON,
	RM_FEAT_MULTI_VMA_MOVE,
	RM_FEAT_USERFAULTFD,
	RM_FEAT_USERFAULTFD_WP,
	RM_FEAT_USERFAULTFD_MINOR,
	RM_FEAT_USERFAULTFD_MOVE,
	RM_FEAT_SECCOMP_NOTIFY,
	RM_FEAT_MEMFD,
	RM_FEAT_PROCMAP_QUERY,
	RM_FEAT_COUNT
};

/* What the plan needs to know; forceable, for --explain and the unit tests. */
struct rm_features {
	bool native_anon;   /* DONTUNMAP on private anonymous memory */
	bool native_shared; /* on shared memory */
	bool native_file;   /* on private file mappings */
	bool native_multi; /* MREMAP_FIXED over several mappings (6.17), and what came with it: all is checked
			      * before the destination is unmapped, lengths are compared rounded */
	bool native_lookup; /* EFAULT for any call at an unmapped address (5.16) */
	/*
	 * UFFDIO_MOVE (6.8); not by rm_features(), which every program asks:
	 * rm_features_uffd_move()
	 */
	bool uffd_move;
	uintptr_t task_size; /* the first address beyond user space */
};

/*
 * Probed once per process, then a read of one word. Honours native:no. Not async-signal-safe the
 * first time.
 */
const struct rm_features *rm_features(void);
/* The same; what has to be made the first time and stays comes to lie outside of avoid. */
const struct rm_features *rm_features_away(struct rm_range avoid);

/* Asked of the kernel each time: three system calls. */
bool rm_features_uffd_move(void);

static inline bool rm_features_dontunmap(const struct rm_features *f)
{
	return f->native_anon && f->native_shared && f->native_file;
}

/*
 * True if this kernel's mremap is 6.18's: nothing is ever looked at. The fast path of every call.
 */
static inline bool rm_features_all_native(const struct rm_features *f)
{
	return rm_features_dontunmap(f) && f->native_multi && f->native_lookup;
}

#endif
