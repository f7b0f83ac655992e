/* SPDX-License-Identifier: MIT */
/*
 * mirror-bench: what a mirror of private memory costs, beside memcpy into a shared mapping and
 * beside having used a memfd by hand from the start. Milliseconds, the best of the rounds. Nothing
 * here is a test, but a wrong content ends it with 1.
 *
 *   pause    while the other thread stood still
 *   call     until mremap(MREMAP_MIRROR) was back
 *   all      until the last page had been filled
 *   again    a second mirror of the same memory, shared by then: what one of a prepared heap
 *            (REMAP_PREPARE_MIRROR) costs
 *   moved    MREMAP_DONTUNMAP of the same memory, likewise
 *   memcpy   of what is there, into fresh MAP_SHARED | MAP_ANONYMOUS memory
 *   by hand  mapping a memfd that has the content for a second time
 *
 * Then the pause at 1 GiB (or the largest size), full, in microseconds, for heaps that lie
 * differently, beside DONTUNMAP's of such a heap:
 *
 *   stop       what of the pause it takes to bring the other thread to stand still: of a mirror of
 *              one page
 *   mirror     the whole pause
 *   anywhere   the kernel's own MREMAP_DONTUNMAP, whole call, to where the kernel likes; - where it
 *              has none
 *   congruent  the same to an address that is equal to the heap's modulo 1 GiB: whole page tables
 *              move if they can
 *   emulated   the pause of an emulated one (a linked program's, which has to look at the mapping's
 *              attributes in it)
 *
 * Usage: mirror-bench [MIB-MAX [ROUNDS]]: 1, 8, 64, 512, 1024 and 4096 MiB as far as that, of which
 * three rounds to 1 GiB and one beyond. By default as much as a quarter of what is free allows. On a
 * machine that does other things as well, chrt -f 20 mirror-bench measures the work and not the
 * waiting for a processor.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "libremap.h"

#define PAGE	  4096UL
#define RW	  (PROT_READ | PROT_WRITE)
#define MIRROR	  (REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_MIRROR)
#define DONTUNMAP (REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP)

enum { PAUSE, CALL, ALL, AGAIN, MOVED, MEMCPY, BY_HAND, FIGURES };

static const struct {
	const char *name;
	size_t step; /* one page in so many; 0: none */
} kinds[] = {{"empty", 0}, {"sparse", 16}, {"full", 1}};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "mirror-bench: %s: %s (%s)\n", what, strerror(errno),
		remap_strerror_last());
	exit(1);
}

static char *map(size_t len, int flags, int fd)
{
	char *p = mmap(NULL, len, RW, flags, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void populate(char *p, size_t len, size_t step)
{
	for (size_t i = 0; step && i < len; i += step * PAGE)
		memset(p + i, (int)(i / PAGE % 255) + 1, PAGE);
}

static void check(const char *p, size_t len, size_t step)
{
	for (size_t i = 0; step && i < len; i += step * PAGE)
		if ((unsigned char)p[i + 77] != i / PAGE % 255 + 1) {
			fprintf(stderr, "mirror-bench: the content is wrong\n");
			exit(1);
		}
}

static void measure(size_t len, size_t step, uint64_t *ns)
{
	struct remap_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
	char *p = map(len, MAP_PRIVATE | MAP_ANONYMOUS, -1), *view, *other;
	uint64_t began;
	int fd;

	if (step != 1)
		madvise(p, len, MADV_NOHUGEPAGE);
	populate(p, len, step);
	remap_stats(&before);
	began = now();
	view = remap_mremap(p, len, len, MIRROR, NULL);
	ns[CALL] = now() - began;
	if (view == MAP_FAILED)
		die("mremap(MREMAP_MIRROR)");
	for (remap_stats(&after); after.bytes_filling; remap_stats(&after))
		usleep(200);
	ns[ALL] = now() - began;
	ns[PAUSE] = after.stop_ns_total - before.stop_ns_total;
	check(view, len, step);
	began = now();
	other = remap_mremap(p, len, len, MIRROR, NULL);
	ns[AGAIN] = now() - began;
	if (other == MAP_FAILED)
		die("mremap(MREMAP_MIRROR)");
	munmap(other, len);
	began = now();
	other = remap_mremap(p, len, len, DONTUNMAP, NULL);
	ns[MOVED] = now() - began;
	if (other == MAP_FAILED)
		die("mremap(MREMAP_DONTUNMAP)");
	check(other, len, step);
	munmap(other, len);
	munmap(view, len);

	other = map(len, MAP_SHARED | MAP_ANONYMOUS, -1);
	began = now();
	for (size_t i = 0; step && i < len; i += step * PAGE)
		memcpy(other + i, p + i, PAGE);
	ns[MEMCPY] = now() - began;
	munmap(other, len);
	munmap(p, len);

	fd = memfd_create("mirror-bench", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)len))
		die("memfd");
	p = map(len, MAP_SHARED, fd);
	populate(p, len, step);
	began = now();
	other = map(len, MAP_SHARED, fd);
	ns[BY_HAND] = now() - began;
	munmap(other, len);
	munmap(p, len);
	close(fd);
}

#define GIB ((size_t)1 << 30)

/* Heaps by what lies before them in their GiB. */
static const struct {
	const char *name;
	size_t offset;
	int advice;
} heaps[] = {{"1 GiB", 0, MADV_NOHUGEPAGE}, {"2 MiB", 300UL << 20, MADV_NOHUGEPAGE},
	{"4 KiB", (300UL << 20) + 5 * PAGE, MADV_NOHUGEPAGE}, {"1 GiB, huge", 0, MADV_HUGEPAGE},
	{"2 MiB, huge", 300UL << 20, MADV_HUGEPAGE}};

