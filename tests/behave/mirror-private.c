/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_MIRROR of private anonymous memory: it becomes shared memory in its place, with its
 * content and attributes (DESIGN 5, semantics.md 10.B). What can not be converted is EINVAL and
 * unchanged. Who is using it meanwhile: mirror-meanwhile.c.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/behave/mirror.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define PAGES 16

static struct arena a;

static void make(size_t pages, int prot)
{
	arena_make_filled(&a, pages, RW, ANON);
	if (prot != RW)
		check(!mprotect(a.source, a.len, prot));
	check(!mprotect(a.target, a.len, RW));
	fill(a.target, a.len, 2);
}

/* Refused with that errno; source and destination are what they were. */
static void unconverted(size_t len, int error)
{
	struct vma before, after;

	check(vma_at(a.source, &before));
	refused(a.source, len, len, MIRROR, NULL, error);
	refused(a.source, len, len, MIRROR_ONTO, a.target, error);
	check(vma_at(a.source, &after));
	check(!memcmp(&before, &after, sizeof(before)));
	check(filled(a.target, a.len, 2));
}

static void whole(void **state)
{
	struct vma vma;
	char *view, *third;

	(void)state;
	make(PAGES, RW);
	view = mirrored(a.source, a.len, MIRROR, NULL);
	check(filled(a.source, a.len, 1) && filled(view, a.len, 1));
	check(vma_at(a.source, &vma));
	check(!strcmp(vma.perms, "rw-s"));
	check_is(vma.end - vma.start, a.len);
	check_view(a.source, view, a.len, "");
	check_one_memory(a.source, view, a.len);
	/* it is shared memory now, and has as many views as one likes */
	third = mirrored(view, a.len, MIRROR_ONTO, a.target);
	check_one_memory(third, a.source, a.len);
	check_one_memory(view, third, a.len);
	/* each goes when it likes */
	fill(view, a.len, 3);
	check(!munmap(a.source, a.len));
	check(filled(third, a.len, 3));
	check(!munmap(view, a.len));
	check(filled(third, a.len, 3));
	end_converted(&a);
}

/* The rest of the mapping stays private, and has its content. */
static void part(void **state)
{
	struct vma vma;

	(void)state;
	make(PAGES, RW);
	for (unsigned int i = 0; i < PAGES; i++)
		fill(a.source + i * PAGE, PAGE, 10 + i);
	for (unsigned int i = 0; i < PAGES; i++)
		fill(a.target + i * PAGE, PAGE, 30 + i);
	check(mirrored(a.source + 4 * PAGE, 3 * PAGE, MIRROR_ONTO, a.target) == a.target);
	check_is(vma_count(a.source, a.len), 3);
	check(vma_at(a.source, &vma) && vma.perms[3] == 'p');
	check(vma_at(a.source + 4 * PAGE, &vma) && vma.perms[3] == 's');
	check(vma_at(a.source + 7 * PAGE, &vma) && vma.perms[3] == 'p');
	for (unsigned int i = 0; i < PAGES; i++)
		check(filled(a.source + i * PAGE, PAGE, 10 + i));
	for (unsigned int i = 0; i < 3; i++)
		check(filled(a.target + i * PAGE, PAGE, 14 + i));
	/* what lies behind the view at the destination has not been touched */
	for (unsigned int i = 3; i < PAGES; i++)
		check(filled(a.target + i * PAGE, PAGE, 30 + i));
	check_one_memory(a.source + 4 * PAGE, a.target, 3 * PAGE);
	/* what is private and what is shared are two mappings now */
	refused(a.source, a.len, a.len, MIRROR, NULL, EFAULT);
	end_converted(&a);
}

