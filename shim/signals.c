/* SPDX-License-Identifier: MIT */
/*
 * sigaction and its relatives, and what blocks signals, taken over from libc for the sake of
 * SIGSEGV in guard mode.
 *
 * Where that mode is not in force, or the call has nothing to do with SIGSEGV, libc's own function
 * is called with the arguments as they are. In guard mode:
 *
 *   what the program wants               what is done
 *   -----------------------------------  ----------------------------------------------------------
 *   an action for SIGSEGV, or to know    the engine keeps it behind its own handler once that is
 *                                        installed (segv.c);
 *   it                                   flags, mask and handler are given back as they were set
 *   an action for another signal whose   libc's, while no window is open: such a handler must not
 *                                        begin in a window that
 *   mask has SIGSEGV                     was opened when there was none
 *   to block SIGSEGV                     done so that either the window sees it and is not opened,
 *                                        or it waits for the window to close
 *   to unblock, or to ask                libc's
 *
 * The relatives of sigaction differ in flags and masks only. What they do is glibc's: signal()
 * restarts unless siginterrupt() has said otherwise for the signal, and blocks its own signal in
 * the handler; sysv_signal() resets and does not block; sigset() also unblocks, and blocks for
 * SIG_HOLD.
 *
 * Not taken over: raw system calls, sigblock and sigsetmask, masks that pselect, ppoll, epoll_pwait
 * and sigsuspend set for their time.
 */
#define RM_SHIM_SIGNALS
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "emul/segv.h"
#include "emul/sys.h"
#include "shim/next-signals.h"
#include "shim/poison.h"

#define EXPORT	 __attribute__((visibility("default")))
#define SEGV_BIT (1ULL << (SIGSEGV - 1))
/*
 * 32 and 33, which glibc keeps for itself and takes out of masks, and by one of which threads are
 * stopped.
 */
#define LIBCS_OWN (3ULL << 31)

#ifndef SIG_HOLD
#define SIG_HOLD ((rm_signal_handler)2)
#endif

static _Atomic bool segv_interrupts; /* siginterrupt(SIGSEGV, 1) */

static uint64_t bits(const sigset_t *set)
{
	uint64_t b;

	memcpy(&b, set, sizeof(b));
	return b;
}

static bool ours(int sig)
{
	return sig == SIGSEGV && rm_segv_in_force();
}

/* As libc does: -errno becomes -1 and errno. */
static int to_libc(int r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

/* sigaction(SIGSEGV) in guard mode. */
static int segv_action(const struct sigaction *act, struct sigaction *old)
{
	struct rm_ksigaction kernel, before;
	int r;

	memset(&kernel, 0, sizeof(kernel));
	if (act) {
		kernel.handler = act->sa_sigaction;
		kernel.flags = (unsigned long)act->sa_flags;
		kernel.mask = bits(&act->sa_mask);
	}
	r = rm_segv_action(act ? &kernel : NULL, old ? &before : NULL);
	if (!r && old) {
		old->sa_sigaction = before.handler;
		old->sa_flags = (int)before.flags;
		memcpy(&old->sa_mask, &before.mask, sizeof(before.mask));
		old->sa_restorer = before.restorer;
	}
	return to_libc(r);
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	int r;

	if (ours(sig))
		return segv_action(act, old);
	if (!act || !rm_segv_in_force() || !(bits(&act->sa_mask) & SEGV_BIT))
		return rm_next_signals()->sigaction(sig, act, old);
	rm_segv_hold();
	r = rm_next_signals()->sigaction(sig, act, old);
	rm_segv_release();
	return r;
}

/* Sets SIGSEGV's action: the handler that was there, or SIG_ERR. */
static rm_signal_handler set_segv(rm_signal_handler handler, int flags, uint64_t mask)
{
	struct sigaction act, old;

	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	memset(&act, 0, sizeof(act));
	act.sa_handler = handler;
	act.sa_flags = flags;
	memcpy(&act.sa_mask, &mask, sizeof(mask));
	return segv_action(&act, &old) ? SIG_ERR : old.sa_handler;
}

static rm_signal_handler take_signal(int sig, rm_signal_handler handler)
{
	if (!ours(sig))
		return rm_next_signals()->signal(sig, handler);
#ifdef __GLIBC__
	return set_segv(handler, segv_interrupts ? 0 : SA_RESTART, SEGV_BIT);
#else
	return set_segv(handler, segv_interrupts ? 0 : SA_RESTART, 0);
#endif
}

static rm_signal_handler take_sysv_signal(int sig, rm_signal_handler handler)
{
	if (!ours(sig))
		return rm_next_signals()->sysv_signal(sig, handler);
	return set_segv(handler, (int)(SA_RESETHAND | SA_NODEFER | SA_INTERRUPT), 0);
}

/* libc's names for the two; prototypes, as the headers have some of them only under conditions. */
EXPORT rm_signal_handler signal(int sig, rm_signal_handler handler);
EXPORT rm_signal_handler bsd_signal(int sig, rm_signal_handler handler);
EXPORT rm_signal_handler ssignal(int sig, rm_signal_handler handler);
EXPORT rm_signal_handler sysv_signal(int sig, rm_signal_handler handler);
EXPORT rm_signal_handler __sysv_signal(int sig, rm_signal_handler handler);
EXPORT int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);
EXPORT rm_signal_handler sigset(int sig, rm_signal_handler handler);
EXPORT int sigignore(int sig);
EXPORT int siginterrupt(int sig, int interrupt);
EXPORT int sighold(int sig);

