/* SPDX-License-Identifier: MIT */
/*
 * Children of every sort while the main thread moves a shuttle.
 *
 *   forkers   fork(2). The child must have inherited the range as it is between two moves:
 *             complete, on one side. Every second child then moves it itself, every fourth with a
 *             thread of its own running meanwhile, every eighth has a child that does.
 *   vforkers  vfork(2). The child looks at the range in its parent's memory: no page may be missing
 *             while it does.
 *   sleepers  wait: children die all the time, and SIGCHLD, which the program ignores by default,
 *             ends no wait
 *
 * In a scene of their own, because their callers block every signal by the raw call while the new
 * program begins: then SIGCHLD is not thrown away, and epoll_wait in some other thread says EINTR,
 * natively as well.
 *
 *   spawners  posix_spawn(3)
 *
 * No child may hang: each has an alarm.
 */
#include "tests/stress/stress.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE = 60, FIRST_REASON = 10, MOVE_FAILED = 20, NO_THREAD, NO_CHILD };

#define SELF "/proc/self/exe" /* a program that is there for certain */

static struct shuttle shuttle;
static atomic_ulong forked, vforked, spawned;

static void *touch_both_sides(void *arg)
{
	const atomic_bool *quit = arg;

	while (!atomic_load(quit))
		for (size_t page = 0; page < shuttle.pages; page++)
			if (!page_is_possible(&shuttle, 0, page) ||
				!page_is_possible(&shuttle, 1, page))
				return arg;
	return NULL;
}

static bool move_to_and_fro(void)
{
	bool moved = true;

	/* parent and child write to the same standard error; what fail() says is the child's */
	for (int i = 0; i < 3 && moved; i++)
		moved = shuttle_move(&shuttle);
	return moved;
}

static int await(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int child(unsigned long nth)
{
	atomic_bool quit = false;
	pthread_t thread;
	void *wrong;
	int r;

	alarm(PATIENCE);
	r = shuttle_in_child(&shuttle);
	if (r)
		return FIRST_REASON + r;
	/* Which side is full is what was found, not what the parent had noted when it forked. */
	shuttle.full = page_state(&shuttle, 1, 0) == PAGE_FULL;
	if (nth % 2)
		return 0;
	if (nth % 8 == 0) {
		pid_t pid = fork();

		if (pid < 0)
			return NO_CHILD;
		if (!pid)
			_exit(move_to_and_fro() ? 0 : MOVE_FAILED);
		r = await(pid);
		if (r)
			return r;
	}
	if (nth % 4)
		return move_to_and_fro() ? 0 : MOVE_FAILED;
	if (pthread_create(&thread, NULL, touch_both_sides, &quit))
		return NO_THREAD;
	r = move_to_and_fro() ? 0 : MOVE_FAILED;
	atomic_store(&quit, true);
	pthread_join(thread, &wrong);
	return r ? r : wrong ? FIRST_REASON : 0;
}

static void *run_forker(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop_all)) {
		pid_t pid = fork();
		int r;

		if (pid < 0) {
			fail("fork", errno);
			return NULL;
		}
		if (!pid)
			_exit(child(atomic_load(&forked)));
		r = await(pid);
		if (r)
			fail("a forked child found something wrong", r);
		atomic_fetch_add(&forked, 1);
	}
	return NULL;
}

static void *run_vforker(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop_all)) {
		volatile size_t wrong = 0;
		pid_t pid = vfork();
		int r;

		if (pid < 0) {
			fail("vfork", errno);
			return NULL;
		}
		if (!pid) {
			for (int side = 0; side < 2; side++)
				for (size_t page = 0; page < shuttle.pages; page++)
					wrong += !page_is_possible(&shuttle, side, page);
			if (atomic_load(&vforked) % 16 == 0)
				execl(SELF, "stress", "--nothing", NULL);
			_exit(wrong ? FIRST_REASON : 0);
		}
		r = await(pid);
		if (r)
			fail("a vfork child found something wrong", r);
		atomic_fetch_add(&vforked, 1);
	}
	return NULL;
}

static void *run_spawner(void *arg)
{
	char *const argv[] = {"stress", "--nothing", NULL}, *const envp[] = {NULL};

	(void)arg;
	while (!atomic_load(&stop_all)) {
		pid_t pid;
		int r = posix_spawn(&pid, SELF, NULL, NULL, argv, envp);

		if (r) {
			fail("posix_spawn", r);
			return NULL;
		}
		r = await(pid);
		if (r)
			fail("a spawned program failed", r);
		atomic_fetch_add(&spawned, 1);
	}
	return NULL;
}

static int begin(void)
{
	if (!shuttle_make(&shuttle, opt.kind, opt.pages, 0x5eed0000))
		return 1;
	for (unsigned int i = 0; i < opt.threads; i++) {
		start_thread(run_forker, 0);
		start_thread(run_vforker, 0);
	}
	for (unsigned int i = 0; i < SLEEPERS; i++)
		start_thread(run_sleeper, i);
	return 0;
}

static int begin_spawns(void)
{
	if (!shuttle_make(&shuttle, opt.kind, opt.pages, 0x5aed0000))
		return 1;
	for (unsigned int i = 0; i < opt.threads; i++) {
		start_thread(run_spawner, 0);
		start_thread(run_spawner, 0);
	}
	for (unsigned int i = 0; i < SLEEPERS; i++)
		if (i != EPOLL_SLEEPER)
			start_thread(run_sleeper, i);
	return 0;
}

static bool move(unsigned long nth)
{
	(void)nth;
	return shuttle_move(&shuttle);
}

static bool end(char *what, size_t size)
{
	snprintf(what, size, "%lu forked and %lu vforked children saw it complete",
		atomic_load(&forked), atomic_load(&vforked));
	return true;
}

static bool end_spawns(char *what, size_t size)
{
	snprintf(what, size, "%lu spawned programs", atomic_load(&spawned));
	return true;
}

static unsigned long least(void)
{
	return smaller(atomic_load(&forked), atomic_load(&vforked));
}

static unsigned long least_spawns(void)
{
	return atomic_load(&spawned);
}

const struct scene forks_scene = {"forks", begin, move, least, end};
const struct scene spawns_scene = {"spawns", begin_spawns, move, least_spawns, end_spawns};
