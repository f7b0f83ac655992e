/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_DONTUNMAP beside other threads: they read the range, have the kernel read it, fork, move
 * theirs at the same time, are sent signals. Nobody meets a hole, a stale page or an error, and no
 * signal is lost. The stress test does the same for longer and in worse company; where the caller
 * itself may be (signal handlers, children) is process.c.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

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
	};

	return BEHAVE_RUN(cases);
}
