/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_DONTUNMAP beside other threads: they read the range, have the kernel read it, fork, move
 * theirs at the same time, are sent signals. Nobody meets a hole, a stale page or an error, and no
 * signal is lost. The stress test does the same for longer and in worse company; where the caller
 * itself may be (signal handlers, children) is process.c.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <termios.h>

#include "tests/behave/behave.h"

static struct arena a;

static void *thread_moves(void *arg)
{
	*(bool *)arg = arena_moves(&a);
	return NULL;
}

static void other_thread(void **state)
{
	bool ok = false;
	pthread_t thread;

	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	check(!pthread_create(&thread, NULL, thread_moves, &ok));
	check(!pthread_join(thread, NULL));
	check(ok);
	arena_end(&a);
}

/*
 * Reads the range all the time: every page is what was written or zero, never a fault, never
 * anything else.
 */
static atomic_bool stop;
static atomic_ulong reads;

static void *reader(void *arg)
{
	long wrong = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		for (size_t at = 0; at < a.len; at += 512) {
			uint64_t value = *(volatile uint64_t *)(a.source + at);

			wrong += value != 0 && value != 0x5a5a5a5a00000000u + at;
		}
		atomic_fetch_add(&reads, 1);
	}
	return (void *)wrong;
}

static void write_marks(void)
{
	for (size_t at = 0; at < a.len; at += 512)
		*(volatile uint64_t *)(a.source + at) = 0x5a5a5a5a00000000u + at;
}

static bool marked(const char *where)
{
	for (size_t at = 0; at < a.len; at += 512)
		if (*(const volatile uint64_t *)(where + at) != 0x5a5a5a5a00000000u + at)
			return false;
	return true;
}

static void moves_beside(void *(*function)(void *), int flags, int moves)
{
	pthread_t threads[2];
	bool ok = true;
	void *wrong;
	int i;

	arena_make(&a, 8);
	arena_map(&a, RW, flags, -1);
	write_marks();
	atomic_store(&stop, false);
	atomic_store(&reads, 0);
	for (i = 0; i < 2; i++)
		check(!pthread_create(&threads[i], NULL, function, NULL));
	while (!atomic_load(&reads))
		sched_yield();
	for (i = 0; i < moves && ok; i++) {
		ok = mremap(a.source, a.len, a.len, ONTO, a.target) == a.target && marked(a.target);
		if (i % 10 == 0) /* let them see zeros now and then */
			sched_yield();
		write_marks();
	}
	atomic_store(&stop, true);
	for (int t = 0; t < 2; t++) {
		check(!pthread_join(threads[t], &wrong));
		check_is(wrong, 0);
	}
	check_is(i, moves);
	check(ok);
	arena_end(&a);
}

static void sibling_reads(void **state)
{
	(void)state;
	moves_beside(reader, ANON, 1000);
}

static void sibling_reads_shared(void **state)
{
	(void)state;
	moves_beside(reader, MAP_SHARED | MAP_ANONYMOUS, 200);
}

/* The kernel reads the range for the sibling: no EFAULT, no short count. */
static void *writer_to_pipe(void *arg)
{
	static __thread char sink[65536];
	long wrong = 0;
	int fds[2];

	(void)arg;
	if (pipe(fds))
		return (void *)1;
	while (!atomic_load(&stop)) {
		wrong += write(fds[1], a.source, a.len) != (ssize_t)a.len;
		wrong += read(fds[0], sink, a.len) != (ssize_t)a.len;
		atomic_fetch_add(&reads, 1);
	}
	close(fds[0]);
	close(fds[1]);
	return (void *)wrong;
}

static void kernel_reads(void **state)
{
	(void)state;
	moves_beside(writer_to_pipe, ANON, 200);
}

/* Children forked while another thread moves find the old range mapped, whatever moment it was. */
static void *mover(void *arg)
{
	long wrong = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		wrong += mremap(a.source, a.len, a.len, ONTO, a.target) != a.target;
		write_marks();
		atomic_fetch_add(&reads, 1);
	}
	return (void *)wrong;
}

