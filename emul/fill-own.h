/* SPDX-License-Identifier: MIT */
/*
 * A lazy conversion under way: shared by its life (fill.c) and its work (fill-content.c).
 */
#ifndef RM_FILL_OWN_H
#define RM_FILL_OWN_H

#include <stdatomic.h>

#include "emul/fill.h"
#include "emul/pagemap.h"
#include "emul/procmaps.h"

struct rm_fill {
	char zero[4096] __attribute__((aligned(4096))); /* only with such pages */
	int pid, tid;
	int uffd;		/* the caller's; the thread's own has the same number */
	_Atomic uint32_t order; /* futex: WAITING, GOING, CANCELLED */
	_Atomic uint32_t busy;	/* futex: 1 until the thread has nothing more to do */
	struct rm_range back, aside;
	struct rm_range views[2];
	unsigned int nviews;
	bool moved;	 /* views are not where they were */
	bool unreadable; /* what was put aside is */
	bool apart;	 /* views are not for children afterwards either */
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	size_t left; /* bytes of content that are not filled */
	struct rm_pagemap pagemap;
	uint64_t entries[512];
	struct rm_maps maps;
	char tls[256] __attribute__((aligned(64)));
	char stack[16384] __attribute__((aligned(16)));
};

/* By its thread: all content comes, */
void rm_fill_all(struct rm_fill *fill);
/* and afterwards nothing is watched any more, and what was put aside is gone. */
void rm_fill_finish(struct rm_fill *fill);

#endif
