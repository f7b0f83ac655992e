/* SPDX-License-Identifier: MIT */
/*
 * How many system calls a program makes between two marks: getppid with 0x4c52 as its argument, and
 * with 0x4c53.
 *
 *   count-syscalls COMMAND...   runs it, prints the number; exit 77 if it cannot be traced
 *
 * It is followed through execve, not through fork. Needs PTRACE_GET_SYSCALL_INFO (5.3).
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BEGIN 0x4c52
#define END   0x4c53

static int skip(const char *why)
{
	fprintf(stderr, "count-syscalls: %s: %s\n", why, strerror(errno));
	return 77;
}

int main(int argc, char **argv)
{
	struct __ptrace_syscall_info info;
	bool counting = false, ended = false;
	unsigned long count = 0;
	int status, sig;
	pid_t pid;

	if (argc < 2) {
		fputs("Usage: count-syscalls COMMAND [ARGUMENT]...\n", stderr);
		return 2;
	}
	pid = fork();
	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(76);
		raise(SIGSTOP);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return skip("cannot trace");
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		    (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)))
		return skip("PTRACE_SETOPTIONS");
	for (sig = 0;;) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig) ||
			waitpid(pid, &status, 0) != pid)
			return skip("PTRACE_SYSCALL");
		if (WIFEXITED(status) || WIFSIGNALED(status))
			break;
		sig = WSTOPSIG(status);
		if (sig == SIGTRAP) /* execve */
			sig = 0;
		if (sig != (SIGTRAP | 0x80))
			continue;
		sig = 0;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0)
			return skip("PTRACE_GET_SYSCALL_INFO");
		if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
			continue;
		if (info.entry.nr == SYS_getppid && info.entry.args[0] == BEGIN) {
			counting = true;
			count = 0;
		} else if (info.entry.nr == SYS_getppid && info.entry.args[0] == END) {
			counting = false;
			ended = true;
		} else {
			count += counting;
		}
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) || !ended) {
		fprintf(stderr, "count-syscalls: the command did not come to the end (%x)\n",
			status);
		return 1;
	}
	printf("%lu\n", count);
	return 0;
}
