/* SPDX-License-Identifier: MIT */
/*
 * SIGSEGV, shared with the program.
 *
 * A thread that touches the hole of an open window gets SIGSEGV. Our handler waits until the window
 * is closed and returns: the instruction is tried again and finds the page. Everything else is the
 * program's and reaches it as if we were not there. What makes that possible:
 *
 *  - Ours is installed at the first window, not before, and stays: a thread may have faulted in the
 *    window and be given its signal only long after. So whether a fault is "ours" can not be told
 *    from the address and the time. Instead every fault is tried again once if a window has been
 *    open since the thread was last seen to run; the second time no window has been, so it is the
 *    program's. A fault that a retry makes disappear would have disappeared natively, had the
 *    thread been a moment later.
 *  - What the program has installed is kept in a slot, and each slot has an entry point of its own.
 *    So a handler always finds the action under which its signal was delivered, without a lock, and
 *    an action that a program (linked, not preloaded) has asked the kernel for and puts back later
 *    still means what it meant.
 *  - The program's handler is called on the frame that the kernel made, on the stack that its flags
 *    ask for, with the mask that the kernel would have set. SA_RESTART is passed on, SA_NODEFER and
 *    SA_RESETHAND are done here.
 *  - For the default action the signal is given back to the kernel, by its own action and another
 *    fault: the process dies at the instruction with the siginfo that it would have died with, and
 *    dumps the same core. A signal that was sent is queued again with its siginfo.
 *
 * Windows are not opened, and threads are stopped instead, if SIGSEGV is ignored (an ignored signal
 * must stay ignored in an exec'ed program), while some handler blocks SIGSEGV by its mask (a fault
 * with the signal blocked kills), while a thread forks (A17: the child would have the hole for
 * ever), or when a program has had more different actions than there are slots.
 *
 * Differences that are left: SigCgt in /proc and a raw rt_sigaction show ours; a stack overflow
 * without alternate stack kills with siginfo SI_KERNEL, as it does under any handler.
 *
 * State that a forked child must not inherit is in a mapping of its own, wiped on fork; the slots
 * are ordinary data, as the child inherits the signal action. Everything but rm_segv_prepare is
 * async-signal-safe: raw system calls only. The lock is held for a few of them, with signals
 * blocked, and never while a window is open.
 */
#include "emul/segv.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>

#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"

#define SLOTS	32
#define THREADS 4096 /* hash slots, by thread id; a collision costs a retry or a stop */

#define RESTORER    0x04000000UL /* SA_RESTORER, which libc's headers leave out */
#define UNSUPPORTED 0x400UL	 /* SA_UNSUPPORTED: 5.11 and later take it out */
/* What they leave in: UAPI_SA_FLAGS, with SA_EXPOSE_TAGBITS. */
#define KNOWN	    (0x807UL | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND | RESTORER)
#define SEGV_BIT    (1ULL << (SIGSEGV - 1))
#define KILL_BIT    (1ULL << (SIGKILL - 1)) /* the kernel takes these two out of every mask */
#define STOP_BIT    (1ULL << (SIGSTOP - 1))
#define ALL_SIGNALS (~0ULL)
#define BUT_STOP    (ALL_SIGNALS & ~RM_STOP_BIT)

typedef void (*handler_t)(int, siginfo_t *, void *);

#define SIGNAL_DEFAULT ((handler_t)(uintptr_t)SIG_DFL)
#define SIGNAL_IGNORED ((handler_t)(uintptr_t)SIG_IGN)

/* Wiped on fork. */
struct shared {
	_Atomic uint32_t windows; /* futex: counts openings and closings, odd while one is open */
	_Atomic uint32_t lock;	  /* futex: 0 free, 1 held, 2 held and waited for */
	_Atomic uint32_t holds;	  /* threads that want none to be opened: in fork(), for one */
	struct {
		_Atomic int waits;	/* the thread that waits in our handler */
		_Atomic int tid;	/* this thread was seen to run ... */
		_Atomic uint32_t since; /* ... after that many windows */
	} seen[THREADS];
};

struct slot {
	struct rm_ksigaction action; /* never changed once it is counted in .used */
	_Atomic bool fired;	     /* SA_RESETHAND: it has been called */
};

static struct {
	_Atomic(struct shared *) shared;
	_Atomic unsigned int used;
	struct slot slots[SLOTS];
	_Atomic bool lost; /* the action was replaced inside a window */
	_Atomic bool
		sanitizes; /* the kernel takes flags that it does not know out of what is set */
} segv;

