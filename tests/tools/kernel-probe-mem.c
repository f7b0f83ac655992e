/* SPDX-License-Identifier: MIT */
/*
 * kernel-probe-mem.c - kinds of memory, and what mremap does with them
 *
 * Every kind is a function that maps len bytes, writable, or says MAP_FAILED with errno. Questions
 * about mremap use the raw system call: what libc makes of a flag is not the question. Each runs in
 * a child of its own, so nothing is undone.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "kernel-probe.h"
#include "tools/errname.h"

static char *raw_mremap(void *addr, size_t old_len, size_t new_len, unsigned long flags, void *to)
{
	return (char *)syscall(SYS_mremap, addr, old_len, new_len, flags, to);
}

static char *map_fd(int fd, size_t len, int flags)
{
	char *p;

	if (fd < 0)
		return MAP_FAILED;
	if (ftruncate(fd, (off_t)len) < 0)
		return MAP_FAILED;
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);
	close(fd);
	return p;
}

static int temp_file(const char *dir, size_t len)
{
	char path[4096];
	char byte = 'F';
	size_t i;
	int fd;

	snprintf(path, sizeof(path), "%s/kernel-probe.XXXXXX", dir);
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	unlink(path);
	for (i = 0; i < len; i += rm_page)
		if (pwrite(fd, &byte, 1, (off_t)i) != 1)
			return -1;
	return fd;
}

int rm_new_memfd(unsigned flags, char first, size_t len)
{
	int fd = (int)syscall(SYS_memfd_create, "probe", flags);
	size_t i;

	for (i = 0; fd >= 0 && first && i < len; i += rm_page)
		if (pwrite(fd, &first, 1, (off_t)i) != 1)
			return -1;
	return fd;
}

static char *map_private_anon(size_t len)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static char *map_shared_anon(size_t len)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static char *map_memfd_shared(size_t len)
{
	return map_fd(rm_new_memfd(0, 0, len), len, MAP_SHARED);
}

static char *map_memfd_private(size_t len)
{
	return map_fd(rm_new_memfd(0, 'F', len), len, MAP_PRIVATE);
}

/* A directory on tmpfs has no ordinary files: theirs are shared memory. */
static char *map_ordinary_file(size_t len, int flags)
{
	struct statfs fs;

	if (statfs(rm_file_dir, &fs) < 0)
		return MAP_FAILED;
	if (fs.f_type == 0x01021994) {
		errno = EOPNOTSUPP;
		return MAP_FAILED;
	}
	return map_fd(temp_file(rm_file_dir, len), len, flags);
}

static char *map_file_private(size_t len)
{
	return map_ordinary_file(len, MAP_PRIVATE);
}

static char *map_file_shared(size_t len)
{
	return map_ordinary_file(len, MAP_SHARED);
}

static char *map_shm_file(size_t len)
{
	return map_fd(temp_file("/dev/shm", len), len, MAP_SHARED);
}

static char *map_huge_memfd(size_t len)
{
	return map_fd(rm_new_memfd(4 /* MFD_HUGETLB */ | 21u << 26, 0, len), len, MAP_SHARED);
}

static char *map_huge_private(size_t len)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << 26, -1, 0);
}

const struct region_kind rm_private_anon = {"private anon", map_private_anon, false};
const struct region_kind rm_shared_anon = {"shared anon", map_shared_anon, false};
const struct region_kind rm_memfd_shared = {"memfd shared", map_memfd_shared, false};
const struct region_kind rm_memfd_private = {"memfd private", map_memfd_private, false};
const struct region_kind rm_file_private = {"private file", map_file_private, false};
const struct region_kind rm_file_shared = {"shared file", map_file_shared, false};
const struct region_kind rm_shm_file = {"shared file (/dev/shm)", map_shm_file, false};
const struct region_kind rm_huge_memfd = {"hugetlb memfd shared", map_huge_memfd, true};
const struct region_kind rm_huge_private = {"hugetlb private anon", map_huge_private, true};

/* A region of the kind, written with 'A'; NULL with the answer filled in when there is none. */
char *rm_region(const struct question *question, size_t *len, char *answer)
{
	char *p;

	*len = question->kind->huge ? HUGE : 2 * rm_page;
	p = question->kind->map(*len);
	if (p == MAP_FAILED) {
		rm_say(answer, "no %s here (%s)", question->kind->name, rm_errname(errno));
		return NULL;
	}
	memset(p, 'A', *len);
	return p;
}

void rm_ask_dontunmap(const struct question *question, char *answer)
{
	size_t len;
	char *p = rm_region(question, &len, answer);
	char *moved;

	if (!p)
		return;
	moved = raw_mremap(p, len, len, MREMAP_MAYMOVE | DONTUNMAP, NULL);
	if (moved == MAP_FAILED)
		rm_say_errno(answer);
	else
		rm_say(answer, "ok, old reads %c", *p ? *p : '0');
}

