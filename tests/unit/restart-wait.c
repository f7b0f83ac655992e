/* SPDX-License-Identifier: MIT */
/*
 * rm_restart_wait (emul/restart.c) on made-up contexts: code bytes as compilers and C libraries
 * write them, registers as the kernel leaves them after a wait that a signal has cut short.
 *
 * Checked: every wait with every kind of timeout, which ones go on and which keep their EINTR;
 * instructions that only look like the loading of a number; results other than EINTR; signals that
 * the program is due; that everything but %rip and %rax stays; and that code at the edge of mapped
 * memory is not read across it. How the handler leaves is restart-leave.c. x86-64 only. Needs
 * nothing else. What real threads see is for the stress test.
 */
#include "tests/unit/unit.h"

#if defined(__x86_64__)

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

#include "emul/deadline.h"
#include "emul/restart.h"
#include "emul/stats.h"

#define CODE_SIZE 128 /* 64 bytes before the return address are looked at */
static uint8_t code[CODE_SIZE];

enum shape {
	SHAPE_PLAIN,	 /* mov $nr, %eax; syscall */
	SHAPE_EPOLL,	 /* mov $nr, %eax; mov 12(%rsp), %edi; syscall */
	SHAPE_R8D,	 /* mov $nr, %r8d; syscall: no number at all */
	SHAPE_R8D_EPOLL, /* the same with the mov in between */
	SHAPE_MOV_RAX,	 /* mov %rdi, %rax; syscall, as syscall(3) */
	SHAPE_INT80,	 /* mov $nr, %eax; int $0x80 */
	SHAPE_SYSENTER,	 /* the other instruction of two bytes */
};

/* Writes the instructions and returns where the system call returns to. */
static uint8_t *assemble(enum shape shape, int nr)
{
	uint8_t *p = code + 64;

	memset(code, 0x90, sizeof(code));
	if (shape == SHAPE_MOV_RAX) {
		memcpy(p, "\x48\x89\xf8", 3);
		p += 3;
	} else {
		if (shape == SHAPE_R8D || shape == SHAPE_R8D_EPOLL)
			*p++ = 0x41;
		*p++ = 0xb8;
		memcpy(p, &nr, 4);
		p += 4;
	}
	if (shape == SHAPE_EPOLL || shape == SHAPE_R8D_EPOLL) {
		memcpy(p, "\x8b\x7c\x24\x0c", 4);
		p += 4;
	}
	memcpy(p,
		shape == SHAPE_INT80	  ? "\xcd\x80"
		: shape == SHAPE_SYSENTER ? "\x0f\x34"
					  : "\x0f\x05",
		2);
	return p + 2;
}

static struct _libc_fpstate fpstate;

