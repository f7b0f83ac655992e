/* SPDX-License-Identifier: MIT */
/*
 * What the tests of userfaultfd share: a userfaultfd of the program's own, and touches that wait
 * for it or do not.
 */
#ifndef BEHAVE_UFFD_H
#define BEHAVE_UFFD_H

#include <linux/userfaultfd.h>
#include <pthread.h>

#include "tests/behave/behave.h"

#define FEATURE_WP	     (1u << 0)
#define FEATURE_EVENT_FORK   (1u << 1)
#define FEATURE_EVENT_REMAP  (1u << 2)
#define FEATURE_EVENT_REMOVE (1u << 3)
#define FEATURE_EVENT_UNMAP  (1u << 6)
#define FEATURE_SIGBUS	     (1u << 7)
#define MODE_MISSING	     1
#define MODE_WP		     2

/* Skips the case where that is not to be had. */
int open_uffd(uint64_t features);
bool arm(int fd, void *at, size_t len, uint64_t mode);
/* Whether the mapping there has the flag: "um" for MODE_MISSING, "uw" for MODE_WP. */
bool armed(const void *at, const char *flag);

/* A page of pattern to where a fault was. */
bool serve(int fd, void *at, unsigned int seed);
/* The next event, if there is one within so many milliseconds. */
bool read_event(int fd, struct uffd_msg *msg, int timeout);

/* A thread that reads a word there. */
struct touch {
	pthread_t thread;
	volatile uint64_t *at;
	uint64_t value;
};

void touch_start(struct touch *t, void *at);
uint64_t touch_end(struct touch *t);

/* A touch there is reported, waits for the answer, and gets it. */
void check_faults(int fd, char *at);
/* A touch there is nobody's business. */
void check_quiet(int fd, char *at);

#endif
