/* SPDX-License-Identifier: MIT */
/*
 * What other threads do with private memory at the moment when it gets its mirror: they change its
 * attributes, have system calls read and write it or wait with it, touch it without a pause.
 * Whatever comes first, the end is what it has to be, and nobody notices anything (semantics.md
 * B4). And the same for MREMAP_DONTUNMAP of a view, in which no range is ever absent.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "tests/behave/mirror.h"

#define MIB   ((size_t)1 << 20)
#define PAGES 16

static char *source;
static size_t length;

static void make(size_t len)
{
	length = len;
	source = mmap(NULL, len, RW, ANON, -1, 0);
	check(source != MAP_FAILED);
	fill(source, len, 1);
}

static char *mirror(void)
{
	char *view = mremap(source, length, length, MIRROR, NULL);

	check(view != MAP_FAILED);
	return view;
}

static void end(char *view)
{
	check(!munmap(source, length) && !munmap(view, length));
}

/*
 * What a thread does to the source after so many microseconds, and the flag that says so
 * afterwards.
 */
struct change {
	const char *flag;
	int advice; /* 0: mlock2 with MLOCK_ONFAULT */
	useconds_t delay;
	int result;
};

static void *change_it(void *arg)
{
	struct change *c = arg;

	usleep(c->delay);
	c->result = c->advice ? madvise(source, length, c->advice)
			      : (int)syscall(SYS_mlock2, source, length, 1L);
	return NULL;
}

static void attributes(void **state)
{
	static struct change changes[] = {{"dc", MADV_DONTFORK, 0, 0}, {"rr", MADV_RANDOM, 0, 0},
		{"dd", MADV_DONTDUMP, 0, 0}, {"lo", 0, 0, 0}};
	const int rounds = 60;

	(void)state;
	for (int round = 0; round < rounds; round++) {
		struct change *c = &changes[round % 4];
		pthread_t thread;
		struct vma vma;
		char *view;

		make(3 * MIB);
		c->delay = (useconds_t)(round / 4 * 150);
		check(!pthread_create(&thread, NULL, change_it, c));
		view = mirror();
		check(!pthread_join(thread, NULL));
		check(!c->result);
		check(vma_at(source, &vma));
		if (!vma_has(&vma, c->flag))
			printf("# round %d: %s is lost\n", round, c->flag);
		check(vma_has(&vma, c->flag));
		check_is(vma.end - vma.start, length);
		check(filled(source, length, 1) && filled(view, length, 1));
		end(view);
	}
}

#define CALL_LEN (64 * 1024) /* as much as a pipe holds */

/* A file of pattern, that may be read by direct I/O: as large as a source. */
static int pattern_file(size_t len, int flags)
{
	char path[] = "mirror-meanwhile-XXXXXX", *bytes = mmap(NULL, len, RW, ANON, -1, 0);
	int fd = mkstemp(path), again;

	check(fd >= 0 && bytes != MAP_FAILED);
	fill(bytes, len, 5);
	check(write(fd, bytes, len) == (ssize_t)len && !fsync(fd));
	again = open(path, O_RDWR | O_CLOEXEC | flags);
	unlink(path);
	close(fd);
	munmap(bytes, len);
	return again;
}

/*
 * A thread that has one kind of system call write to the source, or read from it, piece after
 * piece, until it is told to stop.
 */
struct caller {
	const char *name;
	bool (*call)(struct caller *c, size_t at);
	int fds[2];
	int file;
	_Atomic size_t calls;
	_Atomic bool stop, good;
};

static char pattern[CALL_LEN], received[CALL_LEN] __attribute__((aligned(65536)));

static bool by_read(struct caller *c, size_t at)
{
	return pread(c->file, source + at, CALL_LEN, (off_t)at) == CALL_LEN;
}

static bool by_readv(struct caller *c, size_t at)
{
	struct iovec parts[2] = {
		{source + at, CALL_LEN / 4}, {source + at + CALL_LEN / 4, 3 * CALL_LEN / 4}};

	return preadv(c->file, parts, 2, (off_t)at) == CALL_LEN;
}

static bool from_pipe(struct caller *c, size_t at)
{
	return write(c->fds[1], pattern, CALL_LEN) == CALL_LEN &&
	       read(c->fds[0], source + at, CALL_LEN) == CALL_LEN;
}

static bool to_pipe(struct caller *c, size_t at)
{
	memcpy(source + at, pattern, CALL_LEN);
	return write(c->fds[1], source + at, CALL_LEN) == CALL_LEN &&
	       read(c->fds[0], received, CALL_LEN) == CALL_LEN &&
	       !memcmp(received, pattern, CALL_LEN);
}

static bool to_file(struct caller *c, size_t at)
{
	memcpy(source + at, pattern, CALL_LEN);
	return pwrite(c->file, source + at, CALL_LEN, 0) == CALL_LEN &&
	       pread(c->file, received, CALL_LEN, 0) == CALL_LEN &&
	       !memcmp(received, pattern, CALL_LEN);
}

