/* SPDX-License-Identifier: MIT */
/*
 * ring: a ring buffer that is mapped twice in a row, so that nothing in it ever wraps.
 *
 * The buffer's pages are seen at base and again at base + size. A record that begins near the end
 * of the first view goes on in the second, which is the beginning of the buffer: one memcpy, one
 * pointer, no special case. One thread writes records of changing length, the other takes them out
 * and checks every byte of them.
 *
 * The second view is one call, mremap(base, size, size, MREMAP_MAYMOVE | MREMAP_FIXED |
 * MREMAP_MIRROR, base + size), which needs no descriptor, no file and no name. No kernel has
 * MREMAP_MIRROR: remap-run -- ring. With --private the memory is ordinary private memory that is
 * given its second view when it is already in use. Plain libc calls, nothing here knows of
 * libremap.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MREMAP_MIRROR
#define MREMAP_MIRROR (1 << 24)
#endif

/* What lies in the ring: this, and then length bytes that follow from the number. */
struct record {
	uint32_t length; /* of what follows, a multiple of 8 */
	uint32_t sum;	 /* of what follows */
	uint64_t number;
};

static struct {
	bool private, quiet;
	unsigned long kib, megabytes;
} opt = {false, false, 64, 64};

static struct {
	char *base;
	size_t size;
	/* bytes since the beginning; their difference is what is in use */
	_Atomic uint64_t written, read;
	_Atomic bool ended;
} ring;

static void die(const char *what)
{
	fprintf(stderr, "ring: %s: %m\n", what);
	exit(1);
}

static uint64_t word(uint64_t number, uint32_t i)
{
	return (number + 1) * 0x9e3779b97f4a7c15u + i * 0x100000001b3u;
}

static uint32_t sum_of(const uint64_t *words, uint32_t count)
{
	uint64_t sum = count;

	for (uint32_t i = 0; i < count; i++)
		sum = sum * 31 + words[i];
	return (uint32_t)(sum ^ sum >> 32);
}

/* Records from one word to a quarter of the ring. */
static uint32_t length_of(uint64_t number)
{
	uint64_t most = (ring.size / 4 - sizeof(struct record)) / 8;

	return (uint32_t)(8 + (number * 2654435761u >> 7) % most * 8);
}

static void *write_all(void *arg)
{
	const uint64_t total = opt.megabytes << 20;
	uint64_t written = 0;

	(void)arg;
	for (uint64_t number = 0; written < total; number++) {
		const uint32_t length = length_of(number);
		struct record *record = (struct record *)(ring.base + written % ring.size);
		uint64_t *words = (uint64_t *)(record + 1);

		while (written + sizeof(*record) + length - ring.read > ring.size)
			sched_yield();
		record->length = length;
		record->number = number;
		for (uint32_t i = 0; i < length / 8; i++)
			words[i] = word(number, i);
		record->sum = sum_of(words, length / 8);
		written += sizeof(*record) + length;
		ring.written = written;
	}
	ring.ended = true;
	return NULL;
}

struct result {
	uint64_t records, bytes, across;
};

static bool right(const struct record *record, uint64_t number)
{
	const uint64_t *words = (const uint64_t *)(record + 1);

	if (record->number != number || record->length != length_of(number) ||
		record->sum != sum_of(words, record->length / 8))
		return false;
	for (uint32_t i = 0; i < record->length / 8; i++)
		if (words[i] != word(number, i))
			return false;
	return true;
}

static bool read_all(struct result *result)
{
	uint64_t read = 0;

	for (;;) {
		/* looked at first: what was written before it counts */
		const bool ended = ring.ended;
		const size_t at = read % ring.size;
		const struct record *record = (const struct record *)(ring.base + at);

		if (read == ring.written) {
			if (ended)
				return true;
			sched_yield();
			continue;
		}
		if (!right(record, result->records)) {
			fprintf(stderr, "ring: record %llu at byte %llu is damaged\n",
				(unsigned long long)result->records, (unsigned long long)read);
			return false;
		}
		result->records++;
		result->across += at + sizeof(*record) + record->length > ring.size;
		read += sizeof(*record) + record->length;
		result->bytes = read;
		ring.read = read;
	}
}

static void make_ring(void)
{
	const int kind = opt.private ? MAP_PRIVATE : MAP_SHARED;

	ring.size = opt.kib << 10;
	/* both places at once, so that nobody else comes to lie in the second */
	ring.base = mmap(
		NULL, 2 * ring.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ring.base == MAP_FAILED ||
		mmap(ring.base, ring.size, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | MAP_FIXED,
			-1, 0) == MAP_FAILED)
		die("mmap");
	memset(ring.base, 0xee, ring.size);
	if (mremap(ring.base, ring.size, ring.size, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_MIRROR,
		    ring.base + ring.size) == MAP_FAILED)
		die("mremap(MREMAP_MIRROR)");
}

static const char help[] =
	"Usage: ring [--private] [--kib N] [--megabytes N] [--quiet] [--help]\n"
	"A ring buffer that is mapped twice in a row carries records between two threads.\n"
	"Exits with 0 if every record was right.\n\n"
	"  --private      the buffer is private anonymous memory (default: shared)\n"
	"  --kib N        its size in KiB, a power of two, 4 to 1048576 (64)\n"
	"  --megabytes N  so much goes through it, 1 to 1000000 MiB (64)\n"
	"  --quiet        say nothing unless something is wrong\n";

static void parse(int argc, char **argv)
{
	static const struct option options[] = {{"private", 0, NULL, 'p'}, {"kib", 1, NULL, 'k'},
		{"megabytes", 1, NULL, 'm'}, {"quiet", 0, NULL, 'q'}, {"help", 0, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	bool wrong = false;
	char *rest;
	int c;

	while ((c = getopt_long(argc, argv, "hq", options, NULL)) != -1) {
		if (c == 'p') {
			opt.private = true;
		} else if (c == 'q') {
			opt.quiet = true;
		} else if (c == 'h') {
			fputs(help, stdout);
			exit(0);
		} else if (c == '?') {
			wrong = true;
		} else {
			*(c == 'k' ? &opt.kib : &opt.megabytes) = strtoul(optarg, &rest, 10);
			wrong = wrong || *rest || !*optarg;
		}
	}
	if (wrong || optind < argc || opt.kib < 4 || opt.kib > 1048576 || opt.kib & (opt.kib - 1) ||
		opt.kib << 10 < (size_t)sysconf(_SC_PAGESIZE) || !opt.megabytes ||
		opt.megabytes > 1000000) {
		fputs(help, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct result result = {0, 0, 0};
	pthread_t writer;

	parse(argc, argv);
	make_ring();
	errno = pthread_create(&writer, NULL, write_all, NULL);
	if (errno)
		die("pthread_create");
	if (!read_all(&result))
		exit(1);
	pthread_join(writer, NULL);
	if (!opt.quiet)
		printf("ring: %llu records, %llu MiB, %llu across the end: all correct\n",
			(unsigned long long)result.records, (unsigned long long)result.bytes >> 20,
			(unsigned long long)result.across);
	return 0;
}