extern void rm_sigreturn(void);
static handler_t decide(unsigned int index, siginfo_t *info, void *context);

/* --- the lock, and waiting for a window to close --- */

static void await_close(struct shared *s)
{
	uint32_t now;

	while ((now = atomic_load(&s->windows)) & 1)
		rm_sys_futex_wait(&s->windows, now, NULL);
}

static void lock(struct shared *s)
{
	uint32_t none = 0;

	if (atomic_compare_exchange_strong(&s->lock, &none, 1))
		return;
	while (atomic_exchange(&s->lock, 2))
		rm_sys_futex_wait(&s->lock, 2, NULL);
}

static void unlock(struct shared *s)
{
	if (atomic_exchange(&s->lock, 0) == 2)
		rm_sys_futex_wake(&s->lock, 1);
}

/* With the lock held no window opens. */
static void lock_outside_windows(struct shared *s)
{
	for (;;) {
		await_close(s);
		lock(s);
		if (!(atomic_load(&s->windows) & 1))
			return;
		unlock(s);
	}
}

/* --- the slots --- */

/* clang-format off */
#define FOR_EACH_SLOT(X)                                                                           \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) \
	X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
/* clang-format on */

/*
 * Left by a jump to the program's handler where the compiler makes one of the call, so that not
 * even a frame is in between.
 */
#define ENTRY(n)                                                                                   \
	static RM_LEFT_EARLY void entry_##n(int sig, siginfo_t *info, void *context)               \
	{                                                                                          \
		handler_t next = decide(n, info, context);                                         \
                                                                                                   \
		if (next)                                                                          \
			next(sig, info, context);                                                  \
	}
FOR_EACH_SLOT(ENTRY)

#define ENTRY_NAME(n) entry_##n,
static const handler_t entries[SLOTS] = {FOR_EACH_SLOT(ENTRY_NAME)};

/* Whose entry point that is, or -1. */
static int slot_of(handler_t handler)
{
	for (int i = 0; i < SLOTS; i++)
		if (entries[i] == handler)
			return i;
	return -1;
}

/*
 * The slot that has this action, made if there is none yet; -1: there are too many. With the lock
 * held.
 */
static int slot_for(const struct rm_ksigaction *action)
{
	const unsigned int used = atomic_load(&segv.used);
	unsigned int i = 0;

	while (i < used && (segv.slots[i].action.handler != action->handler ||
				   segv.slots[i].action.flags != action->flags ||
				   segv.slots[i].action.mask != action->mask ||
				   segv.slots[i].action.restorer != action->restorer))
		i++;
	if (i == SLOTS)
		return -1;
	if (i == used) {
		segv.slots[i].action = *action;
		atomic_store(&segv.used, used + 1);
	}
	atomic_store(&segv.slots[i].fired, false);
	return (int)i;
}

static bool is_default(const struct rm_ksigaction *action)
{
	return action->handler == SIGNAL_DEFAULT;
}

/*
 * Puts the slot's entry point into the kernel, with what of the program's flags the kernel is to
 * do.
 */
static long install(int index)
{
	const struct rm_ksigaction *theirs = &segv.slots[index].action;
	struct rm_ksigaction ours = {
		.handler = entries[index],
		.flags = (theirs->flags & ~(unsigned long)(SA_NODEFER | SA_RESETHAND)) |
			 SA_SIGINFO | RESTORER | UNSUPPORTED,
		.restorer = theirs->flags & RESTORER ? theirs->restorer : rm_sigreturn,
		.mask = BUT_STOP,
	};

	if (is_default(theirs))
		ours.flags |= SA_RESTART | SA_ONSTACK;
	return rm_sys_rt_sigaction(SIGSEGV, &ours, NULL);
}

/* The kernel calls us from here on, if it did not. With the lock held. */
static bool take_over(void)
{
	struct rm_ksigaction now;
	int index;

	if (rm_sys_rt_sigaction(SIGSEGV, NULL, &now))
		return false;
	if (slot_of(now.handler) >= 0)
		return true;
	if (now.handler == SIGNAL_IGNORED)
		return false;
	index = slot_for(&now);
	if (index < 0 || install(index) || rm_sys_rt_sigaction(SIGSEGV, NULL, &now))
		return false;
	if (!(now.flags & UNSUPPORTED))
		atomic_store(&segv.sanitizes, true);
	return true;
}

/* --- the handler --- */

static unsigned int hash(int tid)
{
	return (unsigned int)tid % THREADS;
}

