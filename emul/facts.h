/* SPDX-License-Identifier: MIT */
/*
 * What is mapped at the source and the destination of a request: everything that the plan depends
 * on.
 */
#ifndef RM_FACTS_H
#define RM_FACTS_H

#include "emul/procmaps.h"
#include "emul/types.h"
#include "emul/uffd.h"

struct rm_world;

enum rm_kind {
	RM_KIND_ANON,	 /* private, no file behind it: heap, stack, MAP_ANONYMOUS */
	RM_KIND_FILE,	 /* private mapping of a file; /dev/zero counts as one */
	RM_KIND_SHARED,	 /* MAP_SHARED of anything but hugetlbfs */
	RM_KIND_HUGETLB, /* can not be left behind on any kernel (VM_DONTEXPAND) */
	RM_KIND_SPECIAL, /* VM_DONTEXPAND or VM_PFNMAP: vdso, AIO ring, devices */
};

#define RM_POLICY_NODES 1024 /* as many NUMA nodes as a kernel can be built for */

struct rm_policy {
	bool set;
	int mode;
	unsigned long nodes[RM_POLICY_NODES / (8 * sizeof(unsigned long))];
};

struct rm_facts {
	struct rm_vma vma; /* the first mapping that the source touches, whole */
	enum rm_kind kind;
	struct rm_policy policy; /* NUMA policy of its own */
	struct rm_uffd uffd;	 /* who has armed it */
	int uffd_error;		 /* armed, and why it is not known by whom: -errno */
	bool target_armed;  /* with MREMAP_FIXED: a userfaultfd watches part of the destination */
	bool target_sealed; /* likewise: part of it is; only by rm_facts_read */
	bool target_mapped; /* likewise: something is mapped there */
	/* a shared mapping of the kernel's own tmpfs: memfd, anonymous, System V */
	bool shmem;
	bool lock_future; /* mlockall(MCL_FUTURE) may be in force: new mappings may be populated */
	bool moved; /* the first part of the source may have been touched elsewhere (origins.c) */
	bool moved_along; /* and what lies beside the mapping comes from beside it there */
	bool unsure; /* and whether all of it would count from there is not known (counted.c) */
	/*
	 * it is charged, and one like it that nobody has touched would not be: kernels from 6.6 on
	 * (mprotect_fixup())
	 */
	bool touched;
	/* there is another mapping beside it that 6.18 would not merge it with now (scars.c) */
	bool apart_before, apart_behind;
	/* there may have been other threads when it was read, for whom nobody vouches */
	bool others;
	uint64_t record;    /* where smaps told of it: bytes from its beginning */
	unsigned int known; /* known.c: which entry these facts are kept in, from 1; 0: none */
	uint32_t known_serial;
};

/*
 * Fills *facts for the first mapping that ends above request->source.start. 0; -EFAULT if none
 * begins below the end of the source; -ENOENT, -EMFILE, ... if /proc can not be read. The caller
 * holds the world.
 */
int __must_check rm_facts_collect(
	struct rm_world *world, const struct rm_request *request, struct rm_facts *facts);

/* The same from /proc, never from what is known, and not kept. */
int __must_check rm_facts_read(
	struct rm_world *world, const struct rm_request *request, struct rm_facts *facts);

/* Pure: whether both were read from smaps and say the same. */
bool rm_facts_same_mapping(const struct rm_vma *a, const struct rm_vma *b);

/*
 * Pure: the mapping that the source of the piece will be in once a FIXED destination has replaced
 * what lies there, which may be another part of the same mapping, right beside the source.
 */
static inline struct rm_range rm_facts_rest(
	const struct rm_facts *facts, const struct rm_request *piece)
{
	const uintptr_t target_end = piece->target + piece->source.len + piece->grown;
	uintptr_t start = facts->vma.start, end = facts->vma.end;

	if (piece->flags & RM_FIXED) {
		if (piece->target < piece->source.start && target_end > start)
			start = target_end;
		else if (piece->target > piece->source.start && piece->target < end)
			end = piece->target;
	}
	return (struct rm_range){start, end - start};
}

/* Pure: what kind of mapping that is. */
enum rm_kind rm_facts_kind(const struct rm_vma *vma);

/*
 * Looks again, in the window, as has to be done if facts->others or facts->known: 0 if range still
 * lies in one mapping of the same attributes, -ESTALE if not, or -errno.
 */
int __must_check rm_facts_verify(
	struct rm_world *world, const struct rm_facts *facts, struct rm_range range);

#endif
