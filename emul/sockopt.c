/* SPDX-License-Identifier: MIT */
/*
 * What a socket says of itself, by getsockopt(2).
 */
#include "emul/sockopt.h"

#include <sys/socket.h>
#include <sys/time.h>

#include "emul/sys.h"

static bool get(int fd, int name, void *value, int len)
{
	return !rm_syscall(SYS_getsockopt, fd, SOL_SOCKET, name, (long)value, (long)&len, 0);
}

int rm_sockopt(int fd, int name)
{
	int value;

	return get(fd, name, &value, sizeof(value)) ? value : -1;
}

uint64_t rm_sockopt_timeout(int fd, bool receive)
{
	struct timeval timeout;

	if (!get(fd, receive ? SO_RCVTIMEO : SO_SNDTIMEO, &timeout, sizeof(timeout)))
		return 0;
	return (uint64_t)timeout.tv_sec * 1000000000ULL + (uint64_t)timeout.tv_usec * 1000;
}