/*
 * Whether the fault may be one of an earlier window. Asked twice without a window in between, it
 * says no.
 */
static bool may_be_stale(struct shared *s, int tid)
{
	const uint32_t now = atomic_load(&s->windows);
	const unsigned int h = hash(tid);
	const bool genuine = atomic_load(&s->seen[h].tid) == tid &&
			     atomic_load(&s->seen[h].since) == now;

	atomic_store(&s->seen[h].tid, tid);
	atomic_store(&s->seen[h].since, now);
	return !genuine;
}

/* The kernel's own action again, for the slot's action or what SA_RESETHAND leaves of it. */
static void step_aside(struct shared *s, unsigned int index)
{
	struct rm_ksigaction now, theirs = segv.slots[index].action;

	theirs.handler = SIGNAL_DEFAULT;
	lock_outside_windows(s);
	if (!rm_sys_rt_sigaction(SIGSEGV, NULL, &now) && now.handler == entries[index])
		rm_sys_rt_sigaction(SIGSEGV, &theirs, NULL);
	unlock(s);
}

static void queue_again(siginfo_t *info)
{
	const int pid = rm_sys_getpid(), tid = rm_sys_gettid();

	/* The kernel lets a thread send itself any siginfo. -EAGAIN: RLIMIT_SIGPENDING. */
	if (rm_sys_rt_tgsigqueueinfo(pid, tid, SIGSEGV, info))
		rm_sys_tgkill(pid, tid, SIGSEGV);
}

/* The mask that the kernel sets for a handler. */
static void set_mask(const struct rm_ksigaction *action, const ucontext_t *context)
{
	uint64_t mask;

	memcpy(&mask, &context->uc_sigmask, sizeof(mask));
	mask |= action->mask;
	if (!(action->flags & SA_NODEFER))
		mask |= SEGV_BIT;
	rm_sys_rt_sigprocmask(SIG_SETMASK, &mask, NULL);
}

/*
 * The handler of the program that is to be called, its mask set; NULL: return, and the instruction
 * is tried again. Runs with every signal blocked but RM_STOP_SIGNAL.
 */
static handler_t decide(unsigned int index, siginfo_t *info, void *context)
{
	struct shared *s = atomic_load(&segv.shared);
	struct slot *slot = &segv.slots[index];
	const int tid = rm_sys_gettid();
	/*
	 * Sent by someone, or by the kernel for want of a stack: trying again would not bring that
	 * back.
	 */
	const bool fault = info->si_code > 0 && info->si_code != SI_KERNEL;
	_Atomic int *waits = &s->seen[hash(tid)].waits;
	bool dies = is_default(&slot->action);

	/*
	 * Whoever opens a window counts first and then looks for threads that block SIGSEGV; we
	 * take our mark back first and then look whether one is open. So we are seen, or wait.
	 */
	do {
		atomic_store(waits, tid);
		if ((atomic_load(&s->windows) & 1) && fault)
			rm_stat_add(RM_STAT_GUARD_WAITS, 1);
		await_close(s);
		atomic_store(waits, 0);
	} while (atomic_load(&s->windows) & 1);
	if (fault && may_be_stale(s, tid))
		return NULL;
	if (slot->action.flags & SA_RESETHAND && !dies) {
		/* The first one resets, as the kernel does at delivery. */
		dies = atomic_exchange(&slot->fired, true);
		if (!dies)
			step_aside(s, index);
	}
	if (dies) {
		step_aside(s, index);
		if (!fault)
			queue_again(info);
		return NULL;
	}
	set_mask(&slot->action, context);
	return slot->action.handler;
}

/* --- windows --- */

/*
 * A handler with SIGSEGV in its mask could begin in the window, touch the hole and kill the
 * process.
 */
static bool some_mask_blocks(void)
{
	struct rm_ksigaction action;

	for (int sig = 1; sig <= 64; sig++) {
		if (sig == SIGSEGV || sig == SIGKILL || sig == SIGSTOP || sig == RM_STOP_SIGNAL)
			continue;
		if (!rm_sys_rt_sigaction(sig, NULL, &action) && action.handler != SIGNAL_DEFAULT &&
			action.handler != SIGNAL_IGNORED && (action.mask & SEGV_BIT))
			return true;
	}
	return false;
}

