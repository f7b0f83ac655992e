/* SPDX-License-Identifier: MIT */
#include "emul/again.h"

#include "emul/log.h"
#include "emul/quiesce.h"
#include "emul/sys.h"

#define PATIENCE  4   /* tries with others running */
#define MAX_TRIES 100 /* if they can not be stopped, or are not enough */
#define PAUSE	  7919 /* ns, times a number that grows and is no multiple of the last one */

int rm_again_stop(struct rm_again *again, struct rm_range range)
{
	const int r = again->stopped ? 0 : rm_quiesce_stop(again->world, range);

	again->stopped = !r;
	return r;
}

int rm_again(struct rm_again *again, struct rm_range range, bool may_stop)
{
	if (++again->tries >= MAX_TRIES)
		return rm_refuse("another thread keeps changing the range");
	if (again->tries < PATIENCE || again->stopped)
		return 0;
	if (may_stop)
		return rm_again_stop(again, range);
	rm_sys_sleep_ns((uint64_t)PAUSE * (unsigned int)(again->tries * again->tries % 31));
	return 0;
}

void rm_again_end(struct rm_again *again)
{
	if (again->stopped)
		rm_quiesce_resume(again->world);
	again->stopped = false;
}
