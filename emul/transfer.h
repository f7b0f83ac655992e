/* SPDX-License-Identifier: MIT */
/*
 * Pages that go from one mapping to another and belong to the other one then. transfer.c explains.
 */
#ifndef RM_TRANSFER_H
#define RM_TRANSFER_H

#include "emul/types.h"

/* A userfaultfd of our own that can do it, or -errno: -EINVAL if the kernel can not. */
int __must_check rm_transfer_open(void);

/*
 * All pages of from go to the same places in the range at to, which is empty; both are private
 * anonymous mappings of the same protection, writable, and not locked. Nobody else runs. 0; or
 * -errno and every page is where it was: -EBUSY if one is shared with another process or pinned; or
 * -EIO, and some are lost.
 */
int __must_check rm_transfer(int fd, struct rm_range from, uintptr_t to);

/* The same, to take it back: a page that can not go is copied. */
int __must_check rm_transfer_back(int fd, struct rm_range from, uintptr_t to);

/*
 * Whether the range has anything of its own: pages, also in swap, guard regions, poison. buf is
 * scratch. True if that can not be told.
 */
bool rm_transfer_has_content(struct rm_range range, void *buf, size_t size);

#endif