static void fork_beside(void **state)
{
	pthread_t thread;
	void *wrong;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, ANON, -1);
	atomic_store(&stop, false);
	atomic_store(&reads, 0);
	check(!pthread_create(&thread, NULL, mover, NULL));
	while (!atomic_load(&reads))
		sched_yield();
	for (int i = 0; i < 40; i++) {
		pid_t pid = behave_fork();

		if (!pid) {
			for (size_t at = 0; at < a.len; at += 512) {
				uint64_t value = *(volatile uint64_t *)(a.source + at);

				if (value != 0 && value != 0x5a5a5a5a00000000u + at)
					_exit(2);
			}
			/* and the child can move itself */
			_exit(mremap(a.source, a.len, a.len, ONTO, a.target) != a.target);
		}
		behave_join(pid);
	}
	atomic_store(&stop, true);
	check(!pthread_join(thread, &wrong));
	check_is(wrong, 0);
	arena_end(&a);
}

/* Two threads move ranges of their own at once. */
struct own {
	char *source, *target;
	long wrong;
};

static void *own_mover(void *arg)
{
	const size_t len = 4 * PAGE;
	struct own *own = arg;

	for (unsigned int i = 0; i < 100; i++) {
		fill(own->source, len, i);
		if (mremap(own->source, len, len, ONTO, own->target) != own->target ||
			!filled(own->target, len, i) || !zeroed(own->source, len))
			own->wrong++;
	}
	return NULL;
}

static void two_movers(void **state)
{
	pthread_t threads[2];
	struct own own[2] = {{0}};

	(void)state;
	arena_make(&a, 16);
	arena_map(&a, RW, ANON, -1);
	for (int i = 0; i < 2; i++) {
		own[i].source = a.source + (size_t)i * 8 * PAGE;
		own[i].target = a.target + (size_t)i * 8 * PAGE;
		check(!pthread_create(&threads[i], NULL, own_mover, &own[i]));
	}
	for (int i = 0; i < 2; i++) {
		check(!pthread_join(threads[i], NULL));
		check_is(own[i].wrong, 0);
	}
	arena_end(&a);
}

/* Signals that come while the others stand still are delivered once, none is lost. */
static atomic_int signals_seen;

static void on_counted(int sig)
{
	(void)sig;
	signals_seen++;
}

static void *spinner(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop))
		;
	return NULL;
}

static void signals_beside(void **state)
{
	struct sigaction action = {.sa_handler = on_counted, .sa_flags = SA_RESTART}, old;
	union sigval value = {0};
	pthread_t thread;
	bool ok = true;

	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	atomic_store(&stop, false);
	signals_seen = 0;
	check(!sigaction(SIGRTMIN + 3, &action, &old));
	check(!pthread_create(&thread, NULL, spinner, NULL));
	for (int i = 0; i < 200; i++) {
		ok = !pthread_sigqueue(thread, SIGRTMIN + 3, value) && ok;
		ok = mremap(a.source, a.len, a.len, ONTO, a.target) == a.target && ok;
	}
	for (int i = 0; i < 2000 && signals_seen < 200; i++)
		usleep(1000);
	atomic_store(&stop, true);
	check(!pthread_join(thread, NULL));
	check(!sigaction(SIGRTMIN + 3, &old, NULL));
	check(ok);
	check_is(signals_seen, 200);
	arena_end(&a);
}

/*
 * The lowest free descriptors are the same all the time. A program that closes one and opens
 * something else there counts on that, and one that has dup2'ed onto a descriptor of somebody's
 * would lose it when that is closed. Two ranges side by side, so that what is left is kept from
 * merging.
 */
#define MOVES_BESIDE 2000

static atomic_bool settled;
static int lowest, next_lowest;

