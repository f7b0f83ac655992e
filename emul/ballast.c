/* SPDX-License-Identifier: MIT */
/* ballast.h explains. */
#include "emul/ballast.h"

#include "emul/sys.h"
#include "emul/world.h"

#define ISLANDS 4 /* with what is between them more mappings than what is done with one part adds */

bool rm_ballast_get(struct rm_range *part)
{
	const size_t page = rm_page_size(), len = 2 * ISLANDS * page;
	bool got = true;
	long at;

	at = rm_map_own(len, PROT_NONE);
	if (rm_is_err(at))
		return false;
	for (size_t i = 0; i < ISLANDS && got; i++)
		got = !rm_sys_mprotect((uintptr_t)at + 2 * i * page, page, PROT_READ);
	if (got)
		*part = (struct rm_range){(uintptr_t)at, len};
	else
		rm_sys_munmap((uintptr_t)at, len);
	return got;
}

void rm_ballast_drop(struct rm_ballast *ballast)
{
	for (size_t i = 0; i < RM_ARRAY_LEN(ballast->parts); i++) {
		if (ballast->parts[i].len)
			rm_sys_munmap(ballast->parts[i].start, ballast->parts[i].len);
		ballast->parts[i].len = 0;
	}
}

long rm_shift(uintptr_t from, size_t len, uintptr_t to)
{
	return rm_sys_mremap(from, len, len, RM_MAYMOVE | RM_FIXED, to);
}

bool rm_put(uintptr_t from, size_t len, uintptr_t to, struct rm_ballast *ballast)
{
	if (!rm_is_err(rm_shift(from, len, to)))
		return true;
	rm_ballast_drop(ballast);
	return !rm_is_err(rm_shift(from, len, to));
}

void rm_let_go(uintptr_t start, size_t len, struct rm_ballast *ballast)
{
	if (rm_sys_munmap(start, len)) {
		rm_ballast_drop(ballast);
		rm_sys_munmap(start, len);
	}
}
