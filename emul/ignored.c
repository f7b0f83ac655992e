/* SPDX-License-Identifier: MIT */
/*
 * Signals that the program ignores, and why we must not block them.
 *
 * The kernel throws an ignored signal away as it comes, but not if the thread that it is for blocks
 * it (sig_ignored()): then it is queued, and offered to any other thread that does not block it.
 * What that one waits for ends with EINTR if it is one of the calls that are never restarted,
 * epoll_wait for one, and no handler has run. A child that dies while its parent is stopped, or is
 * in one of our calls, would do that. So what is ignored stays unblocked: it reaches nobody.
 * Another thread of the program can give such a signal a handler meanwhile; whoever relies on
 * nobody's handler running looks again with everybody stopped (quiesce.c).
 */
#include "emul/ignored.h"

#include <signal.h>

#include "emul/sys.h"

#define BIT(sig) (1ULL << ((sig) - 1))

bool rm_is_ignored(int sig)
{
	const uint64_t by_default = BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH);
	struct rm_ksigaction action;

	if (rm_sys_rt_sigaction(sig, NULL, &action))
		return false;
	return action.handler == (void *)SIG_IGN ||
	       (action.handler == (void *)SIG_DFL && (by_default & BIT(sig)));
}

uint64_t rm_signals_to_block_of(uint64_t asked)
{
	/* those that come to a process from outside */
	static const int candidates[] = {
		SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGHUP, SIGINT, SIGQUIT};
	uint64_t mask = ~(BIT(SIGKILL) | BIT(SIGSTOP));

	for (size_t i = 0; i < RM_ARRAY_LEN(candidates); i++)
		if ((asked & BIT(candidates[i])) && rm_is_ignored(candidates[i]))
			mask &= ~BIT(candidates[i]);
	return mask & asked;
}

uint64_t rm_signals_to_block(void)
{
	return rm_signals_to_block_of(~0ULL);
}
