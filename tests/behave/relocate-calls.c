/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_RELOCATE_ANON and MREMAP_MUST_RELOCATE_ANON as calls: which arguments are refused, with
 * 6.18's errno where 6.18 refuses the call without the flags; when the flags have no effect; and
 * what is done for memory that can not be relocated: the ordinary move, or EFAULT with everything
 * as it was, a MREMAP_FIXED destination too.
 *
 * Needs /proc; huge pages and userfaultfd where there are some.
 */
#include "tests/behave/relocate.h"

#include <sys/resource.h>
#include <sys/wait.h>

static struct arena a;

/* Both flags, one by one and together. */
static const int either[] = {RELOCATE, MUST, RELOCATE | MUST};

static void make(int prot, int flags)
{
	arena_make(&a, 8);
	arena_map(&a, prot, flags, -1);
}

static void arguments(void **state)
{
	(void)state;
	make(RW, ANON);
	fill(a.source, a.len, 1);
	lay(a.target, 8, RW, 2);
	for (int i = 0; i < 3; i++) {
		const int flags = either[i];

		refused(a.source, a.len, a.len, flags & ~MREMAP_MAYMOVE, NULL, EINVAL);
		refused(a.source, a.len, a.len, (flags & ~MREMAP_MAYMOVE) | MREMAP_FIXED, a.target,
			EINVAL);
		refused(a.source, a.len, a.len, flags | REMAP_MREMAP_MIRROR, NULL, EINVAL);
		refused(a.source, a.len, a.len, flags | REMAP_MREMAP_POPULATE, NULL, EINVAL);
		refused(a.source, a.len, a.len, flags | 32, NULL, EINVAL);
		refused(a.source + 1, a.len, a.len, flags, NULL, EINVAL);
		refused(a.source, a.len, 0, flags, NULL, EINVAL);
		refused(a.source, a.len, a.len, flags | MREMAP_FIXED, a.target + 1, EINVAL);
		refused(a.source, a.len, a.len, flags | MREMAP_FIXED, a.source + PAGE, EINVAL);
		refused(a.source, a.len, a.len, flags | MREMAP_FIXED, a.source, EINVAL);
		refused(a.source, a.len, a.len / 2, flags | MREMAP_DONTUNMAP, NULL, EINVAL);
		refused(a.source, a.len, a.len, flags | MREMAP_DONTUNMAP, a.source + 1, EINVAL);
		refused(a.source, 0, a.len, flags, NULL, EINVAL);
		refused(a.source, 0, a.len, flags | MREMAP_FIXED, a.target, EINVAL);
		/* what lies beside the source is not mapped alike, and is no part of it */
		refused(a.source, a.len + 2 * PAGE, a.len + 3 * PAGE, flags, NULL, EFAULT);
	}
	check(filled(a.source, a.len, 1) && filled(a.target, a.len, 2));
	arena_end(&a);
}

static void unmapped(void **state)
{
	(void)state;
	make(RW, ANON);
	lay(a.target, 8, RW, 2);
	check(!munmap(a.source, a.len));
	for (int i = 0; i < 3; i++) {
		refused(a.source, a.len, a.len, either[i], NULL, EFAULT);
		refused(a.source, a.len, a.len, either[i] | MREMAP_FIXED, a.target, EFAULT);
		refused(a.source, a.len, a.len, either[i] | MREMAP_DONTUNMAP, NULL, EFAULT);
	}
	check(filled(a.target, a.len, 2));
	arena_end(&a);
}

/* Nothing is moved: any memory does, and MUST does not ask what it is. */
static void no_effect(void **state)
{
	const int kinds[] = {ANON, MAP_SHARED | MAP_ANONYMOUS};

	(void)state;
	for (int kind = 0; kind < 2; kind++)
		for (int i = 0; i < 3; i++) {
			make(RW, kinds[kind]);
			fill(a.source, a.len, 3);
			check(remapped(a.source, a.len, a.len, either[i], NULL) == a.source);
			check(filled(a.source, a.len, 3));
			check(remapped(a.source, a.len, 6 * PAGE, either[i], NULL) == a.source);
			check(filled(a.source, 6 * PAGE, 3));
			check_is(vma_count(a.source + 6 * PAGE, 2 * PAGE), 0);
			/* there is room behind it again */
			check(remapped(a.source, 6 * PAGE, 7 * PAGE, either[i], NULL) == a.source);
			check(filled(a.source, 6 * PAGE, 3));
			check_is(vma_count(a.source, 7 * PAGE), 1);
			arena_end(&a);
		}
}

