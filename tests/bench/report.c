/* SPDX-License-Identifier: MIT */
/*
 * The report, for people and for programs.
 *
 * Everything that is shown is taken from the JSON object, so that an earlier run can be shown again
 * (--read) and the two never differ. One line a cell, within 100 columns: medians, p99, and x, the
 * ratio of the medians to native. With full_lines one line a way. The TSV is for gnuplot: one row
 * for each cell and way.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "tests/bench/costs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define ROW "%-19s%7s%7s%9s%7s%5s%7s%8s%6s%10s%8s%7s\n" /* 100 columns */

json_int_t report_integer(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *string(json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "?";
}

const char *report_time(char buf[REPORT_TIME_LEN], json_t *object, const char *key)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	json_t *field = json_object_get(object, key);
	double value = (double)json_integer_value(field);
	int unit = 0;

	if (!field)
		return "-";
	while (unit < 3 && value >= 999.5) {
		value /= 1000;
		unit++;
	}
	snprintf(buf, REPORT_TIME_LEN, "%.*f%s",
		!unit || value >= 99.95 ? 0
		: value >= 9.995	? 1
					: 2,
		value, units[unit]);
	return buf;
}

static const char *format_ratio(char buf[REPORT_TIME_LEN], json_t *way)
{
	json_t *field = json_object_get(way, "ratio_to_native");
	double value = json_real_value(field);

	if (!field)
		return "-";
	if (value < 9999.5)
		snprintf(buf, REPORT_TIME_LEN, "%.*f", value < 9.95 ? 1 : 0, value);
	else if (value < 999999.5)
		snprintf(buf, REPORT_TIME_LEN, "%.0fk", value / 1e3);
	else
		snprintf(buf, REPORT_TIME_LEN, "%.1fM", value / 1e6);
	return buf;
}

static void cpu_model(char *buf, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(buf, size, "unknown CPU");
	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (!colon || (strncmp(line, "model name", 10) && strncmp(line, "CPU part", 8)))
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(buf, size, "%s", colon + 2);
		break;
	}
	if (file)
		fclose(file);
}

json_t *report_head(const struct options *options)
{
	struct utsname host;
	char cpu[256], date[32];
	const time_t now = time(NULL);
	double load = 0;

	if (uname(&host) || getloadavg(&load, 1) < 1)
		die("uname or getloadavg failed");
	cpu_model(cpu, sizeof(cpu));
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:f, s:b, s:b, s:{s:b, s:b}, s:s}",
		"version", PACKAGE_VERSION, "date", date, "kernel", host.release, "machine",
		host.machine, "cpu", cpu, "cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN),
		"load_before", load, "quick", options->quick, "costs_only", options->costs,
		"native", "private", heap_has_native(&kinds[0]), "shared",
		heap_has_native(&kinds[1]), "conf", getenv("LIBREMAP_CONF"));
}

void report_print_head(json_t *report)
{
	json_t *native = json_object_get(report, "native");

	printf("libremap %s, %s, Linux %s %s\n", string(report, "version"), string(report, "date"),
		string(report, "kernel"), string(report, "machine"));
	printf("%s, %" JSON_INTEGER_FORMAT " CPUs, load %.1f at the start; LIBREMAP_CONF=%s\n",
		string(report, "cpu"), report_integer(report, "cpus"),
		json_number_value(json_object_get(report, "load_before")), string(report, "conf"));
	if (!json_is_true(json_object_get(native, "private")))
		puts("This kernel has no MREMAP_DONTUNMAP for private memory: no native, no "
		     "ratios.");
	if (!json_is_true(json_object_get(native, "shared")))
		puts("This kernel has no MREMAP_DONTUNMAP for shared memory: no native, no "
		     "ratios.");
	if (json_is_true(json_object_get(report, "costs_only")))
		return;
	puts("\nMoving a heap away and leaving its range mapped and empty; x: times native.");
	puts("first: the emulation of a range's first move, nothing known of it. stopped: how long "
	     "the\nemulation kept the other threads standing. p99 is the largest where there were "
	     "fewer than 100\nrounds, and what takes seconds is done once; --long tells how "
	     "often. The destination is\nreserved and aligned alike, or it may lie anywhere; "
	     "askew: anywhere, the heap begins a page\nbehind a boundary of 2 MiB. cold: "
	     "something ran through 256 MiB before each move;\n"
	     "otherwise, alone, each move but copying comes directly after another of the same "
	     "way.");
}

