/* SPDX-License-Identifier: MIT */
/*
 * The heap that is moved, and the ways of moving it.
 *
 *   native      the kernel's own MREMAP_DONTUNMAP, by the raw system call
 *   emulated    remap_mremap(); native:no is in LIBREMAP_CONF, so the engine never uses the
 *               kernel's flag. What it knows of the range from the rounds before is true: all the
 *               other ways leave the mapping as it was
 *   first       the same as if it were the range's first: what is known from moves is forgotten
 *               before
 *   copying     what programs do without: a fresh mapping, memcpy, MADV_DONTNEED of the old range
 *   unmap+map   the naive way: mremap away, mmap into the hole; wrong with threads, a lower bound
 *               without
 *
 * All of them move onto the same reservation, MREMAP_FIXED, as collectors do; both places are
 * aligned alike, to 2 MiB or 1 GiB if the heap is as large, so that the kernel may move whole page
 * tables. PLACE_ANYWHERE and PLACE_ASKEW: there is no reservation, the kernel or the engine
 * chooses; askew, the kernel's choice is hardly ever aligned like the heap.
 *
 * Bringing the heap back is outside the timed part. It ends in the state in which it began: same
 * address, same pages populated, page tables in place; those that a way has lost (shared memory:
 * copying, and emulating by a second view) are made again, and only those: who runs through the
 * heap empties the caches and, under some hypervisors, makes the next move of it dear.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emul/known.h"
#include "libremap.h"

#define TWO_MIB	 (2UL << 20)
#define ONE_GIB	 (1UL << 30)
#define COLD	 (256UL << 20)
#define RESERVED (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
#define FLAGS	 (REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP)

const char *const way_names[WAY_COUNT] = {
	[WAY_NATIVE] = "native",
	[WAY_EMULATED] = "emulated",
	[WAY_FIRST] = "first",
	[WAY_COPYING] = "copying",
	[WAY_UNMAP_MAP] = "unmap+map",
};

const char *const place_names[PLACE_NAMES] = {
	[PLACE_RESERVED] = "reserved",
	[PLACE_ANYWHERE] = "anywhere",
	[PLACE_ASKEW] = "askew",
};

const struct kind kinds[KIND_COUNT] = {
	{"private", "private anonymous memory, base pages, all populated", .step = 1},
	{"shared", "shared memory (memfd), base pages, all populated", .shared = true, .step = 1},
	{"thp", "private anonymous memory, huge pages, all populated", .huge = true, .step = 1},
	{"sparse", "private anonymous memory, base pages, 1 in 16 populated", .step = 16},
	{"shared-sparse", "shared memory (memfd), base pages, 1 in 16 populated", .shared = true,
		.step = 16},
	{"zero", "private anonymous memory, base pages, all of them the zero page", .zero = true,
		.step = 1},
};

/*
 * len bytes, aligned, not touching any mapping that they could merge with: a readable page on
 * either side.
 */
static unsigned char *reserve(size_t len, size_t align)
{
	const size_t all = len + align + 2 * PAGE;
	unsigned char *area = mmap(NULL, all, PROT_NONE, RESERVED, -1, 0), *at;

	if (area == MAP_FAILED)
		return NULL;
	at = (unsigned char *)(((uintptr_t)area + PAGE + align - 1) & ~(align - 1));
	if (at - PAGE > area)
		munmap(area, (size_t)(at - PAGE - area));
	if (at + len + PAGE < area + all)
		munmap(at + len + PAGE, (size_t)(area + all - (at + len + PAGE)));
	if (mprotect(at - PAGE, PAGE, PROT_READ) || mprotect(at + len, PAGE, PROT_READ))
		return NULL;
	return at;
}

/*
 * Base pages by the process's own setting: advice would be one more thing for the emulation to
 * copy.
 */
static int advise(const struct heap *heap, unsigned char *at)
{
	if (prctl(PR_SET_THP_DISABLE, !heap->kind->huge, 0, 0, 0))
		return -1;
	return heap->kind->huge ? madvise(at, heap->len, MADV_HUGEPAGE) : 0;
}

/* A mapping like the heap's own, empty if it is private. NULL and errno if there is none. */
static unsigned char *map_like(const struct heap *heap, unsigned char *at, bool same_object)
{
	const int fixed = at ? MAP_FIXED : 0;
	const int flags = heap->fd < 0	? MAP_PRIVATE | MAP_ANONYMOUS
			  : same_object ? MAP_SHARED
					: MAP_SHARED | MAP_ANONYMOUS;
	unsigned char *p = mmap(at, heap->len, PROT_READ | PROT_WRITE, flags | fixed,
		same_object ? heap->fd : -1, 0);

	if (p == MAP_FAILED || advise(heap, p))
		return NULL;
	return p;
}

