/* SPDX-License-Identifier: MIT */
/*
 * Mappings that keep a charge which 6.18's would lose. charges.c explains.
 */
#ifndef RM_CHARGES_H
#define RM_CHARGES_H

#include <stdbool.h>

#include "emul/types.h"

/* The mapping at range is one from now on, with that protection. By the world's holder only. */
void rm_charges_add(struct rm_range range, int prot);

/* Before a call that changes the protection there. Async-signal-safe, like all that follow. */
void rm_charges_look(struct rm_range range);
/* After one that has. */
void rm_charges_protected(struct rm_range range, int prot);
/* Something has been unmapped, mapped anew or moved away there. */
void rm_charges_forget(struct rm_range range);

/*
 * Whether one that would have lost its charge begins or ends inside of the range, beside what it
 * has not merged with here and may have there.
 */
bool rm_charges_join(struct rm_range range);
/* The same, beside what it has merged with here and not there. */
bool rm_charges_part(struct rm_range range);
/* Whether one begins or ends there, and no other one goes on. */
bool rm_charges_part_at(uintptr_t at);

#endif
