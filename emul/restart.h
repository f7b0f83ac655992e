/* SPDX-License-Identifier: MIT */
#ifndef RM_RESTART_H
#define RM_RESTART_H

/*
 * Called at the end of the stop handler with the interrupted context: if the stop has cut short a wait that the
 * kernel does not restart by itself, the context is turned back so that the wait goes on. See restart.c.
 */
void rm_restart_wait(void *context);

#endif