/* Holes stay holes: what was never touched costs nothing, and reads as zeros. */
static void sparse(void **state)
{
	struct vma vma;
	char *view;

	(void)state;
	arena_make(&a, 512);
	arena_map(&a, RW, ANON, -1);
	check(!madvise(a.source, a.len, MADV_NOHUGEPAGE));
	for (size_t i = 3; i < 512; i += 100)
		fill(a.source + i * PAGE, PAGE, (unsigned int)i);
	view = mirrored(a.source, a.len, MIRROR, NULL);
	check(vma_at(a.source, &vma));
	check_is(vma.rss, 6 * PAGE / 1024);
	for (size_t i = 0; i < 512; i++) {
		if (i % 100 == 3)
			check(filled(view + i * PAGE, PAGE, (unsigned int)i));
		else
			check(zeroed(view + i * PAGE, PAGE));
	}
	check(!munmap(view, a.len));
	end_converted(&a);
}

static void untouched(void **state)
{
	char *view;

	(void)state;
	arena_make(&a, PAGES);
	arena_map(&a, RW, ANON, -1);
	view = mirrored(a.source, a.len, MIRROR, NULL);
	check(zeroed(view, a.len) && zeroed(a.source, a.len));
	check_one_memory(a.source, view, a.len);
	check(!munmap(view, a.len));
	end_converted(&a);
}

static void protections(void **state)
{
	static const int prots[] = {PROT_READ, PROT_NONE, PROT_WRITE, PROT_READ | PROT_EXEC};
	struct vma s;
	char *view;

	(void)state;
	for (size_t i = 0; i < sizeof(prots) / sizeof(prots[0]); i++) {
		char perms[5] = "---s";

		make(PAGES, prots[i]);
		view = mirrored(a.source, a.len, MIRROR, NULL);
		memcpy(perms, prots[i] & PROT_READ ? "r" : "-", 1);
		memcpy(perms + 1, prots[i] & PROT_WRITE ? "w" : "-", 1);
		memcpy(perms + 2, prots[i] & PROT_EXEC ? "x" : "-", 1);
		check(vma_at(a.source, &s));
		check(!strcmp(s.perms, perms));
		check_view(a.source, view, a.len, "");
		/* protection is each view's own from now on */
		check(!mprotect(view, a.len, RW));
		check(vma_at(a.source, &s) && !strcmp(s.perms, perms));
		check(filled(view, a.len, 1));
		fill(view, a.len, 5);
		check(!mprotect(a.source, a.len, PROT_READ));
		check(filled(a.source, a.len, 5));
		check(!munmap(view, a.len));
		end_converted(&a);
	}
}

static void advice(void **state)
{
	static const struct {
		int advice;
		const char *flag;
	} advices[] = {{MADV_DONTFORK, "dc"}, {MADV_NOHUGEPAGE, "nh"}, {MADV_SEQUENTIAL, "sr"},
		{MADV_RANDOM, "rr"}, {MADV_DONTDUMP, "dd"}};
	struct vma s, v;
	char *view;

	(void)state;
	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
		make(PAGES, RW);
		check(!madvise(a.source, a.len, advices[i].advice));
		view = mirrored(a.source, a.len, MIRROR, NULL);
		check(vma_at(a.source, &s) && vma_at(view, &v));
		check(vma_has(&s, advices[i].flag) && vma_has(&v, advices[i].flag));
		/* a core dump has the content once (B9) */
		check(vma_has(&v, "dd"));
		check(vma_has(&s, "dd") == (advices[i].advice == MADV_DONTDUMP));
		check(!munmap(view, a.len));
		end_converted(&a);
	}
}

static void noreserve(void **state)
{
	struct vma s;
	char *view;

	(void)state;
	arena_make_filled(&a, PAGES, RW, ANON | MAP_NORESERVE);
	view = mirrored(a.source, a.len, MIRROR, NULL);
	check(vma_at(a.source, &s) && vma_has(&s, "nr"));
	check(filled(view, a.len, 1));
	check(!munmap(view, a.len));
	end_converted(&a);
}

