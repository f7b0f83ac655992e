/* SPDX-License-Identifier: MIT */
/*
 * Threads that no signal reaches are stopped from outside: by a short-lived helper process that
 * shares our memory (CLONE_VM, not a thread: a thread can not trace its own process) and seizes
 * them by ptrace.
 *
 * PTRACE_SEIZE and PTRACE_INTERRUPT stop a thread whatever it blocks, and system calls that it is
 * in are restarted by the kernel as after SIGSTOP; those that are not (epoll_wait for one,
 * signal(7)) the helper turns back: restart.c. A thread that turns out to hear the signal after all
 * is let go with it. A stop for a signal of the program's own is passed on when the thread is let
 * go. The helper has no exit signal, so the program gets no SIGCHLD; it dies with us
 * (PR_SET_PDEATHSIG), and when it dies the kernel lets its tracees go. It runs on a stack in the
 * world and makes raw system calls only.
 *
 * It costs some hundred microseconds, and is used for those threads only. Where ptrace is forbidden
 * (another tracer, a filter, an undumpable process) the threads stay unstopped and the call is
 * refused in the end. With Yama's ptrace_scope 1 the helper is named as our tracer for its lifetime
 * (PR_SET_PTRACER), which forgets a tracer that the program had named.
 */
#include "emul/freeze.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "emul/clone.h"
#include "emul/log.h"
#include "emul/obey.h"
#include "emul/quiesce.h"
#include "emul/restart.h"
#include "emul/sys.h"
#include "emul/task.h"

enum { FIRST_LOOK_NS = 10000, LAST_LOOK_NS = 1000000 };

static long sys_ptrace(long request, int tid, long addr, long data)
{
	return rm_syscall(SYS_ptrace, request, tid, addr, data, 0, 0);
}

static bool has_stop(const char *status, const char *line)
{
	uint64_t signals;

	return rm_task_signals(status, line, &signals) && (signals & RM_STOP_BIT);
}

/*
 * What is blocked and is not pending any more has come through: the kernel has begun our handler,
 * which blocks it too, and has not let it run yet. From 6.18 on that is where a thread stands whose
 * CPU group has used up its quota.
 */
bool rm_freeze_needed(int tid, bool sent)
{
	char path[64], status[2048];
	long fd, got;

	rm_format(path, sizeof(path), "/proc/self/task/%d/status", tid);
	fd = rm_sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	got = rm_sys_read((int)fd, status, sizeof(status) - 1);
	rm_sys_close((int)fd);
	if (got <= 0)
		return false;
	status[got] = '\0';
	return has_stop(status, "SigBlk") && (!sent || has_stop(status, "SigPnd"));
}

/* A wait that the stop has cut short begins anew when the thread is let go. */
static void let_wait(int tid)
{
	enum { GENERAL_REGISTERS = 1 }; /* NT_PRSTATUS */
	struct user_regs_struct regs;
	struct iovec io = {&regs, sizeof(regs)};

	if (!sys_ptrace(PTRACE_GETREGSET, tid, GENERAL_REGISTERS, (long)&io) &&
		io.iov_len == sizeof(regs) && rm_restart_traced(tid, &regs))
		(void)sys_ptrace(PTRACE_SETREGSET, tid, GENERAL_REGISTERS, (long)&io);
}

/* Whether a thread that was interrupted is on its way to stand still. */
static bool is_coming(int pid, int tid)
{
	struct rm_task task;

	return !rm_task_read_of(pid, tid, &task) && (task.state == 'R' || task.state == 't');
}

/*
 * Whether a thread that stands still does not block the signal any more. It was found deaf before
 * it was interrupted, and may be anywhere by now: in a read that has been cut short, which only our
 * handler can go on with (partial.c). Old kernels say the mask of a ppoll, new ones (5.13) the one
 * from before it; the signal gets through where either leaves it open.
 */
static bool hears(int tid)
{
	uint64_t mask = ~0ULL;

	return !sys_ptrace(PTRACE_GETSIGMASK, tid, sizeof(mask), (long)&mask) &&
	       !(mask & RM_STOP_BIT);
}

/* Lets it go again, with the signal: it stops by itself. */
static bool tell(struct rm_world *world, uint32_t generation, unsigned int index, int signal)
{
	struct rm_slot *slot = &world->slots[index];
	siginfo_t info;

	rm_obey_sign(&info, world->pid, generation, index);
	if (rm_sys_rt_tgsigqueueinfo(world->pid, slot->tid, RM_STOP_SIGNAL, &info))
		return false;
	slot->deaf_looks = 0;
	slot->state = RM_SLOT_SENT;
	sys_ptrace(PTRACE_DETACH, slot->tid, 0, signal);
	return true;
}

