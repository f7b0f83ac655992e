/* SPDX-License-Identifier: MIT */
/*
 * pretend-mremap.c - which mremap calls an older kernel would have refused
 *
 * The filter has already refused the flags that the pretended kernel does not know. What is left depends on what is
 * mapped. The rules, in the order of the old kernels' checks (semantics.md 1.2):
 *
 *	rule			before	call						old answer
 *	DONTUNMAP_RAWLEN	6.17	DONTUNMAP, lengths equal only after rounding	EINVAL
 *	NOOP_LOOKUP		5.16	no-op, shrink; nothing mapped there		success
 *	DONTUNMAP_KIND		5.13	DONTUNMAP of shared or file memory		EINVAL
 *	HUGETLB_MOVE		5.16	move of hugetlb memory				EINVAL
 *	MULTI_VMA		6.17	FIXED over more than one mapping		EFAULT
 *
 * All else goes on: this kernel refuses by itself what every kernel refuses (bad alignment, overlap, range, seals).
 * Between the look at the mappings and the call another thread can change them; the answer is then that of one of the
 * two moments. The arguments are in registers and cannot change.
 *
 * Not done: a failing FIXED call of an old kernel has already unmapped its destination (semantics.md 1.4).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/pretend.h"

#define DONTUNMAP 4UL
#define KNOWN	  (MREMAP_MAYMOVE | MREMAP_FIXED | DONTUNMAP)

#ifdef __aarch64__
#define ADDRESS_BITS 48
#else
#define ADDRESS_BITS 47
#endif

/* struct procmap_query of 6.11, written out for older headers. */
struct procmap_query_v0 {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
_Static_assert(sizeof(struct procmap_query_v0) == 104, "the ioctl number carries the size");
#define QUERY_IOCTL	       _IOWR('f', 17, struct procmap_query_v0)
#define QUERY_COVERING_OR_NEXT 0x10u
#define QUERY_SHARED	       0x08u

/*
 * Private memory without a file, or with a file that makes it anonymous: mmap_zero() of /dev/zero.
 */
static bool is_private_anon(bool shared, uint64_t inode, const char *name)
{
	if (shared)
		return false;
	return strcmp(name, "/dev/zero") == 0 || (inode == 0 && strncmp(name, "[v", 2) != 0);
}

static int find_by_query(int maps, uintptr_t addr, struct rm_target_vma *vma)
{
	char name[64] = "";
	struct procmap_query_v0 query = {.size = sizeof(query),
		.query_flags = QUERY_COVERING_OR_NEXT,
		.query_addr = addr,
		.vma_name_addr = (uintptr_t)name,
		.vma_name_size = sizeof(name)};

	if (ioctl(maps, QUERY_IOCTL, &query) < 0) {
		if (errno != ENAMETOOLONG)
			return -errno;
		/* A long path is no special mapping's name. */
		query.vma_name_addr = 0;
		query.vma_name_size = 0;
		strcpy(name, "/long");
		if (ioctl(maps, QUERY_IOCTL, &query) < 0)
			return -errno;
	}
	vma->start = (uintptr_t)query.vma_start;
	vma->end = (uintptr_t)query.vma_end;
	vma->hugetlb = query.vma_page_size > (uint64_t)sysconf(_SC_PAGESIZE);
	vma->private_anon = is_private_anon(query.vma_flags & QUERY_SHARED, query.inode, name) &&
			    !vma->hugetlb;
	return 0;
}

/* smaps walks page tables, so only a mapping of a file is looked up there. */
static bool is_hugetlb_by_smaps(pid_t tid, uintptr_t start)
{
	char path[64], line[512];
	unsigned long from = 0, kib;
	bool here = false;
	bool found = false;
	FILE *smaps;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)tid);
	smaps = fopen(path, "re");
	if (!smaps)
		return false;
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%*x %*c", &from) == 1)
			here = from == start;
		else if (here && sscanf(line, "KernelPageSize: %lu kB", &kib) == 1) {
			found = kib * 1024 > (unsigned long)sysconf(_SC_PAGESIZE);
			break;
		}
	}
	fclose(smaps);
	return found;
}

