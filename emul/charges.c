/* SPDX-License-Identifier: MIT */
/*
 * Charges that are kept.
 *
 * From 6.6 on private memory without an anon_vma is not charged any more (VM_ACCOUNT) when it
 * becomes read-only, or read-only in another way (mprotect_fixup()). What is read-only and charged
 * has been touched, and 6.18 leaves it empty, without an anon_vma, but charged. Ours had to be
 * touched itself to be charged (plan.c). So when its protection changes and it still can not be
 * written, 6.18's loses its charge and merges with what lies beside it and is like it, untouched
 * and not charged; with what is charged it does not. Ours keeps it, and does the opposite.
 *
 * Those are kept in a list. Once their protection has changed, what lies beside them and differs in
 * nothing but the charge counts as one mapping with them in mremap, as with scars, and what they
 * are one with here does not, as with seams (scars.c). One that has been written before that has an
 * anon_vma everywhere, and is taken off the list. One that can be written is charged everywhere.
 *
 * Without anybody who sees the calls the list is empty.
 */
#include "emul/charges.h"

#include <sys/mman.h>

#include "emul/known.h"
#include "emul/marks.h"
#include "emul/pagemap.h"
#include "emul/world.h"

#define LOST 0x1000 /* 6.18's has none any more; the rest of the word is the protection */

static struct rm_marks charges;

void rm_charges_add(struct rm_range range, int prot)
{
	if (rm_known_watching())
		rm_marks_add(&charges, range, (unsigned int)prot);
}

void rm_charges_forget(struct rm_range range)
{
	rm_marks_cut(&charges, range);
}

void rm_charges_look(struct rm_range range)
{
	struct rm_mark mark;
	size_t i = 0;

	while (rm_marks_next(&charges, range, &i, &mark))
		if (!(mark.word & LOST) && rm_pagemap_any(mark.range))
			rm_marks_cut(&charges, mark.range);
}

/* One of which a part is protected in another way is two or three then. */
void rm_charges_protected(struct rm_range range, int prot)
{
	const uintptr_t end = range.start + rm_page_round(range.len);
	const unsigned int word = (unsigned int)prot | (prot & PROT_WRITE ? 0 : LOST);
	struct rm_mark mark;
	size_t i = 0;

	while (rm_marks_next(&charges, range, &i, &mark)) {
		const uintptr_t first = mark.range.start > range.start ? mark.range.start
								       : range.start,
				last = rm_range_end(mark.range) < end ? rm_range_end(mark.range)
								      : end;
		const struct rm_range both = {first, last - first};

		if ((mark.word & ~LOST) == (unsigned int)prot)
			continue;
		rm_marks_add(&charges, both, word);
	}
}

static bool has_lost(uintptr_t addr)
{
	return rm_marks_word(&charges, addr) & LOST;
}

bool rm_charges_part_at(uintptr_t at)
{
	return has_lost(at - 1) != has_lost(at);
}

/* Where one that has lost it ends: whether it is one here with what lies beside it. */
static bool is_end(uintptr_t at, bool joined)
{
	return rm_charges_part_at(at) && rm_is_joined(at) == joined;
}

bool rm_charges_join(struct rm_range range)
{
	return rm_marks_end(&charges, range, is_end, false);
}

bool rm_charges_part(struct rm_range range)
{
	return rm_marks_end(&charges, range, is_end, true);
}
