/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_MIRROR of shared memory of every kind: a second view of the same pages, the source
 * untouched (semantics.md 3.5, 10.C). Needs a writable /dev/shm and current directory for the
 * files.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/shm.h>
#include <sys/uio.h>

#include "tests/behave/mirror.h"

#define PAGES 8

static struct arena a;

/*
 * Whole and in part, to anywhere and onto a mapping, by either length; the object is PAGES pages,
 * filled 1.
 */
static void check_mirrors(char *source, size_t len)
{
	struct vma before, after;
	const bool writable = vma_at(source, &before) && before.perms[1] == 'w';
	char *view;

	view = mirrored(source, len, MIRROR, NULL);
	check_view(source, view, len, "");
	check(vma_at(view, &after) && !after.rss); /* nothing was prefaulted unasked */
	check(!memcmp(source, view, len));
	if (writable)
		check_one_memory(source, view, len);
	check(!munmap(view, len));

	fill(a.target, a.len, 7);
	check(mirrored(source, len, MIRROR_ONTO, a.target) == a.target);
	check_view(source, a.target, len, "");
	if (writable)
		check_one_memory(a.target, source, len);
	/* a view of a view, of its middle */
	view = mirrored(a.target + 2 * PAGE, 3 * PAGE, MIRROR, NULL);
	check_view(source + 2 * PAGE, view, 3 * PAGE, "");
	check(!memcmp(source + 2 * PAGE, view, 3 * PAGE));
	if (writable)
		check_one_memory(source + 2 * PAGE, view, 3 * PAGE);
	check(!munmap(view, 3 * PAGE));

	/* the source may go first */
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	check(watched(source + 3 * PAGE, 0, 2 * PAGE - 1, MIRROR_ONTO, a.target) == a.target);
	check_view(source + 3 * PAGE, a.target, 2 * PAGE, "");
	check(!memcmp(source + 3 * PAGE, a.target, 2 * PAGE));
	check(vma_at(source, &after));
	check(after.start == before.start && after.end == before.end);
	check(!strcmp(after.flags, before.flags));
	if (writable) {
		fill(source + 3 * PAGE, 2 * PAGE, 9);
		check(!munmap(source, len));
		check(filled(a.target, 2 * PAGE, 9));
	}
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
}

static void make_arena(void)
{
	arena_make(&a, PAGES);
	check(!mprotect(a.target, a.len, RW));
}

static void end_arena(void)
{
	check(mmap(a.source, a.len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.source);
	arena_end(&a);
}

static void check_file(int fd, int prot)
{
	make_arena();
	check(fd >= 0 && !ftruncate(fd, (off_t)a.len));
	arena_map(&a, RW, MAP_SHARED, fd);
	fill(a.source, a.len, 1);
	if (prot != RW)
		check(!mprotect(a.source, a.len, prot));
	check_mirrors(a.source, a.len);
	end_arena();
}

static int make_file(const char *folder)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/mirror-XXXXXX", folder);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		behave_skip("no file can be made there");
	check(!unlink(path));
	return fd;
}

