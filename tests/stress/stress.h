/* SPDX-License-Identifier: MIT */
/*
 * What the files of the stress test share: the options, the threads, the scenes.
 *
 * A scene is one subject: who is on the stage, what the main thread moves, and what must be true at
 * the end. Each is in a file of its own; stress.c has the table.
 */
#ifndef STRESS_H
#define STRESS_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define PAGE	    4096UL
#define MAX_THREADS 160

enum kind { KIND_ANON, KIND_SHARED, KIND_FILE };

struct options {
	enum kind kind;
	unsigned long moves;
	unsigned int threads; /* of each sort */
	size_t pages;
	bool fixed, raw_deaf;
	bool touch; /* crowd: only what does not depend on threads being stopped */
	bool efault; /* io_uring: EFAULT is expected and not a failure (remap(7), LIMITS) */
};
extern struct options opt;

extern atomic_bool stop_all; /* every thread leaves */
extern int event_end;	     /* becomes readable then */
extern atomic_ulong failures;

/*
 * Something that must not be: counted, the first few said. Async-signal-safe enough for a test: it
 * uses stdio.
 */
/* A failure of mremap: with errno, and with libremap's reason if it has one. */
void fail_move(const char *what);
void fail(const char *what, long detail);

/* A thread of the scene; ends when stop_all is set and is joined by main. */
pthread_t start_thread(void *(*run)(void *), uintptr_t arg);

static inline unsigned long smaller(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

struct scene {
	const char *name;
	/* 0; 1, said by fail(); 77, it has said why it can not be */
	int (*begin)(void);
	bool (*move)(unsigned long nth); /* by the main thread, again and again; false: it failed */
	/*
	 * How often whoever was least busy has done what it does. Moves go on until that is enough;
	 * NULL: no matter.
	 */
	unsigned long (*least)(void);
	/*
	 * After the last thread has ended: whether the books are right. what: the words behind "ok
	 * 3 - ".
	 */
	bool (*end)(char *what, size_t size);
};
extern const struct scene crowd_scene, births_scene, safepoint_scene, forks_scene,
	spawns_scene, movers_scene, handlers_scene, signals_scene, ring_scene, aio_scene;

/*
 * An object of the kind, mapped read-write; the bytes of a file are all byte. MAP_FAILED if that
 * can not be.
 */
void *map_object(enum kind kind, size_t len, int byte);

/*
 * Waits that only the end of the scene may end: a thread for each sort, 0 to SLEEPERS - 1
 * (sleepers.c).
 */
enum { EPOLL_SLEEPER = 1, SLEEPERS = 8 };
/* handlers that may cut a wait short count here */
extern _Thread_local volatile sig_atomic_t handlers_run;
void *run_sleeper(void *arg);

/*
 * A range that goes to and fro between two places, by MREMAP_DONTUNMAP onto the other one
 * (shuttle.c). Every page has its tag. One side is full at any time and the other one empty; of
 * shared memory both are full.
 */
struct shuttle {
	unsigned char *side[2];
	size_t pages;
	uint64_t tag;
	enum kind kind;
	int full;
};
bool shuttle_make(struct shuttle *shuttle, enum kind kind, size_t pages, uint64_t tag);
/* Moves and looks at every page of both sides. False: it has said what was wrong. */
bool shuttle_move(struct shuttle *shuttle);

enum page_state { PAGE_FULL, PAGE_EMPTY, PAGE_WRONG };
enum page_state page_state(const struct shuttle *shuttle, int side, size_t page);
/* While another thread may move it: every word by itself is one that has been there. */
bool page_is_possible(const struct shuttle *shuttle, int side, size_t page);
/* In a forked child: 0 if the range is complete, else what is wrong: a number from 1 to 9. */
int shuttle_in_child(const struct shuttle *shuttle);

#endif
