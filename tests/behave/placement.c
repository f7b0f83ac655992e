/* SPDX-License-Identifier: MIT */
/*
 * Where MREMAP_DONTUNMAP moves to: hints, MREMAP_FIXED onto what is there already, several sources
 * at once. Rules: semantics.md 1.3, 2.1, 5. The move of several mappings in one call is 6.17's.
 */
#include "tests/behave/behave.h"

static struct arena a;

static void make(size_t pages)
{
	arena_make_filled(&a, pages, RW, ANON);
}

static void check_moved(const char *new)
{
	check(filled(new, a.len, 1));
	check(zeroed(a.source, a.len));
}

static void hint_free(void **state)
{
	(void)state;
	make(8);
	check(!munmap(a.target, a.len));
	check(moved(a.source, a.len, ANYWHERE, a.target) == a.target);
	check_moved(a.target);
	arena_end(&a);
}

static void hint_occupied(void **state)
{
	char *new;

	(void)state;
	make(8);
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	fill(a.target, a.len, 2);
	new = moved(a.source, a.len, ANYWHERE, a.target);
	check(new + a.len <= a.target || new >= a.target + a.len);
	check_moved(new);
	check(filled(a.target, a.len, 2));
	check(!munmap(new, a.len));
	arena_end(&a);
}

/* One page of the hinted place is taken: somewhere else, whole. */
static void hint_occupied_in_part(void **state)
{
	char *new;

	(void)state;
	make(8);
	check(!munmap(a.target, a.len - PAGE));
	new = moved(a.source, a.len, ANYWHERE, a.target);
	check(new + a.len <= a.target || new >= a.target + a.len);
	check_moved(new);
	check(!munmap(new, a.len));
	arena_end(&a);
}

/* Shared memory goes another way in the library, so its hints are cases of their own. */
static void hint_shared(void **state)
{
	char *new;

	(void)state;
	arena_make_filled(&a, 8, RW, MAP_SHARED | MAP_ANONYMOUS);
	new = moved(a.source, a.len, ANYWHERE, a.target);
	check(new + a.len <= a.target || new >= a.target + a.len);
	check(filled(new, a.len, 1));
	check(!munmap(new, a.len));
	check(!munmap(a.target, a.len));
	check(moved(a.source, a.len, ANYWHERE, a.target) == a.target);
	check(filled(a.target, a.len, 1));
	arena_end(&a);
}

static void hint_unusable(void **state)
{
	(void)state;
	make(8);
	refused(a.source, a.len, a.len, ANYWHERE, a.target + 1, EINVAL);
	refused(a.source, a.len, a.len, ANYWHERE, a.target + PAGE / 2, EINVAL);
	refused(a.source, a.len, a.len, ANYWHERE, (void *)-PAGE, EINVAL);
	refused(a.source, a.len, a.len, ANYWHERE, (void *)(1ul << 63), EINVAL);
	refused(a.source, a.len, a.len, ANYWHERE, a.source, EINVAL);
	refused(a.source, a.len, a.len, ANYWHERE, a.source + a.len - PAGE, EINVAL);
	refused(a.source, a.len, a.len, ANYWHERE, a.source - a.len + PAGE, EINVAL);
	check(filled(a.source, a.len, 1));
	arena_end(&a);
}

static void fixed_hole(void **state)
{
	(void)state;
	make(8);
	check(!munmap(a.target, a.len));
	moved(a.source, a.len, ONTO, a.target);
	check_moved(a.target);
	arena_end(&a);
}

/*
 * The destination lies in the very hole that the kernel would give to anybody who asked for room
 * now, so to the library for what it maps meanwhile. All higher holes are filled; wider: how many
 * pages the hole has on either side.
 */
