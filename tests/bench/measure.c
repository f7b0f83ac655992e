/* SPDX-License-Identifier: MIT */
/*
 * One cell: rounds in which every way has its turn, so that whatever else the machine does hits all
 * of them alike.
 *
 * The order of the ways rotates from round to round. A first round is not counted. A way that is
 * much dearer than the cell's budget allows takes part in the first few rounds and then in every
 * n-th one only, or once if once takes longer than the whole cell should (copying gigabytes); how
 * often each was measured is part of the result.
 *
 * What came before decides what a short move finds in the caches. So a move is measured either
 * cold, or warm: directly after one of the same way, which is not counted. But beside other
 * threads, which would not be back where they were, and copying, which finds nothing of use there.
 * The time for which the other threads stood still is the difference of the library's own counter
 * around each single move.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libremap.h"

#define MAX_COPIED   (4UL << 30)
#define FIRST_ROUNDS 3 /* in which every way takes part, whatever it costs */

struct series {
	uint64_t values[MAX_SAMPLES];
	size_t count;
};

static struct series moves[WAY_COUNT], touches[WAY_COUNT], stops;

struct turn {
	bool takes_part;
	unsigned int stride; /* takes part in every so many rounds */
	unsigned int turns;
	uint64_t spent_ns; /* all of it: moving, touching, bringing back */
};

static void sample(struct series *series, uint64_t value)
{
	if (series->count < MAX_SAMPLES)
		series->values[series->count++] = value;
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The nearest rank: with fewer than a hundred samples p99 is the largest. */
static json_int_t quantile(const uint64_t *sorted, size_t count, size_t percent)
{
	const size_t rank = (count * percent + 99) / 100;

	return (json_int_t)sorted[rank ? rank - 1 : 0];
}

json_t *summarize(uint64_t *samples, size_t count)
{
	if (!count)
		return json_null();
	qsort(samples, count, sizeof(*samples), compare);
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "n", (json_int_t)count, "min_ns",
		(json_int_t)samples[0], "median_ns", quantile(samples, count, 50), "p99_ns",
		quantile(samples, count, 99), "max_ns", (json_int_t)samples[count - 1]);
}

static struct remap_stats stats_now(void)
{
	struct remap_stats stats = {.size = sizeof(stats)};

	if (remap_stats(&stats))
		die("remap_stats: it is of another version");
	return stats;
}

static unsigned char *move_or_die(const struct heap *heap, enum way way)
{
	unsigned char *at = heap_move(heap, way);

	if (!at)
		die("%s: moving %zu bytes failed: %s %s", way_names[way], heap->len,
			strerror(errno),
			way == WAY_EMULATED || way == WAY_FIRST ? remap_strerror_last() : "");
	return at;
}

enum before_it { NOTHING, SAME_WAY, CHILL };

static void take_turn(const struct heap *heap, enum before_it before_it, enum way way,
	struct turn *turn, bool counted)
{
	const uint64_t turn_began = now_ns();
	uint64_t began, moved, touched;
	struct remap_stats before, after;
	unsigned char *at;

	if (before_it == SAME_WAY && way != WAY_COPYING)
		heap_return(heap, way, move_or_die(heap, way));
	if (before_it == CHILL)
		heap_chill();
	before = stats_now();
	began = now_ns();
	at = move_or_die(heap, way);
	moved = now_ns();
	heap_touch(heap, at);
	touched = now_ns();
	after = stats_now();
	if ((way == WAY_EMULATED || way == WAY_FIRST) !=
		(after.emulated_moves > before.emulated_moves))
		die("%s: the move was not done in this way", way_names[way]);
	heap_return(heap, way, at);
	if (!counted)
		return;
	sample(&moves[way], moved - began);
	sample(&touches[way], touched - moved);
	if (after.stops > before.stops)
		sample(&stops, after.stop_ns_total - before.stop_ns_total);
	turn->spent_ns += now_ns() - turn_began;
	turn->turns++;
}

/* After the first rounds it is known what each way costs. */
static void set_strides(struct turn turns[WAY_COUNT], const struct effort *effort)
{
	for (int way = 0; way < WAY_COUNT; way++) {
		uint64_t each = turns[way].turns ? turns[way].spent_ns / turns[way].turns : 0;
		uint64_t share = effort->budget_ns / effort->rounds;

		turns[way].stride = effort->exact ? 1 : 1 + (unsigned int)(each / share);
	}
}

static void run_rounds(const struct heap *heap, enum before_it before_it,
	struct turn turns[WAY_COUNT], const struct effort *effort)
{
	const uint64_t began = now_ns();
	uint64_t settled = began;

	for (unsigned int round = 0; round < MAX_SAMPLES; round++) {
		const uint64_t now = now_ns(), spent = now - began;

		if (effort->exact ? round >= effort->rounds
				  : round >= effort->rounds && spent >= effort->budget_ns)
			break;
		if (!effort->exact && round > FIRST_ROUNDS && now - settled >= effort->limit_ns)
			break;
		if (round == FIRST_ROUNDS) {
			set_strides(turns, effort);
			settled = now;
		}
		for (unsigned int i = 0; i < WAY_COUNT; i++) {
			const enum way way = (round + i) % WAY_COUNT;
			const bool due = round < FIRST_ROUNDS || round % turns[way].stride == 0;

			if (!turns[way].takes_part || !due)
				continue;
			take_turn(heap, before_it, way, &turns[way], true);
			if (!effort->exact &&
				turns[way].spent_ns / turns[way].turns > effort->limit_ns)
				turns[way].takes_part = false;
		}
	}
}

