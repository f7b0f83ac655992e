/* SPDX-License-Identifier: MIT */
/* marks.h explains. */
#include "emul/marks.h"

#include "emul/world.h"

#define CLAIMED 1 /* no start: being filled in */

/* Where nothing is remembered. */
static void put(struct rm_marks *marks, struct rm_range range, unsigned int word)
{
	uintptr_t free_one = 0;
	size_t i;

	for (i = 0; i < RM_MARKS; i++, free_one = 0)
		if (atomic_compare_exchange_strong(&marks->at[i].start, &free_one, CLAIMED))
			break;
	if (i == RM_MARKS) {
		i = atomic_fetch_add(&marks->next, 1) % RM_MARKS;
		atomic_store(&marks->at[i].start, CLAIMED);
	}
	atomic_store(&marks->at[i].end, rm_range_end(range));
	atomic_store(&marks->at[i].word, word);
	atomic_store(&marks->at[i].start, range.start);
	atomic_store(&marks->any, true);
}

bool rm_marks_next(
	const struct rm_marks *marks, struct rm_range range, size_t *i, struct rm_mark *mark)
{
	if (!atomic_load_explicit(&marks->any, memory_order_relaxed))
		return false;
	while (*i < RM_MARKS) {
		const uintptr_t start = atomic_load(&marks->at[*i].start),
				end = atomic_load(&marks->at[*i].end);

		mark->word = atomic_load(&marks->at[(*i)++].word);
		mark->range = (struct rm_range){start, end - start};
		if (start > CLAIMED && start < end && start < rm_range_end(range) &&
			range.start < end)
			return true;
	}
	return false;
}

void rm_marks_cut(struct rm_marks *marks, struct rm_range range)
{
	const uintptr_t gap = rm_page_size() - 1, start = range.start,
			end = rm_range_end(range) < SIZE_MAX - gap
				      ? (rm_range_end(range) + gap) & ~gap
				      : SIZE_MAX;
	struct rm_mark mark;
	size_t i = 0;

	while (rm_marks_next(marks, (struct rm_range){start, end - start}, &i, &mark)) {
		const uintptr_t last = rm_range_end(mark.range);

		atomic_store(&marks->at[i - 1].start, 0);
		if (mark.range.start < start)
			put(marks, (struct rm_range){mark.range.start, start - mark.range.start},
				mark.word);
		if (last > end)
			put(marks, (struct rm_range){end, last - end}, mark.word);
	}
}

void rm_marks_add(struct rm_marks *marks, struct rm_range range, unsigned int word)
{
	rm_marks_cut(marks, range);
	put(marks, range, word);
}

unsigned int rm_marks_word(const struct rm_marks *marks, uintptr_t addr)
{
	struct rm_mark mark;
	size_t i = 0;

	return rm_marks_next(marks, (struct rm_range){addr, 1}, &i, &mark) ? mark.word : 0;
}

bool rm_marks_end(const struct rm_marks *marks, struct rm_range range,
	bool (*is)(uintptr_t at, bool wanted), bool wanted)
{
	struct rm_mark mark;
	size_t i = 0;

	while (rm_marks_next(marks, range, &i, &mark)) {
		const uintptr_t start = mark.range.start, end = rm_range_end(mark.range);

		if ((start > range.start && is(start, wanted)) ||
			(end < rm_range_end(range) && is(end, wanted)))
			return true;
	}
	return false;
}
