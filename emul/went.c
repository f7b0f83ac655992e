/* SPDX-License-Identifier: MIT */
/*
 * A destination of our choice is reserved before the move. It lies so that the kernel can move
 * whole page tables: at the same offset in 2 MiB, or 1 GiB, as the source (kernels from 5.0 on; for
 * huge pages all); where there is no room for the detour to such a place, anywhere.
 *
 * The detour is a mapping that is too large and one or two calls that cut it, as dear as the move
 * of a small range. Who moves the same range in every cycle mostly gives the place back in between,
 * and is then led to the same one again: so one call that asks for that place is enough. It is
 * asked for when the last two moves of the range went there; who keeps what was moved gets another
 * place each time, and never pays for a place that is taken.
 */
#include "emul/went.h"

#include <errno.h>

#include "emul/sys.h"
#include "emul/world.h"

#define PMD_SIZE                                                                                   \
	(2UL << 20) /* with base pages of 4 KiB; elsewhere it is not worse than any other place */
#define PUD_SIZE (1UL << 30)

static size_t slot_of(struct rm_range source)
{
	return source.start / rm_page_size() % RM_WENT;
}

uintptr_t rm_went(const struct rm_world *world, struct rm_range source)
{
	const size_t i = slot_of(source);

	return world->went.ranges[i].again && rm_range_is(world->went.ranges[i].source, source)
		       ? world->went.ranges[i].target
		       : 0;
}

void rm_went_to(struct rm_world *world, struct rm_range source, uintptr_t target)
{
	const size_t i = slot_of(source);
	const bool same = rm_range_is(world->went.ranges[i].source, source);

	world->went.ranges[i].again = same && world->went.ranges[i].target == target;
	world->went.ranges[i].source = source;
	world->went.ranges[i].target = target;
}

long rm_went_reserve(const struct rm_world *world, struct rm_range source)
{
	const size_t align = source.len >= PUD_SIZE ? PUD_SIZE : PMD_SIZE;
	const struct rm_range nowhere = {0, 0};
	const uintptr_t there = rm_went(world, source);
	long at;

	if (there) {
		at = rm_sys_mmap(there, source.len, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (rm_is_err(at) || (uintptr_t)at == there || source.len < PMD_SIZE)
			return at;
		rm_sys_munmap((uintptr_t)at, source.len); /* it is taken */
	}
	at = source.len >= PMD_SIZE ? rm_map_congruent(source.len, source.start, align)
				    : -ENOMEM;
	return rm_is_err(at) ? rm_map_away(source.len, PROT_NONE, nowhere) : at;
}
