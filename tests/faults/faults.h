/* SPDX-License-Identifier: MIT */
/*
 * Shared by the fault tests: scenarios, one for every sort of plan that the engine makes, and the
 * observation of everything that a failed call must leave as it was.
 *
 * A scenario is set up at fixed addresses, so that what /proc/self/smaps says before and after can
 * be compared as text:
 *
 *   SOURCE       one page read-only | the mapping, PAGES pages | one page read-only
 *   DESTINATION  the same, if there is one
 *
 * The functions print what is wrong as TAP diagnostics and return false; they run in a child
 * process of their own.
 */
#ifndef RM_TESTS_FAULTS_H
#define RM_TESTS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE  4096UL
#define PAGES 8
/* high enough for AddressSanitizer, whose shadow lies below */
#define SOURCE	    0x200000000000UL
#define DESTINATION 0x300000000000UL
#define ORIGIN	    0x280000000000UL

enum scenario_kind { KIND_ANON, KIND_SHARED, KIND_FILE, KIND_SEVERAL };
enum scenario_target { TO_ANYWHERE, TO_HINT, TO_HOLE, TO_MAPPING };

enum scenario_flag {
	PART = 1 << 0,	   /* pages 2 to 5 of the mapping only */
	READONLY = 1 << 1, /* after it was written */
	EXECUTABLE = 1 << 2,
	LOCKED = 1 << 3,
	ADVICE = 1 << 4, /* DONTFORK, DONTDUMP, RANDOM, and a NUMA policy where there is one */
	ARMED = 1 << 5,	 /* by a userfaultfd */
	EVENTS = 1 << 6, /* which asked for EVENT_REMOVE and EVENT_UNMAP, and has a monitor */
	TARGET_ARMED = 1 << 7, /* the destination is, likewise */
	LATE = 1 << 8,	       /* the first plan fails for want of memory: the twin is made late */
	SECOND_VIEW = 1 << 9,  /* the first plan fails because nobody can be stopped */
	TOLD = 1 << 10,	       /* the userfaultfd asked for EVENT_REMAP, and has a monitor */
	/* what the program does is seen, and facts are kept from call to call */
	WATCHED = 1 << 11,
	ONE_ADVICE = 1 << 12, /* DONTDUMP */
	MOVED = 1 << 13,      /* the mapping was touched elsewhere, where nothing is now */
	HEAD = 1 << 14,	      /* the first four pages of it only */
	LEFT = 1 << 15,	      /* where it was touched is another mapping like it */
	TOUCHED = 1 << 16,    /* which has been touched */
	STOPPED = 1 << 17,    /* the first plan, which stops nobody, fails at once */
	RELOCATED = 1 << 18,  /* by MREMAP_MUST_RELOCATE_ANON */
	GONE = 1 << 19,	      /* without MREMAP_DONTUNMAP; nobody touches it then */
	ALONG = 1 << 20,      /* what lies behind it moved along */
	ALIKE = 1 << 21,      /* what lies behind it is like it, but one of its own */
	BEFORE = 1 << 22,     /* right before where it was touched is something else */
};

struct scenario {
	const char *name;
	enum scenario_kind kind;
	enum scenario_target target;
	unsigned int flags;
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/*
 * Once in a process, before everything else: the other thread, the monitor, the engine's own
 * mappings.
 */
bool scenario_begin(const struct scenario *s);
/* Makes the mappings. Undone by the next one, whatever has become of them. */
bool scenario_set_up(const struct scenario *s);
/* The other thread keeps away from the source: for tests in which it is lost. */
void scenario_keep_away(void);
/* The call: the address, or -errno. */
long scenario_call(const struct scenario *s);
/*
 * The call has succeeded and returned to: the pages are there, the source is empty, and nothing
 * else has changed.
 */
bool scenario_check_success(const struct scenario *s, long to);
/*
 * The call has failed with -errno: all is as scenario_set_up left it. target_may_be_gone: the
 * failure came late enough for a MREMAP_FIXED destination to be unmapped, as 6.18 leaves it
 * (semantics.md 1.4).
 */
bool scenario_check_failure(const struct scenario *s, long error, bool target_may_be_gone);
/* The other thread makes progress, the signal mask is empty, no descriptor has been left open. */
bool scenario_check_process(const struct scenario *s);

/* --- observe.c --- */

/*
 * Headers and VmFlags (without "sd", semantics.md A12) of all mappings, the signal mask, and the
 * descriptors.
 */
struct snapshot {
	char maps[131072];
	uint64_t mask;
	uint64_t fds[4];
};

bool snapshot_take(struct snapshot *s);
/* The descriptors and the mask are the same. */
bool snapshot_same_process(const struct snapshot *before, const struct snapshot *after);
/*
 * All mappings are, but for those that touch [around, around + around_len); tell: print which not.
 */
bool snapshot_same_maps(const struct snapshot *before, const struct snapshot *after,
	uintptr_t around, size_t around_len, bool tell);
/* Nothing is mapped there. */
bool snapshot_is_hole(const struct snapshot *s, uintptr_t start, size_t len);
/*
 * The VmFlags of the mapping that holds addr, "" if there is none; bounds too if they are asked
 * for.
 */
const char *snapshot_flags(
	const struct snapshot *s, uintptr_t addr, uintptr_t *start, uintptr_t *end);

/*
 * One TAP line for a program run in a child of its own, which has seconds to finish. True if it
 * passed.
 */
bool run_in_child(unsigned int number, const char *name, bool (*run)(const void *), const void *arg,
	unsigned int seconds);

#endif
