/* SPDX-License-Identifier: MIT */
/*
 * Waiting in the stop handler: by ppoll(2) alone, which the next stop's handler begins again.
 */
#include "emul/handler-wait.h"

#if defined(__x86_64__)

#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>

#include "emul/sys.h"

#define AT_LEAST   51 /* AT_MINSIGSTKSZ, 5.14: of a signal's frame */
#define STACK_ROOM 16384

long rm_wait_for(int fd, short events, struct timespec *timeout, const uint64_t *mask)
{
	struct pollfd waits = {fd, events, 0};
	const long r = rm_syscall(
		SYS_ppoll, (long)&waits, 1, (long)timeout, (long)mask, sizeof(*mask), 0);

	return r > 0 ? waits.revents : r;
}

bool rm_has_room_to_wait(const ucontext_t *uc)
{
	const stack_t *stack = &uc->uc_stack;
	const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	const unsigned long frame = getauxval(AT_LEAST);

	if ((stack->ss_flags & SS_DISABLE) || here - (uintptr_t)stack->ss_sp >= stack->ss_size)
		return true;
	return here - (uintptr_t)stack->ss_sp >= STACK_ROOM + 2 * frame;
}

#endif
