/* SPDX-License-Identifier: MIT */
/*
 * remap-bench: what emulating MREMAP_DONTUNMAP costs, beside the kernel's own, copying, and
 * unmapping.
 *
 * This file reads the options and goes through the cells; cells.c says which there are, heap.c
 * moves, measure.c measures, report.c shows. Nothing here is a test: no figure makes it fail. A
 * wrong move does (heap.c looks at every one).
 *
 * Everything is done in one process and in turn, because the machine may have other work: the
 * ratios mean something even when the times do not.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "tests/bench/costs.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MINUTE	 60000000000ULL	 /* ns */
#define COSTS_NS 160000000000ULL /* of the time promised, what is not for the cells */

/* clang-format off */
static const char help[] =
	"Usage: remap-bench [OPTION]...\n"
	"Measure moves that leave the old range mapped: by the kernel (MREMAP_DONTUNMAP), by\n"
	"libremap, by copying, and by unmapping and mapping again (wrong with threads). Then\n"
	"what the preload costs calls and programs that do not need it.\n"
	"\n"
	"  -q, --quick          less than 20 seconds; default: less than 6 minutes\n"
	"      --minutes N      less than that, 3 to 600; on slow machines 6 leave rows out\n"
	"  -s, --sizes LIST     such as 4K,64M,4G\n"
	"  -k, --kinds LIST     of private, shared (memfd), thp (private, huge pages),\n"
	"                         sparse (private, 1 page in 16), shared-sparse, zero (private,\n"
	"                         only read so far: as many page table entries, no memory)\n"
	"  -t, --threads LIST   other threads: 0, 4 (or 4:blocked: in read(2)), 4:spin\n"
	"                         (running), 4:yield (running, sched_yield)\n"
	"  -m, --mappings LIST  further mappings in the process, such as 0,5000\n"
	"  -w, --ways LIST      of native, emulated, first, copying, unmap+map; default: all,\n"
	"                         and what the preload costs\n"
	"  -r, --rounds N       exactly so many rounds of every way in every cell, batches of\n"
	"                         every call, runs of every program; default: for about a\n"
	"                         second, 15 at least\n"
	"  -p, --places LIST    where to: reserved (MREMAP_FIXED onto a reservation), anywhere,\n"
	"                         askew (anywhere, from a page behind a 2M boundary); anywhere:cold\n"
	"                         and the like: with the caches emptied before each move\n"
	"  -a, --anywhere       the same as --places anywhere\n"
	"  -l, --long           a line for each way: min, median, p99, max, rounds\n"
	"  -j, --json FILE      write all that was measured\n"
	"      --tsv FILE       write it for gnuplot (plot.gp, make bench-plots)\n"
	"      --read FILE      measure nothing; show what --json wrote\n"
	"  -b, --breakdown      only list the system calls of an emulated move; with no lists\n"
	"                         at 4K, private, alone and with 4 blocked threads\n"
	"  -c, --costs          only what the preload costs\n"
	"      --preload FILE   libremap-preload.so; default: the build tree's\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n"
	"\n"
	"A list takes that list's place in the plan: --sizes 4K measures what the plan has at\n"
	"4K; with --sizes, --kinds, --threads, --mappings and --places it is their product.\n"
	"Left out are cells that need more than four fifths of the memory that is free, copying\n"
	"where only the copy does, more mappings than vm.max_map_count allows, and, with no list\n"
	"and no --rounds, copying of more than 4 GiB and that for which there is no time left.\n"
	"The table's last lines say so.\n"
	"LIBREMAP_CONF counts for the emulation; native:no is always added.\n"
	"Exit status: 0, 1 something went wrong, 2 usage.\n";
/* clang-format on */