static void locked(void **state)
{
	struct vma s, v;
	char *view;

	(void)state;
	make(PAGES, RW);
	check(!mlock(a.source, a.len));
	view = mirrored(a.source, a.len, MIRROR, NULL);
	check(vma_at(a.source, &s) && vma_has(&s, "lo") && !vma_has(&s, "lf"));
	check_is(s.rss, a.len / 1024);
	check(vma_at(view, &v) && vma_has(&v, "lo"));
	check_is(v.rss, 0);
	check(filled(view, a.len, 1));
	check(!munmap(view, a.len));
	end_converted(&a);
}

static void mlockall_future_child(void *arg)
{
	struct vma s;
	char *view;

	(void)arg;
	arena_make(&a, PAGES);
	arena_map(&a, RW, ANON, -1);
	fill(a.source, 2 * PAGE, 1);
	if (mlockall(MCL_FUTURE))
		behave_skip("mlockall is not permitted");
	view = mremap(a.source, a.len, a.len, MIRROR, NULL);
	check(view != MAP_FAILED);
	check(vma_at(a.source, &s) && !vma_has(&s, "lo"));
	check_is(s.rss, 2 * PAGE / 1024); /* nothing was populated for the lock's sake */
	check(filled(view, 2 * PAGE, 1) && zeroed(view + 2 * PAGE, a.len - 2 * PAGE));
}

static void mlockall_future(void **state)
{
	(void)state;
	in_child(mlockall_future_child, NULL);
}

static void populate(void **state)
{
	struct vma v;
	char *view;

	(void)state;
	make(PAGES, RW);
	view = mirrored(a.source, a.len, MIRROR | POPULATE, NULL);
	check(vma_at(view, &v));
	check_is(v.rss, a.len / 1024);
	check(!munmap(view, a.len));
	end_converted(&a);
}

/*
 * 3 MiB, the first two of them a huge page if the kernel gives one; not so much that it would be
 * filled later.
 */
static void huge(void **state)
{
	char *view;

	(void)state;
	arena_make(&a, (3 << 20) / PAGE);
	arena_map(&a, RW, ANON, -1);
	(void)madvise(a.source, a.len, MADV_HUGEPAGE);
	fill(a.source, a.len, 1);
	view = mirrored(a.source, a.len, MIRROR, NULL);
	check(filled(a.source, a.len, 1) && filled(view, a.len, 1));
	check(!munmap(view, a.len));
	end_converted(&a);
}

static void cannot_be(void **state)
{
	(void)state;
	make(PAGES, RW);
	check(!madvise(a.source, a.len, MADV_WIPEONFORK));
	unconverted(a.len, EINVAL);
	check(filled(a.source, a.len, 1));
	end_converted(&a);

	arena_make(&a, PAGES);
	check(!munmap(a.source, a.len));
	arena_map(&a, RW, ANON | MAP_GROWSDOWN, -1);
	check(!mprotect(a.target, a.len, RW));
	fill(a.target, a.len, 2);
	unconverted(a.len, EINVAL);
	end_converted(&a);

	make(PAGES, RW);
	check(!munmap(a.source + a.len - PAGE, PAGE));
	unconverted(a.len, EFAULT);
	check(filled(a.source, a.len - PAGE, 1));
	end_converted(&a);
}

static void guarded(void **state)
{
	(void)state;
	make(PAGES, RW);
	if (madvise(a.source + PAGE, PAGE, MADV_GUARD_INSTALL)) {
		end_converted(&a);
		behave_skip("no guard regions");
	}
	for (unsigned int i = 2; i < PAGES; i++)
		fill(a.source + i * PAGE, PAGE, 10 + i);
	unconverted(a.len, EINVAL);
	for (unsigned int i = 2; i < PAGES; i++)
		check(filled(a.source + i * PAGE, PAGE, 10 + i));
	check(!madvise(a.source + PAGE, PAGE, MADV_DONTNEED)); /* guards survive that */
	end_converted(&a);
}

static void armed(void **state)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, (long)(O_CLOEXEC | O_NONBLOCK));

	(void)state;
	if (fd < 0)
		behave_skip("userfaultfd is not permitted");
	make(PAGES, RW);
	reg.range.start = (uintptr_t)a.source;
	reg.range.len = a.len;
	check(!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg));
	unconverted(a.len, EINVAL);
	check(filled(a.source, a.len, 1));
	close(fd);
	check(mirrored(a.source, a.len, MIRROR, NULL));
	end_converted(&a);
}

