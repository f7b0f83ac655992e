/* SPDX-License-Identifier: MIT */
/*
 * io_uring with buffers in the range that moves, by raw system calls. Needs a kernel that lets us
 * (5.6, no filter).
 *
 * In each round a reader has an empty pipe and asks for a read from it into its range, so that the
 * read is in flight; then moves the range by MREMAP_DONTUNMAP, then fills the pipe, and looks where
 * the data has come to:
 *
 *   registered buffers  the kernel has the pages themselves, and they have moved (semantics.md
 *                       A20): at the destination
 *   plain buffers       the kernel has the address: in the old range, which is mapped and was empty
 *
 * A grazer reads and writes at its leisure in the shuttle that the main thread moves, without any
 * order between the two: done by the submitting call itself, in flight until a child process fills
 * the pipe, and by the kernel's own workers (IOSQE_ASYNC). Natively none of these meets a hole.
 * What workers do is not stopped by libremap, nor what the kernel does for a stopped thread when
 * data comes from outside: with --efault these two may say EFAULT, and it is counted, and so is
 * ECANCELED of older kernels.
 */
#include "tests/stress/stress.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENTRIES 8
#define PAGES	4
#define LEN	(PAGES * PAGE)
#define BYTES	512

struct ring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static struct shuttle shuttle;
static atomic_ulong registered, plain, grazed, faulted;

static int ring_make(struct ring *ring)
{
	struct io_uring_params params;
	unsigned char *sq, *cq;
	size_t sq_len, cq_len;

	memset(&params, 0, sizeof(params));
	ring->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
	if (ring->fd < 0)
		return -errno;
	sq_len = params.sq_off.array + params.sq_entries * sizeof(unsigned int);
	cq_len = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	sq = mmap(NULL, sq_len, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	cq = mmap(NULL, cq_len, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_CQ_RING);
	ring->sqes = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe),
		PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || ring->sqes == MAP_FAILED)
		return -errno;
	ring->sq_tail = (unsigned int *)(sq + params.sq_off.tail);
	ring->sq_mask = (unsigned int *)(sq + params.sq_off.ring_mask);
	ring->sq_array = (unsigned int *)(sq + params.sq_off.array);
	ring->cq_head = (unsigned int *)(cq + params.cq_off.head);
	ring->cq_tail = (unsigned int *)(cq + params.cq_off.tail);
	ring->cq_mask = (unsigned int *)(cq + params.cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
	return 0;
}

/* Hands one request in. False: it was not taken. */
static bool submit(struct ring *ring, int op, int fd, void *buf, unsigned int flags)
{
	unsigned int tail = *ring->sq_tail, at = tail & *ring->sq_mask;
	struct io_uring_sqe *sqe = &ring->sqes[at];
	long r;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = (unsigned char)op;
	sqe->fd = fd;
	sqe->addr = (uint64_t)(uintptr_t)buf;
	sqe->len = BYTES;
	sqe->off = (uint64_t)-1;
	sqe->flags = (unsigned char)flags;
	ring->sq_array[at] = at;
	__atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
	r = syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0);
	if (r == 1)
		return true;
	fail("io_uring_enter, to submit", r < 0 ? errno : r);
	return false;
}

/* The result of the one request in flight. */
static int reap(struct ring *ring)
{
	unsigned int head = *ring->cq_head;
	int result;

	while (head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE))
		if (syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) <
			0) {
			fail("io_uring_enter, to wait", errno);
			if (errno != EINTR)
				return -errno;
		}
	result = ring->cqes[head & *ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return result;
}

static bool all_are(const unsigned char *p, int byte)
{
	for (size_t i = 0; i < BYTES; i++)
		if (p[i] != byte)
			return false;
	return true;
}

/*
 * One read in flight during a move. *where: 1 at the destination only, 0 in the old range only, 2
 * in both.
 */
static bool read_round(struct ring *ring, const int *fds, unsigned char *at, unsigned char *to,
	bool fixed, int *where)
{
	unsigned char data[BYTES];
	const size_t offset = PAGE + 1024;
	int r;

	memset(data, 'd', sizeof(data));
	memset(at, 'b', LEN);
	if (!submit(ring, fixed ? IORING_OP_READ_FIXED : IORING_OP_READ, fds[0], at + offset, 0))
		return false;
	if (mremap(at, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) != to) {
		fail_move("mremap with a read in flight");
		return false;
	}
	if (write(fds[1], data, BYTES) != BYTES) {
		fail("write(2) to the pipe", errno);
		return false;
	}
	r = reap(ring);
	if (r != BYTES) {
		fail("a read in flight during a move ended with", r);
		return false;
	}
	*where = all_are(to + offset, 'd') + 2 * all_are(at + offset, 'd');
	*where = *where == 1 ? 1 : *where == 2 ? 0 : *where == 3 ? 2 : -1;
	if (*where < 2 && to[offset - 1] != 'b') {
		fail("what was beside the buffer is lost", to[offset - 1]);
		return false;
	}
	return true;
}

