/* SPDX-License-Identifier: MIT */
/*
 * Stopping the world by signals.
 *
 * The stopper makes the generation odd, sends RM_STOP_SIGNAL with (generation, slot) to every
 * thread that /proc/self/task names, and looks again until a look finds nobody new: a thread that
 * had not stopped yet may have given birth meanwhile, stopped threads can not. A thread obeys in
 * the handler (obey.c). Resuming is one increment and at most one wake-up; nobody is waited for.
 *
 * Who has obeyed the last stop is asked first, without the list. If then as many threads stand
 * still as the process has, but for the stopper, they are all there are: none of them can have made
 * another one, and the list is not needed.
 *
 * A stop that does not come about within its patience is taken back, everybody runs on, and it is
 * tried again: a thread may be waiting in the kernel for another one that we have stopped already
 * (read(2) into a page that the program's own userfaultfd monitor must fill; vfork whose child
 * waits for a pipe). Threads that are dying vanish from the list; threads that block even this
 * signal are left to the freezer (freeze.c); a main thread that has exited stays there as a zombie
 * and is passed over, and so are io_uring's and vhost's kernel workers, which never return to user
 * space. What those do in the window can fail with EFAULT (semantics.md A1): that is a limit, said
 * in remap(7).
 *
 * Between stop and resume: raw system calls only, no lock, no allocation, no libc.
 */
#include "emul/quiesce.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "emul/fill.h"
#include "emul/freeze.h"
#include "emul/ignored.h"
#include "emul/log.h"
#include "emul/numbers.h"
#include "emul/obey.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/task.h"
#include "libremap.h"

/* ns for the first try; doubles up to LAST_PATIENCE, beyond that for waits_for_its_turn() */
#define FIRST_PATIENCE 20000000ULL
#define LAST_PATIENCE  640000000ULL
#define FIRST_PAUSE    500000ULL /* ns between tries, in which everybody runs; doubles too */
#define LAST_PAUSE     50000000ULL
#define GIVE_UP	       10000000000ULL
#define GIVE_UP_TURN   180000000000ULL /* if it only needs a processor */
#define DEAF_LOOKS     5	       /* looks, POLL_NS apart */
#define POLL_NS	       1000000	       /* how often unresponsive threads are looked at */

static _Atomic int chosen_mode; /* 1 more than enum remap_quiesce; 0: not chosen yet */

void rm_quiesce_set_mode(int mode)
{
	atomic_store(&chosen_mode, mode + 1);
}

void rm_quiesce_default_mode(int mode)
{
	int none = 0;

	atomic_compare_exchange_strong(&chosen_mode, &none, mode + 1);
}

int rm_quiesce_mode(void)
{
	int mode = atomic_load(&chosen_mode);

	return mode ? mode - 1 : REMAP_QUIESCE_STOP;
}

int rm_quiesce_prepare(void)
{
	return rm_obey_prepare(rm_signals_to_block());
}

int rm_quiesce_count_threads(void)
{
	return rm_task_count(AT_FDCWD, "/proc/self/task");
}

/*
 * The list of threads keeps its order from look to look, so the slot is nearly always the next one.
 */
static struct rm_slot *find_slot(struct rm_world *world, unsigned int *hint, int tid)
{
	for (unsigned int i = *hint; i < world->nslots; i++)
		if (world->slots[i].tid == tid) {
			*hint = i + 1;
			return &world->slots[i];
		}
	for (unsigned int i = 0; i < *hint && i < world->nslots; i++)
		if (world->slots[i].tid == tid) {
			*hint = i + 1;
			return &world->slots[i];
		}
	return NULL;
}

/* A thread blocks the signal now, and not because it is in our handler. */
static bool is_deaf(struct rm_world *world, int tid, bool sent)
{
	return atomic_load(&world->inside[(unsigned int)tid % RM_INSIDE]) != tid &&
	       rm_freeze_needed(tid, sent);
}

/* Where the thread is among those that were deaf last time; ndeaf: it was not. */
static unsigned int find_deaf(const struct rm_freezer *freezer, int tid)
{
	unsigned int i = 0;

	while (i < freezer->ndeaf && freezer->deaf[i] != tid)
		i++;
	return i;
}

/*
 * Whether the thread was deaf last time and is so still. If it has opened its ears it is struck
 * off.
 */