/* The context of a thread whose system call has just returned; args in the order of the call. */
static void make_context(ucontext_t *uc, const uint8_t *after, long result, const long *args)
{
	static const int where[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
	greg_t *regs = uc->uc_mcontext.gregs;

	memset(uc, 0, sizeof(*uc));
	for (int i = 0; i < NGREG; i++)
		regs[i] = 0x1111111100000000LL + i;
	for (int i = 0; i < 6; i++)
		regs[where[i]] = args[i];
	regs[REG_RIP] = regs[REG_RCX] = (greg_t)after;
	regs[REG_RAX] = result;
	uc->uc_mcontext.fpregs = &fpstate; /* only that there is one matters */
}

/* How a wait is to go on: not at all, from its beginning, or from the kernel's restart block. */
enum { NO, AGAIN, BLOCK };

/* Runs it and holds the context against what it must be: turned back to the call, or as it was. */
static int restarts(ucontext_t *uc, int nr)
{
	ucontext_t before = *uc;
	greg_t *regs = uc->uc_mcontext.gregs;
	uint64_t counted = rm_stat_get(RM_STAT_RESTARTED);
	bool block;

	block = rm_restart_wait(uc);
	counted = rm_stat_get(RM_STAT_RESTARTED) - counted;
	if (regs[REG_RIP] == before.uc_mcontext.gregs[REG_RIP]) {
		assert_memory_equal(uc, &before, sizeof(before));
		assert_int_equal(counted, 0);
		return block ? BLOCK : NO;
	}
	assert_false(block);
	assert_int_equal(regs[REG_RIP], before.uc_mcontext.gregs[REG_RIP] - 2);
	assert_int_equal(regs[REG_RAX], nr);
	assert_int_equal(counted, 1);
	regs[REG_RIP] += 2;
	regs[REG_RAX] = before.uc_mcontext.gregs[REG_RAX];
	assert_memory_equal(uc, &before, sizeof(before));
	return AGAIN;
}

#define P 0x7f0000001000L /* some pointer */
#define Q 0x7f0000002000L /* another */

static const struct wait {
	const char *what;
	int nr;
	long args[6];
	int goes_on;
} waits[] = {
	{"poll, for ever", SYS_poll, {P, 1, -1}, BLOCK},
	{"poll, for ever, upper half of the register is noise", SYS_poll, {P, 1, 0xffffffffL},
		BLOCK},
	{"poll, 5 s", SYS_poll, {P, 1, 5000}, BLOCK},
	{"poll, 0", SYS_poll, {P, 1, 0}, BLOCK},
	{"epoll_wait, for ever", SYS_epoll_wait, {3, P, 8, -1}, AGAIN},
	{"epoll_wait, 1 ms", SYS_epoll_wait, {3, P, 8, 1}, NO},
	{"epoll_pwait, for ever", SYS_epoll_pwait, {3, P, 8, -1, 0, 8}, AGAIN},
	{"epoll_pwait, 1 ms", SYS_epoll_pwait, {3, P, 8, 1, 0, 8}, NO},
	{"select, for ever", SYS_select, {1, P, 0, 0, 0}, AGAIN},
	{"select, the kernel leaves the rest", SYS_select, {1, P, 0, 0, Q}, AGAIN},
	{"pselect6", SYS_pselect6, {1, P, 0, 0, Q, P}, AGAIN},
	{"ppoll", SYS_ppoll, {P, 1, Q, 0, 8}, AGAIN},
	{"ppoll, for ever", SYS_ppoll, {P, 1, 0, 0, 8}, AGAIN},
	{"nanosleep, remainder in place", SYS_nanosleep, {P, P}, BLOCK},
	{"nanosleep, remainder elsewhere", SYS_nanosleep, {P, Q}, BLOCK},
	{"nanosleep, nobody asks for the remainder", SYS_nanosleep, {P, 0}, BLOCK},
	{"clock_nanosleep, absolute", SYS_clock_nanosleep, {1, TIMER_ABSTIME, P, 0}, AGAIN},
	{"clock_nanosleep, relative, in place", SYS_clock_nanosleep, {1, 0, P, P}, BLOCK},
	{"clock_nanosleep, relative", SYS_clock_nanosleep, {1, 0, P, 0}, BLOCK},
	{"clock_nanosleep, relative, elsewhere", SYS_clock_nanosleep, {1, 0, P, Q}, BLOCK},
	{"futex, absolute", SYS_futex, {P, FUTEX_WAIT_BITSET, 1, Q, 0, -1}, AGAIN},
	{"futex, absolute, private, real time", SYS_futex,
		{P, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME, 1, Q, 0, -1},
		AGAIN},
	{"futex, relative", SYS_futex, {P, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1, Q}, BLOCK},
	{"futex, wake", SYS_futex, {P, FUTEX_WAKE, 1}, NO},
	{"rt_sigtimedwait, for ever", SYS_rt_sigtimedwait, {P, Q, 0, 8}, AGAIN},
	{"rt_sigtimedwait", SYS_rt_sigtimedwait, {P, Q, P, 8}, NO},
	{"rt_sigsuspend", SYS_rt_sigsuspend, {P, 8}, AGAIN},
	{"pause", SYS_pause, {0}, AGAIN},
	{"semop", SYS_semop, {1, P, 1}, AGAIN},
	{"semtimedop, for ever", SYS_semtimedop, {1, P, 1, 0}, AGAIN},
	{"semtimedop", SYS_semtimedop, {1, P, 1, Q}, NO},
	{"msgrcv", SYS_msgrcv, {1, P, 8, 0, 0}, AGAIN},
	{"io_uring_register", 427, {3, 1, P, 1}, AGAIN},
	{"msgsnd", SYS_msgsnd, {1, P, 8, 0}, AGAIN},
	{"io_getevents, for ever", SYS_io_getevents, {P, 1, 1, Q, 0}, AGAIN},
	{"io_getevents", SYS_io_getevents, {P, 1, 1, Q, Q}, NO},
	{"io_pgetevents, for ever", SYS_io_pgetevents, {P, 1, 1, Q, 0, P}, AGAIN},
	{"io_pgetevents", SYS_io_pgetevents, {P, 1, 1, Q, Q, P}, NO},
	{"epoll_pwait2, for ever", 441, {3, P, 8, 0, 0, 8}, AGAIN},
	{"epoll_pwait2", 441, {3, P, 8, Q, 0, 8}, NO},
	{"io_uring_enter", 426, {3, 0, 1, 1, 0, 8}, AGAIN},
	{"io_uring_enter, arguments out of reach", 426, {3, 0, 1, 1 | 8, P, 24}, NO},
	/* what the kernel restarts by itself, or must never be done twice */
	{"read", SYS_read, {3, P, 1}, NO},
	{"write", SYS_write, {3, P, 1}, NO},
	{"connect", SYS_connect, {3, P, 16}, NO},
	{"close", SYS_close, {3}, NO},
	{"accept", SYS_accept, {3, 0, 0}, NO},
	{"no such call", 5000, {0}, NO},
	{"a negative number", -5, {0}, NO},
};

static void every_wait_and_timeout(void **state)
{
	ucontext_t uc;

	(void)state;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		const struct wait *w = &waits[i];

		print_message("# %s\n", w->what);
		make_context(&uc, assemble(SHAPE_PLAIN, w->nr), -EINTR, w->args);
		assert_int_equal(restarts(&uc, w->nr), w->goes_on);
		/* in the shape of glibc's epoll_pwait the same rules hold */
		make_context(&uc, assemble(SHAPE_EPOLL, w->nr), -EINTR, w->args);
		assert_int_equal(restarts(&uc, w->nr), w->goes_on);
		/* any other result is the program's */
		for (long result = -4095; result <= 10; result += result == -EINTR - 1 ? 2 : 1) {
			make_context(&uc, assemble(SHAPE_PLAIN, w->nr), result, w->args);
			assert_int_equal(NO, restarts(&uc, w->nr));
		}
	}
}