/* The page of the file is the page of the source, but for what to_file() has put there. */
static bool is_there(const struct caller *c, size_t at)
{
	static char expected[CALL_LEN];

	if (c->call == from_pipe || c->call == to_pipe || c->call == to_file)
		return !memcmp(source + at, pattern, CALL_LEN);
	return pread(c->file, expected, CALL_LEN, (off_t)at) == CALL_LEN &&
	       !memcmp(source + at, expected, CALL_LEN);
}

static void *call_on(void *arg)
{
	struct caller *c = arg;

	for (size_t at = 0; c->good && !c->stop; at = (at + CALL_LEN) % length, c->calls++) {
		memset(source + at, 0, CALL_LEN);
		c->good = c->call(c, at) && is_there(c, at);
	}
	return NULL;
}

/*
 * Whole rounds under one kind of call: every count is what was asked for, and what has come stays.
 */
static void under_calls(const char *name, bool (*call)(struct caller *c, size_t at), int flags)
{
	const size_t sizes[] = {MIB, 6 * MIB}; /* copied at once, and later */
	const int rounds = 8;
	int file = pattern_file(6 * MIB, flags);

	if (file < 0)
		behave_skip("no such file here");
	for (int round = 0; round < rounds; round++) {
		struct caller c = {name, call, {-1, -1}, file, 0, false, true};
		pthread_t thread;
		char *view;

		make(sizes[round % 2]);
		check(!pipe(c.fds));
		check(!pthread_create(&thread, NULL, call_on, &c));
		usleep((useconds_t)(round * 300));
		view = mirror();
		for (size_t before = c.calls; c.good && c.calls < before + 2;)
			usleep(500);
		c.stop = true;
		check(!pthread_join(thread, NULL));
		if (!c.good)
			printf("# %s: wrong in round %d after %zu calls\n", name, round, c.calls);
		check(c.good);
		check(!memcmp(source, view, length));
		close(c.fds[0]);
		close(c.fds[1]);
		end(view);
	}
	close(file);
}

#define UNDER(function, name, flags)                                                               \
	static void under_##name(void **state)                                                     \
	{                                                                                          \
		(void)state;                                                                       \
		under_calls(#name, function, flags);                                               \
	}

UNDER(by_read, by_read, 0)
UNDER(by_read, by_read_directly, O_DIRECT)
UNDER(by_readv, by_readv, 0)
UNDER(from_pipe, from_pipe, 0)
UNDER(to_pipe, to_pipe, 0)
UNDER(to_file, to_file, 0)
UNDER(to_file, to_file_directly, O_DIRECT)

/* A small one, between neighbours that nobody may touch. */
static struct arena a;

static void make_arena(void)
{
	arena_make(&a, PAGES);
	arena_map(&a, RW, ANON, -1);
}

static struct {
	_Atomic uint32_t *word;
	int op;
	_Atomic int state;
	char *buffer;
	int fd;
} waiter;

static void *wait_on_futex(void *arg)
{
	(void)arg;
	waiter.state = 1;
	while (*waiter.word == 7)
		syscall(SYS_futex, waiter.word, (long)(FUTEX_WAIT | waiter.op), 7L, NULL, NULL, 0L);
	return NULL;
}

/*
 * Whoever waits there when the range is converted is woken by a wake-up afterwards (B17: through
 * the same view).
 */
static void futex(void **state)
{
	(void)state;
	for (waiter.op = 0; waiter.op <= FUTEX_PRIVATE_FLAG; waiter.op += FUTEX_PRIVATE_FLAG) {
		pthread_t thread;
		char *view;

		make_arena();
		waiter.word = (_Atomic uint32_t *)(a.source + 5 * PAGE);
		*waiter.word = 7;
		waiter.state = 0;
		check(!pthread_create(&thread, NULL, wait_on_futex, NULL));
		while (!waiter.state)
			usleep(1000);
		usleep(20000);
		view = mremap(a.source, a.len, a.len, MIRROR, NULL);
		check(view != MAP_FAILED);
		check_is(*waiter.word, 7);
		usleep(20000);
		/*
		 * the store through the other view is seen, the wake-up goes by the waiter's
		 * address
		 */
		*(_Atomic uint32_t *)(view + 5 * PAGE) = 8;
		syscall(SYS_futex, waiter.word, (long)(FUTEX_WAKE | waiter.op), 1L, NULL, NULL, 0L);
		check(!pthread_join(thread, NULL));
		check(!munmap(view, a.len));
		end_converted(&a);
	}
}

static void *wait_in_read(void *arg)
{
	(void)arg;
	waiter.state = 1;
	check(read(waiter.fd, waiter.buffer, 2 * PAGE) == (ssize_t)(2 * PAGE));
	return NULL;
}

/* A read(2) that waits with its buffer in the range gets its bytes, where everybody sees them. */
static void in_a_call(void **state)
{
	static char bytes[65536];
	pthread_t thread;
	char *view;
	int end_of[2];

	(void)state;
	make_arena();
	fill(bytes, 2 * PAGE, 77);
	check(!pipe(end_of));
	waiter.fd = end_of[0];
	waiter.buffer = a.source + 2 * PAGE;
	waiter.state = 0;
	check(!pthread_create(&thread, NULL, wait_in_read, NULL));
	while (!waiter.state)
		usleep(1000);
	usleep(20000);
	view = mremap(a.source, a.len, a.len, MIRROR, NULL);
	check(view != MAP_FAILED);
	check(write(end_of[1], bytes, 2 * PAGE) == (ssize_t)(2 * PAGE));
	check(!pthread_join(thread, NULL));
	check(filled(view + 2 * PAGE, 2 * PAGE, 77));
	close(end_of[0]);
	close(end_of[1]);
	check(!munmap(view, a.len));
	end_converted(&a);
}

#define WRITERS 4

static struct {
	_Atomic bool stop;
	uint64_t written[WRITERS];
} fire;

static void *write_on(void *arg)
{
	const size_t self = (size_t)arg;
	uint64_t n = 0;

	/* each counts in a word of every page, and what is lost stays lost */
	for (; !fire.stop; n++)
		(*(volatile uint64_t *)(a.source + n % PAGES * PAGE + 64 * self))++;
	fire.written[self] = n;
	return NULL;
}

static void under_fire(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		pthread_t threads[WRITERS];
		char *view;

		make_arena();
		fire.stop = false;
		for (size_t i = 0; i < WRITERS; i++)
			check(!pthread_create(&threads[i], NULL, write_on, (void *)i));
		usleep(1000 * (round % 3));
		view = mremap(a.source, a.len, a.len, MIRROR, NULL);
		usleep(500);
		fire.stop = true;
		for (size_t i = 0; i < WRITERS; i++)
			check(!pthread_join(threads[i], NULL));
		check(view != MAP_FAILED);
		for (size_t i = 0; i < WRITERS; i++) {
			uint64_t there = 0;

			for (size_t p = 0; p < PAGES; p++)
				there += *(uint64_t *)(view + p * PAGE + 64 * i);
			check_is(there, fire.written[i]);
		}
		check(!munmap(view, a.len));
		end_converted(&a);
	}
}

