/* SPDX-License-Identifier: MIT */
/*
 * remap-run.c - run a command with libremap, and if asked under a pretended older kernel
 *
 * Everything is decided and checked first; then the environment is set, the filters of --pretend are loaded, and this
 * process becomes the command: pid, parent, signals and exit status are the command's own. Nothing is run when anything
 * is wrong with the request.
 *
 * Exit status as env(1):	125 remap-run itself failed
 *				126 the command was found but cannot be run
 *				127 the command was not found
 *				else the command's
 *
 * Sub-jobs: run-conf.c (LIBREMAP_CONF), run-preload.c (the library, --strict), pretend.c (--pretend).
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emul/conf.h"
#include "tools/pretend.h"
#include "tools/run.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define EXIT_FAILED	125
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND	127

enum {
	OPT_EMULATE = 256,
	OPT_PRETEND,
	OPT_RAW,
	OPT_STATIC,
	OPT_STRICT,
	OPT_CONF,
	OPT_DEBUG,
	OPT_LOG,
	OPT_NO_PRELOAD,
	OPT_FILTER_ONLY,
	OPT_EXCEPT,
	OPT_LIST_PRETEND,
};

static const struct option options[] = {
	{"emulate", no_argument, NULL, OPT_EMULATE},
	{"pretend", required_argument, NULL, OPT_PRETEND},
	{"raw", no_argument, NULL, OPT_RAW},
	{"static", no_argument, NULL, OPT_STATIC},
	{"strict", no_argument, NULL, OPT_STRICT},
	{"conf", required_argument, NULL, OPT_CONF},
	{"debug", no_argument, NULL, OPT_DEBUG},
	{"log", required_argument, NULL, OPT_LOG},
	{"no-preload", no_argument, NULL, OPT_NO_PRELOAD},
	{"filter-only", no_argument, NULL, OPT_FILTER_ONLY},
	{"except", required_argument, NULL, OPT_EXCEPT},
	{"list-pretend", no_argument, NULL, OPT_LIST_PRETEND},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

/* The request, as the command line makes it. */
struct request {
	struct rm_pretend pretend; /* .kernel 0: no pretending */
	char *conf;		   /* LIBREMAP_CONF, merged; NULL for none */
	char *log;		   /* absolute */
	bool debug, strict, preload;
};

