/* SPDX-License-Identifier: MIT */
/*
 * Mappings that were left empty as a whole beside what had moved along with them. strays.c
 * explains.
 */
#ifndef RM_STRAYS_H
#define RM_STRAYS_H

#include <stdbool.h>

#include "emul/types.h"

/* The mapping at range is one from now on. By the world's holder only. */
void rm_strays_add(struct rm_range range);

/*
 * Before a call that may make what lies there alike in more than protection. Async-signal-safe,
 * takes no lock, like all that follow.
 */
void rm_strays_look(struct rm_range range);
/* After any call that changes attributes there. */
void rm_strays_settle(struct rm_range range);
/* Something has been unmapped, mapped anew or moved away there. */
void rm_strays_forget(struct rm_range range);

/* Whether one that 6.18 merges with nothing any more begins or ends inside of the range. */
bool rm_strays_span(struct rm_range range);

#endif
