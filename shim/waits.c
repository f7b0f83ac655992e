/* SPDX-License-Identifier: MIT */
/*
 * Waits with a length that the kernel forgets when a signal ends them, taken over so that a stop of
 * the world is no such end: what is noted here is when they have to be over (emul/deadline.h). They
 * go on to the next definition in the search order. Where the kernel's own mremap will do nobody is
 * ever stopped, and nothing is noted.
 *
 * Those that the program makes by syscall(2) or by itself are not seen.
 */
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include "emul/copy.h"
#include "emul/deadline.h"
#include "shim/next.h"
#include "shim/shim.h"
#include "shim/poison.h"

#define EXPORT __attribute__((visibility("default")))

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL

/*
 * Read as the kernel will read it: a bad pointer must be its EFAULT and not our fault. What is no
 * time is its EINVAL.
 */
static bool read_timeout(const struct timespec *timeout, uint64_t *ns)
{
	struct timespec copy;

	if (!timeout || rm_shim_state == RM_SHIM_PASS ||
		!rm_read_own((uintptr_t)timeout, &copy, sizeof(copy)) || copy.tv_sec < 0 ||
		copy.tv_sec > INT32_MAX || copy.tv_nsec < 0 || copy.tv_nsec >= (long)NS_PER_S)
		return false;
	*ns = (uint64_t)copy.tv_sec * NS_PER_S + (uint64_t)copy.tv_nsec;
	return true;
}

#define NOTED(first, argument, ns, call)                                                           \
	do {                                                                                       \
		struct rm_deadline outer_;                                                         \
		__typeof__(call) result_;                                                          \
		rm_deadline_begin(&outer_, first, argument, ns);                                   \
		result_ = call;                                                                    \
		rm_deadline_end(&outer_);                                                          \
		return result_;                                                                    \
	} while (0)

EXPORT int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
	if (timeout <= 0 || rm_shim_state == RM_SHIM_PASS)
		return rm_next_epoll_wait(epoll, events, max, timeout);
	NOTED((uint64_t)epoll, (unsigned int)timeout, (uint64_t)timeout * NS_PER_MS,
		rm_next_epoll_wait(epoll, events, max, timeout));
}

EXPORT int epoll_pwait(
	int epoll, struct epoll_event *events, int max, int timeout, const sigset_t *mask)
{
	if (timeout <= 0 || rm_shim_state == RM_SHIM_PASS)
		return rm_next_epoll_pwait(epoll, events, max, timeout, mask);
	NOTED((uint64_t)epoll, (unsigned int)timeout, (uint64_t)timeout * NS_PER_MS,
		rm_next_epoll_pwait(epoll, events, max, timeout, mask));
}

EXPORT int epoll_pwait2(int epoll, struct epoll_event *events, int max,
	const struct timespec *timeout, const sigset_t *mask)
{
	uint64_t ns;

	if (!read_timeout(timeout, &ns))
		return rm_next_epoll_pwait2(epoll, events, max, timeout, mask);
	NOTED((uint64_t)epoll, (uintptr_t)timeout, ns,
		rm_next_epoll_pwait2(epoll, events, max, timeout, mask));
}

EXPORT int semtimedop(int id, struct sembuf *ops, size_t n, const struct timespec *timeout)
{
	uint64_t ns;

	if (!read_timeout(timeout, &ns))
		return rm_next_semtimedop(id, ops, n, timeout);
	NOTED((uint64_t)id, (uintptr_t)timeout, ns, rm_next_semtimedop(id, ops, n, timeout));
}

EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	uint64_t ns;

	if (!read_timeout(timeout, &ns))
		return rm_next_sigtimedwait(set, info, timeout);
	NOTED((uintptr_t)set, (uintptr_t)timeout, ns, rm_next_sigtimedwait(set, info, timeout));
}
