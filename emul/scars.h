/* SPDX-License-Identifier: MIT */
/*
 * Where a mapping has been left in two by a move that 6.18 would have left it whole after. scars.c
 * explains.
 */
#ifndef RM_SCARS_H
#define RM_SCARS_H

#include "emul/facts.h"
#include "emul/types.h"

struct rm_world;

/*
 * After a move of piece, all or a part of the mapping that the facts are of, to target: notes
 * whether at both ends of it there is one mapping or two. mark is rm_known_mark() from before the
 * move. Whether piece is all of it and has merged with nothing at either end, as far as somebody
 * watches.
 */
bool rm_scars_look(struct rm_world *world, const struct rm_facts *facts, struct rm_range piece,
	uintptr_t target, uint32_t mark);

/*
 * Something has been moved there: notes where to 6.18 it is one with what lies beside it, and here
 * it is not. By the world's holder only.
 */
void rm_scars_meet(struct rm_range range);

/*
 * Something has been unmapped, mapped anew or moved away there. Async-signal-safe, takes no lock.
 */
void rm_scars_forget(struct rm_range range);

bool rm_scars_at(uintptr_t at);

#define RM_SCARS_KEPT 16

struct rm_scars_kept {
	uintptr_t at[RM_SCARS_KEPT];
	size_t n;
};

/* Those inside of the range, before it is moved mapping by mapping. */
void rm_scars_keep(struct rm_range range, struct rm_scars_kept *kept);
/* It has been, to target. The caller holds the world. */
void rm_scars_carry(const struct rm_scars_kept *kept, struct rm_range range, uintptr_t target);

/*
 * Whether 6.18 would have one mapping somewhere inside of the range where there are two. A read of
 * a few words if that is nowhere so.
 */
bool rm_scars_span(struct rm_range range);

/* The same for seams; attributes that are set there count as well. */
void rm_seams_forget(struct rm_range range);
/* Whether 6.18 would have more than one mapping in the range, where there is perhaps one. */
bool rm_seams_span(struct rm_range range);
bool rm_seams_at(uintptr_t at);
/*
 * In the window, after the source, the first part or all of the mapping that the facts are of, has
 * been moved to target and mapped anew: whether it has merged with what 6.18 would not merge it
 * with.
 */
bool rm_seams_made(
	const struct rm_facts *facts, const struct rm_request *request, uintptr_t target);

/*
 * mremap of a source that spans scars, as if it were one mapping. request->source.len is the new
 * length. The new address or -errno; -EFAULT also if it is not one mapping but for scars. The
 * caller holds the world; arguments are checked. Not for calls that neither move nor grow.
 */
long rm_scars_mremap(struct rm_world *world, const struct rm_request *request, size_t old_len);

#endif