/* The thread stands still when this returns true; *signal is what it was about to be given. */
static bool seize(struct rm_world *world, uint32_t generation, int tid, int *signal)
{
	int status = 0;
	long r, pause_ns = FIRST_LOOK_NS;

	if (sys_ptrace(PTRACE_SEIZE, tid, 0, 0))
		return false;
	if (sys_ptrace(PTRACE_INTERRUPT, tid, 0, 0)) {
		sys_ptrace(PTRACE_DETACH, tid, 0, 0);
		return false;
	}
	/*
	 * In vfork or posix_spawn it does not stop before its child execs, and the child may be
	 * waiting for the mover. So no wait without an end: when the stop is given up we exit, and
	 * that lets go of the thread. But not of one that has been torn out of a wait already and
	 * only waits for a processor: its wait has to be let go on.
	 */
	while ((r = rm_syscall(SYS_wait4, tid, (long)&status, __WALL | WNOHANG, 0, 0, 0)) == 0 ||
		r == -EINTR) {
		if (atomic_load(&world->generation) != generation && !is_coming(world->pid, tid))
			return false;
		rm_sys_sleep_ns(pause_ns);
		pause_ns = pause_ns < LAST_LOOK_NS ? 2 * pause_ns : pause_ns;
	}
	if (r != tid || !WIFSTOPPED(status))
		return false; /* it has died */
	*signal = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
	return true;
}

static int helper(void *argument)
{
	struct rm_world *world = argument;
	const uint32_t generation = world->freezer.generation;
	struct rm_freezer *freezer = &world->freezer;
	int frozen[RM_DEAF], signals[RM_DEAF], n = 0;

	rm_sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	while (atomic_load(&world->generation) == generation) {
		uint32_t work = atomic_load(&freezer->work);

		for (unsigned int i = 0; i < world->nslots && n < RM_DEAF; i++) {
			struct rm_slot *slot = &world->slots[i];

			if (atomic_load(&world->generation) != generation)
				break;
			if (slot->state != RM_SLOT_DEAF || atomic_load(&slot->acked) == generation)
				continue;
			if (!seize(world, generation, slot->tid, &signals[n]) ||
				(hears(slot->tid) && tell(world, generation, i, signals[n])))
				continue;
			let_wait(slot->tid);
			frozen[n++] = slot->tid;
			atomic_store(&slot->acked, generation);
			atomic_fetch_add(&world->arrivals, 1);
			rm_sys_futex_wake(&world->arrivals, 1);
		}
		/*
		 * Woken for new work by the word, for the end by rm_freeze_finish through the same
		 * word.
		 */
		if (atomic_load(&world->generation) == generation)
			rm_sys_futex_wait(&freezer->work, work, NULL);
	}
	while (n--)
		sys_ptrace(PTRACE_DETACH, frozen[n], 0, signals[n]);
	return 0;
}

/*
 * Yama's "restricted" mode, in which only descendants may be traced unless they name their tracer.
 */
static bool yama_restricts(void)
{
	char scope = '0';
	long fd = rm_sys_open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return false;
	(void)rm_sys_read((int)fd, &scope, 1);
	rm_sys_close((int)fd);
	return scope == '1';
}

int rm_freeze_kick(struct rm_world *world)
{
	struct rm_freezer *freezer = &world->freezer;
	long pid;

	if (freezer->pid) {
		atomic_fetch_add(&freezer->work, 1);
		rm_sys_futex_wake(&freezer->work, 1);
		return 0;
	}
	freezer->generation = atomic_load(&world->generation);
	if (yama_restricts()) {
		rm_sys_prctl(PR_SET_PTRACER, -1L, 0, 0, 0);
		freezer->named = true;
	}
	pid = rm_clone(helper, freezer->stack + sizeof(freezer->stack), CLONE_VM, world);
	if (pid < 0)
		return (int)pid;
	freezer->pid = (int)pid;
	return 0;
}

void rm_freeze_finish(struct rm_world *world)
{
	struct rm_freezer *freezer = &world->freezer;
	long r;

	if (!freezer->pid)
		return;
	atomic_fetch_add(&freezer->work, 1);
	rm_sys_futex_wake(&freezer->work, 1);
	do {
		r = rm_syscall(SYS_wait4, freezer->pid, 0, __WALL, 0, 0, 0);
	} while (r == -EINTR);
	freezer->pid = 0;
	if (freezer->named)
		rm_sys_prctl(PR_SET_PTRACER, 0, 0, 0, 0);
	freezer->named = false;
}