static void warm_up(const struct heap *heap, struct turn turns[WAY_COUNT])
{
	for (int way = 0; way < WAY_COUNT; way++)
		if (turns[way].takes_part && (way != WAY_COPYING || heap->len <= 64UL << 20))
			take_turn(heap, NOTHING, way, &turns[way], false);
}

/* Adds ratio_to_native where there is a native. */
static json_t *ways_result(void)
{
	json_t *ways = json_object();
	double native = 0;

	for (int way = 0; way < WAY_COUNT; way++) {
		json_t *result, *touch;
		double median;

		if (!moves[way].count)
			continue;
		result = summarize(moves[way].values, moves[way].count);
		touch = summarize(touches[way].values, touches[way].count);
		median = (double)json_integer_value(json_object_get(result, "median_ns"));
		if (way == WAY_NATIVE)
			native = median;
		if (native > 0)
			json_object_set_new(result, "ratio_to_native", json_real(median / native));
		json_object_set_new(result, "touch_all_pages", touch);
		json_object_set_new(ways, way_names[way], result);
	}
	return ways;
}

/* How long it took to populate a gibibyte of each kind, last time. */
static uint64_t make_ns[KIND_COUNT];

static const char *make_timed(struct heap *heap, const struct cell *cell)
{
	const size_t gib = cell->size >> 30;
	const uint64_t began = now_ns();
	const char *why = heap_make(heap, cell->kind, cell->size, cell->place.name);

	if (!why && gib)
		make_ns[cell->kind - kinds] = (now_ns() - began) * cell->kind->step / gib;
	return why;
}

/* NULL if the cell is copied as well. */
static const char *why_not_copied(
	const struct cell *cell, const struct options *options, const struct effort *effort)
{
	if (heap_needs(cell->kind, cell->size, true) > options->memory)
		return "copying: more than the memory that may be used";
	/* Minutes, where memory is slow to come; and nobody waits for it. */
	if (effort->cells_ns && cell->size > MAX_COPIED)
		return "copying: it takes too long; --sizes measures it";
	return NULL;
}

uint64_t measure_expected_ns(
	const struct cell *cell, const struct options *options, const struct effort *effort)
{
	const uint64_t gib = cell->size >> 30, each = make_ns[cell->kind - kinds];
	const bool copied = !why_not_copied(cell, options, effort);

	/* To make it and to look at it; to copy it and to bring it back. */
	return each * 2 * (gib / cell->kind->step + (copied ? gib : 0));
}

json_t *measure_cell(const struct cell *cell, const struct options *options,
	const struct effort *effort, const char **why)
{
	struct turn turns[WAY_COUNT];
	struct remap_stats before, after;
	unsigned int mappings;
	struct heap heap;
	json_t *result;
	const char *not_copied = why_not_copied(cell, options, effort);

	*why = "more than the memory that may be used";
	if (heap_needs(cell->kind, cell->size, false) > options->memory)
		return NULL;
	*why = "more mappings than vm.max_map_count allows";
	if (!crowd_is_allowed(cell->mappings))
		return NULL;
	*why = make_timed(&heap, cell);
	if (*why)
		return NULL;
	for (int way = 0; way < WAY_COUNT; way++) {
		turns[way] = (struct turn){way_is_wanted(options, way), 1, 0, 0};
		moves[way].count = touches[way].count = 0;
	}
	stops.count = 0;
	if (not_copied)
		turns[WAY_COPYING].takes_part = false;
	if (!heap_has_native(cell->kind))
		turns[WAY_NATIVE].takes_part = false;
	crowd_map(cell->mappings, &heap);
	company_gather(&cell->company);
	mappings = count_mappings();
	warm_up(&heap, turns);
	before = stats_now();
	run_rounds(&heap,
		cell->place.cold      ? CHILL
		: cell->company.count ? NOTHING
				      : SAME_WAY,
		turns, effort);
	after = stats_now();
	company_dismiss();
	crowd_unmap();
	heap_free(&heap);

	result = json_pack("{s:s, s:I, s:I, s:s, s:I, s:I, s:s, s:b}", "kind", cell->kind->name,
		"size", (json_int_t)cell->size, "other_threads", (json_int_t)cell->company.count,
		"threads_are", company_names[cell->company.state], "more_mappings",
		(json_int_t)cell->mappings, "mappings", (json_int_t)mappings, "place",
		place_names[cell->place.name], "cold", cell->place.cold);
	json_object_set_new(result, "ways", ways_result());
	json_object_set_new(result, "stopped", summarize(stops.values, stops.count));
	json_object_set_new(result, "stop_retries",
		json_integer((json_int_t)(after.stop_retries - before.stop_retries)));
	if (way_is_wanted(options, WAY_COPYING))
		*why = not_copied;
	return result;
}
