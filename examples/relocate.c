/* SPDX-License-Identifier: MIT */
/*
 * relocate: a heap in pieces that have been moved about becomes one mapping again.
 *
 * A heap grows by chunks that come to lie anywhere. Its owner gathers them by mremap: page tables
 * move, nothing is copied, and the heap is in one piece. To the kernel it is not: each chunk goes
 * on counting its pages from where it was first touched, so each stays a mapping of its own. There
 * may be 65530 of them in a process; and what is not one mapping can not be made larger by mremap:
 * EFAULT. With MREMAP_RELOCATE_ANON the chunks count from where they are now, and are one mapping.
 *
 * No kernel has MREMAP_RELOCATE_ANON: remap-run -- relocate. It is a wish: where it can not be
 * fulfilled (kernels before 6.8) the chunks are gathered all the same and stay mappings of their
 * own. With --must the call fails instead, and the chunk is where it was. Plain libc calls, nothing
 * here knows of libremap.
 *
 * What is checked: every word of every chunk, after every move; that the mappings, counted in
 * /proc/self/maps, are as many as chunks at first; and, if they became one, that the whole heap can
 * be made larger in one call.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MREMAP_RELOCATE_ANON
#define MREMAP_RELOCATE_ANON	  8
#define MREMAP_MUST_RELOCATE_ANON 16
#endif

#define RW (PROT_READ | PROT_WRITE)

static struct {
	size_t chunks, kib;
	bool must, quiet;
} opt = {64, 64, false, false};

static size_t chunk_len, heap_len;

static void die(const char *what)
{
	fprintf(stderr, "relocate: %s: %s\n", what, strerror(errno));
	exit(1);
}

static char *reserve(size_t len)
{
	char *p = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static uint64_t word(size_t chunk, size_t i)
{
	return (chunk + 1) * 0x9e3779b97f4a7c15ULL ^ i;
}

static void write_chunk(char *at, size_t chunk)
{
	for (size_t i = 0; i < chunk_len / 8; i++)
		((uint64_t *)at)[i] = word(chunk, i);
}

static void check_chunk(const char *at, size_t chunk)
{
	for (size_t i = 0; i < chunk_len / 8; i++)
		if (((const uint64_t *)at)[i] != word(chunk, i)) {
			fprintf(stderr, "relocate: word %zu of chunk %zu is wrong\n", i, chunk);
			exit(1);
		}
}

static size_t count_mappings(const char *from, size_t len)
{
	const uintptr_t start = (uintptr_t)from, end = start + len;
	FILE *maps = fopen("/proc/self/maps", "re");
	uintptr_t low, high;
	size_t count = 0;
	char line[512];

	if (!maps)
		die("/proc/self/maps");
	while (fgets(line, sizeof(line), maps))
		count += sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &low, &high) == 2 && low < end &&
			 high > start;
	fclose(maps);
	return count;
}

/* The chunks, which lie at those places, are put in a row at heap. */
static void gather(char **chunks, char *heap, int flags)
{
	for (size_t i = 0; i < opt.chunks; i++) {
		char *to = heap + i * chunk_len;

		if (mremap(chunks[i], chunk_len, chunk_len, MREMAP_MAYMOVE | MREMAP_FIXED | flags,
			    to) != to)
			die(flags & MREMAP_MUST_RELOCATE_ANON ? "mremap(MREMAP_MUST_RELOCATE_ANON)"
							      : "mremap(MREMAP_RELOCATE_ANON)");
		chunks[i] = to;
	}
	for (size_t i = 0; i < opt.chunks; i++)
		check_chunk(chunks[i], i);
}

static const char help[] =
	"Usage: relocate [--must] [--chunks N] [--kib N] [--quiet] [--help]\n"
	"Gathers a heap of chunks, first as any mremap does, then so that it is one mapping.\n"
	"Exits with 0 if every word was right.\n\n"
	"  --must      fail if a chunk can not be relocated (default: move it all the same)\n"
	"  --chunks N  so many, 2 to 10000 (64)\n"
	"  --kib N     of that size in KiB, 4 to 65536, whole pages (64)\n"
	"  --quiet     say nothing unless something is wrong\n";

static void parse(int argc, char **argv)
{
	static const struct option options[] = {{"must", 0, NULL, 'm'}, {"chunks", 1, NULL, 'c'},
		{"kib", 1, NULL, 'k'}, {"quiet", 0, NULL, 'q'}, {"help", 0, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	bool wrong = false;
	char *rest;
	int c;

	while ((c = getopt_long(argc, argv, "hq", options, NULL)) != -1) {
		if (c == 'm') {
			opt.must = true;
		} else if (c == 'q') {
			opt.quiet = true;
		} else if (c == 'h') {
			fputs(help, stdout);
			exit(0);
		} else if (c == '?') {
			wrong = true;
		} else {
			*(c == 'k' ? &opt.kib : &opt.chunks) = strtoul(optarg, &rest, 10);
			wrong = wrong || *rest || !*optarg;
		}
	}
	if (wrong || optind < argc || opt.chunks < 2 || opt.chunks > 10000 || opt.kib < 4 ||
		opt.kib > 65536 || (opt.kib << 10) % (size_t)sysconf(_SC_PAGESIZE)) {
		fputs(help, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	char **chunks, *heap;
	size_t before, after;

	parse(argc, argv);
	chunk_len = opt.kib << 10;
	heap_len = opt.chunks * chunk_len;
	chunks = calloc(opt.chunks, sizeof(*chunks));
	if (!chunks)
		die("calloc");
	/* every second place of a reservation, so that no two lie side by side */
	heap = reserve(2 * heap_len);
	for (size_t i = 0; i < opt.chunks; i++) {
		chunks[i] = heap + 2 * i * chunk_len;
		if (mprotect(chunks[i], chunk_len, RW))
			die("mprotect");
		write_chunk(chunks[i], i);
	}
	heap = reserve(heap_len);
	gather(chunks, heap, 0);
	before = count_mappings(heap, heap_len);
	heap = reserve(heap_len);
	gather(chunks, heap, opt.must ? MREMAP_MUST_RELOCATE_ANON : MREMAP_RELOCATE_ANON);
	after = count_mappings(heap, heap_len);
	if (before != opt.chunks || (opt.must && after != 1)) {
		fprintf(stderr, "relocate: %zu mappings before, %zu after\n", before, after);
		return 1;
	}
	if (after == 1) {
		heap = mremap(heap, heap_len, 2 * heap_len, MREMAP_MAYMOVE);
		if (heap == MAP_FAILED)
			die("mremap of the whole heap");
		check_chunk(heap, 0);
		check_chunk(heap + heap_len - chunk_len, opt.chunks - 1);
	}
	if (!opt.quiet)
		printf("relocate: %zu chunks of %zu KiB, %zu mappings moved, %zu relocated: all "
		       "correct\n",
			opt.chunks, opt.kib, before, after);
	free(chunks);
	return 0;
}
