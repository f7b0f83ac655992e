/* SPDX-License-Identifier: MIT */
/*
 * Which error a refused MREMAP_DONTUNMAP gives, and that nothing has happened then (semantics.md
 * 1.2, 1.3: 6.18).
 */
#include <sys/auxv.h>

#include "tests/behave/behave.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static struct arena a;

static void make(void)
{
	arena_make_filled(&a, 8, RW, ANON);
	/* a destination with something to lose */
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	fill(a.target, a.len, 2);
}

static void end(void)
{
	check(filled(a.source, a.len, 1));
	check(filled(a.target, a.len, 2));
	arena_end(&a);
}

static void without_maymove(void **state)
{
	(void)state;
	make();
	refused(a.source, a.len, a.len, MREMAP_DONTUNMAP, NULL, EINVAL);
	refused(a.source, a.len, a.len, MREMAP_DONTUNMAP | MREMAP_FIXED, a.target, EINVAL);
	refused(a.source, a.len, a.len, MREMAP_FIXED, a.target, EINVAL);
	end();
}

static void unknown_flags(void **state)
{
	const int flags[] = {1 << 6, 1 << 8, 1 << 16, 1 << 30, (int)(1u << 31), -1};

	(void)state;
	make();
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		refused(a.source, a.len, a.len, ANYWHERE | flags[i], NULL, EINVAL);
		refused(a.source, a.len, a.len, ONTO | flags[i], a.target, EINVAL);
	}
	end();
}

static void unaligned(void **state)
{
	(void)state;
	make();
	refused(a.source + 1, a.len, a.len, ANYWHERE, NULL, EINVAL);
	refused(a.source + PAGE - 1, PAGE, PAGE, ONTO, a.target, EINVAL);
	refused(a.source, a.len, a.len, ONTO, a.target + 1, EINVAL);
	refused(a.source, a.len, a.len, ONTO, a.target - 1, EINVAL);
	end();
}

static void lengths(void **state)
{
	(void)state;
	make();
	refused(a.source, a.len, 0, ANYWHERE, NULL, EINVAL);
	refused(a.source, 0, 0, ANYWHERE, NULL, EINVAL);
	refused(a.source, 0, a.len, ANYWHERE, NULL, EINVAL);
	refused(a.source, 0, a.len, ONTO, a.target, EINVAL);
	refused(a.source, a.len, a.len + PAGE, ANYWHERE, NULL, EINVAL);
	refused(a.source, a.len, a.len - PAGE, ANYWHERE, NULL, EINVAL);
	refused(a.source, a.len, a.len - PAGE, ONTO, a.target, EINVAL);
	refused(a.source, a.len, a.len + 1, ONTO, a.target, EINVAL);
	refused(a.source, PAGE, 2 * PAGE, ONTO, a.target, EINVAL);
	end();
}

/* Longer than the address space, and so long that rounding up gives 0. */
static void absurd_lengths(void **state)
{
	const size_t lens[] = {~0ul, ~0ul - 4096, 1ul << 63, 1ul << 60, 1ul << 56};

	(void)state;
	make();
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		refused(a.source, lens[i], lens[i], ANYWHERE, NULL, EINVAL);
		refused(a.source, lens[i], lens[i], ONTO, a.target, EINVAL);
	}
	end();
}

/* 6.17: only the lengths in pages count. */
static void rounded_lengths(void **state)
{
	char *new;

	(void)state;
	make();
	new = watched(a.source, 1, PAGE, ANYWHERE, NULL);
	check(new != MAP_FAILED);
	check(zeroed(a.source, PAGE));
	check(!memcmp(memcpy(a.source, new, PAGE), new, PAGE));
	check(!munmap(new, PAGE));
	new = watched(a.source, 2 * PAGE, PAGE + 1, ANYWHERE, NULL);
	check(new != MAP_FAILED);
	check(zeroed(a.source, 2 * PAGE));
	check(!memcmp(memcpy(a.source, new, 2 * PAGE), new, 2 * PAGE));
	check(!munmap(new, 2 * PAGE));
	end();
}

static void destination_out_of_range(void **state)
{
	(void)state;
	make();
	refused(a.source, a.len, a.len, ONTO, (void *)(1ul << 63), EINVAL);
	refused(a.source, a.len, a.len, ONTO, (void *)-PAGE, EINVAL);
	refused(a.source, a.len, a.len, ONTO, (void *)-a.len, EINVAL);
	end();
}

