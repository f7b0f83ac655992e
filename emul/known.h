/* SPDX-License-Identifier: MIT */
/*
 * What is known of ranges from earlier moves, and what makes it untrue. known.c explains.
 */
#ifndef RM_KNOWN_H
#define RM_KNOWN_H

#include <stdatomic.h>

#include "emul/born.h"
#include "emul/facts.h"
#include "emul/types.h"

#define RM_KNOWN_RANGES 16 /* mappings whose facts are kept */
#define RM_KNOWN_PROMISED 16 /* ranges of which a program has promised what is kept */
#define RM_KNOWN_ARMED                                                                             \
	256 /* ranges that a userfaultfd may watch; more: facts are read every time */

struct rm_world;

/* In the world's page: a forked child begins with nothing known. */
struct rm_known {
	_Atomic uint32_t changing; /* calls under way that may change what is known */
	_Atomic uint32_t changes;  /* and how many have ended */
	unsigned int next;	   /* the entry that is given up next */
	struct rm_known_entry {
		_Atomic bool valid;
		_Atomic uintptr_t start, end; /* of the mapping */
		uint32_t serial;	      /* which of the facts that were ever kept */
		/*
		 * where it was moved to, and then its twin did not merge, and nothing has come to
		 * lie beside that since
		 */
		_Atomic uintptr_t loose;
	} ranges[RM_KNOWN_RANGES];
	struct rm_facts facts[RM_KNOWN_RANGES]; /* of the entries, which are looked through often */
	uint32_t serial;
	struct rm_born born;
	unsigned int npromised;
	/* of these the program itself says what changes */
	struct rm_range promised[RM_KNOWN_PROMISED];
};

/* --- for who sees the program's calls: the shim --- */

/*
 * Promises that from now on every call of the program that changes an attribute of a mapping,
 * replaces or unmaps one, or closes a userfaultfd goes between rm_known_begin() and rm_known_end().
 * Nothing is kept before. Not async-signal-safe.
 */
void rm_known_watch(void);
bool rm_known_watching(void);

/* Things that a process has done at least once, known to whoever saw them. */
enum rm_seen {
	RM_SEEN_LOCK_FUTURE = 1, /* mlockall(MCL_FUTURE) */
	RM_SEEN_POLICY = 2,	 /* mbind */
	RM_SEEN_UFFD = 4,	 /* a range registered with a userfaultfd */
	RM_SEEN_MERGE = 8,	 /* prctl(PR_SET_MEMORY_MERGE) */
};

void rm_known_saw(enum rm_seen what);
bool rm_known_has_seen(unsigned int what); /* any of them */

/* The range may be watched by a userfaultfd from now on; said before the call that does it. */
void rm_known_armed(struct rm_range range);
bool rm_known_may_be_armed(struct rm_range range);
/* It has been taken from its userfaultfd; said after the call. */
void rm_known_disarmed(struct rm_range range);

struct rm_change {
	struct rm_known *known; /* NULL: nothing is being kept */
};

/*
 * Around a call that changes what is mapped in range, or how. All are async-signal-safe and wait
 * for nobody; a call that never ends (a thread that is cancelled, a longjmp) only makes facts be
 * read every time.
 */
void rm_known_begin(struct rm_change *change);
void rm_known_also(struct rm_change *change, struct rm_range range); /* a second range */
void rm_known_end(struct rm_change *change, struct rm_range range);
/*
 * The same for a mapping that was made, one that has gone, one that was given a protection, or
 * advice: more is known of them.
 */
void rm_known_end_mapped(struct rm_change *change, struct rm_range range, int prot, int flags);
void rm_known_end_unmapped(struct rm_change *change, struct rm_range range);
void rm_known_end_protected(struct rm_change *change, struct rm_range range, int prot);
void rm_known_end_advised(struct rm_change *change, struct rm_range range, int advice);
/* The same for descriptors first to last that were closed or replaced. */
void rm_known_end_closed(struct rm_change *change, unsigned int first, unsigned int last);

/* The range has been changed, says the program itself. Async-signal-safe. */
void rm_known_tell(struct rm_range range);

static const struct rm_range rm_everything = {0, SIZE_MAX};

/* --- for facts.c and api.c; the caller holds the world --- */

/*
 * Facts for a request whose source lies in one known mapping; true if they were found. They hold
 * when verified.
 */
bool rm_known_find(
	struct rm_world *world, const struct rm_request *request, struct rm_facts *facts);

/* Before facts are read: what rm_known_keep() wants back. */
uint32_t rm_known_mark(struct rm_world *world);
/*
 * Whether no call of the program that may change mappings has ended since the mark, and none is
 * under way.
 */
bool rm_known_unchanged(struct rm_world *world, uint32_t mark);
/*
 * Keeps what was read since the mark, if nothing has changed meanwhile. Then facts->known is set.
 */
void rm_known_keep(struct rm_world *world, uint32_t mark, struct rm_facts *facts);
/*
 * The mapping, or a part of it, that known facts are of has been moved, since the mark: what is
 * known of where it is now.
 */
void rm_known_moved(struct rm_world *world, uint32_t mark, const struct rm_facts *facts,
	struct rm_range source, uintptr_t target);

/* Whether somebody tells what changes the range: the shim, or the program by its promise. */
bool rm_known_is_told(const struct rm_world *world, struct rm_range range);
/* The program promises to. 0, or -ENOMEM: it has promised that of as many ranges as can be kept. */
int __must_check rm_known_promise(struct rm_world *world, struct rm_range range);

/*
 * Whether kept facts still hold, by the entry and by asking the kernel for the mapping's bounds.
 * The caller has stopped the other threads, or there are none.
 */
bool rm_known_holds(struct rm_world *world, const struct rm_facts *facts);
/*
 * When the mapping that known facts are of was moved to target its twin merged with nothing. That
 * is kept, too, if nothing has changed since the mark, until something comes to lie beside it.
 */
void rm_known_is_loose(
	struct rm_world *world, const struct rm_facts *facts, uint32_t mark, uintptr_t target);
bool rm_known_was_loose(
	const struct rm_world *world, const struct rm_facts *facts, uintptr_t target);

/* Whether facts of a mapping that is just the range may be known. Takes no lock. */
bool rm_known_covers(struct rm_range range);

/* The facts, or all facts of mappings that range touches, are not true any more. */
void rm_known_drop(struct rm_world *world, const struct rm_facts *facts);
void rm_known_changed(struct rm_world *world, struct rm_range range);

#endif