static void print_heading(json_t *cell, bool full_lines)
{
	const char *name = string(cell, "kind"), *what = name;

	for (int i = 0; i < KIND_COUNT; i++)
		if (!strcmp(name, kinds[i].name))
			what = kinds[i].what;
	printf("\n%c%s\n", what[0] - 'a' + 'A', what + 1);
	if (full_lines)
		printf("%-19s %-10s %6s %8s %8s %8s %8s %7s %9s\n", "", "way", "n", "min", "median",
			"p99", "max", "x", "touch all");
	else
		printf(ROW, "", "native", "p99", "emulated", "p99", "x", "first", "copying", "x",
			"unmap+map", "stopped", "p99");
}

/* Cells of an earlier version's report have no place. */
static bool is_reserved(json_t *cell)
{
	return !json_object_get(cell, "place") ||
	       !strcmp(string(cell, "place"), place_names[PLACE_RESERVED]);
}

static void cell_label(json_t *cell, char *buf, size_t size)
{
	const json_int_t threads = report_integer(cell, "other_threads");
	const json_int_t mappings = report_integer(cell, "more_mappings");
	const bool thousands = mappings && mappings % 1000 == 0;
	const char *place = string(cell, "place");
	char bytes[24], who[32] = "", maps[32] = "";

	format_size(bytes, sizeof(bytes), (size_t)report_integer(cell, "size"));
	if (threads)
		snprintf(who, sizeof(who), " %" JSON_INTEGER_FORMAT " %s", threads,
			string(cell, "threads_are"));
	if (mappings)
		snprintf(maps, sizeof(maps), " +%" JSON_INTEGER_FORMAT "%s%s",
			thousands ? mappings / 1000 : mappings, thousands ? "k" : "",
			threads ? "" : " maps");
	snprintf(buf, size, "%s%s%s%s%s%s", bytes, who, maps, is_reserved(cell) ? "" : " ",
		is_reserved(cell) ? "" : place,
		json_is_true(json_object_get(cell, "cold")) ? " cold" : "");
}

static void print_full_lines(json_t *cell, const char *label)
{
	json_t *ways = json_object_get(cell, "ways"), *stopped = json_object_get(cell, "stopped");
	char t[5][REPORT_TIME_LEN], x[REPORT_TIME_LEN];

	for (int i = 0; i < WAY_COUNT; i++) {
		json_t *way = json_object_get(ways, way_names[i]);

		if (!way)
			continue;
		printf("%-19s %-10s %6" JSON_INTEGER_FORMAT " %8s %8s %8s %8s %7s %9s\n", label,
			way_names[i], report_integer(way, "n"), report_time(t[0], way, "min_ns"),
			report_time(t[1], way, "median_ns"), report_time(t[2], way, "p99_ns"),
			report_time(t[3], way, "max_ns"), format_ratio(x, way),
			report_time(t[4], json_object_get(way, "touch_all_pages"), "median_ns"));
		label = "";
	}
	if (json_is_object(stopped))
		printf("%-19s %-10s %6" JSON_INTEGER_FORMAT " %8s %8s %8s %8s\n", "", " stopped",
			report_integer(stopped, "n"), report_time(t[0], stopped, "min_ns"),
			report_time(t[1], stopped, "median_ns"),
			report_time(t[2], stopped, "p99_ns"), report_time(t[3], stopped, "max_ns"));
}

void report_print_cell(json_t *cell, bool full_lines)
{
	static char last[32];
	json_t *ways = json_object_get(cell, "ways");
	json_t *native = json_object_get(ways, "native");
	json_t *emulated = json_object_get(ways, "emulated");
	json_t *copying = json_object_get(ways, "copying");
	json_t *naive = json_object_get(ways, "unmap+map");
	json_t *stopped = json_object_get(cell, "stopped");
	json_t *first = json_object_get(ways, "first");
	char label[80], t[9][REPORT_TIME_LEN], x[2][REPORT_TIME_LEN];

	if (strcmp(last, string(cell, "kind"))) {
		snprintf(last, sizeof(last), "%s", string(cell, "kind"));
		print_heading(cell, full_lines);
	}
	cell_label(cell, label, sizeof(label));
	if (full_lines)
		print_full_lines(cell, label);
	else
		printf(ROW, label, report_time(t[0], native, "median_ns"),
			report_time(t[1], native, "p99_ns"),
			report_time(t[2], emulated, "median_ns"),
			report_time(t[3], emulated, "p99_ns"), format_ratio(x[0], emulated),
			report_time(t[8], first, "median_ns"),
			report_time(t[4], copying, "median_ns"), format_ratio(x[1], copying),
			report_time(t[5], naive, "median_ns"),
			report_time(t[6], stopped, "median_ns"),
			report_time(t[7], stopped, "p99_ns"));
	fflush(stdout);
}

