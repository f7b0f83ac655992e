/* SPDX-License-Identifier: MIT */
/*
 * Threads that get their turn on a processor once in a second, one after the other, as on a machine
 * with too much to do: they are waited for, longer than for one that is stuck. By a CPU control
 * group with next to no quota: needs root and a CPU controller, of version 1 or 2, below
 * /sys/fs/cgroup.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "emul/stats.h"
#include "libremap.h"

#define PAGE  4096UL
#define SPINS 4 /* threads: one turn each takes longer than any try at a stop that is stuck */

static char group[128];
static atomic_bool over;
static atomic_int running;

static bool put(const char *file, const char *text)
{
	char path[256];
	ssize_t len = (ssize_t)strlen(text), wrote;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	wrote = write(fd, text, (size_t)len);
	close(fd);
	return wrote == len;
}

/* A group for threads: a millisecond in each second for all of them together. */
static bool make_group(void)
{
	snprintf(group, sizeof(group), "/sys/fs/cgroup/cpu");
	if (!access("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", F_OK) ||
		!access("/sys/fs/cgroup/cpu/tasks", F_OK)) {
		snprintf(group, sizeof(group), "/sys/fs/cgroup/cpu/remap-%d", getpid());
		return !mkdir(group, 0700) && put("cpu.cfs_period_us", "1000000") &&
		       put("cpu.cfs_quota_us", "1000");
	}
	snprintf(group, sizeof(group), "/sys/fs/cgroup");
	(void)put("cgroup.subtree_control", "+cpu");
	snprintf(group, sizeof(group), "/sys/fs/cgroup/remap-%d", getpid());
	return !mkdir(group, 0700) && put("cgroup.type", "threaded") &&
	       put("cpu.max", "1000 1000000");
}

static bool join_group(void)
{
	char tid[32];

	snprintf(tid, sizeof(tid), "%ld", syscall(SYS_gettid));
	return put("tasks", tid) || put("cgroup.threads", tid);
}

static void *spin(void *joined)
{
	*(bool *)joined = join_group();
	atomic_fetch_add(&running, 1);
	while (!atomic_load(&over))
		;
	return NULL;
}

static void test_slow_threads(void **state)
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED | REMAP_MREMAP_DONTUNMAP;
	char *area = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t threads[SPINS];
	bool joined[SPINS], all = true;
	void *r;

	(void)state;
	assert_true(area != MAP_FAILED && !mprotect(area, PAGE, PROT_READ | PROT_WRITE));
	*area = 'x';
	for (int i = 0; i < SPINS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, spin, &joined[i]), 0);
	while (atomic_load(&running) < SPINS)
		usleep(1000);
	usleep(100000); /* their quota is used up */
	for (int i = 0; i < SPINS; i++)
		all = all && joined[i];
	r = all ? remap_mremap(area, PAGE, PAGE, flags, area + 2 * PAGE) : NULL;
	atomic_store(&over, true);
	for (int i = 0; i < SPINS; i++)
		pthread_join(threads[i], NULL);
	rmdir(group);
	if (!all) { /* no skip(): cmocka 1.1.5 calls that "not ok" */
		print_message("# threads can not be put into the group one by one here\n");
		return;
	}
	assert_ptr_equal(r, area + 2 * PAGE);
	assert_int_equal(area[2 * PAGE], 'x');
	assert_int_equal(*area, 0);
	print_message("# %lu tries, stopped for %lu ms\n",
		(unsigned long)rm_stat_get(RM_STAT_STOP_RETRIES) + 1,
		(unsigned long)rm_stat_get(RM_STAT_STOP_NS_MAX) / 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_threads),
	};

	setenv("LIBREMAP_CONF", "native:no", 1);
	if (!make_group()) {
		rmdir(group);
		return unit_skip_all("no CPU cgroup can be made");
	}
	return unit_run(tests);
}