static void *run_reader(void *arg)
{
	const int both = opt.kind == KIND_SHARED ? 2 : -1;
	unsigned char *at = map_object(opt.kind, LEN, 'f');
	unsigned char *to = mmap(NULL, LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec buffer = {at, LEN};
	struct ring ring;
	bool fixed = true;
	int fds[2], where;

	(void)arg;
	if (at == MAP_FAILED || to == MAP_FAILED || ring_make(&ring) || pipe(fds)) {
		fail("a reader can not begin", errno);
		return NULL;
	}
	while (!atomic_load(&stop_all)) {
		/* Registering pins the pages that are there now. */
		if (fixed && syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS,
				     &buffer, 1)) {
			fail("IORING_REGISTER_BUFFERS", errno);
			return NULL;
		}
		if (!read_round(&ring, fds, at, to, fixed, &where))
			break;
		if (where != (both > 0 ? both : fixed))
			fail(fixed ? "the data of a registered buffer is in the wrong place"
				   : "the data of a plain buffer is in the wrong place",
				where);
		if (fixed)
			if (syscall(SYS_io_uring_register, ring.fd, IORING_UNREGISTER_BUFFERS, NULL,
				    0))
				fail("IORING_UNREGISTER_BUFFERS", errno);
		atomic_fetch_add(fixed ? &registered : &plain, 1);
		fixed = !fixed;
	}
	close(ring.fd);
	return NULL;
}

static bool holds(int fd, int bytes)
{
	int n = 0;

	return !ioctl(fd, FIONREAD, &n) && n >= bytes;
}

/* One request of the grazer, which cares about its result only. */
static void graze(
	struct ring *ring, int op, int fd, unsigned int flags, size_t page, bool may_fault)
{
	unsigned char *p = shuttle.side[page / shuttle.pages % 2] + page % shuttle.pages * PAGE +
			   2048;
	int r;

	if (!submit(ring, op, fd, p, flags))
		return;
	r = reap(ring);
	/*
	 * Before 6.12 or so a request that needs a worker is cancelled if a signal is pending:
	 * remap(7), LIMITS.
	 */
	if (((r == -EFAULT && may_fault) || r == -ECANCELED) && opt.efault)
		atomic_fetch_add(&faulted, 1);
	else if (r != BYTES)
		fail(may_fault ? "io_uring in the moving range, by others"
			       : "io_uring in the moving range, by the thread itself",
			r);
	atomic_fetch_add(&grazed, 1);
}

static void *run_grazer(void *arg)
{
	char data[BYTES];
	struct ring ring;
	int own[2], fed[2];
	size_t page = 0;
	pid_t feeder;

	(void)arg;
	memset(data, 'g', sizeof(data));
	if (ring_make(&ring) || pipe(own) || pipe(fed)) {
		fail("a grazer can not begin", errno);
		return NULL;
	}
	feeder = fork();
	if (!feeder) {
		close(fed[0]); /* so that it ends when the parent's end is closed */
		signal(SIGPIPE, SIG_DFL);
		alarm(0);
		for (;;) {
			usleep(200);
			if (write(fed[1], data, BYTES) != BYTES)
				_exit(0);
		}
	}
	while (!atomic_load(&stop_all)) {
		const unsigned int async = page % 2 ? IOSQE_ASYNC : 0;

		graze(&ring, IORING_OP_WRITE, own[1], async, page, async);
		/* A write that a fault has cut short has left nothing to read. */
		if (holds(own[0], BYTES))
			graze(&ring, IORING_OP_READ, own[0], async, page + 5, async);
		graze(&ring, IORING_OP_READ, fed[0], 0, page + 9, true);
		page++;
	}
	close(ring.fd);
	close(fed[0]);
	close(fed[1]);
	kill(feeder, SIGKILL);
	waitpid(feeder, NULL, 0);
	return NULL;
}

static int begin(void)
{
	struct ring ring;
	int r = ring_make(&ring);

	if (r) {
		printf("1..0 # SKIP io_uring_setup: %s\n", strerror(-r));
		return 77;
	}
	close(ring.fd);
	if (!shuttle_make(&shuttle, opt.kind, 16, 0x4106000))
		return 1;
	for (unsigned int i = 0; i < opt.threads; i++) {
		start_thread(run_reader, 0);
		start_thread(run_grazer, 0);
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
		"%lu registered and %lu plain buffers in flight, %lu others, EFAULT or ECANCELED "
		"for %lu of them",
		atomic_load(&registered), atomic_load(&plain), atomic_load(&grazed),
		atomic_load(&faulted));
	return true;
}

static unsigned long least(void)
{
	return smaller(
		atomic_load(&registered), smaller(atomic_load(&plain), atomic_load(&grazed)));
}

const struct scene ring_scene = {"ring", begin, move, least, end};
