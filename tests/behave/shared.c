/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_DONTUNMAP of shared memory of every kind: both ranges show the same object, and nothing is
 * lost (2.5). Natively since 5.13. Needs a writable /dev/shm and current directory for the files.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "tests/behave/behave.h"

#ifndef F_ADD_SEALS
#define F_ADD_SEALS   1033
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW   4
#define F_SEAL_WRITE  8
#endif

#define PAGES 8

static struct arena a;

/*
 * An object of PAGES + 2 pages, of which the mapping shows all but the first two; the whole is
 * filled.
 */
static void check_object(int fd, int prot)
{
	struct vma before, now;
	off_t offset = (off_t)(2 * PAGE);

	arena_make(&a, PAGES);
	check(mmap(a.source, a.len, prot, MAP_SHARED | MAP_FIXED, fd, offset) == a.source);
	check(filled(a.source, PAGE, 72) && filled(a.source + a.len - PAGE, PAGE, 72 + PAGES - 1));
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check_is(vma_count(a.source - PAGE, a.len + 2 * PAGE), 3);
	check(vma_at(a.source, &now) && !now.rss); /* before anything is touched again */
	for (unsigned int i = 0; i < PAGES; i++) {
		check(filled(a.target + i * PAGE, PAGE, 72 + i));
		check(filled(a.source + i * PAGE, PAGE, 72 + i));
	}
	if (prot & PROT_WRITE) { /* one memory */
		fill(a.source, PAGE, 5);
		check(filled(a.target, PAGE, 5));
		fill(a.target + a.len - PAGE, PAGE, 6);
		check(filled(a.source + a.len - PAGE, PAGE, 6));
		fill(a.source, PAGE, 72);
		fill(a.source + a.len - PAGE, PAGE, 72 + PAGES - 1);
	}

	/* now the middle, and to anywhere */
	check(mmap(a.target, a.len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.target);
	for (int anywhere = 0; anywhere < 2; anywhere++) {
		char *new = moved(a.source + 3 * PAGE, 2 * PAGE, anywhere ? ANYWHERE : ONTO,
			anywhere ? NULL : a.target);

		check_is(vma_count(a.source, a.len), 1);
		check(vma_at(new, &now));
		check_is(now.end - now.start, 2 * PAGE);
		check_is(now.offset, 5 * PAGE);
		check(!strcmp(now.flags, before.flags));
		for (unsigned int i = 0; i < PAGES; i++)
			check(filled(a.source + i * PAGE, PAGE, 72 + i));
		check(filled(new, PAGE, 75) && filled(new + PAGE, PAGE, 76));
		if (anywhere)
			check(!munmap(new, 2 * PAGE));
	}
	check(mmap(a.target, a.len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.target);
	arena_end(&a);
}

static void fill_object(int fd)
{
	static char page[65536];

	check(fd >= 0);
	for (unsigned int i = 0; i < PAGES + 2; i++) {
		fill(page, PAGE, 70 + i);
		check_is(pwrite(fd, page, PAGE, (off_t)(i * PAGE)), PAGE);
	}
}

static int make_memfd(unsigned int flags)
{
	int fd = memfd_create("behave", MFD_CLOEXEC | flags);

	if (fd < 0)
		behave_skip("no memfd_create");
	fill_object(fd);
	return fd;
}

static int make_file(const char *folder)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/behave-XXXXXX", folder);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		behave_skip("no file can be made there");
	check(!unlink(path));
	fill_object(fd);
	return fd;
}

static void anonymous(void **state)
{
	struct vma before, now;

	(void)state;
	arena_make_filled(&a, PAGES, RW, MAP_SHARED | MAP_ANONYMOUS);
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check(vma_at(a.source, &now) && !now.rss);
	check(filled(a.source, a.len, 1));
	fill(a.source, a.len, 2);
	check(filled(a.target, a.len, 2));
	arena_end(&a);
}

static void memfd(void **state)
{
	int fd = make_memfd(0);

	(void)state;
	check_object(fd, RW);
	close(fd);
}

/* No descriptor is left, only the mapping. */
static void memfd_closed(void **state)
{
	int fd = make_memfd(0);
	char *keep = mmap(NULL, (PAGES + 2) * PAGE, RW, MAP_SHARED, fd, 0);

	(void)state;
	check(keep != MAP_FAILED);
	close(fd);
	arena_make(&a, PAGES);
	moved(keep + 2 * PAGE, a.len, ONTO, a.target);
	for (unsigned int i = 0; i < PAGES; i++)
		check(filled(a.target + i * PAGE, PAGE, 72 + i));
	for (unsigned int i = 0; i < PAGES + 2; i++)
		check(filled(keep + i * PAGE, PAGE, 70 + i));
	check_is(vma_count(keep, (PAGES + 2) * PAGE), 1);
	check(!munmap(keep, (PAGES + 2) * PAGE));
	arena_end(&a);
}

/* VM_MAYSHARE only: the descriptor could not write. */
static void memfd_read_only(void **state)
{
	int fd = make_memfd(0), ro;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	check(ro >= 0);
	check_object(ro, PROT_READ);
	/* and neither view can be made writable */
	arena_make(&a, PAGES);
	arena_map(&a, PROT_READ, MAP_SHARED, ro);
	moved(a.source, a.len, ONTO, a.target);
	check(mprotect(a.source, a.len, RW) && errno == EACCES);
	check(mprotect(a.target, a.len, RW) && errno == EACCES);
	arena_end(&a);
	close(ro);
	close(fd);
}

static void memfd_sealed(void **state)
{
	int fd = make_memfd(MFD_ALLOW_SEALING);

	(void)state;
	check(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	check_object(fd, RW);
	check(!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	close(fd);
}

static void memfd_sealed_for_writing(void **state)
{
	int fd = make_memfd(MFD_ALLOW_SEALING);
	char *p;

	(void)state;
	check(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		close(fd);
		behave_skip("a sealed memfd cannot be mapped shared before 6.7");
	}
	munmap(p, PAGE);
	check_object(fd, PROT_READ);
	close(fd);
}

static void tmpfs(void **state)
{
	int fd = make_file("/dev/shm");

	(void)state;
	check_object(fd, RW);
	check_object(fd, PROT_READ);
	close(fd);
}

static void disk(void **state)
{
	int fd = make_file(".");

	(void)state;
	check_object(fd, RW);
	close(fd);
}

static void no_access(void **state)
{
	int fd = make_memfd(0);
	struct vma before;

	(void)state;
	arena_make(&a, PAGES);
	check(mmap(a.source, a.len, PROT_NONE, MAP_SHARED | MAP_FIXED, fd, 0) == a.source);
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "");
	check(!mprotect(a.target, a.len, RW));
	check(!mprotect(a.source, a.len, RW));
	check(filled(a.target, PAGE, 70) && filled(a.source, PAGE, 70));
	close(fd);
	arena_end(&a);
}

/* shm_nattch counts both, and each is detached by itself. */
static void sysv(void **state)
{
	struct shmid_ds info;
	struct vma before;
	char *p;
	int id = shmget(IPC_PRIVATE, PAGES * PAGE, IPC_CREAT | 0600);

	(void)state;
	if (id < 0)
		behave_skip("no System V shared memory");
	p = shmat(id, NULL, 0);
	check(p != (void *)-1);
	check(!shmctl(id, IPC_RMID, NULL));
	fill(p, PAGES * PAGE, 1);
	check(vma_at(p, &before));
	arena_make(&a, PAGES);
	moved(p, a.len, ONTO, a.target);
	check_both(&before, p, a.target, a.len, "");
	check(filled(a.target, a.len, 1) && filled(p, a.len, 1));
	check(!shmctl(id, IPC_STAT, &info));
	check_is(info.shm_nattch, 2);
	check(!shmdt(p));
	check(!shmctl(id, IPC_STAT, &info));
	check_is(info.shm_nattch, 1);
	check(filled(a.target, a.len, 1));
	check(!shmdt(a.target));
	check(shmctl(id, IPC_STAT, &info) == -1);
	check(mmap(a.target, a.len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.target);
	arena_end(&a);
}

static bool readable(const void *at)
{
	char byte;
	struct iovec here = {&byte, 1}, there = {(void *)at, 1};

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1;
}

/* The mapping goes on behind the object's end: both do. */
static void beyond_the_object(void **state)
{
	int fd = memfd_create("behave", MFD_CLOEXEC);

	(void)state;
	arena_make(&a, PAGES);
	check(fd >= 0 && !ftruncate(fd, (off_t)(3 * PAGE)));
	check(mmap(a.source, a.len, RW, MAP_SHARED | MAP_FIXED, fd, 0) == a.source);
	fill(a.source, 3 * PAGE, 1);
	moved(a.source, a.len, ONTO, a.target);
	check(filled(a.target, 3 * PAGE, 1) && filled(a.source, 3 * PAGE, 1));
	check(!readable(a.target + 3 * PAGE) && !readable(a.source + 3 * PAGE));
	check(!ftruncate(fd, (off_t)(4 * PAGE)));
	check(readable(a.target + 3 * PAGE) && readable(a.source + 3 * PAGE));
	close(fd);
	arena_end(&a);
}

/* Holes of the object stay holes: nothing is allocated by the move. */
static void sparse(void **state)
{
	int fd = memfd_create("behave", MFD_CLOEXEC);
	struct stat before, after;

	(void)state;
	arena_make(&a, PAGES);
	check(fd >= 0 && !ftruncate(fd, (off_t)a.len));
	check(mmap(a.source, a.len, RW, MAP_SHARED | MAP_FIXED, fd, 0) == a.source);
	fill(a.source + PAGE, PAGE, 1);
	check(!fstat(fd, &before));
	moved(a.source, a.len, ONTO, a.target);
	check(!fstat(fd, &after));
	check_is(after.st_blocks, before.st_blocks);
	check(filled(a.target + PAGE, PAGE, 1));
	close(fd);
	arena_end(&a);
}

/*
 * The page tables go with the move, as a program sees from Rss: no fault is needed at the new
 * place.
 */
static void page_tables(void **state)
{
	struct vma before, now;

	(void)state;
	arena_make_filled(&a, PAGES, RW, MAP_SHARED | MAP_ANONYMOUS);
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check(vma_at(a.target, &now));
	check_is(now.rss, before.rss);
	arena_end(&a);
}

/* Away a hundred times and home. */
static void home_again(void **state)
{
	const size_t len = 2 * PAGE;
	int fd = make_memfd(0);
	char *at;

	(void)state;
	arena_make(&a, PAGES);
	check(mmap(a.source, a.len, RW, MAP_SHARED | MAP_FIXED, fd, 0) == a.source);
	at = a.source + 3 * PAGE;
	for (unsigned int i = 0; i < 100; i++) {
		fill(at, len, 100 + i);
		check(mremap(at, len, len, ONTO, a.target) == a.target);
		check(filled(a.target, len, 100 + i) && filled(at, len, 100 + i));
	}
	check_is(vma_count(a.source, a.len), 1);
	check(mremap(a.target, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
	check(filled(at, len, 199));
	check_is(vma_count(a.source, a.len), 1);
	check(filled(a.source, PAGE, 70));
	check(mmap(a.target, len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.target);
	close(fd);
	arena_end(&a);
}

/* What the object has and the mapping has not touched is not brought in. */
static void cached_elsewhere(void **state)
{
	int fd = make_memfd(0);
	struct vma now;

	(void)state;
	arena_make(&a, PAGES);
	check(mmap(a.source, a.len, RW, MAP_SHARED | MAP_FIXED, fd, 0) == a.source);
	fill(a.source + 3 * PAGE, PAGE,
		5); /* writing brings in one page, reading would bring in its neighbours */
	check(vma_at(a.source, &now));
	check_is(now.rss, PAGE / 1024);
	moved(a.source, a.len, ONTO, a.target);
	check(vma_at(a.target, &now));
	check_is(now.rss, PAGE / 1024);
	check(vma_at(a.source, &now) && !now.rss);
	check(filled(a.target + 3 * PAGE, PAGE, 5) && filled(a.target, PAGE, 70));
	close(fd);
	arena_end(&a);
}

/* --- the same beside another thread, which then need not stand still for it --- */

static sem_t over;
static pthread_t other;

static void *wait_till_over(void *arg)
{
	while (sem_wait(&over))
		;
	return arg;
}

static int with_a_thread(void **state)
{
	(void)state;
	return sem_init(&over, 0, 0) || pthread_create(&other, NULL, wait_till_over, NULL);
}

static int without(void **state)
{
	(void)state;
	return sem_post(&over) || pthread_join(other, NULL) || sem_destroy(&over);
}

#define BOTH(function, behaviour)                                                                  \
	CASE(function, behaviour),                                                                 \
	{                                                                                          \
		behaviour "-beside-a-thread", function, with_a_thread, without, NULL               \
	}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		BOTH(anonymous, "dontunmap-of-shared-anonymous-memory"),
		BOTH(memfd, "dontunmap-of-a-memfd"),
		BOTH(memfd_closed, "dontunmap-of-a-memfd-that-is-closed"),
		BOTH(memfd_read_only, "dontunmap-of-a-read-only-view-of-a-memfd"),
		BOTH(memfd_sealed, "dontunmap-of-a-sealed-memfd"),
		BOTH(memfd_sealed_for_writing, "dontunmap-of-a-memfd-sealed-for-writing"),
		BOTH(tmpfs, "dontunmap-of-a-tmpfs-file"),
		BOTH(disk, "dontunmap-of-a-shared-file"),
		BOTH(no_access, "dontunmap-of-shared-prot-none"),
		BOTH(sysv, "dontunmap-of-sysv-shared-memory"),
		BOTH(beyond_the_object, "dontunmap-of-a-mapping-longer-than-its-object"),
		BOTH(sparse, "dontunmap-allocates-nothing-in-the-object"),
		BOTH(page_tables, "dontunmap-of-shared-memory-moves-page-tables"),
		BOTH(home_again, "dontunmap-of-shared-memory-a-hundred-times"),
		BOTH(cached_elsewhere, "dontunmap-of-shared-memory-moves-only-what-was-mapped"),
	};

	return BEHAVE_RUN(cases);
}
