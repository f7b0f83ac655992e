/* SPDX-License-Identifier: MIT */
/*
 * Counters behind remap_stats(): one atomic word each, no lock, async-signal-safe, also inside the
 * window.
 */
#ifndef RM_STATS_H
#define RM_STATS_H

#include "emul/types.h"

/* In the order of the fields of struct remap_stats. */
enum rm_stat {
	RM_STAT_NATIVE,
	RM_STAT_EMULATED,
	RM_STAT_REFUSED,
	RM_STAT_BYTES,
	RM_STAT_STOPS,
	RM_STAT_STOP_RETRIES,
	RM_STAT_STOP_NS_TOTAL,
	RM_STAT_STOP_NS_MAX,
	RM_STAT_UNDONE,
	RM_STAT_UNDO_FAILURES,
	RM_STAT_RESTARTED,
	RM_STAT_MIRRORS,
	RM_STAT_CONVERTED,
	RM_STAT_GUARDED,
	RM_STAT_GUARD_WAITS,
	RM_STAT_GUARD_STOPS,
	RM_STAT_FILLING,
	RM_STAT_FILLS,
	RM_STAT_RELOCATED,
	RM_STAT_NOT_RELOCATED,
	RM_STAT_COUNT
};

void rm_stat_add(enum rm_stat stat, uint64_t value);
void rm_stat_max(enum rm_stat stat, uint64_t value);
uint64_t rm_stat_get(enum rm_stat stat);

#endif
