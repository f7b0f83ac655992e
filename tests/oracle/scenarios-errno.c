/*
 * scenarios-errno.c - which error each wrong call gets, and which odd calls succeed (semantics
 * 1.3).
 *
 * Every scenario is observed in full after each operation: an error must also have changed
 * nothing, unless the name says what it destroys. Flag bits 8 and 16 are tried without
 * MREMAP_MAYMOVE only: with it they are libremap's own.
 */
#include "oracle.h"

#define SOURCE "mmap A+4 4p anon rw-; write A+4 4p;"
#define SHARED "mmap A+4 4p shared rw-; write A+4 4p;"
#define BUSY   "mmap B+0 4p anon rw-; write B+0 4p;"

const struct oracle_scenario oracle_scenarios_errno[] = {
	{"flag-bits-unknown-are-einval",
		SOURCE
		"mremap A+4 4p 4p 0x8 -; mremap A+4 4p 4p 0x10 -; mremap A+4 4p 4p MAYMOVE|0x20 -;"
		"mremap A+4 4p 4p MAYMOVE|0x40000000 -; mremap A+4 4p 4p 0x80000000 -;"
		"mremap A+4 4p 4p 0xffffffff B+0",
		NULL},
	{"fixed-without-maymove-is-einval",
		SOURCE BUSY "mremap A+4 4p 4p FIXED B+0; mremap A+4 4p 4p FIXED|DONTUNMAP B+0",
		NULL},
	{"dontunmap-without-maymove-is-einval",
		SOURCE BUSY "mremap A+4 4p 4p DONTUNMAP -; mremap A+4 4p 4p DONTUNMAP B+0", NULL},
	{"source-unaligned-is-einval",
		SOURCE BUSY
		"mremap A+4:1 4p 4p MAYMOVE -; mremap A+4:1 4p 2p 0x0 -;"
		"mremap A+4:2048 4p 4p MAYMOVE|FIXED B+0; mremap A+4:1 1p 1p MAYMOVE|DONTUNMAP =0",
		NULL},
	{"new-length-zero-is-einval",
		SOURCE BUSY
		"mremap A+4 4p =0 0x0 -; mremap A+4 4p =0 MAYMOVE -;"
		"mremap A+4 4p =0 MAYMOVE|FIXED B+0; mremap A+4 =0 =0 MAYMOVE|DONTUNMAP =0",
		NULL},
	{"new-length-beyond-address-space-is-einval",
		SOURCE BUSY
		"mremap A+4 4p =ffffffffffffffff 0x0 -; mremap A+4 4p =ffffffffffffe000 MAYMOVE -;"
		"mremap A+4 4p =1000000000000000 MAYMOVE -;"
		"mremap A+4 4p =1000000000000000 MAYMOVE|FIXED B+0",
		NULL},
	{"no-op-over-holes-succeeds",
		SOURCE "mremap A+4 =10000000000 =10000000000 0x0 -;"
		       "mremap A+4 =10000000000 =10000000000 MAYMOVE -",
		NULL},
	{"shrink-over-holes-cuts-everything-behind", SOURCE BUSY "mremap A+4 =10000000000 2p 0x0 -",
		NULL},
	{"unmapped-source-is-efault",
		"mremap A+4 4p 4p 0x0 -; mremap A+4 4p 2p 0x0 -; mremap A+4 4p 8p 0x0 -;"
		"mremap A+4 4p 8p MAYMOVE -; mremap A+4 4p 4p MAYMOVE|DONTUNMAP =0;"
		"mremap A+4 =0 4p MAYMOVE -",
		NULL},
	{"unaligned-new-address-is-ignored-without-fixed",
		SOURCE
		"mremap A+4 4p 4p MAYMOVE B+0:123; mremap A+4 4p 6p MAYMOVE B+0:123 home=C+0;"
		"mremap A+4 6p 4p 0x0 B+0:77",
		NULL},
	{"fixed-unaligned-destination-is-einval",
		SOURCE BUSY "mremap A+4 4p 4p MAYMOVE|FIXED B+0:1;"
			    "mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP B+0:1",
		NULL},
	{"fixed-destination-in-kernel-space-is-einval",
		SOURCE "mremap A+4 4p 4p MAYMOVE|FIXED =1000000000000000;"
		       "mremap A+4 4p 4p MAYMOVE|FIXED =fffffffffffff000;"
		       "mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP =1000000000000000",
		NULL},
	{"hint-unaligned-or-out-of-range-is-einval",
		SOURCE "mremap A+4 4p 4p MAYMOVE|DONTUNMAP B+0:1;"
		       "mremap A+4 4p 4p MAYMOVE|DONTUNMAP =1000000000000000;"
		       "mremap A+4 4p 4p MAYMOVE|DONTUNMAP =fffffffffffff000",
		NULL},
	{"hint-overlapping-source-is-einval",
		SOURCE
		"mremap A+4 4p 4p MAYMOVE|DONTUNMAP A+4; mremap A+4 4p 4p MAYMOVE|DONTUNMAP A+6;"
		"mremap A+4 4p 4p MAYMOVE|DONTUNMAP A+1; mremap A+4 4p 4p MAYMOVE|DONTUNMAP A+8",
		NULL},
	{"fixed-overlapping-source-is-einval",
		SOURCE
		"mremap A+4 4p 4p MAYMOVE|FIXED A+4; mremap A+4 4p 4p MAYMOVE|FIXED A+7;"
		"mremap A+4 4p 4p MAYMOVE|FIXED A+1; mremap A+4 4p 2p MAYMOVE|FIXED A+6;"
		"mremap A+4 4p 4p MAYMOVE|FIXED|DONTUNMAP A+5; mremap A+4 2p 4p MAYMOVE|FIXED A+2",
		NULL},
	{"dontunmap-lengths-differ-is-einval",
		SOURCE
		"mremap A+4 4p 2p MAYMOVE|DONTUNMAP =0; mremap A+4 2p 4p MAYMOVE|DONTUNMAP =0;"
		"mremap A+4 =0 4p MAYMOVE|DONTUNMAP =0; mremap A+4 4p 5p MAYMOVE|FIXED|DONTUNMAP "
		"B+0",
		NULL},
	{"dontunmap-lengths-are-rounded-before-compared",
		SOURCE "mremap A+4 4p-4095 4p MAYMOVE|DONTUNMAP|FIXED B+0;"
		       "mremap B+0 4p 4p-1 MAYMOVE|DONTUNMAP|FIXED C+0;"
		       "mremap C+0 =1 1p MAYMOVE|DONTUNMAP|FIXED D+0",
		NULL},
	{"hint-free-is-taken", SOURCE "mremap A+4 4p 4p MAYMOVE|DONTUNMAP C+3", NULL},
	{"hint-occupied-goes-elsewhere",
		SOURCE BUSY
		"mremap A+4 4p 4p MAYMOVE|DONTUNMAP B+2 home=C+0; write A+4 1p; read C+0 4p",
		NULL},
	{"hint-null-goes-elsewhere", SOURCE "mremap A+4 4p 4p MAYMOVE|DONTUNMAP =0 home=C+0", NULL},
	{"duplicate-of-shared-without-maymove-is-enomem", SHARED "mremap A+4 =0 4p 0x0 -", NULL},
	{"duplicate-of-shared-aliases",
		SHARED "mremap A+4 =0 4p MAYMOVE|FIXED B+0; write B+0 1p; read A+4 4p;"
		       "mremap A+4 =0 4p MAYMOVE - home=C+0; write C+1 1p",
		NULL},
	{"duplicate-of-private-is-einval",
		SOURCE BUSY "mremap A+4 =0 4p MAYMOVE -;"
			    "mremap A+4 =0 4p MAYMOVE|FIXED B+0",
		NULL},
	{"duplicate-of-private-file-is-einval",
		"mmap A+4 4p memfd-private rw-; write A+4 1p; mremap A+4 =0 4p MAYMOVE|FIXED B+0",
		NULL},
	{"duplicate-of-read-only-file-aliases",
		"mmap A+4 4p memfd-ro r--; read A+4 4p; mremap A+4 =0 4p MAYMOVE|FIXED B+0;"
		"mprotect B+0 4p rw-",
		NULL},
	{"duplicate-longer-than-the-object-succeeds",
		"mmap A+4 4p memfd rw- off=14; read A+4 4p; mremap A+4 =0 8p MAYMOVE|FIXED B+0;"
		"read B+0 8p",
		NULL},
	{"duplicate-with-dontunmap-is-einval",
		SHARED "mremap A+4 =0 4p MAYMOVE|FIXED|DONTUNMAP B+0", NULL},
	{"duplicate-onto-itself-destroys-the-mapping", SHARED "mremap A+4 =0 4p MAYMOVE|FIXED A+4",
		NULL},
	{"duplicate-around-the-source-is-einval", SHARED "mremap A+4 =0 4p MAYMOVE|FIXED A+2",
		NULL},
	{"dontunmap-past-the-end-is-efault",
		SOURCE
		"mremap A+4 5p 5p MAYMOVE|DONTUNMAP =0; mremap A+6 4p 4p MAYMOVE|DONTUNMAP C+0",
		NULL},
	{"dontunmap-across-two-mappings-is-efault",
		SOURCE "mmap A+8 4p anon r--; mremap A+4 8p 8p MAYMOVE|DONTUNMAP =0;"
		       "mremap A+6 4p 4p MAYMOVE|DONTUNMAP C+0",
		NULL},
	{"grow-past-the-end-is-efault",
		SOURCE "mremap A+4 5p 8p MAYMOVE - home=C+0; mremap A+4 5p 8p MAYMOVE|FIXED C+0;"
		       "mremap A+4 5p 8p 0x0 -",
		NULL},
	{"grow-in-place-blocked-is-enomem", SOURCE "mmap A+8 1p anon r--; mremap A+4 4p 5p 0x0 -",
		NULL},
	{"grow-of-a-middle-moves-or-is-enomem",
		SOURCE "mremap A+5 2p 3p 0x0 -; mremap A+5 2p 3p MAYMOVE - home=C+0", NULL},
	{NULL, NULL, NULL},
};
