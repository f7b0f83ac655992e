/* SPDX-License-Identifier: MIT */
/*
 * The numbers in a directory of /proc: threads in task, descriptors in fd. No libc, no allocation.
 */
#ifndef RM_NUMBERS_H
#define RM_NUMBERS_H

#include "emul/fd.h"
#include "emul/types.h"

struct rm_numbers {
	int dir; /* the directory's descriptor */
	struct rm_fd_id id;
	bool any; /* entries have been read: it is a directory */
	char *buf;
	size_t size;
	long filled, at;
};

/* buf is the caller's, at least 1 KiB, and is used until rm_numbers_close. 0 or -errno. */
int __must_check rm_numbers_open(struct rm_numbers *n, const char *path, char *buf, size_t size);
/*
 * 1: *number is the next one; 0: no more; -errno, of which -EBADF: somebody has closed or replaced
 * the descriptor, or nothing could be read at all. Entries that are not numbers are passed over.
 */
int __must_check rm_numbers_next(struct rm_numbers *n, int *number);
/* From the beginning again. 0, or -EBADF. */
int __must_check rm_numbers_rewind(struct rm_numbers *n);
void rm_numbers_close(struct rm_numbers *n);

#endif
