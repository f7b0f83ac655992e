/* SPDX-License-Identifier: MIT */
/*
 * Copying memory inside the window, and what may not be there.
 */
#ifndef RM_COPY_H
#define RM_COPY_H

#include "emul/types.h"

/*
 * len bytes, by the kernel where it allows that: then memory that can not be read or written is
 * -EFAULT and no signal. 0 or -errno, with part of it copied. Raw system calls only; for use inside
 * the window.
 */
int __must_check rm_copy(uintptr_t to, uintptr_t from, size_t len);

/*
 * len bytes of this process that may not be there, as a system call would find them: false if they
 * are not all, or where the kernel does not allow such reading. Async-signal-safe.
 */
bool __must_check rm_read_own(uintptr_t from, void *to, size_t len);

#endif
