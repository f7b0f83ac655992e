/* SPDX-License-Identifier: MIT */
/*
 * What other threads meet while a window of mode "guard" is open (emul/guard.c, segv.c), each case
 * in a process of its own. The executor's test hook holds the mover between the step that makes the
 * hole and the one that fills it, so nothing here depends on who is faster. Needs /proc; no
 * privilege.
 *
 * The other thread ("guest") does one thing inside the window. Either it waits there (a fault: the
 * counter of waits tells when it does), or it comes to an end there (a system call), or it is about
 * to do something that waits (fork, for which a moment is given).
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include "emul/exec.h"
#include "emul/quiesce.h"
#include "emul/stats.h"
#include "libremap.h"

#define PAGE  4096UL
#define LEN   (16 * PAGE)
#define FLAGS (MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP)

static char *heap, *moved;
static _Atomic bool here;
/* 0: before the window, 1: in it, 2: the guest is done, 3: the window is closed */
static _Atomic int stage;

/* What the guest is, and what the mover waits for inside the window. */
static void (*guest)(void);
static enum { UNTIL_WAITS, UNTIL_DONE, UNTIL_SOON } until;
static enum rm_op hold_before = RM_OP_MOVE;

#define expect(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "# line %d: %s\n", __LINE__, #condition);                  \
			_exit(100);                                                                \
		}                                                                                  \
	} while (0)

static int hook(unsigned int step, const struct rm_step *what, bool undo)
{
	const uint64_t waits = rm_stat_get(RM_STAT_GUARD_WAITS);

	(void)step;
	/* where the heap has merged with what lies before it, it is grown over; that is as good */
	if (undo || stage ||
		!(what->op == hold_before ||
			(what->op == RM_OP_GROW && hold_before == RM_OP_MOVE)) ||
		(what->op == RM_OP_MOVE && what->place != RM_TWIN))
		return 0;
	stage = 1;
	if (until == UNTIL_SOON)
		usleep(50000);
	for (int i = 0; i < 10000 && until != UNTIL_SOON; i++) {
		if (until == UNTIL_DONE ? stage == 2 : rm_stat_get(RM_STAT_GUARD_WAITS) > waits)
			return 0;
		usleep(1000);
	}
	expect(until == UNTIL_SOON);
	return 0;
}

static void *run_guest(void *arg)
{
	(void)arg;
	here = true; /* pthread_create's blocked signals are over */
	while (!stage)
		sched_yield();
	guest();
	if (stage < 2)
		stage = 2;
	return NULL;
}

static void fill(void)
{
	for (size_t i = 0; i < LEN; i += PAGE)
		memset(heap + i, 'a' + (int)(i / PAGE), PAGE);
}

static bool is_filled(const char *at)
{
	for (size_t i = 0; i < LEN; i++)
		if (at[i] != 'a' + (int)(i / PAGE))
			return false;
	return true;
}

enum kind { ANON, SHARED, FILE_PRIVATE };

static void make_heap(enum kind kind)
{
	/* a memfd that is shared would need no window: present.c */
	int fd = kind == ANON	  ? -1
		 : kind == SHARED ? fileno(tmpfile())
				  : memfd_create("guard-window", 0);

	expect(kind == ANON || !ftruncate(fd, LEN));
	heap = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
		(kind == SHARED ? MAP_SHARED : MAP_PRIVATE) | (kind == ANON ? MAP_ANONYMOUS : 0),
		fd, 0);
	expect(heap != MAP_FAILED);
	fill();
}

static void write_hole(void);
/* One move with the guest in its window; the result's content is right. */
static void move_with_guest(void (*what)(void), int how_long)
{
	pthread_t thread;

	guest = what;
	until = how_long;
	stage = 0;
	rm_exec_test_hook = hook;
	here = false;
	expect(!pthread_create(&thread, NULL, run_guest, NULL));
	while (!here)
		sched_yield();
	moved = remap_mremap(heap, LEN, LEN, FLAGS, NULL);
	expect(stage);
	stage = 3;
	expect(!pthread_join(thread, NULL));
	expect(moved == MAP_FAILED || is_filled(moved) || what == write_hole);
}

