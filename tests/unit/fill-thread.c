/* SPDX-License-Identifier: MIT */
/*
 * The thread that fills converted memory (emul/fill.c), held before its order so that it can be
 * looked at: it has one descriptor, is known as ours, is not stopped, goes when it is told to, and
 * there are no more of them than slots.
 *
 * Needs userfaultfd(2).
 */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <poll.h>

#include "emul/fill.h"
#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/world.h"

#define LEN ((size_t)1 << 20)

static char *object(void)
{
	char *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* An entry of /proc/self/task that is not us; 0: there is none. */
static int other_thread(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int tid = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != getpid())
			tid = atoi(entry->d_name);
	closedir(dir);
	return tid;
}

static int count_descriptors(int tid)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/fd", tid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void one_descriptor(void **state)
{
	struct rm_fill *fill;
	struct rm_entry entry;
	char *p = object();
	int end[2], tid, before, theirs, polled, mine, stopped;
	unsigned int slots, active;
	struct pollfd hangup;
	bool ours;

	(void)state;
	assert_int_equal(pipe(end), 0);
	before = count_descriptors(getpid());
	/*
	 * what is seen is looked at when the world is free again: a check that fails would leave it
	 * held
	 */
	assert_int_equal(rm_world_enter(&entry), 0);
	fill = rm_fill_prepare((struct rm_range){(uintptr_t)p, LEN});
	tid = fill ? other_thread() : 0;
	for (int i = 0; tid && i < 5000 && count_descriptors(tid) != 1; i++)
		usleep(1000);
	theirs = tid ? count_descriptors(tid) : 0;
	close(end[1]);
	hangup.fd = end[0];
	hangup.events = POLLIN;
	polled = poll(&hangup, 1, 0);
	close(end[0]);
	mine = count_descriptors(getpid());
	ours = rm_fill_is_ours(tid);
	stopped = rm_quiesce_stop(entry.world, (struct rm_range){0, 0});
	slots = entry.world->nslots;
	if (!stopped)
		rm_quiesce_resume(entry.world);
	active = rm_fills_active;
	if (fill)
		rm_fill_cancel(fill);
	rm_world_leave(&entry);

	assert_non_null(fill);
	assert_int_equal(theirs, 1);
	assert_int_equal(polled, 1);
	assert_true(hangup.revents & POLLHUP);
	assert_int_equal(mine, before - 2 + 1); /* our own of the userfaultfd */
	assert_true(ours);
	assert_false(rm_fill_is_ours(getpid()));
	assert_int_equal(stopped, 0); /* a stop does not wait for it */
	assert_int_equal(slots, 0);
	assert_int_equal(active, 1);
	assert_int_equal(rm_fills_active, 0);
	assert_false(rm_fill_is_ours(tid));
	rm_fill_wait();
	for (int i = 0; i < 5000 && other_thread(); i++)
		usleep(1000);
	assert_int_equal(other_thread(), 0);
	assert_int_equal(count_descriptors(getpid()), before - 2);
	munmap(p, LEN);
}

/* What is put aside comes, and what is not there does not. */
static void content_comes(void **state)
{
	const uint64_t filling = rm_stat_get(RM_STAT_FILLING), fills = rm_stat_get(RM_STAT_FILLS);
	char *back = object(), *view = mremap(back, 0, LEN, MREMAP_MAYMOVE), *aside;
	struct rm_fill *fill;
	struct rm_entry entry;

	(void)state;
	aside = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(view != MAP_FAILED && aside != MAP_FAILED);
	for (size_t i = 0; i < LEN; i += 3 * 4096)
		memset(aside + i, (int)(i / 4096 % 251) + 1, 4096);
	assert_int_equal(rm_world_enter(&entry), 0);
	fill = rm_fill_prepare((struct rm_range){(uintptr_t)back, LEN});
	assert_non_null(fill);
	assert_int_equal(rm_fill_watch(fill, (struct rm_range){(uintptr_t)view, LEN}), 0);
	rm_fill_go(fill, (uintptr_t)aside, LEN / 3, false, false);
	rm_fill_leave(fill);
	rm_world_leave(&entry);
	for (size_t i = LEN; i; i -= 4096) {
		const size_t at = i - 4096;

		assert_int_equal((unsigned char)view[at],
			at % (3 * 4096) ? 0 : at / 4096 % 251 + 1);
		assert_int_equal(view[at + 4095], view[at]);
	}
	rm_fill_wait();
	assert_true(rm_stat_get(RM_STAT_FILLING) == filling);
	assert_true(rm_stat_get(RM_STAT_FILLS) == fills + 1);
	/* both are the fill's, and gone with it */
	assert_int_equal(msync(back, 4096, MS_ASYNC), -1);
	assert_int_equal(msync(aside, 4096, MS_ASYNC), -1);
	munmap(view, LEN);
}

static void no_more_than_slots(void **state)
{
	struct rm_fill *fills[64];
	struct rm_entry entry;
	char *p[64];
	size_t n = 0, most, active;

	(void)state;
	assert_int_equal(rm_world_enter(&entry), 0);
	for (; n < 64; n++) {
		p[n] = object();
		fills[n] = rm_fill_prepare((struct rm_range){(uintptr_t)p[n], LEN});
		if (!fills[n])
			break;
	}
	most = n;
	active = rm_fills_active;
	while (n--) {
		rm_fill_cancel(fills[n]);
		munmap(p[n], LEN);
	}
	rm_world_leave(&entry);
	assert_true(most >= 4 && most < 64);
	assert_int_equal(active, most);
	assert_int_equal(rm_fills_active, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_descriptor),
		cmocka_unit_test(content_comes),
		cmocka_unit_test(no_more_than_slots),
	};
	struct rm_fill *fill;
	struct rm_entry entry;
	char *p = object();

#if defined(__SANITIZE_ADDRESS__)
	return unit_skip_all("AddressSanitizer wants to know every thread");
#endif
	if (rm_world_enter(&entry))
		return 1;
	fill = rm_fill_prepare((struct rm_range){(uintptr_t)p, LEN});
	if (fill)
		rm_fill_cancel(fill);
	rm_world_leave(&entry);
	if (!fill)
		return unit_skip_all("userfaultfd is not permitted");
	for (int i = 0; i < 5000 && other_thread(); i++)
		usleep(1000);
	return unit_run(tests);
}
