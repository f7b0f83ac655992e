/* SPDX-License-Identifier: MIT */
/*
 * Setting mirrors up, and their content.
 */
#include "tests/faults/mirrors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emul/fill.h"
#include "emul/numbers.h"
#include "libremap.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4U
#endif
#define LARGE_LEN                                                                                  \
	((size_t)5 << 20) /* 4 MiB of content, from which on it is filled later; and a hole */
#define EMPTY_PAGE (PAGES - 3)

struct mirror_process mirror_process = {.fd = -1, .uffd = -1};

bool mirror_complain(const char *what)
{
	printf("#   %s\n", what);
	return false;
}

/* --- the range and its content --- */

bool mirror_is_huge(const struct mirror *m)
{
	return m->kind == HUGE_PRIVATE || m->kind == HUGE_SHARED;
}

/* The whole mapping's. */
size_t mirror_map_len(const struct mirror *m)
{
	return mirror_is_huge(m) ? 2 * HUGE : m->flags & LARGE ? LARGE_LEN : PAGES * PAGE;
}

uintptr_t mirror_mapping(uintptr_t area)
{
	return area + HUGE;
}

size_t mirror_start(const struct mirror *m)
{
	return m->flags & MIDDLE ? 2 * PAGE : 0;
}

size_t mirror_len(const struct mirror *m)
{
	return m->flags & MIDDLE ? 4 * PAGE : mirror_map_len(m);
}

uintptr_t mirror_source(const struct mirror *m)
{
	return mirror_mapping(SOURCE) + mirror_start(m);
}

static char byte_of(const struct mirror *m, size_t page)
{
	if (mirror_is_huge(m))
		return page < HUGE / PAGE ? 'h' : '\0';
	if (m->flags & LARGE)
		return page / 256 != 2 ? (char)('a' + page / 64) : '\0';
	return page == EMPTY_PAGE && !(m->flags & WATCHES) ? '\0' : (char)('A' + page);
}

bool mirror_is_counted(const struct mirror *m)
{
	return !(m->flags & (READ_ONLY | NO_ACCESS));
}

/* The first page of the range has the word in it. */
static bool page_is_right(const struct mirror *m, const char *at, size_t page)
{
	static char wanted[PAGE];
	const char byte = byte_of(m, page);

	if (wanted[0] != byte || wanted[PAGE - 1] != byte || wanted[WORD] != byte)
		memset(wanted, byte, PAGE);
	if (mirror_is_counted(m) && page == mirror_start(m) / PAGE)
		*(uint64_t *)(wanted + WORD) = mirror_process.counted;
	if (!memcmp(at, wanted, PAGE)) {
		*(uint64_t *)(wanted + WORD) = *(uint64_t *)(wanted + WORD + 8);
		return true;
	}
	printf("#   page %zu at %p begins with %02x instead of %02x, and counts %lu instead of "
	       "%lu\n",
		page, (const void *)at, (unsigned char)*at, (unsigned char)byte,
		*(const unsigned long *)(at + WORD), *(unsigned long *)(wanted + WORD));
	memset(wanted, byte, PAGE);
	return false;
}

/* All of [from, from + len) of the mapping, as seen at at. */
bool mirror_content_is_right(const struct mirror *m, uintptr_t at, size_t from, size_t len)
{
	bool ok = true;

	if ((m->flags & NO_ACCESS) && mprotect((void *)at, len, PROT_READ))
		return mirror_complain("there is nothing to be read");
	for (size_t i = 0; i < len && ok; i += PAGE)
		ok = page_is_right(m, (const char *)at + i, (from + i) / PAGE);
	if (m->flags & NO_ACCESS)
		mprotect((void *)at, len, PROT_NONE);
	return ok;
}

/* --- the other threads --- */

static void *run_beside(void *arg)
{
	(void)arg;
	for (;;) {
		volatile uint64_t *word = mirror_process.word;

		if (word) {
			++*word;
			mirror_process.counted++;
		}
		mirror_process.counter++;
	}
	return NULL;
}

static bool wait_for_progress(void)
{
	unsigned long was = mirror_process.counter;

	for (int i = 0; i < 5000 && mirror_process.counter < was + 2; i++)
		usleep(200);
	return mirror_process.counter >= was + 2;
}

/* The word stays as it is; false: the other thread stands still. */
bool mirror_stop_counting(void)
{
	mirror_process.word = NULL;
	return wait_for_progress();
}

static int count_threads(void)
{
	char buf[1024];
	struct rm_numbers tasks;
	int tid, n = 0;

	if (rm_numbers_open(&tasks, "/proc/self/task", buf, sizeof(buf)))
		return -1;
	while (rm_numbers_next(&tasks, &tid) > 0)
		n++;
	rm_numbers_close(&tasks);
	return n;
}

/* All content is there, and the thread that brought it has gone. */
bool mirror_wait_for_fills(void)
{
	int n = 0;

	rm_fill_wait();
	for (int i = 0; i < 10000 && (n = count_threads()) != mirror_process.threads; i++)
		usleep(200);
	return n == mirror_process.threads || mirror_complain("a thread is left over");
}

/* --- setting up --- */

long mirror_make(uintptr_t start, size_t len, int flags, uintptr_t to)
{
	void *r = remap_mremap((void *)start, len, len,
		REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_MIRROR | flags, (void *)to);

	return r == MAP_FAILED ? -errno : (long)r;
}