/* x86-64 with four levels: the last page of the lower half is not to be had. */
static void last_page(void **state)
{
#ifdef __x86_64__
	uintptr_t top = 1ul << 47;
	char *beyond = mmap((void *)top, PAGE, PROT_NONE, ANON, -1, 0);

	(void)state;
	/* With five levels of page tables it goes on, for those who ask for it. */
	if (beyond == (char *)top)
		top = 1ul << 56;
	check(!munmap(beyond, PAGE));
	make();
	refused(a.source, a.len, a.len, ONTO, (void *)(top - a.len), EINVAL);
	refused(a.source, a.len, a.len, ANYWHERE, (void *)(top - a.len), EINVAL);
	end();
#else
	(void)state;
	behave_skip("the end of the address space is known for x86-64 only");
#endif
}

static void unmapped(void **state)
{
	char *hole;

	(void)state;
	make();
	hole = a.target + a.len + 8 * PAGE;
	check(!munmap(hole, a.len));
	refused(hole, a.len, a.len, ANYWHERE, NULL, EFAULT);
	refused(hole, PAGE, PAGE, ONTO, a.target, EFAULT);
	refused(hole + a.len - PAGE, 2 * PAGE, 2 * PAGE, ONTO, a.target, EFAULT);
	end();
}

static void beyond_the_end(void **state)
{
	(void)state;
	make();
	check(!munmap(a.source + 6 * PAGE, 2 * PAGE));
	refused(a.source, a.len, a.len, ANYWHERE, NULL, EFAULT);
	refused(a.source + 5 * PAGE, 2 * PAGE, 2 * PAGE, ANYWHERE, NULL, EFAULT);
	/* into the neighbour, which is another mapping */
	refused(a.source - PAGE, 2 * PAGE, 2 * PAGE, ANYWHERE, NULL, EFAULT);
	check(filled(a.source, 6 * PAGE, 1));
	check(filled(a.target, a.len, 2));
	arena_end(&a);
}

/* The address is looked at before the mapping is, the flags before the address. */
static void order(void **state)
{
	char *hole;

	(void)state;
	make();
	hole = a.target + a.len + 8 * PAGE;
	check(!munmap(hole, a.len));
	refused(hole + 1, PAGE, PAGE, ANYWHERE, NULL, EINVAL);
	refused(hole, PAGE, 2 * PAGE, ANYWHERE, NULL, EINVAL);
	refused(hole, PAGE, PAGE, ANYWHERE | 64, NULL, EINVAL);
	refused(hole, PAGE, PAGE, ANYWHERE, a.target + 1, EINVAL);
	refused(hole, PAGE, PAGE, ANYWHERE, hole, EINVAL);
	refused(hole, PAGE, PAGE, MREMAP_DONTUNMAP, NULL, EINVAL);
	end();
}

/* A kernel address, the vsyscall page, the last page of all. */
static void kernel_addresses(void **state)
{
	(void)state;
	make();
	refused((void *)(1ul << 63), PAGE, PAGE, ANYWHERE, NULL, EFAULT);
	refused((void *)-PAGE, PAGE, PAGE, ANYWHERE, NULL, EFAULT);
	refused((void *)(1ul << 63), PAGE, PAGE, ONTO, a.target, EFAULT);
	end();
}

static void sealed_child(void *arg)
{
	const bool source = arg != NULL;
	char *what;

	make();
	what = source ? a.source : a.target;
	if (syscall(SYS_mseal, what, 2 * PAGE, 0L))
		behave_skip("no mseal");
	if (source) {
		refused(a.source, 2 * PAGE, 2 * PAGE, ANYWHERE, NULL, EPERM);
		refused(a.source, PAGE, PAGE, ONTO, a.target, EPERM);
		refused(a.source, PAGE, PAGE, ONTO | 64, a.target, EINVAL);
		/* behind the seal */
		moved(a.source + 2 * PAGE, PAGE, ANYWHERE, NULL);
	} else {
		refused(a.source, a.len, a.len, ONTO, a.target, EPERM);
		refused(a.source, PAGE, PAGE, ONTO, a.target + PAGE, EPERM);
		check(filled(a.source, a.len, 1));
	}
	check(filled(a.target, a.len, 2));
	check(filled(a.source, 2 * PAGE, 1));
}

static void sealed_source(void **state)
{
	(void)state;
	in_child(sealed_child, &a);
}

static void sealed_destination(void **state)
{
	(void)state;
	in_child(sealed_child, NULL);
}

