/* SPDX-License-Identifier: MIT */
/*
 * The part of the report that tells what the preload costs programs that do not need it.
 *
 * Single calls in nanoseconds, with the median of what a pair differs by; whole programs with the
 * ratio of the medians.
 */
#include "tests/bench/costs.h"

#include <stdio.h>

void report_print_calls(json_t *rows)
{
	json_t *row;
	size_t i;

	printf("\nNot in the way: calls that need no emulation, ns each\n%-36s", "");
	for (int d = 0; d < CALL_DOORS; d++)
		printf(d ? "%18s" : "%9s", door_names[d]);
	puts("");
	json_array_foreach(rows, i, row)
	{
		printf("%-36s", json_string_value(json_object_get(row, "call")));
		for (int d = 0; d < CALL_DOORS; d++) {
			json_t *door = json_object_get(row, door_names[d]);
			json_t *added = json_object_get(door, "added_ns");
			char text[48];
			const int ns = (int)report_integer(door, "median_ns");

			if (!door)
				snprintf(text, sizeof(text), "-");
			else if (added)
				snprintf(text, sizeof(text), "%d (%+.1f)", ns,
					json_number_value(added));
			else
				snprintf(text, sizeof(text), "%d", ns);
			printf(d ? "%18s" : "%9s", text);
		}
		puts("");
	}
	puts("libc-filtered: in a process under the seccomp filter of remap-run --pretend 5.4.");
}

void report_print_programs(json_t *rows)
{
	json_t *row;
	size_t i;

	if (!json_array_size(rows))
		return;
	printf("\nNot in the way: whole runs; x: median beside that without the preload\n%-30s%6s",
		"", "runs");
	printf("%9s%8s%9s%8s%6s%10s%8s%6s\n", "without", "p99", "preload", "p99", "x", "emulating",
		"p99", "x");
	json_array_foreach(rows, i, row)
	{
		printf("%-30s%6d", json_string_value(json_object_get(row, "program")),
			(int)report_integer(json_object_get(row, door_names[0]), "n"));
		for (int d = 0; d < DOOR_COUNT; d++) {
			json_t *door = json_object_get(row, door_names[d]);
			char t[2][REPORT_TIME_LEN];

			printf("%*s%8s", d == DOOR_SERVE ? 10 : 9,
				report_time(t[0], door, "median_ns"),
				report_time(t[1], door, "p99_ns"));
			if (d)
				printf("%6.2f", json_number_value(json_object_get(door, "ratio")));
		}
		puts("");
	}
}
