/* SPDX-License-Identifier: MIT */
/*
 * Which pages of a range there are.
 */
#ifndef RM_PAGEMAP_H
#define RM_PAGEMAP_H

#include "emul/types.h"

struct rm_pagemap {
	int fd; /* -1: it can not be read, and every page is taken to be there */
	struct rm_range left; /* not looked at yet */
	uint64_t *entries;
	size_t room, have, at; /* of entries */
	bool absent; /* some were neither in memory nor holes: in swap, guard regions, poison */
	uint64_t wanted; /* bits of an entry, one of which makes it one of a run */
};

/* buf is scratch for entries. Never fails. Raw system calls only. */
void rm_pagemap_open(struct rm_pagemap *pagemap, void *buf, size_t size);
void rm_pagemap_close(struct rm_pagemap *pagemap);

/* Begins with a range. */
void rm_pagemap_begin(struct rm_pagemap *pagemap, struct rm_range range);

/* The same for what is not in memory only: the runs are of pages in swap, guard regions, poison. */
void rm_pagemap_begin_absent(struct rm_pagemap *pagemap, struct rm_range range);

/*
 * The next run of pages that have content of their own, in memory or in swap; at most 8 MiB or so.
 * False: no more. Page table entries that are neither (guard regions, poison) count as content: who
 * reads them will see.
 */
bool rm_pagemap_next(struct rm_pagemap *pagemap, struct rm_range *run);

/* Whether there is one in the range. */
bool rm_pagemap_any(struct rm_range range);

#endif
