/* SPDX-License-Identifier: MIT */
/*
 * What is done once in a process, before anybody goes on. Not pthread_once: before glibc 2.34 that
 * would bring libpthread into every program that the library is preloaded into.
 *
 * The state is 0, the process's id while somebody is at it, or DONE. A child that was forked
 * meanwhile has nobody who would finish, sees another's id, and begins anew.
 */
#ifndef RM_ONCE_H
#define RM_ONCE_H

#include <stdatomic.h>

#include "emul/sys.h"

#define RM_ONCE_DONE UINT32_MAX

static inline void rm_once(_Atomic uint32_t *state, void (*function)(void))
{
	uint32_t seen = atomic_load_explicit(state, memory_order_acquire), me;

	if (seen == RM_ONCE_DONE)
		return;
	me = (uint32_t)rm_sys_getpid();
	while (seen != RM_ONCE_DONE) {
		if (seen == me) {
			rm_sys_futex_wait(state, me, NULL);
			seen = atomic_load(state);
		} else if (atomic_compare_exchange_strong(state, &seen, me)) {
			function();
			atomic_store(state, RM_ONCE_DONE);
			rm_sys_futex_wake(state, INT32_MAX);
			return;
		}
	}
}

#endif
