/* SPDX-License-Identifier: MIT */
/*
 * The calls of overhead.c in a process under a seccomp filter.
 *
 * A filter can not be taken off again, so a child has it, forked when everything is ready:
 * remap-run's for --pretend, the rows that answer by themselves. It runs a batch when it is told to
 * and says how long that took.
 */
#include "tests/bench/costs.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/pretend.h"

#define PRETENDED RM_KV(5, 4)

static struct {
	int orders, answers; /* our ends */
	pid_t pid;
} child = {-1, -1, 0};

static void __attribute__((noreturn)) obey(int orders, int answers, batch_runner *run)
{
	const struct rm_pretend pretend = {.kernel = PRETENDED, .filter_only = true};
	char why[RM_PRETEND_WHY];
	uint64_t took = 0;
	size_t call;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (rm_pretend_enter(&pretend, why) || write(answers, &took, sizeof(took)) < 0)
		_exit(1);
	while (read(orders, &call, sizeof(call)) == (ssize_t)sizeof(call)) {
		took = run(call);
		if (write(answers, &took, sizeof(took)) != (ssize_t)sizeof(took))
			break;
	}
	_exit(0);
}

bool filtered_start(batch_runner *run)
{
	int orders[2], answers[2];
	uint64_t ready;

	if (pipe(orders) || pipe(answers))
		die("pipe: %s", strerror(errno));
	child.pid = fork();
	if (child.pid < 0)
		die("fork: %s", strerror(errno));
	if (!child.pid) {
		close(orders[1]);
		close(answers[0]);
		obey(orders[0], answers[1], run);
	}
	close(orders[0]);
	close(answers[1]);
	child.orders = orders[1];
	child.answers = answers[0];
	if (read(child.answers, &ready, sizeof(ready)) == (ssize_t)sizeof(ready))
		return true;
	filtered_end();
	return false;
}

uint64_t filtered_run(size_t call)
{
	uint64_t took;

	if (write(child.orders, &call, sizeof(call)) != (ssize_t)sizeof(call) ||
		read(child.answers, &took, sizeof(took)) != (ssize_t)sizeof(took))
		die("the process under a filter has ended");
	return took;
}

void filtered_end(void)
{
	close(child.orders);
	close(child.answers);
	waitpid(child.pid, NULL, 0);
}