__attribute__((noreturn, format(printf, 1, 2))) static void usage_error(const char *format, ...)
{
	va_list args;

	fputs("remap-run: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(".  Try 'remap-run --help'.\n", stderr);
	exit(EXIT_FAILED);
}

__attribute__((noreturn, format(printf, 1, 2))) static void failure(const char *format, ...)
{
	va_list args;

	fputs("remap-run: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(EXIT_FAILED);
}

__attribute__((noreturn)) static void finish_output(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		failure("cannot write: %s", strerror(errno));
	exit(0);
}

__attribute__((noreturn)) static void help(void)
{
	char kernels[128], keys[RM_RUN_WHY];
	size_t i;

	rm_pretend_names(kernels, sizeof(kernels));
	rm_conf_describe(keys, sizeof(keys));
	printf("Usage: remap-run [OPTION]... [--] COMMAND [ARG]...\n"
	       "       remap-run --list-pretend [KERNEL]\n"
	       "Run COMMAND with libremap: every mremap flag, whatever the kernel.\n"
	       "\n"
	       "      --emulate         never use the kernel's own flags (native:no)\n"
	       "      --conf K:V,...    configuration of the library; later values win\n"
	       "                          %s\n"
	       "      --strict          run nothing if the library would not take effect in "
	       "COMMAND\n"
	       "      --debug           the library (and --pretend) say on stderr what they do\n"
	       "      --log FILE        the library writes its messages to FILE\n"
	       "      --no-preload      run COMMAND without the library\n"
	       "      --raw, --static   not available in this version\n"
	       "  -h, --help            show this and exit\n"
	       "  -V, --version         show the version and exit\n"
	       "\n"
	       "Answer as an older kernel (for tests, and to see what a program does there):\n"
	       "      --pretend KERNEL  one of %s\n"
	       "      --filter-only     without a server process: only what the system call's "
	       "numbers tell\n"
	       "      --except CALL,... leave these system calls alone\n"
	       "      --list-pretend    print the table: what, since, old answer, source "
	       "(tab-separated)\n"
	       "\n"
	       "Calls of 32-bit programs are not pretended. Not pretended either:\n",
		keys, kernels);
	for (i = 0; i < rm_pretend_nr_rows; i++)
		if (rm_pretend_rows[i].how == RM_HOW_BLIND)
			printf("  %s\n", rm_pretend_rows[i].what);
	printf("\n"
	       "Exit status: 125 remap-run itself failed, 126 COMMAND cannot be run,\n"
	       "127 COMMAND not found, otherwise that of COMMAND.\n");
	finish_output();
}

__attribute__((noreturn)) static void list(char **operands)
{
	char kernels[128];
	unsigned kernel = 0;

	rm_pretend_names(kernels, sizeof(kernels));
	if (operands[0] && operands[1])
		usage_error("--list-pretend takes one kernel, not also '%s'", operands[1]);
	if (operands[0] && rm_pretend_parse(operands[0], &kernel) < 0)
		usage_error("unknown kernel '%s' to list; known: %s", operands[0], kernels);
	rm_pretend_list(stdout, kernel);
	finish_output();
}

static void add_conf(struct request *request, const char *add, bool check)
{
	char why[RM_RUN_WHY];
	int ret = rm_conf_merge(&request->conf, add, check, why);

	if (ret == -EINVAL)
		usage_error("%s", why);
	if (ret < 0)
		failure("%s", why);
}

/* The command may change its directory before a child of it opens the log. */
static char *log_path(const char *name)
{
	char *path;
	int fd;

	if (!*name)
		usage_error("--log needs the name of a file");
	fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		failure("cannot write the log '%s': %s", name, strerror(errno));
	close(fd);
	path = realpath(name, NULL);
	if (!path)
		failure("cannot tell where the log '%s' is: %s", name, strerror(errno));
	return path;
}

static void set_kernel(struct request *request, const char *name)
{
	char kernels[128];

	rm_pretend_names(kernels, sizeof(kernels));
	if (rm_pretend_parse(name, &request->pretend.kernel) < 0)
		usage_error("unknown kernel '%s' to pretend; known: %s", name, kernels);
}

/* Returns the command and its arguments. */
static char **parse(int argc, char **argv, struct request *request)
{
	const char *log = NULL;
	bool listing = false;
	int opt;

	/* The colon keeps getopt from complaining in its own words. */
	while ((opt = getopt_long(argc, argv, "+:hV", options, NULL)) != -1) {
		switch (opt) {
		case OPT_EMULATE:
			add_conf(request, "native:no", true);
			break;
		case OPT_CONF:
			add_conf(request, optarg, true);
			break;
		case OPT_PRETEND:
			set_kernel(request, optarg);
			break;
		case OPT_FILTER_ONLY:
			request->pretend.filter_only = true;
			break;
		case OPT_EXCEPT:
			request->pretend.except = optarg;
			break;
		case OPT_STRICT:
			request->strict = true;
			break;
		case OPT_DEBUG:
			request->debug = true;
			request->pretend.debug = true;
			break;
		case OPT_LOG:
			log = optarg;
			break;
		case OPT_NO_PRELOAD:
			request->preload = false;
			break;
		case OPT_RAW:
			usage_error("--raw is not available in this version");
		case OPT_STATIC:
			usage_error("--static is not available in this version");
		case OPT_LIST_PRETEND:
			listing = true;
			break;
		case 'h':
			help();
		case 'V':
			printf("remap-run (libremap) %s\n", PACKAGE_VERSION);
			finish_output();
		case ':':
			usage_error("%s needs an argument", argv[optind - 1]);
		default:
			if (optopt && optopt < 256)
				usage_error("unknown option '-%c'", optopt);
			usage_error(
				"unknown, ambiguous or wrongly used option '%s'", argv[optind - 1]);
		}
	}
	if (listing)
		list(argv + optind);
	if (optind == argc || !*argv[optind])
		usage_error("no command given");
	if (request->strict && !request->preload)
		usage_error("--strict and --no-preload exclude each other");
	if (!request->pretend.kernel && (request->pretend.filter_only || request->pretend.except))
		usage_error("--filter-only and --except need --pretend");
	if (log)
		request->log = log_path(log);
	return argv + optind;
}

static void put(const char *name, const char *value)
{
	if (setenv(name, value, 1) < 0)
		failure("cannot set %s: %s", name, strerror(errno));
}

/* Ours first: where two libraries interpose a name, the first gets the call and hands it on. */
static void put_preload(const char *library)
{
	const char *others = getenv("LD_PRELOAD");
	char *value;

	if (!others || !*others) {
		put("LD_PRELOAD", library);
		return;
	}
	if (asprintf(&value, "%s:%s", library, others) < 0)
		failure("%s", strerror(ENOMEM));
	put("LD_PRELOAD", value);
	free(value);
}

static void complain(const struct request *request, const char *why)
{
	if (request->strict)
		failure("%s; nothing was run (--strict)", why);
	fprintf(stderr, "remap-run: warning: %s\n", why);
}

static void set_up_preload(const struct request *request, const char *command)
{
	char why[RM_RUN_WHY];
	char *library = rm_preload_find(why);

	if (!library)
		failure("%s", why);
	if (!rm_preload_effective(library, command, why))
		complain(request, why);
	put_preload(library);
	free(library);
}

static void set_up_pretend(const struct request *request, const char *command)
{
	char why[RM_RUN_WHY];

	if (rm_command_foreign(command, why))
		complain(request, why);
	if (rm_pretend_enter(&request->pretend, why) < 0)
		failure("cannot pretend: %s", why);
}

int main(int argc, char **argv)
{
	struct request request = {.preload = true};
	const char *inherited = getenv("LIBREMAP_CONF");
	char **command;
	int err;

	if (inherited && *inherited)
		add_conf(&request, inherited, false);
	command = parse(argc, argv, &request);

	if (request.conf)
		put("LIBREMAP_CONF", request.conf);
	if (request.debug)
		put("LIBREMAP_DEBUG", "1");
	if (request.log)
		put("LIBREMAP_LOG", request.log);
	if (request.preload)
		set_up_preload(&request, command[0]);
	if (request.pretend.kernel)
		set_up_pretend(&request, command[0]);

	execvp(command[0], command);
	err = errno;
	fprintf(stderr, "remap-run: cannot run '%s': %s\n", command[0], strerror(err));
	return err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
