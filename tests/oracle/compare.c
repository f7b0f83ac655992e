/*
 * compare.c - the kernel against something that claims to be the same: a count of differing
 * observations.
 *
 * Starts this program twice with the same options, once as it is and once under a command
 * ("remap-run --emulate --"), reads the blocks of both as they come and counts. It should be 0.
 * Progress goes to standard error; the verdict, the differing sequences and their minimal forms to
 * standard output.
 *
 * Exit status: 0 no difference that is not excused, 1 differences, 3 one of the sides did not run.
 */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct tally {
	unsigned long blocks, operations, observations, differing, differing_blocks, excused,
		skipped;
	int shrunk, known;
	struct timespec began, told;
};

static double since(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - from->tv_sec) + (double)(now.tv_nsec - from->tv_nsec) / 1e9;
}

static void progress(struct tally *tally)
{
	double seconds = since(&tally->began);

	if (oracle_opt.quiet || since(&tally->told) < 5)
		return;
	clock_gettime(CLOCK_MONOTONIC, &tally->told);
	fprintf(stderr,
		"remap-oracle: %lu sequences, %lu operations, %.0f a second, %lu differences\n",
		tally->blocks, tally->operations, (double)tally->operations / seconds,
		tally->differing);
}

static unsigned long count_operations(const struct oracle_block *block)
{
	unsigned long count = 0;
	int i;

	for (i = 0; i < block->count; i++)
		count += !strncmp(block->lines[i], "op ", 3);
	return count;
}

/* Finds the operations of a block from its title, or returns 0. */
static int block_ops(const struct oracle_block *block, struct oracle_op *ops)
{
	const struct oracle_scenario *scenario;
	const char *title = block->lines[0];

	if (!strncmp(title, "sequence ", 9))
		return oracle_generate(strtoull(title + 9, NULL, 10), &oracle_opt, ops);
	scenario = strncmp(title, "scenario ", 9) ? NULL : oracle_scenario_find(title + 9);
	if (scenario && scenario->script)
		return oracle_script_parse(scenario->script, ops, ORACLE_MAX_OPS);
	return 0;
}

static void explain(struct tally *tally, const struct oracle_block *native,
	const struct oracle_difference *diff, char **prefix, int max_shrink)
{
	struct oracle_op *ops;
	int count;

	if (tally->shrunk >= max_shrink) {
		if (tally->differing_blocks <= ORACLE_MAX_TOLD)
			printf("differs: %s: %d observations, first: native \"%s\", other \"%s\"\n",
				native->lines[0], diff->differing,
				diff->first_native ? diff->first_native : "(nothing)",
				diff->first_other ? diff->first_other : "(nothing)");
		return;
	}
	tally->shrunk++;
	printf("differs: %s: %d observations\n  native: %s\n  other:  %s\n", native->lines[0],
		diff->differing, diff->first_native ? diff->first_native : "(nothing)",
		diff->first_other ? diff->first_other : "(nothing)");
	ops = calloc(ORACLE_MAX_OPS, sizeof(*ops));
	count = ops ? block_ops(native, ops) : 0;
	/* One that was known already costs only an eighth of a place. */
	if (count > 0 && oracle_shrink(ops, count, prefix) == 0 && tally->known++ % 8)
		tally->shrunk--;
	free(ops);
	fflush(stdout);
}

static void compare_streams(struct tally *tally, struct oracle_side side[2], char **prefix,
	int max_shrink, bool *broken)
{
	struct oracle_block native = {0}, other = {0};

	for (;;) {
		int got = oracle_block_read(&native, side[0].out);
		int got_other = oracle_block_read(&other, side[1].out);
		struct oracle_difference diff;

		if (got != 1 || got_other != 1) {
			*broken = got != 0 || got_other != 0;
			break;
		}
		if (strcmp(native.lines[0], other.lines[0])) {
			fprintf(stderr, "remap-oracle: the sides are at different blocks: %s, %s\n",
				native.lines[0], other.lines[0]);
			*broken = true;
			break;
		}
		diff = oracle_block_compare(&native, &other);
		tally->blocks++;
		tally->operations += count_operations(&native);
		tally->observations += (unsigned long)native.count;
		tally->excused += (unsigned long)diff.excused;
		tally->skipped += diff.skipped;
		if (diff.skipped && !oracle_opt.quiet)
			fprintf(stderr, "remap-oracle: not compared: %s: %s\n", native.lines[0],
				strncmp(native.lines[native.count - 1], "skip", 4)
					? other.lines[other.count - 1]
					: native.lines[native.count - 1]);
		if (diff.differing) {
			tally->differing += (unsigned long)diff.differing;
			tally->differing_blocks++;
			explain(tally, &native, &diff, prefix, max_shrink);
		}
		progress(tally);
	}
	oracle_block_free(&native);
	oracle_block_free(&other);
}

int oracle_compare(char **prefix, int max_shrink)
{
	struct oracle_side side[2];
	struct tally tally = {0};
	bool broken = false;
	int status[2];

	clock_gettime(CLOCK_MONOTONIC, &tally.began);
	tally.told = tally.began;
	if (oracle_side_start(&side[0], NULL, false) || oracle_side_start(&side[1], prefix, false))
		return 3;
	compare_streams(&tally, side, prefix, max_shrink, &broken);
	status[0] = oracle_side_stop(&side[0]);
	status[1] = oracle_side_stop(&side[1]);
	printf("compared %lu sequences and scenarios, %lu operations, %lu observations in %.1f s: "
	       "%lu differing observations in %lu sequences, %lu excused, %lu not compared\n",
		tally.blocks, tally.operations, tally.observations, since(&tally.began),
		tally.differing, tally.differing_blocks, tally.excused, tally.skipped);
	oracle_excuses_report(stdout);
	if (broken || status[0] || status[1] || !tally.blocks) {
		fprintf(stderr,
			"remap-oracle: a side did not run to its end (exit %d native, %d other)\n",
			status[0], status[1]);
		return 3;
	}
	return tally.differing ? 1 : 0;
}
