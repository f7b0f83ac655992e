/* SPDX-License-Identifier: MIT */
/*
 * Many moves of one range while other threads do everything to it that a program may do.
 *
 * An unmodified program: it calls mremap, and is run natively or under remap-run. The mover takes the heap away by
 * MREMAP_DONTUNMAP again and again, counts what was in the pages that came with it, and drops them. Meanwhile:
 *
 *   adders    increment their own counter in the heap, atomically. At the end every increment must have been seen by
 *             the mover exactly once: a lost page or a lost write shows as a wrong sum.
 *   callers   pass heap memory to write(2) and read(2): EFAULT is a failure, and so is a short or wrong read
 *   mappers   map and unmap other memory all the time and look after what is in it: a move must not damage it
 *   newborns  threads that are created, touch the heap, and exit
 *   deaf      adders that block every signal that libc lets them block
 *   raw deaf  with --raw-deaf: adders that block every signal by the raw system call, as Go's runtime can
 *   sleepers  wait in poll, epoll_wait, select, sem_wait, pause-like and sleeping calls that end only when they
 *             should: EINTR without a signal handler of ours is a failure
 *   alarmed   adders that a handler of ours interrupts at a high rate; the handler touches the heap
 *
 * With --touch there are no callers and no deaf ones, and mappers give no hint: what is left does not depend on the
 * threads being stopped (quiesce:guard).
 *
 * SIGSEGV or SIGBUS anywhere ends the run as a failure. Figures go to standard error as they come, TAP to standard
 * output. What it does not do: fork in other threads, several movers, io_uring (the issue after this one).
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libremap.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define PAGE	    4096UL
#define MAX_ADDERS  64
#define MAX_THREADS 128

enum kind { KIND_ANON, KIND_SHARED, KIND_FILE };
static const char *const kind_names[] = {"anon", "shared", "file"};

static struct {
	enum kind kind;
	unsigned long moves;
	unsigned int threads; /* of each sort */
	size_t pages;
	bool fixed, raw_deaf, touch;
} opt = {KIND_ANON, 100000, 1, 64, true, false, false};

static unsigned char *heap;
static atomic_bool stop_all;
static atomic_ulong failures;
static unsigned int nadders;
static _Atomic uint64_t added[MAX_ADDERS]; /* what each adder has done */
static uint64_t seen[MAX_ADDERS];	   /* what the mover has found in pages that it took away */
static sem_t never_posted;
static int event_never, event_end;

static void fail(const char *what, long detail)
{
	if (atomic_fetch_add(&failures, 1) < 20)
		fprintf(stderr, "# FAILURE: %s (%ld)\n", what, detail);
}

static void on_fatal(int sig, siginfo_t *info, void *context)
{
	char text[] = "Bail out! SIGSEGV or SIGBUS in the program\nnot ok 1 - no fault reached the "
		      "program\n";

	(void)sig;
	(void)info;
	(void)context;
	(void)!write(1, text, sizeof(text) - 1);
	_exit(1);
}

/* Each adder has its own counter in a page of its own, as far as there are pages. */
static _Atomic uint64_t *counter(unsigned int adder)
{
	size_t page = (adder * 7) % opt.pages;

	return (_Atomic uint64_t *)(heap + page * PAGE + 128 + adder * 8);
}

static void add_one(unsigned int adder)
{
	atomic_fetch_add_explicit(counter(adder), 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&added[adder], 1, memory_order_relaxed);
}

static void *run_adder(void *arg)
{
	unsigned int adder = (unsigned int)(uintptr_t)arg;

	while (!atomic_load_explicit(&stop_all, memory_order_relaxed)) {
		for (int i = 0; i < 50; i++)
			add_one(adder);
		if (adder % 2)
			sched_yield();
	}
	return NULL;
}

static void *run_deaf(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	return run_adder(arg);
}

static void *run_raw_deaf(void *arg)
{
	uint64_t all = ~0ull;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
	return run_adder(arg);
}

