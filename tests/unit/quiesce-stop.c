/* SPDX-License-Identifier: MIT */
/*
 * Stopping and resuming the other threads (emul/quiesce.c), each case in a process of its own.
 *
 * Checked: how many threads there are; that none of many advances while stopped and all do
 * afterwards; nesting; threads that block every signal, by libc and by a raw system call; a signal
 * queue that is nearly full; threads that come and go between stops; mode "caller", which stops
 * nobody. Needs /proc/self/task; the raw-deaf case needs ptrace of the own process.
 */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/world.h"
#include "libremap.h"

#define MANY	 24
#define CHANGING 5

static _Atomic unsigned long counters[MANY];
static const struct rm_range nowhere = {0x10000, 0x1000};

static void *spin(void *arg)
{
	_Atomic unsigned long *counter = arg;

	for (;;) {
		atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
		if (atomic_load_explicit(counter, memory_order_relaxed) % 512 == 0)
			sched_yield();
	}
	return NULL;
}

static void *spin_deaf(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	return spin(arg);
}

static void *spin_stone_deaf(void *arg)
{
	const uint64_t all = ~0ULL;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
	return spin(arg);
}

static int start(int n, void *(*run)(void *))
{
	for (int i = 0; i < n; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, run, &counters[i]))
			return -1;
	}
	for (int i = 0; i < n; i++)
		while (!counters[i])
			sched_yield();
	return 0;
}

static void snapshot(unsigned long *copy, int n)
{
	for (int i = 0; i < n; i++)
		copy[i] = counters[i];
}

/* Whether every counter moves on within two seconds. */
static bool all_advance(const unsigned long *since, int n)
{
	for (int round = 0; round < 2000; round++) {
		int behind = 0;

		for (int i = 0; i < n; i++)
			behind += counters[i] == since[i];
		if (!behind)
			return true;
		usleep(1000);
	}
	return false;
}

static void busy_wait_us(unsigned int us)
{
	struct timespec t0, t;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	do
		clock_gettime(CLOCK_MONOTONIC, &t);
	while ((t.tv_sec - t0.tv_sec) * 1000000L + (t.tv_nsec - t0.tv_nsec) / 1000 < (long)us);
}

/* The stops of a world in which n threads spin: 0, or what went wrong. */
static int stops(int n, int rounds)
{
	unsigned long before[MANY], after[MANY];
	struct rm_entry entry;

	for (int i = 0; i < rounds; i++) {
		int r;

		if (rm_world_enter(&entry))
			return 1;
		r = rm_quiesce_stop(entry.world, nowhere);
		if (!r) {
			snapshot(before, n);
			busy_wait_us(i % 10 ? 300 : 5000);
			snapshot(after, n);
			rm_quiesce_resume(entry.world);
		}
		rm_world_leave(&entry);
		if (r)
			return 2;
		if (memcmp(before, after, (size_t)n * sizeof(before[0])))
			return 3;
		if (!all_advance(after, n))
			return 4;
	}
	return 0;
}

static int many_threads(void *arg)
{
	uint64_t stopped = rm_stat_get(RM_STAT_STOPS);
	int r;

	(void)arg;
	if (rm_quiesce_count_threads() != 1)
		return 10;
	if (start(MANY, spin))
		return 11;
	if (rm_quiesce_count_threads() != MANY + 1)
		return 12;
	r = stops(MANY, 60);
	if (r)
		return r;
	if (rm_stat_get(RM_STAT_STOPS) - stopped != 60 || !rm_stat_get(RM_STAT_STOP_NS_TOTAL))
		return 13;
	return rm_stat_get(RM_STAT_STOP_NS_MAX) >= 5000000 ? 0 : 14;
}

static int deaf_threads(void *arg)
{
	(void)arg;
	return start(6, spin_deaf) ? 10 : stops(6, 40);
}

static int stone_deaf_threads(void *arg)
{
	(void)arg;
	return start(3, spin_stone_deaf) ? 10 : stops(3, 10);
}

