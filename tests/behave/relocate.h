/* SPDX-License-Identifier: MIT */
/*
 * What the tests of MREMAP_RELOCATE_ANON and MREMAP_MUST_RELOCATE_ANON share. No kernel has the
 * flags: run-configs gives these programs the configuration "real" in the place of a native run.
 *
 * What has been touched can be relocated where the kernel has UFFDIO_MOVE (6.8); can_relocate()
 * asks userfaultfd for that, not libremap. Elsewhere MUST is EFAULT for it, and that is what the
 * tests then expect.
 */
#ifndef RELOCATE_H
#define RELOCATE_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "libremap.h"
#include "tests/behave/behave.h"

#define RELOCATE (MREMAP_MAYMOVE | REMAP_MREMAP_RELOCATE_ANON)
#define MUST	 (MREMAP_MAYMOVE | REMAP_MREMAP_MUST_RELOCATE_ANON)

static inline bool can_relocate(void)
{
	enum { USER_MODE_ONLY = 1 };
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY);
	bool can;

	can = fd >= 0 && !ioctl(fd, UFFDIO_API, &api) && (api.features & (1ULL << 16));
	if (fd >= 0)
		close(fd);
	return can;
}

/* Memory at that address and nowhere else, which is filled if seed is not 0. */
static inline char *lay(void *at, size_t pages, int prot, unsigned int seed)
{
	char *p = mmap(at, pages * PAGE, RW, ANON | MAP_FIXED, -1, 0);

	check(p == at);
	if (seed)
		fill(p, pages * PAGE, seed);
	check(prot == RW || !mprotect(p, pages * PAGE, prot));
	return p;
}

/*
 * What a library needs for itself is there after a first call, and will not be taken for a change.
 */
static inline void relocate_warm_up(void)
{
	char *page = mmap(NULL, PAGE, RW, ANON, -1, 0), *new;

	*page = 1;
	new = mremap(page, PAGE, PAGE, RELOCATE | MREMAP_DONTUNMAP, NULL);
	munmap(page, PAGE);
	if (new != MAP_FAILED)
		munmap(new, PAGE);
}

#endif