/*
 * Of waits that somebody has noted the end of, the rest: less each time, and nothing when it is
 * over.
 */
static void noted_waits(void **state)
{
	static const struct timespec length = {5, 0};
	struct rm_deadline outer, outermost;
	ucontext_t uc;
	greg_t *regs = uc.uc_mcontext.gregs;
	const struct timespec *rest;
	long before = 5000;

	(void)state;
	rm_deadline_begin(&outermost, 0, 5000, 5000000000ULL);
	for (int i = 0; i < 3; i++) {
		make_context(&uc, assemble(SHAPE_EPOLL, SYS_epoll_pwait), -EINTR,
			(long[6]){3, P, 8, before, 0, 8});
		assert_false(rm_restart_wait(&uc));
		assert_int_equal(regs[REG_RAX], SYS_epoll_pwait);
		assert_in_range(regs[REG_R10], 1, before);
		before = regs[REG_R10];
		usleep(2000);
	}
	assert_in_range(before, 1, 4999);
	/* another wait, of a handler's, and the one that it interrupted */
	rm_deadline_begin(&outer, 0, (uintptr_t)&length, 5000000000ULL);
	make_context(
		&uc, assemble(SHAPE_PLAIN, SYS_epoll_wait), -EINTR, (long[6]){3, P, 8, before});
	assert_int_equal(NO, restarts(&uc, SYS_epoll_wait));
	make_context(&uc, assemble(SHAPE_PLAIN, SYS_semtimedop), -EINTR,
		(long[6]){1, P, 1, (long)&length});
	assert_false(rm_restart_wait(&uc));
	assert_int_equal(regs[REG_RAX], SYS_semtimedop);
	rest = (const struct timespec *)regs[REG_R10];
	assert_ptr_not_equal(rest, &length);
	assert_in_range(rest->tv_sec, 1, 4);
	assert_in_range(rest->tv_nsec, 0, 999999999);
	make_context(&uc, assemble(SHAPE_PLAIN, SYS_semtimedop), -EINTR,
		(long[6]){1, P, 1, (long)&length});
	assert_int_equal(NO, restarts(&uc, SYS_semtimedop)); /* it has been told of the rest */
	rm_deadline_end(&outer);
	make_context(
		&uc, assemble(SHAPE_PLAIN, SYS_epoll_wait), -EINTR, (long[6]){3, P, 8, before});
	assert_false(rm_restart_wait(&uc));
	assert_int_equal(regs[REG_RAX], SYS_epoll_wait);
	before = regs[REG_R10];
	rm_deadline_end(&outermost);
	make_context(
		&uc, assemble(SHAPE_PLAIN, SYS_epoll_wait), -EINTR, (long[6]){3, P, 8, before});
	assert_int_equal(NO, restarts(&uc, SYS_epoll_wait));
	/* over, and not yet told so */
	rm_deadline_begin(&outer, 0, 1, 1000000);
	usleep(3000);
	make_context(&uc, assemble(SHAPE_PLAIN, SYS_epoll_wait), -EINTR, (long[6]){3, P, 8, 1});
	assert_false(rm_restart_wait(&uc));
	assert_int_equal(regs[REG_RAX], SYS_epoll_wait);
	assert_int_equal(regs[REG_R10], 0);
	rm_deadline_end(&outer);
}

