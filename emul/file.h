/* SPDX-License-Identifier: MIT */
/*
 * The file behind a mapping, opened again (A7).
 */
#ifndef RM_FILE_H
#define RM_FILE_H

#include "emul/procmaps.h"

/*
 * A close-on-exec descriptor of the very file that vma maps, checked by device and inode, for
 * reading or (write) for both; buf is scratch. -EINVAL, with a reason for the user, if it can not
 * be had. Async-signal-safe; also inside the window.
 */
int __must_check rm_file_open(const struct rm_vma *vma, bool write, char *buf, size_t size);

/*
 * Whether what it maps is of the kernel's own tmpfs, told by the device: a memfd, shared anonymous
 * or System V memory of base pages.
 */
bool rm_file_is_shmem(const struct rm_vma *vma);

#endif
