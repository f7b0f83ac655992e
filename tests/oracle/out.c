/*
 * out.c - running something in a child and getting back every line it printed.
 *
 * The lines go into memory that parent and child share, so what a child printed before it crashed
 * or hung is not lost, and a child's own children append to the same text. A death by signal is a
 * line of its own: a crash is an observation. A child that takes longer than --timeout seconds is
 * killed and reported as hung.
 *
 * The end of the child is awaited through a pipe that it holds open, not through SIGCHLD: a
 * preloaded library may have its own ideas and threads about signals.
 */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUT_SIZE ((size_t)4 << 20)

static struct {
	size_t len;
	char text[];
} * out;

int oracle_out_init(void)
{
	out = mmap(NULL, OUT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (out == MAP_FAILED) {
		fprintf(stderr, "remap-oracle: no memory for the output: %s\n", strerror(errno));
		return -1;
	}
	return 0;
}

void oracle_out(const char *fmt, ...)
{
	size_t room = OUT_SIZE - sizeof(*out) - out->len;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(out->text + out->len, room, fmt, args);
	va_end(args);
	if (len > 0 && (size_t)len < room)
		out->len += (size_t)len;
}

/* Own tables: neither musl nor an older glibc has strerrorname_np and sigabbrev_np. */
struct name {
	int number;
	const char *name;
};

static const char *find_name(
	const struct name *names, size_t count, int number, char *buf, char what)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (names[i].number == number)
			return names[i].name;
	snprintf(buf, 16, "%c%d", what, number);
	return buf;
}

const char *oracle_errno_name(int err)
{
	static const struct name names[] = {
		{EINVAL, "EINVAL"},
		{EFAULT, "EFAULT"},
		{ENOMEM, "ENOMEM"},
		{EAGAIN, "EAGAIN"},
		{EPERM, "EPERM"},
		{EACCES, "EACCES"},
		{EEXIST, "EEXIST"},
		{EBUSY, "EBUSY"},
		{ENOSYS, "ENOSYS"},
		{EINTR, "EINTR"},
		{ENOENT, "ENOENT"},
		{EIO, "EIO"},
		{EOPNOTSUPP, "EOPNOTSUPP"},
		{EBADF, "EBADF"},
		{ENODEV, "ENODEV"},
		{ESRCH, "ESRCH"},
		{EOVERFLOW, "EOVERFLOW"},
		{ENOTTY, "ENOTTY"},
		{EMFILE, "EMFILE"},
		{ENOSPC, "ENOSPC"},
		{EHWPOISON, "EHWPOISON"},
		{0, "OK"},
	};
	static char buf[16];

	return find_name(names, sizeof(names) / sizeof(names[0]), err, buf, 'E');
}

static const char *signal_name(int sig)
{
	static const struct name names[] = {
		{SIGSEGV, "SIGSEGV"},
		{SIGBUS, "SIGBUS"},
		{SIGILL, "SIGILL"},
		{SIGABRT, "SIGABRT"},
		{SIGKILL, "SIGKILL"},
		{SIGSYS, "SIGSYS"},
		{SIGTRAP, "SIGTRAP"},
		{SIGFPE, "SIGFPE"},
		{SIGALRM, "SIGALRM"},
		{SIGPIPE, "SIGPIPE"},
		{SIGTERM, "SIGTERM"},
	};
	static char buf[16];

	return find_name(names, sizeof(names) / sizeof(names[0]), sig, buf, 'S');
}

void oracle_reap(const char *what, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			oracle_out("died %s lost %s\n", what, oracle_errno_name(errno));
			return;
		}
	}
	if (WIFSIGNALED(status))
		oracle_out("died %s %s\n", what, signal_name(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		oracle_out("died %s exit %d\n", what, WEXITSTATUS(status));
}

static void *wait_for_the_end(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* Others in the same memory, whom an emulation has to stop or to do without. They do nothing. */
static void bring_company(void)
{
	for (int i = 0; i < oracle_opt.threads; i++) {
		pthread_t thread;
		int error = pthread_create(&thread, NULL, wait_for_the_end, NULL);

		if (error) {
			oracle_out("trouble thread %s\n", oracle_errno_name(error));
			_exit(99);
		}
	}
}

struct oracle_result oracle_run_child(void (*body)(void *), void *arg)
{
	struct oracle_result result = {out->text, 0};
	struct pollfd end = {.events = POLLIN};
	int alive[2];
	pid_t pid;
	int ready;

	out->len = 0;
	if (pipe2(alive, O_CLOEXEC)) {
		oracle_out("trouble pipe %s\n", oracle_errno_name(errno));
		goto done;
	}
	pid = oracle_fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(alive[0]);
		bring_company();
		body(arg);
		_exit(0);
	}
	close(alive[1]);
	if (pid < 0) {
		oracle_out("trouble fork %s\n", oracle_errno_name(errno));
		close(alive[0]);
		goto done;
	}
	end.fd = alive[0];
	do {
		ready = poll(&end, 1, oracle_opt.timeout * 1000);
	} while (ready < 0 && errno == EINTR);
	if (ready == 0) {
		oracle_out("died sequence hung\n");
		kill(pid, SIGKILL);
	}
	close(alive[0]);
	oracle_reap("sequence", pid);
	oracle_field_cleanup(pid);
done:
	result.len = out->len;
	return result;
}