void die(const char *format, ...)
{
	va_list args;

	fputs("remap-bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1); /* other threads may be running */
}

void die_usage(const char *format, ...)
{
	va_list args;

	fputs("remap-bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; see --help\n", stderr);
	exit(2);
}

static unsigned long number_in(const char *path, const char *key)
{
	FILE *file = fopen(path, "re");
	unsigned long value = 0;
	char line[128];

	while (file && !value && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			value = strtoul(line + strlen(key), NULL, 10);
	if (file)
		fclose(file);
	return value;
}

/*
 * What this process may use: four fifths of what is free, on the machine and in the control group.
 */
static size_t memory_limit(void)
{
	size_t limit = number_in("/proc/meminfo", "MemAvailable:") << 10;
	size_t group = number_in("/sys/fs/cgroup/memory.max", ""); /* "max": 0 */
	size_t used = number_in("/sys/fs/cgroup/memory.current", "");

	if (group && group > used && group - used < limit)
		limit = group - used;
	return limit / 5 * 4;
}

void progress(const char *format, ...)
{
	char line[160];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, isatty(2) ? "%-79.79s\r" : "%s\n", line);
}

void progress_end(void)
{
	if (isatty(2))
		fprintf(stderr, "%79s\r", "");
}

static void leave_out(json_t *left_out, const struct cell *cell, const char *why)
{
	char what[128], text[256];

	describe_cell(what, sizeof(what), cell);
	snprintf(text, sizeof(text), "%s: %s", what, why);
	for (size_t i = 0; i < json_array_size(left_out); i++)
		if (!strcmp(json_string_value(json_array_get(left_out, i)), text))
			return;
	json_array_append_new(left_out, json_string(text));
}

static void measure_costs(json_t *report, const struct effort *effort, json_t *left_out)
{
	const char *why;
	json_t *overhead;

	progress("single calls with and without the preload");
	overhead = overhead_measure(effort, &why);
	progress_end();
	if (!overhead) {
		json_array_append_new(left_out, json_sprintf("the preload: %s", why));
		return;
	}
	json_object_set_new(report, "overhead", overhead);
	json_object_set_new(report, "programs", whole_measure(effort, left_out));
}

static void measure_all(json_t *report, const struct options *options, const struct effort *effort,
	const struct cell *cells, unsigned int count)
{
	json_t *results = json_array(), *left_out = json_array();
	const uint64_t began = now_ns();
	char what[128];
	const char *why;

	json_object_set_new(report, "memory_limit", json_integer((json_int_t)options->memory));
	json_object_set_new(report, "cells", results);
	json_object_set_new(report, "left_out", left_out);
	report_print_head(report);
	for (unsigned int i = 0; i < count; i++) {
		json_t *result = NULL;

		describe_cell(what, sizeof(what), &cells[i]);
		progress("[%u/%u] %s", i + 1, count, what);
		why = "there was no time left for it";
		if (!effort->cells_ns ||
			now_ns() - began + measure_expected_ns(&cells[i], options, effort) <
				effort->cells_ns)
			result = measure_cell(&cells[i], options, effort, &why);
		progress_end();
		if (why)
			leave_out(left_out, &cells[i], why);
		if (!result)
			continue;
		json_array_append_new(results, result);
		report_print_cell(result, options->full_lines);
	}
	if (!options->ways || options->costs)
		measure_costs(report, effort, left_out);
	json_object_set_new(report, "seconds", json_real((double)(now_ns() - began) / 1e9));
}

static json_t *read_report(const char *path)
{
	json_error_t error;
	json_t *report = json_load_file(path, 0, &error);

	if (!report)
		die_usage("--read: %s: %s", path, error.text);
	if (!json_is_array(json_object_get(report, "cells")))
		die_usage("--read: %s was not written by --json", path);
	return report;
}

static void show_report(json_t *report, bool full_lines)
{
	json_t *cell;
	size_t i;

	report_print_head(report);
	json_array_foreach(json_object_get(report, "cells"), i, cell)
	{
		report_print_cell(cell, full_lines);
	}
}

static unsigned int parse_number(
	const char *option, const char *text, unsigned int least, unsigned int most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < least || value > most)
		die_usage("%s: '%s' is not a number from %u to %u", option, text, least, most);
	return (unsigned int)value;
}

