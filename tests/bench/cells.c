/* SPDX-License-Identifier: MIT */
/*
 * Which cells are measured.
 *
 * Memory up to 16 GiB, company up to 64 threads, up to 50,000 mappings, other places to go: each
 * beside the same cell with nothing of it. The plan is a table: every row is a product of five
 * lists and varies one thing. A list given as an option takes that list's place in every row; cells
 * that come up twice are measured once. So --threads 64 measures every size and kind in that
 * company, and --sizes 4K what the plan has, at that size.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIST     32
#define RESERVED     "reserved" /* PLACE_RESERVED */
#define MAX_SIZE     (1UL << 42)
#define MAX_THREADS  4096
#define MAX_MAPPINGS 60000

struct row {
	const char *kinds, *sizes, *threads, *mappings, *places;
};

static const struct row full_plan[] = {
	{"private,shared", "4K,64K,2M,64M,1G", "0", "0", RESERVED},
	{"thp,sparse", "2M,64M,1G", "0", "0", RESERVED},
	{"shared-sparse", "64M,1G", "0", "0", RESERVED},
	{"private", "4K", "1,4,16,64,1:spin,4:spin,16:spin,64:spin,4:yield", "0", RESERVED},
	{"private", "2M,64M", "1,4,16,64,4:spin,16:spin", "0", RESERVED},
	{"private", "1G", "4", "0", RESERVED},
	{"shared", "4K,64M", "4,64,4:spin", "0", RESERVED},
	{"private", "4K", "0", "10,100,1000,10000,50000", RESERVED},
	{"private", "4K", "4", "1000,50000", RESERVED},
	{"shared", "4K", "0", "1000,50000", RESERVED},
	{"private,shared", "4K,2M,64M,1G", "0", "0", "anywhere"},
	{"private", "2M,64M,1G", "0", "0", "askew"},
	{"private", "4K,2M,64M,1G", "0", "0", "reserved:cold"},
	{"shared", "2M", "0", "0", "reserved:cold"},
	{"zero", "1G,4G,16G", "0", "0", RESERVED},
	/* last what takes longest */
	{"private,thp,sparse", "4G,16G", "0", "0", RESERVED},
	{"shared", "4G", "0", "0", RESERVED},
};

static const struct row quick_plan[] = {
	{"private,shared", "4K,2M,64M", "0", "0", RESERVED},
	{"thp", "2M,64M", "0", "0", RESERVED},
	{"private", "4K,2M", "4:blocked,4:yield,4:spin,16", "0", RESERVED},
	{"private", "4K", "0", "100,1000", RESERVED},
	{"private", "2M", "0", "0", "anywhere"},
};

struct list {
	char *copy;
	const char *items[MAX_LIST];
	unsigned int count;
};

static void split(const char *text, const char *option, struct list *list)
{
	char *rest, *item;

	list->count = 0;
	list->copy = rest = strdup(text);
	if (!rest)
		die("out of memory");
	while ((item = strsep(&rest, ","))) {
		if (!*item)
			die_usage("--%s: an item of the list is empty", option);
		if (list->count == MAX_LIST)
			die_usage("--%s: more than %d items", option, MAX_LIST);
		list->items[list->count++] = item;
	}
}

/*
 * A decimal number at the text's beginning; *end is what follows it. Nothing, or out of range:
 * false.
 */
static bool parse_number(const char *text, uint64_t max, uint64_t *value, const char **end)
{
	char *stop;
	unsigned long long v;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	v = strtoull(text, &stop, 10);
	if (errno || v > max)
		return false;
	*value = v;
	*end = stop;
	return true;
}

static size_t parse_size(const char *item)
{
	static const char units[] = "KMG";
	const char *end, *unit;
	uint64_t value, shift = 0;

	if (!parse_number(item, MAX_SIZE, &value, &end))
		die_usage("--sizes: '%s' is not a size such as 4K, 64M or 1G", item);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (uint64_t)(unit - units + 1);
		end++;
	}
	if (*end || value > MAX_SIZE >> shift)
		die_usage("--sizes: '%s' is not a size such as 4K, 64M or 1G", item);
	value <<= shift;
	if (!value || value % PAGE)
		die_usage("--sizes: '%s' is not a multiple of %lu", item, PAGE);
	return value;
}

static struct company parse_company(const char *item)
{
	struct company company = {0, COMPANY_BLOCKED};
	const char *end;
	uint64_t count;

	if (!parse_number(item, MAX_THREADS, &count, &end) || (*end && *end != ':'))
		die_usage("--threads: '%s' is not a number up to %d, or 4:blocked, 4:spin, 4:yield",
			item, MAX_THREADS);
	company.count = (unsigned int)count;
	if (!*end)
		return company;
	for (int i = 0; i < COMPANY_STATES; i++)
		if (!strcmp(end + 1, company_names[i])) {
			company.state = count ? (enum company_state)i : COMPANY_BLOCKED;
			return company;
		}
	die_usage("--threads: '%s': threads can be blocked, spin or yield", item);
}

static unsigned int parse_mappings(const char *item)
{
	const char *end;
	uint64_t count;

	if (!parse_number(item, MAX_MAPPINGS, &count, &end) || *end)
		die_usage("--mappings: '%s' is not a number up to %d", item, MAX_MAPPINGS);
	return (unsigned int)count;
}

