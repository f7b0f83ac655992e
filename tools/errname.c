/* SPDX-License-Identifier: MIT */
/*
 * glibc has strerrorname_np from 2.32 on. Kernels in need of libremap come with older ones (2.31
 * with 5.4 and 5.10): there the names are these, which the calls that libremap is about can give.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "tools/errname.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#if HAVE_DECL_STRERRORNAME_NP

static const char *find(int err)
{
	return strerrorname_np(err);
}

#else

#define NAMED(err)                                                                                 \
	case err:                                                                                  \
		return #err

static const char *find(int err)
{
	switch (err) {
		NAMED(EACCES);
		NAMED(EAGAIN);
		NAMED(EBADF);
		NAMED(EBUSY);
		NAMED(ECANCELED);
		NAMED(EEXIST);
		NAMED(EFAULT);
		NAMED(EFBIG);
		NAMED(EINTR);
		NAMED(EINVAL);
		NAMED(EIO);
		NAMED(EMFILE);
		NAMED(ENFILE);
		NAMED(ENODEV);
		NAMED(ENOENT);
		NAMED(ENOMEM);
		NAMED(ENOSPC);
		NAMED(ENOSYS);
		NAMED(ENOTTY);
		NAMED(EOPNOTSUPP);
		NAMED(EOVERFLOW);
		NAMED(EPERM);
		NAMED(ESRCH);
		NAMED(ETIMEDOUT);
		NAMED(EXDEV);
	default:
		return NULL;
	}
}

#endif

const char *rm_errname(int err)
{
	static char number[24];
	const char *name = find(err);

	if (name)
		return name;
	snprintf(number, sizeof(number), "errno %d", err);
	return number;
}