static bool known_deaf(struct rm_world *world, int tid)
{
	struct rm_freezer *freezer = &world->freezer;
	const unsigned int i = find_deaf(freezer, tid);

	if (i == freezer->ndeaf)
		return false;
	if (is_deaf(world, tid, false))
		return true;
	freezer->deaf[i] = freezer->deaf[--freezer->ndeaf];
	return false;
}

/*
 * A thread that has not obeyed and blocks the signal becomes the freezer's: not at once, libc
 * blocks every signal for moments, in pthread_create for one, and ptrace cuts short waits that our
 * handler would have continued.
 */
static void judge_deaf(struct rm_world *world, struct rm_slot *slot)
{
	struct rm_freezer *freezer = &world->freezer;

	slot->deaf_looks = is_deaf(world, slot->tid, true) ? slot->deaf_looks + 1 : 0;
	if (slot->deaf_looks < DEAF_LOOKS || freezer->ndeaf == RM_DEAF)
		return;
	if (find_deaf(freezer, slot->tid) == freezer->ndeaf)
		freezer->deaf[freezer->ndeaf++] = slot->tid;
	slot->state = RM_SLOT_DEAF;
}

/*
 * 0: it is on its way, or will be tried again, or the thread is gone. Else -errno: it is forbidden.
 */
static int send_stop(struct rm_world *world, unsigned int index, uint32_t generation)
{
	struct rm_slot *slot = &world->slots[index];
	siginfo_t info;
	long r;

	rm_obey_sign(&info, world->pid, generation, index);
	r = rm_sys_rt_tgsigqueueinfo(world->pid, slot->tid, RM_STOP_SIGNAL, &info);
	/*
	 * -EAGAIN: the user's queue of signals is full (RLIMIT_SIGPENDING); those who obey empty
	 * it.
	 */
	slot->state = r == 0 ? RM_SLOT_SENT : r == -ESRCH ? RM_SLOT_PASSED : RM_SLOT_NEW;
	return r == -EAGAIN || r == -ESRCH ? 0 : (int)r;
}

static bool never_answers(struct rm_world *world, int tid);

/*
 * One look at the list of threads, signalling who is new. How many have still to be waited for or
 * looked for, or -errno. Nobody only if the list had all the threads there were: one that ends
 * early would hide a running one.
 */
static int signal_new_threads(
	struct rm_world *world, struct rm_numbers *tasks, uint32_t generation, int self)
{
	const int all = rm_task_count_of(tasks);
	unsigned int hint = 0;
	struct rm_slot *slot;
	int found = 0, listed = 0, tid, r;

	r = all < 0 ? all : rm_task_rewind(world, tasks);
	if (r)
		return r;
	while ((r = rm_task_next(tasks, &tid)) > 0) {
		listed++;
		slot = tid == self ? NULL : find_slot(world, &hint, tid);
		/* The id of a thread that has gone may be another one's by now. */
		if (tid == self || rm_fill_is_ours(tid) ||
			(slot && (slot->state != RM_SLOT_PASSED || never_answers(world, tid))))
			continue;
		if (!slot && world->nslots == RM_SLOTS)
			return -EAGAIN;
		if (!slot)
			slot = &world->slots[world->nslots++];
		slot->tid = tid;
		slot->deaf_looks = 0;
		atomic_store(&slot->acked, 0);
		r = 0;
		if (known_deaf(world, tid))
			slot->state = RM_SLOT_DEAF;
		else
			r = send_stop(world, (unsigned int)(slot - world->slots), generation);
		if (r)
			break;
		found++;
	}
	return r < 0 ? r : found ? found : listed != all;
}

/*
 * Whether a thread that does not answer never will: it is gone, a zombie, or a worker that the
 * kernel has put into our thread group.
 */
static bool never_answers(struct rm_world *world, int tid)
{
	struct rm_task task;
	int r;

	if (rm_sys_tgkill(world->pid, tid, 0) == -ESRCH)
		return true;
	r = rm_task_read(tid, &task);
	if (r)
		return r == -ENOENT || r == -ESRCH;
	return rm_task_is_dead(&task) || task.kernel_worker;
}

static bool stands_still(const struct rm_slot *slot, uint32_t generation)
{
	return slot->state == RM_SLOT_PASSED ||
	       (slot->state != RM_SLOT_NEW && atomic_load(&slot->acked) == generation);
}

