/*
 * oracle.c - remap-oracle: the kernel is the oracle, the distance is a count of differing
 * observations.
 *
 * Runs named scenarios and seeded random sequences of mapping calls and prints everything a
 * program could notice, free of addresses. Run natively it prints what is right; run under
 * something that claims to be the same (remap-run --emulate --) it has to print the same bytes.
 * --compare does both and counts.
 *
 * This file: options. It does not link libremap; it is the ordinary program that libremap serves.
 *
 * Exit status: 0 no differences, 1 differences, 2 usage, 3 the run itself failed.
 */
#include "oracle.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef ORACLE_EXCUSED
#define ORACLE_EXCUSED NULL
#endif

static char *no_names[] = {NULL};

struct oracle_options oracle_opt = {
	.seed = 1,
	.sequences = 100,
	.ops = 40,
	.kinds = (1u << KINDS) - 1,
	.moves = MOVES_ALL,
	.level = LEVEL_ALL,
	.each = EACH_DIGEST,
	.timeout = 20,
	.names = no_names,
};

enum action { RUN, LIST, SERVE, COMPARE, RECORD, AGAINST, PRINT, REPRO, SCRIPT };

enum {
	OPT_SCENARIOS = 256,
	OPT_LIST,
	OPT_SEED,
	OPT_SEQUENCES,
	OPT_OPS,
	OPT_KINDS,
	OPT_FLAGS,
	OPT_KIND_MASK,
	OPT_FLAG_MASK,
	OPT_LEVEL,
	OPT_EACH,
	OPT_TIMEOUT,
	OPT_THREADS,
	OPT_PORTABLE,
	OPT_PRINT,
	OPT_REPRO,
	OPT_SCRIPT,
	OPT_SERVE,
	OPT_COMPARE,
	OPT_SHRINK,
	OPT_EXCUSED,
	OPT_RECORD,
	OPT_AGAINST,
};

static const struct option options[] = {
	{"scenarios", no_argument, NULL, OPT_SCENARIOS},
	{"list", no_argument, NULL, OPT_LIST},
	{"seed", required_argument, NULL, OPT_SEED},
	{"sequences", required_argument, NULL, OPT_SEQUENCES},
	{"ops", required_argument, NULL, OPT_OPS},
	{"kinds", required_argument, NULL, OPT_KINDS},
	{"flags", required_argument, NULL, OPT_FLAGS},
	{"kind-mask", required_argument, NULL, OPT_KIND_MASK},
	{"flag-mask", required_argument, NULL, OPT_FLAG_MASK},
	{"level", required_argument, NULL, OPT_LEVEL},
	{"each", required_argument, NULL, OPT_EACH},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"threads", required_argument, NULL, OPT_THREADS},
	{"portable", no_argument, NULL, OPT_PORTABLE},
	{"print-sequence", no_argument, NULL, OPT_PRINT},
	{"repro", no_argument, NULL, OPT_REPRO},
	{"script", required_argument, NULL, OPT_SCRIPT},
	{"serve", no_argument, NULL, OPT_SERVE},
	{"compare", no_argument, NULL, OPT_COMPARE},
	{"shrink", required_argument, NULL, OPT_SHRINK},
	{"excused", required_argument, NULL, OPT_EXCUSED},
	{"record", required_argument, NULL, OPT_RECORD},
	{"against", required_argument, NULL, OPT_AGAINST},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static const char help[] =
	"Usage: remap-oracle [OPTION]... [SCENARIO...]\n"
	"       remap-oracle --compare [OPTION]... [SCENARIO...] -- COMMAND...\n"
	"Prints what mapping calls do here, free of addresses; or compares that with what they do "
	"under COMMAND.\n"
	"\n"
	"  --scenarios        run the scenarios (all, or the named ones); see --list\n"
	"  --list             list the scenarios\n"
	"  --seed N           first seed (1)\n"
	"  --sequences N      how many random sequences (100), seeds N, N+1, ...\n"
	"  --ops N            operations of each (40)\n"
	"  --kinds LIST       only these: anon,shared,memfd,file\n"
	"  --flags LIST       only these mremaps: dontunmap,fixed,resize,duplicate,invalid\n"
	"  --level LEVEL      what to observe: content, vmas, flags, rss, all (all)\n"
	"  --each WHAT        after each operation: result, digest, full (digest)\n"
	"  --portable         only sequences whose outcome does not depend on what a kernel "
	"merges\n"
	"  --timeout N        seconds after which a sequence counts as hung (20)\n"
	"  --threads N        threads that wait beside each sequence, in its process (0)\n"
	"  --print-sequence   print the operations of the seeds instead of running them\n"
	"  --repro            print them, or the script, as a C program\n"
	"  --script FILE      run the operations in FILE (as --print-sequence prints them)\n"
	"  --compare          run natively and under COMMAND, count differences, shrink the first "
	"ones\n"
	"  --shrink N         how many differing sequences to shrink (3)\n"
	"  --excused FILE     known bugs of the native kernel\n"
	"  --record FILE      keep the output in FILE\n"
	"  --against FILE     compare this run with a recording\n"
	"  -q, --quiet        no progress on standard error\n"
	"  -h, --help         this text\n"
	"  -V, --version      version\n"
	"\n"
	"Without --scenarios and --sequences both are run. Exit status: 0 no differences, 1 "
	"differences, 2 usage,\n"
	"3 a run failed.\n";

