/* SPDX-License-Identifier: MIT */
/*
 * UFFDIO_MOVE (6.8): the kernel takes pages out of one mapping and puts them into another, where
 * they count as if they had been touched there (semantics.md 7.1). It does so page by page, and
 * stops at the first that it can not move: one that is shared with a relative by fork, merged by
 * KSM, or pinned for a device. What has been moved by then goes back.
 *
 * On the way back nothing is in the way, as nobody else runs, but for who pins pages from outside
 * (process_vm_readv, a worker of io_uring). A page that such a one holds at that moment is copied;
 * it holds the copy's original.
 *
 * The destination is registered with our userfaultfd for just as long as pages go there. Raw system
 * calls only; for use inside the window.
 */
#include "emul/transfer.h"

#include <errno.h>
#include <linux/userfaultfd.h>

#include "emul/copy.h"
#include "emul/pagemap.h"
#include "emul/sys.h"
#include "emul/uffd.h"
#include "emul/world.h"

#define FEATURE_MOVE	(1ULL << 16)
#define ALLOW_SRC_HOLES 2
#define MAX_TRIES	1000 /* without progress */

/* struct uffdio_move of 6.8, written out for older headers */
struct move {
	uint64_t dst, src, len, mode;
	int64_t move;
};
#define MOVE _IOWR(0xAA, 0x05, struct move)

int rm_transfer_open(void)
{
	return rm_uffd_open_own(FEATURE_MOVE);
}

/* *done: bytes that have gone. */
static int go(int fd, struct rm_range from, uintptr_t to, size_t *done)
{
	int tries = 0;
	long r;

	while (*done < from.len) {
		struct move move = {
			to + *done, from.start + *done, from.len - *done, ALLOW_SRC_HOLES, 0};

		r = rm_sys_ioctl(fd, MOVE, &move);
		if (!r)
			move.move = (int64_t)move.len;
		else if (r != -EAGAIN)
			return (int)r;
		if (move.move > 0)
			*done += (size_t)move.move;
		else if (++tries == MAX_TRIES)
			return -EBUSY;
	}
	return 0;
}

/* As far as it goes: *done. What can not be unregistered is so when the descriptor is closed. */
static int registered(int fd, struct rm_range from, uintptr_t to, size_t *done)
{
	struct uffdio_range range = {to, from.len};
	int r = rm_uffd_watch(fd, (struct rm_range){to, from.len});

	if (r)
		return r;
	r = go(fd, from, to, done);
	(void)rm_sys_ioctl(fd, UFFDIO_UNREGISTER, &range);
	return r;
}

int rm_transfer_back(int fd, struct rm_range from, uintptr_t to)
{
	const size_t page = rm_page_size();
	bool lost = false;

	while (from.len) {
		size_t done = 0;

		if (registered(fd, from, to, &done)) {
			lost |= rm_copy(to + done, from.start + done, page) != 0;
			done += page;
		}
		from.start += done;
		from.len -= done;
		to += done;
	}
	return lost ? -EIO : 0;
}

int rm_transfer(int fd, struct rm_range from, uintptr_t to)
{
	size_t done = 0;
	int r = registered(fd, from, to, &done);

	if (r && done && rm_transfer_back(fd, (struct rm_range){to, done}, from.start))
		return -EIO;
	return r;
}

bool rm_transfer_has_content(struct rm_range range, void *buf, size_t size)
{
	struct rm_pagemap pagemap;
	struct rm_range run;
	bool found;

	rm_pagemap_open(&pagemap, buf, size);
	rm_pagemap_begin(&pagemap, range);
	found = rm_pagemap_next(&pagemap, &run);
	rm_pagemap_close(&pagemap);
	return found;
}