static struct place parse_place(const char *item)
{
	for (int i = 0; i < PLACE_NAMES; i++) {
		const size_t len = strlen(place_names[i]);
		const bool cold = !strcmp(
			item + (strncmp(item, place_names[i], len) ? 0 : len), ":cold");

		if (!strncmp(item, place_names[i], len) && (!item[len] || cold))
			return (struct place){(enum place_name)i, cold};
	}
	die_usage("--places: '%s' is none of reserved, anywhere, askew, nor one of them with :cold",
		item);
}

static const struct kind *parse_kind(const char *item)
{
	for (int i = 0; i < KIND_COUNT; i++)
		if (!strcmp(item, kinds[i].name))
			return &kinds[i];
	die_usage(
		"--kinds: '%s' is none of private, shared, thp, sparse, shared-sparse, zero", item);
}

static bool same_cell(const struct cell *a, const struct cell *b)
{
	return a->kind == b->kind && a->size == b->size && a->company.count == b->company.count &&
	       a->company.state == b->company.state && a->mappings == b->mappings &&
	       a->place.name == b->place.name && a->place.cold == b->place.cold;
}

static unsigned int add_cell(struct cell cells[MAX_CELLS], unsigned int count, struct cell cell)
{
	for (unsigned int i = 0; i < count; i++)
		if (same_cell(&cells[i], &cell))
			return count;
	if (count == MAX_CELLS)
		die_usage("more than %d cells", MAX_CELLS);
	cells[count] = cell;
	return count + 1;
}

static unsigned int add_row(const struct row *row, const struct options *options,
	struct cell *cells, unsigned int count)
{
	struct list kind, size, threads, mappings, places;

	split(options->kinds ? options->kinds : row->kinds, "kinds", &kind);
	split(options->sizes ? options->sizes : row->sizes, "sizes", &size);
	split(options->threads ? options->threads : row->threads, "threads", &threads);
	split(options->mappings ? options->mappings : row->mappings, "mappings", &mappings);
	split(options->places ? options->places : row->places, "places", &places);
	/* The head of a table is the kind; sizes are its lines. */
	for (unsigned int k = 0; k < kind.count; k++)
		for (unsigned int s = 0; s < size.count; s++)
			for (unsigned int t = 0; t < threads.count; t++)
				for (unsigned int m = 0; m < mappings.count; m++)
					for (unsigned int p = 0; p < places.count; p++)
						count = add_cell(cells, count,
							(struct cell){parse_kind(kind.items[k]),
								parse_size(size.items[s]),
								parse_company(threads.items[t]),
								parse_mappings(mappings.items[m]),
								parse_place(places.items[p])});
	free(kind.copy);
	free(size.copy);
	free(threads.copy);
	free(mappings.copy);
	free(places.copy);
	return count;
}

unsigned int cells_plan(const struct options *options, struct cell cells[MAX_CELLS])
{
	const struct row *plan = options->quick ? quick_plan : full_plan;
	const size_t rows = options->quick ? sizeof(quick_plan) / sizeof(*plan)
					   : sizeof(full_plan) / sizeof(*plan);
	unsigned int count = 0;

	for (size_t i = 0; i < rows; i++)
		count = add_row(&plan[i], options, cells, count);
	return count;
}

void cells_check_lists(const struct options *options)
{
	struct list list;

	if (!options->ways)
		return;
	split(options->ways, "ways", &list);
	for (unsigned int i = 0; i < list.count; i++) {
		int way = 0;

		while (way < WAY_COUNT && strcmp(list.items[i], way_names[way]))
			way++;
		if (way == WAY_COUNT)
			die_usage("--ways: '%s' is none of native, emulated, first, copying, "
				  "unmap+map",
				list.items[i]);
	}
	free(list.copy);
}

bool way_is_wanted(const struct options *options, enum way way)
{
	const size_t len = strlen(way_names[way]);
	const char *at = options->ways;

	if (!at)
		return true;
	for (; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (!strncmp(at, way_names[way], len) && (!at[len] || at[len] == ','))
			return true;
	return false;
}

void format_size(char *buf, size_t size, size_t bytes)
{
	static const char units[] = "KMG";
	unsigned int unit = 0;
	size_t value = bytes >> 10;

	while (unit < 2 && !(value % 1024)) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, size, "%zu%c", value, units[unit]);
}

void describe_cell(char *buf, size_t size, const struct cell *cell)
{
	const struct company *company = &cell->company;
	char bytes[24], threads[40] = "alone", mappings[40] = "";

	format_size(bytes, sizeof(bytes), cell->size);
	if (company->count)
		snprintf(threads, sizeof(threads), "%u other threads (%s)", company->count,
			company_names[company->state]);
	if (cell->mappings)
		snprintf(mappings, sizeof(mappings), ", %u more mappings", cell->mappings);
	snprintf(buf, size, "%s %s, %s%s%s%s%s", cell->kind->name, bytes, threads, mappings,
		cell->place.name ? ", " : "", cell->place.name ? place_names[cell->place.name] : "",
		cell->place.cold ? ", cold" : "");
}
