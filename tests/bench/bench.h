/* SPDX-License-Identifier: MIT */
/*
 * Words shared by the parts of remap-bench.
 *
 * A cell is one situation: a kind of memory, a size, the other threads of the process, the number
 * of its mappings, where the heap goes. In every cell the same heap is moved in several ways, in
 * turn. Times are nanoseconds of the monotonic clock.
 */
#ifndef RM_BENCH_H
#define RM_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define PAGE	    4096UL
#define MAX_SAMPLES 20000 /* rounds of a cell at most */
#define MAX_CELLS   1024

enum way { WAY_NATIVE, WAY_EMULATED, WAY_FIRST, WAY_COPYING, WAY_UNMAP_MAP, WAY_COUNT };
extern const char *const way_names[WAY_COUNT];

struct kind {
	const char *name;
	const char *what; /* for the table's head */
	bool shared;	  /* a memfd's pages; else private anonymous */
	/* only read so far, but for both ends: entries of the zero page, which take no memory */
	bool zero;
	bool huge;	   /* MADV_HUGEPAGE */
	unsigned int step; /* one page in so many is populated */
};

enum { KIND_COUNT = 6 };
extern const struct kind kinds[KIND_COUNT];

enum company_state { COMPANY_BLOCKED, COMPANY_SPIN, COMPANY_YIELD, COMPANY_STATES };
extern const char *const company_names[COMPANY_STATES];

/* The other threads of the process. */
struct company {
	unsigned int count;
	enum company_state state;
};

/* Where the heap goes. */
struct place {
	enum place_name {
		PLACE_RESERVED, /* MREMAP_FIXED onto a reservation that is aligned like the heap */
		PLACE_ANYWHERE, /* where the kernel, or libremap, likes */
		PLACE_ASKEW,	/* the same, and the heap begins a page behind a whole page table */
		PLACE_NAMES
	} name;
	bool cold; /* before each move something runs through more memory than the caches hold */
};

extern const char *const place_names[PLACE_NAMES];

struct cell {
	const struct kind *kind;
	size_t size;
	struct company company;
	unsigned int mappings; /* beside those that the program has anyway */
	struct place place;
};

/* How long a cell is looked at. */
struct effort {
	uint64_t budget_ns;   /* rounds go on until then ... */
	unsigned int rounds;  /* ... and until there were so many ... */
	uint64_t limit_ns;    /* ... but no longer than this after the first few */
	bool exact;	      /* so many rounds for every way, however long it takes */
	unsigned int batches; /* of the calls of overhead.c */
	bool quick;
	unsigned int runs;    /* of whole programs, at most, and ... */
	uint64_t programs_ns; /* ... no more of each after that */
	uint64_t cells_ns;    /* cells that would not end before that are left out; 0: none */
};

struct options {
	/* lists; NULL: as the plan has it */
	const char *kinds, *sizes, *threads, *mappings, *places;
	const char *ways, *preload;
	size_t memory; /* bytes that may be used */
	bool quick, full_lines, breakdown, costs;
};

void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...);
void __attribute__((noreturn, format(printf, 1, 2))) die_usage(const char *format, ...);
/*
 * A line on standard error; on a terminal it takes the last one's place, and progress_end() erases
 * it.
 */
void __attribute__((format(printf, 1, 2))) progress(const char *format, ...);
void progress_end(void);

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* heap.c */
struct heap {
	const struct kind *kind;
	size_t len;
	unsigned char *home; /* where it is while nobody moves it */
	unsigned char *away; /* the reservation that it is moved onto; NULL: anywhere */
	size_t align;
	size_t askew; /* from a whole page table to home */
	int fd;	      /* shared: the memfd; else -1 */
};

/* NULL, or why such a heap can not be had on this machine. */
const char *heap_make(
	struct heap *heap, const struct kind *kind, size_t len, enum place_name place);
void heap_free(struct heap *heap);
/* What the engine knows of any range is forgotten. */
void heap_forget(void);
/*
 * The timed part: moves the heap, leaving home mapped and empty. The new address, or NULL and
 * errno.
 */
unsigned char *heap_move(const struct heap *heap, enum way way);
/* Reads from every populated page at that place. */
uint64_t heap_touch(const struct heap *heap, const unsigned char *at);
/* Runs through more memory than any cache holds. */
void heap_chill(void);
/*
 * Looks at both ends, then brings the heap home as it was, with its page tables, whatever the way.
 */
void heap_return(const struct heap *heap, enum way way, unsigned char *at);
/*
 * How much memory a heap takes at its most: moved by page tables, or (copied) with the copy that it
 * is moved into.
 */
size_t heap_needs(const struct kind *kind, size_t len, bool copied);
/* The kernel has MREMAP_DONTUNMAP for this kind. */
bool heap_has_native(const struct kind *kind);

/* company.c */
void company_gather(const struct company *company);
void company_dismiss(void);
/*
 * Below the heap, so that who reads /proc/self/maps has to pass it. Whether so many are allowed is
 * asked before.
 */
bool crowd_is_allowed(unsigned int mappings);
void crowd_map(unsigned int mappings, const struct heap *heap);
void crowd_unmap(void);
unsigned int count_mappings(void);

/* cells.c: from the options to cells. Dies on what is not understood. */
unsigned int cells_plan(const struct options *options, struct cell cells[MAX_CELLS]);
void cells_check_lists(const struct options *options);
bool way_is_wanted(const struct options *options, enum way way);
void format_size(char *buf, size_t size, size_t bytes);
void describe_cell(char *buf, size_t size, const struct cell *cell);

/*
 * measure.c: the cell's part of the report; NULL with *why if it can not be had here. Else *why:
 * what is missing, or NULL.
 */
json_t *measure_cell(const struct cell *cell, const struct options *options,
	const struct effort *effort, const char **why);
/*
 * At least so long, going by smaller ones of the kind that have been measured; 0 if there were
 * none.
 */
uint64_t measure_expected_ns(
	const struct cell *cell, const struct options *options, const struct effort *effort);
/* {n, min_ns, median_ns, p99_ns, max_ns} of the samples, which get sorted. */
json_t *summarize(uint64_t *samples, size_t count);

/* breakdown.c: the system calls of an emulated move, on standard output. */
void breakdown(const struct cell *cell, unsigned int moves);

/*
 * overhead.c: load before any call of the engine; then what the preload costs calls that it does
 * not serve.
 */
void overhead_load(const char *preload);
json_t *overhead_measure(const struct effort *effort, const char **why);

/* report.c: all from JSON, so that an earlier run can be shown again. */
json_t *report_head(const struct options *options);
void report_print_head(json_t *report);
void report_print_cell(json_t *cell, bool full_lines);
void report_print_rest(json_t *report);
int report_write_tsv(json_t *report, const char *path);

#define REPORT_TIME_LEN 16
json_int_t report_integer(json_t *object, const char *key);
/* Three digits and a unit; "-" if it was not measured. */
const char *report_time(char buf[REPORT_TIME_LEN], json_t *object, const char *key);

#endif