/* Garbage in the fifth argument does not matter where it is not asked for. */
static void fifth_argument(void **state)
{
	char *new;

	(void)state;
	make(RW, ANON);
	new = remapped(a.source, a.len, a.len, RELOCATE, (void *)0x123);
	check(new == a.source);
	new = remapped(a.source, a.len, a.len + PAGE, RELOCATE, (void *)(uintptr_t)-3);
	check(new != a.source);
	check(!munmap(new, a.len + PAGE));
	arena_end(&a);
}

/*
 * What is not eligible: MUST leaves all as it was; RELOCATE does what the same call does without
 * it.
 */
static void not_eligible(char *source, unsigned int seed)
{
	const int how[] = {MREMAP_FIXED, MREMAP_FIXED | MREMAP_DONTUNMAP, MREMAP_DONTUNMAP};
	char *new;

	for (int i = 0; i < 3; i++) {
		lay(a.target, 8, RW, 7);
		refused(source, a.len, a.len, MUST | how[i],
			how[i] & MREMAP_FIXED ? a.target : NULL, EFAULT);
		refused(source, a.len, a.len, RELOCATE | MUST | how[i],
			how[i] & MREMAP_FIXED ? a.target : NULL, EFAULT);
		check(filled(a.target, a.len, 7));
		check(filled(source, a.len, seed));
	}
	new = remapped(source, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target);
	check(filled(new, a.len, seed));
	check_is(vma_count(source, a.len), 0);
	check(mremap(new, a.len, a.len, RELOCATE | MREMAP_FIXED, source) == source);
	check(filled(source, a.len, seed));
}

static void shared(void **state)
{
	char *new;

	(void)state;
	make(RW, MAP_SHARED | MAP_ANONYMOUS);
	fill(a.source, a.len, 4);
	not_eligible(a.source, 4);
	new = remapped(a.source, a.len, a.len, RELOCATE | MREMAP_DONTUNMAP, NULL);
	check(filled(new, a.len, 4) && filled(a.source, a.len, 4));
	check(!munmap(new, a.len));
	/* a second view is made, or none */
	refused(a.source, 0, a.len, MUST, NULL, EFAULT);
	new = remapped(a.source, 0, a.len, RELOCATE, NULL);
	check(filled(new, a.len, 4) && filled(a.source, a.len, 4));
	check(!munmap(new, a.len));
	arena_end(&a);
}

static void private_file(void **state)
{
	int fd = memfd_create("relocate", MFD_CLOEXEC);

	(void)state;
	check(fd >= 0 && !ftruncate(fd, (off_t)(8 * PAGE)));
	arena_make(&a, 8);
	arena_map(&a, RW, MAP_PRIVATE, fd);
	fill(a.source, a.len, 5);
	not_eligible(a.source, 5);
	close(fd);
	arena_end(&a);
}

static void special(void **state)
{
	char *vdso = NULL;
	struct vma vma;
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[256];

	(void)state;
	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vdso]"))
			vdso = (char *)strtoul(line, NULL, 16);
	fclose(maps);
	if (!vdso)
		behave_skip("no vdso");
	check(vma_at(vdso, &vma));
	refused(vdso, vma.end - vma.start, vma.end - vma.start, MUST | MREMAP_DONTUNMAP, NULL,
		EINVAL);
	make(RW, ANON);
	lay(a.target, 8, RW, 6);
	refused(vdso, vma.end - vma.start, vma.end - vma.start, MUST | MREMAP_FIXED, a.target,
		EFAULT);
	check(filled(a.target, a.len, 6));
	arena_end(&a);
}