int __sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	return sigaction(sig, act, old);
}

rm_signal_handler signal(int sig, rm_signal_handler handler)
{
	return take_signal(sig, handler);
}

rm_signal_handler bsd_signal(int sig, rm_signal_handler handler)
{
	return take_signal(sig, handler);
}

rm_signal_handler ssignal(int sig, rm_signal_handler handler)
{
	return take_signal(sig, handler);
}

rm_signal_handler sysv_signal(int sig, rm_signal_handler handler)
{
	return take_sysv_signal(sig, handler);
}

rm_signal_handler __sysv_signal(int sig, rm_signal_handler handler)
{
	return take_sysv_signal(sig, handler);
}

int sigignore(int sig)
{
	if (!ours(sig))
		return rm_next_signals()->sigignore(sig);
	return set_segv(SIG_IGN, 0, 0) == SIG_ERR ? -1 : 0;
}

int siginterrupt(int sig, int interrupt)
{
	struct sigaction act;

	if (!ours(sig))
		return rm_next_signals()->siginterrupt(sig, interrupt);
	if (segv_action(NULL, &act))
		return -1;
	atomic_store(&segv_interrupts, interrupt);
	if (interrupt)
		act.sa_flags &= ~SA_RESTART;
	else
		act.sa_flags |= SA_RESTART;
	return segv_action(&act, NULL);
}

/* --- masks --- */

/*
 * Blocks more signals, SIGSEGV among them, or (SIG_SETMASK) these only. Everything is blocked while
 * we wait, so that no handler runs meanwhile that could touch the hole with SIGSEGV blocked; and
 * because SIGSEGV is blocked all the time from there on, whoever opens a window next sees it.
 */
static uint64_t block_segv(int how, uint64_t more)
{
	const uint64_t all = ~LIBCS_OWN;
	uint64_t before, mask;

	rm_sys_rt_sigprocmask(SIG_SETMASK, &all, &before);
	rm_segv_await_close();
	mask = (how == SIG_BLOCK ? before : 0) | (more & ~LIBCS_OWN);
	rm_sys_rt_sigprocmask(SIG_SETMASK, &mask, NULL);
	return before;
}

static bool blocks_segv(int how, const sigset_t *set)
{
	return rm_segv_in_force() && set && (how == SIG_BLOCK || how == SIG_SETMASK) &&
	       (bits(set) & SEGV_BIT);
}

static void block_by_set(int how, const sigset_t *set, sigset_t *old)
{
	const uint64_t before = block_segv(how, bits(set));

	if (old)
		memcpy(old, &before, sizeof(before));
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	if (!blocks_segv(how, set))
		return rm_next_signals()->sigprocmask(how, set, old);
	block_by_set(how, set, old);
	return 0;
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	if (!blocks_segv(how, set))
		return rm_next_signals()->pthread_sigmask(how, set, old);
	block_by_set(how, set, old);
	return 0;
}

int sighold(int sig)
{
	if (!ours(sig))
		return rm_next_signals()->sighold(sig);
	(void)block_segv(SIG_BLOCK, SEGV_BIT);
	return 0;
}

rm_signal_handler sigset(int sig, rm_signal_handler handler)
{
	const uint64_t segv = SEGV_BIT;
	struct sigaction now;
	uint64_t before;
	rm_signal_handler was;

	if (!ours(sig))
		return rm_next_signals()->sigset(sig, handler);
	if (handler == SIG_HOLD) {
		before = block_segv(SIG_BLOCK, SEGV_BIT);
		was = segv_action(NULL, &now) ? SIG_ERR : now.sa_handler;
		return before & SEGV_BIT ? SIG_HOLD : was;
	}
	was = set_segv(handler, 0, 0);
	if (was == SIG_ERR)
		return SIG_ERR;
	rm_sys_rt_sigprocmask(SIG_UNBLOCK, &segv, &before);
	return before & SEGV_BIT ? SIG_HOLD : was;
}