static void set_up(void)
{
	setenv("LIBREMAP_CONF", "native:no,quiesce:guard", 1);
	expect(!remap_prepare(NULL, 0, 0));
	expect(rm_quiesce_mode() == REMAP_QUIESCE_GUARD);
}

static uint64_t guarded(void)
{
	return rm_stat_get(RM_STAT_GUARDED);
}

static uint64_t guard_stops(void)
{
	return rm_stat_get(RM_STAT_GUARD_STOPS);
}

/* --- faults in the hole --- */

static char seen;
static void read_hole(void)
{
	seen = heap[3 * PAGE];
}

static void write_hole(void)
{
	heap[3 * PAGE] = 'w';
}

static int a_fault_in_the_hole_waits(void *kind)
{
	const enum kind k = *(enum kind *)kind;

	set_up();
	make_heap(k);
	move_with_guest(read_hole, UNTIL_WAITS);
	expect(moved != MAP_FAILED && guarded() == 1 && !guard_stops());
	expect(seen == (k == SHARED ? 'd' : 0));
	heap = moved;
	move_with_guest(write_hole, UNTIL_WAITS);
	expect(guarded() == 2 && heap[3 * PAGE] == 'w');
	expect(heap[3 * PAGE + 1] == (k == SHARED ? 'd' : 0) && moved[0] == 'a');
	expect(moved[3 * PAGE] == (k == SHARED ? 'w' : 'd'));
	return 0;
}

