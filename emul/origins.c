/* SPDX-License-Identifier: MIT */
/*
 * Origins.
 *
 * The kernel counts the pages of private anonymous memory from where the mapping lay when it was
 * first touched (vm_pgoff), and keeps that count when the mapping is moved (copy_vma()). Two
 * mappings merge only if one goes on counting where the other ends. Nothing shows the count, so it
 * is remembered here where memory came from: after each move the place it left, and what was
 * remembered of that place. Which of several it is depends on when the memory was touched, and is
 * found out by trying (rejoin.c).
 *
 * So what is here may be wrong, too old or torn by a race: that costs a vain attempt. A forked
 * child inherits it.
 */
#include "emul/origins.h"

#include <limits.h>
#include <stdatomic.h>

#include "emul/world.h"

#define MAX_ORIGINS 64

#define TAKEN ((uintptr_t)1) /* as an end: being set */

static struct {
	_Atomic uintptr_t start, end; /* where it is now; end 0: a free entry */
	_Atomic uintptr_t origin;     /* where its first page was */
	_Atomic unsigned int age;     /* how many had been remembered before */
} list[MAX_ORIGINS];

static _Atomic unsigned int remembered; /* ever */
static _Atomic unsigned int used;	/* no entry from here on is set */

static uintptr_t get(const _Atomic uintptr_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void set(_Atomic uintptr_t *word, uintptr_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
}

static size_t entries(void)
{
	return atomic_load_explicit(&used, memory_order_relaxed);
}

/* A free entry, else the oldest one. */
static size_t find_place(void)
{
	const size_t n = entries();
	size_t oldest = 0;

	for (size_t i = 0; i < n; i++) {
		if (!get(&list[i].end))
			return i;
		if ((int)(atomic_load(&list[i].age) - atomic_load(&list[oldest].age)) < 0)
			oldest = i;
	}
	return n < MAX_ORIGINS ? n : oldest;
}

static void add(struct rm_range range, uintptr_t origin)
{
	const size_t i = find_place();
	unsigned int n = (unsigned int)i;

	set(&list[i].end, TAKEN);
	set(&list[i].origin, origin);
	set(&list[i].start, range.start);
	atomic_store(&list[i].age, atomic_fetch_add(&remembered, 1));
	set(&list[i].end, rm_range_end(range));
	atomic_compare_exchange_strong(&used, &n, n + 1);
}

/*
 * What is merely unmapped stays until something else is mapped there or its place in the list is
 * needed.
 */
void rm_origins_forget(struct rm_range range)
{
	const size_t n = entries();
	unsigned int last = (unsigned int)n;

	for (size_t i = 0; i < n; i++) {
		const uintptr_t start = get(&list[i].start), end = get(&list[i].end);
		const struct rm_range behind = {rm_range_end(range), end - rm_range_end(range)};

		const uintptr_t origin = get(&list[i].origin);

		if (end <= range.start || start >= rm_range_end(range))
			continue;
		set(&list[i].end, start < range.start ? range.start : 0);
		if (end > rm_range_end(range)) /* perhaps in this very place */
			add(behind, origin + (behind.start - start));
	}
	while (last && !get(&list[last - 1].end) &&
		atomic_compare_exchange_strong(&used, &last, last - 1))
		last--;
}

/* What has grown goes on counting. */
static void grown(uintptr_t at, size_t len)
{
	for (size_t i = 0; i < entries(); i++) {
		uintptr_t end = at;

		atomic_compare_exchange_strong(&list[i].end, &end, at + len);
	}
}

void rm_origins_moved(uintptr_t from, uintptr_t to, size_t old_len, size_t len)
{
	const size_t n = entries();

	if (from == to) {
		if (len > old_len)
			grown(from + old_len, len - old_len);
		return;
	}
	rm_origins_forget((struct rm_range){to, len});
	for (size_t i = 0; i < n; i++) {
		const uintptr_t start = get(&list[i].start), end = get(&list[i].end);
		const uintptr_t origin = get(&list[i].origin);
		const uintptr_t first = start > from ? start : from;
		/* what grows as it moves goes on counting, too */
		const uintptr_t last = end < from + old_len && end < from + len ? end : from + len;

		if (first < last && origin + (first - start) != to + (first - from))
			add((struct rm_range){to + (first - from), last - first},
				origin + (first - start));
	}
	add((struct rm_range){to, len}, from);
}

/* Of what is remembered of addr, the oldest that is younger than *age, which becomes its age. */
static bool next_of(uintptr_t addr, unsigned int *age, uintptr_t *origin)
{
	const unsigned int now = atomic_load(&remembered);
	unsigned int oldest = 0;

	for (size_t i = 0; i < entries(); i++) {
		const uintptr_t start = get(&list[i].start);
		const unsigned int old = now - atomic_load(&list[i].age);

		if (addr < start || addr >= get(&list[i].end) || old >= *age || old <= oldest)
			continue;
		oldest = old;
		*origin = get(&list[i].origin) + (addr - start);
	}
	*age = oldest;
	return oldest;
}

size_t rm_origins_of(uintptr_t addr, uintptr_t origins[RM_ORIGINS_TRIED])
{
	unsigned int age = UINT_MAX;
	size_t found = 0, j;
	uintptr_t origin;

	/*
	 * Memory is mostly touched where it was mapped: what has been remembered longest comes
	 * first.
	 */
	while (found < RM_ORIGINS_TRIED && next_of(addr, &age, &origin)) {
		for (j = 0; j < found && origins[j] != origin; j++)
			;
		if (j == found && origin != addr)
			origins[found++] = origin;
	}
	return found;
}

bool rm_origins_go_on(uintptr_t addr)
{
	uintptr_t before[RM_ORIGINS_TRIED], behind[RM_ORIGINS_TRIED];
	const size_t page = rm_page_size(), n = rm_origins_of(addr - page, before),
		     m = n ? rm_origins_of(addr, behind) : 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < m; j++)
			if (before[i] + page == behind[j])
				return true;
	return false;
}

bool rm_origins_surely_go_on(uintptr_t addr)
{
	uintptr_t before[RM_ORIGINS_TRIED], behind[RM_ORIGINS_TRIED];
	const size_t page = rm_page_size();

	return rm_origins_of(addr - page, before) == 1 && rm_origins_of(addr, behind) == 1 &&
	       before[0] + page == behind[0];
}
