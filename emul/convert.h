/* SPDX-License-Identifier: MIT */
/*
 * Conversion: private anonymous memory becomes shared memory, with its content, while everybody
 * uses it.
 */
#ifndef RM_CONVERT_H
#define RM_CONVERT_H

#include "emul/types.h"

/*
 * Converts request->source and makes a second view of it, at an address of the kernel's choice that
 * does not touch a MREMAP_FIXED destination: the view's address. Or -errno with nothing changed:
 * -EFAULT (not one mapping), -EPERM (sealed), -ENOMEM, -EAGAIN (RLIMIT_MEMLOCK), -EINVAL (with a
 * reason). May sleep. Not inside the world.
 */
long rm_convert(const struct rm_request *request);

#endif
