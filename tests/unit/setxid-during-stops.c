/* SPDX-License-Identifier: MIT */
/*
 * The C library's use of signal 33 beside ours: glibc changes the user of a process by making every
 * thread do it, in a handler for SIGSETXID, the signal that stops threads here (emul/quiesce.h).
 *
 * One thread changes user and back in a loop, another moves memory all the time, others spin, wait
 * and are born. Every change must reach every thread, no move may fail, nobody may hang. Both ways
 * round: threads and a first change before the first stop, and a first stop before there is any
 * thread. Needs root, for it is root who can change.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "emul/stats.h"
#include "libremap.h"

#define PAGE	 4096UL
#define OTHER_ID 65534
#define CHANGES	 150
#define SPINNERS 4

static _Atomic bool quit;
static _Atomic int wanted_uid, wrong, moves, failed_moves;
static _Atomic int checked[SPINNERS]; /* the change that this thread has seen done */
static _Atomic int change;

/* What this thread's kernel credentials are, past libc. */
static void *check_uid(void *arg)
{
	_Atomic int *seen = arg;

	while (!quit) {
		int now = change;

		if (now == *seen) {
			sched_yield();
			continue;
		}
		if ((int)syscall(SYS_geteuid) != wanted_uid)
			wrong++;
		*seen = now;
	}
	return NULL;
}

static void *wait_in_poll(void *arg)
{
	(void)arg;
	while (!quit)
		if (poll(NULL, 0, -1) != 0 && errno != EINTR)
			wrong++;
	return NULL;
}

static int move_once(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;

	*p = 'm';
	q = remap_mremap(p, PAGE, PAGE, REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP, NULL);
	if (q == MAP_FAILED || *q != 'm' || *p)
		return -1;
	munmap(p, PAGE);
	munmap(q, PAGE);
	return 0;
}

static void *mover(void *arg)
{
	(void)arg;
	while (!quit) {
		if (move_once())
			failed_moves++;
		moves++;
	}
	return NULL;
}

/* 0, or what went wrong. */
static int change_users(void *arg)
{
	const bool stop_first = *(bool *)arg;
	pthread_t threads[SPINNERS + 2];

	if (stop_first) {
		if (remap_prepare(NULL, 0, 0) || move_once())
			return 10;
	}
	for (int i = 0; i < SPINNERS; i++)
		if (pthread_create(&threads[i], NULL, check_uid, &checked[i]))
			return 11;
	if (pthread_create(&threads[SPINNERS], NULL, wait_in_poll, NULL))
		return 12;
	if (!stop_first && (seteuid(OTHER_ID) || seteuid(0)))
		return 13;
	if (pthread_create(&threads[SPINNERS + 1], NULL, mover, NULL))
		return 14;
	while (!moves)
		usleep(100);
	for (int i = 1; i <= CHANGES; i++) {
		const int uid = i % 2 ? OTHER_ID : 0;

		if (seteuid((uid_t)uid))
			return 15;
		wanted_uid = uid;
		change = i;
		for (int t = 0; t < SPINNERS; t++)
			while (checked[t] != i)
				sched_yield();
	}
	quit = true;
	pthread_join(threads[SPINNERS + 1], NULL);
	if (wrong)
		return 16;
	if (failed_moves)
		return 17;
	return rm_stat_get(RM_STAT_STOPS) ? 0 : 18;
}

static void threads_before_the_first_stop(void **state)
{
	bool stop_first = false;

	(void)state;
	assert_child_ok(unit_in_child(change_users, &stop_first));
}

static void a_stop_before_the_first_thread(void **state)
{
	bool stop_first = true;

	(void)state;
	assert_child_ok(unit_in_child(change_users, &stop_first));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_before_the_first_stop),
		cmocka_unit_test(a_stop_before_the_first_thread),
	};

	if (getuid())
		return unit_skip_all("needs root");
	setenv("LIBREMAP_CONF", "native:no", 1);
	return unit_run(tests);
}