static int find_by_text(pid_t tid, int maps, uintptr_t addr, struct rm_target_vma *vma)
{
	unsigned long start, end, inode;
	char line[4096 + 128], perms[5], name[64];
	FILE *file;
	int ret = -ENOENT;
	int fd;

	fd = dup(maps);
	file = fd < 0 ? NULL : fdopen(fd, "re");
	if (!file) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		return ret;
	}
	while (fgets(line, sizeof(line), file)) {
		name[0] = '\0';
		if (sscanf(line, "%lx-%lx %4s %*x %*s %lu %63s", &start, &end, perms, &inode,
			    name) < 4 ||
			end <= addr)
			continue;
		vma->start = start;
		vma->end = end;
		/* "/dev/zero (deleted)" is shared anonymous memory, and its 's' says so. */
		vma->private_anon = is_private_anon(perms[3] == 's', inode, name);
		vma->hugetlb = inode != 0 && is_hugetlb_by_smaps(tid, start);
		ret = 0;
		break;
	}
	fclose(file);
	return ret;
}

int rm_target_vma_find(pid_t tid, uintptr_t addr, struct rm_target_vma *vma)
{
	char path[64];
	int maps;
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)tid);
	maps = open(path, O_RDONLY | O_CLOEXEC);
	if (maps < 0)
		return -errno;
	ret = find_by_query(maps, addr, vma);
	if (ret < 0 && ret != -ENOENT)
		ret = find_by_text(tid, maps, addr, vma);
	close(maps);
	return ret;
}

static void refuse(struct rm_answer *answer, int err)
{
	answer->go_on = false;
	answer->err = err;
}

/*
 * 4.14 to 5.15: "munmap the tail, return addr", whatever is mapped at addr. Only without a tail to
 * unmap is it ours.
 */
static void answer_noop(
	const struct rm_asked *asked, uintptr_t addr, size_t old_len, struct rm_answer *answer)
{
	struct rm_target_vma vma;
	int ret = rm_target_vma_find(asked->tid, addr, &vma);

	if (ret == 0 && vma.start < addr + old_len)
		return;
	if (ret < 0 && ret != -ENOENT)
		return;
	answer->go_on = false;
	answer->val = (int64_t)addr;
}

/* What this kernel answers EINVAL to before it looks at any mapping, as the old ones did. */
static bool refused_anyway(uintptr_t addr, size_t old_len, size_t new_len, uintptr_t new_addr)
{
	const uintptr_t limit = (uintptr_t)1 << ADDRESS_BITS;

	if (new_addr % (uintptr_t)sysconf(_SC_PAGESIZE) || new_len > limit ||
		new_addr > limit - new_len)
		return true;
	return addr + old_len > new_addr && new_addr + new_len > addr;
}

void rm_answer_mremap(const struct rm_asked *asked, struct rm_answer *answer)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t addr = asked->args[0];
	const size_t old_len = (asked->args[1] + page - 1) & ~(page - 1);
	const size_t new_len = (asked->args[2] + page - 1) & ~(page - 1);
	const uint64_t flags = asked->args[3];
	const uintptr_t new_addr = asked->args[4];
	const bool keeps = flags & DONTUNMAP;
	const bool fixed = flags & MREMAP_FIXED;
	const size_t moved_len = old_len < new_len ? old_len : new_len;
	struct rm_target_vma vma;

	if (flags & ~(uint64_t)KNOWN || addr % page || new_len == 0 ||
		((fixed || keeps) && !(flags & MREMAP_MAYMOVE)))
		return;
	if (keeps && asked->args[1] != asked->args[2]) {
		if (rm_rule_applies(RM_RULE_DONTUNMAP_RAWLEN, asked->kernel))
			refuse(answer, EINVAL);
		return;
	}
	if (!fixed && !keeps && old_len >= new_len) {
		if (rm_rule_applies(RM_RULE_NOOP_LOOKUP, asked->kernel))
			answer_noop(asked, addr, old_len, answer);
		return;
	}
	if ((fixed || keeps) && refused_anyway(addr, old_len, new_len, new_addr))
		return;
	if (rm_target_vma_find(asked->tid, addr, &vma) < 0 || vma.start > addr)
		return;

	if (keeps && !vma.private_anon && rm_rule_applies(RM_RULE_DONTUNMAP_KIND, asked->kernel))
		refuse(answer, EINVAL);
	else if (vma.hugetlb && rm_rule_applies(RM_RULE_HUGETLB_MOVE, asked->kernel))
		refuse(answer, EINVAL);
	else if (fixed && moved_len > vma.end - addr &&
		 rm_rule_applies(RM_RULE_MULTI_VMA, asked->kernel))
		refuse(answer, EFAULT);
}