/* One that could not be stopped in time. */
struct late {
	int tid;
	bool deaf; /* it blocks the signal */
};

/*
 * On a machine with too much to do a thread may get its turn once in seconds. Nothing is wrong with
 * it.
 */
static bool waits_for_its_turn(const struct late *late)
{
	struct rm_task task;

	return !late->deaf && !rm_task_read(late->tid, &task) && task.state == 'R';
}

/*
 * Waits until every signalled thread has obeyed. 0; -ETIME: not by the deadline, *late is one that
 * has not.
 */
static int wait_for_all(
	struct rm_world *world, uint32_t generation, uint64_t deadline, struct late *late)
{
	unsigned int first = 0; /* everybody before it is known to stand still */
	bool look_closely = false;

	for (;;) {
		struct timespec poll = {0, POLL_NS};
		uint32_t arrivals = atomic_load(&world->arrivals);
		unsigned int waiting = 0, deaf = 0;

		for (unsigned int i = first; i < world->nslots; i++) {
			struct rm_slot *slot = &world->slots[i];

			if (slot->state == RM_SLOT_NEW && send_stop(world, i, generation))
				return -ETIME;
			if (look_closely && !stands_still(slot, generation)) {
				if (never_answers(world, slot->tid))
					slot->state = RM_SLOT_PASSED;
				else if (slot->state == RM_SLOT_SENT)
					judge_deaf(world, slot);
			}
			if (stands_still(slot, generation)) {
				if (!waiting)
					first = i + 1;
				continue;
			}
			deaf += slot->state == RM_SLOT_DEAF;
			*late = (struct late){slot->tid, slot->state == RM_SLOT_DEAF};
			waiting++;
		}
		if (!waiting)
			return 0;
		if (deaf && rm_freeze_kick(world))
			return -ETIME;
		if (rm_sys_now_ns() >= deadline)
			return -ETIME;
		atomic_store(&world->asleep, true);
		look_closely = rm_sys_futex_wait(&world->arrivals, arrivals, &poll) == -ETIMEDOUT;
		atomic_store(&world->asleep, false);
	}
}

static void release(struct rm_world *world)
{
	rm_obey_release(world);
	rm_freeze_finish(world);
}

/* Of the last stop, those that have obeyed. */
static void keep_who_obeys(struct rm_world *world, int self)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < world->nslots; i++) {
		const struct rm_slot *slot = &world->slots[i];

		if (slot->state == RM_SLOT_SENT && slot->tid != self)
			world->slots[n++].tid = slot->tid;
	}
	world->nslots = n;
}

/* Stops those of the last stop: 0, and there are no others; 1: there may be; -errno. */
static int stop_who_obeyed(
	struct rm_world *world, uint32_t generation, uint64_t deadline, struct late *late)
{
	int still = 0, r = 0;

	for (unsigned int i = 0; i < world->nslots && !r; i++) {
		world->slots[i].deaf_looks = 0;
		r = send_stop(world, i, generation);
	}
	if (!r)
		r = wait_for_all(world, generation, deadline, late);
	if (r)
		return r;
	for (unsigned int i = 0; i < world->nslots; i++)
		still += atomic_load(&world->slots[i].acked) == generation;
	return rm_quiesce_count_threads() != still + 1;
}

/* Stops whoever is on the list, until nobody new is. */
static int stop_the_rest(struct rm_world *world, struct rm_numbers *tasks, uint32_t generation,
	uint64_t deadline, struct late *late)
{
	const int self = rm_sys_gettid();
	int r;

	do {
		r = signal_new_threads(world, tasks, generation, self);
		if (r > 0 && (wait_for_all(world, generation, deadline, late) ||
				     rm_sys_now_ns() >= deadline))
			r = -ETIME;
	} while (r > 0);
	return r;
}

