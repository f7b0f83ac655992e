/* SPDX-License-Identifier: MIT */
/*
 * The parts of the program known (known.c): the range, and the ways in which a program changes it
 * (known-changes.c).
 */
#ifndef RM_TESTS_KNOWN_H
#define RM_TESTS_KNOWN_H

#include <stdbool.h>
#include <stddef.h>

#define PAGE  4096UL
#define PAGES 16
#define LEN   (PAGES * PAGE)

extern char *range, *target; /* the range has unmapped pages on both sides */
extern int uffd;

/* How a case begins; more than one may be set. */
enum { PLAIN = 0, ARMED = 1, UNMOVED = 2 };

struct change {
	const char *name;
	bool (*make)(void); /* false: errno */
	int how;	    /* what it needs */
};
extern const struct change changes[];
extern const int change_count;

/* A userfaultfd without events, or -1. */
int open_uffd(void);
/* Registers the range with it, and takes it from uffd. */
bool arm(int fd);
bool disarm(void);

#endif
