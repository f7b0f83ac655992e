/*
 * scenario.c - the list of named scenarios and how one is run.
 *
 * A scenario is a script of operations, observed in full after each, or a function for what a
 * script cannot say. Each is named for the behaviour it shows. A function prints "skip REASON"
 * when this machine lacks what it needs; such a scenario is not compared.
 */
#include "oracle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const struct oracle_scenario *const lists[] = {
	oracle_scenarios_errno,
	oracle_scenarios_destination,
	oracle_scenarios_dontunmap,
	oracle_scenarios_special,
	oracle_scenarios_uffd,
};

#define LISTS (sizeof(lists) / sizeof(lists[0]))

const struct oracle_scenario *oracle_scenario_next(const struct oracle_scenario *at)
{
	size_t i;

	if (!at)
		return lists[0];
	if ((++at)->name)
		return at;
	for (i = 0; i + 1 < LISTS; i++) {
		const struct oracle_scenario *end = lists[i];

		while (end->name)
			end++;
		if (end == at)
			return lists[i + 1];
	}
	return NULL;
}

const struct oracle_scenario *oracle_scenario_find(const char *name)
{
	const struct oracle_scenario *at = NULL;

	while ((at = oracle_scenario_next(at)))
		if (!strcmp(at->name, name))
			break;
	return at;
}

bool oracle_scenario_wanted(const struct oracle_scenario *scenario)
{
	char **name;

	for (name = oracle_opt.names; *name; name++)
		if (!strcmp(*name, scenario->name))
			return true;
	return oracle_opt.names[0] == NULL;
}

void oracle_scenarios_list(FILE *out)
{
	const struct oracle_scenario *at = NULL;

	while ((at = oracle_scenario_next(at)))
		fprintf(out, "%s\n", at->name);
}

/* For scenarios written as functions: operations in this process, observed at the end only. */
void oracle_setup(const char *text)
{
	enum oracle_each each = oracle_opt.each;

	oracle_opt.each = EACH_RESULT;
	oracle_script(text);
	oracle_opt.each = each;
}

void oracle_say(const char *what, const void *got)
{
	int err = errno;
	char place[32];

	oracle_out("op %s %s\n", what,
		got == MAP_FAILED ? oracle_errno_name(err) : oracle_place((uintptr_t)got, place));
}

void oracle_script(const char *text)
{
	static struct oracle_op ops[64];
	int count = oracle_script_parse(text, ops, 64);

	if (count < 0)
		abort();
	oracle_execute(ops, count);
}

static void run_body(void *arg)
{
	const struct oracle_scenario *scenario = arg;

	if (scenario->script)
		oracle_script(scenario->script);
	else
		scenario->body();
}

void oracle_scenario_run(const struct oracle_scenario *scenario, FILE *out)
{
	enum oracle_each each = oracle_opt.each;
	struct oracle_result result;

	if (each == EACH_DIGEST)
		oracle_opt.each = EACH_FULL;
	result = oracle_run_child(run_body, (void *)(uintptr_t)scenario);
	oracle_opt.each = each;
	fprintf(out, "scenario %s\n", scenario->name);
	fwrite(result.text, 1, result.len, out);
	fputs("end\n", out);
}
