/* SPDX-License-Identifier: MIT */
/*
 * What the preload library costs whole programs: starting one that does nothing, a compiler, a JVM
 * that collects.
 *
 * Each is run without it, with it as this kernel calls for, and with it as on a kernel without the
 * flag (native:no), in turn, the order rotating; the time is from posix_spawn(3) to waitpid(2). A
 * program whose files are not here (no source tree, no JDK), or that fails when it is first run, is
 * left out with the reason.
 */
#include "tests/bench/costs.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef RM_BENCH_SOURCE
#define RM_BENCH_SOURCE "."
#endif
#define MAX_RUNS     1000
#define COMPILED     RM_BENCH_SOURCE "/emul/plan.c"
#define JAVA_PROGRAM RM_BENCH_SOURCE "/tests/bench/Garbage.java"

extern char **environ;

static const struct program {
	const char *name, *file; /* file: what it needs, NULL: nothing */
	bool long_run;		 /* not for --quick */
	const char *const argv[12];
} programs[] = {
	{"/bin/true", NULL, false, {"/bin/true", NULL}},
	{"gcc -O2 -c plan.c", COMPILED, false,
		{"gcc", "-O2", "-D_GNU_SOURCE", "-I" RM_BENCH_SOURCE,
			"-I" RM_BENCH_SOURCE "/include", "-c", COMPILED, "-o", "/dev/null", NULL}},
	{"java, ParallelGC, 64 MiB heap", JAVA_PROGRAM, true,
		{"java", "-XX:+UseParallelGC", "-Xms64m", "-Xmx64m", JAVA_PROGRAM, NULL}},
};

/* The environment of a door: ours without what concerns libremap, and its own words. */
static char **make_environment(enum door door, const char *preload)
{
	static char loaded[4300], pass[] = "LIBREMAP_CONF=native:yes",
				  serve[] = "LIBREMAP_CONF=native:no";
	char **made;
	size_t count = 0, used = 0;

	while (environ[count])
		count++;
	made = calloc(count + 3, sizeof(*made));
	if (!made)
		die("out of memory");
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], "LIBREMAP_", 9) && strncmp(environ[i], "LD_PRELOAD=", 11))
			made[used++] = environ[i];
	if (door == DOOR_LIBC)
		return made;
	snprintf(loaded, sizeof(loaded), "LD_PRELOAD=%s", preload);
	made[used++] = loaded;
	made[used] = door == DOOR_PASS ? pass : serve;
	return made;
}

/* Nanoseconds, or 0 with *status as waitpid tells it (-1: it could not be started, errno). */
static uint64_t run(const struct program *program, char **environment, int *status)
{
	posix_spawn_file_actions_t actions;
	uint64_t began = now_ns(), took;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(
		&pid, program->argv[0], &actions, NULL, (char **)program->argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	*status = -1;
	errno = r;
	if (r)
		return 0;
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			die("waitpid: %s", strerror(errno));
	took = now_ns() - began;
	return *status ? 0 : took;
}

static json_t *why_not(const struct program *program, int status)
{
	if (status == -1)
		return json_sprintf("%s: %s", program->name, strerror(errno));
	if (WIFSIGNALED(status))
		return json_sprintf("%s: killed by signal %d", program->name, WTERMSIG(status));
	return json_sprintf("%s: exit status %d", program->name, WEXITSTATUS(status));
}

static json_t *measure(const struct program *program, char **environments[DOOR_COUNT],
	const struct effort *effort, json_t *left_out)
{
	static uint64_t samples[DOOR_COUNT][MAX_RUNS];
	const unsigned int most = effort->runs < MAX_RUNS ? effort->runs : MAX_RUNS;
	const uint64_t began = now_ns();
	double added[DOOR_COUNT], base = 0;
	unsigned int count = 0;
	json_t *row, *result;
	uint64_t first = 0;
	int status;

	for (int door = 0; door < DOOR_COUNT; door++) { /* once for the caches */
		first = run(program, environments[door], &status);
		if (!first) {
			json_array_append_new(left_out, why_not(program, status));
			return NULL;
		}
	}
	if (first > effort->programs_ns) {
		json_array_append_new(left_out,
			json_sprintf("%s: one run takes longer than all should", program->name));
		return NULL;
	}
	while (count < most && (count < 3 || now_ns() - began < effort->programs_ns)) {
		for (unsigned int d = 0; d < DOOR_COUNT; d++) {
			const enum door door = (count + d) % DOOR_COUNT;

			samples[door][count] = run(program, environments[door], &status);
			if (!samples[door][count])
				die("%s failed, and did not before", program->name);
		}
		count++;
	}
	row = json_pack("{s:s}", "program", program->name);
	for (int door = 0; door < DOOR_COUNT; door++)
		added[door] = median_difference(samples[door], samples[0], count);
	for (int door = 0; door < DOOR_COUNT; door++) {
		double median;

		result = summarize(samples[door], count);
		median = (double)json_integer_value(json_object_get(result, "median_ns"));
		if (!door)
			base = median;
		else
			json_object_set_new(result, "added_ns", json_real(added[door]));
		json_object_set_new(result, "ratio", json_real(median / base));
		json_object_set_new(row, door_names[door], result);
	}
	return row;
}

json_t *whole_measure(const struct effort *effort, json_t *left_out)
{
	char **environments[DOOR_COUNT];
	json_t *result = json_array();
	const char *why, *preload = overhead_preload(&why);

	if (!preload)
		return result;
	for (int door = 0; door < DOOR_COUNT; door++)
		environments[door] = make_environment((enum door)door, preload);
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		const struct program *program = &programs[i];
		json_t *row = NULL;

		progress("whole runs: %s", program->name);
		if (program->long_run && effort->quick)
			json_array_append_new(
				left_out, json_sprintf("%s: not with --quick", program->name));
		else if (program->file && access(program->file, R_OK))
			json_array_append_new(left_out, json_sprintf("%s: %s: %s", program->name,
								program->file, strerror(errno)));
		else
			row = measure(program, environments, effort, left_out);
		if (row)
			json_array_append_new(result, row);
	}
	progress_end();
	for (int door = 0; door < DOOR_COUNT; door++)
		free(environments[door]);
	return result;
}
