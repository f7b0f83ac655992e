/* SPDX-License-Identifier: MIT */
/*
 * mremap of ranges that earlier moves have left in pieces, or have merged, where 6.18 would not
 * (emul/scars.c). One line of what happened for each case, free of addresses; pieces.t compares
 * those of the native kernel with the emulation's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define PAGE  4096UL
#define PAGES 8
#define LEN   (PAGES * PAGE)
#define RW    (PROT_READ | PROT_WRITE)
#define ANON  (MAP_PRIVATE | MAP_ANONYMOUS)
#define MOVE  (MREMAP_MAYMOVE | MREMAP_FIXED)
#define LEAVE (MREMAP_MAYMOVE | MREMAP_DONTUNMAP)

static char *arena, *home, *other, *aside, *heap;
/* something lies where the heap came from that the library leaves alone; -1: nothing does */
static int file = -1;

/* What is at p, a letter a page: its own, '.' for zeros. */
static void show(const char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		putchar(p[i * PAGE] ? p[i * PAGE] : '.');
}

/* The outcome of an mremap and what is in the new range. */
static char *report(void *r, size_t pages)
{
	if (r == MAP_FAILED) {
		printf(" %s", errno == EFAULT	? "EFAULT"
			      : errno == ENOMEM ? "ENOMEM"
						: "another errno");
		return NULL;
	}
	putchar(' ');
	show(r, pages);
	return r;
}

/* How many pages of the heap are in each mapping. */
static void show_mappings(void)
{
	const unsigned long from = (unsigned long)heap, to = from + LEN;
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && end > from && start < to)
			printf(" %lu",
				((end < to ? end : to) - (start > from ? start : from)) / PAGE);
	if (maps)
		fclose(maps);
}

/*
 * A heap that was moved once, with a letter in each page; its first three pages are moved on and
 * leave it.
 */