static void __attribute__((noreturn, format(printf, 1, 2))) wrong(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("remap-oracle: ", stderr);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs(" (see remap-oracle --help)\n", stderr);
	exit(2);
}

static uint64_t parse_number(const char *name, const char *text, uint64_t min, uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || strchr(text, '-') || value < min || value > max)
		wrong("--%s: \"%s\" is no number between %llu and %llu", name, text,
			(unsigned long long)min, (unsigned long long)max);
	return value;
}

struct word {
	const char *name;
	unsigned int value;
};

static const struct word kind_words[] = {
	{"anon", 1u << KIND_ANON},
	{"shared", 1u << KIND_SHARED},
	{"memfd", 1u << KIND_MEMFD | 1u << KIND_MEMFD_RO | 1u << KIND_MEMFD_PRIVATE},
	{"file", 1u << KIND_TMPFS | 1u << KIND_TMPFS_PRIVATE},
	{NULL, 0},
};

static const struct word move_words[] = {
	{"dontunmap", MOVES_DONTUNMAP},
	{"fixed", MOVES_FIXED},
	{"resize", MOVES_RESIZE},
	{"duplicate", MOVES_DUPLICATE},
	{"invalid", MOVES_INVALID},
	{NULL, 0},
};

static const struct word level_words[] = {
	{"content", LEVEL_CONTENT},
	{"vmas", LEVEL_VMAS},
	{"flags", LEVEL_FLAGS},
	{"rss", LEVEL_RSS},
	{"all", LEVEL_ALL},
	{NULL, 0},
};

static const struct word each_words[] = {
	{"result", EACH_RESULT}, {"digest", EACH_DIGEST}, {"full", EACH_FULL}, {NULL, 0}};

static unsigned int parse_word(const char *name, const char *text, const struct word *words)
{
	const struct word *word;

	for (word = words; word->name; word++)
		if (!strcmp(word->name, text))
			return word->value;
	wrong("--%s: \"%s\" is not known", name, text);
}

static unsigned int parse_list(const char *name, const char *text, const struct word *words)
{
	char *copy = strdup(text), *save, *at;
	unsigned int mask = 0;

	for (at = strtok_r(copy, ",", &save); at; at = strtok_r(NULL, ",", &save))
		mask |= parse_word(name, at, words);
	free(copy);
	if (!mask)
		wrong("--%s: empty list", name);
	return mask;
}

