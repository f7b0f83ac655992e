/* SPDX-License-Identifier: MIT */
/*
 * Odd company for whoever stops threads (emul/quiesce.c), each case in a process of its own:
 *
 * a main thread that has called pthread_exit and stays as a zombie, moves by another thread
 * included; a thread that runs on the range that is to move, on its stack or its alternate stack;
 * threads born all the time; a list of threads that is not whole; a signal 33 that is not ours,
 * before and after ours was installed; and filters that forbid what stopping needs, where "refused"
 * is right and "nobody was stopped, but go on" is lost data. Needs /proc and seccomp filters; the
 * list needs root and mounts.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "emul/log.h"
#include "emul/quiesce.h"
#include "emul/sys.h"
#include "emul/world.h"
#include "libremap.h"

#define PAGE  4096UL
#define STACK (64 * PAGE)

static const struct rm_range nowhere = {0x10000, 0x1000};
static _Atomic unsigned long counter;
static _Atomic bool quit;

static void *spin(void *arg)
{
	(void)arg;
	while (!quit)
		counter++;
	return NULL;
}

static void busy_wait_us(long us)
{
	struct timespec t0, t;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	do
		clock_gettime(CLOCK_MONOTONIC, &t);
	while ((t.tv_sec - t0.tv_sec) * 1000000L + (t.tv_nsec - t0.tv_nsec) / 1000 < us);
}

/*
 * One stop: -errno of it; 1 if the counter moved although the world was said to stand still; else
 * 0.
 */
static int one_stop(struct rm_range range)
{
	struct rm_entry entry;
	unsigned long before;
	int r = rm_world_enter(&entry);

	if (r)
		return r;
	r = rm_quiesce_stop(entry.world, range);
	if (!r) {
		before = counter;
		busy_wait_us(300);
		r = counter != before;
		rm_quiesce_resume(entry.world);
	}
	rm_world_leave(&entry);
	return r;
}

static bool runs(void)
{
	unsigned long before = counter;

	for (int i = 0; i < 2000 && counter == before; i++)
		usleep(1000);
	return counter != before;
}

/* --- the main thread is a zombie --- */

static int wait_for_zombie(void)
{
	char path[64], text[256];

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	for (int i = 0; i < 2000; i++) {
		FILE *f = fopen(path, "re");
		bool zombie = f && fgets(text, sizeof(text), f) && strstr(text, ") Z ");

		if (f)
			fclose(f);
		if (zombie)
			return 0;
		usleep(1000);
	}
	return -1;
}

static void *stop_beside_a_zombie(void *arg)
{
	pthread_t thread;
	int r;

	(void)arg;
	if (wait_for_zombie() || pthread_create(&thread, NULL, spin, NULL) || !runs())
		_exit(10);
	for (int i = 0; i < 20; i++) {
		r = one_stop(nowhere);
		if (r || !runs())
			_exit(11);
	}
	_exit(0);
}

static void *move_beside_a_zombie(void *arg)
{
	const int map_flags = *(int *)arg;
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, map_flags | MAP_ANONYMOUS, -1, 0),
	     *q;
	pthread_t thread;

	if (wait_for_zombie() || pthread_create(&thread, NULL, spin, NULL) || !runs())
		_exit(10);
	strcpy(p, "content");
	q = remap_mremap(p, PAGE, PAGE, REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP, NULL);
	if (q == MAP_FAILED)
		_exit(errno == EFAULT ? 21 : 20);
	if (strcmp(q, "content") || (map_flags == MAP_PRIVATE && *p))
		_exit(22);
	_exit(0);
}

static int main_thread_has_exited(void *arg)
{
	pthread_t thread;

	(void)arg;
	if (pthread_create(&thread, NULL, stop_beside_a_zombie, NULL))
		return 1;
	pthread_exit(NULL);
}

static int main_thread_has_exited_and_another_moves(void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, move_beside_a_zombie, arg))
		return 1;
	pthread_exit(NULL);
}

static void zombie_main_thread(void **state)
{
	int private = MAP_PRIVATE, shared = MAP_SHARED;

	(void)state;
	assert_child_ok(unit_in_child(main_thread_has_exited, NULL));
	assert_child_ok(unit_in_child(main_thread_has_exited_and_another_moves, &shared));
	assert_child_ok(unit_in_child(main_thread_has_exited_and_another_moves, &private));
}

/* --- a thread that runs on the range --- */

struct lodger {
	char *stack;
	char *alternate; /* NULL: none */
};

static void *lodge(void *arg)
{
	const struct lodger *l = arg;
	stack_t alternate = {.ss_sp = l->alternate, .ss_size = STACK};

	if (l->alternate)
		sigaltstack(&alternate, NULL);
	return spin(NULL);
}

