/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of waits.
 *
 * epoll_wait, semtimedop and sigtimedwait are told how long to wait, and the kernel keeps nothing
 * of that when a signal has ended them: a wait that is begun again after a stop (restart.c) would
 * wait for the whole time once more. So who sees such a call before it is made notes when it has to
 * end, in a slot found by the thread's id; the stop handler, or the tracer of a thread that no
 * signal reaches, puts what remains in the timeout's place. A pointer is made to point into the
 * slot.
 *
 * A slot belongs to one thread at a time; who finds it taken by another notes nothing, and its wait
 * is ended with EINTR as one that nobody has seen. A thread that is gone (cancelled, or a parent's
 * after fork) leaves its slot when its time is over. That a noted deadline is of the very call that
 * was interrupted shows in the argument. The call's first argument is noted as well, as arm64 may
 * have lost it (call-code.c).
 */
#include "emul/deadline.h"

#include <stdatomic.h>

#include "emul/sys.h"

#define SLOTS 4096 /* by thread id */

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL

static struct slot {
	_Atomic int tid;	   /* 0: free */
	_Atomic uint64_t ends;	   /* ns of the monotonic clock; 0: nothing is noted */
	_Atomic uint64_t first;	   /* argument of the call */
	_Atomic uint64_t argument; /* the timeout as it stands in the register */
	struct timespec rest;
} slots[SLOTS];

static struct slot *slot_of(int tid)
{
	return &slots[(unsigned int)tid % SLOTS];
}

/* Whether the slot is the calling thread's now. */
static bool take(struct slot *slot, int tid, uint64_t now)
{
	int owner = atomic_load(&slot->tid);

	if (owner == tid)
		return true;
	return (!owner || atomic_load(&slot->ends) < now) &&
	       atomic_compare_exchange_strong(&slot->tid, &owner, tid);
}

/* A handler that comes in between finds nothing noted, and leaves nothing. */
static void note(struct slot *slot, uint64_t first, uint64_t argument, uint64_t ends)
{
	atomic_store(&slot->ends, 0);
	atomic_store(&slot->first, first);
	atomic_store(&slot->argument, argument);
	atomic_store(&slot->ends, ends);
}

void rm_deadline_begin(
	struct rm_deadline *outer, uint64_t first, uint64_t argument, uint64_t timeout_ns)
{
	const int tid = rm_sys_gettid();
	const uint64_t now = rm_sys_now_ns();
	struct slot *slot = slot_of(tid);

	outer->known = take(slot, tid, now);
	if (!outer->known)
		return;
	outer->slot = (unsigned int)(slot - slots);
	outer->ends = atomic_load(&slot->ends);
	outer->first = atomic_load(&slot->first);
	outer->argument = atomic_load(&slot->argument);
	note(slot, first, argument, timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX);
}

void rm_deadline_end(const struct rm_deadline *outer)
{
	struct slot *slot = &slots[outer->slot];

	if (!outer->known)
		return;
	note(slot, outer->first, outer->argument, outer->ends);
	if (!outer->ends)
		atomic_store(&slot->tid, 0);
}

bool rm_deadline_is_known(int tid, uint64_t argument)
{
	const struct slot *slot = slot_of(tid);

	return atomic_load(&slot->tid) == tid && atomic_load(&slot->ends) &&
	       atomic_load(&slot->argument) == argument;
}

uint64_t rm_deadline_first(int tid)
{
	return atomic_load(&slot_of(tid)->first);
}

static uint64_t rest_ns(const struct slot *slot)
{
	const uint64_t now = rm_sys_now_ns(), ends = atomic_load(&slot->ends);

	return ends > now ? ends - now : 0;
}

uint64_t rm_deadline_rest_ns(int tid)
{
	return rest_ns(slot_of(tid));
}

uint64_t rm_deadline_rest_ms(int tid)
{
	struct slot *slot = slot_of(tid);
	const uint64_t ms = (rest_ns(slot) + NS_PER_MS - 1) / NS_PER_MS;

	atomic_store(&slot->argument, ms);
	return ms;
}

uint64_t rm_deadline_rest_pointer(int tid)
{
	struct slot *slot = slot_of(tid);
	const uint64_t ns = rest_ns(slot);

	slot->rest = (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
	atomic_store(&slot->argument, (uintptr_t)&slot->rest);
	return (uintptr_t)&slot->rest;
}