void rm_ask_duplicate(const struct question *question, char *answer)
{
	size_t len;
	char *p = rm_region(question, &len, answer);
	char *copy;

	if (!p)
		return;
	copy = raw_mremap(p, 0, len, MREMAP_MAYMOVE, NULL);
	if (copy == MAP_FAILED) {
		rm_say_errno(answer);
		return;
	}
	copy[0] = 'B';
	rm_say(answer, "ok (%s)", p[0] == 'B' ? "alias" : "no alias");
}

/* a: flags besides MAYMOVE; b: growth in pages (huge pages where they are) */
void rm_ask_move(const struct question *question, char *answer)
{
	size_t len, unit;
	char *p = rm_region(question, &len, answer);
	char *to, *moved;

	if (!p)
		return;
	unit = question->kind->huge ? HUGE : rm_page;
	to = mmap(NULL, 3 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	to = (char *)(((uintptr_t)to + HUGE - 1) & ~(HUGE - 1));
	moved = raw_mremap(p, len, len + (size_t)question->b * unit,
		MREMAP_MAYMOVE | (unsigned long)question->a, to);
	rm_say_ok_or_errno(answer, moved == MAP_FAILED ? -1 : 0);
}

/* Three mappings (different protection) of one page each; b: the middle one is a hole */
void rm_ask_move_three(const struct question *question, char *answer)
{
	char *p = map_private_anon(3 * rm_page);
	char *to = map_private_anon(3 * rm_page);
	char *moved;

	memset(p, 'A', 3 * rm_page);
	if (question->b)
		munmap(p + rm_page, rm_page);
	else
		mprotect(p + rm_page, rm_page, PROT_READ);
	moved = raw_mremap(
		p, 3 * rm_page, 3 * rm_page, MREMAP_MAYMOVE | (unsigned long)question->a, to);
	rm_say_ok_or_errno(answer, moved == MAP_FAILED ? -1 : 0);
}

void rm_ask_dontunmap_locked(const struct question *question, char *answer)
{
	size_t len;
	char *p = rm_region(question, &len, answer);

	if (!p)
		return;
	if (mlock(p, len) < 0) {
		rm_say(answer, "no mlock here (%s)", rm_errname(errno));
		return;
	}
	p = raw_mremap(p, len, len, MREMAP_MAYMOVE | DONTUNMAP, NULL);
	rm_say_ok_or_errno(answer, p == MAP_FAILED ? -1 : 0);
}

void rm_ask_dontunmap_thp(const struct question *question, char *answer)
{
	char *p = map_private_anon(2 * HUGE);
	char *start = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));

	(void)question;
	madvise(start, HUGE, MADV_HUGEPAGE);
	memset(start, 'A', HUGE);
	p = raw_mremap(start, HUGE, HUGE, MREMAP_MAYMOVE | DONTUNMAP, NULL);
	rm_say_ok_or_errno(answer, p == MAP_FAILED ? -1 : 0);
}

/* Onto itself, one page higher: EINVAL comes before any look at the mappings. */
void rm_ask_move_overlapping(const struct question *question, char *answer)
{
	char *p = map_private_anon(4 * rm_page);

	(void)question;
	mprotect(p + rm_page, rm_page, PROT_READ);
	p = raw_mremap(p, 3 * rm_page, 3 * rm_page, MREMAP_MAYMOVE | MREMAP_FIXED, p + rm_page);
	rm_say_ok_or_errno(answer, p == MAP_FAILED ? -1 : 0);
}

/* semantics.md 1.1: old kernels unmap the tail without a look at what is before it. */
void rm_ask_shrink_to_tail(const struct question *question, char *answer)
{
	char *p = map_private_anon(2 * rm_page);
	unsigned char there;
	char *got;

	(void)question;
	munmap(p, rm_page);
	got = raw_mremap(p, 2 * rm_page, rm_page, 0, NULL);
	if (got == MAP_FAILED)
		rm_say_errno(answer);
	else
		rm_say(answer, "ok, tail %s",
			mincore(p + rm_page, rm_page, &there) < 0 ? "gone" : "stays");
}

/*
 * Not in kernel-answers.md, but in semantics.md 1.1: a no-op on an unmapped address. a: pages to
 * shrink by
 */
void rm_ask_noop_unmapped(const struct question *question, char *answer)
{
	char *p = map_private_anon(4 * rm_page);
	char *got;

	munmap(p, 4 * rm_page);
	got = raw_mremap(p, 2 * rm_page, 2 * rm_page - (size_t)question->a * rm_page, 0, NULL);
	if (got == MAP_FAILED)
		rm_say_errno(answer);
	else
		rm_say(answer, "%s", got == p ? "ok" : "another address");
}

/* semantics.md 1.3: lengths that are equal only when rounded */
void rm_ask_dontunmap_rawlen(const struct question *question, char *answer)
{
	size_t len;
	char *p = rm_region(question, &len, answer);

	if (!p)
		return;
	p = raw_mremap(p, 1, rm_page, MREMAP_MAYMOVE | DONTUNMAP, NULL);
	rm_say_ok_or_errno(answer, p == MAP_FAILED ? -1 : 0);
}
