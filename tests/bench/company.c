/* SPDX-License-Identifier: MIT */
/*
 * Who else is in the process: other threads, and other mappings.
 *
 * None of the threads touches the heap, so that the naive way survives them. A blocked thread waits
 * in read(2) on a pipe; if that ever returns before the end, a stop of the emulation has disturbed
 * the program, and the run is void. The crowd of mappings is a row of single populated pages,
 * protected in turn so that they do not merge. It lies below the heap, which is the worst place for
 * it: who reads /proc/self/maps from its beginning has to pass it.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_SIZE (64UL << 10) /* the lowest page of it is a guard */

const char *const company_names[COMPANY_STATES] = {
	[COMPANY_BLOCKED] = "blocked",
	[COMPANY_SPIN] = "spin",
	[COMPANY_YIELD] = "yield",
};

static struct {
	pthread_t *threads;
	unsigned char *stacks; /* ours, because libc keeps those of threads that have ended */
	unsigned int count;
	int pipe[2];
	atomic_uint arrived;
	atomic_bool over;
	unsigned char *crowd;
	size_t crowd_len;
} others;

static void *run_blocked(void *arg)
{
	char byte;

	(void)arg;
	atomic_fetch_add(&others.arrived, 1);
	if (read(others.pipe[0], &byte, 1) || !atomic_load(&others.over))
		die("a thread's read(2) was cut short by a move: %s", strerror(errno));
	return NULL;
}

static void *run_spin(void *arg)
{
	(void)arg;
	atomic_fetch_add(&others.arrived, 1);
	while (!atomic_load_explicit(&others.over, memory_order_relaxed))
		;
	return NULL;
}

static void *run_yield(void *arg)
{
	(void)arg;
	atomic_fetch_add(&others.arrived, 1);
	while (!atomic_load_explicit(&others.over, memory_order_relaxed))
		sched_yield();
	return NULL;
}

void company_gather(const struct company *company)
{
	static void *(*const runs[COMPANY_STATES])(void *) = {run_blocked, run_spin, run_yield};
	pthread_attr_t attr;

	others.count = company->count;
	if (!others.count)
		return;
	atomic_store(&others.arrived, 0);
	atomic_store(&others.over, false);
	others.threads = calloc(others.count, sizeof(*others.threads));
	others.stacks = mmap(NULL, others.count * STACK_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (!others.threads || others.stacks == MAP_FAILED || pipe(others.pipe))
		die("no room for threads: %s", strerror(errno));
	pthread_attr_init(&attr);
	for (unsigned int i = 0; i < others.count; i++) {
		unsigned char *stack = others.stacks + i * STACK_SIZE;
		int r = mprotect(stack, PAGE, PROT_NONE) ? errno : 0;

		if (!r)
			r = pthread_attr_setstack(&attr, stack + PAGE, STACK_SIZE - PAGE);
		if (!r)
			r = pthread_create(&others.threads[i], &attr, runs[company->state], NULL);

		if (r)
			die("thread %u can not be created: %s", i + 1, strerror(r));
	}
	pthread_attr_destroy(&attr);
	while (atomic_load(&others.arrived) < others.count)
		usleep(100);
	usleep(5000); /* from the last line before read(2) into it */
}

void company_dismiss(void)
{
	if (!others.count)
		return;
	atomic_store(&others.over, true);
	close(others.pipe[1]);
	for (unsigned int i = 0; i < others.count; i++)
		pthread_join(others.threads[i], NULL);
	close(others.pipe[0]);
	free(others.threads);
	munmap(others.stacks, others.count * STACK_SIZE);
	others.count = 0;
}

bool crowd_is_allowed(unsigned int mappings)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned int allowed = 0;

	if (!file)
		return true;
	if (fscanf(file, "%u", &allowed) != 1)
		allowed = 0;
	fclose(file);
	return !allowed || mappings + 1000 <= allowed;
}

void crowd_map(unsigned int mappings, const struct heap *heap)
{
	unsigned char *below = heap->home;

	others.crowd_len = mappings * PAGE;
	if (!mappings)
		return;
	if (heap->away && heap->away < below)
		below = heap->away;
	others.crowd = mmap(below - others.crowd_len - (1UL << 30), others.crowd_len,
		PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (others.crowd == MAP_FAILED)
		die("no room for %u mappings: %s", mappings, strerror(errno));
	if (others.crowd > below)
		die("no room for %u mappings below the heap", mappings);
	memset(others.crowd, 1, others.crowd_len);
	for (size_t offset = 0; offset < others.crowd_len; offset += 2 * PAGE)
		if (mprotect(others.crowd + offset, PAGE, PROT_READ))
			die("%u mappings are too many: %s; see vm.max_map_count", mappings,
				strerror(errno));
}

void crowd_unmap(void)
{
	if (others.crowd_len)
		munmap(others.crowd, others.crowd_len);
	others.crowd_len = 0;
}

unsigned int count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	unsigned int lines = 0;
	int c;

	if (!file)
		return 0;
	while ((c = getc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}
