/* SPDX-License-Identifier: MIT */
/*
 * Linux AIO (io_submit) and O_DIRECT with buffers in the range that moves. Needs AIO, and for the
 * pages to be in flight a file system that knows O_DIRECT; without one the buffers are filled by
 * io_submit itself.
 *
 * In each round a reader submits reads of every page of its range, moves the range by
 * MREMAP_DONTUNMAP, and awaits the reads: the pages were pinned when they were submitted, so the
 * data is at the destination, all of it, and the old range is empty (semantics.md A20). Then it
 * submits writes from the destination, moves that back, and the file must have what was written.
 *
 * A direct reader uses read(2) and write(2) with O_DIRECT in the shuttle that the main thread
 * moves: no EFAULT.
 */
#include "tests/stress/stress.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGES 8
#define LEN   (PAGES * PAGE)

static struct shuttle shuttle;
static atomic_ulong rounds, direct;
static bool have_direct;

/*
 * A file of PAGES pages, deleted already; with O_DIRECT if there is a directory whose file system
 * has it.
 */
static int make_file(void)
{
	static const char *const dirs[] = {".", "/var/tmp", "/tmp"};
	char path[64];

	for (int plain = 0; plain < 2; plain++)
		for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
			int fd;

			snprintf(path, sizeof(path), "%s/remap-stress-XXXXXX", dirs[i]);
			fd = mkostemp(path, O_CLOEXEC | (plain ? 0 : O_DIRECT));
			if (fd < 0)
				continue;
			unlink(path);
			have_direct = !plain;
			if (!ftruncate(fd, LEN))
				return fd;
			close(fd);
		}
	return -1;
}

/* A request for each page. False: they were not all taken. */
static bool submit(aio_context_t context, int op, int fd, unsigned char *at)
{
	struct iocb blocks[PAGES], *list[PAGES];

	memset(blocks, 0, sizeof(blocks));
	for (int i = 0; i < PAGES; i++) {
		blocks[i].aio_lio_opcode = (uint16_t)op;
		blocks[i].aio_fildes = (uint32_t)fd;
		blocks[i].aio_buf = (uint64_t)(uintptr_t)(at + i * PAGE);
		blocks[i].aio_nbytes = PAGE;
		blocks[i].aio_offset = i * (int64_t)PAGE;
		list[i] = &blocks[i];
	}
	for (int done = 0; done < PAGES;) {
		long r = syscall(SYS_io_submit, context, PAGES - done, list + done);

		if (r < 0 && errno == EAGAIN)
			continue;
		if (r < 0) {
			fail("io_submit", errno);
			return false;
		}
		done += (int)r;
	}
	return true;
}

static bool await(aio_context_t context)
{
	struct io_event events[PAGES];

	for (int done = 0; done < PAGES;) {
		long r = syscall(SYS_io_getevents, context, 1, PAGES, events, NULL);

		if (r < 0) {
			fail("io_getevents", errno);
			if (errno == EINTR)
				continue;
			return false;
		}
		for (int i = 0; i < r; i++)
			if (events[i].res != (int64_t)PAGE) {
				fail("a request in flight ended with", events[i].res);
				return false;
			}
		done += (int)r;
	}
	return true;
}

static bool move_to(unsigned char *from, unsigned char *to)
{
	if (mremap(from, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to)
		return true;
	fail_move("mremap with requests in flight");
	return false;
}

static bool all_are(const unsigned char *p, int byte)
{
	for (size_t i = 0; i < LEN; i += 64)
		if (p[i] != byte)
			return false;
	return true;
}

/* The file holds 'o' all over; at is a range of the kind, to is where it goes, both stay. */
static bool one_round(aio_context_t context, int fd, unsigned char *at, unsigned char *to, int byte)
{
	const int left = opt.kind == KIND_SHARED ? byte : opt.kind == KIND_FILE ? 'f' : 0;

	memset(at, 'x', LEN);
	if (!submit(context, IOCB_CMD_PREAD, fd, at) || !move_to(at, to) || !await(context))
		return false;
	if (!all_are(to, byte) || !all_are(at, left)) {
		fail("what was read is not where the pages are", to[0] * 1000 + at[0]);
		return false;
	}
	memset(to, byte + 1, LEN);
	if (!submit(context, IOCB_CMD_PWRITE, fd, to) || !move_to(to, at) || !await(context))
		return false;
	if (!all_are(at, byte + 1)) {
		fail("the pages that were written from did not come back", at[0]);
		return false;
	}
	return true;
}

static void *run_reader(void *arg)
{
	unsigned char *at = map_object(opt.kind, LEN, 'f');
	unsigned char *to = mmap(NULL, LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	aio_context_t context = 0;
	int fd = make_file(), byte = 0;

	(void)arg;
	if (fd < 0 || at == MAP_FAILED || to == MAP_FAILED ||
		syscall(SYS_io_setup, PAGES, &context)) {
		fail("a reader can not begin", errno);
		return NULL;
	}
	while (!atomic_load(&stop_all) && one_round(context, fd, at, to, byte)) {
		byte = (byte + 1) % 100;
		if (!byte && (ftruncate(fd, 0) || ftruncate(fd, LEN)))
			fail("ftruncate", errno);
		atomic_fetch_add(&rounds, 1);
	}
	syscall(SYS_io_destroy, context);
	close(fd);
	return NULL;
}

static void *run_direct(void *arg)
{
	int fd = make_file();
	size_t page = 0;

	(void)arg;
	while (fd >= 0 && !atomic_load(&stop_all)) {
		/* whole pages, tags and all: of the shuttle's own page */
		unsigned char *p = shuttle.side[page % 2] + page / 2 % shuttle.pages * PAGE;
		ssize_t r = pwrite(fd, p, PAGE, 0);

		if (r != (ssize_t)PAGE)
			fail("pwrite(2) from the moving range", r < 0 ? errno : r);
		page++;
		atomic_fetch_add(&direct, 1);
	}
	close(fd);
	return NULL;
}

static int begin(void)
{
	aio_context_t context = 0;

	if (syscall(SYS_io_setup, 1, &context)) {
		printf("1..0 # SKIP io_setup: %s\n", strerror(errno));
		return 77;
	}
	syscall(SYS_io_destroy, context);
	if (!shuttle_make(&shuttle, opt.kind, 16, 0xa10000))
		return 1;
	for (unsigned int i = 0; i < opt.threads; i++) {
		start_thread(run_reader, i);
		start_thread(run_direct, i);
	}
	return 0;
}

static bool move(unsigned long nth)
{
	(void)nth;
	return shuttle_move(&shuttle);
}

static bool end(char *what, size_t size)
{
	snprintf(what, size,
		"%lu rounds with %d requests in flight, %lu direct writes, %s O_DIRECT",
		atomic_load(&rounds), PAGES, atomic_load(&direct),
		have_direct ? "with" : "without");
	return true;
}

static unsigned long least(void)
{
	return smaller(atomic_load(&rounds), atomic_load(&direct));
}

const struct scene aio_scene = {"aio", begin, move, least, end};
