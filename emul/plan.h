/* SPDX-License-Identifier: MIT */
/*
 * The plan: facts + request + features -> an ordered list of steps. Pure, printable, testable
 * without a kernel.
 */
#ifndef RM_PLAN_H
#define RM_PLAN_H

#include "emul/facts.h"
#include "emul/features.h"
#include "emul/types.h"

/* Places that steps speak of; their addresses are known when the plan is executed. */
enum rm_place {
	RM_NOWHERE,
	RM_SOURCE,  /* the old range */
	RM_TARGET,  /* the new range */
	RM_TWIN,    /* the replacement for the source, made beside it */
	RM_SCRATCH, /* one page, for RM_OP_HEAL */
	RM_ASIDE,   /* room for the source, when it has been emptied, and for its pages on trial */
	RM_PLACES
};

enum rm_op {
	RM_OP_NATIVE,  /* the call as it is */
	RM_OP_RESERVE, /* map PROT_NONE at the hint, or anywhere, or (FIXED) over the destination */
	RM_OP_MAP,     /* make the empty twin: arg = rm_map_how */
	RM_OP_UNLOCK,  /* munlock; arg: the program's own lock */
	RM_OP_LOCK,    /* mlock, or mlock2 ONFAULT: arg */
	RM_OP_PROTECT, /* arg = PROT_ */
	/* made writable for a moment, so that it is charged; not to succeed is no harm */
	RM_OP_CHARGE,
	/* written to, for its anon_vma; not to succeed is no harm; arg: only if it has merged */
	RM_OP_TOUCH,
	RM_OP_ADVISE,	 /* arg = MADV_ */
	RM_OP_BIND,	 /* the source's NUMA policy */
	RM_OP_NAME,	 /* the source's anonymous name */
	RM_OP_APART,	 /* it will not merge where it goes; no harm if it does */
	RM_OP_STOP,	 /* other threads stand still from here: the window opens */
	RM_OP_VERIFY,	 /* the source is still what the facts say */
	RM_OP_DISARM,	 /* the program's userfaultfd lets go of the source */
	RM_OP_MOVE,	 /* page tables go from place to other; arg: or that is grown over */
	RM_OP_MOVE_TOLD, /* the same, and the program's monitor is told: REMAP event */
	RM_OP_ARM,	 /* and watches it again */
	RM_OP_GROW,	 /* the mapping that ends at the hole grows over it */
	RM_OP_HEAL, /* the source's last page goes to other and comes back, so that all merges */
	/* the source, apart from all, becomes one with what goes on behind it; no harm if not */
	RM_OP_JOIN,
	/*
	 * the source, empty again, becomes one with what goes on behind it; no harm if not; arg:
	 * rm_rejoin_how
	 */
	RM_OP_REJOIN,
	/* the source, empty again, becomes a mapping of its own if it has merged; no harm if not */
	RM_OP_PART,
	RM_OP_RESUME,	 /* the window closes */
	RM_OP_AWAIT,	 /* the monitor has read the event */
	RM_OP_DUPLICATE, /* a second view of place at other (old_size 0) */
	RM_OP_EMPTY,	 /* page tables dropped: MADV_DONTNEED; arg: others run */
	RM_OP_PRESENT,	 /* which pages of the source have page table entries */
	RM_OP_BRING,	 /* the same are brought in at place; no harm if not */
	RM_OP_OPEN,	 /* a userfaultfd of our own that can transfer pages */
	RM_OP_TRANSFER,	 /* pages go from place to other, and count as if touched there */
	RM_OP_NONE,	 /* place has no pages */
};

enum rm_map_how {
	RM_MAP_NONE, /* PROT_NONE first: nothing can be populated by mlockall(MCL_FUTURE) */
	RM_MAP_PROT, /* with the source's protection at once */
};

struct rm_step {
	enum rm_op op;
	enum rm_place place, other;
	int arg;
};

#define RM_PLAN_STEPS 40

struct rm_plan {
	const char *strategy; /* static string, for people and statistics */
	int error;	      /* not 0: there is no plan, the call fails so (-errno) */
	const char *
		reason; /* with error -EINVAL: why libremap will not, NULL if the kernel would not either;
			 * with -EFAULT: why it can not be relocated, likewise */
	unsigned int nsteps;
	struct rm_step steps[RM_PLAN_STEPS];
};

enum rm_variant {
	RM_VARIANT_TWIN_FIRST, /* everything that can fail, fails before anything has moved (A3) */
	RM_VARIANT_DIRECT,     /* the mapping can be made again by one call: in the hole, no twin */
	RM_VARIANT_TWIN_LATE,  /* the twin is made in the hole: peak usage is the kernel's own */
	/* shared memory only: nobody is stopped, page tables are not carried over */
	RM_VARIANT_DUPLICATE,
	RM_VARIANT_RUNNING, /* the same with page tables made again: a small range */
	/* MREMAP_RELOCATE_ANON: of its own, no other variant is tried after it */
	RM_VARIANT_RELOCATE,
};

/*
 * The last VMA of the range, or the only one. piece is the part of the request that lies in
 * facts->vma.
 */
void rm_plan_build(const struct rm_request *piece, const struct rm_facts *facts,
	const struct rm_features *features, enum rm_variant variant, struct rm_plan *plan);

/* The first variant to try: the quickest that is right. Pure. */
enum rm_variant rm_plan_first_variant(const struct rm_facts *facts);

/* Whether nobody need be stopped if the range is small (RM_VARIANT_RUNNING). Pure. */
bool rm_plan_may_run_on(const struct rm_facts *facts);

/*
 * One line for step i of the plan, as people read it: the length. For logs and remap-probe
 * --explain.
 */
size_t rm_plan_describe(const struct rm_plan *plan, unsigned int i, char *buf, size_t size);

#endif
