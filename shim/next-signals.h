/* SPDX-License-Identifier: MIT */
/*
 * libc's own functions behind those that signals.c takes over.
 */
#ifndef RM_NEXT_SIGNALS_H
#define RM_NEXT_SIGNALS_H

#include <signal.h>

typedef void (*rm_signal_handler)(int);

struct rm_next_signals {
	int (*sigaction)(int, const struct sigaction *, struct sigaction *);
	rm_signal_handler (*signal)(int, rm_signal_handler);
	rm_signal_handler (*sysv_signal)(int, rm_signal_handler);
	rm_signal_handler (*sigset)(int, rm_signal_handler);
	int (*sigignore)(int);
	int (*siginterrupt)(int, int);
	int (*sighold)(int);
	int (*sigprocmask)(int, const sigset_t *, sigset_t *);
	int (*pthread_sigmask)(int, const sigset_t *, sigset_t *);
};

/* Looked up by the constructor, or by the first call if that comes before it; after that a read. */
const struct rm_next_signals *rm_next_signals(void);

#endif