static void *opener(void *arg)
{
	long wrong = 0;

	(void)arg;
	atomic_fetch_add(&reads, 1);
	while (!atomic_load(&settled))
		sched_yield();
	while (!atomic_load(&stop)) {
		const int first = dup(0), next = dup(0);

		wrong += first != lowest || next != next_lowest;
		close(next);
		close(first);
	}
	return (void *)wrong;
}

static void keeps_descriptors(void **state)
{
	char *area, *from, *to, *gone;
	pthread_t thread;
	void *wrong;
	bool ok = true;

	(void)state;
	if (!strcmp(behave_config(), "linked"))
		behave_skip("/proc is read each time");
	area = mmap(NULL, 16 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(area != MAP_FAILED);
	lowest = dup(0);
	next_lowest = dup(0);
	check(lowest >= 0 && next_lowest > lowest);
	check(!close(lowest) && !close(next_lowest));
	from = area;
	to = area + 8 * PAGE;
	atomic_store(&stop, false);
	atomic_store(&settled, false);
	atomic_store(&reads, 0);
	check(!pthread_create(&thread, NULL, opener, NULL));
	while (!atomic_load(&reads))
		sched_yield();
	for (int i = 0; i < MOVES_BESIDE && ok; i++) {
		atomic_store(&settled, i >= 100);
		*(volatile int *)from = i;
		ok = mremap(from, 8 * PAGE, 8 * PAGE, ONTO, to) == to && *(volatile int *)to == i;
		gone = from;
		from = to;
		to = gone;
	}
	atomic_store(&settled, true);
	atomic_store(&stop, true);
	check(!pthread_join(thread, &wrong));
	check(ok);
	/* /proc may have to be read now and then: a thread that is slow to stop is looked at there */
	check((long)wrong < MOVES_BESIDE / 20);
	check(!munmap(area, 16 * PAGE));
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

/*
 * What it has unmapped stays a hole: nobody else maps anything, and a move to a fixed place needs
 * none. The kernel gives the first hole from above to who asks for any.
 */
static void *unmapper(void *arg)
{
	const size_t len = 4 * PAGE;
	long wrong = 0;

	(void)arg;
	atomic_fetch_add(&reads, 1);
	while (!atomic_load(&settled))
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
	pthread_t thread;
	void *wrong;
	bool ok = true;

	leave_one_hole();
	area = mmap(NULL, 4 * len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(area != MAP_FAILED);
	p = area + PAGE;
	to = area + 2 * len;
	atomic_store(&stop, false);
	atomic_store(&settled, false);
	atomic_store(&reads, 0);
	check(!pthread_create(&thread, NULL, unmapper, NULL));
	while (!atomic_load(&reads))
		sched_yield();
	for (int i = 0; i < MOVES_BESIDE / 2 && ok; i++) {
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
	atomic_store(&settled, true);
	atomic_store(&stop, true);
	check(!pthread_join(thread, &wrong));
	check(ok);
	check_is((long)wrong, 0);
	check(!munmap(area, 4 * len));
}

/*
 * Calls that the kernel ends with EINTR when any signal comes, though they do not wait for
 * anything: tcdrain (tty_ioctl()), and fallocate of tmpfs (shmem_fallocate()).
 */
#define ALLOCATED (16UL << 20)

static void *drainer(void *arg)
{
	const int *fds = arg;
	long wrong = 0;

	atomic_fetch_add(&reads, 1);
	while (!atomic_load(&stop)) {
		for (int i = 0; i < 100; i++)
			wrong += tcdrain(fds[0]) != 0;
		wrong += fallocate(fds[1], 0, 0, ALLOCATED) != 0;
		wrong += ftruncate(fds[1], 0) != 0;
		atomic_fetch_add(&reads, 1);
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
		wrong += syscall(SYS_getrandom, buf, some, 0) != (long)some;
		wrong += !memcmp(buf + some - 16, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
		atomic_fetch_add(&reads, 1);
	}
	close(zero);
	close(full);
	close(urandom);
	return (void *)wrong;
}

/* Two ranges of memory change places until the other thread has come through often enough. */
static bool move_until(unsigned long most)
{
	bool ok = true;

	for (int i = 0; ok && (i < 500 || atomic_load(&reads) < most); i++) {
		ok = mremap(a.source, a.len, a.len, ONTO, a.target) == a.target &&
		     mremap(a.target, a.len, a.len, ONTO, a.source) == a.source;
		usleep(200);
	}
	return ok;
}

static void sibling_takes(void **state)
{
	pthread_t thread;
	void *wrong;
	bool ok;

	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	atomic_store(&stop, false);
	atomic_store(&reads, 0);
	check(!pthread_create(&thread, NULL, taker, NULL));
	ok = move_until(30);
	atomic_store(&stop, true);
	check(!pthread_join(thread, &wrong));
	check(ok);
	check_is((long)wrong, 0);
	arena_end(&a);
}

static void sibling_drains(void **state)
{
	const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char slave[64];
	pthread_t thread;
	void *wrong;
	bool ok;
	int fds[2];

	(void)state;
	check(master >= 0 && !grantpt(master) && !unlockpt(master) &&
		!ptsname_r(master, slave, sizeof(slave)));
	fds[0] = open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
	fds[1] = (int)syscall(SYS_memfd_create, "beside", 1U);
	check(fds[0] >= 0 && fds[1] >= 0);
	arena_make_filled(&a, 8, RW, ANON);
	atomic_store(&stop, false);
	atomic_store(&reads, 0);
	check(!pthread_create(&thread, NULL, drainer, fds));
	ok = move_until(30);
	atomic_store(&stop, true);
	check(!pthread_join(thread, &wrong));
	check(ok);
	check_is((long)wrong, 0);
	arena_end(&a);
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
	atomic_fetch_add(&reads, 1);
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
	pthread_t thread;
	bool ok = true;
	void *wrong;
	char *p, *to;

	(void)state;
	to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(to != MAP_FAILED);
	atomic_store(&stop, false);
	atomic_store(&reads, 0);
	check(!pthread_create(&thread, NULL, closer, NULL));
	while (!atomic_load(&reads))
		sched_yield();
	for (int i = 0; i < MOVES_BESIDE && ok; i++) {
		p = mmap(NULL, len, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ok = p != MAP_FAILED;
		if (ok)
			*(volatile int *)p = i;
		ok = ok && mremap(p, len, len, ONTO, to) == to && *(volatile int *)to == i &&
		     !munmap(p, len);
	}
	atomic_store(&stop, true);
	check(!pthread_join(thread, &wrong));
	check(ok);
	check((long)wrong < MOVES_BESIDE / 20);
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
		CASE(other_thread, "dontunmap-by-another-thread"),
		CASE(sibling_reads, "dontunmap-while-a-sibling-reads"),
		CASE(sibling_reads_shared, "dontunmap-of-shared-memory-while-a-sibling-reads"),
		CASE(kernel_reads, "dontunmap-while-the-kernel-reads-for-a-sibling"),
		CASE(fork_beside, "dontunmap-while-a-sibling-forks"),
		CASE(two_movers, "dontunmap-by-two-threads-at-once"),
		CASE(signals_beside, "dontunmap-loses-no-signal"),
		CASE(keeps_descriptors, "dontunmap-takes-no-descriptor-from-a-sibling"),
		CASE(sibling_drains, "dontunmap-while-a-sibling-drains-a-terminal-and-allocates"),
		CASE(sibling_takes, "dontunmap-while-a-sibling-reads-zeros-and-random-numbers"),
		CASE(sibling_closes, "dontunmap-while-a-sibling-closes-whatever-is-open"),
		CASE(keeps_holes_private, "dontunmap-maps-nothing-where-a-sibling-has-unmapped"),
		CASE(keeps_holes_advised, "the-same-with-advice"),
		CASE(keeps_holes_locked, "the-same-locked"),
		CASE(keeps_holes_shared, "the-same-of-shared-memory"),
	};

	return BEHAVE_RUN(cases);
}