static void anonymous(void **state)
{
	(void)state;
	make_arena();
	arena_map(&a, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(a.source, a.len, 1);
	check_mirrors(a.source, a.len);
	end_arena();
}

static void memfd(void **state)
{
	int fd = memfd_create("mirror", MFD_CLOEXEC);

	(void)state;
	check_file(fd, RW);
	check_file(fd, PROT_READ);
	close(fd);
}

static void memfd_closed(void **state)
{
	int fd = memfd_create("mirror", MFD_CLOEXEC);

	(void)state;
	make_arena();
	check(fd >= 0 && !ftruncate(fd, (off_t)a.len));
	arena_map(&a, RW, MAP_SHARED, fd);
	close(fd);
	fill(a.source, a.len, 1);
	check_mirrors(a.source, a.len);
	end_arena();
}

/* The descriptor could not write: neither can either view be made writable. */
static void read_only(void **state)
{
	int fd = memfd_create("mirror", MFD_CLOEXEC), ro;
	char path[64], *view;

	(void)state;
	make_arena();
	check(fd >= 0 && !ftruncate(fd, (off_t)a.len));
	arena_map(&a, RW, MAP_SHARED, fd);
	fill(a.source, a.len, 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	check(ro >= 0);
	arena_map(&a, PROT_READ, MAP_SHARED, ro);
	check_mirrors(a.source, a.len);
	view = mirrored(a.source, a.len, MIRROR, NULL);
	check(mprotect(view, a.len, RW) && errno == EACCES);
	check(filled(view, a.len, 1));
	check(!munmap(view, a.len));
	close(ro);
	close(fd);
	end_arena();
}

static void tmpfs(void **state)
{
	int fd = make_file("/dev/shm");

	(void)state;
	check_file(fd, RW);
	close(fd);
}

static void disk(void **state)
{
	int fd = make_file(".");

	(void)state;
	check_file(fd, RW);
	close(fd);
}

static void no_access(void **state)
{
	char *view;

	(void)state;
	make_arena();
	arena_map(&a, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(a.source, a.len, 1);
	check(!mprotect(a.source, a.len, PROT_NONE));
	view = mirrored(a.source, a.len, MIRROR | POPULATE, NULL);
	check_view(a.source, view, a.len, "");
	check(!mprotect(view, a.len, RW)); /* protection is each view's own */
	check(filled(view, a.len, 1));
	check(!munmap(view, a.len));
	end_arena();
}

static void sysv(void **state)
{
	struct shmid_ds info;
	char *p;
	int id = shmget(IPC_PRIVATE, PAGES * PAGE, IPC_CREAT | 0600);

	(void)state;
	if (id < 0)
		behave_skip("no System V shared memory");
	p = shmat(id, NULL, 0);
	check(p != (void *)-1);
	check(!shmctl(id, IPC_RMID, NULL));
	fill(p, PAGES * PAGE, 1);
	make_arena();
	check(mirrored(p, a.len, MIRROR_ONTO, a.target) == a.target);
	check(!shmctl(id, IPC_STAT, &info));
	check_is(info.shm_nattch, 2);
	check_mirrors(p, a.len);
	check(shmctl(id, IPC_STAT, &info) == -1); /* the last view has gone */
	end_arena();
}

static bool readable(const void *at)
{
	char byte;
	struct iovec here = {&byte, 1}, there = {(void *)at, 1};

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1;
}

/* The mapping goes on behind the object's end: the view does so too, and only POPULATE minds. */
static void beyond_the_object(void **state)
{
	int fd = memfd_create("mirror", MFD_CLOEXEC);
	char *view;

	(void)state;
	make_arena();
	check(fd >= 0 && !ftruncate(fd, (off_t)(3 * PAGE)));
	arena_map(&a, RW, MAP_SHARED, fd);
	fill(a.source, 3 * PAGE, 1);
	fill(a.target, a.len, 5);
	view = mirrored(a.source, a.len, MIRROR, NULL);
	check(filled(view, 3 * PAGE, 1));
	check(!readable(view + 3 * PAGE) && !readable(a.source + 3 * PAGE));
	refused(a.source, a.len, a.len, MIRROR | POPULATE, NULL, EFAULT);
	refused(a.source, a.len, a.len, MIRROR_ONTO | POPULATE, a.target, EFAULT);
	check(filled(a.target, a.len, 5));
	check(!ftruncate(fd, (off_t)(4 * PAGE)));
	check(readable(view + 3 * PAGE) && readable(a.source + 3 * PAGE));
	check(!munmap(view, a.len));
	view = mirrored(a.source, 4 * PAGE, MIRROR | POPULATE, NULL);
	check(!munmap(view, 4 * PAGE));
	close(fd);
	end_arena();
}

/*
 * Page tables of the new view made at once: all of it is resident, and the source's are as they
 * were.
 */
static void populate(void **state)
{
	struct vma vma;
	char *view;

	(void)state;
	make_arena();
	arena_map(&a, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(a.source, 2 * PAGE, 1);
	for (int onto = 0; onto < 2; onto++) {
		view = mirrored(a.source, a.len, (onto ? MIRROR_ONTO : MIRROR) | POPULATE,
			onto ? a.target : NULL);
		check(vma_at(view, &vma));
		check_is(vma.rss, a.len / 1024);
		check(vma_at(a.source, &vma));
		check_is(vma.rss, 2 * PAGE / 1024);
		check(filled(view, 2 * PAGE, 1) && zeroed(view + 2 * PAGE, a.len - 2 * PAGE));
		check(!munmap(view, a.len));
	}
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	end_arena();
}

/* Without MREMAP_FIXED the address is a wish. */
static void wish(void **state)
{
	char *view;

	(void)state;
	make_arena();
	arena_map(&a, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(a.source, a.len, 1);
	fill(a.target, a.len, 5);
	view = mirrored(a.source, a.len, MIRROR, a.target); /* taken */
	check(view != a.target && filled(a.target, a.len, 5) && filled(view, a.len, 1));
	check(!munmap(view, a.len));
	check(!munmap(a.target, a.len));
	check(mirrored(a.source, a.len, MIRROR, a.target) == a.target);
	check(filled(a.target, a.len, 1));
	/* four arguments: whatever was in the register */
	for (uintptr_t nonsense = 1; nonsense; nonsense <<= 9) {
		view = mirrored(a.source, a.len, MIRROR, (void *)(nonsense - 1));
		check(filled(view, a.len, 1) && !munmap(view, a.len));
	}
	view = mirrored(a.source, a.len, MIRROR, a.source + PAGE);
	check(filled(view, a.len, 1) && !munmap(view, a.len));
	view = mremap(a.source, a.len, a.len, MIRROR);
	check(view != MAP_FAILED && filled(view, a.len, 1) && !munmap(view, a.len));
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	end_arena();
}

/* The same pages twice in a row: the mapping directly behind itself. */
static void twice_in_a_row(void **state)
{
	(void)state;
	make_arena();
	check(mmap(a.source, a.len / 2, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		a.source);
	check(mirrored(a.source, a.len / 2, MIRROR_ONTO, a.source + a.len / 2) ==
		a.source + a.len / 2);
	for (size_t i = 0; i < a.len / 2; i += 8)
		*(size_t *)(a.source + i) = i + 1;
	for (size_t i = 0; i < a.len; i += 8)
		check(*(size_t *)(a.source + i) == i % (a.len / 2) + 1);
	end_arena();
}

/* By syscall(), and through a function pointer. */
static void other_ways(void **state)
{
	void *(*volatile call)(void *, size_t, size_t, int, ...) = mremap;

	(void)state;
	make_arena();
	arena_map(&a, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(a.source, a.len, 1);
	check(call(a.source, a.len, a.len, MIRROR_ONTO, a.target) == a.target);
	check(filled(a.target, a.len, 1));
	check(!munmap(a.target, a.len));
#ifndef BEHAVE_LINKED
	check(syscall(SYS_mremap, a.source, a.len, a.len, (long)MIRROR_ONTO, a.target) ==
		(long)a.target);
	check(filled(a.target, a.len, 1));
	errno = 0;
	check_is(syscall(SYS_mremap, a.source, a.len, a.len, MIRROR | 1L << 40, 0L), -1);
	check_is(errno, EINVAL);
#endif
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	end_arena();
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(anonymous, "mirror-of-shared-anonymous-memory"),
		CASE(memfd, "mirror-of-a-memfd"),
		CASE(memfd_closed, "mirror-of-a-memfd-that-is-closed"),
		CASE(read_only, "mirror-of-a-read-only-view-of-a-memfd"),
		CASE(tmpfs, "mirror-of-a-tmpfs-file"),
		CASE(disk, "mirror-of-a-shared-file"),
		CASE(no_access, "mirror-of-shared-prot-none"),
		CASE(sysv, "mirror-of-sysv-shared-memory"),
		CASE(beyond_the_object, "mirror-of-a-mapping-longer-than-its-object"),
		CASE(populate, "mirror-with-populate-makes-page-tables"),
		CASE(wish, "mirror-takes-an-address-for-a-wish"),
		CASE(twice_in_a_row, "mirror-directly-behind-its-source"),
		CASE(other_ways, "mirror-by-syscall-and-by-pointer"),
	};

	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
