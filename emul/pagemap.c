/* SPDX-License-Identifier: MIT */
/*
 * /proc/self/pagemap, of which bits 62 (swapped) and 63 (present) are anybody's to read
 * (semantics.md 9). mincore will not do: what is swapped out and not in the swap cache is absent to
 * it.
 */
#include "emul/pagemap.h"

#include <errno.h>

#include "emul/sys.h"
#include "emul/world.h"

#define SWAPPED (1ULL << 62)
#define PRESENT (1ULL << 63)

void rm_pagemap_open(struct rm_pagemap *pagemap, void *buf, size_t size)
{
	long fd = rm_sys_open("/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC, 0);

	pagemap->fd = fd < 0 ? -1 : (int)fd;
	pagemap->entries = buf;
	pagemap->room = size / sizeof(uint64_t);
	pagemap->left = (struct rm_range){0, 0};
}

void rm_pagemap_close(struct rm_pagemap *pagemap)
{
	if (pagemap->fd >= 0)
		rm_sys_close(pagemap->fd);
	pagemap->fd = -1;
}

void rm_pagemap_begin(struct rm_pagemap *pagemap, struct rm_range range)
{
	pagemap->left = range;
	pagemap->have = pagemap->at = 0;
	pagemap->absent = false;
	pagemap->wanted = PRESENT | SWAPPED;
}

void rm_pagemap_begin_absent(struct rm_pagemap *pagemap, struct rm_range range)
{
	rm_pagemap_begin(pagemap, range);
	pagemap->wanted = SWAPPED;
}

/* Entries for the beginning of what is left; those that can not be read say that all is there. */
static void read_more(struct rm_pagemap *pagemap)
{
	const size_t page = rm_page_size();
	size_t want = pagemap->left.len / page;
	long got = -EIO;

	if (want > pagemap->room)
		want = pagemap->room;
	if (pagemap->fd >= 0)
		got = rm_syscall(SYS_pread64, pagemap->fd, (long)pagemap->entries,
			(long)(want * sizeof(uint64_t)),
			(long)(pagemap->left.start / page * sizeof(uint64_t)), 0, 0);
	pagemap->have = got > 0 ? (size_t)got / sizeof(uint64_t) : 0;
	for (; pagemap->have < want; pagemap->have++)
		pagemap->entries[pagemap->have] = PRESENT;
	pagemap->at = 0;
}

bool rm_pagemap_next(struct rm_pagemap *pagemap, struct rm_range *run)
{
	const size_t page = rm_page_size();
	size_t found = 0;

	while (pagemap->left.len) {
		bool content;

		if (pagemap->at == pagemap->have) {
			if (found)
				break;
			read_more(pagemap);
		}
		content = pagemap->entries[pagemap->at] & pagemap->wanted;
		pagemap->absent |= (pagemap->entries[pagemap->at] & SWAPPED) != 0;
		if (!content && found)
			break;
		if (content && !found++)
			run->start = pagemap->left.start;
		pagemap->at++;
		pagemap->left.start += page;
		pagemap->left.len -= page;
	}
	if (found)
		run->len = pagemap->left.start - run->start;
	return found;
}

bool rm_pagemap_any(struct rm_range range)
{
	struct rm_pagemap pagemap;
	struct rm_range run;
	uint64_t entries[64];
	bool found;

	rm_pagemap_open(&pagemap, entries, sizeof(entries));
	rm_pagemap_begin(&pagemap, range);
	found = rm_pagemap_next(&pagemap, &run);
	rm_pagemap_close(&pagemap);
	return found;
}
