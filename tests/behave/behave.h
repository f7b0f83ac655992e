/* SPDX-License-Identifier: MIT */
/*
 * What the behaviour tests share: looking at everything that a program could notice, before and
 * after a move.
 *
 * A test is an unmodified program: it calls mremap as libc declares it. run-configs runs it
 * natively, under remap-run and linked with libremap.a (then mremap is a macro for remap_mremap,
 * and BEHAVE_LINKED is defined), and every run must see the same. Names of cases are the
 * behaviours.
 *
 * check() may be used in the test itself and in a child made by in_child(), not in other threads.
 */
#ifndef BEHAVE_H
#define BEHAVE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define ANYWHERE (MREMAP_MAYMOVE | MREMAP_DONTUNMAP)
#define ONTO	 (MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)

#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define PAGE behave_page
extern size_t behave_page;

/* In a child a failed check ends it with status 1; in_child() then fails in the parent. */
#define check(e)	      behave_check((e) ? 1 : 0, #e, __FILE__, __LINE__)
#define check_is(got, wanted) behave_check_is((long)(got), (long)(wanted), #got, __FILE__, __LINE__)
void behave_check(bool ok, const char *what, const char *file, int line);
void behave_check_is(long got, long wanted, const char *what, const char *file, int line);

/* Something that the test needs is missing here: ends the case. */
void behave_skip(const char *reason);

/* "native", "emulate", "pretend-5.4", "linked", "real", ... or "" if run by hand. */
const char *behave_config(void);

/*
 * fork() whose child dies by itself after 30 s; behave_join() waits for it and checks that it ended
 * with 0.
 */
pid_t behave_fork(void);
void behave_join(pid_t pid);

/* Runs function in a forked child and checks that it comes back within 30 s. */
void in_child(void (*function)(void *arg), void *arg);

/* A pattern over the whole range that depends on seed and position. */
void fill(void *at, size_t len, unsigned int seed);
bool filled(const void *at, size_t len, unsigned int seed);
bool zeroed(const void *at, size_t len);

/* One entry of /proc/self/smaps. */
struct vma {
	uintptr_t start, end;
	char perms[5];
	unsigned long offset, inode;
	char name[128];
	unsigned long rss, anonymous, locked, anon_huge; /* KiB */
	unsigned long shared_hugetlb, private_hugetlb;	 /* KiB */
	unsigned long key;
	char flags[160]; /* VmFlags, a space after each, without "sd" */
};

/* The mapping that holds the address; false: none. */
bool vma_at(const void *at, struct vma *vma);
bool vma_has(const struct vma *vma, const char *flag);
/* How many mappings touch the range. */
int vma_count(const void *from, size_t len);
/* A number from /proc/self/status, such as "VmSize:". */
unsigned long process_status(const char *field);

/*
 * Source and destination, len bytes each, with a page before and behind each of them that belongs
 * to other mappings and that nobody may touch. Both are PROT_NONE reservations at first.
 */
struct arena {
	char *base, *source, *target;
	size_t len, size;
};

void arena_make(struct arena *arena, size_t pages);
/* mmap with MAP_FIXED at the source. */
char *arena_map(struct arena *arena, int prot, int flags, int fd);
/* An arena with a mapping of its own at the source, filled with 1, then of that protection. */
void arena_make_filled(struct arena *arena, size_t pages, int prot, int flags);
/* Moves that by DONTUNMAP to the target: whether all is as it must be. In signal handlers too. */
bool arena_moves(const struct arena *arena);
/* The neighbours are as they were; and away with it all. */
void arena_end(struct arena *arena);

/*
 * mremap between two looks at the process. Checks on success: errno untouched; on failure: no
 * mapping has changed; in either case: signal mask, signal actions, descriptors, threads and every
 * mapping outside both ranges are what they were, and VmSize has grown by what is mapped at the
 * destination and was not before.
 */
void *watched(void *old, size_t old_len, size_t new_len, int flags, void *target);

/* watched() that must succeed, or fail with that errno. */
char *moved(void *old, size_t len, int flags, void *target);
/* The same where the lengths may differ. */
char *remapped(void *old, size_t old_len, size_t new_len, int flags, void *target);
void refused(void *old, size_t old_len, size_t new_len, int flags, void *target, int error);

/*
 * After a move of a whole mapping: both have the bounds, protection, object and VmFlags that the
 * source had before. Flags listed in "without" (as "lo um ") are left out of the comparison, and
 * the file offset if it has "offset".
 */
void check_both(const struct vma *before, const void *old, const void *new, size_t len,
	const char *without);

int behave_run(const char *name, const struct CMUnitTest *cases, size_t count);
#define BEHAVE_RUN(cases) behave_run(__FILE__, cases, sizeof(cases) / sizeof((cases)[0]))
/* clang-format off */
#define CASE(function, behaviour) {behaviour, function, NULL, NULL, NULL}
/* clang-format on */

#endif
