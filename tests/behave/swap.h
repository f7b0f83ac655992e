/* SPDX-License-Identifier: MIT */
/*
 * A swap file for the length of a test case. RM_SWAPON=DIR, of a disk file system: one may be made
 * in DIR; without, swap that is there already is taken.
 */
#ifndef SWAP_H
#define SWAP_H

#include <stdbool.h>
#include <stddef.h>

#define SMALL_SWAP ((size_t)8 << 20)
#define LARGE_SWAP ((size_t)48 << 20)

/* Swap of size bytes, if there is none; the case is skipped if it can not be had. */
void swap_need(size_t size);
/* What swap_need() made is gone again; also for atexit(). */
void swap_off(void);

#endif
