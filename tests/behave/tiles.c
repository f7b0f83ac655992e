/* SPDX-License-Identifier: MIT */
/*
 * Memory in small pieces that lie side by side and move again and again, whole and in part, onto
 * each other's old places: what is touched, moved and left behind merges in every way there is, and
 * no page is lost or shows another one's content. Sequences are drawn at random from seeds; an
 * array is what each page must be. What mappings look like afterwards: parts.c, and tests/oracle.
 */
#include "tests/behave/behave.h"

#include <pthread.h>

#define TILES	     40
#define MOST	     8	/* that move at once */
#define FIRST	     30 /* that the first two mappings have at most */
#define OPS	     40
#define FILE_PAGES   64
#define HOLE	     (-1)
#define AWAY	     ((char *)0x310000000000) /* where nothing is that could be merged with */
#define SEEDS	     400
#define SEEDS_BESIDE 100

enum kind { ANONYMOUS, SHARED, SHARED_OBJECT, FILE_COPY, KINDS };

/* Pages that can be told apart: what each shows, in all places where it is. */
struct page {
	enum kind kind;
	char shown;
	char untouched; /* what one like it shows that nobody has written to */
};

static char *board;
static int tiles[TILES]; /* an index into pages, or HOLE */
static struct page pages[OPS * FIRST * 2 + FILE_PAGES];
static int npages;
static enum kind kinds;		   /* of what is mapped: those below */
static int object = -1, file = -1; /* memfds; page i of the object is pages[i] */
static int next_byte;
static uint64_t state_of_rng;

/* Knuth's MMIX generator: any that is the same everywhere will do. */
static int draw(int below)
{
	state_of_rng = state_of_rng * 6364136223846793005u + 1442695040888963407u;
	return (int)((state_of_rng >> 33) % (unsigned int)below);
}

static char *tile(int at)
{
	return board + (size_t)at * PAGE;
}

static int new_page(enum kind kind, char untouched)
{
	check(npages < (int)(sizeof(pages) / sizeof(pages[0])));
	pages[npages] = (struct page){kind, untouched, untouched};
	return npages++;
}

/* What DONTUNMAP leaves of a page. */
static int left_of(int page)
{
	return pages[page].kind == ANONYMOUS || pages[page].kind == FILE_COPY
		       ? new_page(pages[page].kind, pages[page].untouched)
		       : page;
}

static char file_byte(int page)
{
	return (char)(127 - page);
}

static void map(int at, int count)
{
	const enum kind kind = (enum kind)draw(kinds);
	const bool of_object = kind == SHARED_OBJECT, of_file = kind == FILE_COPY;
	const int first = draw(FILE_PAGES - FIRST);
	const int flags = kind == SHARED ? MAP_SHARED | MAP_ANONYMOUS
			  : of_object	 ? MAP_SHARED
			  : of_file	 ? MAP_PRIVATE
					 : ANON;
	void *p = mmap(tile(at), (size_t)count * PAGE, RW, flags | MAP_FIXED,
		of_object ? object
		: of_file ? file
			  : -1,
		of_object || of_file ? (off_t)first * (off_t)PAGE : 0);

	check(p == tile(at));
	for (int i = 0; i < count; i++)
		tiles[at + i] = of_object ? first + i
					  : new_page(kind, of_file ? file_byte(first + i) : 0);
}

static void unmap(int at, int count)
{
	check(!munmap(tile(at), (size_t)count * PAGE));
	for (int i = at; i < at + count; i++)
		tiles[i] = HOLE;
}

static void touch(int at, int count)
{
	for (int i = at; i < at + count; i++) {
		if (tiles[i] == HOLE)
			continue;
		next_byte = next_byte % 60 + 1; /* no byte of the file */
		pages[tiles[i]].shown = *tile(i) = (char)next_byte;
	}
}

static bool all_mapped(int at, int count)
{
	for (int i = at; i < at + count; i++)
		if (tiles[i] == HOLE)
			return false;
	return true;
}

static void has_moved(int from, int count, int to, bool keep)
{
	for (int i = 0; i < count; i++) {
		const int page = tiles[from + i];

		tiles[to + i] = page;
		tiles[from + i] = keep ? left_of(page) : HOLE;
	}
}

/*
 * False: several mappings, as an ordinary move before 6.17 or to anywhere refuses them; the
 * destination may be gone.
 */
static bool move(int from, int count, int to, bool keep)
{
	const size_t len = (size_t)count * PAGE;
	const int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (keep ? MREMAP_DONTUNMAP : 0);
	void *new = mremap(tile(from), len, len, flags, tile(to));

	if (new == MAP_FAILED && errno == EFAULT && !keep)
		return false;
	check_is(new == MAP_FAILED ? errno : 0, 0);
	check(new == tile(to));
	has_moved(from, count, to, keep);
	return true;
}

/* To where the kernel wants, and from there to its place. */
static bool move_by_way(int from, int count, int to)
{
	const size_t len = (size_t)count * PAGE;
	char *away = mremap(tile(from), len, len, ANYWHERE, AWAY);

	if (away == MAP_FAILED && errno == EFAULT)
		return false;
	check(away != MAP_FAILED);
	check(mremap(away, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, tile(to)) == tile(to));
	has_moved(from, count, to, true);
	return true;
}

