/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_MIRROR of huge pages, shared and private, for which mremap's old_size 0 is EINVAL on every
 * kernel (semantics.md 1.6, B22). Needs eight free huge pages.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/behave/mirror.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4U
#endif

#define HUGE_PAGE ((size_t)2 << 20)

/* A place for len bytes, aligned. */
static char *place(size_t len)
{
	char *p = mmap(NULL, len + HUGE_PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0), *aligned;

	check(p != MAP_FAILED);
	aligned = (char *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	if (aligned > p)
		munmap(p, (size_t)(aligned - p));
	munmap(aligned + len, HUGE_PAGE - (size_t)(aligned - p));
	return aligned;
}

static char *map_huge(size_t len, int flags, int fd)
{
	char *at = place(len);
	char *p = mmap(at, len, RW, flags | MAP_FIXED, fd, 0);

	if (p == MAP_FAILED) {
		munmap(at, len);
		behave_skip("not enough huge pages");
	}
	return p;
}

static int make_memfd(size_t len)
{
	int fd = memfd_create("mirror", MFD_CLOEXEC | MFD_HUGETLB);

	if (fd < 0)
		behave_skip("no memfd_create(MFD_HUGETLB)");
	check(!ftruncate(fd, (off_t)len));
	return fd;
}

/* Anywhere, and of a part onto an existing mapping. */
static void check_shared(char *source)
{
	const size_t len = 2 * HUGE_PAGE;
	char *view, *target = place(HUGE_PAGE);

	fill(source, len, 1);
	view = mirrored(source, len, MIRROR, NULL);
	check_view(source, view, len, "");
	check_one_memory(source, view, len);
	fill(source, len, 1);
	check(mirrored(source + HUGE_PAGE, HUGE_PAGE, MIRROR_ONTO, target) == target);
	check_view(source + HUGE_PAGE, target, HUGE_PAGE, "");
	check(!munmap(view, len));
	check_one_memory(source + HUGE_PAGE, target, HUGE_PAGE);
	check(!munmap(source, len)); /* the view lives on */
	check(filled(target + HUGE_PAGE - PAGE, PAGE, 802));
	check(!munmap(target, HUGE_PAGE));
}

static void memfd(void **state)
{
	int fd = make_memfd(2 * HUGE_PAGE);

	(void)state;
	check_shared(map_huge(2 * HUGE_PAGE, MAP_SHARED, fd));
	close(fd);
}

/* The only way to the file is /proc/self/map_files. */
static void closed_child(void *arg)
{
	char *p = map_huge(2 * HUGE_PAGE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1);

	(void)arg;
	if (geteuid())
		behave_skip("needs root to open /proc/self/map_files");
	check_shared(p);
	p = map_huge(HUGE_PAGE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	fill(p, PAGE, 1);
	check(!setresgid(65534, 65534, 65534));
	check(!setresuid(65534, 65534, 65534));
	check(!prctl(PR_SET_DUMPABLE, 1));
	refused(p, HUGE_PAGE, HUGE_PAGE, MIRROR, NULL, EINVAL);
	check(filled(p, PAGE, 1));
}

static void closed(void **state)
{
	(void)state;
	in_child(closed_child, NULL);
}

static void read_only(void **state)
{
	int fd = make_memfd(HUGE_PAGE);
	char *p = map_huge(HUGE_PAGE, MAP_SHARED, fd), *view;

	(void)state;
	fill(p, HUGE_PAGE, 1);
	check(!mprotect(p, HUGE_PAGE, PROT_READ));
	view = mirrored(p, HUGE_PAGE, MIRROR, NULL);
	check_view(p, view, HUGE_PAGE, "");
	check(filled(view, HUGE_PAGE, 1));
	check(!munmap(view, HUGE_PAGE) && !munmap(p, HUGE_PAGE));
	close(fd);
}

/* How much of the mapping at that address has entries in the page table. */
static size_t huge_there(const char *at)
{
	struct vma vma;

	check(vma_at(at, &vma));
	return (vma.shared_hugetlb + vma.private_hugetlb) * 1024;
}

/* mincore would tell of the file's pages where the view has no page table yet. */
static void populate(void **state)
{
	int fd = make_memfd(2 * HUGE_PAGE);
	char *p = map_huge(2 * HUGE_PAGE, MAP_SHARED, fd), *view;

	(void)state;
	fill(p, PAGE, 1);
	check_is(huge_there(p), HUGE_PAGE);
	view = mirrored(p, 2 * HUGE_PAGE, MIRROR, NULL);
	check_is(huge_there(view), 0);
	check(!munmap(view, 2 * HUGE_PAGE));
	view = mirrored(p, 2 * HUGE_PAGE, MIRROR | POPULATE, NULL);
	check_is(huge_there(view), 2 * HUGE_PAGE);
	check(filled(view, PAGE, 1));
	check(!munmap(view, 2 * HUGE_PAGE) && !munmap(p, 2 * HUGE_PAGE));
	close(fd);
}

/* Lengths are rounded up to huge pages; addresses have to be aligned to them. */
static void alignment(void **state)
{
	int fd = make_memfd(2 * HUGE_PAGE);
	char *p = map_huge(2 * HUGE_PAGE, MAP_SHARED, fd), *view;
	/*
	 * with a huge page on either side, so that ranges of three there and at p do not touch,
	 * wherever p lies
	 */
	char *target = place(4 * HUGE_PAGE) + HUGE_PAGE;

	(void)state;
	check(!munmap(target - HUGE_PAGE, 4 * HUGE_PAGE));
	check(mmap(target, 2 * HUGE_PAGE, RW, ANON | MAP_FIXED, -1, 0) == target);
	fill(p, 2 * HUGE_PAGE, 1);
	fill(target, 2 * HUGE_PAGE, 2);
	refused(p + PAGE, PAGE, PAGE, MIRROR, NULL, EINVAL);
	refused(p, PAGE, PAGE, MIRROR_ONTO, target + PAGE, EINVAL);
	refused(p, PAGE, PAGE, MIRROR_ONTO, p + HUGE_PAGE / 2, EINVAL);
	refused(p, 3 * HUGE_PAGE, 3 * HUGE_PAGE, MIRROR_ONTO, target, EFAULT);
	refused(p + HUGE_PAGE, HUGE_PAGE + 1, HUGE_PAGE + 1, MIRROR, NULL, EFAULT);
	check(filled(target, 2 * HUGE_PAGE, 2));
	view = mremap(p, PAGE, PAGE, MIRROR, target + PAGE); /* a wish that can not be */
	check(view != MAP_FAILED);
	check(filled(view, HUGE_PAGE, 1));
	check(!munmap(view, HUGE_PAGE));
	check(!munmap(p, 2 * HUGE_PAGE) && !munmap(target, 2 * HUGE_PAGE));
	close(fd);
}

/* Converted, with what it held; what it did not hold is still zero. */
static void private(void **state)
{
	char *p = map_huge(3 * HUGE_PAGE, ANON | MAP_HUGETLB, -1), *view,
	     *target = place(HUGE_PAGE);
	struct vma vma;

	(void)state;
	fill(p, HUGE_PAGE, 1);
	fill(p + 2 * HUGE_PAGE, HUGE_PAGE, 3);
	view = mirrored(p + HUGE_PAGE, 2 * HUGE_PAGE, MIRROR, NULL);
	check(vma_at(p, &vma) && vma.perms[3] == 'p');
	check(vma_at(p + HUGE_PAGE, &vma) && vma.perms[3] == 's');
	check_view(p + HUGE_PAGE, view, 2 * HUGE_PAGE, "");
	check(filled(p, HUGE_PAGE, 1) && zeroed(p + HUGE_PAGE, HUGE_PAGE));
	check(filled(p + 2 * HUGE_PAGE, HUGE_PAGE, 3) && filled(view + HUGE_PAGE, HUGE_PAGE, 3));
	check_one_memory(view, p + HUGE_PAGE, 2 * HUGE_PAGE);
	check(!munmap(view, 2 * HUGE_PAGE));
	check(mirrored(p, HUGE_PAGE, MIRROR_ONTO, target) == target);
	check(filled(target, HUGE_PAGE, 1));
	check_one_memory(p, target, HUGE_PAGE);
	check(!munmap(p, 3 * HUGE_PAGE) && !munmap(target, HUGE_PAGE));
}

static void private_no_access(void **state)
{
	char *p = map_huge(HUGE_PAGE, ANON | MAP_HUGETLB, -1), *view;
	struct vma vma;

	(void)state;
	fill(p, HUGE_PAGE, 1);
	check(!mprotect(p, HUGE_PAGE, PROT_NONE));
	view = mirrored(p, HUGE_PAGE, MIRROR, NULL);
	check(vma_at(p, &vma) && !strcmp(vma.perms, "---s"));
	check(vma_at(view, &vma) && !strcmp(vma.perms, "---s"));
	check(!mprotect(view, HUGE_PAGE, RW) && filled(view, HUGE_PAGE, 1));
	check(!munmap(p, HUGE_PAGE) && !munmap(view, HUGE_PAGE));
}

/* More than the pool has, whatever other tests give back meanwhile: nothing has changed, and nothing is lost. */
static void private_too_large(void **state)
{
	char *p, *target = place(HUGE_PAGE);
	size_t pages = 0;
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	struct vma vma;

	(void)state;
	check(f);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "HugePages_Total: %zu", &pages);
	fclose(f);
	pages = pages / 2 + 1;
	p = map_huge(pages * HUGE_PAGE, ANON | MAP_HUGETLB, -1);
	for (size_t i = 0; i < pages; i++)
		fill(p + i * HUGE_PAGE, PAGE, (unsigned int)i);
	check(mmap(target, HUGE_PAGE, RW, ANON | MAP_FIXED, -1, 0) == target);
	fill(target, PAGE, 99);
	refused(p, pages * HUGE_PAGE, pages * HUGE_PAGE, MIRROR, NULL, ENOMEM);
	check(vma_at(p, &vma) && vma.perms[3] == 'p');
	for (size_t i = 0; i < pages; i++)
		check(filled(p + i * HUGE_PAGE, PAGE, (unsigned int)i));
	check(filled(target, PAGE, 99));
	check(!munmap(p, pages * HUGE_PAGE) && !munmap(target, HUGE_PAGE));
}

static void file_size_child(void *arg)
{
	struct rlimit limit = {HUGE_PAGE - 1, HUGE_PAGE - 1};
	char *p = map_huge(HUGE_PAGE, ANON | MAP_HUGETLB, -1);

	(void)arg;
	fill(p, HUGE_PAGE, 1);
	check(!setrlimit(RLIMIT_FSIZE, &limit));
	refused(p, HUGE_PAGE, HUGE_PAGE, MIRROR, NULL, ENOMEM); /* and no SIGXFSZ */
	check(filled(p, HUGE_PAGE, 1));
}

static void file_size(void **state)
{
	(void)state;
	in_child(file_size_child, NULL);
}

static struct {
	char *at;
	_Atomic bool stop;
	uint64_t written;
} busy;

static void *count_up(void *arg)
{
	(void)arg;
	for (; !busy.stop; busy.written++)
		(*(volatile uint64_t *)(busy.at + 64))++; /* one that is lost stays lost */
	return NULL;
}

/* No write is lost while the range is converted. */
static void private_under_fire(void **state)
{
	pthread_t thread;
	char *view;

	(void)state;
	for (int round = 0; round < 20; round++) {
		busy.at = map_huge(HUGE_PAGE, ANON | MAP_HUGETLB, -1);
		busy.stop = false;
		busy.written = 0;
		check(!pthread_create(&thread, NULL, count_up, NULL));
		while (round % 2 && !*(volatile uint64_t *)&busy.written)
			;
		view = mremap(busy.at, HUGE_PAGE, HUGE_PAGE, MIRROR, NULL);
		busy.stop = true;
		check(!pthread_join(thread, NULL));
		check(view != MAP_FAILED);
		check_is(*(uint64_t *)(busy.at + 64), busy.written);
		check_is(*(uint64_t *)(view + 64), busy.written);
		check(!munmap(view, HUGE_PAGE) && !munmap(busy.at, HUGE_PAGE));
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(memfd, "mirror-of-a-hugetlb-memfd"),
		CASE(closed, "mirror-of-hugetlb-without-a-descriptor-needs-privilege"),
		CASE(read_only, "mirror-of-read-only-hugetlb"),
		CASE(populate, "mirror-of-hugetlb-with-populate"),
		CASE(alignment, "mirror-of-hugetlb-goes-by-huge-pages"),
		CASE(private, "mirror-of-private-hugetlb"),
		CASE(private_no_access, "mirror-of-private-hugetlb-prot-none"),
		CASE(private_too_large, "mirror-of-private-hugetlb-beyond-the-pool-is-enomem"),
		CASE(file_size, "mirror-of-private-hugetlb-beyond-rlimit-fsize-is-enomem"),
		CASE(private_under_fire, "mirror-of-private-hugetlb-loses-no-write"),
	};

	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
