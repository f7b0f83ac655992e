/* SPDX-License-Identifier: MIT */
/*
 * Where an emulated move spends its time: the engine's system calls, one by one (--breakdown).
 *
 * Every system call of the engine is made by rm_syscall(), which this program's linking wraps
 * (-Wl,--wrap). The wrapper does nothing but look at a thread-local flag, unless the calling thread
 * is the mover of a breakdown. Then it takes the time of each call: it counts what other threads do
 * only as waiting. Medians, since a call that lost the CPU says nothing; the time between the calls
 * (parsing, mostly) is what the whole move's median leaves over.
 *
 * Nothing in the wrapper allocates or calls libc but for clock_gettime, because it runs while the
 * world is stopped.
 */
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define MAX_CALLS 2000 /* of one move; reading thousands of mappings takes that many */
#define MAX_MOVES 1000
#define MAX_ROWS  64

struct call {
	long nr;
	const char *path; /* the engine's last open: what reads and closes are about */
	uint64_t ns;
};

static struct {
	struct call calls[MAX_CALLS];
	unsigned int count, lost;
	char paths[8][48];
	const char *path;
} trace;

static _Thread_local bool tracing;

long __real_rm_syscall(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_rm_syscall(long nr, long a, long b, long c, long d, long e, long f);

/* A copy that outlives the engine's buffer; the same text has the same address. */
static const char *keep_path(const char *path)
{
	size_t i;

	for (i = 0; i < sizeof(trace.paths) / sizeof(*trace.paths); i++) {
		size_t len = 0;

		if (!strncmp(trace.paths[i], path, sizeof(trace.paths[i]) - 1))
			return trace.paths[i];
		if (trace.paths[i][0])
			continue;
		while (path[len] && len < sizeof(trace.paths[i]) - 1) {
			trace.paths[i][len] = path[len];
			len++;
		}
		return trace.paths[i];
	}
	return "other";
}

long __wrap_rm_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	struct call *call;
	uint64_t began;
	long r;

	if (!tracing)
		return __real_rm_syscall(nr, a, b, c, d, e, f);
	if (trace.count == MAX_CALLS) {
		trace.lost++;
		return __real_rm_syscall(nr, a, b, c, d, e, f);
	}
	call = &trace.calls[trace.count++];
	if (nr == SYS_openat || nr == SYS_newfstatat)
		trace.path = keep_path((const char *)b);
	call->nr = nr;
	call->path = nr == SYS_openat || nr == SYS_newfstatat || nr == SYS_read ||
				     nr == SYS_close || nr == SYS_getdents64 || nr == SYS_ioctl ||
				     nr == SYS_lseek
			     ? trace.path
			     : "";
	began = now_ns();
	r = __real_rm_syscall(nr, a, b, c, d, e, f);
	call->ns = now_ns() - began;
	return r;
}

static const struct {
	long nr;
	const char *name;
} call_names[] = {
	{SYS_mmap, "mmap"},
	{SYS_munmap, "munmap"},
	{SYS_mprotect, "mprotect"},
	{SYS_mremap, "mremap"},
	{SYS_madvise, "madvise"},
	{SYS_munlock, "munlock"},
	{SYS_openat, "openat"},
	{SYS_read, "read"},
	{SYS_lseek, "lseek"},
	{SYS_close, "close"},
	{SYS_ioctl, "ioctl"},
	{SYS_newfstatat, "newfstatat"},
	{SYS_getdents64, "getdents64"},
	{SYS_readlinkat, "readlinkat"},
	{SYS_getpid, "getpid"},
	{SYS_gettid, "gettid"},
	{SYS_tgkill, "tgkill"},
	{SYS_rt_tgsigqueueinfo, "rt_tgsigqueueinfo"},
	{SYS_rt_sigprocmask, "rt_sigprocmask"},
	{SYS_rt_sigaction, "rt_sigaction"},
	{SYS_futex, "futex"},
	{SYS_clock_gettime, "clock_gettime"},
	{SYS_get_mempolicy, "get_mempolicy"},
	{SYS_mbind, "mbind"},
	{SYS_membarrier, "membarrier"},
};

