/* SPDX-License-Identifier: MIT */
/*
 * What a program does with SIGSEGV of its own, while one of its threads moves memory by
 * MREMAP_DONTUNMAP all the time. An unmodified program; it prints what it sees, free of addresses,
 * and segv.t compares that natively and guarded.
 *
 * Each case runs in a child of its own, after some moves: by then quiesce:guard has its handler
 * installed. The cases are those in which owners of a signal are known to differ from the kernel:
 * queries, every combination of flags, alternate stacks, masks inside handlers, nested faults,
 * jumps out of handlers, sent signals and their siginfo, the default action, ignoring, blocking,
 * fork, exec, interrupted system calls, the relatives of sigaction.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "libremap.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define PAGE 4096UL
#define LEN  (4 * PAGE)

extern int remap_stats(struct remap_stats *stats) __attribute__((weak));
typedef void (*handler)(int);
handler bsd_signal(int, handler);

static char *bad;  /* a page that may not be touched */
static char *heap; /* what moves */
static char alternate[65536];
static atomic_ulong moves;
static atomic_bool no_more, at_rest;
static volatile int calls, depth;
static sigjmp_buf back;

static void *move_on(void *arg)
{
	for (;;) {
		char *new = mremap(heap, LEN, LEN, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

		if (new == MAP_FAILED) {
			printf("a move failed: %s\n", strerror(errno));
			fflush(stdout);
			_exit(1);
		}
		munmap(new, LEN);
		memset(heap, 'x', LEN);
		moves++;
		while (no_more) {
			at_rest = true;
			sched_yield();
		}
	}
	return arg;
}

static void some_moves(void)
{
	const unsigned long enough = moves + 5;

	while (moves < enough)
		sched_yield();
}

/* --- what is printed --- */

static void print_mask(const sigset_t *set)
{
	printf(" blocked");
	for (int sig = 1; sig < 32; sig++)
		if (sigismember(set, sig))
			printf(" %d", sig);
}

static void print_action(const char *what)
{
	struct sigaction now;

	if (sigaction(SIGSEGV, NULL, &now)) {
		printf("%s: %s\n", what, strerror(errno));
		return;
	}
	printf("%s: %s flags %x", what,
		now.sa_handler == SIG_DFL   ? "default"
		: now.sa_handler == SIG_IGN ? "ignored"
					    : "a handler",
		(unsigned int)now.sa_flags);
	print_mask(&now.sa_mask);
	printf("\n");
}

static void print_call(int sig, const siginfo_t *info)
{
	sigset_t now;
	char here;

	sigprocmask(SIG_BLOCK, NULL, &now);
	printf("handler: signal %d code %d %s, stack %s,", sig, info->si_code,
		info->si_code <= 0	       ? "sent"
		: (char *)info->si_addr == bad ? "at the page"
					       : "elsewhere",
		&here >= alternate && &here < alternate + sizeof(alternate) ? "alternate" : "own");
	print_mask(&now);
	printf("\n");
}

/* --- handlers --- */

static void mend(int sig, siginfo_t *info, void *context)
{
	(void)context;
	calls++;
	print_call(sig, info);
	print_action("  meanwhile");
	mprotect(bad, PAGE, PROT_READ | PROT_WRITE);
}

static void count(int sig)
{
	(void)sig;
	calls++;
}

static void jump(int sig)
{
	(void)sig;
	calls++;
	siglongjmp(back, 1);
}

static void see(int sig, siginfo_t *info, void *context)
{
	(void)context;
	calls++;
	printf("sent: signal %d code %d by us %d value %d\n", sig, info->si_code,
		info->si_pid == getpid(), info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
}

static void fault_again(int sig, siginfo_t *info, void *context)
{
	(void)context;
	print_call(sig, info);
	if (++depth < 3)
		*(volatile char *)bad = 1;
	mprotect(bad, PAGE, PROT_READ | PROT_WRITE);
}

static void set(void (*function)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = function, .sa_flags = flags | SA_SIGINFO};

	sigaddset(&action.sa_mask, SIGUSR1);
	sigaddset(&action.sa_mask, SIGTERM);
	if (sigaction(SIGSEGV, &action, NULL))
		printf("sigaction: %s\n", strerror(errno));
}

__attribute__((noinline)) static void touch(void)
{
	mprotect(bad, PAGE, PROT_NONE);
	*(volatile char *)bad = 1;
}

/* --- the cases --- */

static void queries(void)
{
	struct sigaction one = {.sa_handler = count, .sa_flags = SA_RESTART}, two, old;

	print_action("at first");
	printf("neither: %d\n", sigaction(SIGSEGV, NULL, NULL));
	sigfillset(&one.sa_mask);
	two = one;
	two.sa_handler = jump;
	two.sa_flags = SA_NODEFER | SA_ONSTACK;
	sigaction(SIGSEGV, &one, &old);
	printf("was default %d\n", old.sa_handler == SIG_DFL);
	print_action("one");
	for (int i = 0; i < 60; i++) {
		const struct sigaction *new = i % 2 ? &one : &two;

		some_moves();
		sigaction(SIGSEGV, new, &old);
		if (old.sa_handler != (i % 2 ? two.sa_handler : one.sa_handler))
			printf("%d: another handler\n", i);
	}
	print_action("one again");
	printf("bad number: %d\n", sigaction(12345, &one, NULL) ? errno : 0);
	some_moves();
	raise(SIGSEGV);
	printf("calls %d\n", calls);
	old.sa_handler = SIG_DFL;
	sigaction(SIGSEGV, &old, NULL);
	print_action("put back");
}

static void every_flag(void)
{
	static const int flags[] = {SA_ONSTACK, SA_NODEFER, (int)SA_RESETHAND, SA_RESTART};

	for (unsigned int i = 0; i < 16; i++) {
		stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
		int f = 0;

		for (unsigned int k = 0; k < 4; k++)
			f |= i >> k & 1 ? flags[k] : 0;
		for (int with = 0; with < 2; with++) {
			stack.ss_flags = with ? 0 : SS_DISABLE;
			sigaltstack(&stack, NULL);
			set(mend, f);
			some_moves();
			touch();
			print_action("after");
		}
	}
}

static void sent(void)
{
	const int pid = getpid();
	union sigval value = {.sival_int = 4711};

	set(see, 0);
	some_moves();
	raise(SIGSEGV);
	sigqueue(pid, SIGSEGV, value);
	while (calls < 2)
		some_moves();
	kill(pid, SIGSEGV);
	while (calls < 3)
		some_moves();
	pthread_kill(pthread_self(), SIGSEGV);
	printf("calls %d\n", calls);
}

static void jumps(void)
{
	sigset_t now;
	struct sigaction action = {.sa_handler = jump};

	sigaction(SIGSEGV, &action, NULL);
	for (volatile int i = 0; i < 200; i++)
		if (!sigsetjmp(back, 1))
			touch();
	sigprocmask(SIG_BLOCK, NULL, &now);
	printf("calls %d", calls);
	print_mask(&now);
	printf("\n");
}

static void nested(void)
{
	set(fault_again, SA_NODEFER);
	some_moves();
	touch();
	printf("depth %d\n", depth);
	depth = 0;
	set(fault_again, 0);
	some_moves();
	touch();
	printf("not reached\n");
}

static void overflow_stack(volatile char *last)
{
	volatile char more[8192];

	more[0] = *last;
	if (depth >= 0)
		overflow_stack(more);
}

static void stack_overflow(void)
{
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct sigaction action = {.sa_handler = jump, .sa_flags = SA_ONSTACK};
	char c = 0;

	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &action, NULL);
	some_moves();
	if (!sigsetjmp(back, 1))
		overflow_stack(&c);
	printf("calls %d\n", calls);
	signal(SIGSEGV, SIG_DFL);
	overflow_stack(&c);
}