static uint64_t mark(size_t page)
{
	return 0x9e3779b97f4a7c15ULL * (page + 1);
}

/* Both ends are written to whatever the kind, for check(). */
static void populate(const struct heap *heap, unsigned char *at)
{
	const size_t step = heap->kind->step, last = (heap->len / PAGE - 1) / step * step;

	for (size_t page = 0; page <= last; page += step) {
		volatile uint64_t *word = (volatile uint64_t *)(at + page * PAGE);

		if (heap->kind->zero && page && page != last)
			(void)*word;
		else
			*word = mark(page);
	}
}

/* Some of the heap is in huge pages. */
static bool has_huge_pages(const struct heap *heap)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long start, end, kib = 0;
	bool here = false;
	char line[512];

	if (!file)
		return false;
	while (!kib && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)heap->home && end > (uintptr_t)heap->home;
		else if (here)
			sscanf(line, "AnonHugePages: %lu kB", &kib);
	}
	fclose(file);
	return kib;
}

void heap_forget(void)
{
	struct rm_change change;

	rm_known_begin(&change);
	rm_known_end(&change, rm_everything);
}

/* Its mmap and its advice are seen, by the preload in a real program. */
static void heap_is_born(const struct heap *heap)
{
	const struct rm_range range = {(uintptr_t)heap->home, heap->len};
	struct rm_change change;

	rm_known_begin(&change);
	rm_known_end_mapped(&change, range, PROT_READ | PROT_WRITE,
		heap->kind->shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	if (!heap->kind->huge)
		return;
	rm_known_begin(&change);
	rm_known_end_advised(&change, range, MADV_HUGEPAGE);
}

void heap_chill(void)
{
	static unsigned char *field;

	if (!field)
		field = mmap(
			NULL, COLD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (field == MAP_FAILED)
		die("no memory to run through: %s", strerror(errno));
	for (size_t i = 0; i < COLD; i += 64)
		field[i]++;
}

const char *heap_make(struct heap *heap, const struct kind *kind, size_t len, enum place_name place)
{
	heap_forget();
	memset(heap, 0, sizeof(*heap));
	heap->kind = kind;
	heap->len = len;
	heap->align = len >= ONE_GIB ? ONE_GIB : len >= TWO_MIB ? TWO_MIB : PAGE;
	heap->fd = -1;
	heap->askew = place == PLACE_ASKEW ? PAGE : 0;
	if (kind->huge && len < TWO_MIB)
		return "smaller than a huge page";
	if (kind->step > 1 && len < 2 * kind->step * PAGE)
		return "too small to be sparse";
	if (kind->shared) {
		heap->fd = (int)syscall(SYS_memfd_create, "remap-bench", 1U);
		if (heap->fd < 0 || ftruncate(heap->fd, (off_t)len))
			die("memfd: %s", strerror(errno));
	}
	heap->home = reserve(len + heap->askew, heap->align);
	if (place == PLACE_RESERVED)
		heap->away = reserve(len, heap->align);
	if (!heap->home || (place == PLACE_RESERVED && !heap->away))
		die("no room for a heap of %zu bytes: %s", len, strerror(errno));
	heap->home += heap->askew;
	if (!map_like(heap, heap->home, true))
		die("no room for a heap of %zu bytes: %s", len, strerror(errno));
	populate(heap, heap->home);
	if (kind->huge && !has_huge_pages(heap)) {
		heap_free(heap);
		return "transparent huge pages are switched off";
	}
	return NULL;
}

void heap_free(struct heap *heap)
{
	munmap(heap->home - heap->askew - PAGE, heap->len + heap->askew + 2 * PAGE);
	if (heap->away)
		munmap(heap->away - PAGE, heap->len + 2 * PAGE);
	if (heap->fd >= 0)
		close(heap->fd);
}

static unsigned char *move_native(const struct heap *heap)
{
	const long flags = FLAGS | (heap->away ? REMAP_MREMAP_FIXED : 0);
	long r = syscall(SYS_mremap, heap->home, heap->len, heap->len, flags, heap->away);

	return r == -1 ? NULL : (unsigned char *)r;
}

static unsigned char *move_emulated(const struct heap *heap)
{
	const int flags = FLAGS | (heap->away ? REMAP_MREMAP_FIXED : 0);
	void *p = remap_mremap(heap->home, heap->len, heap->len, flags, heap->away);

	return p == MAP_FAILED ? NULL : p;
}

static unsigned char *move_by_copying(const struct heap *heap)
{
	unsigned char *p = map_like(heap, heap->away, false);

	if (!p)
		return NULL;
	memcpy(p, heap->home, heap->len);
	return madvise(heap->home, heap->len, MADV_DONTNEED) ? NULL : p;
}

static unsigned char *move_by_unmapping(const struct heap *heap)
{
	unsigned char *to = heap->away;

	if (!to)
		to = mmap(NULL, heap->len, PROT_NONE, RESERVED, -1, 0);
	if (to == MAP_FAILED)
		return NULL;
	if (mremap(heap->home, heap->len, heap->len, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
		MAP_FAILED)
		return NULL;
	return map_like(heap, heap->home, true) ? to : NULL;
}

unsigned char *heap_move(const struct heap *heap, enum way way)
{
	switch (way) {
	case WAY_NATIVE:
		return move_native(heap);
	case WAY_FIRST:
		heap_forget();
		heap_is_born(heap);
		return move_emulated(heap);
	case WAY_EMULATED:
		return move_emulated(heap);
	case WAY_COPYING:
		return move_by_copying(heap);
	default:
		return move_by_unmapping(heap);
	}
}

uint64_t heap_touch(const struct heap *heap, const unsigned char *at)
{
	const size_t stride = heap->kind->step * PAGE;
	uint64_t sum = 0;

	for (size_t offset = 0; offset < heap->len; offset += stride)
		sum += *(const volatile uint64_t *)(at + offset);
	return sum;
}

/* A benchmark of something that does not work is worth nothing. */
static void check(const struct heap *heap, enum way way, const unsigned char *at)
{
	const size_t pages = heap->len / PAGE,
		     last = (pages - 1) / heap->kind->step * heap->kind->step;
	const size_t looks[] = {0, last};

	for (int i = 0; i < 2; i++) {
		const size_t page = looks[i];
		uint64_t there = *(const volatile uint64_t *)(at + page * PAGE);
		uint64_t here = *(const volatile uint64_t *)(heap->home + page * PAGE);

		if (there != mark(page) || here != (heap->kind->shared ? mark(page) : 0))
			die("%s: page %zu of %zu is wrong after the move", way_names[way], page,
				pages);
	}
}

/* Whether the heap's first and last page have page table entries. */
static bool has_page_tables(const struct heap *heap)
{
	const size_t last = (heap->len / PAGE - 1) / heap->kind->step * heap->kind->step;
	const size_t pages[] = {0, last};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool all = fd >= 0;

	for (int i = 0; all && i < 2; i++) {
		off_t at = (off_t)(((uintptr_t)heap->home / PAGE + pages[i]) * sizeof(uint64_t));
		uint64_t entry;

		all = pread(fd, &entry, sizeof(entry), at) == sizeof(entry) && entry >> 63;
	}
	if (fd >= 0)
		close(fd);
	return all;
}

void heap_return(const struct heap *heap, enum way way, unsigned char *at)
{
	const bool other_object = way == WAY_COPYING && heap->kind->shared;
	const bool too_full = way == WAY_COPYING && heap->kind->step > 1;

	check(heap, way, at);
	if (other_object || too_full) {
		munmap(at, heap->len);
		if (too_full && !map_like(heap, heap->home, true))
			die("the heap can not be mapped again: %s", strerror(errno));
	} else if (mremap(at, heap->len, heap->len, MREMAP_MAYMOVE | MREMAP_FIXED, heap->home) ==
		   MAP_FAILED) {
		die("the heap can not be moved back: %s", strerror(errno));
	}
	if (heap->away &&
		mmap(heap->away, heap->len, PROT_NONE, RESERVED | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("the reservation can not be made again: %s", strerror(errno));
	if (other_object || too_full || (heap->kind->shared && !has_page_tables(heap)))
		populate(heap, heap->home);
}

size_t heap_needs(const struct kind *kind, size_t len, bool copied)
{
	/*
	 * Page tables: both places have their own, a five-hundredth each. Reading the holes of a
	 * memfd fills them.
	 */
	const size_t tables = len / 256, heap = kind->zero		 ? 0
						: kind->shared && copied ? len
									 : len / kind->step;

	return heap + tables + (copied ? len : 0);
}

bool heap_has_native(const struct kind *kind)
{
	struct heap heap = {.kind = kind, .len = PAGE, .fd = -1};
	unsigned char *at;

	if (kind->shared) {
		heap.fd = (int)syscall(SYS_memfd_create, "remap-bench", 1U);
		if (heap.fd < 0 || ftruncate(heap.fd, PAGE))
			die("memfd: %s", strerror(errno));
	}
	heap.home = map_like(&heap, NULL, true);
	if (!heap.home)
		die("not one page of memory: %s", strerror(errno));
	*heap.home = 1;
	at = move_native(&heap);
	if (at)
		munmap(at, PAGE);
	munmap(heap.home, PAGE);
	if (heap.fd >= 0)
		close(heap.fd);
	return at;
}
