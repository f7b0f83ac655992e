/* SPDX-License-Identifier: MIT */
/*
 * Standing still: what a thread does that is asked to stop (quiesce.c asks).
 *
 * The signal's handler marks the thread's slot and waits until the generation moves on. A thread
 * still on its way out of the handler when the next stop begins leaves it first, whatever the
 * generation says: it finds the next signal pending before it executes one instruction of the
 * program.
 *
 * Nobody waits by looking, neither here nor in quiesce.c, although to wake a processor from its
 * sleep costs more than all the rest of a short window: while a thread spins on another processor
 * each page-table move has to interrupt that one to flush its TLB, which was measured to cost more.
 *
 * Sharing the signal with libc: glibc sends SIGSETXID by tgkill (SI_TKILL) to make threads change
 * their uid, musl sends SIGCANCEL. Ours comes as SI_QUEUE with our own mark. What is not ours goes
 * to the handler found when ours was installed; and because libc installs its own late (at the
 * first pthread_create, the first pthread_cancel), every stop looks first whether ours is still
 * there. libc's handlers ignore what has not their si_code.
 *
 * Last, what the stop has interrupted is put right: waits that would end with EINTR (restart.c,
 * timed.c) and transfers that would end with a part (partial.c).
 *
 * Inside the handler: raw system calls only, no lock, no allocation, no libc.
 */
#include "emul/obey.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

#include "emul/call.h"
#include "emul/ignored.h"
#include "emul/leave.h"
#include "emul/partial.h"
#include "emul/quiesce.h"
#include "emul/restart.h"
#include "emul/sys.h"
#include "emul/timed.h"

#define OUR_MARK 0x72656d61u /* si_uid of our signals: no user has this id and SI_QUEUE */

static struct {
	_Atomic(struct rm_world *) world; /* for the handler */
	/* libc's handler for the signal, from before ours */
	_Atomic(void (*)(int, siginfo_t *, void *)) next;
} stopping;

extern void rm_sigreturn(void);

static bool is_ours(const siginfo_t *info)
{
	return info->si_code == SI_QUEUE && info->si_uid == OUR_MARK;
}

/*
 * Stands still for the stop that the signal is of, unless that was taken back, or is over:
 * everybody is running then.
 */
static void obey(struct rm_world *world, const siginfo_t *info, const ucontext_t *context)
{
	uintptr_t cookie = (uintptr_t)info->si_value.sival_ptr;
	uint32_t generation = (uint32_t)cookie, index = (uint32_t)(cookie >> 32);
	char on_stack;

	if (atomic_load(&world->generation) != generation || index >= RM_SLOTS)
		return;
	if (rm_range_holds(world->range, rm_context_stack(context)) ||
		rm_range_holds(world->range, (uintptr_t)&on_stack))
		atomic_fetch_add(&world->trouble, 1);
	atomic_store(&world->slots[index].acked, generation);
	atomic_fetch_add(&world->arrivals, 1);
	if (atomic_load(&world->asleep))
		rm_sys_futex_wake(&world->arrivals, 1);
	while (atomic_load(&world->generation) == generation)
		rm_sys_futex_wait(&world->generation, generation, NULL);
}

/*
 * The next stop's signal, if it is there already: taken here, a second handler's return would spoil
 * the restart.
 */
static bool take_next(siginfo_t *info)
{
	const uint64_t stop = RM_STOP_BIT;
	const struct timespec now = {0, 0};

	return rm_syscall(SYS_rt_sigtimedwait, (long)&stop, (long)info, (long)&now, sizeof(stop), 0,
		       0) == RM_STOP_SIGNAL;
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
	void (*next)(int, siginfo_t *, void *) = atomic_load(&stopping.next);

	if (next)
		next(sig, info, context);
}

static bool obey_next(void *context)
{
	siginfo_t next;

	if (!take_next(&next))
		return false;
	if (is_ours(&next))
		obey(atomic_load(&stopping.world), &next, context);
	else
		pass_on(RM_STOP_SIGNAL, &next, context);
	return true;
}

void rm_obey_pending(void *context)
{
	while (obey_next(context))
		;
}

void rm_obey_inside(bool inside)
{
	struct rm_world *world = atomic_load(&stopping.world);
	const int tid = rm_sys_gettid();

	atomic_store(&world->inside[(unsigned int)tid % RM_INSIDE], inside ? tid : 0);
}

RM_LEFT_EARLY static void on_stop(int sig, siginfo_t *info, void *context)
{
	struct rm_world *world = atomic_load(&stopping.world);
	bool leave;

	if (!is_ours(info) || !world) {
		pass_on(sig, info, context);
		return;
	}
	context = rm_restart_was_leaving(context);
	rm_obey_inside(true);
	obey(world, info, context);
	do
		leave = rm_restart_wait(context);
	while (leave && obey_next(context));
	rm_obey_inside(false);
	if (leave)
		rm_restart_leave(context);
	rm_timed_go_on(context);
	rm_partial_go_on(context);
}

int rm_obey_prepare(uint64_t mask)
{
	struct rm_ksigaction ours, now;
	int r;

	r = (int)rm_sys_rt_sigaction(RM_STOP_SIGNAL, NULL, &now);
	if (r)
		return r;
	if (now.handler == on_stop && now.mask == mask)
		return 0;
	if (now.handler == (void *)SIG_DFL || now.handler == (void *)SIG_IGN)
		now.handler = NULL;
	if (now.handler != on_stop)
		atomic_store(&stopping.next, now.handler);
	memset(&ours, 0, sizeof(ours));
	ours.handler = on_stop;
	/*
	 * On the alternate stack if there is one: Go's and Java's stacks have no room for our
	 * frame.
	 */
	ours.flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK | 0x04000000UL /* SA_RESTORER */;
	ours.restorer = rm_sigreturn;
	ours.mask = mask;
	return (int)rm_sys_rt_sigaction(RM_STOP_SIGNAL, &ours, NULL);
}

void rm_obey_to(struct rm_world *world)
{
	atomic_store(&stopping.world, world);
}

void rm_obey_sign(siginfo_t *info, int pid, uint32_t generation, uint32_t slot)
{
	memset(info, 0, sizeof(*info));
	info->si_signo = RM_STOP_SIGNAL;
	info->si_code = SI_QUEUE;
	info->si_pid = pid;
	info->si_uid = OUR_MARK;
	info->si_value.sival_ptr = (void *)((uintptr_t)slot << 32 | generation);
}

void rm_obey_release(struct rm_world *world)
{
	atomic_fetch_add(&world->generation, 1);
	rm_sys_futex_wake(&world->generation, INT32_MAX);
}

void rm_obey_forget(void)
{
	siginfo_t stop;

	while (take_next(&stop))
		;
}

bool rm_obey_handlers_rest(void)
{
	struct rm_ksigaction now;

	return !rm_sys_rt_sigaction(RM_STOP_SIGNAL, NULL, &now) &&
	       !rm_signals_to_block_of(~now.mask) &&
	       !rm_sys_rt_sigprocmask(SIG_BLOCK, &now.mask, NULL);
}
