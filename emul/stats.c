/* SPDX-License-Identifier: MIT */
/*
 * The counters, and remap_stats(), which copies them out by the size that the caller's structure
 * has.
 */
#include "emul/stats.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "libremap.h"

static _Atomic uint64_t counters[RM_STAT_COUNT];

/* The public structure is its two header words and then the counters, in the same order. */
_Static_assert(sizeof(struct remap_stats) == 8 + 8 * RM_STAT_COUNT, "struct remap_stats");
_Static_assert(offsetof(struct remap_stats, native_calls) == 8, "struct remap_stats");
_Static_assert(offsetof(struct remap_stats, stop_ns_max) == 8 + 8 * RM_STAT_STOP_NS_MAX,
	"struct remap_stats");
_Static_assert(offsetof(struct remap_stats, interrupted_restarted) == 8 + 8 * RM_STAT_RESTARTED,
	"struct remap_stats");
_Static_assert(offsetof(struct remap_stats, guard_stops) == 8 + 8 * RM_STAT_GUARD_STOPS,
	"struct remap_stats");

void rm_stat_add(enum rm_stat stat, uint64_t value)
{
	atomic_fetch_add_explicit(&counters[stat], value, memory_order_relaxed);
}

void rm_stat_max(enum rm_stat stat, uint64_t value)
{
	uint64_t seen = atomic_load_explicit(&counters[stat], memory_order_relaxed);

	while (seen < value && !atomic_compare_exchange_weak(&counters[stat], &seen, value))
		;
}

uint64_t rm_stat_get(enum rm_stat stat)
{
	return atomic_load_explicit(&counters[stat], memory_order_relaxed);
}

int remap_stats(struct remap_stats *stats)
{
	struct remap_stats all;
	uint64_t *value = &all.native_calls;

	if (!stats || stats->size < offsetof(struct remap_stats, emulated_moves))
		return -EINVAL;
	memset(&all, 0, sizeof(all));
	all.size = stats->size;
	for (int i = 0; i < RM_STAT_COUNT; i++)
		value[i] = rm_stat_get(i);
	memcpy(stats, &all, all.size < sizeof(all) ? all.size : sizeof(all));
	return 0;
}
