/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_MIRROR of huge pages, which no kernel's mremap duplicates.
 */
#ifndef RM_HUGETLB_H
#define RM_HUGETLB_H

#include "emul/procmaps.h"
#include "emul/types.h"

/*
 * A second view of hugetlb memory that vma (with flags) has. Lengths are rounded up to huge pages,
 * and addresses have to be aligned to them, as mremap does from 5.16 on. The view's address, or
 * -EINVAL (alignment; the file can not be had), -EFAULT (past the mapping's end), -ENOMEM (no huge
 * pages left, limits), -EAGAIN (RLIMIT_MEMLOCK). Not inside the world. *vma is scratch afterwards.
 */
long rm_mirror_hugetlb(const struct rm_request *request, struct rm_vma *vma);

#endif