bool mirror_begin(const void *arg)
{
	const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	volatile char deep[262144];
	pthread_t thread;
	long view;
	char *p;

	(void)arg;
	for (size_t i = 0; i < sizeof(deep); i += PAGE) /* the stack does not grow later */
		deep[i] = 0;
	setrlimit(RLIMIT_MEMLOCK, &limit);
	setvbuf(stdout, NULL, _IOLBF, 8192);
	if (remap_prepare(NULL, 0, 0) || pthread_create(&thread, NULL, run_beside, NULL))
		return mirror_complain("no thread");
	mirror_process.threads = 2;
	/* what the library keeps for itself is there after a first time */
	p = mmap(NULL, LARGE_LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	view = mirror_make((uintptr_t)p, LARGE_LEN, 0, 0);
	if (view < 0 || !mirror_wait_for_fills())
		return mirror_complain("no mirror can be made");
	munmap(p, LARGE_LEN);
	munmap((void *)view, LARGE_LEN);
	return wait_for_progress();
}

static bool map_at(uintptr_t at, size_t len, int prot, int flags, int fd)
{
	return mmap((void *)at, len, prot, flags | MAP_FIXED, fd, 0) == (void *)at;
}

/*
 * A page on either side, and between them what flags and fd say; as many pages as the source has.
 */
static bool map_area(const struct mirror *m, uintptr_t area, int flags, int fd)
{
	const uintptr_t at = mirror_mapping(area);
	const size_t len = mirror_map_len(m);

	munmap((void *)area, MAX_LEN);
	return map_at(at - PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1) &&
	       map_at(at + len, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1) &&
	       map_at(at, len, RW, flags, fd);
}

static bool map_source(const struct mirror *m)
{
	switch (m->kind) {
	case PRIVATE:
	case CONVERTED:
		return map_area(m, SOURCE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	case SHARED:
		return map_area(m, SOURCE, MAP_SHARED | MAP_ANONYMOUS, -1);
	case HUGE_PRIVATE:
		return map_area(m, SOURCE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	case HUGE_SHARED:
		mirror_process.fd = memfd_create("fault-mirror", MFD_CLOEXEC | MFD_HUGETLB);
		return mirror_process.fd >= 0 &&
		       !ftruncate(mirror_process.fd, (off_t)mirror_map_len(m)) &&
		       map_area(m, SOURCE, MAP_SHARED, mirror_process.fd);
	}
	return false;
}

static bool watch_source(const struct mirror *m)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.range = {mirror_mapping(SOURCE), mirror_map_len(m)},
		.mode = UFFDIO_REGISTER_MODE_MISSING};

	mirror_process.uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return mirror_process.uffd >= 0 && !ioctl(mirror_process.uffd, UFFDIO_API, &api) &&
	       !ioctl(mirror_process.uffd, UFFDIO_REGISTER, &reg);
}

static bool decorate_source(const struct mirror *m)
{
	const uintptr_t at = mirror_mapping(SOURCE);
	const size_t len = mirror_map_len(m);
	const unsigned long node = 1;

	for (size_t i = 0; i < len / PAGE; i++)
		if (byte_of(m, i))
			memset((char *)at + i * PAGE, byte_of(m, i), PAGE);
	if (m->flags & ADVISED) {
		if (madvise((void *)at, len, MADV_DONTFORK) ||
			madvise((void *)at, len, MADV_RANDOM) ||
			(syscall(SYS_mbind, at, len, MPOL_BIND, &node, 64UL, 0UL) &&
				errno != ENOSYS))
			return false;
		prctl(0x53564d41 /* PR_SET_VMA */, 0, at, len, "mirror");
	}
	if (m->kind == CONVERTED) {
		long view = mirror_make(at, len, 0, 0);

		if (view < 0 || munmap((void *)view, len) || !mirror_wait_for_fills())
			return false;
	}
	if ((m->flags & LOCK) && syscall(SYS_mlock, at, len)) /* ASan has an mlock of its own */
		return false;
	if ((m->flags & WATCHES) && !watch_source(m))
		return false;
	if (mirror_is_counted(m)) {
		volatile uint64_t *word = (volatile uint64_t *)(mirror_source(m) + WORD);

		*word = 0;
		mirror_process.counted = 0;
	}
	return !(m->flags & (READ_ONLY | NO_ACCESS)) ||
	       !mprotect((void *)at, len, m->flags & READ_ONLY ? PROT_READ : PROT_NONE);
}

bool mirror_map_target(const struct mirror *m)
{
	if (m->target != TO_MAPPING)
		return true;
	if (!map_area(m, DESTINATION, MAP_PRIVATE | MAP_ANONYMOUS, -1))
		return false;
	memset((void *)mirror_mapping(DESTINATION), 'D', mirror_map_len(m));
	return true;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

bool mirror_set_up(const struct mirror *m)
{
	if (!mirror_stop_counting() || !mirror_wait_for_fills())
		return mirror_complain("the other threads do not come to rest before the test");
	close_fd(&mirror_process.fd);
	close_fd(&mirror_process.uffd);
	munmap((void *)DESTINATION, MAX_LEN);
	if (!map_source(m) || !decorate_source(m) || !mirror_map_target(m))
		return mirror_complain("the scenario can not be set up");
	if (!snapshot_take(&mirror_process.before))
		return false;
	if (mirror_is_counted(m))
		mirror_process.word = (volatile uint64_t *)(mirror_source(m) + WORD);
	return true;
}