enum { STOP, MIRRORED, ANYWHERE, CONGRUENT, EMULATED, PAUSES };

/* Nothing that can be touched, offset bytes into a GiB of addresses. */
static char *place(size_t len, size_t offset)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	char *room = mmap(NULL, len + 2 * GIB, PROT_NONE, flags, -1, 0), *at;

	if (room == MAP_FAILED)
		die("mmap");
	at = room + ((offset - (uintptr_t)room) & (GIB - 1));
	munmap(room, len + 2 * GIB);
	return mmap(at, len, PROT_NONE, flags | MAP_FIXED, -1, 0);
}

static char *make_heap(size_t len, size_t h)
{
	char *p = mmap(place(len, heaps[h].offset), len, RW,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	madvise(p, len, heaps[h].advice);
	populate(p, len, 1);
	return p;
}

static uint64_t stopped(void)
{
	struct remap_stats stats = {.size = sizeof(stats)};

	remap_stats(&stats);
	return stats.stop_ns_total;
}

/* One way to treat a fresh heap; 0: the kernel can not. */
static uint64_t pause_of(int what, size_t len, size_t h)
{
	char *p = what == STOP ? map(PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1) : make_heap(len, h);
	char *to = what == CONGRUENT ? place(len, heaps[h].offset) : NULL, *other;
	uint64_t before = stopped(), began = now(), ns;

	len = what == STOP ? PAGE : len;
	if (what == ANYWHERE || what == CONGRUENT)
		other = (char *)syscall(
			SYS_mremap, p, len, len, DONTUNMAP | (to ? MREMAP_FIXED : 0), to);
	else if (what == EMULATED)
		other = remap_mremap(p, len, len, DONTUNMAP, NULL);
	else
		other = remap_mremap(p, len, len, MIRROR, NULL);
	ns = now() - began;
	if (what == ANYWHERE || what == CONGRUENT) {
		if (other == MAP_FAILED)
			ns = 0;
	} else {
		if (other == MAP_FAILED)
			die("mremap");
		ns = stopped() - before;
	}
	if (other != MAP_FAILED) {
		if (what != STOP)
			check(other, len, 1);
		munmap(other, len);
	}
	munmap(p, len);
	return ns;
}

static void print_pauses(size_t len, unsigned long rounds)
{
	printf("\n%zu MiB, microseconds\n", len >> 20);
	printf("%-12s %9s %9s %9s %9s %9s   of anywhere, congruent, emulated\n", "heap at", "stop",
		"mirror", "anywhere", "congruent", "emulated");
	for (size_t h = 0; h < sizeof(heaps) / sizeof(heaps[0]); h++) {
		uint64_t best[PAUSES];

		for (unsigned long r = 0; r < rounds; r++)
			for (int w = 0; w < PAUSES; w++) {
				uint64_t ns = pause_of(w, len, h);

				best[w] = r && best[w] < ns ? best[w] : ns;
			}
		printf("%-12s", heaps[h].name);
		for (int w = 0; w < PAUSES; w++)
			printf(best[w] ? " %9.1f" : "         -", (double)best[w] / 1e3);
		printf("  ");
		for (int w = ANYWHERE; w < PAUSES; w++)
			printf(best[w] ? " %.2f" : " -", (double)best[MIRRORED] / (double)best[w]);
		printf("\n");
		fflush(stdout);
	}
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* What may be used of the machine's memory. */
static size_t free_mib(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	size_t kib = 0;
	char line[128];

	while (file && !kib && fgets(line, sizeof(line), file))
		(void)sscanf(line, "MemAvailable: %zu", &kib);
	if (file)
		fclose(file);
	return kib / 1024;
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {1, 8, 64, 512, 1024, 4096};
	const size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : free_mib() / 4;
	const unsigned long wanted = argc > 2 ? strtoul(argv[2], NULL, 10) : 3;
	struct utsname kernel;
	pthread_t thread;

	if (!most || !wanted || argc > 3) {
		fprintf(stderr, "Usage: mirror-bench [MIB-MAX [ROUNDS]]\n");
		return 2;
	}
	setenv("LIBREMAP_CONF", "native:no", 0); /* read at the first call */
	errno = pthread_create(&thread, NULL, wait_for_ever, NULL);
	if (errno || uname(&kernel))
		die("pthread_create");
	printf("libremap %s, %s %s %s; milliseconds, the best of the rounds\n\n", PACKAGE_VERSION,
		kernel.sysname, kernel.release, kernel.machine);
	printf("%8s %-7s %10s %10s %10s %10s %10s %10s %10s\n", "size", "memory", "pause", "call",
		"all", "again", "moved", "memcpy", "by hand");
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]) && sizes[s] <= most; s++)
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			const unsigned long rounds = sizes[s] > 1024 ? 1 : wanted;
			uint64_t best[FIGURES], ns[FIGURES];

			for (unsigned long r = 0; r < rounds; r++) {
				measure(sizes[s] << 20, kinds[k].step, ns);
				for (int f = 0; f < FIGURES; f++)
					best[f] = r && best[f] < ns[f] ? best[f] : ns[f];
			}
			printf("%5zu MiB %-7s", sizes[s], kinds[k].name);
			for (int f = 0; f < FIGURES; f++)
				printf(" %10.3f", (double)best[f] / 1e6);
			printf("\n");
			fflush(stdout);
		}
	print_pauses((most < 1024 ? most : 1024) << 20, wanted);
	return 0;
}
