/*
 * scenarios-destination.c - what becomes of an occupied destination (semantics 1.4), of
 * neighbours, and moves over several mappings (section 5).
 *
 * The first group are errors of MREMAP_FIXED, where 6.17 and later leave the destination intact
 * and older kernels destroyed it.
 */
#include "oracle.h"

#define SOURCE "mmap A+4 4p anon rw-; write A+4 4p;"
#define BUSY   "mmap B+0 8p anon rw-; write B+0 8p;"
#define THREE                                                                                      \
	"mmap A+0 2p anon rw-; write A+0 2p; mmap A+2 2p anon r--; mmap A+4 2p shared rw-; write " \
	"A+4 2p;"                                                                                  \
	"mmap A+6 2p memfd-private rw-; write A+6 1p; mmap A+8 2p memfd rw- off=2; read A+8 2p;"
#define GAPS                                                                                       \
	"mmap A+0 2p anon rw-; write A+0 2p; mmap A+4 2p anon rw-; write A+4 2p; mmap A+9 1p "     \
	"memfd rw-;"                                                                               \
	"write A+9 1p; mmap B+0 14p anon rw-; write B+0 14p;"

const struct oracle_scenario oracle_scenarios_destination[] = {
	{"destination-intact-when-flags-are-wrong",
		SOURCE BUSY "mremap A+4 4p 4p FIXED B+0; mremap A+4 4p 4p MAYMOVE|FIXED|0x40 B+0",
		NULL},
	{"destination-intact-when-source-is-unmapped",
		BUSY
		"mremap A+4 4p 4p MAYMOVE|FIXED B+0; mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP B+0;"
		"mremap A+4 2p 4p MAYMOVE|FIXED B+0; mremap A+4 4p 2p MAYMOVE|FIXED B+0;"
		"mremap A+4 =0 4p MAYMOVE|FIXED B+0",
		NULL},
	{"destination-intact-when-length-passes-the-end",
		SOURCE BUSY
		"mremap A+4 5p 7p MAYMOVE|FIXED B+0; mremap A+6 4p 6p MAYMOVE|FIXED B+0",
		NULL},
	{"destination-intact-when-private-length-is-zero",
		SOURCE BUSY "mremap A+4 =0 4p MAYMOVE|FIXED B+0", NULL},
	{"destination-intact-when-overlapping",
		"mmap A+4 8p anon rw-; write A+4 8p; mremap A+4 4p 4p MAYMOVE|FIXED A+6", NULL},
	{"destination-intact-when-dontunmap-lengths-differ",
		SOURCE BUSY "mremap A+4 4p 2p MAYMOVE|FIXED|DONTUNMAP B+0", NULL},
	{"destination-replaced-only-where-the-source-lands",
		SOURCE BUSY
		"mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP B+2; write A+4 1p; read A+4 4p",
		NULL},
	{"destination-replaced-by-plain-move", SOURCE BUSY "mremap A+4 4p 4p MAYMOVE|FIXED B+2",
		NULL},
	{"destination-of-another-kind-is-replaced",
		SOURCE
		"mmap B+0 8p memfd rw-; write B+0 8p; mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP B+2;"
		"mmap C+0 8p shared rw-; write C+0 8p; mremap B+2 4p 4p MAYMOVE|FIXED|DONTUNMAP "
		"C+2;"
		"mmap D+0 8p anon --- noreserve; mremap C+2 4p 4p MAYMOVE|FIXED|DONTUNMAP D+2",
		NULL},
	{"destination-over-a-hole-and-two-mappings",
		SOURCE "mmap B+0 1p anon rw-; write B+0 1p; mmap B+3 2p anon r--;"
		       "mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP B+0",
		NULL},
	{"shrinking-move-cuts-the-source-tail",
		SOURCE BUSY "mremap A+4 4p 2p MAYMOVE|FIXED B+0; write B+0 3p", NULL},
	{"growing-move-extends", SOURCE BUSY "mremap A+4 4p 6p MAYMOVE|FIXED B+0; write B+4 2p",
		NULL},
	{"move-next-to-itself-does-not-merge-what-was-touched",
		SOURCE "mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP A+8", NULL},
	{"untouched-move-next-to-itself-merges",
		"mmap A+4 4p anon rw-; mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP A+8", NULL},
	{"untouched-move-merges-with-both-neighbours",
		"mmap A+4 4p anon rw-; mmap B+0 2p anon rw-; mmap B+6 2p anon rw-;"
		"mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP B+2",
		NULL},
	{"moved-away-and-home-merges-again",
		"mmap A+0 12p anon rw-; write A+0 12p; mremap A+4 4p 4p MAYMOVE|FIXED B+4;"
		"mremap B+4 4p 4p MAYMOVE|FIXED A+4",
		NULL},
	{"dontunmap-away-and-home-again",
		"mmap A+0 12p anon rw-; write A+0 12p; mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP "
		"B+4;"
		"mremap B+4 4p 4p MAYMOVE|FIXED|DONTUNMAP A+4; write A+4 1p",
		NULL},
	{"multi-move-takes-all-kinds", THREE "mremap A+0 10p 10p MAYMOVE|FIXED C+5", NULL},
	{"multi-dontunmap-empties-all-kinds",
		THREE "mremap A+0 10p 10p MAYMOVE|FIXED|DONTUNMAP C+5; write A+0 10p", NULL},
	{"multi-move-keeps-gaps-and-what-lies-in-them", GAPS "mremap A+0 12p 12p MAYMOVE|FIXED B+1",
		NULL},
	{"multi-dontunmap-keeps-gaps", GAPS "mremap A+0 12p 12p MAYMOVE|FIXED|DONTUNMAP B+1", NULL},
	{"multi-move-starting-in-a-hole-is-efault",
		GAPS
		"mremap A+2 8p 8p MAYMOVE|FIXED B+1; mremap A+3 7p 7p MAYMOVE|FIXED|DONTUNMAP B+1",
		NULL},
	{"multi-move-of-parts",
		GAPS
		"mremap A+1 4p 4p MAYMOVE|FIXED B+1; mremap A+5 5p 5p MAYMOVE|FIXED|DONTUNMAP B+7",
		NULL},
	{"multi-move-needs-equal-lengths",
		THREE "mremap A+0 6p 8p MAYMOVE|FIXED C+0; mremap A+0 6p 5p MAYMOVE|FIXED C+10",
		NULL},
	{"multi-move-by-hint-is-efault", THREE "mremap A+0 6p 6p MAYMOVE|DONTUNMAP C+0", NULL},
	{"multi-move-overlapping-is-einval", THREE "mremap A+0 6p 6p MAYMOVE|FIXED A+5", NULL},
	{"shrink-across-mappings-unmaps-the-tail", THREE "mremap A+0 8p 3p 0x0 -", NULL},
	{"shrink-with-a-kept-part-past-the-end-is-efault",
		THREE "mremap A+0 10p 5p 0x0 -; mremap A+0 10p 5p MAYMOVE|FIXED C+0", NULL},
	{NULL, NULL, NULL},
};
