/* SPDX-License-Identifier: MIT */
/*
 * The preload's start: the environment is read, the kernel is asked, once, before the program runs.
 *
 * Nothing is looked up by dlsym here (what signals are set by is, in next.c): what is interposed is done by raw system calls here, so there is no "next" function
 * to call, no recursion through an allocator, and nothing to go wrong if another interposer (UCX) has the name too:
 * whoever is first in the search order gets the call, and both end at the kernel.
 *
 * Fork needs no handler: the engine's state is wiped in the child by the kernel (world.h), raw fork and clone included.
 */
#include "emul/conf.h"
#include "emul/features.h"
#include "shim/shim.h"

int rm_shim_state = RM_SHIM_UNKNOWN;

__attribute__((constructor(101))) static void start(void)
{
	if (rm_conf_disabled() || rm_features_all_native(rm_features()))
		rm_shim_state = RM_SHIM_PASS;
	else
		rm_shim_state = RM_SHIM_SERVE;
}