/* write(2) from and read(2) into the heap, through a pipe that nobody else uses. */
static void *run_caller(void *arg)
{
	unsigned int me = (unsigned int)(uintptr_t)arg;
	unsigned char *out = heap + (me % opt.pages) * PAGE + 2048;
	unsigned char *in = heap + ((me + 1) % opt.pages) * PAGE + 3072;
	char local[64], back[64];
	int fds[2];

	if (pipe(fds)) {
		fail("pipe", errno);
		return NULL;
	}
	memset(local, 'p', sizeof(local));
	while (!atomic_load(&stop_all)) {
		ssize_t n = write(fds[1], out, 64);

		if (n != 64)
			fail("write(2) from the heap", n < 0 ? errno : n);
		n = read(fds[0], back, 64);
		if (n != 64)
			fail("read(2) after write(2)", n < 0 ? errno : n);
		n = write(fds[1], local, 64);
		if (n != 64)
			fail("write(2) of other memory", n < 0 ? errno : n);
		n = read(fds[0], in, 64);
		if (n != 64)
			fail("read(2) into the heap", n < 0 ? errno : n);
	}
	close(fds[0]);
	close(fds[1]);
	return NULL;
}

static void *run_mapper(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg * 2654435761u + 1;

	while (!atomic_load(&stop_all)) {
		unsigned char *map[8];
		size_t len[8];
		unsigned char tag = (unsigned char)(seed >> 8 | 1);

		for (int i = 0; i < 8; i++) {
			/* asking for the heap's own place gets whatever hole there is beside it */
			void *hint = seed & 1 && !opt.touch ? heap + (seed >> 4 & 15) * PAGE : NULL;

			seed = seed * 1103515245u + 12345;
			len[i] = (seed >> 16 & 7) * PAGE + PAGE;
			map[i] = mmap(hint, len[i], PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (map[i] == MAP_FAILED) {
				fail("mmap", errno);
				return NULL;
			}
			if (map[i] < heap + opt.pages * PAGE && map[i] + len[i] > heap)
				fail("mmap was given the heap's place", 0);
			memset(map[i], tag, len[i]);
		}
		for (int i = 0; i < 8; i++) {
			for (size_t at = 0; at < len[i]; at += 512)
				if (map[i][at] != tag) {
					fail("another mapping was damaged", (long)at);
					break;
				}
			munmap(map[i], len[i]);
		}
	}
	return NULL;
}

static void *newborn(void *arg)
{
	add_one((unsigned int)(uintptr_t)arg);
	return NULL;
}

static void *run_midwife(void *arg)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * 1024);
	while (!atomic_load(&stop_all)) {
		pthread_t thread;
		int r = pthread_create(&thread, &attr, newborn, arg);

		if (r) {
			fail("pthread_create", r);
			break;
		}
		pthread_join(thread, NULL);
	}
	pthread_attr_destroy(&attr);
	return NULL;
}

/* One wait of each sort that no signal of the program ends. Returns the errno if it ended early. */
static int wait_once(unsigned int how, int epoll)
{
	struct pollfd p[2] = {{event_never, POLLIN, 0}, {event_end, POLLIN, 0}};
	struct epoll_event event;
	struct timespec nap = {0, 2000000};
	fd_set set;
	int r = 0;

	switch (how % 8) {
	case 0:
		r = poll(p, 2, -1);
		break;
	case 1:
		r = epoll_wait(epoll, &event, 1, -1);
		break;
	case 2:
		FD_ZERO(&set);
		FD_SET(event_end, &set);
		r = select(event_end + 1, &set, NULL, NULL, NULL);
		break;
	case 3:
		r = nanosleep(&nap, &nap);
		break;
	case 4:
		clock_gettime(CLOCK_REALTIME, &nap);
		nap.tv_nsec += 2000000;
		if (nap.tv_nsec >= 1000000000) {
			nap.tv_sec++;
			nap.tv_nsec -= 1000000000;
		}
		r = sem_timedwait(&never_posted, &nap);
		if (r && errno == ETIMEDOUT)
			r = 0;
		break;
	case 5:
		r = ppoll(p, 2, NULL, NULL);
		break;
	case 6:
		r = poll(NULL, 0, 5);
		break;
	case 7:
		r = usleep(5000);
		break;
	}
	return r < 0 ? errno : 0;
}

