/* SPDX-License-Identifier: MIT */
/*
 * Owning SIGSEGV for mode "guard", and letting the program own it all the same. See segv.c.
 */
#ifndef RM_SEGV_H
#define RM_SEGV_H

#include "emul/sys.h"
#include "emul/types.h"

/*
 * Sets up what the rest needs: once, before the first window, not in a signal handler
 * (pthread_atfork may allocate). 0 or -ENOMEM. No signal action is changed by it.
 */
int __must_check rm_segv_prepare(void);

/*
 * A window opens: from here on a thread that faults waits for its end. NULL; or why faults could
 * not be made to wait (a static string): then nothing is open, and threads have to be stopped. Only
 * for the world's holder.
 */
const char *__must_check rm_segv_open(void);

/*
 * The window closes and who waits goes on. False: the signal's action was replaced in the window;
 * never open again.
 */
bool __must_check rm_segv_close(void);

/*
 * Whether the thread waits in our handler: it has SIGSEGV blocked, but touches nothing before the
 * window is closed.
 */
bool rm_segv_is_waiting(int tid);

/*
 * Waits until no window is open. Whoever blocks SIGSEGV for himself first does it in time for the
 * next one.
 */
void rm_segv_await_close(void);

/*
 * Around what must not happen in a window, though not for long: no window is open between the two,
 * and none is opened (threads are stopped instead). Nests.
 */
void rm_segv_hold(void);
void rm_segv_release(void);

/*
 * rt_sigaction(SIGSEGV) as the program means it: what it sets is kept behind our handler once that
 * is installed, and what it asks for is what it has set. A restorer is added if there is none. Not
 * while a window is open. 0 or -errno of the kernel. Async-signal-safe.
 */
int rm_segv_action(const struct rm_ksigaction *act, struct rm_ksigaction *old);

/* Whether rm_segv_action() is needed: mode "guard" has been set up. One load. */
bool rm_segv_in_force(void);

/* Our own state, which is not to be moved (A22). */
struct rm_range rm_segv_state(void);

#endif
