/* SPDX-License-Identifier: MIT */
/*
 * The mirrors that fault-mirror makes: what is mirrored, and what it is made of.
 */
#ifndef RM_TESTS_MIRRORS_H
#define RM_TESTS_MIRRORS_H

#include "tests/faults/faults.h"

#define RW	(PROT_READ | PROT_WRITE)
#define HUGE	((size_t)2 << 20)
#define MAX_LEN (4 * HUGE) /* with what lies before and behind */
#define WORD	64	   /* where in the range is counted */

enum mirror_kind { PRIVATE, SHARED, HUGE_PRIVATE, HUGE_SHARED, CONVERTED };

enum mirror_flag {
	READ_ONLY = 1 << 20, /* after it was written */
	NO_ACCESS = 1 << 21,
	LOCK = 1 << 22,
	ADVISED = 1 << 23,   /* DONTFORK, RANDOM, a NUMA policy, and a name where there are such */
	LARGE = 1 << 24,     /* so that the content follows later */
	NO_UFFD = 1 << 25,   /* userfaultfd is refused */
	POPULATED = 1 << 26, /* MREMAP_POPULATE */
	PREPARED = 1 << 27,  /* remap_prepare in place of mremap */
	WATCHES = 1 << 28,   /* the program's userfaultfd */
	MIDDLE = 1 << 29,    /* a part of the mapping */
};

struct mirror {
	const char *name;
	enum mirror_kind kind;
	enum scenario_target target;
	unsigned int flags;
};

/* What the test knows of the process. */
struct mirror_process {
	_Atomic unsigned long counter;
	_Atomic(volatile uint64_t *)
		word; /* counted up by the other thread all the time; NULL: nothing */
	_Atomic uint64_t counted;
	int fd, uffd;
	int threads; /* when no content is on its way */
	struct snapshot before, after;
};
extern struct mirror_process mirror_process;

bool mirror_is_huge(const struct mirror *m);
/* The whole mapping's length, the range's, and where this begins in that. */
size_t mirror_map_len(const struct mirror *m);
size_t mirror_len(const struct mirror *m);
size_t mirror_start(const struct mirror *m);
/* Where the mapping is in its area, and where the range is that is mirrored. */
uintptr_t mirror_mapping(uintptr_t area);
uintptr_t mirror_source(const struct mirror *m);
bool mirror_is_counted(const struct mirror *m);

/* All of [from, from + len) of the mapping has its content, as seen at at. */
bool mirror_content_is_right(const struct mirror *m, uintptr_t at, size_t from, size_t len);
/* MREMAP_MIRROR: the address or -errno. */
long mirror_make(uintptr_t start, size_t len, int flags, uintptr_t to);

/*
 * Once in a process, before everything else: the other thread, and what the library keeps for
 * itself.
 */
bool mirror_begin(const void *m);
/* Makes the mappings. Undone by the next one, whatever has become of them. */
bool mirror_set_up(const struct mirror *m);
/* The destination alone. */
bool mirror_map_target(const struct mirror *m);

/* The word stays as it is from now on; false: the other thread stands still. */
bool mirror_stop_counting(void);
/* All content is there, and the thread that brought it has gone. */
bool mirror_wait_for_fills(void);
/* Says what is wrong: false. */
bool mirror_complain(const char *what);

#endif