static void instructions_that_only_look_like_it(void **state)
{
	static const enum shape shapes[] = {
		SHAPE_R8D, SHAPE_R8D_EPOLL, SHAPE_MOV_RAX, SHAPE_INT80, SHAPE_SYSENTER};
	const long args[6] = {0};
	ucontext_t uc;

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		make_context(&uc, assemble(shapes[i], SYS_pause), -EINTR, args);
		assert_int_equal(NO, restarts(&uc, SYS_pause));
	}
}

/*
 * A thread that was interrupted elsewhere, by chance with -EINTR in %rax: not on its way out of a
 * system call.
 */
static void contexts_that_are_not_just_behind_a_call(void **state)
{
	const long args[6] = {0};
	uint8_t *after = assemble(SHAPE_PLAIN, SYS_pause);
	ucontext_t uc;

	(void)state;
	make_context(&uc, after, -EINTR, args);
	uc.uc_mcontext.gregs[REG_RCX] = 0;
	assert_int_equal(NO, restarts(&uc, SYS_pause));
	make_context(&uc, after + 1, -EINTR, args);
	assert_int_equal(NO, restarts(&uc, SYS_pause));
	make_context(&uc, after - 2, -EINTR, args);
	assert_int_equal(NO, restarts(&uc, SYS_pause));
	make_context(&uc, after, -EINTR, args);
	assert_int_equal(AGAIN, restarts(&uc, SYS_pause)); /* the setup itself is right */
}

static void set_mask(ucontext_t *uc, uint64_t blocked)
{
	memcpy(&uc->uc_sigmask, &blocked, sizeof(blocked));
}

