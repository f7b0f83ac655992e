/* SPDX-License-Identifier: MIT */
/*
 * What a socket says of itself. Async-signal-safe. Without <sys/socket.h>: the shim has
 * prototypes of its own for what is in there.
 */
#ifndef RM_SOCKOPT_H
#define RM_SOCKOPT_H

#include <stdbool.h>
#include <stdint.h>

/* An option of SOL_SOCKET that is a number; -1: there is none, or it is no socket. */
int rm_sockopt(int fd, int name);

/* Its timeout for receiving or for sending, in nanoseconds; 0: it has none, or is no socket. */
uint64_t rm_sockopt_timeout(int fd, bool receive);

#endif
