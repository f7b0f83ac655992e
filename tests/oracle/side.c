/*
 * side.c - the two processes that are compared: this program itself, once alone and once under a
 * command.
 *
 * Both get the same options on their command line. In serve mode they read scripts from their
 * standard input; otherwise they print the whole seed range. The native side runs without
 * LD_PRELOAD and without LIBREMAP_ variables, whatever the comparer's own environment is.
 */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Not /proc/self/exe itself: the other side's command would find its own program there. */
static const char *own_path(void)
{
	static char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[len > 0 ? len : 0] = 0;
	return path;
}

static void clean_environment(void)
{
	char name[64];
	char **at = environ;

	unsetenv("LD_PRELOAD");
	while (*at) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*at, "="), *at);
		if (!strncmp(name, "LIBREMAP_", 9) || !strcmp(name, "ORACLE_PERTURB")) {
			unsetenv(name);
			at = environ;
		} else {
			at++;
		}
	}
}

static int build_argv(char **argv, int max, char **prefix, bool serve, char (*text)[96])
{
	static const char *const levels[] = {"content", "vmas", "flags", "rss", "all"};
	static const char *const each[] = {"result", "digest", "full"};
	int count = 0, i;

	for (i = 0; prefix && prefix[i]; i++) {
		if (count >= max - 16)
			return -E2BIG;
		argv[count++] = prefix[i];
	}
	argv[count++] = (char *)(uintptr_t)own_path();
	snprintf(text[0], 96, "--seed=%llu", (unsigned long long)oracle_opt.seed);
	snprintf(text[1], 96, "--ops=%d", oracle_opt.ops);
	snprintf(text[2], 96, "--kind-mask=%u", oracle_opt.kinds);
	snprintf(text[3], 96, "--flag-mask=%u", oracle_opt.moves);
	snprintf(text[4], 96, "--level=%s", levels[oracle_opt.level]);
	snprintf(text[5], 96, "--each=%s", each[oracle_opt.each]);
	snprintf(text[6], 96, "--timeout=%d", oracle_opt.timeout);
	snprintf(text[7], 96, "--threads=%d", oracle_opt.threads);
	snprintf(text[8], 96, "--sequences=%lu", oracle_opt.sequences);
	for (i = 0; i < 8; i++)
		argv[count++] = text[i];
	if (oracle_opt.portable)
		argv[count++] = (char *)(uintptr_t) "--portable";
	if (serve) {
		argv[count++] = (char *)(uintptr_t) "--serve";
	} else {
		if (oracle_opt.run_random)
			argv[count++] = text[8];
		if (oracle_opt.run_scenarios)
			argv[count++] = (char *)(uintptr_t) "--scenarios";
		for (i = 0; oracle_opt.run_scenarios && oracle_opt.names[i] && count < max - 1; i++)
			argv[count++] = oracle_opt.names[i];
	}
	argv[count] = NULL;
	return 0;
}

int oracle_side_start(struct oracle_side *side, char **prefix, bool serve)
{
	static char text[9][96];
	char *argv[256];
	int to[2], from[2];

	if (build_argv(argv, 256, prefix, serve, text))
		return -1;
	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC)) {
		fprintf(stderr, "remap-oracle: pipe: %s\n", strerror(errno));
		return -1;
	}
	fcntl(from[1], F_SETPIPE_SZ, 1 << 20);
	signal(SIGPIPE, SIG_IGN); /* a side that died is reported, not suffered */
	side->pid = fork();
	if (side->pid == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		signal(SIGPIPE, SIG_DFL);
		if (!prefix)
			clean_environment();
		execvp(argv[0], argv);
		fprintf(stderr, "remap-oracle: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	side->in = fdopen(to[1], "w");
	side->out = fdopen(from[0], "r");
	return side->pid > 0 && side->in && side->out ? 0 : -1;
}

/* The exit status of the side, 0 if it ended well. */
int oracle_side_stop(struct oracle_side *side)
{
	int status = 0;

	fclose(side->in);
	fclose(side->out);
	while (waitpid(side->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

int oracle_side_ask(struct oracle_side *side, const struct oracle_op *ops, int count,
	struct oracle_block *block)
{
	char line[256];
	int i;

	for (i = 0; i < count; i++) {
		oracle_op_print(&ops[i], line, sizeof(line));
		fprintf(side->in, "%s\n", line);
	}
	fputs(".\n", side->in);
	if (fflush(side->in))
		return -1;
	return oracle_block_read(block, side->out) == 1 ? 0 : -1;
}
