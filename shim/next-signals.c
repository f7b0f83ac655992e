/* SPDX-License-Identifier: MIT */
/*
 * The next function of each name that signals.c takes over, looked up once, by the constructor.
 *
 * mremap and syscall need no such thing, as the kernel is what comes next. Setting signal actions
 * and masks is different: libc leaves out signals that it keeps for itself, remembers
 * siginterrupt(), and another library in between (Java's libjsig) may want to see the call. So
 * where guard mode is not in force the call goes on as it came. dlsym allocates nothing when it
 * finds the name; a name that is missing (musl has no ssignal) leaves NULL, and nobody can call it
 * then.
 */
#include "shim/next-signals.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

static const struct {
	const char *name;
	size_t at;
} names[] = {
	{"sigaction", offsetof(struct rm_next_signals, sigaction)},
	{"signal", offsetof(struct rm_next_signals, signal)},
	{"__sysv_signal", offsetof(struct rm_next_signals, sysv_signal)},
	{"sigset", offsetof(struct rm_next_signals, sigset)},
	{"sigignore", offsetof(struct rm_next_signals, sigignore)},
	{"siginterrupt", offsetof(struct rm_next_signals, siginterrupt)},
	{"sighold", offsetof(struct rm_next_signals, sighold)},
	{"sigprocmask", offsetof(struct rm_next_signals, sigprocmask)},
	{"pthread_sigmask", offsetof(struct rm_next_signals, pthread_sigmask)},
};

__attribute__((constructor(101))) static void find(void)
{
	(void)rm_next_signals();
}

const struct rm_next_signals *rm_next_signals(void)
{
	static struct rm_next_signals next;
	static _Atomic int found;

	if (atomic_load_explicit(&found, memory_order_acquire))
		return &next;
	/* Two threads may come here at once: both find the same and write the same. */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		*(void **)((char *)&next + names[i].at) = dlsym(RTLD_NEXT, names[i].name);
	atomic_store_explicit(&found, 1, memory_order_release);
	return &next;
}
