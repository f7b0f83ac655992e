/* SPDX-License-Identifier: MIT */
/*
 * Mappings that were seen being made, so that their first move needs no smaps. born.c explains.
 */
#ifndef RM_BORN_H
#define RM_BORN_H

#include <stdatomic.h>

#include "emul/facts.h"
#include "emul/types.h"

#define RM_BORN_RANGES 16

/* In the world's page, as part of what is known (known.h). */
struct rm_born {
	struct rm_born_range {
		_Atomic uintptr_t start;
		_Atomic size_t len;	 /* 0: free; 1: being written */
		_Atomic uint32_t traits; /* PROT_ and what is in born.c */
		_Atomic uint32_t advice; /* enum rm_vmflag */
	} ranges[RM_BORN_RANGES];
};

/*
 * The program has made this mapping, mmap(2)'s prot and flags. Between rm_known_begin() and
 * rm_known_end().
 */
void rm_born_mapped(struct rm_born *born, struct rm_range range, int prot, int flags);
/* It has been given this protection. Likewise; instead of rm_born_forget(). */
void rm_born_protected(struct rm_born *born, struct rm_range range, int prot);
/* Likewise for MADV_. */
void rm_born_advised(struct rm_born *born, struct rm_range range, int advice);
/* Whatever is known of mappings that range touches is not true any more. */
void rm_born_forget(struct rm_born *born, struct rm_range range);

/*
 * Facts for a request from what was seen: true if it was enough. The caller holds the world and
 * throws the facts away if anything changes meanwhile. May read /proc/self/maps, never smaps.
 */
bool rm_born_find(struct rm_world *world, const struct rm_request *request, struct rm_facts *facts);

#endif
