/* SPDX-License-Identifier: MIT */
/*
 * madvise on converted memory (B2, B3).
 */
#ifndef RM_DONTNEED_H
#define RM_DONTNEED_H

#include "emul/types.h"

/*
 * madvise(2) as for the private memory that converted ranges were: what MADV_DONTNEED, MADV_FREE
 * and MADV_DONTNEED_LOCKED (5.18) let go of reads as zeros afterwards, in all views. All else is
 * the kernel's. What changes the content, or what children have of it, waits until the range is
 * filled. 0 or -errno.
 */
long rm_madvise(uintptr_t addr, size_t len, int advice);

#endif
