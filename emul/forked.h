/* SPDX-License-Identifier: MIT */
/*
 * What a forked child has of converted memory (B1).
 */
#ifndef RM_FORKED_H
#define RM_FORKED_H

/* Before the first conversion, and not inside the world: from now on libc's fork takes snapshots. 0 or -ENOMEM. */
int rm_forked_prepare(void);

#endif
