/*
 * scenarios-dontunmap.c - what MREMAP_DONTUNMAP leaves at both ends (semantics 2.1, 2.2, 2.5).
 *
 * One scenario for each attribute that source and destination have to keep, for each kind of
 * mapping, for whole mappings and parts, and for what happens afterwards: writing, forking, moving
 * again.
 */
#include "oracle.h"

#define ANON  "mmap A+4 8p anon rw-; write A+4 8p;"
#define WHOLE "mremap A+4 8p 8p MAYMOVE|FIXED|DONTUNMAP C+0;"
#define AFTER "write A+5 2p; write C+2 1p; read A+4 8p"
#define ADVICE(what)                                                                               \
	{                                                                                          \
		"dontunmap-keeps-" what, ANON "madvise A+4 8p " what ";" WHOLE AFTER, NULL         \
	}
#define KIND(kind, prot)                                                                           \
	{                                                                                          \
		"dontunmap-of-" kind,                                                              \
			"mmap A+4 8p " kind " " prot "; write A+4 4p; read A+8 3p;" WHOLE AFTER,   \
			NULL                                                                       \
	}

const struct oracle_scenario oracle_scenarios_dontunmap[] = {
	{"dontunmap-moves-pages-and-leaves-zeros", ANON WHOLE AFTER, NULL},
	{"dontunmap-of-untouched-memory", "mmap A+4 8p anon rw-;" WHOLE AFTER, NULL},
	{"dontunmap-of-memory-that-was-only-read", "mmap A+4 8p anon rw-; read A+4 8p;" WHOLE AFTER,
		NULL},
	{"dontunmap-of-head-does-not-split",
		ANON "mremap A+4 3p 3p MAYMOVE|FIXED|DONTUNMAP C+0;" AFTER, NULL},
	{"dontunmap-of-middle-does-not-split",
		ANON "mremap A+6 3p 3p MAYMOVE|FIXED|DONTUNMAP C+0;" AFTER, NULL},
	{"dontunmap-of-tail-does-not-split",
		ANON "mremap A+9 3p 3p MAYMOVE|FIXED|DONTUNMAP C+0;" AFTER, NULL},
	{"dontunmap-of-middle-then-unmap-destination",
		ANON "mremap A+6 3p 3p MAYMOVE|FIXED|DONTUNMAP C+0; munmap C+0 3p; write A+4 8p",
		NULL},
	{"dontunmap-of-one-that-merges-with-what-moved-along",
		ANON "madvise A+8 1p RANDOM; mremap A+4 8p 8p MAYMOVE|FIXED C+0;"
		     "mremap C+4 1p 1p MAYMOVE|FIXED|DONTUNMAP D+0; madvise C+0 8p NORMAL;"
		     "mremap C+0 8p 9p MAYMOVE|FIXED E+0",
		NULL},
	{"dontunmap-of-two-that-become-read-only-together",
		"mmap A+4 8p anon rwx; write A+4 8p; mprotect A+4 3p r-x;" WHOLE
		"mprotect A+4 8p r--; mremap A+4 8p 9p MAYMOVE|FIXED E+0",
		NULL},
	{"dontunmap-of-two-that-become-read-only-piece-by-piece",
		"mmap A+4 8p anon rwx; write A+4 8p; mprotect A+4 3p r-x;" WHOLE
		"mprotect A+5 1p r--; mprotect A+4 8p r--; mremap A+4 8p 9p MAYMOVE|FIXED E+0",
		NULL},
	{"dontunmap-of-a-file-onto-what-is-in-front-of-it",
		"mmap A+4 20p memfd-private rw- off=2; write A+9 1p; mremap A+14 4p 4p "
		"MAYMOVE|FIXED|DONTUNMAP A+10; read A+4 20p",
		NULL},
	/*
	 * In pieces when it comes, and one since; on a kernel that leaves it in pieces what is
	 * known of one of them is not true of all.
	 */
	{"dontunmap-of-a-moved-files-head-and-then-all-of-it",
		"mmap A+4 6p memfd-private rw- off=2; write A+4 6p; mlock A+4 1p; mremap A+4 6p 6p "
		"MAYMOVE|FIXED|DONTUNMAP B+4; mremap B+4 2p 2p MAYMOVE|FIXED|DONTUNMAP C+4; "
		"mremap B+4 6p 6p MAYMOVE|FIXED D+4",
		NULL},
	{"dontunmap-of-a-file-onto-what-is-behind-it",
		"mmap A+4 20p memfd-private rw- off=2; write A+20 1p; mremap A+14 4p 4p "
		"MAYMOVE|FIXED|DONTUNMAP A+18; read A+4 20p",
		NULL},
	{"dontunmap-onto-what-is-in-front-of-it",
		"mmap A+4 20p anon rw-; write A+4 20p; mremap A+14 4p 4p "
		"MAYMOVE|FIXED|DONTUNMAP A+10; mremap A+14 10p 10p MAYMOVE|FIXED C+0",
		NULL},
	{"dontunmap-of-locked-onto-what-is-in-front-of-it",
		"mmap A+4 20p anon rw-; mlock A+4 20p; write A+4 20p; mremap A+14 4p 4p "
		"MAYMOVE|FIXED|DONTUNMAP A+10; munlock A+4 20p; mremap A+14 10p 10p "
		"MAYMOVE|FIXED C+0",
		NULL},
	{"dontunmap-of-untouched-to-beside-itself",
		"mmap A+4 4p anon rw-; mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP A+8; "
		"mremap A+4 8p 9p MAYMOVE|FIXED C+0",
		NULL},
	{"dontunmap-of-what-lies-where-moved-memory-lay",
		"mmap A+4 6p anon rw-; write A+4 1p; mremap A+4 5p 5p MAYMOVE|FIXED C+0; "
		"mmap C+4 9p anon rw-; mremap C+4 9p 9p MAYMOVE|FIXED|DONTUNMAP D+0; "
		"mremap D+0 2p 2p MAYMOVE|FIXED|DONTUNMAP E+0",
		NULL},
	{"dontunmap-of-moved-memory-and-what-is-mapped-beside-it-later",
		"mmap A+4 6p anon rw-; write A+4 1p; mremap A+4 6p 6p MAYMOVE|FIXED|DONTUNMAP C+0; "
		"mremap C+0 6p 6p MAYMOVE|FIXED|DONTUNMAP E+0; mmap C+6 1p anon rw-; "
		"mremap C+5 2p 3p MAYMOVE -",
		NULL},
	{"dontunmap-of-moved-memory-beside-what-is-advised-without-effect",
		"mmap A+20 9p anon rw-; write A+20 1p; mremap A+20 9p 9p "
		"MAYMOVE|FIXED|DONTUNMAP A+11; mremap A+11 9p 9p MAYMOVE|FIXED|DONTUNMAP C+0; "
		"madvise A+20 1p NORMAL; "
		"mremap A+19 2p 2p MAYMOVE|DONTUNMAP E+0 home=D+0",
		NULL},
	{"dontunmap-of-moved-memory-beside-its-like",
		"mmap A+20 8p anon rw-; write A+20 1p; mremap A+20 5p 5p MAYMOVE|FIXED C+0; "
		"mmap C+5 1p anon rw-; mremap C+0 5p 5p MAYMOVE|FIXED|DONTUNMAP E+0; "
		"mremap C+4 2p 3p MAYMOVE -; mremap C+0 5p 5p MAYMOVE|FIXED|DONTUNMAP E+0",
		NULL},
	{"dontunmap-of-head-beside-its-like",
		"mmap C+0 8p anon rw-; madvise C+4 4p DONTDUMP; write C+0 1p; write C+4 1p; "
		"madvise C+4 4p DODUMP; "
		"mremap C+4 2p 2p MAYMOVE|FIXED|DONTUNMAP E+0; mremap C+4 4p 5p MAYMOVE|FIXED D+0",
		NULL},
	{"dontunmap-of-head-of-what-had-something-before-it",
		"mmap A+20 4p anon rw-; write A+20 1p; mmap A+19 1p anon r--; "
		"mremap A+20 4p 4p MAYMOVE|FIXED C+0; "
		"mremap C+0 2p 2p MAYMOVE|FIXED|DONTUNMAP E+0; mremap C+0 4p 5p MAYMOVE|FIXED D+0",
		NULL},
	{"dontunmap-of-one-page-of-what-had-something-before-it",
		"mmap A+20 4p anon rw-; write A+20 1p; mmap A+19 1p anon r--; "
		"mremap A+20 4p 4p MAYMOVE|FIXED C+0; "
		"mremap C+0 1p 1p MAYMOVE|FIXED|DONTUNMAP E+0; mremap C+0 4p 5p MAYMOVE|FIXED D+0",
		NULL},
	{"dontunmap-of-moved-memory-that-grows-in-place-then",
		"mmap A+4 1p anon rw-; write A+4 1p; mremap A+4 1p 1p MAYMOVE|FIXED C+0; "
		"mremap C+0 1p 1p MAYMOVE|FIXED|DONTUNMAP D+0; mremap C+0 1p 2p 0x0 -; "
		"mremap C+0 2p 3p MAYMOVE|FIXED E+0",
		NULL},
	{"dontunmap-of-what-was-left-in-two-and-moved-with-a-hole",
		"mmap A+4 1p anon rw-; mmap A+5 3p anon rw- noreserve; write A+6 1p; "
		"mremap A+6 2p 2p MAYMOVE|FIXED|DONTUNMAP C+0; "
		"mremap C+0 1p 1p MAYMOVE|FIXED|DONTUNMAP D+0; mremap C+0 3p 3p MAYMOVE|FIXED E+0; "
		"mremap E+0 2p 2p MAYMOVE|DONTUNMAP F+0 home=D+10",
		NULL},
	{"dontunmap-page-by-page",
		ANON "mremap A+4 1p 1p MAYMOVE|FIXED|DONTUNMAP C+0; mremap A+5 1p 1p "
		     "MAYMOVE|FIXED|DONTUNMAP C+1;"
		     "mremap A+6 1p 1p MAYMOVE|FIXED|DONTUNMAP C+2; mremap A+8 1p 1p "
		     "MAYMOVE|FIXED|DONTUNMAP C+3",
		NULL},
	{"dontunmap-again-and-again",
		ANON WHOLE
		"write A+4 8p; mremap A+4 8p 8p MAYMOVE|FIXED|DONTUNMAP C+0; write A+4 4p;"
		"mremap A+4 8p 8p MAYMOVE|FIXED|DONTUNMAP C+0; mremap C+0 8p 8p MAYMOVE|FIXED A+4",
		NULL},
	{"dontunmap-onto-a-reservation",
		ANON "mmap C+0 20p anon --- noreserve; mremap A+4 8p 8p MAYMOVE|FIXED|DONTUNMAP "
		     "C+6;" AFTER,
		NULL},
	{"dontunmap-to-anywhere-then-grow",
		ANON "mremap A+4 8p 8p MAYMOVE|DONTUNMAP =0 home=C+0; mremap C+0 8p 12p "
		     "MAYMOVE|FIXED D+0",
		NULL},
	{"dontunmap-of-read-only",
		ANON "mprotect A+4 8p r--;" WHOLE "mprotect A+4 8p rw-; mprotect C+0 8p rw-;" AFTER,
		NULL},
	{"dontunmap-of-none",
		ANON "mprotect A+4 8p ---;" WHOLE "mprotect A+4 8p rw-; mprotect C+0 8p rw-;" AFTER,
		NULL},
	{"dontunmap-of-untouched-none", "mmap A+4 8p anon ---;" WHOLE "mprotect A+4 8p rw-;" AFTER,
		NULL},
	{"dontunmap-of-executable", "mmap A+4 8p anon rwx; write A+4 8p;" WHOLE AFTER, NULL},
	{"dontunmap-of-noreserve", "mmap A+4 8p anon rw- noreserve; write A+4 8p;" WHOLE AFTER,
		NULL},
	KIND("shared", "rw-"),
	KIND("memfd", "rw-"),
	KIND("memfd-ro", "r--"),
	KIND("memfd-private", "rw-"),
	{"dontunmap-of-read-only-private-file",
		"mmap A+4 8p memfd-private r-- off=2; read A+4 8p;" WHOLE
		"read A+4 8p; read C+0 8p",
		NULL},
	KIND("tmpfs", "rw-"),
	KIND("tmpfs-private", "rw-"),
	{"dontunmap-of-part-of-shared",
		"mmap A+4 8p shared rw-; write A+4 8p; mremap A+6 3p 3p MAYMOVE|FIXED|DONTUNMAP "
		"C+0;" AFTER,
		NULL},
	{"dontunmap-of-part-of-private-file",
		"mmap A+4 8p memfd-private rw- off=3; write A+6 2p; read A+4 8p;"
		"mremap A+6 3p 3p MAYMOVE|FIXED|DONTUNMAP C+0;" AFTER,
		NULL},
	{"dontunmap-of-shared-to-anywhere",
		"mmap A+4 8p shared rw-; write A+4 8p; mremap A+4 8p 8p MAYMOVE|DONTUNMAP =0 "
		"home=C+0;" AFTER,
		NULL},
	{"dontunmap-of-shared-past-the-object",
		"mmap A+4 8p memfd rw- off=12; write A+4 8p;" WHOLE "read A+4 8p; read C+0 8p",
		NULL},
	{"dontunmap-of-an-alias",
		"mmap A+4 8p shared rw-; write A+4 8p; mremap A+4 =0 8p MAYMOVE|FIXED B+0;"
		"mremap B+0 8p 8p MAYMOVE|FIXED|DONTUNMAP C+0;" AFTER,
		NULL},
	ADVICE("DONTFORK"),
	ADVICE("WIPEONFORK"),
	ADVICE("DONTDUMP"),
	ADVICE("HUGEPAGE"),
	ADVICE("NOHUGEPAGE"),
	ADVICE("RANDOM"),
	ADVICE("SEQUENTIAL"),
	ADVICE("MERGEABLE"),
	{"dontunmap-keeps-several-attributes",
		ANON "madvise A+4 8p DONTFORK; madvise A+4 8p DONTDUMP; madvise A+4 8p NOHUGEPAGE;"
		     "madvise A+4 8p RANDOM; mprotect A+4 8p r--;" WHOLE "read A+4 2p",
		NULL},
	{"dontunmap-keeps-attributes-of-shared",
		"mmap A+4 8p shared rw-; write A+4 8p; madvise A+4 8p DONTFORK; madvise A+4 8p "
		"SEQUENTIAL;" WHOLE AFTER,
		NULL},
	{"dontunmap-of-part-with-attributes",
		ANON "madvise A+4 8p DONTFORK; madvise A+4 8p DONTDUMP;"
		     "mremap A+6 3p 3p MAYMOVE|FIXED|DONTUNMAP C+0;" AFTER,
		NULL},
	{"dontunmap-of-locked-keeps-lock-at-destination", ANON "mlock A+4 8p;" WHOLE AFTER, NULL},
	{"dontunmap-of-lock-on-fault",
		"mmap A+4 8p anon rw-; mlock2 A+4 8p; write A+4 3p;" WHOLE AFTER, NULL},
	{"dontunmap-of-locked-shared", "mmap A+4 8p shared rw-; mlock A+4 8p;" WHOLE AFTER, NULL},
	{"dontunmap-of-locked-private-file",
		"mmap A+4 8p memfd-private rw-; mlock A+4 8p;" WHOLE AFTER, NULL},
	{"dontunmap-of-part-of-locked",
		ANON "mlock A+4 8p; mremap A+6 3p 3p MAYMOVE|FIXED|DONTUNMAP C+0", NULL},
	{"dontunmap-of-one-locked-page-leaves-the-split",
		ANON "mlock A+6 1p; mremap A+6 1p 1p MAYMOVE|FIXED|DONTUNMAP C+0;" AFTER, NULL},
	{"dontunmap-then-fork",
		ANON WHOLE "write A+4 2p; fork; write A+4 3p; write C+0 3p; join; read A+4 8p",
		NULL},
	{"dontunmap-in-a-child-leaves-the-parent",
		ANON "fork;" WHOLE "write A+4 8p; join; write A+5 1p", NULL},
	{"dontunmap-of-pages-shared-with-a-child", ANON "fork; write A+4 2p; join;" WHOLE AFTER,
		NULL},
	{"dontunmap-with-wipeonfork-then-fork",
		ANON "madvise A+4 8p WIPEONFORK;" WHOLE "write A+4 8p; fork; read A+4 8p; join",
		NULL},
	{"dontunmap-with-dontfork-then-fork",
		ANON "madvise A+4 8p DONTFORK;" WHOLE "fork; read A+4 8p; join", NULL},
	{"dontunmap-of-shared-then-fork",
		"mmap A+4 8p shared rw-; write A+4 8p;" WHOLE
		"fork; write C+0 2p; write A+8 1p; join; read A+4 8p",
		NULL},
	{"dontunmap-source-merges-with-neighbours-again",
		"mmap A+0 4p anon rw-; mmap A+4 8p anon rw-; write A+4 8p; mmap A+12 4p anon "
		"rw-;" WHOLE "write A+4 8p",
		NULL},
	{"dontunmap-source-then-dontneed",
		ANON WHOLE "write A+4 8p; madvise A+4 8p DONTNEED;"
			   "madvise C+0 8p DONTNEED",
		NULL},
	{"dontunmap-source-then-mprotect-part",
		ANON WHOLE "mprotect A+6 2p r--; write A+4 8p; mprotect A+6 2p rw-", NULL},
	{"dontunmap-source-then-shrink-and-grow",
		ANON WHOLE "mremap A+4 8p 4p 0x0 -; mremap A+4 4p 10p 0x0 -; write A+4 10p", NULL},
	{NULL, NULL, NULL},
};