/* A move that leaves the page tables behind is paid for later. */
static void print_touches(json_t *cells)
{
	bool headed = false;
	json_t *cell;
	size_t i;

	json_array_foreach(cells, i, cell)
	{
		json_t *ways = json_object_get(cell, "ways");
		char t[WAY_COUNT][REPORT_TIME_LEN], bytes[24];
		const char *shown[WAY_COUNT];

		if (report_integer(cell, "other_threads") ||
			report_integer(cell, "more_mappings") || !is_reserved(cell) ||
			json_is_true(json_object_get(cell, "cold")) ||
			report_integer(cell, "size") < 1 << 20)
			continue;
		if (!headed)
			printf("\n%-37s %9s %9s %9s %9s %9s\n",
				"Reading every populated page after it", way_names[0], way_names[1],
				way_names[2], way_names[3], way_names[4]);
		headed = true;
		for (int w = 0; w < WAY_COUNT; w++) {
			json_t *way = json_object_get(ways, way_names[w]);

			shown[w] = report_time(
				t[w], json_object_get(way, "touch_all_pages"), "median_ns");
		}
		format_size(bytes, sizeof(bytes), (size_t)report_integer(cell, "size"));
		printf("%-4s %-32s %9s %9s %9s %9s %9s\n", bytes, string(cell, "kind"), shown[0],
			shown[1], shown[2], shown[3], shown[4]);
	}
}

void report_print_rest(json_t *report)
{
	json_t *left_out = json_object_get(report, "left_out"), *item;
	json_t *overhead = json_object_get(report, "overhead");
	size_t i;

	print_touches(json_object_get(report, "cells"));
	if (json_is_array(overhead))
		report_print_calls(overhead);
	report_print_programs(json_object_get(report, "programs"));
	if (json_array_size(left_out))
		puts("");
	json_array_foreach(left_out, i, item)
	{
		printf("Left out: %s\n", json_string_value(item));
	}
}

static void write_tsv_row(FILE *file, json_t *cell, const char *name, json_t *samples)
{
	fprintf(file, "%s\t%lld\t%lld\t%s\t%lld\t%s\t%lld\t%lld\t%lld\t%lld\t%s\t%s\n",
		string(cell, "kind"), (long long)report_integer(cell, "size"),
		(long long)report_integer(cell, "other_threads"), string(cell, "threads_are"),
		(long long)report_integer(cell, "more_mappings"), name,
		(long long)report_integer(samples, "n"),
		(long long)report_integer(samples, "min_ns"),
		(long long)report_integer(samples, "median_ns"),
		(long long)report_integer(samples, "p99_ns"),
		is_reserved(cell) ? place_names[PLACE_RESERVED] : string(cell, "place"),
		json_is_true(json_object_get(cell, "cold")) ? "cold" : "warm");
}

int report_write_tsv(json_t *report, const char *path)
{
	json_t *cells = json_object_get(report, "cells"), *cell, *way;
	FILE *file = fopen(path, "we");
	const char *name;
	size_t i;

	if (!file)
		return -1;
	fputs("kind\tsize\tthreads\tstate\tmappings\tway\tn\tmin_ns\tmedian_ns\tp99_"
	      "ns\tplace\tcaches\n",
		file);
	json_array_foreach(cells, i, cell)
	{
		json_t *all = json_object_get(cell, "ways");
		json_t *stopped = json_object_get(cell, "stopped");

		json_object_foreach(all, name, way)
		{
			write_tsv_row(file, cell, name, way);
		}
		if (json_is_object(stopped))
			write_tsv_row(file, cell, "stopped", stopped);
	}
	return fclose(file);
}