/* One try. 0: the world stands still. Else everybody runs: -ETIME, or -errno of /proc. */
static int try_stop(struct rm_world *world, uint64_t patience, struct late *late)
{
	int self = rm_sys_gettid();
	uint64_t deadline = rm_sys_now_ns() + patience;
	struct rm_numbers tasks;
	uint32_t generation;
	int r = 1;

	keep_who_obeys(world, self);
	atomic_store(&world->trouble, 0);
	generation = atomic_fetch_add(&world->generation, 1) + 1;
	if (world->nslots)
		r = stop_who_obeyed(world, generation, deadline, late);
	if (r > 0) {
		r = rm_task_open(world, &tasks);
		if (!r) {
			r = stop_the_rest(world, &tasks, generation, deadline, late);
			rm_task_close(&tasks);
		}
		if (r == -EBADF) { /* somebody closes what is not his */
			rm_task_open_apart(world, &tasks);
			r = stop_the_rest(world, &tasks, generation, deadline, late);
		}
	}
	if (!r && !rm_obey_handlers_rest())
		r = -ETIME;
	if (r) {
		release(world);
		world->nslots = 0;
	}
	return r;
}

/*
 * CLONE_VM asks unshare(2) for nothing, and it is refused unless the thread group has one thread
 * and no other process has its memory (check_unshare_flags(), current_is_single_threaded()).
 * Filters may refuse more.
 */
bool rm_quiesce_is_alone(void)
{
	return !rm_syscall(SYS_unshare, CLONE_VM, 0, 0, 0, 0, 0);
}

bool rm_quiesce_may_have_others(const struct rm_world *world)
{
	return !world->alone && (world->blocked || !rm_quiesce_is_alone());
}

int rm_quiesce_stop(struct rm_world *world, struct rm_range moving)
{
	uint64_t patience = FIRST_PATIENCE, pause = FIRST_PAUSE;
	uint64_t first_try, began, block;
	struct late late = {0, false};
	bool turn;
	int r;

	if (world->depth++)
		return 0;
	if (rm_quiesce_mode() == REMAP_QUIESCE_CALLER)
		goto stopped;
	if (!rm_quiesce_may_have_others(world) ||
		(!world->nslots && rm_quiesce_count_threads() == 1))
		goto stopped;
	world->range = moving;
	block = world->blocked ? world->blocked : rm_signals_to_block();
	rm_obey_to(world);
	began = first_try = rm_sys_now_ns();
	for (;; began = rm_sys_now_ns(), block = rm_signals_to_block()) {
		r = rm_obey_prepare(block);
		if (!r)
			r = try_stop(world, patience, &late);
		if (!r)
			break;
		if (r != -ETIME) {
			rm_log(RM_LOG_WARN, "/proc/self/task: error %d", -r);
			world->depth--;
			return rm_refuse(
				"/proc/self/task can not be read, so threads can not be stopped");
		}
		turn = waits_for_its_turn(&late);
		if (rm_sys_now_ns() - first_try > (turn ? GIVE_UP_TURN : GIVE_UP)) {
			rm_log(RM_LOG_WARN, "thread %d could not be stopped for %d s", late.tid,
				(int)((turn ? GIVE_UP_TURN : GIVE_UP) / 1000000000));
			world->depth--;
			return rm_refuse(
				"a thread could not be stopped: it blocks signal 33, or is stuck "
				"in the kernel");
		}
		rm_stat_add(RM_STAT_STOP_RETRIES, 1);
		rm_sys_sleep_ns(pause);
		patience = patience < LAST_PATIENCE || turn ? patience * 2 : LAST_PATIENCE;
		pause = pause < LAST_PAUSE ? pause * 2 : pause;
	}
	rm_stat_add(RM_STAT_STOPS, 1);
	world->began = began;
	if (atomic_load(&world->trouble)) {
		rm_quiesce_resume(world);
		return rm_refuse("the stack of a running thread lies in the range");
	}
	return 0;
stopped:
	world->began = 0;
	return 0;
}

void rm_quiesce_resume(struct rm_world *world)
{
	uint64_t ns;

	if (--world->depth || !world->began)
		return;
	release(world);
	ns = rm_sys_now_ns() - world->began;
	world->began = 0;
	rm_stat_add(RM_STAT_STOP_NS_TOTAL, ns);
	rm_stat_max(RM_STAT_STOP_NS_MAX, ns);
}

bool rm_quiesce_hold(struct rm_entry *entry)
{
	if (rm_quiesce_is_alone() || rm_world_enter(entry))
		return false;
	rm_sys_rt_sigprocmask(SIG_SETMASK, &entry->saved_mask, NULL);
	rm_obey_forget();
	return true;
}

void rm_quiesce_let_go(struct rm_entry *entry)
{
	rm_world_leave(entry);
}