static void hugetlb(void **state)
{
	const size_t huge = 2 << 20;
	char *p = mmap(NULL, huge, RW, ANON | MAP_HUGETLB, -1, 0), *to;

	(void)state;
	if (p == MAP_FAILED)
		behave_skip("no huge pages");
	fill(p, huge, 8);
	make(RW, ANON);
	lay(a.target, 8, RW, 6);
	to = (char *)(((uintptr_t)a.target + huge) & ~(huge - 1)); /* of the reservation */
	refused(p, huge, huge, MUST | MREMAP_FIXED, to, EFAULT);
	refused(p, huge, huge, MUST | MREMAP_FIXED, a.target + PAGE, EINVAL);
	refused(p, huge, 2 * huge, MUST, NULL, EINVAL);
	refused(p, huge, huge, MUST | MREMAP_DONTUNMAP, NULL, EINVAL);
	check(filled(p, huge, 8) && filled(a.target, a.len, 6));
	check(!munmap(p, huge));
	arena_end(&a);
}

/* Several mappings go as an ordinary call takes them, and can not be relocated in one call. */
static void several(void **state)
{
	(void)state;
	make(RW, ANON);
	fill(a.source, a.len, 9);
	check(!mprotect(a.source + 4 * PAGE, 2 * PAGE, PROT_READ));
	lay(a.target, 8, RW, 7);
	refused(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target, EFAULT);
	refused(a.source, a.len, a.len + PAGE, MUST | MREMAP_FIXED, a.target, EFAULT);
	check(filled(a.target, a.len, 7) && filled(a.source, a.len, 9));
	check(remapped(a.source, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target) == a.target);
	check(filled(a.target, a.len, 9));
	check_is(vma_count(a.target, a.len), 3);
	arena_end(&a);
}

/* What is armed moves as it would without the flag, and is not taken from its owner's eyes. */
static void armed(void **state)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct vma vma;

	(void)state;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		behave_skip("no userfaultfd");
	make(RW, ANON);
	fill(a.source, a.len, 10);
	reg.range.start = (uintptr_t)a.source;
	reg.range.len = a.len;
	check(!ioctl(fd, UFFDIO_REGISTER, &reg));
	not_eligible(a.source, 10);
	/* the ordinary moves to and fro have disarmed it */
	check(vma_at(a.source, &vma) && !vma_has(&vma, "um"));
	/* an armed destination is not taken from its owner either */
	lay(a.target, 8, RW, 7);
	reg.range.start = (uintptr_t)a.target;
	check(!ioctl(fd, UFFDIO_REGISTER, &reg));
	refused(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target, EFAULT);
	check(vma_at(a.target, &vma) && vma_has(&vma, "um") && filled(a.target, a.len, 7));
	check(remapped(a.source, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target) == a.target);
	check(filled(a.target, a.len, 10));
	close(fd);
	arena_end(&a);
}

/* Memory that a mirror was made of is shared: an ordinary move of one view. */
static void mirror_view(void **state)
{
	char *view;

	(void)state;
	make(RW, ANON);
	fill(a.source, a.len, 11);
	view = mremap(a.source, a.len, a.len, MREMAP_MAYMOVE | REMAP_MREMAP_MIRROR, NULL);
	check(view != MAP_FAILED);
	check(!memcmp(a.source, view, a.len));
	not_eligible(view, 11);
	not_eligible(a.source, 11);
	view = remapped(view, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target);
	fill(view, a.len, 12);
	check(filled(a.source, a.len, 12));
	fill(a.source, a.len, 13);
	check(filled(view, a.len, 13));
	arena_end(&a);
}

static void in_vfork_child(void **state)
{
	char *volatile new = NULL;
	volatile int error = 0;
	pid_t pid;

	(void)state;
	make(RW, ANON);
	fill(a.source, a.len, 14);
	lay(a.target, 8, RW, 7);
	pid = vfork();
	if (!pid) {
		new = mremap(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target);
		error = errno;
		_exit(0);
	}
	check(waitpid(pid, NULL, 0) == pid);
	check(new == MAP_FAILED);
	check_is(error, EFAULT);
	check(filled(a.source, a.len, 14) && filled(a.target, a.len, 7));
	arena_end(&a);
}

