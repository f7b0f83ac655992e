/* SPDX-License-Identifier: MIT */
/*
 * The preload's start: the environment is read, the kernel is asked, once, before the program runs.
 *
 * mremap and syscall are done by raw system calls: no "next" function, no recursion through an
 * allocator, and if another interposer (UCX) has the name too, whoever is first in the search order
 * gets the call, and both end at the kernel. What is only seen (watch.c) goes on to the next
 * definition, which is looked up here.
 *
 * Fork needs no handler: the engine's state is wiped in the child by the kernel (world.h), raw fork
 * and clone included.
 */
#include "emul/conf.h"
#include "emul/features.h"
#include "emul/known.h"
#include "shim/next.h"
#include "shim/shim.h"

int rm_shim_state = RM_SHIM_UNKNOWN;

__attribute__((constructor(101))) static void start(void)
{
	rm_next_find();
	if (rm_conf_disabled() || rm_features_all_native(rm_features())) {
		rm_shim_state = RM_SHIM_PASS;
	} else {
		rm_known_watch();
		rm_shim_state = RM_SHIM_SERVE;
	}
}
