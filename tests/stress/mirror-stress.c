/* SPDX-License-Identifier: MIT */
/*
 * mirror-stress: private memory is converted for MREMAP_MIRROR, again and again, under the fire of
 * threads that write it.
 *
 * Each round: a fresh private mapping; every writer counts up words of its own in all of its pages,
 * by read-modify-write, so that a write that is lost stays lost; one calls read(2) into the range.
 * Parts of the mapping and then the rest get mirrors, onto a place or anywhere. In the end every
 * word has to be what its writer has counted, through either view.
 *
 * Mappings of more than 1 MiB have all their pages, numbered, when they are converted, and are read
 * through the view while they are filled and written.
 *
 * Usage: mirror-stress [ROUNDS [WRITERS [KIB]]]. One line of result; 1 if anything was lost.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libremap.h"

#define MIRROR	    (MREMAP_MAYMOVE | REMAP_MREMAP_MIRROR)
#define MAX_WRITERS 32 /* 64 bytes of each page for each, and 128 at its end */
#define LARGE	    ((size_t)1 << 20)
#define RW	    (PROT_READ | PROT_WRITE)

static struct {
	char *base;
	size_t len, page;
	_Atomic bool stop;
	unsigned long writers;
} range;

static uint64_t counted[MAX_WRITERS];
static uint64_t chunks_read, total;

static void die(const char *what)
{
	fprintf(stderr, "mirror-stress: %s: %s\n", what, strerror(errno));
	exit(1);
}

static volatile uint64_t *word(size_t writer, size_t n)
{
	const size_t pages = range.len / range.page;

	/* its own cache line of every page, the pages in an order that jumps about */
	return (volatile uint64_t *)(range.base + n * 7 % pages * range.page + 64 * writer);
}

static void *write_on(void *arg)
{
	const size_t self = (size_t)arg;
	uint64_t n = 0;

	for (; !range.stop; n++)
		(*word(self, n))++;
	counted[self] = n;
	return NULL;
}

/* The kernel writes too: 8 bytes a time from a pipe, the last line of each page. */
static void *read_on(void *arg)
{
	int fds[2];
	uint64_t n = 0;

	(void)arg;
	if (pipe(fds))
		die("pipe");
	for (; !range.stop; n++) {
		uint64_t *to = (uint64_t *)(range.base + n % (range.len / range.page) * range.page +
					    range.page - 64);
		uint64_t value = n + 1;

		if (write(fds[1], &value, sizeof(value)) != sizeof(value))
			die("write");
		if (read(fds[0], to, sizeof(value)) != sizeof(value)) {
			perror("mirror-stress: read into the range");
			exit(1);
		}
		if (*(volatile uint64_t *)to != value) {
			fprintf(stderr, "mirror-stress: what read(2) has put there is gone\n");
			exit(1);
		}
	}
	close(fds[0]);
	close(fds[1]);
	chunks_read += n;
	return NULL;
}

struct view {
	char *at;
	size_t from, len;
};

static void mirror(struct view *view, size_t from, size_t len, bool onto)
{
	char *place = NULL;

	if (onto) {
		place = mmap(NULL, len, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (place == MAP_FAILED)
			die("mmap");
	}
	view->from = from;
	view->len = len;
	view->at = mremap(range.base + from, len, len, MIRROR | (onto ? MREMAP_FIXED : 0), place);
	if (view->at == MAP_FAILED)
		die("mremap(MREMAP_MIRROR)");
}

static uint64_t *number(char *base, size_t page)
{
	return (uint64_t *)(base + (page + 1) * range.page - 128);
}

static void check_numbers(unsigned long round, const struct view *view)
{
	for (size_t p = view->len / range.page; view->at && p--;)
		if (*number(view->at, p) != view->from / range.page + p + 1) {
			fprintf(stderr, "mirror-stress: round %lu: page %zu is not what it was\n",
				round, p);
			exit(1);
		}
}

static void one_round(unsigned long round, size_t pages)
{
	pthread_t threads[MAX_WRITERS + 1];
	struct view views[3];
	const bool large = pages * range.page > LARGE;
	size_t first = (pages / 3 ? pages / 3 : 1) * range.page;

	range.len = pages * range.page;
	range.base = mmap(NULL, range.len, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (range.base == MAP_FAILED)
		die("mmap");
	for (size_t p = 0; large && p < pages; p++)
		*number(range.base, p) = p + 1;
	range.stop = false;
	for (size_t i = 0; i <= range.writers; i++) {
		errno = pthread_create(
			&threads[i], NULL, i < range.writers ? write_on : read_on, (void *)i);
		if (errno)
			die("pthread_create");
	}
	usleep(round * 37 % 500);
	memset(views, 0, sizeof(views));
	if (round % 2 && pages > 2) {
		mirror(&views[0], 0, first, round & 2);
		mirror(&views[1], first, range.len - first, round & 4);
	} else {
		mirror(&views[0], 0, range.len, round & 2);
	}
	for (size_t i = 0; large && i < 2; i++)
		check_numbers(round, &views[i]);
	usleep(round * 91 % 500);
	range.stop = true;
	for (size_t i = 0; i <= range.writers; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < range.writers; i++) {
		uint64_t there = 0;

		for (size_t p = 0; p < pages; p++)
			there += *(uint64_t *)(range.base + p * range.page + 64 * i);
		if (there != counted[i]) {
			fprintf(stderr,
				"mirror-stress: round %lu: writer %zu counted %llu, %llu are "
				"there\n",
				round, i, (unsigned long long)counted[i],
				(unsigned long long)there);
			exit(1);
		}
		total += there;
	}
	for (size_t i = 0; i < 2; i++) {
		if (!views[i].at)
			continue;
		if (memcmp(views[i].at, range.base + views[i].from, views[i].len)) {
			fprintf(stderr, "mirror-stress: round %lu: the views differ\n", round);
			exit(1);
		}
		munmap(views[i].at, views[i].len);
	}
	munmap(range.base, range.len);
}

int main(int argc, char **argv)
{
	const unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
	const unsigned long kib = argc > 3 ? strtoul(argv[3], NULL, 10) : 256;

	range.writers = argc > 2 ? strtoul(argv[2], NULL, 10) : 8;
	range.page = (size_t)sysconf(_SC_PAGESIZE);
	if (!rounds || !range.writers || range.writers > MAX_WRITERS || (kib << 10) < range.page) {
		fprintf(stderr, "Usage: mirror-stress [ROUNDS [WRITERS [KIB]]]\n");
		return 2;
	}
	for (unsigned long i = 0; i < rounds; i++)
		one_round(i, (kib << 10) / range.page -
				     ((kib << 10) > LARGE ? 0 : i % ((kib << 10) / range.page)));
	printf("mirror-stress: %lu rounds, %lu writers, %llu writes, %llu reads: nothing lost\n",
		rounds, range.writers, (unsigned long long)total, (unsigned long long)chunks_read);
	return 0;
}