/* Less arrives than leaves. */
static bool cut(int from, int count, int to, int rest)
{
	void *new = mremap(tile(from), (size_t)count * PAGE, (size_t)rest * PAGE,
		MREMAP_MAYMOVE | MREMAP_FIXED, tile(to));

	if (new == MAP_FAILED && errno == EFAULT)
		return false;
	check(new == tile(to));
	has_moved(from, rest, to, false);
	for (int i = from; i < from + count; i++)
		tiles[i] = HOLE;
	return true;
}

/*
 * Untouched pages of anonymous memory are looked at only if all is: that touches them. What is in
 * the page cache counts as there.
 */
static bool is_right(bool all)
{
	for (int i = 0; i < TILES; i++) {
		unsigned char there = 0;
		const bool mapped = !mincore(tile(i), PAGE, &there);

		if (mapped != (tiles[i] != HOLE))
			return false;
		if (mapped && (all || (there & 1)) &&
			*(volatile char *)tile(i) != pages[tiles[i]].shown)
			return false;
	}
	return true;
}

/* One operation; false if the rest of the sequence makes no sense any more. */
static bool operate(int nth)
{
	const int what = nth < 2 ? 0 : draw(14), at = draw(TILES);
	int count = 1 + draw(nth < 2 ? FIRST : MOST), to;

	if (at + count > TILES)
		count = TILES - at;
	if (what < 2) {
		map(at, count);
	} else if (what < 4) {
		touch(at, count);
	} else if (what == 4) {
		if (draw(2))
			unmap(at, count);
	} else {
		to = draw(3) ? draw(TILES) : draw(2) ? at + count : at - count;
		if (to < 0 || to + count > TILES || (to < at + count && at < to + count) ||
			!all_mapped(at, count))
			return true;
		return what == 5   ? move_by_way(at, count, to)
		       : what == 6 ? cut(at, count, to, 1 + draw(count))
				   : move(at, count, to, draw(3));
	}
	return true;
}

/* Whether it came to its end. */
static bool play(uint64_t seed)
{
	const size_t margin = PAGE, size = TILES * PAGE + 2 * margin;
	char *area = mmap(NULL, size, PROT_NONE, ANON, -1, 0);
	bool right = true, goes_on = true;

	check(area != MAP_FAILED);
	board = area + margin;
	check(!munmap(area, size));
	for (int i = 0; i < TILES; i++)
		tiles[i] = HOLE;
	check(!ftruncate(object, 0) && !ftruncate(object, FILE_PAGES * (off_t)PAGE));
	npages = 0;
	for (int i = 0; i < FILE_PAGES; i++)
		new_page(SHARED_OBJECT, 0);
	next_byte = 0;
	state_of_rng = seed;
	for (int i = 0; i < OPS && right && goes_on; i++) {
		goes_on = operate(i);
		right = !goes_on || is_right(i + 1 == OPS);
	}
	if (!right)
		print_message("# seed %lu\n", (unsigned long)seed);
	check(right);
	check(!munmap(board, TILES * PAGE));
	return goes_on;
}

static void play_all(uint64_t from, int count)
{
	int ended = 0;

	object = memfd_create("object", MFD_CLOEXEC);
	file = memfd_create("file", MFD_CLOEXEC);
	check(object >= 0 && file >= 0);
	for (int i = 0; i < FILE_PAGES; i++) {
		const char byte = file_byte(i);

		check_is(pwrite(file, &byte, 1, i * (off_t)PAGE), 1);
	}
	check(!ftruncate(file, FILE_PAGES * (off_t)PAGE));
	for (int i = 0; i < count; i++)
		ended += play(from + (uint64_t)i);
	check(ended > count / 5);
	close(object);
	close(file);
}

static void anonymous(void **state)
{
	(void)state;
	kinds = ANONYMOUS + 1;
	play_all(1, SEEDS);
}

static void all_kinds(void **state)
{
	(void)state;
	kinds = KINDS;
	play_all(1, SEEDS);
}

static void *wait_for_end(void *end)
{
	pthread_mutex_lock(end);
	return NULL;
}

static void beside_a_thread(void **state)
{
	pthread_mutex_t end = PTHREAD_MUTEX_INITIALIZER;
	pthread_t other;

	(void)state;
	pthread_mutex_lock(&end);
	check(!pthread_create(&other, NULL, wait_for_end, &end));
	kinds = KINDS;
	play_all(SEEDS + 1, SEEDS_BESIDE);
	pthread_mutex_unlock(&end);
	check(!pthread_join(other, NULL));
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		CASE(anonymous, "pieces-of-anonymous-memory-that-move-keep-every-page"),
		CASE(all_kinds, "pieces-of-all-kinds-that-move-keep-every-page"),
		CASE(beside_a_thread, "pieces-that-move-beside-a-thread-keep-every-page"),
	};

	return BEHAVE_RUN(cases);
}