static int stack_in_the_range(void *arg)
{
	char *area = mmap(
		NULL, 3 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const int which = *(
		int *)arg; /* 0: the stack; 1: the alternate one; 2: the stack, with an alternate */
	struct lodger l = {area, which ? area + STACK : NULL};
	struct rm_range range = {(uintptr_t)(which == 1 ? l.alternate : area), STACK};
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	if (pthread_attr_setstack(&attr, area, STACK) ||
		pthread_create(&thread, &attr, lodge, &l) || !runs())
		return 10;
	r = one_stop(range);
	if (r != -EINVAL)
		return 11;
	if (!strstr(rm_refuse_reason(), "stack of a running thread"))
		return 12;
	if (!runs())
		return 13;
	/* beside it is nothing of anybody's */
	r = one_stop((struct rm_range){(uintptr_t)area + 2 * STACK, STACK});
	if (r || !runs())
		return 14;
	quit = true;
	pthread_join(thread, NULL);
	return 0;
}

static void stacks_in_the_range_are_refused(void **state)
{
	(void)state;
	for (int which = 0; which < 3; which++)
		assert_child_ok(unit_in_child(stack_in_the_range, &which));
}

/* --- births --- */

static _Atomic int alive;

/* Lives for longer than a window, so that one that was overlooked is noticed. */
static void *newborn(void *arg)
{
	struct timespec t0, t;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	do {
		counter++;
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while ((t.tv_sec - t0.tv_sec) * 1000000L + (t.tv_nsec - t0.tv_nsec) / 1000 < 1500);
	alive--;
	return NULL;
}

static void *mother(void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	(void)arg;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 65536);
	while (!quit) {
		if (alive > 12) {
			sched_yield();
			continue;
		}
		alive++;
		if (pthread_create(&thread, &attr, newborn, NULL))
			alive--;
		counter++;
	}
	return NULL;
}

static int births(void *arg)
{
	pthread_t mothers[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		if (pthread_create(&mothers[i], NULL, mother, NULL))
			return 10;
	for (int i = 0; i < 600; i++) {
		int r = one_stop(nowhere);

		if (r)
			return r == 1 ? 11 : 12;
		if (!runs())
			return 13;
	}
	quit = true;
	for (int i = 0; i < 3; i++)
		pthread_join(mothers[i], NULL);
	return 0;
}

static void threads_born_all_the_time(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(births, NULL));
}

/* --- somebody else's signal 33 --- */

static _Atomic int foreign, foreign_code;
static void *_Atomic foreign_value;

extern void rm_sigreturn(void);

static void on_foreign(int sig, siginfo_t *info, void *context)
{
	foreign += sig == RM_STOP_SIGNAL && context != NULL;
	foreign_code = info->si_code;
	foreign_value = info->si_value.sival_ptr;
}

static int install_foreign(void)
{
	struct rm_ksigaction sa = {.handler = on_foreign,
		.flags = SA_SIGINFO | 0x04000000UL,
		.restorer = rm_sigreturn};

	return (int)rm_sys_rt_sigaction(RM_STOP_SIGNAL, &sa, NULL);
}

static int foreign_signals(void *arg)
{
	const int tid = (int)syscall(SYS_gettid);
	siginfo_t info;
	pthread_t thread;

	(void)arg;
	/* threads first: pthread_create installs libc's own handler */
	if (pthread_create(&thread, NULL, spin, NULL) || install_foreign() || one_stop(nowhere))
		return 10;
	if (foreign)
		return 11; /* ours are not passed on */
	syscall(SYS_tgkill, getpid(), tid, RM_STOP_SIGNAL);
	if (foreign != 1 || foreign_code != SI_TKILL)
		return 12;
	/* queued like ours, without our mark */
	memset(&info, 0, sizeof(info));
	info.si_signo = RM_STOP_SIGNAL;
	info.si_code = SI_QUEUE;
	info.si_uid = getuid();
	info.si_value.sival_ptr = &info;
	syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, RM_STOP_SIGNAL, &info);
	if (foreign != 2 || foreign_value != (void *)&info)
		return 13;
	/* installed over ours: found and taken over by the next stop */
	if (install_foreign() || one_stop(nowhere) || !runs())
		return 14;
	syscall(SYS_tgkill, getpid(), tid, RM_STOP_SIGNAL);
	return foreign == 3 ? 0 : 15;
}

/* A late signal of a stop that is over must not park anybody. */
static int stale_signals(void *arg)
{
	struct rm_entry entry;
	siginfo_t info;
	pthread_t thread;
	uint32_t generation;

	(void)arg;
	if (pthread_create(&thread, NULL, spin, NULL) || one_stop(nowhere) ||
		rm_world_enter(&entry))
		return 10;
	generation = entry.world->generation;
	rm_world_leave(&entry);
	memset(&info, 0, sizeof(info));
	info.si_signo = RM_STOP_SIGNAL;
	info.si_code = SI_QUEUE;
	info.si_uid = 0x72656d61;
	for (uint32_t g = generation - 3; g != generation; g++) {
		info.si_value.sival_ptr = (void *)(uintptr_t)g;
		syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), RM_STOP_SIGNAL,
			&info);
	}
	return runs() ? 0 : 11;
}

static void signals_that_are_not_ours(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(foreign_signals, NULL));
	assert_child_ok(unit_in_child(stale_signals, NULL));
}

/* --- filters --- */

