/* SPDX-License-Identifier: MIT */
/*
 * The pages of a small range of shared memory that have page table entries, and giving a second
 * view the same ones.
 */
#ifndef RM_PRESENT_H
#define RM_PRESENT_H

#include "emul/types.h"

#define RM_PRESENT_PAGES 64 /* more are moved quicker with everybody stopped: doc/floor.md */

struct rm_present {
	size_t pages;
	uint8_t bits[RM_PRESENT_PAGES / 8];
};

/*
 * buf is scratch for 8 bytes a page. 0, or -EAGAIN: they can not be told, or touching them
 * elsewhere would bring in others. Raw system calls only.
 */
int __must_check rm_present_read(
	struct rm_present *present, struct rm_range range, void *buf, size_t size);

/* By the kernel's hand, so that what has become unreadable meanwhile is no signal. */
void rm_present_touch(const struct rm_present *present, uintptr_t at);

#endif