/* The strategy "grow": the hole is grown over, and the last page goes and comes back. */
static int a_fault_in_a_part_of_a_mapping_waits(void *arg)
{
	const bool heals = *(bool *)arg;
	char *all;

	set_up();
	all = mmap(NULL, 3 * LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	heap = all + LEN;
	memset(all, 'x', 3 * LEN);
	fill();
	hold_before = heals ? RM_OP_HEAL : RM_OP_GROW;
	move_with_guest(read_hole, heals ? UNTIL_DONE : UNTIL_WAITS);
	expect(moved != MAP_FAILED && guarded() == 1 && !seen);
	expect(all[LEN - 1] == 'x' && all[2 * LEN] == 'x' && !heap[LEN - 1]);
	return 0;
}

/* --- system calls that are given the hole: the documented limit --- */

static ssize_t wrote;
static int write_error;
static void write_from_hole(void)
{
	int fds[2];

	expect(!pipe(fds));
	wrote = write(fds[1], heap, 64);
	write_error = errno;
}

static int a_system_call_may_get_efault(void *arg)
{
	(void)arg;
	set_up();
	make_heap(ANON);
	move_with_guest(write_from_hole, UNTIL_DONE);
	expect(moved != MAP_FAILED && guarded() == 1);
	expect(wrote == -1 && write_error == EFAULT);
	return 0;
}

static int a_system_call_never_gets_efault_when_threads_are_stopped(void *arg)
{
	(void)arg;
	set_up();
	expect(!remap_set_quiesce(REMAP_QUIESCE_STOP));
	make_heap(ANON);
	move_with_guest(write_from_hole, UNTIL_SOON);
	expect(moved != MAP_FAILED && !guarded() && wrote == 64);
	return 0;
}

/* --- the hole is not given away --- */

static char *maps[64];

static void map_much(void)
{
	for (size_t i = 0; i < 64; i++) {
		maps[i] = mmap(NULL, (i % 16 + 1) * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		expect(maps[i] != MAP_FAILED);
		expect(maps[i] + (i % 16 + 1) * PAGE <= heap || maps[i] >= heap + LEN);
		*maps[i] = (char)(i + 1);
	}
}

static int mmap_is_not_given_the_hole(void *arg)
{
	(void)arg;
	set_up();
	make_heap(ANON);
	for (uint64_t i = 1; i < 4; i++) {
		move_with_guest(map_much, UNTIL_DONE);
		expect(moved != MAP_FAILED && guarded() == i);
		for (int m = 0; m < 64; m++)
			expect(*maps[m] == m + 1);
		/* the third one finds a decoy that is whole again */
		for (size_t m = 0; i > 1 && m < 64; m++)
			munmap(maps[m], (m % 16 + 1) * PAGE);
		expect(!heap[0] && !heap[LEN - 1]);
		fill();
	}
	expect(!guard_stops() && !rm_stat_get(RM_STAT_UNDO_FAILURES));
	return 0;
}

static char *stranger;
static struct strange {
	bool stays; /* in the hole */
	bool tail;  /* the heap is the end of a larger mapping, which grows over the hole */
} strange;
static void map_the_hole(void)
{
	stranger = mmap(
		heap + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(stranger == heap + 2 * PAGE);
	*stranger = 's';
	stage = 2;
	if (!strange.stays) {
		usleep(20000);
		expect(*stranger == 's');
		munmap(stranger, PAGE);
	}
}

static int who_has_the_hole_by_a_hint_is_waited_for(void *arg)
{
	strange = *(struct strange *)arg;
	set_up();
	if (strange.tail) {
		heap = mmap(
			NULL, 2 * LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		expect(heap != MAP_FAILED);
		heap += LEN;
		fill();
	} else {
		make_heap(ANON);
	}
	move_with_guest(map_the_hole, UNTIL_DONE);
	/* What can not grow is undone, which waits, and then done again. */
	expect(guarded() == 1 || (strange.tail && !strange.stays && guarded() == 2));
	/* nothing of his is overwritten; what can not be put right is counted */
	if (strange.stays) {
		expect(moved == MAP_FAILED && errno == EINVAL && *stranger == 's');
		expect(rm_stat_get(RM_STAT_UNDO_FAILURES));
	} else {
		expect(moved != MAP_FAILED && !heap[2 * PAGE]);
		expect(!rm_stat_get(RM_STAT_UNDO_FAILURES));
	}
	return 0;
}

/* --- fork --- */

static int child_status = -1;
static void fork_and_touch(void)
{
	pid_t pid = fork();

	if (!pid) {
		for (size_t i = 0; i < LEN; i += PAGE)
			heap[i] = 1;
		/* the child's own moves are guarded, too */
		rm_exec_test_hook = NULL;
		_exit(remap_mremap(heap, LEN, LEN, FLAGS, NULL) == MAP_FAILED);
	}
	waitpid(pid, &child_status, 0);
}

static int a_forked_child_has_no_hole(void *arg)
{
	(void)arg;
	set_up();
	make_heap(ANON);
	move_with_guest(fork_and_touch, UNTIL_SOON);
	expect(moved != MAP_FAILED && guarded() == 1 && !child_status);
	heap = moved;
	rm_exec_test_hook = NULL;
	move_with_guest(read_hole, UNTIL_WAITS);
	expect(guarded() == 2);
	return 0;
}

/* --- when threads are stopped instead --- */

static _Atomic int ready;
static _Atomic bool holds_fork;
/* Registered before libremap's own, so it runs between that and the fork. */
static void while_forking(void)
{
	if (!holds_fork)
		return;
	ready = 1;
	while (stage < 3)
		sched_yield();
}

static void *fork_slowly(void *arg)
{
	pid_t pid;

	holds_fork = true;
	pid = fork();
	if (!pid)
		_exit(0);
	expect(waitpid(pid, NULL, 0) == pid);
	return arg;
}

static void *block_segv(void *arg)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	ready = 1;
	while (stage < 3)
		heap[PAGE]++;
	return arg;
}

static void *stay_in_vfork(void *arg)
{
	static char *argv[] = {"true", NULL};

	if (!vfork()) {
		ready = 1;
		usleep(100000);
		heap[PAGE]++;
		execv("/bin/true", argv);
		_exit(1);
	}
	return arg;
}

static void *only_wait(void *arg)
{
	ready = 1;
	while (stage < 3)
		sched_yield();
	return arg;
}

static void on_signal(int sig)
{
	(void)sig;
}
static const struct stops {
	void *(*thread)(void *);
	int handler_masks; /* SIGUSR2's handler blocks SIGSEGV */
	int ignored;	   /* SIGSEGV */
	int late;	   /* the heap lies above the decoy */
} stop_cases[] = {{block_segv, 0, 0, 0}, {stay_in_vfork, 0, 0, 0}, {only_wait, 1, 0, 0},
	{only_wait, 0, 1, 0}, {only_wait, 0, 0, 1}, {fork_slowly, 0, 0, 0}};

static int threads_are_stopped_instead(void *arg)
{
	const struct stops *c = arg;
	struct sigaction action = {.sa_handler = on_signal}, now;
	pthread_t thread;

	pthread_atfork(while_forking, NULL, NULL);
	if (c->late)
		make_heap(ANON);
	set_up();
	if (!c->late)
		make_heap(ANON);
	stage = ready = 0;
	sigaddset(&action.sa_mask, SIGSEGV);
	if (c->handler_masks)
		sigaction(SIGUSR2, &action, NULL);
	if (c->ignored)
		signal(SIGSEGV, SIG_IGN);
	expect(!pthread_create(&thread, NULL, c->thread, NULL));
	while (!ready)
		sched_yield();
	for (int i = 0; i < 3; i++) {
		moved = remap_mremap(heap, LEN, LEN, FLAGS, NULL);
		expect(moved != MAP_FAILED);
		if (c->thread == stay_in_vfork)
			break; /* it has ended now */
	}
	stage = 3;
	pthread_join(thread, NULL);
	expect(!guarded() && guard_stops() && rm_stat_get(RM_STAT_STOPS) == guard_stops());
	expect(!sigaction(SIGSEGV, NULL, &now));
	expect(!c->ignored || now.sa_handler == SIG_IGN);
	return 0;
}

static void run_case(int (*run)(void *), void *arg)
{
	const int status = unit_in_child(run, arg);

	assert_child_ok(status);
}

#define CASE(run, arg)                                                                             \
	static void test_##run(void **state)                                                       \
	{                                                                                          \
		(void)state;                                                                       \
		run_case(run, arg);                                                                \
	}
CASE(a_system_call_may_get_efault, NULL)
CASE(a_system_call_never_gets_efault_when_threads_are_stopped, NULL)
CASE(mmap_is_not_given_the_hole, NULL)
CASE(a_forked_child_has_no_hole, NULL)

static void test_holes(void **state)
{
	(void)state;
	for (int k = ANON; k <= FILE_PRIVATE; k++)
		run_case(a_fault_in_the_hole_waits, &k);
}

static void test_parts(void **state)
{
	(void)state;
	for (int heals = 0; heals < 2; heals++)
		run_case(a_fault_in_a_part_of_a_mapping_waits, &(bool){heals});
}

static void test_strangers(void **state)
{
	(void)state;
	for (int stays = 0; stays < 2; stays++)
		for (int tail = 0; tail < 2; tail++)
			run_case(who_has_the_hole_by_a_hint_is_waited_for,
				&(struct strange){stays, tail});
}

static void test_stops(void **state)
{
	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(stop_cases); i++) {
		print_message("# case %zu\n", i);
		run_case(threads_are_stopped_instead, (void *)(uintptr_t)&stop_cases[i]);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_a_system_call_may_get_efault),
		cmocka_unit_test(test_a_system_call_never_gets_efault_when_threads_are_stopped),
		cmocka_unit_test(test_mmap_is_not_given_the_hole),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_a_forked_child_has_no_hole),
		cmocka_unit_test(test_stops),
	};

	return unit_run(tests);
}