/* The raw call is the same call, for a preloaded program. */
static void by_syscall(void **state)
{
	char *new;

	(void)state;
#ifdef BEHAVE_LINKED
	behave_skip("syscall is taken over by the preload only");
#endif
	make(RW, ANON);
	fill(a.source, a.len, 15);
	check(!munmap(a.target, a.len));
	check_is(syscall(SYS_mremap, a.source, a.len, a.len, 16L, NULL), -1);
	check_is(errno, EINVAL);
	new = (char *)syscall(
		SYS_mremap, a.source, a.len, a.len, (long)(MUST | MREMAP_FIXED), a.target);
	check(new == (can_relocate() ? a.target : MAP_FAILED));
	check(filled(can_relocate() ? a.target : a.source, a.len, 15));
	if (!can_relocate())
		check_is(syscall(SYS_mremap, a.source, a.len, a.len,
				 (long)(RELOCATE | MREMAP_FIXED), a.target),
			(long)a.target);
	check(filled(a.target, a.len, 15));
	check_is(vma_count(a.source, a.len), 0);
	check(mmap(a.source, a.len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.source);
	arena_end(&a);
}

/* What was relocated and what was not is counted, and a refusal has its reason. */
static void counted(void **state)
{
	struct remap_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};

	(void)state;
#ifndef BEHAVE_LINKED
	behave_skip("only a linked program can ask");
#else
	make(RW, MAP_SHARED | MAP_ANONYMOUS);
	check(!remap_stats(&before));
	refused(a.source, a.len, a.len, MUST | MREMAP_FIXED, a.target, EFAULT);
	check(strstr(remap_strerror_last(), "only private anonymous memory"));
	check(!remap_stats(&after));
	check_is(after.relocated, before.relocated);
	check_is(after.not_relocated, before.not_relocated);
	check_is(after.refused, before.refused + 1);
	check(remapped(a.source, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target) == a.target);
	check(!*remap_strerror_last());
	check(!remap_stats(&after));
	check_is(after.not_relocated, before.not_relocated + 1);
	lay(a.source, 8, RW, 16);
	check(mremap(a.source, a.len, a.len, RELOCATE | MREMAP_FIXED, a.target) == a.target);
	check(!remap_stats(&after));
	check_is(after.relocated, before.relocated + can_relocate());
	check_is(after.not_relocated, before.not_relocated + 1 + !can_relocate());
	check_is(after.undo_failures, before.undo_failures);
	check(mmap(a.source, a.len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.source);
	arena_end(&a);
#endif
	(void)before;
	(void)after;
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		CASE(arguments, "relocate-checks-arguments-first"),
		CASE(unmapped, "relocate-of-nothing-is-efault"),
		CASE(no_effect, "relocate-has-no-effect-where-nothing-moves"),
		CASE(fifth_argument, "relocate-does-not-look-at-garbage"),
		CASE(shared, "relocate-of-shared-memory-is-an-ordinary-move"),
		CASE(private_file, "relocate-of-a-private-file-is-an-ordinary-move"),
		CASE(special, "relocate-of-special-mappings-is-refused"),
		CASE(hugetlb, "relocate-of-huge-pages-is-refused"),
		CASE(several, "relocate-of-several-mappings-is-an-ordinary-move"),
		CASE(armed, "relocate-of-armed-memory-is-an-ordinary-move"),
		CASE(mirror_view, "relocate-of-a-mirror-is-an-ordinary-move"),
		CASE(in_vfork_child, "must-relocate-in-a-vfork-child-is-efault"),
		CASE(by_syscall, "relocate-by-syscall"),
		CASE(counted, "relocate-is-counted"),
	};

	behave_page = (size_t)sysconf(_SC_PAGESIZE);
	relocate_warm_up();
	return BEHAVE_RUN(cases);
}