int main(int argc, char **argv)
{
	enum { OPT_TSV = 256, OPT_READ, OPT_PRELOAD, OPT_MINUTES };
	static const struct option long_options[] = {
		{"quick", no_argument, NULL, 'q'},
		{"minutes", required_argument, NULL, OPT_MINUTES},
		{"sizes", required_argument, NULL, 's'},
		{"kinds", required_argument, NULL, 'k'},
		{"threads", required_argument, NULL, 't'},
		{"mappings", required_argument, NULL, 'm'},
		{"ways", required_argument, NULL, 'w'},
		{"rounds", required_argument, NULL, 'r'},
		{"places", required_argument, NULL, 'p'},
		{"anywhere", no_argument, NULL, 'a'},
		{"long", no_argument, NULL, 'l'},
		{"breakdown", no_argument, NULL, 'b'},
		{"costs", no_argument, NULL, 'c'},
		{"json", required_argument, NULL, 'j'},
		{"tsv", required_argument, NULL, OPT_TSV},
		{"read", required_argument, NULL, OPT_READ},
		{"preload", required_argument, NULL, OPT_PRELOAD},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	static struct cell cells[MAX_CELLS];
	struct options options = {0};
	struct effort effort = {1000000000, 15, 4000000000, false, 300, false, 300, 15000000000,
		6 * MINUTE - COSTS_NS};
	const char *json = NULL, *tsv = NULL, *read = NULL;
	unsigned int rounds = 0, count;
	FILE *out = NULL;
	json_t *report;
	int c;

	while ((c = getopt_long(argc, argv, "qs:k:t:m:w:r:p:albcj:hV", long_options, NULL)) != -1) {
		switch (c) {
		case 'q':
			options.quick = true;
			effort = (struct effort){300000000, 15, 1000000000, false, 60, true, 50,
				1500000000, 11000000000};
			break;
		case 's':
			options.sizes = optarg;
			break;
		case 'k':
			options.kinds = optarg;
			break;
		case 't':
			options.threads = optarg;
			break;
		case 'm':
			options.mappings = optarg;
			break;
		case 'w':
			options.ways = optarg;
			break;
		case 'r':
			rounds = parse_number("--rounds", optarg, 1, MAX_SAMPLES);
			break;
		case 'a':
			options.places = place_names[PLACE_ANYWHERE];
			break;
		case 'p':
			options.places = optarg;
			break;
		case 'l':
			options.full_lines = true;
			break;
		case 'b':
			options.breakdown = true;
			break;
		case 'c':
			options.costs = true;
			break;
		case 'j':
			json = optarg;
			break;
		case OPT_MINUTES:
			effort.cells_ns = parse_number("--minutes", optarg, 3, 600) * MINUTE -
					  COSTS_NS;
			break;
		case OPT_TSV:
			tsv = optarg;
			break;
		case OPT_READ:
			read = optarg;
			break;
		case OPT_PRELOAD:
			options.preload = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'V':
			puts("remap-bench (libremap) " PACKAGE_VERSION);
			return 0;
		default:
			return 2;
		}
	}
	if (optind < argc)
		die_usage("unexpected argument '%s'", argv[optind]);
	if (rounds) {
		effort.rounds = rounds;
		effort.runs = rounds;
		effort.batches = rounds < 1000 ? rounds : 1000;
		effort.exact = true;
	}
	/* The promised time is that of the plan as it is. */
	if (rounds || options.kinds || options.sizes || options.threads || options.mappings ||
		options.places)
		effort.cells_ns = 0;
	if (options.breakdown) {
		options.kinds = options.kinds ? options.kinds : "private";
		options.sizes = options.sizes ? options.sizes : "4K";
		options.threads = options.threads ? options.threads : "0,4";
		options.mappings = options.mappings ? options.mappings : "0";
		options.places = options.places ? options.places : place_names[PLACE_RESERVED];
	}
	if (sysconf(_SC_PAGESIZE) != (long)PAGE)
		die("pages of %ld bytes: only machines with 4 KiB pages are measured",
			sysconf(_SC_PAGESIZE));
	cells_check_lists(&options);
	count = options.costs ? 0 : cells_plan(&options, cells);
	if (options.breakdown) {
		options.memory = memory_limit();
		overhead_load(options.preload);
		for (unsigned int i = 0; i < count; i++)
			breakdown(&cells[i], rounds ? rounds : 300);
		return fflush(stdout) || ferror(stdout);
	}
	if (read) {
		report = read_report(read);
		show_report(report, options.full_lines);
	} else {
		if (json && !(out = fopen(json, "we")))
			die_usage("--json: %s: %s", json, strerror(errno));
		options.memory = memory_limit();
		overhead_load(options.preload);
		report = report_head(&options);
		measure_all(report, &options, &effort, cells, count);
	}
	report_print_rest(report);
	if (out && (json_dumpf(report, out, JSON_INDENT(1) | JSON_REAL_PRECISION(15)) ||
			   fputc('\n', out) == EOF || fclose(out)))
		die("%s: write error", json);
	if (tsv && report_write_tsv(report, tsv))
		die("%s: %s", tsv, strerror(errno));
	json_decref(report);
	if (fflush(stdout) || ferror(stdout))
		die("write error: %s", strerror(errno));
	return 0;
}
