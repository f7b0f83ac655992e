/* SPDX-License-Identifier: MIT */
/*
 * Signals that the program is due while our handler runs in its place.
 */
#include "emul/due.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "emul/ignored.h"
#include "emul/quiesce.h"
#include "emul/sys.h"
#include "emul/task.h"

uint64_t rm_due_signals(const ucontext_t *uc)
{
	uint64_t pending = 0, blocked;

	memcpy(&blocked, &uc->uc_sigmask, sizeof(blocked));
	rm_sys_rt_sigpending(&pending);
	pending &= ~blocked & ~RM_STOP_BIT;
	for (int sig = 1; sig <= 64; sig++)
		if ((pending & 1ULL << (sig - 1)) && rm_is_ignored(sig))
			pending &= ~(1ULL << (sig - 1));
	return pending;
}

/* What is pending for this thread alone; -1, everything, if that can not be read. */
static uint64_t pending_here(void)
{
	char status[2048];
	uint64_t mask;
	long fd = rm_sys_open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC, 0), got;

	if (fd < 0)
		return ~0ULL;
	got = rm_sys_read((int)fd, status, sizeof(status) - 1);
	rm_sys_close((int)fd);
	status[got > 0 ? got : 0] = '\0';
	return rm_task_signals(status, "SigPnd", &mask) ? mask : ~0ULL;
}

bool rm_due_here(uint64_t due)
{
	const struct timespec now = {0, 0};
	siginfo_t info;
	long sig;

	if (!due || (due & pending_here()))
		return due;
	sig = rm_syscall(
		SYS_rt_sigtimedwait, (long)&due, (long)&info, (long)&now, sizeof(due), 0, 0);
	if (sig <= 0)
		return false;
	if (rm_sys_rt_tgsigqueueinfo(rm_sys_getpid(), rm_sys_gettid(), (int)sig, &info))
		(void)rm_sys_tgkill(rm_sys_getpid(), rm_sys_gettid(), (int)sig);
	return true;
}
