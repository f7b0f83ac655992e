/* SPDX-License-Identifier: MIT */
/*
 * A stop while another thread is in posix_spawn and its child waits for something before it execs:
 * here a FIFO that nobody opens until the mover has its answer. The spawning thread blocks every
 * signal, the stop signal too, and sleeps in the kernel where ptrace does not reach it. The mover
 * must be told no after a while (ten seconds are the engine's patience, so that is what this test
 * takes), and must not wait for the child, who may be waiting for it. Needs /proc.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/stat.h>
#include <time.h>

#include "libremap.h"

#define PAGE	 4096UL
#define PATIENCE 20 /* seconds, at most */

static char fifo[64];

static void *spawner(void *arg)
{
	char *const argv[] = {"true", NULL}, *const envp[] = {NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;

	(void)arg;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 3, fifo, O_RDONLY, 0);
	if (!posix_spawn(&pid, "/bin/true", &actions, NULL, argv, envp))
		waitpid(pid, NULL, 0);
	return NULL;
}

static int move_beside_a_spawn(void *arg)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;
	time_t began = time(NULL);
	pthread_t thread;
	int error;

	(void)arg;
	*p = 'x';
	if (mkfifo(fifo, 0600) || pthread_create(&thread, NULL, spawner, NULL))
		return 10;
	usleep(300000);
	q = remap_mremap(p, PAGE, PAGE, REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP, NULL);
	error = errno;
	if (open(fifo, O_WRONLY) < 0)
		return 11;
	pthread_join(thread, NULL);
	if (time(NULL) - began > PATIENCE)
		return 12;
	if (q == MAP_FAILED)
		return error == EINVAL && *remap_strerror_last() && *p == 'x' ? 0 : 13;
	return *q == 'x' && !*p ? 0 : 14;
}

static void a_spawn_that_waits_does_not_hang_the_mover(void **state)
{
	int status;

	(void)state;
	status = unit_in_child(move_beside_a_spawn, NULL);
	/* if it was killed, its grandchild still waits: let it go, too */
	close(open(fifo, O_WRONLY | O_NONBLOCK));
	unlink(fifo);
	assert_child_ok(status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spawn_that_waits_does_not_hang_the_mover),
	};

	setenv("LIBREMAP_CONF", "native:no", 1);
	snprintf(fifo, sizeof(fifo), "/tmp/quiesce-spawn-%d.fifo", getpid());
	return unit_run(tests);
}