static struct {
	const volatile uint64_t *word;
	_Atomic bool stop, wrong;
	_Atomic size_t looks;
	int end;
} watcher;

/* By instructions, and by the kernel: what is there is always there. */
static void *look_on(void *arg)
{
	uint64_t copy;

	for (; !watcher.stop; watcher.looks++) {
		if (*watcher.word != 4711)
			watcher.wrong = true;
		if (watcher.looks % 16 == 0 &&
			(write(watcher.end, (const void *)watcher.word, 8) != 8 ||
				read(*(int *)arg, &copy, 8) != 8 || copy != 4711))
			watcher.wrong = true;
	}
	return NULL;
}

/* A view that is left and stays: nobody finds the old range absent or empty. */
static void dontunmap_of_a_view(void **state)
{
	const size_t sizes[] = {16 * 4096, 3 * MIB};
	const int rounds = 40;

	(void)state;
	for (int i = 0; i < 2; i++) {
		pthread_t thread;
		char *view, *third = NULL;
		int fds[2];

		make(sizes[i]);
		view = mirror();
		*(uint64_t *)(view + length / 2) = 4711;
		check(!pipe(fds));
		watcher.word = (const uint64_t *)(view + length / 2);
		watcher.stop = watcher.wrong = false;
		watcher.looks = 0;
		watcher.end = fds[1];
		check(!pthread_create(&thread, NULL, look_on, &fds[0]));
		for (int round = 0; round < rounds || watcher.looks < 100; round++) {
			third = mremap(view, length, length, ANYWHERE, NULL);
			check(third != MAP_FAILED);
			check(*(uint64_t *)(third + length / 2) == 4711);
			check(!munmap(third, length));
		}
		watcher.stop = true;
		check(!pthread_join(thread, NULL));
		check(!watcher.wrong);
		close(fds[0]);
		close(fds[1]);
		end(view);
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(attributes, "mirror-and-attributes-set-at-the-same-time"),
		CASE(under_by_read, "mirror-under-reads-of-a-file"),
		CASE(under_by_read_directly, "mirror-under-direct-reads"),
		CASE(under_by_readv, "mirror-under-readv"),
		CASE(under_from_pipe, "mirror-under-reads-of-a-pipe"),
		CASE(under_to_pipe, "mirror-under-writes-to-a-pipe"),
		CASE(under_to_file, "mirror-under-writes-to-a-file"),
		CASE(under_to_file_directly, "mirror-under-direct-writes"),
		CASE(futex, "mirror-of-private-memory-with-a-futex-waiter"),
		CASE(in_a_call, "mirror-of-private-memory-with-a-read-under-way"),
		CASE(under_fire, "mirror-of-private-memory-loses-no-write"),
		CASE(dontunmap_of_a_view, "dontunmap-of-a-view-beside-a-thread-that-uses-it"),
	};

	fill(pattern, sizeof(pattern), 9);
	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