static int print_sequences(bool as_program)
{
	struct oracle_op *ops = calloc(ORACLE_MAX_OPS, sizeof(*ops));
	char line[256];
	unsigned long i;
	int count, at;

	for (i = 0; ops && i < oracle_opt.sequences; i++) {
		count = oracle_generate(oracle_opt.seed + i, &oracle_opt, ops);
		snprintf(
			line, sizeof(line), "seed %llu", (unsigned long long)(oracle_opt.seed + i));
		if (as_program) {
			oracle_repro(ops, count, line, stdout);
			continue;
		}
		printf("# %s\n", line);
		for (at = 0; at < count; at++) {
			oracle_op_print(&ops[at], line, sizeof(line));
			puts(line);
		}
	}
	free(ops);
	return 0;
}

static int run_script(const char *path, bool as_program)
{
	static char text[1 << 18];
	struct oracle_op *ops = calloc(ORACLE_MAX_OPS, sizeof(*ops));
	FILE *in = fopen(path, "re");
	size_t len;
	int count;

	if (!in || !ops)
		wrong("%s: %s", path, strerror(errno));
	len = fread(text, 1, sizeof(text) - 1, in);
	text[len] = 0;
	fclose(in);
	count = oracle_script_parse(text, ops, ORACLE_MAX_OPS);
	if (count >= 0 && as_program)
		oracle_repro(ops, count, path, stdout);
	else if (count >= 0)
		oracle_run_ops("script", ops, count, stdout);
	free(ops);
	return count < 0 ? 2 : 0;
}

/* The stack grows while we run, at a place that differs from run to run: let it grow beforehand. */
static void __attribute__((noinline)) grow_stack(void)
{
	char room[512 * 1024];

	memset(room, 1, sizeof(room));
	__asm__ volatile("" : : "r"(room) : "memory");
}

/*
 * What an emulation allocates once, at its first use, is not what a sequence leaves behind: let it
 * do so before any child counts its memory. Natively this is two moves of nothing.
 */
static void warm_up(void)
{
	static const int shares[] = {MAP_PRIVATE, MAP_SHARED};
	size_t i;

	for (i = 0; i < 2; i++) {
		void *at = mmap(oracle_at(0), oracle_page, PROT_READ | PROT_WRITE,
			MAP_FIXED | MAP_ANONYMOUS | shares[i], -1, 0);

		if (at == MAP_FAILED)
			continue;
		mremap(at, oracle_page, oracle_page,
			MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			oracle_at(ORACLE_ARENA_PAGES));
		munmap(at, oracle_page);
		munmap(oracle_at(ORACLE_ARENA_PAGES), oracle_page);
	}
}

static int prepare(void)
{
	struct rlimit limit;

	grow_stack();
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	if (!getrlimit(RLIMIT_MEMLOCK, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &limit);
	}
	if (oracle_field_init() || oracle_out_init())
		return -1;
	warm_up();
	oracle_plug_gaps();
	return 0;
}

struct command {
	enum action action;
	const char *file;
	const char *excused;
	char **prefix;
	int shrink;
	bool as_program;
};

