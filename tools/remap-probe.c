/* SPDX-License-Identifier: MIT */
/*
 * remap-probe: what this machine can do, for people, for scripts and for programs.
 *
 * A thin face over remap_probe(), which tries each feature on a throw-away mapping, and over the
 * engine's planner (--explain), which is pure: the plan shown is the one that would be executed,
 * for a made-up mapping. It reads LIBREMAP_CONF as any program with the library does, so native:no
 * shows what would be emulated.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include "libremap.h"
#include "tools/explain.h"

enum { EXIT_YES = 0, EXIT_NO = 1, EXIT_USAGE = 2 };

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_SHELL };

static const char *const state_names[] = {"unavailable", "emulated", "native"};

static void usage(FILE *out)
{
	fputs("Usage: remap-probe [OPTION]...\n"
	      "Tell which newer features of mremap(2) this machine has, natively or by libremap.\n"
	      "\n"
	      "  -j, --json             all features as one JSON object\n"
	      "  -s, --shell            all features as shell variables, REMAP_NAME='state'\n"
	      "  -f, --feature NAME     only this one (may be repeated); alone: print its state\n"
	      "  -r, --require LEVEL    no output; exit 0 only if the features named, or else\n"
	      "                           the three dontunmap- ones, are at least LEVEL:\n"
	      "                           native, or emulated (native is fine too)\n"
	      "  -e, --explain MAPPING  print the steps of MREMAP_DONTUNMAP on such a mapping:\n"
	      "                           a kind (anon, shared, file, hugetlb, special) and\n"
	      "                           attributes, separated by commas: ",
		out);
	explain_list(out);
	fputs("\n"
	      "  -l, --list             the names of the features\n"
	      "  -h, --help             this text\n"
	      "  -V, --version          the version\n"
	      "\n"
	      "Exit status: 0 yes, 1 no (a feature is unavailable, or below the level), 2 usage.\n"
	      "\n"
	      "Example: remap-probe --require emulated --feature dontunmap-shared && "
	      "run-collector\n",
		out);
}

static void __attribute__((noreturn, format(printf, 1, 2))) die_usage(const char *format, ...)
{
	va_list args;

	fputs("remap-probe: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("  Try 'remap-probe --help'.\n", stderr);
	exit(EXIT_USAGE);
}

static int probe(const char *name, unsigned int index, struct remap_feature *feature)
{
	memset(feature, 0, sizeof(*feature));
	feature->size = sizeof(*feature);
	return remap_probe(name, index, feature);
}

static void print_table(void)
{
	struct remap_feature f;
	struct utsname host;

	if (!uname(&host))
		printf("%s %s %s\n\n", host.sysname, host.release, host.machine);
	printf("%-18s %-12s %-13s %s\n", "FEATURE", "HERE", "NATIVE SINCE", "HOW, OR WHY NOT");
	for (unsigned int i = 0; !probe(NULL, i, &f); i++) {
		printf("%-18s %-12s %-13s %s\n", f.name, state_names[f.state], f.since,
			f.state == REMAP_EMULATED ? f.how : f.reason);
		if (f.state == REMAP_UNAVAILABLE && *f.remedy)
			printf("%-18s %-12s %-13s remedy: %s\n", "", "", "", f.remedy);
	}
}

static int print_json(void)
{
	json_t *root = json_object(), *features = json_object();
	struct remap_feature f;
	struct utsname host;

	for (unsigned int i = 0; !probe(NULL, i, &f); i++) {
		json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "state",
			state_names[f.state], "since", f.since, "how", f.how, "reason", f.reason,
			"remedy", f.remedy, "errno", (int)f.error);

		json_object_set_new(features, f.name, row);
	}
	if (!uname(&host))
		json_object_set_new(root, "kernel", json_string(host.release));
	json_object_set_new(root, "version", json_string(PACKAGE_VERSION));
	json_object_set_new(root, "features", features);
	if (json_dumpf(root, stdout, JSON_INDENT(2))) {
		json_decref(root);
		return EXIT_NO;
	}
	putchar('\n');
	json_decref(root);
	return EXIT_YES;
}

static void print_shell(void)
{
	struct remap_feature f;

	for (unsigned int i = 0; !probe(NULL, i, &f); i++) {
		fputs("REMAP_", stdout);
		for (const char *c = f.name; *c; c++)
			putchar(*c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
		printf("='%s'\n", state_names[f.state]);
	}
}

/* Whether every feature asked for has at least the level; quiet unless a state is to be printed. */
static int check_features(const char *const *names, size_t count, int level, bool print)
{
	int result = EXIT_YES;

	for (size_t i = 0; i < count; i++) {
		struct remap_feature f;

		if (probe(names[i], 0, &f))
			die_usage("unknown feature '%s'; see --list.", names[i]);
		if (print && count > 1)
			printf("%s %s\n", f.name, state_names[f.state]);
		else if (print)
			puts(state_names[f.state]);
		if (f.state < level)
			result = EXIT_NO;
	}
	return result;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"shell", no_argument, NULL, 's'},
		{"feature", required_argument, NULL, 'f'},
		{"require", required_argument, NULL, 'r'},
		{"explain", required_argument, NULL, 'e'},
		{"list", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	static const char *const dontunmap[] = {
		"dontunmap-anon", "dontunmap-shared", "dontunmap-file"};
	const char **names = calloc((size_t)argc, sizeof(*names));
	const char *explain = NULL, *require = NULL;
	enum format format = FORMAT_TABLE;
	bool list = false, formatted = false;
	size_t count = 0;
	int c, result = EXIT_YES;

	if (!names)
		return EXIT_NO;
	while ((c = getopt_long(argc, argv, "jsf:r:e:lhV", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			format = FORMAT_JSON;
			formatted = true;
			break;
		case 's':
			format = FORMAT_SHELL;
			formatted = true;
			break;
		case 'f':
			names[count++] = optarg;
			break;
		case 'r':
			require = optarg;
			break;
		case 'e':
			explain = optarg;
			break;
		case 'l':
			list = true;
			break;
		case 'h':
			usage(stdout);
			goto out;
		case 'V':
			puts("remap-probe (libremap) " PACKAGE_VERSION);
			goto out;
		default:
			fputs("Try 'remap-probe --help'.\n", stderr);
			result = EXIT_USAGE;
			goto out;
		}
	}
	if (optind < argc)
		die_usage("unexpected argument '%s'.", argv[optind]);
	if ((explain != NULL) + list + formatted + (require || count) > 1)
		die_usage("these options do not go together.");

	if (explain) {
		char problem[160];

		if (explain_mapping(explain, stdout, problem, sizeof(problem)))
			die_usage("--explain: %s.", problem);
	} else if (list) {
		struct remap_feature f;

		for (unsigned int i = 0; !probe(NULL, i, &f); i++)
			puts(f.name);
	} else if (require) {
		int level = !strcmp(require, "native")	   ? REMAP_NATIVE
			    : !strcmp(require, "emulated") ? REMAP_EMULATED
							   : -1;

		if (level < 0)
			die_usage("--require takes native or emulated, not '%s'.", require);
		result = count ? check_features(names, count, level, false)
			       : check_features(dontunmap, 3, level, false);
	} else if (count) {
		result = check_features(names, count, REMAP_EMULATED, true);
	} else if (format == FORMAT_JSON) {
		result = print_json();
	} else if (format == FORMAT_SHELL) {
		print_shell();
	} else {
		print_table();
	}
out:
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "remap-probe: write error: %s\n", strerror(errno));
		result = EXIT_NO;
	}
	free(names);
	return result;
}
