/* SPDX-License-Identifier: MIT */
/*
 * Mirrors of private memory of which pages are in swap, before and after the conversion
 * (semantics.md B12). RM_SWAPON: swap.h.
 */
#include <fcntl.h>

#include "tests/behave/mirror.h"
#include "tests/behave/swap.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21 /* 5.4 */
#endif

#define MIB	((size_t)1 << 20)
#define SWAPPED ((uint64_t)1 << 62)

static size_t swapped_pages(const char *p, size_t len)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	uint64_t entry;

	check(fd >= 0);
	for (size_t i = 0; i < len; i += PAGE)
		if (pread(fd, &entry, 8, (off_t)(((uintptr_t)p + i) / PAGE * 8)) == 8)
			n += entry & SWAPPED ? 1 : 0;
	close(fd);
	return n;
}

static void swap_out(char *p, size_t len)
{
	if (madvise(p, len, MADV_PAGEOUT)) {
		munmap(p, len);
		swap_off();
		behave_skip("no MADV_PAGEOUT");
	}
}

/* What is in swap comes with the rest. */
static void swapped_before(void **state)
{
	static const size_t sizes[] = {64 * 4096, 6 * MIB};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const size_t len = sizes[i];
		char *p, *view;

		swap_need(SMALL_SWAP);
		p = make_numbered(len);
		check(!madvise(p, len, MADV_NOHUGEPAGE));
		swap_out(p + len / 4, len / 2);
		if (!swapped_pages(p, len)) {
			munmap(p, len);
			swap_off();
			behave_skip("nothing was swapped out");
		}
		view = mremap(p, len, len, MIRROR, NULL);
		check(view != MAP_FAILED);
		check(numbered(p, len) && numbered(view, len));
		check_one_memory(p, view, len);
		check(!munmap(p, len) && !munmap(view, len));
		swap_off();
	}
}

/*
 * That some of it is in swap does not make the rest come during the stop: it follows, as where
 * userfaultfd lets it.
 */
static void swapped_in_part(void **state)
{
	const size_t len = 128 * MIB, swapped = 256 * PAGE;
	bool follows = false, would = false;

	(void)state;
	swap_need(SMALL_SWAP);
	for (int i = 0; i < 20 && (!would || !follows); i++) {
		char *p = make_numbered(len), *view;
		struct vma vma;

		check(!madvise(p, len, MADV_NOHUGEPAGE));
		if (would)
			swap_out(p + len / 2, swapped);
		if (would && !swapped_pages(p, len)) {
			munmap(p, len);
			swap_off();
			behave_skip("nothing was swapped out");
		}
		view = mremap(p, len, len, MIRROR, NULL);
		check(view != MAP_FAILED);
		check(vma_at(view, &vma));
		*(would ? &follows : &would) |= vma_has(&vma, "um");
		check(numbered(view, len) && numbered(p, len));
		check(!munmap(p, len) && !munmap(view, len));
	}
	swap_off();
	if (!would)
		behave_skip("nothing is copied later here");
	check(follows);
}

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#endif

/*
 * A guard region looks like a page in swap: what can not be read is found before, and nothing is
 * converted.
 */
static void guarded_and_swapped(void **state)
{
	const size_t len = 8 * MIB;
	struct vma vma;
	char *p;

	(void)state;
	swap_need(SMALL_SWAP);
	p = make_numbered(len);
	check(!madvise(p, len, MADV_NOHUGEPAGE));
	swap_out(p + 2 * MIB, 256 * PAGE);
	if (madvise(p + 4 * MIB, PAGE, MADV_GUARD_INSTALL)) {
		munmap(p, len);
		swap_off();
		behave_skip("no guard regions");
	}
	refused(p, len, len, MIRROR, NULL, EINVAL);
	check(vma_at(p, &vma) && vma.perms[3] == 'p');
	check(numbered(p, 4 * MIB));
	check(!munmap(p, len));
	swap_off();
}

/* The object's pages go to swap and come back, in all views; holes are holes still. */
static void swapped_after(void **state)
{
	const size_t len = 64 * PAGE;
	struct vma vma;
	char *p, *view;

	(void)state;
	swap_need(SMALL_SWAP);
	p = make_numbered(len);
	check(!madvise(p + 8 * PAGE, 8 * PAGE, MADV_DONTNEED));
	view = mirrored(p, len, MIRROR, NULL);
	check(!munmap(view, len)); /* what two views have mapped is not paged out by advice */
	swap_out(p, len);
	check(vma_at(p, &vma));
	if (vma.rss >= 56 * PAGE / 1024) {
		munmap(p, len);
		swap_off();
		behave_skip("nothing was swapped out");
	}
	view = mirrored(p, len, MIRROR, NULL);
	check(numbered(view, 8 * PAGE) && zeroed(view + 8 * PAGE, 8 * PAGE));
	check(*(size_t *)(p + 16 * PAGE + 8) == 1 + 16 * PAGE);
	check(!memcmp(p, view, len));
	check_one_memory(p, view, len);
	check(!munmap(p, len) && !munmap(view, len));
	swap_off();
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(swapped_before, "mirror-of-memory-that-is-in-swap"),
		CASE(swapped_in_part, "mirror-of-memory-partly-in-swap-is-filled-later"),
		CASE(guarded_and_swapped, "mirror-of-memory-in-swap-with-guard-regions-is-einval"),
		CASE(swapped_after, "converted-memory-goes-to-swap-and-comes-back"),
	};

	atexit(swap_off); /* after a failure too */
	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
