/* SPDX-License-Identifier: MIT */
/*
 * Which memory was converted, so that it can go on to be treated as the private memory that it was.
 */
#ifndef RM_CONVERTED_H
#define RM_CONVERTED_H

#include <stdatomic.h>

#include "emul/procmaps.h"
#include "emul/types.h"
#include "emul/world.h"

/* An object that was made by conversion. All but inode and device is scratch of fork.c. */
struct rm_converted {
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	uintptr_t snapshot;  /* a copy for the child; 0: none */
	bool missed;	     /* the snapshot is of others, and has still to be made of this one */
	uint64_t low, high;  /* which part of the object can be seen: offsets in bytes */
	uint64_t copy_inode; /* of the snapshot */
	bool mapped;	     /* scratch of converted.c */
};

#define RM_CONVERTED_MAX 1024

extern _Atomic unsigned int rm_converted_objects;

/* Whether there may be any: one load, for fast paths. */
static inline bool rm_converted_any(void)
{
	return atomic_load_explicit(&rm_converted_objects, memory_order_relaxed);
}

/*
 * Remembers the object that vma maps. 0, or -ENOMEM: there are RM_CONVERTED_MAX already, all of
 * them mapped. The caller holds the world, and world->maps is free.
 */
int __must_check rm_converted_add(struct rm_world *world, const struct rm_vma *vma);

/* The object behind vma, NULL if it is none of ours. The caller holds the world. */
struct rm_converted *rm_converted_find(const struct rm_vma *vma);

/* All of them, for fork.c: how many there are, at *first. The caller holds the world. */
unsigned int rm_converted_list(struct rm_converted **first);
/*
 * In a child: each object is now the copy that was made of it; those that have none are forgotten.
 */
void rm_converted_replace(void);

/*
 * Whether a converted mapping begins at or holds addr; for calls of mremap that would make it
 * larger. Not in the world.
 */
bool rm_converted_at(uintptr_t addr);

#endif
