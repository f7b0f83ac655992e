/* SPDX-License-Identifier: MIT */
/*
 * What the tests of MREMAP_MIRROR share. No kernel has the flag, so there is no native run to
 * compare with: run-configs gives these programs the configuration "real" (the preload on this
 * kernel as it is) in its place.
 */
#ifndef MIRROR_H
#define MIRROR_H

#include "libremap.h"
#include "tests/behave/behave.h"

#define MIRROR	    (MREMAP_MAYMOVE | REMAP_MREMAP_MIRROR)
#define MIRROR_ONTO (MIRROR | MREMAP_FIXED)
#define POPULATE    REMAP_MREMAP_POPULATE

/*
 * MREMAP_MIRROR that must succeed, or fail so; both between two looks at the whole process
 * (watched()).
 */
static inline char *mirrored(void *old, size_t len, int flags, void *target)
{
	char *new = watched(old, len, len, flags, target);

	if (new == MAP_FAILED)
		printf("# mirror: %s\n", strerror(errno));
	check(new != MAP_FAILED &&new != old);
	if (flags & MREMAP_FIXED)
		check(new == target);
	return new;
}

/*
 * The view has the bounds of the range, and protection, object and place in it of the source;
 * VmFlags but "without".
 */
static inline void check_view(const void *source, const void *view, size_t len, const char *without)
{
	struct vma s, v;

	check(vma_at(source, &s) && vma_at(view, &v));
	check_is(v.start, (uintptr_t)view);
	check_is(v.end, (uintptr_t)view + len);
	check(!strcmp(v.perms, s.perms));
	check_is(v.inode, s.inode);
	check_is(v.offset, s.offset + ((uintptr_t)source - s.start));
	check(!strcmp(v.name, s.name));
	for (const char *f = s.flags; *f; f += 3) {
		char one[4] = {f[0], f[1], ' ', '\0'};

		if (!strstr(without, one) && !vma_has(&v, (char[]){f[0], f[1], '\0'}))
			printf("# the view lacks %s\n", one);
		check(strstr(without, one) || vma_has(&v, (char[]){f[0], f[1], '\0'}));
	}
}

/* What is written through either is read through the other. */
static inline void check_one_memory(char *a, char *b, size_t len)
{
	check(!memcmp(a, b, len));
	fill(a, len, 801);
	check(filled(b, len, 801));
	fill(b + len - PAGE, PAGE, 802);
	check(filled(a + len - PAGE, PAGE, 802));
}

/* Private memory filled with 1, and with a mirror at the arena's target. */
static inline char *make_converted(struct arena *a, size_t pages)
{
	arena_make_filled(a, pages, RW, ANON);
	return mirrored(a->source, a->len, MIRROR_ONTO, a->target);
}

/* Whatever lies in the arena by now, its neighbours are as they were. */
static inline void end_converted(struct arena *a)
{
	check(mmap(a->source, a->len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a->source);
	check(mmap(a->target, a->len, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a->target);
	arena_end(a);
}

/* Every page has its number. */
static inline void number(char *at, size_t len)
{
	for (size_t i = 0; i < len; i += PAGE)
		*(size_t *)(at + i + 8) = i + 1;
}

static inline char *make_numbered(size_t len)
{
	char *p = mmap(NULL, len, RW, ANON, -1, 0);

	check(p != MAP_FAILED);
	number(p, len);
	return p;
}

static inline bool numbered(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i += PAGE)
		if (*(const size_t *)(at + i + 8) != i + 1)
			return false;
	return true;
}

static inline bool numbered_backwards(const char *at, size_t len)
{
	for (size_t i = len; i; i -= PAGE)
		if (*(const size_t *)(at + i - PAGE + 8) != i - PAGE + 1)
			return false;
	return true;
}

static inline bool watched_by_us(const void *at)
{
	struct vma vma;

	return vma_at(at, &vma) && vma_has(&vma, "um");
}

/* Nothing of the machinery is left: nothing is watched, the thread has gone. */
static inline void settle(const void *view)
{
	const unsigned long threads = 1; /* no case leaves one of its own */

	for (int i = 0; i < 10000 && (watched_by_us(view) || process_status("Threads:") != threads);
		i++)
		usleep(1000);
	check(!watched_by_us(view));
	check_is(process_status("Threads:"), threads);
}

/*
 * What a library needs for itself is there after a first mirror, and will not be taken for a
 * change.
 */
static inline void mirror_warm_up(void)
{
	char *page = mmap(NULL, 4096, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *view = mremap(page, 4096, 4096, MIRROR, NULL);

	if (view != MAP_FAILED)
		munmap(view, 4096);
	munmap(page, 4096);
}

#endif
