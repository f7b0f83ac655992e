/* SPDX-License-Identifier: MIT */
/*
 * Page table entries of a second view.
 *
 * A move carries page table entries along, a second view begins without: Rss would be too small,
 * and first touches would fault. A fault that reads brings in one page, and with it such neighbours
 * as are in the page cache (do_fault_around()). So touching what was there gives the same entries
 * again if everything in the page cache was; else it is not done. Only for memory of shmem: there
 * what a read brings in may be written to without another fault, and that fault would change the
 * time of a file.
 */
#include "emul/present.h"

#include <errno.h>
#include <string.h>

#include "emul/sys.h"
#include "emul/world.h"

#define PRESENT (1ULL << 63) /* in /proc/PID/pagemap, for anybody to read (semantics.md 9) */

int rm_present_read(struct rm_present *present, struct rm_range range, void *buf, size_t size)
{
	const size_t page = rm_page_size(), n = range.len / page;
	const uint64_t *entries = buf;
	uint8_t cached[RM_PRESENT_PAGES];
	long fd, got;

	if (n > RM_PRESENT_PAGES || n * sizeof(*entries) > size)
		return -EAGAIN;
	fd = rm_sys_open("/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return -EAGAIN;
	got = rm_syscall(SYS_pread64, fd, (long)buf, (long)(n * sizeof(*entries)),
		(long)(range.start / page * sizeof(*entries)), 0, 0);
	rm_sys_close((int)fd);
	if (got != (long)(n * sizeof(*entries)) ||
		rm_syscall(SYS_mincore, (long)range.start, (long)range.len, (long)cached, 0, 0, 0))
		return -EAGAIN;
	memset(present, 0, sizeof(*present));
	present->pages = n;
	for (size_t i = 0; i < n; i++) {
		if (entries[i] & PRESENT)
			present->bits[i / 8] |= (uint8_t)(1U << i % 8);
		else if (cached[i] & 1)
			return -EAGAIN;
	}
	return 0;
}

void rm_present_touch(const struct rm_present *present, uintptr_t at)
{
	const int no_such_how = -1;
	long r = -EINVAL;

	/*
	 * sigprocmask reads the set before it looks at how (EFAULT comes before EINVAL in every
	 * kernel), and changes nothing.
	 */
	for (size_t i = 0; i < present->pages && r != -EFAULT; i++)
		if (present->bits[i / 8] & (1U << i % 8))
			r = rm_syscall(SYS_rt_sigprocmask, no_such_how,
				(long)(at + i * rm_page_size()), 0, sizeof(uint64_t), 0, 0);
}
