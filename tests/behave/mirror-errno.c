/* SPDX-License-Identifier: MIT */
/*
 * What MREMAP_MIRROR refuses, with which errno, and that a MREMAP_FIXED destination survives every
 * refusal (semantics.md 3.5, 10.C); locks and their limit; userfaultfd. Some cases need root, to
 * stop being it, or userfaultfd(2).
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/behave/mirror.h"
#include "tests/behave/uffd.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#define PAGES 8

static struct arena a;

/* A shared source, and a destination with something in it that nobody may lose. */
static void make(void)
{
	arena_make(&a, PAGES);
	arena_map(&a, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	check(!mprotect(a.target, a.len, RW));
	fill(a.source, a.len, 1);
	fill(a.target, a.len, 2);
}

static void end(void)
{
	check(filled(a.target, a.len, 2));
	check(mmap(a.source, a.len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.source);
	arena_end(&a);
}

static void arguments(void **state)
{
	const size_t len = PAGES * PAGE;

	(void)state;
	make();
	/* flags */
	refused(a.source, len, len, REMAP_MREMAP_MIRROR, NULL, EINVAL);
	refused(a.source, len, len, REMAP_MREMAP_MIRROR | MREMAP_FIXED, a.target, EINVAL);
	refused(a.source, len, len, MIRROR | MREMAP_DONTUNMAP, NULL, EINVAL);
	refused(a.source, len, len, MREMAP_MAYMOVE | POPULATE, NULL, EINVAL);
	refused(a.source, len, len, MIRROR | 8, NULL, EINVAL);
	refused(a.source, len, len, MIRROR | 1 << 26, NULL, EINVAL);
	refused(a.source, len, len, MIRROR | INT32_MIN, NULL, EINVAL);
	/* lengths */
	refused(a.source, len, len - PAGE, MIRROR, NULL, EINVAL);
	refused(a.source, len - PAGE, len, MIRROR, NULL, EINVAL);
	refused(a.source, len, 0, MIRROR, NULL, EINVAL);
	refused(a.source, 0, 0, MIRROR, NULL, EINVAL);
	refused(a.source, 0, (size_t)-1, MIRROR, NULL, EINVAL);
	refused(a.source, 0, (size_t)1 << 60, MIRROR, NULL, EINVAL);
	/* addresses */
	refused(a.source + 1, len, len, MIRROR, NULL, EINVAL);
	refused(a.source, len, len, MIRROR_ONTO, a.target + 1, EINVAL);
	refused(a.source, len, len, MIRROR_ONTO, (void *)-PAGE, EINVAL);
	refused((void *)-PAGE, PAGE, PAGE, MIRROR, NULL, EFAULT);
	check(filled(a.source, len, 1));
	end();
}

/* The bare old_size 0 would destroy the mapping here. */
static void onto_itself(void **state)
{
	const size_t len = PAGES * PAGE;

	(void)state;
	make();
	for (int zero = 0; zero < 2; zero++) {
		const size_t old_len = zero ? 0 : len;

		refused(a.source, old_len, len, MIRROR_ONTO, a.source, EINVAL);
		refused(a.source, old_len, len, MIRROR_ONTO, a.source + len - PAGE, EINVAL);
		refused(a.source, old_len, len, MIRROR_ONTO, a.source - len + PAGE, EINVAL);
		check(filled(a.source, len, 1));
	}
	refused(a.source + PAGE, 2 * PAGE, 2 * PAGE, MIRROR_ONTO, a.source, EINVAL);
	check(filled(a.source, len, 1));
	end();
}

static void past_the_mapping(void **state)
{
	int fd = memfd_create("mirror", MFD_CLOEXEC);

	(void)state;
	make();
	/* the object is longer than the mapping, and the next mapping begins at once */
	check(fd >= 0 && !ftruncate(fd, (off_t)(2 * a.len)));
	check(mmap(a.source, 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0) == a.source);
	refused(a.source, 5 * PAGE, 5 * PAGE, MIRROR_ONTO, a.target, EFAULT);
	refused(a.source + PAGE, 0, 4 * PAGE, MIRROR_ONTO, a.target, EFAULT);
	refused(a.source + 3 * PAGE, 2 * PAGE, 2 * PAGE, MIRROR, NULL, EFAULT);
	/* two mappings of the same object that differ in protection are two mappings */
	check(!mprotect(a.source + 2 * PAGE, PAGE, PROT_READ));
	refused(a.source, 3 * PAGE, 3 * PAGE, MIRROR_ONTO, a.target, EFAULT);
	/* nothing mapped at all */
	check(!munmap(a.source, PAGE));
	refused(a.source, PAGE, PAGE, MIRROR_ONTO, a.target, EFAULT);
	refused(a.source, 2 * PAGE, 2 * PAGE, MIRROR_ONTO, a.target, EFAULT);
	close(fd);
	end();
}

static void private_file(void **state)
{
	int fd = memfd_create("mirror", MFD_CLOEXEC);

	(void)state;
	make();
	check(fd >= 0 && !ftruncate(fd, (off_t)a.len));
	arena_map(&a, RW, MAP_PRIVATE, fd);
	refused(a.source, a.len, a.len, MIRROR, NULL, EINVAL);
	refused(a.source, a.len, a.len, MIRROR_ONTO, a.target, EINVAL);
	fill(a.source, PAGE, 3);
	refused(a.source, 0, PAGE, MIRROR_ONTO, a.target, EINVAL);
	refused(a.source, 0, a.len + PAGE, MIRROR_ONTO, a.target, EINVAL);
	check(filled(a.source, PAGE, 3));
	close(fd);
	end();
}

/* VM_DONTEXPAND: a ring that the kernel writes to. */
static void aio_ring(void **state)
{
	unsigned long context = 0;
	struct vma vma;

	(void)state;
	if (syscall(SYS_io_setup, 8L, &context))
		behave_skip("no AIO");
	make();
	check(vma_at((void *)context, &vma));
	refused((void *)context, PAGE, PAGE, MIRROR, NULL, EFAULT);
	refused((void *)context, PAGE, PAGE, MIRROR_ONTO, a.target, EFAULT);
	check(!syscall(SYS_io_destroy, context));
	end();
}

static void sealed_child(void *arg)
{
	(void)arg;
	make();
	if (syscall(SYS_mseal, a.source, a.len, 0L))
		behave_skip("no mseal");
	refused(a.source, a.len, a.len, MIRROR, NULL, EPERM);
	refused(a.source, a.len, a.len, MIRROR_ONTO, a.target, EPERM);
	check(filled(a.target, a.len, 2));
}

static void sealed(void **state)
{
	(void)state;
	in_child(sealed_child, NULL);
}

/* Found before the source is converted: it stays private. kind: of mmap. */
static void sealed_target_child(void *arg)
{
	const int kind = *(const int *)arg;
	const size_t huge = (size_t)2 << 20;
	struct vma vma;
	char *p, *target;

	p = mmap(NULL, huge, RW, kind | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		behave_skip("no huge page");
	target = mmap(NULL, 3 * huge, RW, ANON | MAP_NORESERVE, -1, 0);
	check(target != MAP_FAILED);
	target = (char *)(((uintptr_t)target + huge - 1) & ~(huge - 1));
	if (syscall(SYS_mseal, target + huge - PAGE, PAGE, 0L))
		behave_skip("no mseal");
	fill(p, PAGE, 1);
	fill(target, PAGE, 2);
	refused(p, huge, huge, MIRROR_ONTO, target, EPERM);
	check(filled(p, PAGE, 1) && filled(target, PAGE, 2));
	check(vma_at(p, &vma));
	check_is(vma.perms[3], kind & MAP_SHARED ? 's' : 'p');
}

static void sealed_target(void **state)
{
	static const int kinds[] = {MAP_PRIVATE, MAP_SHARED};

	(void)state;
	for (size_t i = 0; i < 2; i++)
		in_child(sealed_target_child, (void *)&kinds[i]);
}

static void sealed_target_of_huge_pages(void **state)
{
	static const int kind = MAP_PRIVATE | MAP_HUGETLB;

	(void)state;
	in_child(sealed_target_child, (void *)&kind);
}

static void address_space_child(void *arg)
{
	struct rlimit limit;

	(void)arg;
	make();
	check(!getrlimit(RLIMIT_AS, &limit));
	limit.rlim_cur = process_status("VmSize:") * 1024 + a.len - PAGE;
	check(!setrlimit(RLIMIT_AS, &limit));
	check(mremap(a.source, a.len, a.len, MIRROR, NULL) == MAP_FAILED && errno == ENOMEM);
	check(mremap(a.source, a.len, a.len, MIRROR_ONTO, a.target) == MAP_FAILED &&
		errno == ENOMEM);
	check(filled(a.target, a.len, 2) && filled(a.source, a.len, 1));
	check(mremap(a.source, a.len - PAGE, a.len - PAGE, MIRROR, NULL) != MAP_FAILED);
}

static void address_space(void **state)
{
	(void)state;
	in_child(address_space_child, NULL);
}

/* Locked, and counted twice; populated only on request. */
static void locked(void **state)
{
	struct vma s, v;
	char *view;

	(void)state;
	make();
	check(!mlock(a.source, a.len));
	view = mirrored(a.source, a.len, MIRROR, NULL);
	check(vma_at(view, &v) && vma_has(&v, "lo"));
	check_is(v.rss, 0);
	fill(view, PAGE, 1); /* a write brings one page, a read its neighbours too */
	check(vma_at(view, &v));
	check_is(v.rss, PAGE / 1024);
	check(vma_at(a.source, &s) && vma_has(&s, "lo") && !vma_has(&s, "lf"));
	check_is(s.rss, a.len / 1024);
	check(!munmap(view, a.len));
	view = mirrored(a.source, a.len, MIRROR | POPULATE, NULL);
	check(vma_at(view, &v) && vma_has(&v, "lo") && !vma_has(&v, "lf"));
	check_is(v.rss, a.len / 1024);
	check(!munmap(view, a.len));
	end();
}

static void memlock_child(void *arg)
{
	const size_t len = 40 * 1024;
	struct rlimit limit = {64 * 1024, 64 * 1024};
	const int kind = *(const int *)arg;

	if (geteuid())
		behave_skip("needs root to become nobody");
	make();
	check(len <= a.len || PAGE == 4096);
	check(!munmap(a.source, a.len));
	a.source = mmap(NULL, len, RW, kind | MAP_ANONYMOUS, -1, 0);
	check(a.source != MAP_FAILED);
	check(!setrlimit(RLIMIT_MEMLOCK, &limit));
	check(!setresgid(65534, 65534, 65534));
	check(!setresuid(65534, 65534, 65534));
	check(!prctl(PR_SET_DUMPABLE, 1));
	check(!mlock(a.source, len));
	for (int populated = 0; populated < 2; populated++) {
		const int more = populated ? POPULATE : 0;

		refused(a.source, len, len, MIRROR | more, NULL, EAGAIN);
		refused(a.source, 28 * 1024, 28 * 1024, MIRROR_ONTO | more, a.target, EAGAIN);
		if (kind == MAP_SHARED)
			refused(a.source, 0, 28 * 1024, MIRROR_ONTO | more, a.target, EAGAIN);
	}
	check(filled(a.target, a.len, 2));
	check(mirrored(a.source, 24 * 1024, MIRROR, NULL));
	check_is(process_status("VmLck:"), 64);
}

static void memlock(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		in_child(memlock_child, (int[]){i ? MAP_PRIVATE : MAP_SHARED});
}

static void arm_source(int fd)
{
	check(!madvise(a.source + PAGE, PAGE, MADV_REMOVE));
	if (!arm(fd, a.source, a.len, MODE_MISSING))
		behave_skip("this kernel's userfaultfd does not watch shared memory");
}

/*
 * The source goes on being watched, the view is not; what is missing is missing in both until
 * somebody touches it.
 */
static void watched_source(void **state)
{
	int fd = open_uffd(0);
	char *view;

	(void)state;
	make();
	arm_source(fd);
	view = mirrored(a.source, a.len, MIRROR, NULL);
	check(armed(a.source, "um") && !armed(view, "um"));
	check(filled(view, PAGE, 1));
	check(!munmap(view, a.len));
	check(mirrored(a.source, a.len, MIRROR_ONTO, a.target) == a.target);
	check(armed(a.source, "um") && !armed(a.target, "um"));
	check(filled(a.target, PAGE, 1));
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	fill(a.target, a.len, 2);
	close(fd);
	end();
}

struct monitor {
	int fd, events;
	struct uffd_msg first;
};

static void *monitor(void *arg)
{
	struct monitor *m = arg;
	struct pollfd p = {m->fd, POLLIN, 0};
	struct uffd_msg msg;

	while (poll(&p, 1, m->events ? 200 : 10000) == 1 &&
		read(m->fd, &msg, sizeof(msg)) == sizeof(msg))
		if (!m->events++)
			m->first = msg;
	return NULL;
}

/* With EVENT_REMAP its owner is told of one thing, as by old_size 0, and watches the view too. */
static void told(void **state)
{
	struct monitor m = {open_uffd(FEATURE_EVENT_REMAP), 0, {0}};
	pthread_t thread;

	(void)state;
	make();
	arm_source(m.fd);
	check(!pthread_create(&thread, NULL, monitor, &m));
	check(mremap(a.source, a.len, a.len, MIRROR_ONTO, a.target) == a.target);
	check(!pthread_join(thread, NULL));
	check_is(m.events, 1);
	check_is(m.first.event, UFFD_EVENT_REMAP);
	check_is(m.first.arg.remap.from, (uintptr_t)a.source);
	check_is(m.first.arg.remap.to, (uintptr_t)a.target);
	check(armed(a.source, "um") && armed(a.target, "um"));
	check(filled(a.target, PAGE, 1));
	close(m.fd);
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	fill(a.target, a.len, 2);
	end();
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(arguments, "mirror-arguments"),
		CASE(onto_itself, "mirror-onto-itself-is-einval"),
		CASE(past_the_mapping, "mirror-past-the-mapping-is-efault"),
		CASE(private_file, "mirror-of-a-private-file-mapping-is-einval"),
		CASE(aio_ring, "mirror-of-an-aio-ring-is-efault"),
		CASE(sealed, "mirror-of-sealed-memory-is-eperm"),
		CASE(sealed_target, "mirror-onto-sealed-memory-is-eperm"),
		CASE(sealed_target_of_huge_pages,
			"mirror-of-huge-pages-onto-sealed-memory-is-eperm"),
		CASE(address_space, "mirror-beyond-rlimit-as-is-enomem"),
		CASE(locked, "mirror-of-locked-memory-is-locked-and-not-populated"),
		CASE(memlock, "mirror-beyond-rlimit-memlock-is-eagain"),
		CASE(watched_source, "mirror-of-memory-that-a-userfaultfd-watches"),
		CASE(told, "mirror-is-one-event-for-who-is-told"),
	};

	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