static void next_hole(int flags, size_t wider)
{
	static char *crowd[2000];
	const size_t ask = (wider ? 8 + wider : 8) * PAGE;
	char *begin, *end, *p = NULL;
	int n = 0;

	arena_make_filled(&a, 8, RW, flags);
	/* its neighbours are not looked at here: with a wider hole they are not there */
	begin = a.target - wider * PAGE;
	end = a.target + a.len + wider * PAGE;
	check(!munmap(begin, (size_t)(end - begin)));
	while (n < 2000) {
		p = mmap(NULL, ask, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED || (p >= begin && p < end))
			break;
		crowd[n++] = p;
	}
	check(p >= begin && p < end);
	check(!munmap(p, ask));
	moved(a.source, a.len, ONTO, a.target);
	check(filled(a.target, a.len, 1));
	check(flags & MAP_SHARED ? filled(a.source, a.len, 1) : zeroed(a.source, a.len));
	check_is(vma_count(begin, (size_t)(end - begin)), 1);
	while (n--)
		check(!munmap(crowd[n], ask));
	check(!munmap(a.base, a.size));
}

static void next_hole_private(void **state)
{
	(void)state;
	next_hole(ANON, 0);
	next_hole(ANON, 1);
	next_hole(ANON, 2);
	next_hole(ANON, 32);
}

static void next_hole_shared(void **state)
{
	(void)state;
	next_hole(MAP_SHARED | MAP_ANONYMOUS, 0);
	next_hole(MAP_SHARED | MAP_ANONYMOUS, 1);
	next_hole(MAP_SHARED | MAP_ANONYMOUS, 2);
	next_hole(MAP_SHARED | MAP_ANONYMOUS, 32);
}