static int forbid(unsigned int nr, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {RM_ARRAY_LEN(code), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static const struct filter {
	const char *what;
	unsigned int nr;
	int error;
	bool other_way; /* there is one */
} filters[] = {
	{"rt_tgsigqueueinfo, EPERM", SYS_rt_tgsigqueueinfo, EPERM, false},
	{"rt_tgsigqueueinfo, ENOSYS", SYS_rt_tgsigqueueinfo, ENOSYS, false},
	/*
	 * a thread that is said to be gone and is still there, as if its id had come back: 10 s of
	 * patience
	 */
	{"rt_tgsigqueueinfo, ESRCH", SYS_rt_tgsigqueueinfo, ESRCH, false},
	{"rt_sigaction, EPERM", SYS_rt_sigaction, EPERM, false},
	{"getdents64, EPERM", SYS_getdents64, EPERM, false},
	{"getdents64, EIO", SYS_getdents64, EIO, false},
	{"openat, EMFILE", SYS_openat, EMFILE, false},
	{"lseek, EINVAL", SYS_lseek, EINVAL, true},
	{"newfstatat, ENOSYS", SYS_newfstatat, ENOSYS, false},
};

static int forbidden(void *arg)
{
	const struct filter *f = arg;
	uint64_t zero = 0, mask = 1;
	pthread_t thread;
	int r;

	if (pthread_create(&thread, NULL, spin, NULL) || !runs() || forbid(f->nr, f->error))
		return 10;
	r = one_stop(nowhere);
	if (r == 1)
		return 11; /* said to be stopped, and running */
	if (f->other_way ? r : r != -EINVAL || !*rm_refuse_reason())
		return 12;
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &zero, &mask, 8);
	return mask ? 13 : runs() ? 0 : 14;
}

static void what_stopping_needs_is_forbidden(void **state)
{
	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(filters); i++) {
		print_message("# %s\n", filters[i].what);
		assert_child_ok(unit_in_child(forbidden, (void *)(uintptr_t)&filters[i]));
	}
}

/* --- a list of threads that changes while it is read --- */

static char fake[64], real[64]; /* our list, and a /proc that has the threads' own folders */

static int enter_thread(pid_t pid, pid_t tid)
{
	char path[128], target[128];

	snprintf(path, sizeof(path), "%s/%d", fake, tid);
	snprintf(target, sizeof(target), "%s/%d/task/%d", real, pid, tid);
	return symlink(target, path);
}

static pid_t spinner;

static void *say_and_spin(void *arg)
{
	spinner = gettid();
	return spin(arg);
}

/*
 * One thread that runs, and a list of ours, with the main thread in it. Threads are counted by the
 * links that folders make: these are two. 0; 9: that can not be done here.
 */
static int list_threads(void)
{
	pthread_t thread;
	char path[128];

	if (pthread_create(&thread, NULL, say_and_spin, NULL) || !runs())
		return 10;
	strcpy(fake, "/tmp/quiesce-odd.XXXXXX");
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		!mkdtemp(fake) || mount("tasks", fake, "tmpfs", 0, NULL))
		return 9;
	snprintf(real, sizeof(real), "%s/real", fake);
	snprintf(path, sizeof(path), "%s/second-link", fake);
	if (mkdir(path, 0755) || mkdir(real, 0755) || mount("proc", real, "proc", 0, NULL) ||
		enter_thread(getpid(), getpid()))
		return 9;
	return mount(fake, "/proc/self/task", NULL, MS_BIND, NULL) ? 9 : 0;
}

/* Kernels before 5.19 may list it so. */
static int exited_as_zero(void *arg)
{
	char zero[128];
	int r = list_threads();

	(void)arg;
	if (r)
		return r;
	snprintf(zero, sizeof(zero), "%s/0", fake);
	if (enter_thread(getpid(), spinner) || mknod(zero, S_IFREG | 0644, 0))
		return 10;
	r = one_stop(nowhere);
	return r == 1 ? 11 : r ? 12 : 0;
}

/* Two threads are counted, and one is listed for the first 50 ms. */
static int list_cut_short(void *arg)
{
	int r = list_threads();
	pid_t child;

	(void)arg;
	if (r)
		return r;
	child = fork();
	if (!child) {
		usleep(50000);
		_exit(enter_thread(getppid(), spinner) != 0);
	}
	r = one_stop(nowhere);
	waitpid(child, NULL, 0);
	return r == 1 ? 11 : r ? 12 : runs() ? 0 : 13;
}

static void lists_of_threads_that_change(void **state)
{
	static int (*const cases[])(void *) = {exited_as_zero, list_cut_short};

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(cases); i++) {
		const int status = unit_in_child(cases[i], NULL);

		if (WIFEXITED(status) && WEXITSTATUS(status) == 9) {
			print_message("# mounting is not allowed here\n");
			continue;
		}
		assert_child_ok(status);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_threads_that_change),
		cmocka_unit_test(zombie_main_thread),
		cmocka_unit_test(stacks_in_the_range_are_refused),
		cmocka_unit_test(threads_born_all_the_time),
		cmocka_unit_test(signals_that_are_not_ours),
		cmocka_unit_test(what_stopping_needs_is_forbidden),
	};

	setenv("LIBREMAP_CONF", "native:no", 1);
	return unit_run(tests);
}
