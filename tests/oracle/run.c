/*
 * run.c - runs sequences, each in a child, and prints a block of lines for each.
 *
 *   sequence SEED HASH           or: scenario NAME, or: script
 *   op 1 mmap 0 #...             what each operation answered, and a digest of the field
 *   ...
 *   final                        then what is seen at the end (observe.c)
 *   end
 *
 * oracle_run_all prints the blocks of a seed range and of the wanted scenarios. oracle_serve reads
 * scripts from a stream, ended by a line ".", and answers each with a block: the shrinker asks
 * thousands of small questions and must not start a process for each.
 */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

struct job {
	const struct oracle_op *ops;
	int count;
};

static void run_job(void *arg)
{
	const struct job *job = arg;

	oracle_execute(job->ops, job->count);
}

void oracle_run_ops(const char *title, const struct oracle_op *ops, int count, FILE *out)
{
	struct job job = {ops, count};
	struct oracle_result result = oracle_run_child(run_job, &job);

	fprintf(out, "%s\n", title);
	fwrite(result.text, 1, result.len, out);
	fputs("end\n", out);
}

void oracle_run_all(FILE *out)
{
	const struct oracle_scenario *scenario = NULL;
	struct oracle_op *ops = calloc(ORACLE_MAX_OPS, sizeof(*ops));
	unsigned long i;

	if (!ops)
		return;
	while (oracle_opt.run_scenarios && (scenario = oracle_scenario_next(scenario)))
		if (oracle_scenario_wanted(scenario))
			oracle_scenario_run(scenario, out);
	for (i = 0; oracle_opt.run_random && i < oracle_opt.sequences; i++) {
		int count = oracle_generate(oracle_opt.seed + i, &oracle_opt, ops);
		char title[80];

		snprintf(title, sizeof(title), "sequence %llu %016llx",
			(unsigned long long)(oracle_opt.seed + i),
			(unsigned long long)oracle_script_hash(ops, count));
		oracle_run_ops(title, ops, count, out);
	}
	fflush(out);
	free(ops);
}

int oracle_serve(FILE *in, FILE *out)
{
	struct oracle_op *ops = calloc(ORACLE_MAX_OPS, sizeof(*ops));
	char line[256];
	int count = 0;

	if (!ops)
		return 1;
	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = 0;
		if (strcmp(line, ".")) {
			if (count == ORACLE_MAX_OPS || oracle_op_parse(line, &ops[count++])) {
				fprintf(stderr, "remap-oracle: not an operation: %s\n", line);
				free(ops);
				return 2;
			}
			continue;
		}
		oracle_run_ops("script", ops, count, out);
		fflush(out);
		count = 0;
	}
	free(ops);
	return 0;
}