/* Onto three mappings of other sorts, the last of which goes on behind the destination. */
static void fixed_onto_mappings(void **state)
{
	char *rest, *copy = malloc(PAGE);

	(void)state;
	make(8);
	check(mmap(a.target, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	fill(a.target, 2 * PAGE, 2);
	rest = mmap(
		a.target + 5 * PAGE, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	check(copy && rest != MAP_FAILED);
	fill(rest, 4 * PAGE, 3);
	memcpy(copy, rest + 3 * PAGE, PAGE);
	moved(a.source, a.len, ONTO, a.target);
	check_moved(a.target);
	check(!memcmp(rest + 3 * PAGE, copy, PAGE));
	fill(rest + 3 * PAGE, PAGE, 903); /* where arena_end() looks for it */
	free(copy);
	arena_end(&a);
}

/* The destination lies inside a larger mapping, of which both ends stay. */
static void fixed_inside(void **state)
{
	char *large;

	(void)state;
	make(4);
	large = mmap(NULL, 16 * PAGE, RW, ANON, -1, 0);
	check(large != MAP_FAILED);
	for (unsigned int i = 0; i < 16; i++)
		fill(large + i * PAGE, PAGE, 20 + i);
	moved(a.source, a.len, ONTO, large + 6 * PAGE);
	check_moved(large + 6 * PAGE);
	for (unsigned int i = 0; i < 16; i++)
		check((i >= 6 && i < 10) || filled(large + i * PAGE, PAGE, 20 + i));
	check(!munmap(large, 16 * PAGE));
	arena_end(&a);
}

/* Both in one mapping: from one part of it onto another one. */
static void fixed_within_the_source(void **state)
{
	(void)state;
	make(12);
	moved(a.source + 2 * PAGE, 2 * PAGE, ONTO, a.source + 7 * PAGE);
	check(zeroed(a.source + 2 * PAGE, 2 * PAGE));
	check(filled(a.source, 2 * PAGE, 1));
	check(!memcmp(memcpy(a.source + 2 * PAGE, a.source + 7 * PAGE, 2 * PAGE),
		a.source + 7 * PAGE, 2 * PAGE));
	check(filled(a.source, 7 * PAGE, 1));
	arena_end(&a);
}

/* Just behind and just before the source: nothing overlaps. */
static void adjacent(void **state)
{
	(void)state;
	make(12);
	check(mmap(a.source, a.len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.source);
	check(mmap(a.source + 4 * PAGE, 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0) != MAP_FAILED);
	fill(a.source + 4 * PAGE, 4 * PAGE, 2);
	moved(a.source + 4 * PAGE, 4 * PAGE, ONTO, a.source + 8 * PAGE);
	check(filled(a.source + 8 * PAGE, 4 * PAGE, 2));
	check(zeroed(a.source + 4 * PAGE, 4 * PAGE));
	fill(a.source + 4 * PAGE, 4 * PAGE, 3);
	moved(a.source + 4 * PAGE, 4 * PAGE, ONTO, a.source);
	check(filled(a.source, 4 * PAGE, 3));
	check(zeroed(a.source + 4 * PAGE, 4 * PAGE));
	check(filled(a.source + 8 * PAGE, 4 * PAGE, 2));
	arena_end(&a);
}

/* Untouched memory that lands beside itself is one mapping. */
static void adjacent_untouched(void **state)
{
	(void)state;
	arena_make(&a, 8);
	check(mmap(a.source, 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == a.source);
	moved(a.source, 4 * PAGE, ONTO, a.source + 4 * PAGE);
	check_is(vma_count(a.source, a.len), 1);
	check(zeroed(a.source, a.len));
	arena_end(&a);
}

static void overlapping(void **state)
{
	(void)state;
	make(8);
	refused(a.source, a.len, a.len, ONTO, a.source, EINVAL);
	refused(a.source, a.len, a.len, ONTO, a.source + a.len - PAGE, EINVAL);
	refused(a.source, a.len, a.len, ONTO, a.source - a.len + PAGE, EINVAL);
	refused(a.source + PAGE, 2 * PAGE, 2 * PAGE, ONTO, a.source, EINVAL);
	check(filled(a.source, a.len, 1));
	arena_end(&a);
}

/*
 *   source       [A A][B B]  gap  [C C C]
 *   destination  [. .][. .] [X X] [. . .]       X stays
 */
static void several(void **state)
{
	const int prots[] = {RW, RW, PROT_READ, PROT_READ, -1, -1, RW, RW, RW};
	char *s, *t;

	(void)state;
	arena_make(&a, 9);
	s = a.source;
	t = a.target;
	for (unsigned int i = 0; i < 9; i++) {
		if (prots[i] < 0) {
			check(!munmap(s + i * PAGE, PAGE));
			check(mmap(t + i * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) != MAP_FAILED);
			fill(t + i * PAGE, PAGE, 70 + i);
			continue;
		}
		check(mmap(s + i * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) != MAP_FAILED);
		fill(s + i * PAGE, PAGE, 30 + i);
		check(!mprotect(s + i * PAGE, PAGE, prots[i]));
	}
	check(moved(s, a.len, ONTO, t) == t);
	for (unsigned int i = 0; i < 9; i++) {
		struct vma now;

		if (prots[i] < 0) {
			check(!vma_at(s + i * PAGE, &now));
			check(filled(t + i * PAGE, PAGE, 70 + i));
			continue;
		}
		check(filled(t + i * PAGE, PAGE, 30 + i));
		check(zeroed(s + i * PAGE, PAGE));
		for (int k = 0; k < 2; k++) {
			check(vma_at((k ? t : s) + i * PAGE, &now));
			check_is(now.perms[1] == 'w', (prots[i] & PROT_WRITE) != 0);
		}
	}
	arena_end(&a);
}

/* Private, shared and file-like neighbours in one call. */
static void several_sorts(void **state)
{
	char *s, *t;

	(void)state;
	arena_make(&a, 6);
	s = a.source;
	t = a.target;
	check(mmap(s, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == s);
	check(mmap(s + 2 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		s + 2 * PAGE);
	check(mmap(s + 4 * PAGE, 2 * PAGE, RW, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0) ==
		s + 4 * PAGE);
	fill(s, a.len, 1);
	moved(s, a.len, ONTO, t);
	check(filled(t, a.len, 1));
	check(zeroed(s, 2 * PAGE));
	check(!memcmp(s + 2 * PAGE, t + 2 * PAGE, 2 * PAGE));
	check(zeroed(s + 4 * PAGE, 2 * PAGE));
	arena_end(&a);
}

static void gap_at_the_end(void **state)
{
	(void)state;
	arena_make(&a, 8);
	check(!munmap(a.source, a.len));
	check(mmap(a.source, 3 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == a.source);
	fill(a.source, 3 * PAGE, 1);
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	fill(a.target + 3 * PAGE, 5 * PAGE, 2);
	moved(a.source, a.len, ONTO, a.target);
	check(filled(a.target, 3 * PAGE, 1));
	check(zeroed(a.source, 3 * PAGE));
	check(filled(a.target + 3 * PAGE, 5 * PAGE, 2));
	arena_end(&a);
}

static void gap_at_the_start(void **state)
{
	(void)state;
	make(8);
	check(!munmap(a.source, PAGE));
	refused(a.source, a.len, a.len, ONTO, a.target, EFAULT);
	refused(a.source, a.len, a.len, ANYWHERE, NULL, EFAULT);
	arena_end(&a);
}

/* Only with MREMAP_FIXED. */
static void several_to_anywhere(void **state)
{
	(void)state;
	make(8);
	check(!mprotect(a.source + 4 * PAGE, PAGE, PROT_READ));
	refused(a.source, a.len, a.len, ANYWHERE, NULL, EFAULT);
	check(filled(a.source, a.len, 1));
	arena_end(&a);
}

/* 0 is an address like others, for those who may map there (vm.mmap_min_addr). */
static void to_address_zero(void **state)
{
	struct vma now;
	char *p;

	(void)state;
	make(1);
	p = mmap(NULL, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	if (p == MAP_FAILED) {
		refused(a.source, a.len, a.len, ONTO, NULL, errno);
		arena_end(&a);
		return;
	}
	check(!munmap(p, PAGE));
	errno = 0;
	p = mremap(a.source, a.len, a.len, ONTO, NULL);
	check(p == NULL && errno == 0);
	check(vma_at(NULL, &now) && now.start == 0 && now.end == PAGE);
	check(zeroed(a.source, a.len));
	check(mremap(NULL, a.len, a.len, MREMAP_MAYMOVE | MREMAP_FIXED, a.target) == a.target);
	check(filled(a.target, a.len, 1));
	check(!vma_at(NULL, &now));
	arena_end(&a);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(hint_free, "dontunmap-honours-a-free-hint"),
		CASE(hint_occupied, "dontunmap-passes-over-an-occupied-hint"),
		CASE(hint_occupied_in_part, "dontunmap-passes-over-a-hint-occupied-in-part"),
		CASE(hint_shared, "dontunmap-of-shared-memory-honours-hints"),
		CASE(hint_unusable, "dontunmap-refuses-an-unusable-hint"),
		CASE(fixed_hole, "dontunmap-fixed-into-a-hole"),
		CASE(next_hole_private, "dontunmap-fixed-into-the-next-free-hole"),
		CASE(next_hole_shared, "dontunmap-of-shared-memory-fixed-into-the-next-free-hole"),
		CASE(fixed_onto_mappings, "dontunmap-fixed-replaces-mappings"),
		CASE(fixed_inside, "dontunmap-fixed-inside-a-larger-mapping"),
		CASE(fixed_within_the_source, "dontunmap-fixed-within-the-source-mapping"),
		CASE(adjacent, "dontunmap-fixed-beside-the-source"),
		CASE(adjacent_untouched, "dontunmap-of-untouched-memory-merges"),
		CASE(overlapping, "dontunmap-refuses-overlap"),
		CASE(several, "dontunmap-fixed-of-several-mappings-with-a-gap"),
		CASE(several_sorts, "dontunmap-fixed-of-several-sorts-of-memory"),
		CASE(gap_at_the_end, "dontunmap-fixed-with-a-gap-at-the-end"),
		CASE(gap_at_the_start, "dontunmap-refuses-a-gap-at-the-start"),
		CASE(several_to_anywhere, "dontunmap-of-several-mappings-needs-fixed"),
		CASE(to_address_zero, "dontunmap-fixed-to-address-zero"),
	};

	return BEHAVE_RUN(cases);
}