const char *rm_segv_open(void)
{
	struct shared *s = atomic_load(&segv.shared);
	const char *unfit = NULL;

	if (!s || atomic_load(&segv.lost))
		return "SIGSEGV was taken from us once";
	lock(s);
	atomic_fetch_add(&s->windows, 1);
	if (atomic_load(&s->holds))
		unfit = "a thread forks or installs a handler";
	else if (!take_over())
		unfit = "SIGSEGV is ignored, or had too many different actions";
	else if (some_mask_blocks())
		unfit = "a signal handler blocks SIGSEGV";
	if (unfit) {
		atomic_fetch_add(&s->windows, 1);
		rm_sys_futex_wake(&s->windows, INT32_MAX);
	}
	unlock(s);
	return unfit;
}

bool rm_segv_close(void)
{
	struct shared *s = atomic_load(&segv.shared);
	struct rm_ksigaction now;

	if (rm_sys_rt_sigaction(SIGSEGV, NULL, &now) || slot_of(now.handler) < 0)
		atomic_store(&segv.lost, true);
	atomic_fetch_add(&s->windows, 1);
	rm_sys_futex_wake(&s->windows, INT32_MAX);
	return !atomic_load(&segv.lost);
}

bool rm_segv_is_waiting(int tid)
{
	return atomic_load(&atomic_load(&segv.shared)->seen[hash(tid)].waits) == tid;
}

void rm_segv_await_close(void)
{
	struct shared *s = atomic_load(&segv.shared);

	if (s)
		await_close(s);
}

/* --- the program's side --- */

bool rm_segv_in_force(void)
{
	return atomic_load_explicit(&segv.shared, memory_order_acquire);
}

int rm_segv_action(const struct rm_ksigaction *act, struct rm_ksigaction *old)
{
	struct shared *s = atomic_load(&segv.shared);
	const uint64_t all = ALL_SIGNALS;
	struct rm_ksigaction ask, before;
	uint64_t mask;
	int was, index = -1;
	long r;

	if (act) {
		ask = *act;
		ask.mask &= ~(KILL_BIT | STOP_BIT);
		if (atomic_load(&segv.sanitizes))
			ask.flags &= KNOWN;
		if (!(ask.flags & RESTORER)) {
			ask.flags |= RESTORER;
			ask.restorer = rm_sigreturn;
		}
		act = &ask;
	}
	rm_sys_rt_sigprocmask(SIG_SETMASK, &all, &mask);
	lock_outside_windows(s);
	r = rm_sys_rt_sigaction(SIGSEGV, NULL, &before);
	was = r ? -1 : slot_of(before.handler);
	/*
	 * Once ours is there it stays without a gap, for the sake of late signals. Ignoring means
	 * ignoring.
	 */
	if (!r && act && was >= 0 && act->handler != SIGNAL_IGNORED)
		index = slot_for(act);
	if (!r && act)
		r = index >= 0 ? install(index) : rm_sys_rt_sigaction(SIGSEGV, act, NULL);
	unlock(s);
	rm_sys_rt_sigprocmask(SIG_SETMASK, &mask, NULL);
	if (!r && old)
		*old = was >= 0 ? segv.slots[was].action : before;
	return (int)r;
}

void rm_segv_hold(void)
{
	struct shared *s = atomic_load(&segv.shared);

	atomic_fetch_add(&s->holds, 1);
	await_close(s);
}

void rm_segv_release(void)
{
	atomic_fetch_sub(&atomic_load(&segv.shared)->holds, 1);
}

int rm_segv_prepare(void)
{
	const size_t len = rm_page_round(sizeof(struct shared));
	struct shared *none = NULL;
	long addr;

	if (rm_segv_in_force())
		return 0;
	addr = rm_sys_mmap(
		0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rm_is_err(addr))
		return -ENOMEM;
	if (rm_sys_madvise((uintptr_t)addr, len, MADV_WIPEONFORK) ||
		!atomic_compare_exchange_strong(&segv.shared, &none, (struct shared *)addr)) {
		rm_sys_munmap((uintptr_t)addr, len);
		return none ? 0 : -ENOMEM;
	}
	(void)rm_sys_madvise((uintptr_t)addr, len, MADV_DONTDUMP);
	/* In the child the count is wiped. */
	if (pthread_atfork(rm_segv_hold, rm_segv_release, NULL))
		atomic_store(&segv.lost, true); /* no memory: then never a window */
	return 0;
}

struct rm_range rm_segv_state(void)
{
	struct shared *s = atomic_load(&segv.shared);

	return (struct rm_range){(uintptr_t)s, s ? rm_page_round(sizeof(*s)) : 0};
}