static void once(void)
{
	set(mend, (int)SA_RESETHAND);
	some_moves();
	touch();
	some_moves();
	print_action("fired");
	touch();
}

static void ignored(void)
{
	signal(SIGSEGV, SIG_IGN);
	some_moves();
	print_action("set");
	raise(SIGSEGV);
	kill(getpid(), SIGSEGV);
	some_moves();
	print_action("still");
	touch();
}

static void blocked(void)
{
	sigset_t set_, old, pending;

	set(see, 0);
	sigemptyset(&set_);
	sigaddset(&set_, SIGSEGV);
	sigaddset(&set_, SIGUSR2);
	some_moves();
	for (int i = 0; i < 20; i++) {
		printf("%d", pthread_sigmask(i % 2 ? SIG_SETMASK : SIG_BLOCK, &set_, &old));
		print_mask(&old);
		printf("\n");
		sigprocmask(SIG_BLOCK, NULL, &old);
		print_mask(&old);
		raise(SIGSEGV);
		some_moves();
		sigpending(&pending);
		printf(" pending %d calls %d\n", sigismember(&pending, SIGSEGV), calls);
		sigprocmask(SIG_UNBLOCK, &set_, NULL);
	}
	printf("bad: %d\n", pthread_sigmask(77, &set_, NULL));
	sigprocmask(SIG_BLOCK, &set_, NULL);
	touch();
}