static int nested_stops(void *arg)
{
	unsigned long before[4], after[4];
	struct rm_entry entry;
	int r = 0;

	(void)arg;
	if (start(4, spin) || rm_world_enter(&entry))
		return 1;
	if (rm_quiesce_stop(entry.world, nowhere) || rm_quiesce_stop(entry.world, nowhere))
		r = 2;
	rm_quiesce_resume(entry.world);
	snapshot(before, 4);
	busy_wait_us(3000);
	snapshot(after, 4);
	if (memcmp(before, after, sizeof(before)))
		r = 3; /* the inner one must not let them go */
	rm_quiesce_resume(entry.world);
	rm_world_leave(&entry);
	if (!r && !all_advance(after, 4))
		r = 4;
	return r;
}

/*
 * Two signals fit into the user's queue, ten threads want one. Root takes a user that nobody else
 * is.
 */
static int nearly_full_queue(void *arg)
{
	struct rlimit limit = {getuid() ? 40 : 2, RLIM_INFINITY};

	(void)arg;
	if (!getuid() && setresuid(61234, 61234, 61234))
		return 9;
	limit.rlim_max = limit.rlim_cur;
	if (start(10, spin) || setrlimit(RLIMIT_SIGPENDING, &limit))
		return 10;
	return stops(10, 5);
}

static _Atomic int leave; /* 1 + the index of the thread that is to end */

static void *spin_until_told(void *arg)
{
	_Atomic unsigned long *counter = arg;

	while (atomic_load(&leave) != counter - counters + 1)
		atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
	return NULL;
}

static void *stop_once(void *arg)
{
	*(int *)arg = stops(CHANGING, 1);
	return NULL;
}

/*
 * Between two stops one thread ends, one begins, or both, or none; by turns another thread is the
 * stopper, and was not known to the last stop. Who stood still then is not who has to stand still
 * now.
 */
static int come_and_go(void *arg)
{
	pthread_t threads[CHANGING], stopper;
	int r = start(CHANGING, spin);

	(void)arg;
	for (int i = 0; i < CHANGING && !r; i++)
		r = pthread_create(&threads[i], NULL, spin_until_told, &counters[CHANGING + i]);
	for (int round = 0; round < 80 && !r; round++) {
		const int i = round / 4 % CHANGING;

		if (round % 4 == 1) {
			atomic_store(&leave, CHANGING + i + 1);
			r = pthread_join(threads[i], NULL);
			atomic_store(&leave, 0);
		}
		if (round % 4 ==
			2) /* takes the place of one that moves on, so that it is looked at at once */
			r = pthread_create(&threads[i], NULL, spin_until_told, &counters[i]);
		if (r)
			break;
		if (round % 3) {
			r = stops(CHANGING, 1);
		} else if (pthread_create(&stopper, NULL, stop_once, &r) ||
			   pthread_join(stopper, NULL)) {
			r = 11;
		}
		if (round % 4 == 2) {
			atomic_store(&leave, i + 1);
			r |= pthread_join(threads[i], NULL);
			atomic_store(&leave, 0);
			r |= pthread_create(
				&threads[i], NULL, spin_until_told, &counters[CHANGING + i]);
		}
	}
	return r;
}

static int mode_caller(void *arg)
{
	unsigned long before[2];
	struct rm_entry entry;
	bool advanced;

	(void)arg;
	remap_set_quiesce(REMAP_QUIESCE_CALLER);
	if (start(2, spin) || rm_world_enter(&entry))
		return 1;
	if (rm_quiesce_stop(entry.world, nowhere))
		return 2;
	snapshot(before, 2);
	advanced = all_advance(before, 2);
	rm_quiesce_resume(entry.world);
	rm_world_leave(&entry);
	return advanced && !rm_stat_get(RM_STAT_STOPS) ? 0 : 3;
}

#define CASE(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		assert_child_ok(unit_in_child(name, NULL));                                        \
	}
CASE(many_threads)
CASE(deaf_threads)
CASE(stone_deaf_threads)
CASE(nested_stops)
CASE(nearly_full_queue)
CASE(come_and_go)
CASE(mode_caller)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_deaf_threads),
		cmocka_unit_test(test_stone_deaf_threads),
		cmocka_unit_test(test_nested_stops),
		cmocka_unit_test(test_nearly_full_queue),
		cmocka_unit_test(test_come_and_go),
		cmocka_unit_test(test_mode_caller),
	};

	return unit_run(tests);
}