static void make(void)
{
	arena = mmap(NULL, 64 * LEN, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	home = arena + 2 * LEN;
	other = arena + 8 * LEN;
	aside = arena + 16 * LEN;
	munmap(arena, 64 * LEN);
	mmap(home, LEN, RW, ANON | MAP_FIXED, -1, 0);
	for (size_t i = 0; i < PAGES; i++)
		home[i * PAGE] = (char)('a' + i);
	heap = mremap(home, LEN, LEN, MOVE, other);
	if (file >= 0)
		mmap(home - PAGE, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0);
}

static void leave_first(size_t pages)
{
	report(mremap(heap, pages * PAGE, pages * PAGE, LEAVE | MREMAP_FIXED, aside), pages);
}

static void c_anywhere(void)
{
	report(mremap(heap, LEN, LEN, LEAVE, NULL), PAGES);
	show(heap, PAGES);
}
static void c_hint(void)
{
	report(mremap(heap, LEN, LEN, LEAVE, arena + 32 * LEN), PAGES);
}
static void c_fixed(void)
{
	heap = report(mremap(heap, LEN, LEN, LEAVE | MREMAP_FIXED, arena + 32 * LEN), PAGES);
	report(mremap(heap, LEN, 2 * LEN, MREMAP_MAYMOVE),
		PAGES); /* where they are now they are one, too */
}
static void c_part(void)
{
	report(mremap(heap + PAGE, 4 * PAGE, 4 * PAGE, LEAVE, NULL), 4);
	show(heap, PAGES);
}
static void c_grow(void)
{
	report(mremap(heap, LEN, LEN + PAGE, 0), PAGES + 1);
}
static void c_grow_no_room(void)
{
	mmap(heap + LEN, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
	report(mremap(heap, LEN, LEN + PAGE, 0), PAGES + 1);
	heap = report(mremap(heap, LEN, LEN + PAGE, MREMAP_MAYMOVE), PAGES + 1);
	report(mremap(heap, LEN + PAGE, LEN, MREMAP_MAYMOVE), PAGES);
}
static void c_grow_fixed(void)
{
	report(mremap(heap, LEN, LEN + 2 * PAGE, MOVE, arena + 32 * LEN), PAGES + 2);
}
static void c_shrink_fixed(void)
{
	report(mremap(heap, LEN, LEN - PAGE, MOVE, arena + 32 * LEN), PAGES - 1);
	printf(" %s", msync(heap, LEN, MS_ASYNC) ? "gone" : "there");
}
/*
 * old_size reaches over whatever lies behind; all of that goes, and only what is kept has to be one
 * mapping.
 */
static void c_shrink_far(void)
{
	mmap(heap + LEN + PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
	mmap(heap + 3 * LEN, LEN, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	report(mremap(heap, 3 * LEN + PAGE, LEN - PAGE, MOVE, arena + 32 * LEN), PAGES - 1);
	printf(" %s", msync(heap + LEN + PAGE, PAGE, MS_ASYNC) ? "gone" : "there");
	printf(" %s", msync(heap + 3 * LEN, PAGE, MS_ASYNC) ? "gone" : "there");
	printf(" %s", msync(heap + 3 * LEN + PAGE, PAGE, MS_ASYNC) ? "gone" : "there");
	report(mremap(arena + 32 * LEN, LEN, 5 * PAGE, MOVE, heap), 5);
}
static void c_move(void)
{
	heap = report(mremap(heap, LEN, LEN, MOVE, arena + 32 * LEN), PAGES);
	c_grow();
}
static void c_shrink(void)
{
	report(mremap(heap, LEN, 2 * PAGE, 0), 2);
}
static void c_protected(void)
{
	mprotect(heap, PAGE, PROT_READ);
	report(mremap(heap, LEN, LEN + PAGE, 0), PAGES);
	mprotect(heap, PAGE, RW);
	report(mremap(heap, LEN, LEN + PAGE, 0), PAGES);
}
static void c_advised(void)
{
	madvise(heap, 2 * PAGE, MADV_DONTFORK);
	report(mremap(heap, LEN, LEN + PAGE, 0), PAGES);
	madvise(heap, 2 * PAGE, MADV_DOFORK);
	report(mremap(heap, LEN, LEN + PAGE, 0), PAGES);
}
static void c_mapped_anew(void) /* by the program: then it is two mappings to every kernel */
{
	mmap(heap, 3 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
	heap[0] = 'X';
	report(mremap(heap, LEN, LEN + PAGE, MREMAP_MAYMOVE), PAGES);
	report(mremap(heap, LEN, LEN, LEAVE, NULL), PAGES);
}
static void c_unmapped(void)
{
	munmap(heap, PAGE);
	report(mremap(heap + PAGE, LEN - PAGE, LEN, MREMAP_MAYMOVE), PAGES - 1);
}
static void c_again(void)
{
	heap[0] = 'X';
	leave_first(2);
	leave_first(5);
	report(mremap(heap, LEN, LEN, LEAVE, NULL), PAGES);
}
static void c_middle(void)
{
	report(mremap(heap + 4 * PAGE, 2 * PAGE, 2 * PAGE, LEAVE, NULL), 2);
	report(mremap(heap, LEN, LEN, LEAVE, NULL), PAGES);
}
static void c_beside(void) /* onto the next page of the same mapping */
{
	report(mremap(heap + 4 * PAGE, PAGE, PAGE, LEAVE | MREMAP_FIXED, heap + 5 * PAGE), 1);
	report(mremap(heap + 4 * PAGE, 2 * PAGE, 2 * PAGE, LEAVE, NULL), 2);
}
static void c_child(void)
{
	int status;

	fflush(stdout);
	if (!fork()) {
		report(mremap(heap, LEN, LEN + PAGE, 0), PAGES);
		fflush(stdout);
		_exit(0);
	}
	wait(&status);
}
static void c_inherited(void) /* nothing moved, but by fork it is not what it was */
{
	int status;

	heap = mmap(arena + 40 * LEN, LEN, RW, ANON | MAP_FIXED, -1, 0);
	memset(heap, 'p', LEN);
	fflush(stdout);
	if (!fork()) {
		heap[PAGE] = 'c';
		leave_first(3);
		report(mremap(heap, LEN, LEN, LEAVE, NULL), PAGES);
		fflush(stdout);
		_exit(0);
	}
	wait(&status);
}

/*
 * nothing is left in pieces; a range may go on behind its last mapping, also behind what was moved
 * before
 */
static void c_gaps(void)
{
	heap = mmap(arena + 40 * LEN, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
	heap[0] = 'a';
	heap[PAGE] = 'b';
	report(mremap(heap + PAGE, 2 * PAGE, 2 * PAGE, MOVE, arena + 48 * LEN), 1);
	report(mremap(heap, 2 * PAGE, 2 * PAGE, MOVE, arena + 50 * LEN), 1);
}

/* A locked mapping beside one that is like it but for the lock. */
static void locked(int flags, int prot)
{
	heap = mmap(arena + 40 * LEN, LEN, prot, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mlock(heap, 4 * PAGE);
	report(mremap(heap, 4 * PAGE, 4 * PAGE, LEAVE | MREMAP_FIXED, aside), prot ? 4 : 0);
}
static void c_locked(void)
{
	locked(MAP_PRIVATE, RW);
	report(mremap(heap, LEN, LEN + PAGE, 0), PAGES);
}
static void c_locked_none(void)
{
	locked(MAP_PRIVATE, PROT_NONE);
	report(mremap(heap, LEN, LEN + PAGE, 0), 0);
}
static void c_locked_shared(void)
{
	locked(MAP_SHARED, RW);
	report(mremap(heap, LEN, LEN, LEAVE, NULL), PAGES);
}
static void c_locked_advised(void)
{
	locked(MAP_SHARED, RW);
	madvise(heap, LEN, MADV_DONTFORK); /* now the kernel merges them */
	report(mremap(heap, LEN, LEN, LEAVE, NULL), PAGES);
}

/* the second time it is not locked any more, and merges no more than the first time */
static void c_locked_twice(void)
{
	locked(MAP_PRIVATE, RW);
	report(mremap(heap, 4 * PAGE, 4 * PAGE, LEAVE | MREMAP_FIXED, aside), 4);
	report(mremap(heap, LEN, LEN + PAGE, 0), PAGES);
	report(mremap(heap, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE), 5);
}
static void c_locked_protected(void) /* by which the kernel merges what it did not before */
{
	locked(MAP_PRIVATE, PROT_READ);
	report(mremap(heap, LEN, LEN + PAGE, 0), PAGES);
	mprotect(heap, LEN, RW);
	report(mremap(heap, LEN, LEN + PAGE, 0), PAGES);
}
static void c_locked_moved(void) /* both, one after the other: that merges them, too */
{
	locked(MAP_PRIVATE, RW);
	report(mremap(heap, LEN, LEN, MOVE, arena + 48 * LEN), PAGES);
	report(mremap(arena + 48 * LEN, LEN, LEN, LEAVE, NULL), PAGES);
}
static void c_locked_left(void) /* the same, both staying where they are */
{
	locked(MAP_PRIVATE, RW);
	report(mremap(heap, LEN, LEN, LEAVE | MREMAP_FIXED, arena + 48 * LEN), PAGES);
	report(mremap(arena + 48 * LEN, LEN, LEN, LEAVE, NULL), PAGES);
	report(mremap(heap, LEN, LEN, LEAVE, NULL), PAGES);
}
static void c_locked_next(
	void) /* then the head of what lies beside it, which stays one with its rest only */
{
	locked(MAP_PRIVATE, RW);
	report(mremap(heap + 4 * PAGE, PAGE, PAGE, LEAVE | MREMAP_FIXED, aside), 1);
	show_mappings();
	report(mremap(heap + 4 * PAGE, 4 * PAGE, 4 * PAGE, LEAVE, NULL), 4);
}
static void c_locked_range(void) /* both by one call */
{
	heap = mmap(arena + 40 * LEN, LEN, RW, ANON | MAP_FIXED, -1, 0);
	heap[5 * PAGE] = 'a';
	madvise(heap, LEN, MADV_RANDOM);
	mlock(heap, 4 * PAGE);
	report(mremap(heap, 5 * PAGE, 5 * PAGE, LEAVE | MREMAP_FIXED, aside), 5);
	show_mappings();
	report(mremap(heap + 4 * PAGE, 4 * PAGE, 4 * PAGE, LEAVE, NULL), 4);
}
static void c_side_by_side(void) /* two that do not merge because either was touched alone */
{
	heap = mmap(arena + 40 * LEN, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	heap[0] = 'l';
	mmap(heap + 2 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	heap[2 * PAGE] = 'r';
	mmap(heap + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	report(mremap(heap, 3 * PAGE, 3 * PAGE, LEAVE, NULL), 3);
	report(mremap(heap, 2 * PAGE, 2 * PAGE, LEAVE, NULL), 2);
	report(mremap(heap + 2 * PAGE, PAGE, PAGE, LEAVE, NULL), 1);
	report(mremap(heap, 3 * PAGE, 3 * PAGE, LEAVE, NULL), 3);
}
/* What comes to lie beside a mapping after it has moved, and come back, more than once. */
static void c_comes_beside(void)
{
	char *next;

	heap = arena + 40 * LEN;
	next = mmap(heap + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	next[0] = 'n';
	report(mremap(next, PAGE, PAGE, MOVE, arena + 50 * LEN), 1);
	mmap(heap, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	for (int i = 0; i < 3; i++) {
		heap[0] = (char)('a' + i);
		report(mremap(heap, PAGE, PAGE, LEAVE | MREMAP_FIXED, aside), 1);
	}
	heap[0] = 'x';
	report(mremap(arena + 50 * LEN, PAGE, PAGE, MOVE, next), 1);
	report(mremap(heap, PAGE, PAGE, LEAVE | MREMAP_FIXED, aside), 1);
	report(mremap(heap, 2 * PAGE, 2 * PAGE, LEAVE, NULL), 2);
}

/*
 * One that is left empty beside two that had moved along with it and are unlike it, until they are
 * alike.
 */
static void stray(bool by_advice, bool touched)
{
	heap = mmap(arena + 40 * LEN, LEN, RW, ANON | MAP_FIXED, -1, 0);
	for (size_t i = 0; i < PAGES; i++)
		heap[i * PAGE] = (char)('a' + i);
	if (by_advice)
		madvise(heap + 4 * PAGE, PAGE, MADV_RANDOM);
	else
		mprotect(heap + 4 * PAGE, PAGE, RW | PROT_EXEC);
	heap = mremap(heap, LEN, LEN, MOVE, arena + 48 * LEN);
	report(mremap(heap + 4 * PAGE, PAGE, PAGE, LEAVE | MREMAP_FIXED, aside), 1);
	if (touched)
		heap[4 * PAGE] = 'X';
	if (by_advice)
		madvise(heap, LEN, MADV_NORMAL);
	else
		mprotect(heap, LEN, RW);
}
static void c_stray(void) /* then it is one with them */
{
	stray(true, false);
	heap = report(mremap(heap, LEN, LEN + PAGE, MOVE, arena + 32 * LEN), PAGES + 1);
}
static void c_stray_touched(void) /* but not if it has been touched before */
{
	stray(true, true);
	report(mremap(heap, LEN, LEN + PAGE, MOVE, arena + 32 * LEN), PAGES + 1);
	report(mremap(heap + 4 * PAGE, 2 * PAGE, 2 * PAGE, LEAVE, NULL), 2);
	report(mremap(heap, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE, NULL), 5);
}
static void c_stray_protected(void) /* unless they were alike in all but protection then */
{
	stray(false, true);
	report(mremap(heap, LEN, LEN + PAGE, MOVE, arena + 32 * LEN), PAGES + 1);
}
static void c_stray_again(void) /* left once more it is as new */
{
	stray(true, true);
	report(mremap(heap + 4 * PAGE, PAGE, PAGE, LEAVE | MREMAP_FIXED, aside), 1);
	madvise(heap, LEN, MADV_RANDOM);
	report(mremap(heap, LEN, LEN + PAGE, MOVE, arena + 32 * LEN), PAGES + 1);
}

static const struct {
	const char *name;
	void (*run)(void);
	size_t first; /* pages that are moved on before */
} cases[] = {
	{"anywhere", c_anywhere, 3},
	{"hint", c_hint, 3},
	{"fixed", c_fixed, 3},
	{"part", c_part, 3},
	{"grow", c_grow, 3},
	{"grow-no-room", c_grow_no_room, 3},
	{"grow-fixed", c_grow_fixed, 3},
	{"shrink-fixed", c_shrink_fixed, 3},
	{"shrink-far", c_shrink_far, 3},
	{"move", c_move, 3},
	{"shrink", c_shrink, 3},
	{"protected", c_protected, 3},
	{"advised", c_advised, 3},
	{"mapped-anew", c_mapped_anew, 3},
	{"unmapped", c_unmapped, 3},
	{"again", c_again, 3},
	{"middle", c_middle, 3},
	{"beside", c_beside, 3},
	{"child", c_child, 3},
	{"inherited", c_inherited, 0},
	{"gaps", c_gaps, 0},
	{"locked", c_locked, 0},
	{"locked-twice", c_locked_twice, 0},
	{"locked-protected", c_locked_protected, 0},
	{"locked-moved", c_locked_moved, 0},
	{"locked-left", c_locked_left, 0},
	{"locked-next", c_locked_next, 0},
	{"locked-range", c_locked_range, 0},
	{"side-by-side", c_side_by_side, 0},
	{"comes-beside", c_comes_beside, 0},
	{"stray", c_stray, 0},
	{"stray-touched", c_stray_touched, 0},
	{"stray-protected", c_stray_protected, 0},
	{"stray-again", c_stray_again, 0},
	{"locked-none", c_locked_none, 0},
	{"locked-shared", c_locked_shared, 0},
	{"locked-advised", c_locked_advised, 0},
};

int main(int argc, char **argv)
{
	int status, failed = 0;

	if (argc > 1)
		file = open(argv[1], O_RDONLY);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fflush(stdout);
		if (!fork()) {
			printf("%s:", cases[i].name);
			make();
			if (cases[i].first)
				leave_first(cases[i].first);
			cases[i].run();
			putchar('\n');
			fflush(stdout);
			_exit(0);
		}
		if (wait(&status) < 0 || status) {
			printf("%s: died\n", cases[i].name);
			failed = 1;
		}
	}
	return failed;
}