static void by_default(void)
{
	some_moves();
	touch();
}

static void by_default_sent(void)
{
	some_moves();
	kill(getpid(), SIGSEGV);
	for (;;)
		pause();
}

static void not_canonical(void)
{
	struct sigaction action = {.sa_handler = jump};

	sigaction(SIGSEGV, &action, NULL);
	some_moves();
	for (volatile int i = 0; i < 50; i++)
		if (!sigsetjmp(back, 1))
			*(volatile char *)0x1122334455667788 = 1;
	printf("calls %d\n", calls);
	signal(SIGSEGV, SIG_DFL);
	some_moves();
	*(volatile char *)0x1122334455667788 = 1;
}

static void forked(void)
{
	int status;
	pid_t pid;

	set(mend, 0);
	some_moves();
	fflush(stdout);
	for (int i = 0; i < 50; i++) {
		pid = fork();
		if (!pid) {
			if (i)
				_exit(0);
			touch();
			print_action("in the child");
			fflush(stdout);
			signal(SIGSEGV, SIG_DFL);
			touch();
		}
		waitpid(pid, &status, 0);
		if (!i || status)
			printf("child: %x\n", status);
	}
}

static void executed(void)
{
	fflush(stdout);
	some_moves();
	/* exec while another thread stops threads is another test's subject */
	no_more = true;
	while (!at_rest)
		sched_yield();
	execl("/proc/self/exe", "segv", "show", NULL);
}

static void executed_ignored(void)
{
	signal(SIGSEGV, SIG_IGN);
	executed();
}

static void relatives(void)
{
	sigset_t now;
	handler was;

#define SHOW(call)                                                                                 \
	was = call;                                                                                \
	printf("%s: %s,", #call,                                                                   \
		was == SIG_DFL	  ? "default"                                                      \
		: was == SIG_IGN  ? "ignored"                                                      \
		: was == SIG_ERR  ? "error"                                                        \
		: was == SIG_HOLD ? "hold"                                                         \
		: was == count	  ? "count"                                                        \
		: was == jump	  ? "jump"                                                         \
				  : "?");                                                              \
	sigprocmask(SIG_BLOCK, NULL, &now);                                                        \
	print_mask(&now);                                                                          \
	print_action("")
	for (int i = 0; i < 2; i++) {
		SHOW(signal(SIGSEGV, count));
		some_moves();
		SHOW(signal(SIGSEGV, jump));
		SHOW(signal(SIGSEGV, SIG_ERR));
		SHOW(sysv_signal(SIGSEGV, count));
		some_moves();
		raise(SIGSEGV);
		SHOW(ssignal(SIGSEGV, jump));
		SHOW(bsd_signal(SIGSEGV, count));
		some_moves();
		printf("interrupt %d", siginterrupt(SIGSEGV, 1));
		SHOW(signal(SIGSEGV, jump));
		printf("interrupt %d", siginterrupt(SIGSEGV, 0));
		SHOW(signal(SIGSEGV, count));
		SHOW(sigset(SIGSEGV, jump));
		SHOW(sigset(SIGSEGV, SIG_HOLD));
		SHOW(sigset(SIGSEGV, SIG_HOLD));
		some_moves();
		SHOW(sigset(SIGSEGV, count));
		printf("hold %d", sighold(SIGSEGV));
		SHOW(sigset(SIGSEGV, count));
		printf("ignore %d", sigignore(SIGSEGV));
		SHOW(signal(SIGSEGV, SIG_DFL));
		some_moves();
	}
	SHOW(signal(SIGUSR2, count));
	printf("calls %d\n", calls);
}

/* read(2) of a pipe, interrupted by a SIGSEGV that is sent: by SA_RESTART it goes on. */
static int fds[2];
static pthread_t reader;

