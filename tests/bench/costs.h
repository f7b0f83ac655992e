/* SPDX-License-Identifier: MIT */
/*
 * What the preload library costs programs that do not need it: words shared by overhead.c (single
 * calls), whole.c (processes) and report-costs.c.
 *
 * The doors are the ways to the kernel that are compared: libc's functions, those of the preload on
 * a kernel that has all flags, and those of the preload on one that has not; for single calls also
 * libc's in a process under a seccomp filter.
 */
#ifndef RM_BENCH_COSTS_H
#define RM_BENCH_COSTS_H

#include <sys/types.h>

#include "tests/bench/bench.h"

enum door { DOOR_LIBC, DOOR_PASS, DOOR_SERVE, DOOR_COUNT, DOOR_FILTERED = DOOR_COUNT, CALL_DOORS };
extern const char *const door_names[CALL_DOORS];

/* Every name of libc that is measured, by door. */
struct door_calls {
	void *(*mremap)(void *, size_t, size_t, int, ...);
	long (*syscall)(long, ...);
	void *(*mmap)(void *, size_t, int, int, int, off_t);
	int (*munmap)(void *, size_t);
	int (*mprotect)(void *, size_t, int);
	int (*madvise)(void *, size_t, int);
	int (*mlock)(const void *, size_t);
	int (*munlock)(const void *, size_t);
	int (*ioctl)(int, unsigned long, ...);
	int (*close)(int);
	ssize_t (*read)(int, void *, size_t);
};

/* The preload's file as it was given or found; NULL with *why if there is none. */
const char *overhead_preload(const char **why);

/*
 * The median of door's samples minus libc's, taken in pairs; both as they were measured, in turn.
 */
double median_difference(const uint64_t *samples, const uint64_t *base, size_t count);

/* filtered.c: the child under a filter. Nanoseconds of a batch of the call with that number. */
typedef uint64_t batch_runner(size_t call);
bool filtered_start(batch_runner *run); /* false: no filter may be loaded here */
uint64_t filtered_run(size_t call);
void filtered_end(void);

/* whole.c: processes with and without the preload. What could not be run is added to left_out. */
json_t *whole_measure(const struct effort *effort, json_t *left_out);

/* report-costs.c */
void report_print_calls(json_t *rows);
void report_print_programs(json_t *rows);

#endif
