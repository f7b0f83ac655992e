/* SPDX-License-Identifier: MIT */
/*
 * Guarded windows.
 *
 * Nobody is stopped. A thread that touches the hole gets SIGSEGV, waits in our handler (segv.c) and
 * tries again when the window is closed. Two more things must not happen:
 *
 *  - A fault that kills: the kernel does not call a handler that the thread blocks. So no window is
 *    guarded while some other thread blocks SIGSEGV, for which every thread is looked at; nor while
 *    one sleeps uninterruptibly, for then it may be in vfork, and the child, whose signal actions
 *    are its own, runs on our memory. Both pass quickly as a rule (libc blocks signals in
 *    pthread_create), so it is looked at more than once.
 *  - An mmap of another thread that is given the hole (A2). The kernel takes the highest gap that
 *    is large enough, so there is one higher up, the decoy: address space reserved when the mode is
 *    set up, and free only while a window is open. What was put into it meanwhile stays there; what
 *    is left of it is reserved again. And before anything moves into the hole it is claimed by
 *    MAP_FIXED_NOREPLACE, which fails if somebody has it in spite of all (by an address as hint,
 *    MAP_FIXED, or a mapping larger than the decoy): then we wait for him to go.
 *
 * Guarded are plans that do nothing in the window but move the pages away and the twin in, or grow
 * over the hole, for then what lies in the range is right as soon as it is there. A userfaultfd has
 * to be taken off and put on again (A5), a late twin gets its attributes in place: for these
 * threads are stopped. So are those of calls over several mappings.
 *
 * What stays different from the kernel, and is said in remap(7): a system call that is given memory
 * in the hole fails with EFAULT (A1); so does mprotect and the like, with ENOMEM; a thread that
 * begins to block SIGSEGV, or a child of vfork that begins, in the window and touches the hole,
 * dies.
 *
 * Async-signal-safe but for rm_guard_prepare; raw system calls only.
 */
#include "emul/guard.h"

#include <errno.h>
#include <stdatomic.h>

#include "emul/features.h"
#include "emul/log.h"
#include "emul/numbers.h"
#include "emul/quiesce.h"
#include "emul/segv.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/task.h"
#include "libremap.h"

/* bytes of address space; fewer if RLIMIT_AS does not allow them */
#define DECOY	     (64UL << 30)
#define LEAST_DECOY  (1UL << 30)
#define DECOY_STEP   (256UL << 20) /* what is given up at a time when somebody has settled in it */
#define DECOY_MARGIN (64UL << 20)  /* more than the hole: new stacks */
#define LOW_MEMORY   (1UL << 32)   /* MAP_32BIT looks for gaps below it only */

/* Where mmap without a hint stays below, with five levels of page tables, too. */
#if defined(__x86_64__)
#define MMAP_WINDOW (1UL << 47)
#else
#define MMAP_WINDOW (1UL << 48)
#endif

#define PLUG	   (1UL << 20) /* the largest that is tried */
#define MOST_PLUGS 64

#define LOOKS	    6	    /* at a thread that does not fit */
#define LOOK_AGAIN  50000   /* ns later */
#define CLAIM_AGAIN 1000000 /* ns */

#define CLAIM_PATIENCE 1000000000ULL /* ns */

/*
 * Ordinary data: a forked child inherits the mapping as well. Only for the world's holder once it
 * is set up.
 */
static struct {
	_Atomic bool begun;
	_Atomic bool ready;
	uintptr_t start;  /* of the decoy */
	size_t len, full; /* now, and as it was made; 0: there is none */
	bool held;	  /* reserved */
} guard;

/* --- the decoy --- */

/*
 * Address space at exactly that place, if it is free. Before 4.17 NOREPLACE is only a hint, hence
 * the look at the address.
 */
