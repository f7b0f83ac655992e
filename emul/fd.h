/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that other threads may close or replace while we use them: a program that closes
 * whatever is open, or dup2s onto numbers that it has chosen, means its own, and natively there are
 * no others. What is found out too late is done again apart (apart.h); what has become the
 * program's is not closed.
 *
 * Between the look and the close there are some hundred nanoseconds in which that is not seen.
 */
#ifndef RM_FD_H
#define RM_FD_H

#include <stdbool.h>
#include <stdint.h>

/* Which file a descriptor of ours is of; zero if that can not be said. */
struct rm_fd_id {
	uint64_t dev, ino;
};

struct rm_fd_id rm_fd_id(int fd);
/* Whether it is still of that file. */
bool rm_fd_is(int fd, const struct rm_fd_id *id);
/* Closes it if it is. */
void rm_fd_close(int fd, const struct rm_fd_id *id);

#endif
