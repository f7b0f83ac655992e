/*
 * record.c - keeps what one kernel answered, to compare another kernel with it later.
 *
 * A recording is a text file: a first line with the options that make the run, then the blocks of
 * run.c. --against reads the options from it, makes the same run here (under whatever this process
 * was started with) and compares block by block. The operations are not stored; each block carries
 * their hash, so a recording made by another generator is refused instead of misread.
 */
#include "oracle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEADER "# remap-oracle recording " ORACLE_VERSION

int oracle_record(const char *path)
{
	struct utsname uts;
	FILE *out = fopen(path, "we");

	if (!out || uname(&uts)) {
		fprintf(stderr, "remap-oracle: %s: %s\n", path, strerror(errno));
		return 3;
	}
	fprintf(out,
		HEADER " seed=%llu sequences=%lu ops=%d kinds=%u moves=%u level=%d each=%d "
		       "scenarios=%d portable=%d\n",
		(unsigned long long)oracle_opt.seed,
		oracle_opt.run_random ? oracle_opt.sequences : 0, oracle_opt.ops, oracle_opt.kinds,
		oracle_opt.moves, oracle_opt.level, oracle_opt.each, oracle_opt.run_scenarios,
		oracle_opt.portable);
	fprintf(out, "# Linux %s %s, page size %zu\n", uts.release, uts.machine, oracle_page);
	fflush(out);
	oracle_run_all(out);
	if (fclose(out)) {
		fprintf(stderr, "remap-oracle: %s: %s\n", path, strerror(errno));
		return 3;
	}
	return 0;
}

static int read_header(FILE *in, const char *path)
{
	unsigned long long seed;
	int level, each, scenarios, portable;
	char line[256];

	if (!fgets(line, sizeof(line), in) ||
		sscanf(line,
			HEADER " seed=%llu sequences=%lu ops=%d kinds=%u moves=%u level=%d each=%d "
			       "scenarios=%d portable=%d",
			&seed, &oracle_opt.sequences, &oracle_opt.ops, &oracle_opt.kinds,
			&oracle_opt.moves, &level, &each, &scenarios, &portable) != 9 ||
		level < LEVEL_CONTENT || level > LEVEL_ALL || each < EACH_RESULT ||
		each > EACH_FULL || oracle_opt.ops < 1 || oracle_opt.ops > ORACLE_MAX_OPS ||
		!oracle_opt.kinds || oracle_opt.kinds >= 1u << KINDS || !oracle_opt.moves ||
		oracle_opt.moves > MOVES_ALL || !fgets(line, sizeof(line), in)) {
		fprintf(stderr, "remap-oracle: %s: not a recording of this version\n", path);
		return -1;
	}
	oracle_opt.seed = seed;
	oracle_opt.level = (enum oracle_level)level;
	oracle_opt.each = (enum oracle_each)each;
	oracle_opt.run_scenarios = scenarios;
	oracle_opt.portable = portable;
	oracle_opt.run_random = oracle_opt.sequences > 0;
	return 0;
}

/*
 * The run goes through a pipe so that the blocks are compared as they come; the writer is a
 * child.
 */
int oracle_against(const char *path)
{
	struct oracle_block recorded = {0}, here = {0};
	unsigned long blocks = 0, differing = 0, excused = 0, skipped = 0, told = 0;
	FILE *in = fopen(path, "re"), *out, *from;
	int ends[2], got, got_here, status = 0;
	pid_t pid;

	if (!in) {
		fprintf(stderr, "remap-oracle: %s: %s\n", path, strerror(errno));
		return 2;
	}
	if (read_header(in, path)) {
		fclose(in);
		return 2;
	}
	if (pipe(ends) || (pid = fork()) < 0) {
		fprintf(stderr, "remap-oracle: %s\n", strerror(errno));
		return 3;
	}
	if (pid == 0) {
		close(ends[0]);
		out = fdopen(ends[1], "w");
		if (out)
			oracle_run_all(out);
		_exit(out && !fflush(out) ? 0 : 3);
	}
	close(ends[1]);
	from = fdopen(ends[0], "r");
	for (;;) {
		struct oracle_difference diff;

		got = oracle_block_read(&recorded, in);
		got_here = oracle_block_read(&here, from);
		if (got != 1 || got_here != 1)
			break;
		if (strcmp(recorded.lines[0], here.lines[0])) {
			fprintf(stderr,
				"remap-oracle: %s was recorded with other operations: %s, here "
				"%s\n",
				path, recorded.lines[0], here.lines[0]);
			status = 2;
			break;
		}
		diff = oracle_block_compare(&recorded, &here);
		blocks++;
		differing += (unsigned long)diff.differing;
		excused += (unsigned long)diff.excused;
		skipped += diff.skipped;
		if (diff.differing && told++ < ORACLE_MAX_TOLD)
			printf("differs: %s: %d observations, first: recorded \"%s\", here "
			       "\"%s\"\n",
				here.lines[0], diff.differing,
				diff.first_native ? diff.first_native : "(nothing)",
				diff.first_other ? diff.first_other : "(nothing)");
	}
	if (!status && (got != 0 || got_here != 0)) {
		fprintf(stderr, "remap-oracle: the run and %s do not end together\n", path);
		status = 3;
	}
	fclose(from);
	fclose(in);
	waitpid(pid, NULL, 0);
	oracle_block_free(&recorded);
	oracle_block_free(&here);
	if (told > ORACLE_MAX_TOLD)
		printf("and %lu more\n", told - ORACLE_MAX_TOLD);
	printf("against %s: %lu sequences and scenarios: %lu differing observations in %lu, "
	       "%lu excused, %lu not compared\n",
		path, blocks, differing, told, excused, skipped);
	oracle_excuses_report(stdout);
	return status ? status : differing ? 1 : 0;
}
