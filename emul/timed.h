/* SPDX-License-Identifier: MIT */
#ifndef RM_TIMED_H
#define RM_TIMED_H

/*
 * At the end of the stop handler, with the interrupted context: a call on a socket with a timeout
 * that the stop has ended goes on for what remains of that. See timed.c.
 */
void rm_timed_go_on(void *context);

#endif
