/* SPDX-License-Identifier: MIT */
/*
 * The program's own userfaultfd on a range that is about to move (A5).
 */
#ifndef RM_UFFD_H
#define RM_UFFD_H

#include "emul/procmaps.h"
#include "emul/types.h"

struct rm_uffd {
	int fd;		   /* -1: the range is not armed */
	uint64_t mode;	   /* UFFDIO_REGISTER_MODE_* */
	uint64_t features; /* what was asked for in UFFDIO_API */
};

/*
 * Which descriptor of this process has armed the mapping that vma describes, part of which is
 * range. vma has flags. 0 with fd -1 if it is not armed; -ENOENT if it is, and by no descriptor of
 * this process; -EMFILE and other errors of opening /proc/self/fd. Re-registers the range with the
 * mode it has, which changes nothing.
 */
int __must_check rm_uffd_find(const struct rm_vma *vma, struct rm_range range, char *buf,
	size_t size, struct rm_uffd *uffd);

/* Arms range as uffd says. 0 or -errno. Inside the window. */
int __must_check rm_uffd_arm(const struct rm_uffd *uffd, struct rm_range range);

/*
 * One of our own, closed on exec. flags beside O_CLOEXEC and O_NONBLOCK, features for UFFDIO_API.
 * The descriptor or -errno.
 */
int __must_check rm_uffd_open(int flags, uint64_t features);
/*
 * The same for what no system call touches while it watches: unprivileged, where the kernel knows
 * that (5.11).
 */
int __must_check rm_uffd_open_own(uint64_t features);
/* It reports what is missing in range from now on. */
int __must_check rm_uffd_watch(int fd, struct rm_range range);

/*
 * Where range, an empty mapping, is moved to next, the kernel does not merge it with anything: it
 * compares the userfaultfd of what it moves, and takes that off afterwards
 * (mremap_userfaultfd_prep(), 4.19.72, 5.0). What is done to either side later merges them as
 * usual. The descriptor, to be closed after the move, or -errno. Not for files that are on a disk.
 */
int __must_check rm_uffd_set_apart(struct rm_range range);

/*
 * The program is told of unmappings; moving an armed range away would tell it of one that 6.18 does
 * not make (A6).
 */
bool rm_uffd_wants_unmap_event(const struct rm_uffd *uffd);

/* The kernel will hold the mover until the program has read a REMAP event. */
bool rm_uffd_wants_remap_event(const struct rm_uffd *uffd);

#endif
