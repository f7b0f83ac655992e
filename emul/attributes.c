/* SPDX-License-Identifier: MIT */
/*
 * What mirrors and converted ranges inherit from their source when the kernel does not copy it. Raw
 * system calls only.
 */
#include "emul/attributes.h"

#include <errno.h>
#include <linux/prctl.h>
#include <string.h>

#include "emul/sys.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

int rm_advise_like(struct rm_range range, const struct rm_vma *vma)
{
	static const struct {
		uint32_t vmflag;
		int advice;
		bool hint; /* not every kernel or mapping takes it, and nobody relies on it */
	} advices[] = {
		{RM_VF_DONTFORK, MADV_DONTFORK, false},
		{RM_VF_DONTDUMP, MADV_DONTDUMP, false},
		{RM_VF_SEQUENTIAL, MADV_SEQUENTIAL, true},
		{RM_VF_RANDOM, MADV_RANDOM, true},
		{RM_VF_HUGEPAGE, MADV_HUGEPAGE, true},
		{RM_VF_NOHUGEPAGE, MADV_NOHUGEPAGE, true},
		{RM_VF_MERGEABLE, MADV_MERGEABLE, true},
	};

	for (size_t i = 0; i < RM_ARRAY_LEN(advices); i++) {
		long r = vma->vmflags & advices[i].vmflag
				 ? rm_sys_madvise(range.start, range.len, advices[i].advice)
				 : 0;

		if (r && !(r == -EINVAL && advices[i].hint))
			return (int)r;
	}
	return 0;
}

void rm_advise_again(struct rm_range range, const struct rm_vma *vma)
{
	const int now = vma->vmflags & RM_VF_SEQUENTIAL ? MADV_SEQUENTIAL
			: vma->vmflags & RM_VF_RANDOM	? MADV_RANDOM
							: MADV_NORMAL;

	if (!rm_sys_madvise(
		    range.start, range.len, now == MADV_NORMAL ? MADV_SEQUENTIAL : MADV_NORMAL))
		(void)rm_sys_madvise(range.start, range.len, now);
}

int rm_lock_like(struct rm_range range, const struct rm_vma *vma, bool all)
{
	long r;

	if (!(vma->vmflags & RM_VF_LOCKED))
		return 0;
	r = all && !(vma->vmflags & RM_VF_LOCKONFAULT)
		    ? rm_sys_mlock(range.start, range.len)
		    : rm_sys_mlock2(range.start, range.len, MLOCK_ONFAULT);
	return r == -ENOMEM || r == -EPERM ? -EAGAIN : (int)r;
}

int rm_name_like(struct rm_range range, const struct rm_vma *vma)
{
	const size_t len = strlen(vma->name), prefix = strlen("[anon:");
	char name[RM_VMA_NAME_MAX];

	if (strncmp(vma->name, "[anon:", prefix))
		return 0;
	memcpy(name, vma->name + prefix, len - prefix + 1);
	if (len > prefix && vma->name[len - 1] == ']')
		name[len - prefix - 1] = '\0';
	return (int)rm_sys_prctl(
		PR_SET_VMA, PR_SET_VMA_ANON_NAME, (long)range.start, (long)range.len, (long)name);
}

int rm_protect_like(struct rm_range range, const struct rm_vma *vma, int prot)
{
	if (vma->pkey)
		return (int)rm_sys_pkey_mprotect(range.start, range.len, prot, vma->pkey);
	return (int)rm_sys_mprotect(range.start, range.len, prot);
}
