/* SPDX-License-Identifier: MIT */
/*
 * Many moves by MREMAP_DONTUNMAP while other threads do everything that a program may do at the
 * same time.
 *
 * An unmodified program: it calls mremap, and is run natively or under remap-run. What goes on is a
 * scene, one file each; scenes[] below is the list. The main thread makes the moves and measures
 * them.
 *
 * SIGSEGV or SIGBUS anywhere ends the run as a failure, and so does a run that takes longer than
 * --seconds: a deadlock is the likeliest thing to go wrong. Figures go to standard error as they
 * come, TAP to standard output.
 */
#include "tests/stress/stress.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "libremap.h"

static const char *const kind_names[] = {"anon", "shared", "file"};
static const struct scene *const scenes[] = {&crowd_scene, &births_scene, &safepoint_scene,
	&forks_scene, &spawns_scene, &movers_scene, &handlers_scene, &signals_scene, &ring_scene,
	&aio_scene};
#define NSCENES (sizeof(scenes) / sizeof(scenes[0]))

struct options opt = {KIND_ANON, 100000, 1, 64, true, false, false, false};
atomic_bool stop_all;
atomic_ulong failures;
int event_end;

static pthread_t threads[MAX_THREADS];
static unsigned int nthreads;

/* What libremap has to say about it, if it is there. */
extern const char *remap_strerror_last(void) __attribute__((weak));
extern int remap_stats(struct remap_stats *stats) __attribute__((weak));

void fail_move(const char *what)
{
	const int error = errno;

	fail(what, error);
	if (remap_strerror_last && *remap_strerror_last())
		fprintf(stderr, "# libremap: %s\n", remap_strerror_last());
}

void fail(const char *what, long detail)
{
	if (atomic_fetch_add(&failures, 1) < 20)
		fprintf(stderr, "# FAILURE: %s (%ld)\n", what, detail);
}

pthread_t start_thread(void *(*run)(void *), uintptr_t arg)
{
	int r = nthreads < MAX_THREADS ? pthread_create(&threads[nthreads], NULL, run, (void *)arg)
				       : EAGAIN;

	if (r) {
		fail("pthread_create", r);
		return pthread_self();
	}
	return threads[nthreads++];
}

static void on_alarm(int sig)
{
	static const char late[] = "Bail out! it hangs\nnot ok 1 - it comes to an end\n";

	(void)sig;
	(void)!write(1, late, sizeof(late) - 1);
	_exit(1);
}