static void *interrupt_read(void *arg)
{
	some_moves();
	usleep(20000);
	pthread_kill(reader, SIGSEGV);
	while (!calls)
		some_moves();
	usleep(20000);
	if (write(fds[1], "x", 1) != 1)
		printf("write failed\n");
	return arg;
}

static void interrupted(void)
{
	pthread_t thread;
	char c;

	reader = pthread_self();
	for (int i = 0; i < 2; i++) {
		struct sigaction action = {.sa_handler = count, .sa_flags = i ? SA_RESTART : 0};

		calls = 0;
		sigaction(SIGSEGV, &action, NULL);
		if (pipe(fds) || pthread_create(&thread, NULL, interrupt_read, NULL))
			printf("no pipe or thread\n");
		errno = 0;
		printf("read: %d", (int)read(fds[0], &c, 1));
		printf(" errno %d\n", errno);
		pthread_join(thread, NULL);
	}
}

/* Critical sections: every signal is blocked, and the memory that moves is touched. */
static void blocked_and_touching(void)
{
	const unsigned long enough = moves + 1000;
	sigset_t all, old;

	sigfillset(&all);
	while (moves < enough) {
		sigprocmask(SIG_BLOCK, &all, &old);
		for (int i = 0; i < 20; i++)
			*(volatile char *)heap;
		sigprocmask(SIG_SETMASK, &old, NULL);
		for (int i = 0; i < 300; i++)
			*(volatile char *)heap;
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {{"queries", queries}, {"every-flag", every_flag}, {"sent", sent}, {"jumps", jumps},
	{"nested", nested}, {"stack-overflow", stack_overflow}, {"once", once},
	{"ignored", ignored}, {"blocked", blocked}, {"default", by_default},
	{"default-sent", by_default_sent}, {"not-canonical", not_canonical}, {"forked", forked},
	{"executed", executed}, {"executed-ignored", executed_ignored}, {"relatives", relatives},
	{"interrupted", interrupted}, {"blocked-and-touching", blocked_and_touching}};

/* The child, traced: how it ends, and by which signal with which siginfo at which instruction. */
static void watch(pid_t pid)
{
	siginfo_t info = {.si_signo = 0}, last = {.si_signo = 0};
	unsigned long pc = 0;
	int status;

	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		int sig = WSTOPSIG(status);

		if (!ptrace(PTRACE_GETSIGINFO, pid, 0, &info) && sig == SIGSEGV) {
			last = info;
#ifdef __x86_64__
			pc = (unsigned long)ptrace(
				PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), 0);
#endif
		}
		/* the stop of its own with which it begins */
		ptrace(PTRACE_CONT, pid, 0, sig == SIGSTOP || sig == SIGTRAP ? 0 : sig);
	}
	printf("ends: %s %d\n", WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (WIFSIGNALED(status) && last.si_signo)
		printf("by: code %d%s%s\n", last.si_code,
			last.si_code <= 0	      ? " sent"
			: (char *)last.si_addr == bad ? " at the page"
						      : " elsewhere",
			pc - (unsigned long)touch < 64 ? " in touch()" : "");
}

int main(int argc, char **argv)
{
	struct rlimit no_core = {0, 0};
	pthread_t thread;

	if (argc == 2 && !strcmp(argv[1], "show")) {
		print_action("after exec");
		return 0;
	}
	setrlimit(RLIMIT_CORE, &no_core);
	bad = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	heap = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pid_t pid;

		if (argc == 2 && !strcmp(argv[1], "list"))
			printf("%s\n", cases[i].name);
		if (argc == 2 && strcmp(argv[1], cases[i].name))
			continue;
		printf("--- %s\n", cases[i].name);
		fflush(stdout);
		pid = fork();
		if (!pid) {
			struct remap_stats s = {.size = sizeof(s)};

			setvbuf(stdout, NULL, _IONBF, 0);
			alarm(60);
			ptrace(PTRACE_TRACEME, 0, 0, 0);
			pthread_create(&thread, NULL, move_on, NULL);
			some_moves();
			if (remap_stats && !remap_stats(&s))
				fprintf(stderr, "%s: guarded %lu\n", cases[i].name,
					(unsigned long)s.guarded);
			cases[i].run();
			_exit(0);
		}
		watch(pid);
	}
	return 0;
}