static void address_space_child(void *arg)
{
	struct rlimit limit;
	struct vma before, after;

	(void)arg;
	make(PAGES, RW);
	check(vma_at(a.source, &before));
	check(!getrlimit(RLIMIT_AS, &limit));
	limit.rlim_cur = process_status("VmSize:") * 1024 + a.len - PAGE;
	check(!setrlimit(RLIMIT_AS, &limit));
	check(mremap(a.source, a.len, a.len, MIRROR, NULL) == MAP_FAILED && errno == ENOMEM);
	check(mremap(a.source, a.len, a.len, MIRROR_ONTO, a.target) == MAP_FAILED &&
		errno == ENOMEM);
	check(vma_at(a.source, &after) && !memcmp(&before, &after, sizeof(before)));
	check(filled(a.target, a.len, 2) && filled(a.source, a.len, 1));
}

static void address_space(void **state)
{
	(void)state;
	in_child(address_space_child, NULL);
}

/* B7: no file, no limit of its size, no signal. */
static void file_size_child(void *arg)
{
	struct rlimit limit = {0, 0};
	char *view;

	(void)arg;
	make(PAGES, RW);
	check(!setrlimit(RLIMIT_FSIZE, &limit));
	view = mremap(a.source, a.len, a.len, MIRROR, NULL);
	check(view != MAP_FAILED && filled(view, a.len, 1));
}

static void file_size(void **state)
{
	(void)state;
	in_child(file_size_child, NULL);
}

/* The pages are shared with a child that was forked before: it keeps what it has. */
static void after_fork(void **state)
{
	int ready[2], go[2];
	char byte, *view;
	pid_t pid;

	(void)state;
	make(PAGES, RW);
	check(!pipe(ready) && !pipe(go));
	pid = behave_fork();
	if (!pid) {
		check(read(go[0], &byte, 1) == 1);
		check(filled(a.source, a.len, 1));
		fill(a.source, a.len, 4);
		check(write(ready[1], "x", 1) == 1);
		_exit(0);
	}
	view = mirrored(a.source, a.len, MIRROR, NULL);
	fill(view, a.len, 3);
	check(write(go[1], "x", 1) == 1 && read(ready[0], &byte, 1) == 1);
	behave_join(pid);
	check(filled(a.source, a.len, 3));
	check(!munmap(view, a.len));
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
	end_converted(&a);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(whole, "mirror-of-private-memory"),
		CASE(part, "mirror-of-a-part-of-private-memory"),
		CASE(sparse, "mirror-of-sparse-private-memory-keeps-its-holes"),
		CASE(untouched, "mirror-of-untouched-private-memory"),
		CASE(protections, "mirror-of-private-memory-keeps-its-protection"),
		CASE(advice, "mirror-of-private-memory-keeps-its-advice"),
		CASE(noreserve, "mirror-of-private-memory-keeps-noreserve"),
		CASE(locked, "mirror-of-locked-private-memory"),
		CASE(mlockall_future, "mirror-of-private-memory-under-mlockall-future"),
		CASE(populate, "mirror-of-private-memory-with-populate"),
		CASE(huge, "mirror-of-transparent-huge-pages"),
		CASE(cannot_be, "mirror-of-what-cannot-be-shared-is-einval"),
		CASE(guarded, "mirror-of-private-memory-with-guard-pages-is-einval"),
		CASE(armed, "mirror-of-private-memory-that-a-userfaultfd-watches-is-einval"),
		CASE(address_space, "mirror-of-private-memory-beyond-rlimit-as-is-enomem"),
		CASE(file_size, "mirror-of-private-memory-needs-no-rlimit-fsize"),
		CASE(after_fork, "mirror-of-memory-that-a-child-has-too"),
	};

	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
