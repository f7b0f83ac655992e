/* SPDX-License-Identifier: MIT */
/*
 * Reading /proc/self/maps and /proc/self/smaps without libc and without allocating.
 */
#ifndef RM_PROCMAPS_H
#define RM_PROCMAPS_H

#include "emul/fd.h"
#include "emul/types.h"

/* VmFlags of smaps that the engine acts on (semantics.md 9). */
enum rm_vmflag {
	RM_VF_ACCOUNT = 1 << 0,	      /* ac */
	RM_VF_NORESERVE = 1 << 1,     /* nr */
	RM_VF_LOCKED = 1 << 2,	      /* lo */
	RM_VF_DONTEXPAND = 1 << 3,    /* de */
	RM_VF_PFNMAP = 1 << 4,	      /* pf */
	RM_VF_IO = 1 << 5,	      /* io */
	RM_VF_HUGETLB = 1 << 6,	      /* ht */
	RM_VF_GROWSDOWN = 1 << 7,     /* gd */
	RM_VF_DONTFORK = 1 << 8,      /* dc */
	RM_VF_WIPEONFORK = 1 << 9,    /* wf */
	RM_VF_DONTDUMP = 1 << 10,     /* dd */
	RM_VF_MERGEABLE = 1 << 11,    /* mg */
	RM_VF_HUGEPAGE = 1 << 12,     /* hg */
	RM_VF_NOHUGEPAGE = 1 << 13,   /* nh */
	RM_VF_SEQUENTIAL = 1 << 14,   /* sr */
	RM_VF_RANDOM = 1 << 15,	      /* rr */
	RM_VF_UFFD_MISSING = 1 << 16, /* um */
	RM_VF_UFFD_WP = 1 << 17,      /* uw */
	RM_VF_UFFD_MINOR = 1 << 18,   /* ui */
	RM_VF_SEALED = 1 << 19,	      /* sl */
	RM_VF_DROPPABLE = 1 << 20,    /* dp */
	RM_VF_SHADOWSTACK = 1 << 21,  /* ss */
	RM_VF_MIXEDMAP = 1 << 22,     /* mm */
	RM_VF_MTE = 1 << 23,	      /* mt, arm64 */
	RM_VF_LOCKONFAULT = 1 << 24,  /* lf, 6.6 */
	RM_VF_NAMELESS = 1 << 25,     /* ??, one without letters: lf before 6.6 */
	RM_VF_ON_FAULT = RM_VF_LOCKONFAULT | RM_VF_NAMELESS, /* how a lock is to be put back */
};

#define RM_VF_UFFD (RM_VF_UFFD_MISSING | RM_VF_UFFD_WP | RM_VF_UFFD_MINOR)

#define RM_VMA_NAME_MAX 256 /* longer file names are cut */

struct rm_vma {
	uintptr_t start, end;
	int prot;    /* PROT_READ | PROT_WRITE | PROT_EXEC */
	bool shared; /* VM_MAYSHARE: MAP_SHARED, even of a read-only file */
	uint64_t offset;
	uint32_t dev_major, dev_minor;
	uint64_t inode;
	bool have_flags;	    /* the fields below are known: it came from smaps */
	uint32_t vmflags;	    /* enum rm_vmflag */
	int pkey;		    /* protection key; 0 where there is none */
	size_t page;		    /* bytes of a page of this mapping: huge if it is hugetlb's */
	char name[RM_VMA_NAME_MAX]; /* as /proc shows it; "" for none */
};

/* The whole reader; large, so it lives in the world page (world.h), never on a stack. */
struct rm_maps {
	int fd;
	struct rm_fd_id id;
	bool smaps;
	bool eof;
	uintptr_t
		/* smaps details of mappings that end at or below this are not looked at */
		interest;
	uint64_t position; /* of begin in the file */
	size_t begin, end; /* what of buf is still to be parsed */
	char buf[16384];
};

/* interest: the lowest address of which anything but bounds matters; 0 for all. */
int __must_check rm_maps_open(struct rm_maps *maps, bool smaps, uintptr_t interest);
/*
 * 1: *vma is the next mapping in address order; 0: no more; -errno, of which -EBADF: somebody has
 * closed or replaced the descriptor.
 */
int __must_check rm_maps_next(struct rm_maps *maps, struct rm_vma *vma);
void rm_maps_close(struct rm_maps *maps);

/* The mapping that holds addr: 1 found, 0 none there, -errno. */
int __must_check rm_maps_find(struct rm_maps *maps, bool smaps, uintptr_t addr, struct rm_vma *vma);

/*
 * The same by one question to maps, an open /proc/self/maps, whatever the number of mappings: 1
 * with all that maps says of it, or -errno: nothing there, or the kernel does not answer
 * (PROCMAP_QUERY, 6.11).
 */
int __must_check rm_maps_query(int maps, uintptr_t addr, struct rm_vma *vma);

/* Pure, for the unit tests: one header line (without newline); false if it is not one. */
bool rm_maps_parse_header(const char *line, size_t len, struct rm_vma *vma);
/* Pure: a "VmFlags: rd wr ..." or "ProtectionKey: n" line adds to vma; others are ignored. */
void rm_maps_parse_detail(const char *line, size_t len, struct rm_vma *vma);

#endif