static void take_option(int opt, struct command *command)
{
	switch (opt) {
	case OPT_SCENARIOS:
		oracle_opt.run_scenarios = true;
		break;
	case OPT_LIST:
		command->action = LIST;
		break;
	case OPT_SEED:
		oracle_opt.seed = parse_number("seed", optarg, 0, UINT64_MAX);
		break;
	case OPT_SEQUENCES:
		oracle_opt.sequences = parse_number("sequences", optarg, 0, 1000000000);
		oracle_opt.run_random = true;
		break;
	case OPT_OPS:
		oracle_opt.ops = (int)parse_number("ops", optarg, 1, ORACLE_MAX_OPS);
		break;
	case OPT_KINDS:
		oracle_opt.kinds = parse_list("kinds", optarg, kind_words);
		break;
	case OPT_FLAGS:
		oracle_opt.moves = parse_list("flags", optarg, move_words);
		break;
	case OPT_KIND_MASK:
		oracle_opt.kinds = (unsigned int)parse_number(
			"kind-mask", optarg, 1, (1u << KINDS) - 1);
		break;
	case OPT_FLAG_MASK:
		oracle_opt.moves = (unsigned int)parse_number("flag-mask", optarg, 1, MOVES_ALL);
		break;
	case OPT_LEVEL:
		oracle_opt.level = (enum oracle_level)parse_word("level", optarg, level_words);
		break;
	case OPT_EACH:
		oracle_opt.each = (enum oracle_each)parse_word("each", optarg, each_words);
		break;
	case OPT_TIMEOUT:
		oracle_opt.timeout = (int)parse_number("timeout", optarg, 1, 100000);
		break;
	case OPT_THREADS:
		oracle_opt.threads = (int)parse_number("threads", optarg, 0, 1000);
		break;
	case OPT_PORTABLE:
		oracle_opt.portable = true;
		break;
	case OPT_PRINT:
		command->action = PRINT;
		break;
	case OPT_REPRO:
		command->as_program = true;
		if (command->action == RUN)
			command->action = PRINT;
		break;
	case OPT_SCRIPT:
		command->action = SCRIPT;
		command->file = optarg;
		break;
	case OPT_SERVE:
		command->action = SERVE;
		break;
	case OPT_COMPARE:
		command->action = COMPARE;
		break;
	case OPT_SHRINK:
		command->shrink = (int)parse_number("shrink", optarg, 0, 1000);
		break;
	case OPT_EXCUSED:
		command->excused = optarg;
		break;
	case OPT_RECORD:
		command->action = RECORD;
		command->file = optarg;
		break;
	case OPT_AGAINST:
		command->action = AGAINST;
		command->file = optarg;
		break;
	case 'q':
		oracle_opt.quiet = true;
		break;
	case 'h':
		fputs(help, stdout);
		exit(0);
	case 'V':
		puts("remap-oracle " ORACLE_VERSION);
		exit(0);
	default:
		exit(2);
	}
}

static void parse(int argc, char **argv, struct command *command)
{
	int end = 1, opt;

	/* What follows "--" is the command, and none of our business. */
	while (end < argc && strcmp(argv[end], "--"))
		end++;
	if (end < argc) {
		argv[end] = NULL;
		command->prefix = argv + end + 1;
	}
	while ((opt = getopt_long(end, argv, "qhV", options, NULL)) != -1)
		take_option(opt, command);
	oracle_opt.names = argv + optind;
	if (optind < end) {
		oracle_opt.run_scenarios = true;
		for (opt = optind; opt < end; opt++)
			if (!oracle_scenario_find(argv[opt]))
				wrong("no scenario is named \"%s\"", argv[opt]);
	}
	if (!oracle_opt.run_scenarios && !oracle_opt.run_random)
		oracle_opt.run_scenarios = oracle_opt.run_random = true;
	if ((command->action == COMPARE) != (command->prefix && *command->prefix))
		wrong("--compare and -- COMMAND go together");
}

int main(int argc, char **argv)
{
	struct command command = {.excused = ORACLE_EXCUSED, .shrink = 3};

	parse(argc, argv, &command);
	if (command.action == PRINT)
		return print_sequences(command.as_program);
	if (command.action == LIST) {
		oracle_scenarios_list(stdout);
		return 0;
	}
	if (command.action == COMPARE || command.action == AGAINST) {
		if (command.excused && oracle_excuses_load(command.excused))
			return 2;
	}
	if (command.action == COMPARE)
		return oracle_compare(command.prefix, command.shrink);
	if (prepare())
		return 3;
	switch (command.action) {
	case SERVE:
		return oracle_serve(stdin, stdout);
	case RECORD:
		return oracle_record(command.file);
	case AGAINST:
		return oracle_against(command.file);
	case SCRIPT:
		return run_script(command.file, command.as_program);
	default:
		oracle_run_all(stdout);
		return fflush(stdout) || ferror(stdout) ? 3 : 0;
	}
}