static void *run_sleeper(void *arg)
{
	unsigned int me = (unsigned int)(uintptr_t)arg;
	struct epoll_event event = {EPOLLIN, {.fd = event_end}};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(epoll, EPOLL_CTL_ADD, event_end, &event);
	while (!atomic_load(&stop_all)) {
		int error = wait_once(me, epoll);

		if (error)
			fail("a wait was cut short, sort and errno",
				me % 8 * 1000 + (unsigned int)error);
	}
	close(epoll);
	return NULL;
}

static void on_alarm(int sig)
{
	(void)sig;
	/* the last page's last word belongs to handlers: nobody checks it, it must only be there */
	atomic_fetch_add((_Atomic uint64_t *)(heap + opt.pages * PAGE - 8), 1);
}

static pthread_t alarmed;

static void *run_alarmer(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop_all)) {
		struct timespec gap = {0, 300000};

		pthread_kill(alarmed, SIGUSR1);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &gap, &gap);
	}
	return NULL;
}

static void *map_object(size_t len)
{
	char path[] = "/tmp/remap-stress-XXXXXX";
	void *p = MAP_FAILED;
	int fd;

	switch (opt.kind) {
	case KIND_ANON:
		return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	case KIND_SHARED:
		fd = memfd_create("remap-stress", MFD_CLOEXEC);
		if (fd >= 0 && !ftruncate(fd, (off_t)len))
			p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		return p;
	case KIND_FILE:
		fd = mkstemp(path);
		if (fd >= 0 && !ftruncate(fd, (off_t)len))
			p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
		unlink(path);
		return p; /* fd stays open: the deleted file is found by it */
	}
	return p;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* One move, and the books of what came with it. */
static bool move_once(unsigned char *target)
{
	const size_t len = opt.pages * PAGE;
	unsigned char *new =
		opt.fixed ? mremap(heap, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
				    target)
			  : mremap(heap, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	if (new == MAP_FAILED) {
		fail("mremap", errno);
		return false;
	}
	for (unsigned int a = 0; opt.kind != KIND_SHARED && a < nadders; a++) {
		_Atomic uint64_t *c = (_Atomic uint64_t *)(new +
							   ((unsigned char *)counter(a) - heap));

		seen[a] += atomic_load(c);
	}
	if (opt.fixed) /* keep the place: the next move lands on it */
		new = mmap(new, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	else
		munmap(new, len);
	return new != MAP_FAILED;
}

/* What libremap has to say about it, if it is there. */
extern int remap_stats(struct remap_stats *stats) __attribute__((weak));

static void print_stats(void)
{
	struct remap_stats s = {.size = sizeof(s)};

	if (remap_stats && !remap_stats(&s))
		fprintf(stderr, "# stops %lu, guarded %lu, guard_waits %lu, guard_stops %lu\n",
			(unsigned long)s.stops, (unsigned long)s.guarded,
			(unsigned long)s.guard_waits, (unsigned long)s.guard_stops);
}

static void usage(FILE *out)
{
	fputs("Usage: stress [--moves N] [--threads N] [--pages N] [--kind anon|shared|file] "
	      "[--anywhere] [--raw-deaf] [--touch]\n"
	      "Moves a heap by MREMAP_DONTUNMAP while N threads of every sort use it. TAP on "
	      "stdout.\n",
		out);
}

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || !n || n > max) {
		fprintf(stderr, "stress: '%s' is not a number from 1 to %lu\n", text, max);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"moves", required_argument, NULL, 'm'},
		{"threads", required_argument, NULL, 't'},
		{"pages", required_argument, NULL, 'p'},
		{"kind", required_argument, NULL, 'k'},
		{"anywhere", no_argument, NULL, 'a'},
		{"raw-deaf", no_argument, NULL, 'r'},
		{"touch", no_argument, NULL, 'T'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO};
	pthread_t threads[MAX_THREADS];
	unsigned int nthreads = 0, id = 0;
	unsigned char *target;
	uint64_t began, *times, total = 0;
	unsigned long done;
	bool books = true;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'm':
			opt.moves = number(optarg, 100000000);
			break;
		case 't':
			opt.threads = (unsigned int)number(optarg, 12);
			break;
		case 'p':
			opt.pages = number(optarg, 1 << 20);
			break;
		case 'k':
			for (c = 0; c < 3 && strcmp(optarg, kind_names[c]); c++)
				;
			if (c == 3) {
				usage(stderr);
				return 2;
			}
			opt.kind = (enum kind)c;
			break;
		case 'a':
			opt.fixed = false;
			break;
		case 'r':
			opt.raw_deaf = true;
			break;
		case 'T':
			opt.touch = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	heap = map_object(opt.pages * PAGE);
	target = mmap(NULL, opt.pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	times = calloc(opt.moves, sizeof(*times));
	if (heap == MAP_FAILED || target == MAP_FAILED || !times) {
		fprintf(stderr, "stress: no memory: %s\n", strerror(errno));
		return 1;
	}
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	signal(SIGUSR1, on_alarm);
	sem_init(&never_posted, 0, 0);
	event_never = eventfd(0, EFD_CLOEXEC);
	event_end = eventfd(0, EFD_CLOEXEC);

#define START(function, arg)                                                                       \
	do {                                                                                       \
		if (pthread_create(&threads[nthreads], NULL, function, (void *)(uintptr_t)(arg)))  \
			fail("pthread_create", errno);                                             \
		else                                                                               \
			nthreads++;                                                                \
	} while (0)
	for (unsigned int i = 0; i < opt.threads; i++) {
		START(run_adder, id++);
		if (!opt.touch)
			START(run_deaf, id++);
		if (opt.raw_deaf)
			START(run_raw_deaf, id++);
		START(run_midwife, id++);
		START(run_adder, id++);
		alarmed = threads[nthreads - 1];
		if (!i)
			START(run_alarmer, 0);
		if (!opt.touch)
			START(run_caller, i);
		START(run_mapper, i + 1);
		START(run_sleeper, i);
		START(run_sleeper, i + 1);
	}
	for (unsigned int i = 0; i < 8; i++)
		START(run_sleeper, i);
	nadders = id;

	began = now_ns();
	for (done = 0; done < opt.moves && atomic_load(&failures) < 100; done++) {
		uint64_t t = now_ns();

		if (!move_once(target))
			break;
		times[done] = now_ns() - t;
		if (done && done % 10000 == 0)
			fprintf(stderr, "# %lu moves, %lu per second, %lu failures\n", done,
				(unsigned long)(done * 1000000000ull / (now_ns() - began)),
				atomic_load(&failures));
	}
	began = now_ns() - began;
	atomic_store(&stop_all, true);
	(void)!write(event_end, &(uint64_t){1}, 8);
	for (unsigned int i = 0; i < nthreads; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int a = 0; a < nadders; a++) {
		uint64_t found = seen[a] + atomic_load(counter(a));

		total += atomic_load(&added[a]);
		if (found != atomic_load(&added[a])) {
			books = false;
			fprintf(stderr, "# adder %u: %lu increments, %lu found\n", a,
				(unsigned long)atomic_load(&added[a]), (unsigned long)found);
		}
	}
	qsort(times, done, sizeof(*times), compare_u64);
	fprintf(stderr,
		"# %s: %lu moves of %lu KiB, %u threads, %.1f s, move p50 %lu us p99 %lu us max "
		"%lu us, "
		"%lu increments\n",
		kind_names[opt.kind], done, (unsigned long)(opt.pages * PAGE / 1024), nthreads + 1,
		(double)began / 1e9, done ? (unsigned long)times[done / 2] / 1000 : 0,
		done ? (unsigned long)times[done * 99 / 100] / 1000 : 0,
		done ? (unsigned long)times[done - 1] / 1000 : 0, (unsigned long)total);
	print_stats();
	printf("1..3\n");
	printf("%s 1 - every move succeeded (%lu of %lu)\n", done == opt.moves ? "ok" : "not ok",
		done, opt.moves);
	printf("%s 2 - no EFAULT, no damage, no wait cut short (%lu failures)\n",
		atomic_load(&failures) ? "not ok" : "ok", atomic_load(&failures));
	printf("%s 3 - every increment was kept exactly once (%lu)\n", books ? "ok" : "not ok",
		(unsigned long)total);
	return !(done == opt.moves && books && !atomic_load(&failures));
}
