/* SPDX-License-Identifier: MIT */
/*
 * Filling converted memory while it is in use already (DESIGN 5, "lazy").
 */
#ifndef RM_FILL_H
#define RM_FILL_H

#include <stdatomic.h>

#include "emul/types.h"

struct rm_fill;

/* How many are under way; 0 is the fast path's answer. */
extern _Atomic unsigned int rm_fills_active;

/*
 * A fill that nobody has begun: a userfaultfd and a thread that waits for rm_fill_go. NULL where
 * that can not be had: then the content is copied at once. back is a view of the whole object,
 * which the thread fills and unmaps in the end. The caller holds the world.
 */
struct rm_fill *rm_fill_prepare(struct rm_range back);

/*
 * Watches a view of the whole object, empty and not touched by anybody yet: what is missing there
 * comes from the fill. At most two. 0 or -errno. Raw system calls only; also inside the window.
 */
int __must_check rm_fill_watch(struct rm_fill *fill, struct rm_range view);

/*
 * From now on the pages at aside are put into the object, those that are touched first; both are
 * unmapped when all is there. content: how many bytes there are, for the statistics; unreadable:
 * aside has no PROT_READ yet; apart: the views stay MADV_DONTFORK, which the caller has made them,
 * afterwards. Until then whoever touches a watched view waits.
 */
void rm_fill_go(struct rm_fill *fill, uintptr_t aside, size_t content, bool unreadable, bool apart);

/* Nothing will come of it: the thread ends. back is the caller's again. Not inside the window. */
void rm_fill_cancel(struct rm_fill *fill);

/* After rm_fill_go, outside of the window: the caller's part in it ends. */
void rm_fill_leave(struct rm_fill *fill);

/* Whether this process has any under way: after a fork the count above may be its parent's. */
bool rm_fill_running(void);

/*
 * Waits until every fill that is under way is finished. Not inside the window, not by a filling
 * thread.
 */
void rm_fill_wait(void);

/* Whether the thread is one of ours: it is not to be stopped, others may be waiting for it. */
bool rm_fill_is_ours(int tid);

#endif
