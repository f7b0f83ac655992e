/* SPDX-License-Identifier: MIT */
/*
 * A tagged range that goes to and fro, for scenes that look at whole pages and not at counters.
 *
 * Everybody who comes upon a shuttle between two moves, a forked child above all, must find one
 * side complete and the other one empty: a move is one step, as the kernel's own is (it holds the
 * mmap lock).
 */
#include "tests/stress/stress.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_BYTE 'F' /* what an empty page of a private file mapping shows */

/* Private mappings can share one file; it stays open, so that the deleted file is found by it. */
static int file_of(int byte, size_t len)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int fds[256];
	char path[] = "/tmp/remap-stress-XXXXXX", page[PAGE];
	int fd;

	memset(page, byte, sizeof(page));
	pthread_mutex_lock(&lock);
	if (!fds[byte]) {
		fd = mkostemp(path, O_CLOEXEC);
		unlink(path);
		fds[byte] = fd;
	}
	fd = fds[byte];
	while (fd >= 0 && lseek(fd, 0, SEEK_END) < (off_t)len)
		if (write(fd, page, PAGE) != (ssize_t)PAGE)
			fd = -1;
	pthread_mutex_unlock(&lock);
	return fd;
}

void *map_object(enum kind kind, size_t len, int byte)
{
	void *p = MAP_FAILED;
	int fd;

	switch (kind) {
	case KIND_ANON:
		return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	case KIND_SHARED:
		fd = memfd_create("remap-stress", MFD_CLOEXEC);
		if (fd >= 0 && !ftruncate(fd, (off_t)len))
			p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (fd >= 0)
			close(fd);
		return p;
	case KIND_FILE:
		fd = file_of(byte, len);
		return fd < 0 ? p : mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	}
	return p;
}

static uint64_t *word(const struct shuttle *shuttle, int side, size_t page, size_t at)
{
	return (uint64_t *)(shuttle->side[side] + page * PAGE + at);
}

static void fill(struct shuttle *shuttle)
{
	for (size_t page = 0; page < shuttle->pages; page++) {
		*word(shuttle, shuttle->full, page, 0) = shuttle->tag + page;
		*word(shuttle, shuttle->full, page, PAGE - 8) = ~(shuttle->tag + page);
	}
}

static uint64_t empty_word(const struct shuttle *shuttle)
{
	uint64_t empty = 0;

	if (shuttle->kind == KIND_FILE)
		memset(&empty, FILE_BYTE, sizeof(empty));
	return empty;
}

enum page_state page_state(const struct shuttle *shuttle, int side, size_t page)
{
	const uint64_t low = *word(shuttle, side, page, 0);
	const uint64_t high = *word(shuttle, side, page, PAGE - 8);
	const uint64_t empty = empty_word(shuttle);

	if (low == shuttle->tag + page && high == ~low)
		return PAGE_FULL;
	return low == empty && high == empty ? PAGE_EMPTY : PAGE_WRONG;
}

bool page_is_possible(const struct shuttle *shuttle, int side, size_t page)
{
	const uint64_t low = *(volatile uint64_t *)word(shuttle, side, page, 0);
	const uint64_t high = *(volatile uint64_t *)word(shuttle, side, page, PAGE - 8);
	const uint64_t tag = shuttle->tag + page, empty = empty_word(shuttle);

	return (low == tag || low == empty) && (high == ~tag || high == empty);
}

/* Pages of a side in the state. */
static size_t count(const struct shuttle *shuttle, int side, enum page_state state)
{
	size_t n = 0;

	for (size_t page = 0; page < shuttle->pages; page++)
		n += page_state(shuttle, side, page) == state;
	return n;
}

static bool to_and_fro(struct shuttle *shuttle)
{
	const size_t len = shuttle->pages * PAGE;
	unsigned char *from = shuttle->side[shuttle->full], *to = shuttle->side[!shuttle->full];

	if (mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) != to)
		return false;
	shuttle->full = !shuttle->full;
	return true;
}

bool shuttle_make(struct shuttle *shuttle, enum kind kind, size_t pages, uint64_t tag)
{
	shuttle->kind = kind;
	shuttle->pages = pages;
	shuttle->tag = tag;
	shuttle->full = 0;
	shuttle->side[0] = map_object(kind, pages * PAGE, FILE_BYTE);
	shuttle->side[1] =
		mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (shuttle->side[0] == MAP_FAILED || shuttle->side[1] == MAP_FAILED) {
		fail("mmap of a shuttle", errno);
		return false;
	}
	fill(shuttle);
	/* from here on both sides are of the kind */
	if (!to_and_fro(shuttle)) {
		fail("the first mremap of a shuttle", errno);
		return false;
	}
	return true;
}

bool shuttle_move(struct shuttle *shuttle)
{
	const enum page_state left = shuttle->kind == KIND_SHARED ? PAGE_FULL : PAGE_EMPTY;

	if (!to_and_fro(shuttle)) {
		fail_move("mremap");
		return false;
	}
	if (count(shuttle, shuttle->full, PAGE_FULL) != shuttle->pages) {
		fail("pages were lost on the way",
			(long)count(shuttle, shuttle->full, PAGE_FULL));
		return false;
	}
	if (count(shuttle, !shuttle->full, left) != shuttle->pages) {
		fail("the old range is not as it should be",
			(long)count(shuttle, !shuttle->full, left));
		return false;
	}
	return true;
}

int shuttle_in_child(const struct shuttle *shuttle)
{
	size_t full[2], empty[2];

	for (int side = 0; side < 2; side++) {
		full[side] = count(shuttle, side, PAGE_FULL);
		empty[side] = count(shuttle, side, PAGE_EMPTY);
	}
	if (shuttle->kind == KIND_SHARED)
		return full[0] == shuttle->pages && full[1] == shuttle->pages ? 0 : 1;
	if (full[0] + full[1] < shuttle->pages)
		return 2; /* a page was lost */
	if (full[0] + full[1] > shuttle->pages)
		return 3; /* a page is there twice */
	if (empty[0] + empty[1] != shuttle->pages)
		return 4; /* something else was found */
	return full[0] && full[1] ? 5 : 0; /* half of a move was seen */
}