static void vdso(void **state)
{
	char *p = (char *)getauxval(AT_SYSINFO_EHDR);
	struct vma now;

	(void)state;
	if (!p || !vma_at(p, &now))
		behave_skip("no vdso");
	make();
	refused(p, PAGE, PAGE, ANYWHERE, NULL, EINVAL);
	refused(p, now.end - now.start, now.end - now.start, ONTO, a.target, EINVAL);
	/* [vvar] before it */
	if (vma_at(p - PAGE, &now) && !strncmp(now.name, "[vvar", 5))
		refused(p - PAGE, PAGE, PAGE, ANYWHERE, NULL, EINVAL);
	end();
}

/* The ring of io_setup(2) may move, but nothing can stay. */
static void aio_ring(void **state)
{
	unsigned long context = 0;

	(void)state;
	if (syscall(SYS_io_setup, 1L, &context))
		behave_skip("no io_setup");
	make();
	refused((void *)context, PAGE, PAGE, ANYWHERE, NULL, EINVAL);
	refused((void *)context, PAGE, PAGE, ONTO, a.target, EINVAL);
	check(!syscall(SYS_io_destroy, context));
	end();
}

static void hugetlb(int flags, int fd)
{
	const size_t huge = 1 << 21;
	char *p = mmap(NULL, 2 * huge, RW, flags, fd, 0), *target;

	if (fd >= 0)
		close(fd);
	if (p == MAP_FAILED)
		behave_skip("no huge pages (vm.nr_hugepages)");
	target = mmap(NULL, 4 * huge, PROT_NONE, ANON, -1, 0);
	check(target != MAP_FAILED);
	fill(p, huge, 1);
	refused(p, huge, huge, ANYWHERE, NULL, EINVAL);
	refused(p, 2 * huge, 2 * huge, ONTO, (void *)(((uintptr_t)target + huge - 1) & ~(huge - 1)),
		EINVAL);
	refused(p, PAGE, PAGE, ANYWHERE, NULL, EINVAL);
	check(filled(p, huge, 1));
	check(!munmap(p, 2 * huge));
	check(!munmap(target, 4 * huge));
}

static void hugetlb_private(void **state)
{
	(void)state;
	hugetlb(ANON | MAP_HUGETLB, -1);
}

static void hugetlb_shared(void **state)
{
	(void)state;
	hugetlb(MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1);
}

static void hugetlb_memfd(void **state)
{
	int fd = memfd_create("behave", MFD_CLOEXEC | MFD_HUGETLB);

	(void)state;
	if (fd < 0 || ftruncate(fd, 1 << 22))
		behave_skip("no memfd_create(MFD_HUGETLB)");
	hugetlb(MAP_SHARED, fd);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(without_maymove, "dontunmap-without-maymove-is-einval"),
		CASE(unknown_flags, "dontunmap-with-unknown-flags-is-einval"),
		CASE(unaligned, "dontunmap-at-an-unaligned-address-is-einval"),
		CASE(lengths, "dontunmap-with-other-lengths-is-einval"),
		CASE(absurd_lengths, "dontunmap-with-absurd-lengths-is-einval"),
		CASE(rounded_lengths, "dontunmap-compares-lengths-in-pages"),
		CASE(destination_out_of_range, "dontunmap-to-outside-user-space-is-einval"),
		CASE(last_page, "dontunmap-to-the-last-page-is-einval"),
		CASE(unmapped, "dontunmap-of-unmapped-memory-is-efault"),
		CASE(beyond_the_end, "dontunmap-beyond-the-end-is-efault"),
		CASE(order, "dontunmap-checks-arguments-before-mappings"),
		CASE(kernel_addresses, "dontunmap-of-kernel-addresses-is-efault"),
		CASE(sealed_source, "dontunmap-of-a-sealed-mapping-is-eperm"),
		CASE(sealed_destination, "dontunmap-onto-a-sealed-mapping-is-eperm"),
		CASE(vdso, "dontunmap-of-the-vdso-is-einval"),
		CASE(aio_ring, "dontunmap-of-an-aio-ring-is-einval"),
		CASE(hugetlb_private, "dontunmap-of-private-hugetlb-is-einval"),
		CASE(hugetlb_shared, "dontunmap-of-shared-hugetlb-is-einval"),
		CASE(hugetlb_memfd, "dontunmap-of-a-hugetlb-memfd-is-einval"),
	};

	return BEHAVE_RUN(cases);
}