static const char *call_name(long nr)
{
	static char number[24];

	for (size_t i = 0; i < sizeof(call_names) / sizeof(*call_names); i++)
		if (call_names[i].nr == nr)
			return call_names[i].name;
	snprintf(number, sizeof(number), "call %ld", nr);
	return number;
}

/* All calls of one name and path, summed for each move. */
struct row {
	long nr;
	const char *path;
	unsigned long calls;
	uint64_t sums[MAX_MOVES];
	uint64_t median;
};

static struct row rows[MAX_ROWS];
static unsigned int nrows;

static void add_move(unsigned int move)
{
	for (unsigned int i = 0; i < trace.count; i++) {
		const struct call *call = &trace.calls[i];
		unsigned int r = 0;

		while (r < nrows && (rows[r].nr != call->nr || rows[r].path != call->path))
			r++;
		if (r == MAX_ROWS)
			continue;
		if (r == nrows)
			rows[nrows++] = (struct row){.nr = call->nr, .path = call->path};
		rows[r].calls++;
		rows[r].sums[move] += call->ns;
	}
}

static int compare_ns(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return (x->median < y->median) - (x->median > y->median);
}

static uint64_t median(uint64_t *values, unsigned int count)
{
	qsort(values, count, sizeof(*values), compare_ns);
	return values[(count - 1) / 2];
}

static void print_rows(const char *label, uint64_t *whole, unsigned int moves)
{
	const uint64_t all = median(whole, moves);
	uint64_t inside = 0;

	for (unsigned int r = 0; r < nrows; r++)
		rows[r].median = median(rows[r].sums, moves);
	qsort(rows, nrows, sizeof(*rows), compare_rows);
	printf("\nOne emulated move, %s: %.1f us (median of %u)\n", label, (double)all / 1000,
		moves);
	printf("%10s %10s %7s  %s\n", "calls", "us", "share", "system call");
	for (unsigned int r = 0; r < nrows; r++) {
		if (!rows[r].median) /* not in most moves */
			continue;
		inside += rows[r].median;
		printf("%10.1f %10.2f %6.1f%%  %s %s\n", (double)rows[r].calls / moves,
			(double)rows[r].median / 1000,
			all ? 100.0 * (double)rows[r].median / (double)all : 0,
			call_name(rows[r].nr), rows[r].path);
	}
	printf("%10s %10.2f %6.1f%%  between the calls\n", "",
		all > inside ? (double)(all - inside) / 1000 : 0,
		all > inside ? 100.0 * (double)(all - inside) / (double)all : 0);
	if (trace.lost)
		printf("%10u calls were too many and not timed\n", trace.lost);
}

void breakdown(const struct cell *cell, unsigned int moves)
{
	static uint64_t whole[MAX_MOVES];
	char label[96];
	struct heap heap;
	const char *why = heap_make(&heap, cell->kind, cell->size, cell->place.name);

	describe_cell(label, sizeof(label), cell);
	if (why) {
		printf("\n%s: left out: %s\n", label, why);
		return;
	}
	if (moves > MAX_MOVES)
		moves = MAX_MOVES;
	memset(rows, 0, sizeof(rows));
	memset(&trace, 0, sizeof(trace));
	nrows = 0;
	crowd_map(cell->mappings, &heap);
	company_gather(&cell->company);
	for (unsigned int move = 0; move <= moves; move++) {
		unsigned char *at;
		uint64_t began;

		trace.count = 0;
		trace.path = "";
		began = now_ns();
		tracing = true;
		at = heap_move(&heap, WAY_EMULATED);
		tracing = false;
		if (!at)
			die("emulated: moving %zu bytes failed", heap.len);
		if (move) { /* the first one warms up */
			whole[move - 1] = now_ns() - began;
			add_move(move - 1);
		}
		heap_return(&heap, WAY_EMULATED, at);
	}
	company_dismiss();
	crowd_unmap();
	heap_free(&heap);
	print_rows(label, whole, moves);
	fflush(stdout);
}