/* With where it was, and what is mapped there: it may not come again. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	static const char fault[] = "not ok 1 - no fault reached the program\n";
	const ucontext_t *uc = context;
	char text[4096];
	ssize_t n;
	int maps;

#ifdef __x86_64__
	const unsigned long pc = (unsigned long)uc->uc_mcontext.gregs[REG_RIP];
#else
	const unsigned long pc = (unsigned long)uc->uc_mcontext.pc;
#endif
	n = snprintf(text, sizeof(text), "Bail out! signal %d code %d at %p by %lx in thread %d\n",
		sig, info->si_code, info->si_addr, pc, gettid());
	(void)!write(1, text, (size_t)n);
	(void)!write(1, fault, sizeof(fault) - 1);
	maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	while ((n = read(maps, text, sizeof(text))) > 0)
		(void)!write(2, text, (size_t)n);
	_exit(1);
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
	fputs("Usage: stress [--scene NAME] [--moves N] [--threads N] [--pages N] "
	      "[--kind anon|shared|file]\n"
	      "              [--anywhere] [--raw-deaf] [--touch] [--efault] [--seconds N]\n"
	      "Moves memory by MREMAP_DONTUNMAP while N threads of every sort use it. TAP on "
	      "stdout.\nScenes:",
		out);
	for (size_t i = 0; i < NSCENES; i++)
		fprintf(out, " %s", scenes[i]->name);
	fputs("\n", out);
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

static enum kind kind_named(const char *name)
{
	for (int k = KIND_ANON; k <= KIND_FILE; k++)
		if (!strcmp(name, kind_names[k]))
			return (enum kind)k;
	usage(stderr);
	exit(2);
}

static const struct scene *scene_named(const char *name)
{
	for (size_t i = 0; i < NSCENES; i++)
		if (!strcmp(name, scenes[i]->name))
			return scenes[i];
	usage(stderr);
	exit(2);
}

static const struct scene *read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"scene", required_argument, NULL, 's'},
		{"moves", required_argument, NULL, 'm'},
		{"threads", required_argument, NULL, 't'},
		{"pages", required_argument, NULL, 'p'},
		{"kind", required_argument, NULL, 'k'},
		{"anywhere", no_argument, NULL, 'a'},
		{"raw-deaf", no_argument, NULL, 'r'},
		{"efault", no_argument, NULL, 'e'},
		{"touch", no_argument, NULL, 'T'},
		{"seconds", required_argument, NULL, 'S'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const struct scene *scene = &crowd_scene;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			scene = scene_named(optarg);
			break;
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
			opt.kind = kind_named(optarg);
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
		case 'e':
			opt.efault = true;
			break;
		case 'S':
			alarm((unsigned int)number(optarg, 100000));
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	return scene;
}

static void say_figures(const char *scene, uint64_t *times, unsigned long done, uint64_t ns)
{
	qsort(times, done, sizeof(*times), compare_u64);
	fprintf(stderr,
		"# %s, %s: %lu moves, %u threads, %.1f s, move p50 %lu us p99 %lu us max %lu us\n",
		scene, kind_names[opt.kind], done, nthreads + 1, (double)ns / 1e9,
		done ? (unsigned long)times[done / 2] / 1000 : 0,
		done ? (unsigned long)times[done * 99 / 100] / 1000 : 0,
		done ? (unsigned long)times[done - 1] / 1000 : 0);
}

/* Where moves are fast the others need more of them to come to anything. */
static bool is_enough(const struct scene *scene)
{
	return !scene->least || atomic_load(&failures) || scene->least() > opt.moves / 50;
}

int main(int argc, char **argv)
{
	const struct sigaction fatal = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	const struct scene *scene;
	uint64_t began, *times;
	char books[200] = "";
	unsigned long done;
	bool right;
	int r;

	if (argc == 2 && !strcmp(argv[1], "--nothing")) /* what the scenes execute */
		return 0;
	scene = read_options(argc, argv);
	times = calloc(opt.moves, sizeof(*times));
	if (!times) {
		fprintf(stderr, "stress: no memory: %s\n", strerror(errno));
		return 1;
	}
	sigaction(SIGSEGV, &fatal, NULL);
	sigaction(SIGBUS, &fatal, NULL);
	signal(SIGALRM, on_alarm);
	event_end = eventfd(0, EFD_CLOEXEC);
	r = scene->begin();
	if (r)
		return r;

	began = now_ns();
	for (done = 0; done < opt.moves && atomic_load(&failures) < 100; done++) {
		uint64_t t = now_ns();

		if (!scene->move(done))
			break;
		times[done] = now_ns() - t;
		if (done && done % 10000 == 0)
			fprintf(stderr, "# %lu moves, %lu per second, %lu failures\n", done,
				(unsigned long)(done * 1000000000ull / (now_ns() - began)),
				atomic_load(&failures));
	}
	began = now_ns() - began;
	for (unsigned long more = done; done == opt.moves && !is_enough(scene); more++)
		if (!scene->move(more))
			done = 0;
	atomic_store(&stop_all, true);
	(void)!write(event_end, &(uint64_t){1}, 8);
	for (unsigned int i = 0; i < nthreads; i++)
		pthread_join(threads[i], NULL);
	right = scene->end(books, sizeof(books));
	say_figures(scene->name, times, done, began);
	print_stats();
	printf("1..3\n");
	printf("%s 1 - every move succeeded (%lu of %lu)\n", done == opt.moves ? "ok" : "not ok",
		done, opt.moves);
	printf("%s 2 - no EFAULT, no damage, no wait cut short (%lu failures)\n",
		atomic_load(&failures) ? "not ok" : "ok", atomic_load(&failures));
	printf("%s 3 - %s\n", right ? "ok" : "not ok", books);
	return !(done == opt.moves && right && !atomic_load(&failures));
}