static int reserve(uintptr_t start, size_t len)
{
	long addr = rm_sys_mmap(start, len, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (rm_is_err(addr))
		return (int)addr;
	if ((uintptr_t)addr == start)
		return 0;
	rm_sys_munmap((uintptr_t)addr, len);
	return -EEXIST;
}

/* Where gaps are filled from the top, as an address in the upper half of user space tells. */
static bool is_top_down(void)
{
	const uintptr_t task_size = rm_features()->task_size;

	return guard.start > (task_size < MMAP_WINDOW ? task_size : MMAP_WINDOW) / 2;
}

/*
 * Fills the gaps above the decoy, between libraries for one: what is mapped from now on lies below
 * it.
 */
static void plug_gaps(void)
{
	size_t len = PLUG;

	for (int plugs = 0; len >= rm_page_size() && plugs < MOST_PLUGS; plugs++) {
		long addr = rm_sys_mmap(
			0, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (rm_is_err(addr))
			return;
		if ((uintptr_t)addr > guard.start)
			continue;
		rm_sys_munmap((uintptr_t)addr, len);
		len /= 2;
	}
}

static void make_decoy(void)
{
	for (size_t len = DECOY; len >= LEAST_DECOY; len /= 2) {
		long addr = rm_sys_mmap(
			0, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (rm_is_err(addr))
			continue;
		guard.start = (uintptr_t)addr;
		guard.len = guard.full = len;
		guard.held = true;
		if (is_top_down())
			plug_gaps();
		return;
	}
	guard.len = guard.full = 0;
}

/*
 * Before a window: what the last one has left of it. Mappings come to lie at its upper end; while
 * they are there it is shorter. If too little is left there is a new one, which serves what is
 * mapped from then on.
 */
static void renew_decoy(void)
{
	while (!guard.held && guard.len >= LEAST_DECOY) {
		guard.held = !reserve(guard.start, guard.len);
		if (!guard.held)
			guard.len -= DECOY_STEP;
	}
	if (!guard.held)
		make_decoy();
	else if (guard.len < guard.full &&
		 !reserve(guard.start + guard.len, guard.full - guard.len))
		guard.len = guard.full;
}

/*
 * Whether an mmap to anywhere prefers the decoy to the hole: it lies higher, and the kernel looks
 * from the top. It looks from the bottom with ADDR_COMPAT_LAYOUT or without a limit of the stack.
 */
static bool decoy_serves(struct rm_range hole)
{
	return guard.held && hole.start >= LOW_MEMORY && guard.start >= rm_range_end(hole) &&
	       is_top_down() && guard.len >= hole.len + DECOY_MARGIN;
}

long rm_guard_fill(uintptr_t from, struct rm_range hole)
{
	const uint64_t deadline = rm_sys_now_ns() + CLAIM_PATIENCE;
	long r;

	while ((r = reserve(hole.start, hole.len)) == -EEXIST && rm_sys_now_ns() < deadline)
		rm_sys_sleep_ns(CLAIM_AGAIN);
	if (r == -EEXIST)
		(void)rm_refuse("a mapping of another thread came to lie in the range");
	if (r)
		return r;
	r = rm_sys_mremap(from, hole.len, hole.len, RM_MAYMOVE | RM_FIXED, hole.start);
	if (rm_is_err(r))
		rm_sys_munmap(hole.start, hole.len);
	return r;
}

/* --- the other threads --- */

static bool fits(int tid)
{
	struct rm_task task;

	for (int looks = 0; looks < LOOKS; looks++) {
		int r = rm_task_read(tid, &task);

		if (r)
			return r == -ENOENT || r == -ESRCH;
		if (rm_task_is_dead(&task) || task.kernel_worker)
			return true;
		if (task.state != 'D' &&
			(!(task.blocked & (1U << (SIGSEGV - 1))) || rm_segv_is_waiting(tid)))
			return true;
		rm_sys_sleep_ns(LOOK_AGAIN);
	}
	return false;
}

static bool all_fit(struct rm_world *world)
{
	const int self = rm_sys_gettid();
	struct rm_numbers tasks;
	int all, listed = 0, tid, r;

	if (rm_numbers_open(&tasks, "/proc/self/task", world->dirents, sizeof(world->dirents)))
		return false;
	all = rm_task_count(tasks.dir, "");
	for (; (r = rm_task_next(&tasks, &tid)) > 0; listed++)
		if (tid != self && !fits(tid))
			break;
	rm_numbers_close(&tasks);
	return r == 0 && listed == all;
}

/* --- windows --- */

/* Whether what lies in the range is right as soon as it is there. */
static bool suits(const struct rm_plan *plan)
{
	unsigned int i = 0;

	while (i < plan->nsteps && plan->steps[i].op != RM_OP_STOP)
		i++;
	for (i++; i < plan->nsteps; i++)
		switch (plan->steps[i].op) {
		case RM_OP_VERIFY:
		case RM_OP_APART: /* the twin */
		case RM_OP_MOVE:
		case RM_OP_GROW:
		case RM_OP_HEAL:
			break;
		case RM_OP_RESUME:
			return true;
		default:
			return false;
		}
	return false;
}

bool rm_guard_open(struct rm_world *world, const struct rm_plan *plan, struct rm_range range)
{
	const char *unfit;

	if (rm_quiesce_mode() != REMAP_QUIESCE_GUARD || world->depth ||
		rm_quiesce_count_threads() == 1)
		return false;
	if (!guard.ready) {
		unfit = "the mode could not be set up";
	} else if (!suits(plan)) {
		unfit = "the plan does more than move";
	} else {
		renew_decoy();
		unfit = decoy_serves(range) ? rm_segv_open() : "the range lies above the decoy";
	}
	if (!unfit && !all_fit(world)) {
		rm_guard_close();
		unfit = "a thread blocks SIGSEGV or is in vfork";
	}
	if (unfit) {
		rm_stat_add(RM_STAT_GUARD_STOPS, 1);
		rm_log(RM_LOG_INFO, "not guarded, threads are stopped: %s", unfit);
		return false;
	}
	rm_sys_munmap(guard.start, guard.len);
	guard.held = false;
	rm_stat_add(RM_STAT_GUARDED, 1);
	return true;
}

void rm_guard_close(void)
{
	const bool kept = rm_segv_close();

	if (!guard.held)
		guard.held = !reserve(guard.start, guard.len);
	if (!kept)
		rm_log(RM_LOG_WARN,
			"SIGSEGV was taken from us while the range was a hole: threads are "
			"stopped from now on");
}

bool rm_guard_is_own(struct rm_range range)
{
	return rm_range_overlaps(range, rm_segv_state()) ||
	       (guard.held && rm_range_overlaps(range, (struct rm_range){guard.start, guard.len}));
}

void rm_guard_prepare(void)
{
	if (atomic_exchange(&guard.begun, true))
		return;
	make_decoy();
	if (!rm_segv_prepare())
		atomic_store(&guard.ready, true);
}
