/* SPDX-License-Identifier: MIT */
/*
 * What other threads' own calls see of MREMAP_DONTUNMAP beside them: nothing. What they put where
 * descriptors of ours were, and the holes that they have made, are theirs, and calls that any
 * signal would cut short are not. What they see of the memory that moves is beside.c.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <termios.h>

#include "tests/behave/behave.h"

#define MOVES 2000

static struct arena a;
static pthread_t sibling;
static atomic_bool stop;
static atomic_ulong rounds; /* of the sibling's */

static void begin_sibling(void *(*calls)(void *), void *arg)
{
	atomic_store(&stop, false);
	atomic_store(&rounds, 0);
	check(!pthread_create(&sibling, NULL, calls, arg));
	while (!atomic_load(&rounds))
		sched_yield();
}

/* What it has found wrong. */
static long end_sibling(void)
{
	void *wrong;

	atomic_store(&stop, true);
	check(!pthread_join(sibling, &wrong));
	return (long)wrong;
}

/*
 * Fills the holes between libraries, so that whoever asks for any place is given the one that the
 * next one is given.
 */
static void leave_one_hole(void)
{
	const size_t much = 1UL << 30;
	char *low = mmap(NULL, much, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;

	check(low != MAP_FAILED && !munmap(low, much));
	for (size_t len = much / 2; len >= PAGE; len /= 2) {
		while ((p = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) >=
			low + much)
			;
		munmap(p, len);
	}
}

static atomic_bool settled; /* the first moves, which make what libremap needs for good, are over */

/*
 * What it has unmapped stays a hole: nobody else maps anything, and a move to a fixed place needs
 * none. The kernel gives the first hole from above to who asks for any.
 */
static void *unmapper(void *arg)
{
	const size_t len = 4 * PAGE;
	long wrong = 0;

	(void)arg;
	atomic_fetch_add(&rounds, 1);
	while (!atomic_load(&settled) && !atomic_load(&stop))
		sched_yield();
	while (!atomic_load(&stop)) {
		char *p = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;

		munmap(p, len);
		q = mmap(p, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		wrong += q != p;
		munmap(q, len);
	}
	return (void *)wrong;
}

/* Moves of all kinds: all of a mapping, its head, its middle, locked, with advice, shared. */
static bool move_all_ways(char *p, char *to, size_t len, int round)
{
	const struct {
		size_t skip, len;
	} parts[] = {{0, len}, {0, len / 2}, {len / 4, len / 4}, {len / 2, len / 2}};
	const size_t skip = parts[round % 4].skip, n = parts[round % 4].len;

	*(volatile int *)(p + skip) = round;
	if (mremap(p + skip, n, n, ONTO, to + skip) != to + skip ||
		*(volatile int *)(to + skip) != round)
		return false;
	/* and back, so that what was moved before moves */
	return round % 3 || (mremap(to + skip, n, n, ONTO, p + skip) == p + skip &&
				    *(volatile int *)(p + skip) == round);
}

static void keeps_holes(int flags, bool lock, bool advised)
{
	const size_t len = 16 * PAGE;
	char *area, *p, *to;
	bool ok = true;

	leave_one_hole();
	area = mmap(NULL, 4 * len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(area != MAP_FAILED);
	p = area + PAGE;
	to = area + 2 * len;
	atomic_store(&settled, false);
	begin_sibling(unmapper, NULL);
	for (int i = 0; i < MOVES / 2 && ok; i++) {
		atomic_store(&settled, i >= 100);
		if (i % 8 == 0) {
			ok = mmap(p, len, RW, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p &&
			     (!advised || !(madvise(p, len, MADV_DONTFORK) ||
						  madvise(p, len, MADV_RANDOM) ||
						  madvise(p, len, MADV_DONTDUMP) ||
						  madvise(p, len, MADV_NOHUGEPAGE))) &&
			     (!lock || !mlock(p, len));
			if (!ok)
				break;
		}
		ok = move_all_ways(p, to, len, i);
	}
	check_is(end_sibling(), 0);
	check(ok);
	check(!munmap(area, 4 * len));
}

/*
 * Calls that the kernel ends with EINTR when any signal comes, though they do not wait for
 * anything: tcdrain (tty_ioctl()), and, on older kernels, fallocate of tmpfs (shmem_fallocate()),
 * which gives back what it has got. Under TCG that takes longer than from one move to the next.
 */
#define ALLOCATED (16UL << 20)

static void *drainer(void *arg)
{
	const int *fds = arg;
	long wrong = 0;

	atomic_fetch_add(&rounds, 1);
	while (!atomic_load(&stop)) {
		for (int i = 0; i < 100; i++)
			wrong += tcdrain(fds[0]) != 0;
		wrong += fallocate(fds[1], 0, 0, ALLOCATED) != 0;
		wrong += ftruncate(fds[1], 0) != 0;
		atomic_fetch_add(&rounds, 1);
	}
	return (void *)wrong;
}

/* Reads that any signal ends with a part after some pages. */
static void *taker(void *arg)
{
	static char buf[4UL << 20];
	const int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC),
		  full = open("/dev/full", O_RDONLY | O_CLOEXEC),
		  urandom = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	const size_t some = 256UL << 10;
	long wrong = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		memset(buf, 1, sizeof(buf));
		wrong += read(zero, buf, sizeof(buf)) != (ssize_t)sizeof(buf);
		wrong += memchr(buf, 1, sizeof(buf)) != NULL;
		wrong += read(full, buf, sizeof(buf)) != (ssize_t)sizeof(buf);
		wrong += read(urandom, buf, some) != (ssize_t)some;
		memset(buf, 0, some);
		wrong += getrandom(buf, some, 0) != (ssize_t)some;
		wrong += !memcmp(buf + some - 16, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
		atomic_fetch_add(&rounds, 1);
	}
	close(zero);
	close(full);
	close(urandom);
	return (void *)wrong;
}

/*
 * Blocks every signal for so long that it is stopped from outside, and reads as soon as it does
 * not: that it was deaf when the stop began counts for nothing then.
 */
static void *blocker(void *arg)
{
	static char buf[4UL << 20];
	const int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	const struct timespec moment = {0, 8000000};
	const uint64_t all = ~0ULL;
	uint64_t before;
	long wrong = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		/* libc lets nobody block those that it uses itself */
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
		nanosleep(&moment, NULL);
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(all));
		wrong += read(zero, buf, sizeof(buf)) != (ssize_t)sizeof(buf);
		atomic_fetch_add(&rounds, 1);
	}
	close(zero);
	return (void *)wrong;
}

/* Two ranges of memory change places until the sibling has come through often enough. */
static void move_beside(void *(*calls)(void *), void *arg)
{
	bool ok = true;

	arena_make_filled(&a, 8, RW, ANON);
	begin_sibling(calls, arg);
	for (int i = 0; ok && (i < 500 || atomic_load(&rounds) < 30); i++) {
		ok = mremap(a.source, a.len, a.len, ONTO, a.target) == a.target &&
		     mremap(a.target, a.len, a.len, ONTO, a.source) == a.source;
		usleep(200);
	}
	check_is(end_sibling(), 0);
	check(ok);
	arena_end(&a);
}

static void sibling_takes(void **state)
{
	(void)state;
	move_beside(taker, NULL);
}

static void sibling_blocks(void **state)
{
	(void)state;
	move_beside(blocker, NULL);
}

static void sibling_drains(void **state)
{
	const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char slave[64];
	int fds[2];

	(void)state;
	check(master >= 0 && !grantpt(master) && !unlockpt(master) &&
		!ptsname_r(master, slave, sizeof(slave)));
	fds[0] = open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
	fds[1] = (int)syscall(SYS_memfd_create, "beside", 1U);
	check(fds[0] >= 0 && fds[1] >= 0);
	move_beside(drainer, fds);
	check(!close(master) && !close(fds[0]) && !close(fds[1]));
}

/*
 * Closes what it has not opened, and dup2s onto it, as who wants nothing to be open. Descriptors
 * below 64 are the test's.
 */
static void *closer(void *arg)
{
	long wrong = 0;

	(void)arg;
	atomic_fetch_add(&rounds, 1);
	while (!atomic_load(&stop)) {
		for (int fd = 64; fd < 240; fd++)
			close(fd);
		for (int fd = 196; fd < 210; fd++)
			wrong += dup2(0, fd) != fd;
		/* what is there is its own */
		for (int fd = 196; fd < 210; fd++)
			wrong += fcntl(fd, F_GETFD) != 0;
	}
	return (void *)wrong;
}

/* Executable, so that its attributes are read each time. */
static void sibling_closes(void **state)
{
	const size_t len = 4 * PAGE;
	bool ok = true;
	char *p, *to;

	(void)state;
	to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(to != MAP_FAILED);
	begin_sibling(closer, NULL);
	for (int i = 0; i < MOVES && ok; i++) {
		p = mmap(NULL, len, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ok = p != MAP_FAILED;
		if (ok)
			*(volatile int *)p = i;
		ok = ok && mremap(p, len, len, ONTO, to) == to && *(volatile int *)to == i &&
		     !munmap(p, len);
	}
	check(end_sibling() < MOVES / 20);
	check(ok);
	check(!munmap(to, len));
}

static void keeps_holes_private(void **state)
{
	(void)state;
	keeps_holes(MAP_PRIVATE, false, false);
}

static void keeps_holes_advised(void **state)
{
	(void)state;
	keeps_holes(MAP_PRIVATE, false, true);
}

static void keeps_holes_locked(void **state)
{
	(void)state;
	keeps_holes(MAP_PRIVATE, true, false);
}

static void keeps_holes_shared(void **state)
{
	(void)state;
	keeps_holes(MAP_SHARED, false, false);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(sibling_drains, "dontunmap-while-a-sibling-drains-a-terminal-and-allocates"),
		CASE(sibling_takes, "dontunmap-while-a-sibling-reads-zeros-and-random-numbers"),
		CASE(sibling_blocks, "dontunmap-while-a-sibling-blocks-signals-and-reads-zeros"),
		CASE(sibling_closes, "dontunmap-while-a-sibling-closes-whatever-is-open"),
		CASE(keeps_holes_private, "dontunmap-maps-nothing-where-a-sibling-has-unmapped"),
		CASE(keeps_holes_advised, "dontunmap-of-advised-memory-maps-nothing-there"),
		CASE(keeps_holes_locked, "dontunmap-of-locked-memory-maps-nothing-there"),
		CASE(keeps_holes_shared, "dontunmap-of-shared-memory-maps-nothing-there"),
	};

	return BEHAVE_RUN(cases);
}
