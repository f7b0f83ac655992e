/* SPDX-License-Identifier: MIT */
/*
 * Calls on sockets that have a timeout (SO_RCVTIMEO, SO_SNDTIMEO), taken over so that a stop of the
 * world does not end them: the kernel says EINTR then, SA_RESTART or not, and forgets since when it
 * has waited. What is noted here is when they have to be over (emul/deadline.h); the stop handler
 * waits for what remains (emul/timed.c).
 *
 * Most programs set no such timeout, and until one does every call goes straight on to the next
 * definition. A socket whose timeout was set by another program, or by syscall(2), is not known of.
 * libc's own calls, those of stdio for instance, are not seen.
 */
#include <stdint.h>
#include <unistd.h>

#include "emul/deadline.h"
#include "emul/sockopt.h"
#include "shim/next.h"
#include "shim/shim.h"
#include "shim/poison.h"

#define EXPORT __attribute__((visibility("default")))

/* <sys/socket.h> has these with transparent unions */
enum { LEVEL_SOCKET = 1, RECEIVE_OLD = 20, SEND_OLD = 21, RECEIVE_NEW = 66, SEND_NEW = 67 };

int setsockopt(int fd, int level, int name, const void *value, unsigned int len);
ssize_t recv(int fd, void *to, size_t len, int flags);
ssize_t recvfrom(
	int fd, void *to, size_t len, int flags, struct sockaddr *addr, unsigned int *size);
ssize_t recvmsg(int fd, struct msghdr *message, int flags);
int accept(int fd, struct sockaddr *addr, unsigned int *size);
int accept4(int fd, struct sockaddr *addr, unsigned int *size, int flags);
int connect(int fd, const struct sockaddr *addr, unsigned int size);
ssize_t send(int fd, const void *from, size_t len, int flags);
ssize_t sendto(int fd, const void *from, size_t len, int flags, const struct sockaddr *addr,
	unsigned int size);
ssize_t sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t readv(int fd, const struct iovec *pieces, int n);
ssize_t writev(int fd, const struct iovec *pieces, int n);
ssize_t __read_chk(int fd, void *to, size_t len, size_t room);
ssize_t __recv_chk(int fd, void *to, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *to, size_t len, size_t room, int flags, struct sockaddr *addr,
	unsigned int *size);

static _Atomic bool timed; /* a timeout has been set, once */

EXPORT int setsockopt(int fd, int level, int name, const void *value, unsigned int len)
{
	if (rm_shim_state != RM_SHIM_PASS && level == LEVEL_SOCKET &&
		(name == RECEIVE_OLD || name == SEND_OLD || name == RECEIVE_NEW ||
			name == SEND_NEW))
		timed = true;
	return rm_next_setsockopt(fd, level, name, value, len);
}

#define NOTED(fd, receive, call)                                                                   \
	do {                                                                                       \
		struct rm_deadline outer_;                                                         \
		__typeof__(call) result_;                                                          \
		uint64_t ns_ = timed ? rm_sockopt_timeout(fd, receive) : 0;                        \
		if (!ns_)                                                                          \
			return call;                                                               \
		rm_deadline_begin(&outer_, (uint64_t)(fd), (unsigned int)(fd), ns_);               \
		result_ = call;                                                                    \
		rm_deadline_end(&outer_);                                                          \
		return result_;                                                                    \
	} while (0)

EXPORT ssize_t recv(int fd, void *to, size_t len, int flags)
{
	NOTED(fd, true, rm_next_recv(fd, to, len, flags));
}

EXPORT ssize_t recvfrom(
	int fd, void *to, size_t len, int flags, struct sockaddr *addr, unsigned int *size)
{
	NOTED(fd, true, rm_next_recvfrom(fd, to, len, flags, addr, size));
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	NOTED(fd, true, rm_next_recvmsg(fd, message, flags));
}

EXPORT int accept(int fd, struct sockaddr *addr, unsigned int *size)
{
	NOTED(fd, true, rm_next_accept(fd, addr, size));
}

EXPORT int accept4(int fd, struct sockaddr *addr, unsigned int *size, int flags)
{
	NOTED(fd, true, rm_next_accept4(fd, addr, size, flags));
}

EXPORT int connect(int fd, const struct sockaddr *addr, unsigned int size)
{
	NOTED(fd, false, rm_next_connect(fd, addr, size));
}

EXPORT ssize_t send(int fd, const void *from, size_t len, int flags)
{
	NOTED(fd, false, rm_next_send(fd, from, len, flags));
}

EXPORT ssize_t sendto(int fd, const void *from, size_t len, int flags, const struct sockaddr *addr,
	unsigned int size)
{
	NOTED(fd, false, rm_next_sendto(fd, from, len, flags, addr, size));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	NOTED(fd, false, rm_next_sendmsg(fd, message, flags));
}

EXPORT ssize_t read(int fd, void *to, size_t len)
{
	NOTED(fd, true, rm_next_read(fd, to, len));
}

EXPORT ssize_t readv(int fd, const struct iovec *pieces, int n)
{
	NOTED(fd, true, rm_next_readv(fd, pieces, n));
}

EXPORT ssize_t write(int fd, const void *from, size_t len)
{
	NOTED(fd, false, rm_next_write(fd, from, len));
}

EXPORT ssize_t writev(int fd, const struct iovec *pieces, int n)
{
	NOTED(fd, false, rm_next_writev(fd, pieces, n));
}

/* --- what _FORTIFY_SOURCE makes of them --- */

EXPORT ssize_t __read_chk(int fd, void *to, size_t len, size_t room)
{
	NOTED(fd, true, rm_next___read_chk(fd, to, len, room));
}

EXPORT ssize_t __recv_chk(int fd, void *to, size_t len, size_t room, int flags)
{
	NOTED(fd, true, rm_next___recv_chk(fd, to, len, room, flags));
}

EXPORT ssize_t __recvfrom_chk(int fd, void *to, size_t len, size_t room, int flags,
	struct sockaddr *addr, unsigned int *size)
{
	NOTED(fd, true, rm_next___recvfrom_chk(fd, to, len, room, flags, addr, size));
}
