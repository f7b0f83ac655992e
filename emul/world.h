/* SPDX-License-Identifier: MIT */
/*
 * The world: the one block of state that serving an emulated call needs, and the lock that guards
 * it.
 *
 * It is one anonymous mapping, made on first use, wiped on fork (MADV_WIPEONFORK, 4.14): a child
 * that is forked while another thread of its parent holds the lock starts with a free lock and no
 * stop under way (A17), whatever call forked it. A CLONE_VM child that is not a thread (vfork)
 * shares it and is told apart by its process id (A19).
 *
 * Lock order: there is this one lock. Whoever holds it has every signal blocked that the program
 * does not ignore (ignored.c). Whoever waits for it leaves open the one that stops threads
 * (quiesce.h), too, so that waiters can be stopped by the holder.
 */
#ifndef RM_WORLD_H
#define RM_WORLD_H

#include <stdatomic.h>

#include "emul/glance.h"
#include "emul/known.h"
#include "emul/mover.h"
#include "emul/procmaps.h"
#include "emul/types.h"
#include "emul/went.h"

#define RM_SLOTS 32768 /* threads that can be stopped; more: the call is refused */

enum rm_slot_state {
	RM_SLOT_NEW,	/* the signal could not be queued yet */
	RM_SLOT_SENT,	/* signalled, not seen to obey */
	RM_SLOT_DEAF,	/* blocks the signal: left to the freezer */
	RM_SLOT_PASSED, /* gone, a zombie, or a kernel worker */
};

struct rm_slot {
	int tid;
	_Atomic uint8_t state;	/* enum rm_slot_state */
	uint8_t deaf_looks;	/* how often in a row it was seen to block the signal */
	_Atomic uint32_t acked; /* the generation whose stop this thread has obeyed */
};

#define RM_INSIDE 4096 /* hash slots for threads that are in the stop handler */

#define RM_DEAF 64 /* threads that block the stop signal; more: the call is refused */

/* freeze.c: the helper process that stops deaf threads */
struct rm_freezer {
	int pid; /* 0: none is running */
	uint32_t generation;
	_Atomic uint32_t work; /* futex: counts up when there is something to look at */
	bool named;	       /* as our tracer, for Yama */
	/* threads that were deaf last time: they get no signal, it would only pile up */
	int deaf[RM_DEAF];
	unsigned int ndeaf;
	char stack[16384] __attribute__((aligned(16)));
};

struct rm_world {
	int pid;	       /* whose this is: 0 after a fork, until it is entered again */
	_Atomic uint32_t lock; /* futex: 0 free, 1 held, 2 held and waited for */
	_Atomic int holder;    /* thread id */
	bool alone;	       /* the holder is, and no signal handler can change that */
	/* by the holder, among others: what the program does not ignore; 0: it was alone */
	uint64_t blocked;
	bool not_libcs; /* there have been threads that libc does not know */

	/* quiesce.c, obey.c */
	_Atomic uint32_t generation; /* futex: odd while a stop is asked for or in force */
	_Atomic uint32_t arrivals;   /* futex: counts obeyed stops */
	_Atomic bool asleep;	     /* the stopper, on arrivals */
	_Atomic uint32_t trouble;    /* threads whose own stack lies in the range */
	struct rm_range range;	     /* what is about to move */
	unsigned int depth;	     /* stops nest */
	uint64_t began;	     /* when the stop in force began, ns; 0: nobody had to be stopped */
	unsigned int nslots; /* kept from stop to stop */
	struct rm_slot slots[RM_SLOTS];
	_Atomic int inside[RM_INSIDE]; /* thread ids, by id modulo RM_INSIDE */
	struct rm_freezer freezer;

	struct rm_known known;
	struct rm_went went;
	struct rm_mover mover; /* to be awaited when the lock is free again */
	bool parted;	       /* the plan that was executed last has had to (part.c) */
	struct rm_range kept;  /* a FIXED destination between two attempts; len 0: none */

	/* scratch of the lock's holder */
	struct rm_glance glance; /* of the call under way */
	struct rm_maps maps;
	char dirents[16384];
	char apart_stack[32768] __attribute__((aligned(16))); /* apart.c */
};

/* How a caller gets in and out. saved is what rm_world_leave needs. */
struct rm_entry {
	struct rm_world *world;
	uint64_t saved_mask;
};

/*
 * Blocks the calling thread's signals and takes the lock. 0, or -EINVAL for a CLONE_VM child that
 * is no thread of ours, -ENOMEM. Async-signal-safe: a signal handler never finds its own thread
 * inside; if it should, because another thread has just now given a handler to a signal that was
 * ignored, it is refused, -EINVAL.
 */
int __must_check rm_world_enter(struct rm_entry *entry);
void rm_world_leave(struct rm_entry *entry);

/*
 * Makes the world's mapping now rather than at the first entry, not in avoid. What goes wrong is
 * reported then.
 */
void rm_world_prepare(struct rm_range avoid);

/* The world if it has been made; NULL. Not entered: only for what it says is for everybody. */
struct rm_world *rm_world_peek(void);

/*
 * Whether the range touches memory that the engine stands on: its world, its data, the caller's
 * stack (A22).
 */
bool rm_world_is_own(struct rm_range range);

/*
 * Anonymous memory of len bytes at an address of the kernel's choice that does not touch avoid,
 * which may be a hole: the destination of a move is not ours to use before the move. The address,
 * or -errno.
 */
long __must_check rm_map_away(size_t len, int prot, struct rm_range avoid);

/*
 * A destination: where the kernel would put it, or a little below, at the offset in align (a power
 * of two) that like has; PROT_NONE. Only if something lies there more than len is mapped for a
 * moment.
 */
long __must_check rm_map_congruent(size_t len, uintptr_t like, size_t align);

/*
 * What is our own, for a moment or for good: far from where the kernel puts things, at that offset,
 * not in avoid. The kernel takes the first hole from above, which may be one that the program has
 * made by munmap and is about to fill by MAP_FIXED, as it can where nobody else maps anything.
 */
long __must_check rm_map_remote(
	size_t len, int prot, uintptr_t like, size_t align, struct rm_range avoid);
/* The same anywhere there. */
long __must_check rm_map_own(size_t len, int prot);
/* Where that would be tried next: the hint of an mmap. Async-signal-safe. */
uintptr_t rm_remote_hint(size_t len, uintptr_t like, size_t align);

/*
 * Whether the pages before and behind at are of one mapping, and whether range is one mapping, no
 * more and no less. Asked of the kernel.
 */
bool rm_is_joined(uintptr_t at);
bool rm_is_one_mapping(struct rm_range range);

size_t rm_page_size(void);

static inline size_t rm_page_round(size_t len)
{
	return (len + rm_page_size() - 1) & ~(rm_page_size() - 1);
}

#endif