/* It ends, for good: %rcx, where a system call leaves nothing, says so. */
static bool is_over(ucontext_t *uc)
{
	ucontext_t before = *uc;

	if (rm_restart_wait(uc))
		return false;
	before.uc_mcontext.gregs[REG_RCX] = 0;
	assert_memory_equal(uc, &before, sizeof(before));
	return true;
}

/*
 * A signal that waits to be delivered to the program is what the wait was cut short for. It has
 * ended then, though another stop comes before it returns, and when the signal has been handled.
 */
static void signals_that_the_program_is_due(void **state)
{
	const long args[6] = {0};
	uint8_t *after = assemble(SHAPE_PLAIN, SYS_pause);
	sigset_t one, old;
	ucontext_t uc, ended;
	int taken;

	(void)state;
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	assert_int_equal(sigprocmask(SIG_BLOCK, &one, &old), 0);
	raise(SIGUSR1);
	make_context(&uc, after, -EINTR, args);
	assert_true(is_over(&uc));
	make_context(&ended, after, -EINTR, args);
	set_mask(&ended, 1ULL << (SIGUSR2 - 1)); /* blocks another one */
	assert_true(is_over(&ended));
	/* the program blocks it, so it is not for this wait */
	make_context(&uc, after, -EINTR, args);
	set_mask(&uc, 1ULL << (SIGUSR1 - 1));
	assert_int_equal(AGAIN, restarts(&uc, SYS_pause));
	assert_int_equal(sigwait(&one, &taken), 0);
	assert_int_equal(NO, restarts(&ended, SYS_pause));
	make_context(&uc, after, -EINTR, args);
	assert_int_equal(AGAIN, restarts(&uc, SYS_pause));
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
}

/* Ours, the next stop's, does not count as the program's. */
static void our_own_signal_is_not_one_of_them(void **state)
{
	const uint64_t stop = 1ULL << 32;
	const long args[6] = {0};
	uint64_t old;
	ucontext_t uc;

	(void)state;
	make_context(&uc, assemble(SHAPE_PLAIN, SYS_pause), -EINTR, args);
	assert_int_equal(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &stop, &old, 8), 0);
	assert_int_equal(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 33), 0);
	assert_int_equal(AGAIN, restarts(&uc, SYS_pause));
	/* taken away again, whatever its action */
	assert_int_equal(syscall(SYS_rt_sigtimedwait, &stop, NULL, NULL, 8), 33);
	assert_int_equal(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8), 0);
}

/*
 * A stub at the very beginning of mapped memory, as code generators make them: bytes before it can
 * not be read.
 */
static int code_at_the_edge(void *arg)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), *before = arg;
	uint8_t *area = mmap(
		NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint8_t *tail = assemble(SHAPE_PLAIN, SYS_pause);
	const long args[6] = {0};
	ucontext_t uc;

	memcpy(area + page, tail - *before, *before);
	mprotect(area, page, PROT_NONE);
	make_context(&uc, area + page + *before, -EINTR, args);
	rm_restart_wait(&uc);
	return 0;
}

static void code_at_the_edge_of_memory(void **state)
{
	(void)state;
	for (size_t before = 2; before < 14; before++) {
		int status = unit_in_child(code_at_the_edge, &before);

		if (WIFSIGNALED(status))
			fail_msg("%zu bytes of code before the return address: signal %d", before,
				WTERMSIG(status));
		assert_child_ok(status);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_wait_and_timeout),
		cmocka_unit_test(noted_waits),
		cmocka_unit_test(instructions_that_only_look_like_it),
		cmocka_unit_test(contexts_that_are_not_just_behind_a_call),
		cmocka_unit_test(signals_that_the_program_is_due),
		cmocka_unit_test(our_own_signal_is_not_one_of_them),
		cmocka_unit_test(code_at_the_edge_of_memory),
	};

	return unit_run(tests);
}

#else

int main(void)
{
	return unit_skip_all("waits are restarted on x86-64 only");
}

#endif
