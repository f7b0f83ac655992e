/* SPDX-License-Identifier: MIT */
/*
 * The planner (emul/plan.c), a pure function: for a table of facts, requests, features and
 * variants, exactly these steps in exactly this order; what is refused, with which errno and
 * reason; and the text of every step.
 *
 * Steps are written in short: "map:T=none" for RM_OP_MAP of the twin, S source, D destination, T
 * twin, P scratch page, A place aside, "move:S>D". After the table, all combinations of attributes
 * are planned and held against the rules that every plan obeys: it fits, the window holds nothing
 * that may fail for want of memory (variant twin first), what was disarmed is armed. Needs nothing.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/userfaultfd.h>

#include "emul/plan.h"
#include "emul/rejoin.h"

#define SRC 0x100000000000UL
#define DST 0x200000000000UL
#define LEN 0x10000UL

#define RO PROT_READ
#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)
#define AC RM_VF_ACCOUNT

#define LATE	  RM_VARIANT_TWIN_LATE
#define DUPLICATE RM_VARIANT_DUPLICATE
#define DIRECT	  RM_VARIANT_DIRECT
#define RUNNING	  RM_VARIANT_RUNNING
#define RELOCATE  RM_VARIANT_RELOCATE

enum { NATIVE_ANON = 1, NATIVE_SHARED = 2, NATIVE_FILE = 4 };

static const struct row {
	const char *what;
	enum rm_kind kind;
	int prot;
	uint32_t vmflags;
	struct {
		const char *name;
		int pkey, natives, uffd_error;
		bool policy, fixed, hint, armed, target_armed, plain_move, unlocked, moved, along, unsure, apart, apart_behind, touched,
			target_mapped, no_uffd_move;
		enum rm_variant variant;
		uint64_t features;
		long start_off, end_off; /* of the mapping, against the range */
	} x;
	int error;
	const char *wanted; /* "strategy: steps", or part of the reason; NULL: no reason */
} rows[] = {
	/* --- private anonymous, whole --- */
	{"anon", RM_KIND_ANON, RW, AC, {.name = NULL}, 0,
		"twin: reserve:D map:T=none unlock:T protect:T=rw- stop verify:S move:S>D "
		"move:T>S resume"},
	{"anon, fixed", RM_KIND_ANON, RW, AC, {.fixed = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S resume"},
	{"anon, hint", RM_KIND_ANON, RW, AC, {.hint = true}, 0,
		"twin: reserve:D map:T=none unlock:T protect:T=rw- stop verify:S move:S>D "
		"move:T>S resume"},
	{"anon, fixed over an armed destination", RM_KIND_ANON, RW, AC,
		{.fixed = true, .target_armed = true}, 0,
		"twin: reserve:D map:T=none unlock:T protect:T=rw- stop verify:S move:S>D "
		"move:T>S resume"},
	{"anon, fixed, late", RM_KIND_ANON, RW, AC, {.fixed = true, .variant = LATE}, 0,
		"twin-late: stop verify:S move:S>D map:S=none unlock:S protect:S=rw- resume"},
	{"anon, late", RM_KIND_ANON, RW, AC, {.variant = LATE}, 0,
		"twin-late: reserve:D stop verify:S move:S>D map:S=none unlock:S protect:S=rw- "
		"resume"},
	{"anon, the first part", RM_KIND_ANON, RW, AC, {.fixed = true, .end_off = 0x3000}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S resume"},
	{"anon, the first part of what was moved", RM_KIND_ANON, RW, AC,
		{.fixed = true, .moved = true, .end_off = 0x3000}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S rejoin:S>D=m resume"},
	{"anon, direct, the first part of what was moved", RM_KIND_ANON, RW, AC,
		{.fixed = true, .unlocked = true, .moved = true, .variant = DIRECT, .end_off = 0x3000}, 0,
		"direct: stop verify:S move:S>D map:S=prot part:S rejoin:S>D=m part:S resume"},
	{"anon, all of what was moved", RM_KIND_ANON, RW, AC, {.fixed = true, .moved = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S resume"},
	{"anon, all of what was moved, beside what moved along", RM_KIND_ANON, RW, AC,
		{.fixed = true, .moved = true, .along = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S "
		"rejoin:S>D=m resume"},
	{"anon, all of what was moved, and it is not known from where it counts", RM_KIND_ANON, RW, AC,
		{.fixed = true, .moved = true, .unsure = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S "
		"rejoin:S>D=c resume"},
	{"anon, all of what was moved, beside what moved along, and that is not known", RM_KIND_ANON, RW,
		AC, {.fixed = true, .moved = true, .along = true, .unsure = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S "
		"rejoin:S>D=mc resume"},
	{"anon, the same, and it does not merge with its neighbour", RM_KIND_ANON, RW, AC,
		{.fixed = true, .moved = true, .along = true, .unsure = true, .apart = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S apart:T move:S>D move:T>S "
		"resume"},
	{"anon, the first part of what was moved, and that is not known", RM_KIND_ANON, RW, AC,
		{.fixed = true, .moved = true, .unsure = true, .end_off = 0x3000}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S "
		"rejoin:S>D=m resume"},
	{"anon, direct, all of what was moved, beside what moved along", RM_KIND_ANON, RW, AC,
		{.fixed = true, .unlocked = true, .moved = true, .along = true, .variant = DIRECT},
		0, "direct: stop verify:S move:S>D map:S=prot rejoin:S>D=m part:S resume"},
	{"anon, all of what was moved, beside what moved along and it does not merge with",
		RM_KIND_ANON, RW, AC,
		{.fixed = true, .moved = true, .along = true, .apart = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S apart:T move:S>D move:T>S "
		"resume"},
	{"anon, all of what was moved, locked, beside what moved along", RM_KIND_ANON, RW,
		AC | RM_VF_LOCKED, {.fixed = true, .moved = true, .along = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S apart:T move:S>D move:T>S "
		"resume"},
	{"anon, the middle of what was moved", RM_KIND_ANON, RW, AC,
		{.fixed = true, .moved = true, .start_off = -0x5000, .end_off = 0x3000}, 0,
		"grow: reserve:P stop verify:S move:S>D grow:S heal:S>P resume"},
	{"anon, the first part of what was moved, armed: its pages are not to be lent", RM_KIND_ANON, RW,
		AC | RM_VF_UFFD_MISSING, {.fixed = true, .armed = true, .moved = true, .end_off = 0x3000}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S disarm:S move:S>D move:T>S arm:S resume"},
	{"file, the first part of what was moved", RM_KIND_FILE, RW, AC,
		{.fixed = true, .moved = true, .end_off = 0x3000}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S resume"},
	{"anon, not charged", RM_KIND_ANON, RW, RM_VF_NORESERVE, {.fixed = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S resume"},
	{"anon, read-only, once written", RM_KIND_ANON, RO, AC, {.fixed = true}, 0,
		"twin: map:T=none unlock:T charge:T protect:T=r-- stop verify:S move:S>D "
		"move:T>S resume"},
	{"anon, read-only, never writable", RM_KIND_ANON, RO, 0, {.fixed = true}, 0,
		"twin: map:T=none unlock:T protect:T=r-- stop verify:S move:S>D move:T>S resume"},
	{"anon, no access, once written", RM_KIND_ANON, 0, AC, {.fixed = true}, 0,
		"twin: map:T=none unlock:T charge:T protect:T=--- stop verify:S move:S>D "
		"move:T>S resume"},
	{"anon, no access", RM_KIND_ANON, 0, 0, {.fixed = true}, 0,
		"twin: map:T=none unlock:T stop verify:S move:S>D move:T>S resume"},
	{"anon, exec", RM_KIND_ANON, RX, 0, {.fixed = true}, 0,
		"twin: map:T=prot unlock:T empty:T stop verify:S move:S>D move:T>S resume"},
	{"anon, exec, once written", RM_KIND_ANON, RX, AC, {.fixed = true}, 0,
		"twin: map:T=prot unlock:T empty:T charge:T protect:T=r-x stop verify:S "
		"move:S>D move:T>S resume"},
	{"anon, exec and writable", RM_KIND_ANON, RW | PROT_EXEC, AC, {.fixed = true}, 0,
		"twin: map:T=prot unlock:T empty:T stop verify:S move:S>D move:T>S resume"},
	{"anon, locked", RM_KIND_ANON, RW, AC | RM_VF_LOCKED, {.fixed = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S apart:T move:S>D move:T>S resume"},
	{"anon, locked until it was moved the last time", RM_KIND_ANON, RW, AC,
		{.fixed = true, .unlocked = true, .apart = true}, 0,
		"twin: map:T=prot stop verify:S apart:T move:S>D move:T>S resume"},
	{"anon, a part, beside one that it does not merge with", RM_KIND_ANON, RW, AC,
		{.fixed = true, .unlocked = true, .apart = true, .end_off = 0x3000}, 0,
		"twin: map:T=prot stop verify:S apart:T move:S>D move:T>S join:S resume"},
	{"anon, a part, between two that it does not merge with", RM_KIND_ANON, RW, AC,
		{.fixed = true,
			.unlocked = true,
			.apart = true,
			.apart_behind = true,
			.end_off = 0x3000},
		0, "twin: map:T=prot stop verify:S move:S>D move:T>S resume"},
	{"anon, before one that it does not merge with", RM_KIND_ANON, RW, AC,
		{.fixed = true, .unlocked = true, .apart_behind = true}, 0,
		"twin: map:T=prot stop verify:S apart:T move:S>D move:T>S resume"},
	{"anon, key", RM_KIND_ANON, RW, AC, {.fixed = true, .pkey = 3}, 0,
		"twin: map:T=none unlock:T protect:T=rw- protect:T=rw- stop verify:S move:S>D "
		"move:T>S resume"},
	{"anon, key, no access", RM_KIND_ANON, 0, 0, {.fixed = true, .pkey = 3}, 0,
		"twin: map:T=none unlock:T protect:T=--- stop verify:S move:S>D move:T>S resume"},
	{"anon, policy", RM_KIND_ANON, RW, AC, {.fixed = true, .policy = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- bind:T stop verify:S move:S>D move:T>S "
		"resume"},
	{"anon, name", RM_KIND_ANON, RW, AC, {.fixed = true, .name = "[anon:gc]"}, 0,
		"twin: map:T=none unlock:T protect:T=rw- name:T stop verify:S move:S>D move:T>S "
		"resume"},
	{"the heap's name is no name to give", RM_KIND_ANON, RW, AC,
		{.fixed = true, .name = "[heap]"}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S resume"},
	{"anon, all advice", RM_KIND_ANON, RW,
		AC | RM_VF_HUGEPAGE | RM_VF_MERGEABLE | RM_VF_DONTFORK | RM_VF_WIPEONFORK |
			RM_VF_DONTDUMP | RM_VF_SEQUENTIAL,
		{.fixed = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- advise:T=HUGEPAGE advise:T=MERGEABLE "
		"advise:T=DONTFORK advise:T=WIPEONFORK advise:T=DONTDUMP advise:T=SEQUENTIAL stop "
		"verify:S move:S>D move:T>S resume"},
	{"anon, the other advice", RM_KIND_ANON, RW, AC | RM_VF_NOHUGEPAGE | RM_VF_RANDOM,
		{.fixed = true}, 0,
		"twin: map:T=none unlock:T protect:T=rw- advise:T=NOHUGEPAGE advise:T=RANDOM stop "
		"verify:S move:S>D move:T>S resume"},
	{"anon, advice and policy, late", RM_KIND_ANON, RO, AC | RM_VF_DONTDUMP,
		{.fixed = true, .variant = LATE, .policy = true, .name = "[anon:x]"}, 0,
		"twin-late: stop verify:S move:S>D map:S=none unlock:S charge:S "
		"protect:S=r-- advise:S=DONTDUMP bind:S name:S resume"},
	{"anon, armed", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING, {.fixed = true, .armed = true},
		0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S disarm:S move:S>D move:T>S "
		"arm:S resume"},
	{"anon, armed, late", RM_KIND_ANON, RW, AC | RM_VF_UFFD_WP,
		{.fixed = true, .armed = true, .variant = LATE}, 0,
		"twin-late: stop verify:S disarm:S move:S>D map:S=none unlock:S protect:S=rw- "
		"arm:S resume"},
	{"anon, armed, other events", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING,
		{.fixed = true,
			.armed = true,
			.features = UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP},
		0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S disarm:S move:S>D move:T>S "
		"arm:S resume"},
	{"anon, EVENT_REMAP", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING,
		{.fixed = true, .armed = true, .features = UFFD_FEATURE_EVENT_REMAP}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S told:S>D move:T>S arm:S "
		"resume await"},
	{"anon, EVENT_REMAP, late", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING,
		{.fixed = true,
			.armed = true,
			.variant = LATE,
			.features = UFFD_FEATURE_EVENT_REMAP},
		0,
		"twin-late: stop verify:S told:S>D map:S=none unlock:S protect:S=rw- arm:S resume "
		"await"},
	/* --- nothing new is locked: it can be mapped as it is --- */
	{"anon, nothing locked", RM_KIND_ANON, RW, AC, {.fixed = true, .unlocked = true}, 0,
		"twin: map:T=prot stop verify:S move:S>D move:T>S resume"},
	{"anon, nothing locked, once written, advice", RM_KIND_ANON, RO, AC | RM_VF_DONTDUMP,
		{.fixed = true, .unlocked = true}, 0,
		"twin: map:T=prot charge:T protect:T=r-- advise:T=DONTDUMP stop verify:S move:S>D "
		"move:T>S resume"},
	{"anon, direct", RM_KIND_ANON, RW, AC,
		{.fixed = true, .unlocked = true, .variant = DIRECT}, 0,
		"direct: stop verify:S move:S>D map:S=prot part:S resume"},
	{"anon, direct, once written, which would be forgotten", RM_KIND_ANON, RO, AC,
		{.fixed = true, .unlocked = true, .touched = true, .variant = DIRECT}, 0,
		"direct: stop verify:S move:S>D map:S=prot charge:S touch:S empty:S protect:S=r-- "
		"resume"},
	{"anon, direct, once written, the first part of what was moved: it can not be rejoined", RM_KIND_ANON,
		RO, AC,
		{.fixed = true, .unlocked = true, .touched = true, .moved = true, .variant = DIRECT,
			.end_off = 0x3000},
		0,
		"direct: stop verify:S move:S>D map:S=prot charge:S touch:S empty:S protect:S=r-- "
		"resume"},
	{"anon, once written, which would be forgotten: not away from its place", RM_KIND_ANON, RO, AC,
		{.fixed = true, .unlocked = true, .touched = true}, 0,
		"twin: map:T=prot charge:T protect:T=r-- stop verify:S move:S>D move:T>S resume"},
	{"anon, direct, anywhere", RM_KIND_ANON, RW, AC, {.unlocked = true, .variant = DIRECT}, 0,
		"direct: reserve:D stop verify:S move:S>D map:S=prot part:S resume"},
	{"anon, direct, armed", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING,
		{.fixed = true, .unlocked = true, .armed = true, .variant = DIRECT}, 0,
		"direct: stop verify:S disarm:S move:S>D map:S=prot arm:S resume"},
	{"anon, direct, armed, advice, name", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING | RM_VF_HUGEPAGE,
		{.unlocked = true, .armed = true, .variant = DIRECT, .name = "[anon:x]"}, 0,
		"direct: reserve:D stop verify:S disarm:S move:S>D map:S=prot advise:S=HUGEPAGE name:S arm:S "
		"resume"},
	{"anon, direct, the last part", RM_KIND_ANON, RW, AC,
		{.fixed = true, .unlocked = true, .variant = DIRECT, .start_off = -0x5000}, 0,
		"grow: stop verify:S move:S>D grow:S resume"},
	{"shared, direct", RM_KIND_SHARED, RW, 0, {.fixed = true, .variant = DIRECT}, 0,
		"direct: stop verify:S move:S>D dup:D>S resume"},
	/* --- a part that does not begin with its mapping --- */
	{"anon, the last part", RM_KIND_ANON, RW, AC, {.fixed = true, .start_off = -0x5000}, 0,
		"grow: stop verify:S move:S>D grow:S resume"},
	{"anon, the middle, anywhere", RM_KIND_ANON, RW, AC,
		{.start_off = -0x5000, .end_off = 0x3000}, 0,
		"grow: reserve:D reserve:P stop verify:S move:S>D grow:S heal:S>P resume"},
	{"anon, the middle, late: growing needs no twin", RM_KIND_ANON, RW, AC,
		{.fixed = true, .variant = LATE, .start_off = -0x5000, .end_off = 0x3000}, 0,
		"grow: reserve:P stop verify:S move:S>D grow:S heal:S>P resume"},
	{"anon, the last part, all attributes grow with it", RM_KIND_ANON, RO, AC | RM_VF_DONTFORK,
		{.fixed = true,
			.start_off = -0x5000,
			.policy = true,
			.pkey = 1,
			.name = "[anon:x]"},
		0, "grow: stop verify:S move:S>D grow:S resume"},
	{"file, the last part, locked: growing would populate", RM_KIND_FILE, RX, RM_VF_LOCKED,
		{.fixed = true, .start_off = -0x5000}, 0,
		"twin: map:T=prot unlock:T empty:T stop verify:S move:S>D move:T>S resume"},
	{"anon, the middle, locked, moved before: it goes on counting", RM_KIND_ANON, RW,
		AC | RM_VF_LOCKED,
		{.fixed = true, .moved = true, .start_off = -0x5000, .end_off = 0x3000}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S=grow "
		"resume"},
	{"anon, the last part, locked, once written: it would lose its charge", RM_KIND_ANON, RO,
		AC | RM_VF_LOCKED, {.fixed = true, .unlocked = true, .start_off = -0x5000}, 0,
		"twin: map:T=prot charge:T protect:T=r-- stop verify:S move:S>D move:T>S=grow resume"},
	{"anon, the middle, locked, moved before, late: as the first one was refused",
		RM_KIND_ANON, RW, AC | RM_VF_LOCKED,
		{.fixed = true, .moved = true, .variant = LATE, .start_off = -0x5000}, 0,
		"twin-late: stop verify:S unlock:S move:S>D map:S=none unlock:S protect:S=rw- lock:D resume"},
	{"anon, locked, late: all that is new counts as locked for a moment", RM_KIND_ANON, RW,
		AC | RM_VF_LOCKED, {.variant = LATE}, 0,
		"twin-late: stop verify:S unlock:S reserve:D move:S>D map:S=none unlock:S protect:S=rw- lock:D "
		"resume"},
	{"anon, locked on fault, late", RM_KIND_ANON, RW, AC | RM_VF_LOCKED | RM_VF_LOCKONFAULT,
		{.hint = true, .target_armed = true, .variant = LATE}, 0,
		"twin-late: reserve:D stop verify:S unlock:S move:S>D map:S=none unlock:S protect:S=rw- "
		"lock:D=onfault resume"},
	{"anon, locked, late, the future is not", RM_KIND_ANON, RW, AC | RM_VF_LOCKED,
		{.unlocked = true, .variant = LATE}, 0,
		"twin-late: reserve:D stop verify:S move:S>D map:S=prot resume"},
	{"anon, the first part, locked, moved before: nothing that could grow", RM_KIND_ANON, RW,
		AC | RM_VF_LOCKED, {.fixed = true, .moved = true, .end_off = 0x3000}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S resume"},
	{"anon, the middle, EVENT_REMAP", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING,
		{.fixed = true,
			.start_off = -0x5000,
			.armed = true,
			.features = UFFD_FEATURE_EVENT_REMAP},
		0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S told:S>D move:T>S arm:S "
		"resume await"},
	{"shared, the middle", RM_KIND_SHARED, RW, 0,
		{.fixed = true, .start_off = -0x5000, .end_off = 0x3000}, 0,
		"twin: dup:S>T stop verify:S move:S>D move:T>S resume"},
	{"file, the middle, over an armed destination", RM_KIND_FILE, RX, 0,
		{.fixed = true, .start_off = -0x5000, .end_off = 0x3000, .target_armed = true}, 0,
		"grow: reserve:D reserve:P stop verify:S move:S>D grow:S heal:S>P resume"},
	/* --- private file --- */
	{"file", RM_KIND_FILE, RW, AC, {.fixed = true, .name = "/lib/x"}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S resume"},
	{"file, text", RM_KIND_FILE, RX, 0, {.name = "/lib/x"}, 0,
		"twin: reserve:D map:T=prot unlock:T empty:T stop verify:S move:S>D move:T>S "
		"resume"},
	{"file, anon native", RM_KIND_FILE, RW, AC, {.fixed = true, .natives = NATIVE_ANON}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S resume"},
	/* --- shared --- */
	{"shared", RM_KIND_SHARED, RW, 0, {.name = NULL}, 0,
		"twin: reserve:D dup:S>T stop verify:S move:S>D move:T>S resume"},
	{"shared, fixed", RM_KIND_SHARED, RW, 0, {.fixed = true}, 0,
		"twin: dup:S>T stop verify:S move:S>D move:T>S resume"},
	{"shared: advice, key and policy come with the second view", RM_KIND_SHARED, RO,
		RM_VF_DONTFORK | RM_VF_RANDOM, {.fixed = true, .pkey = 2, .policy = true}, 0,
		"twin: dup:S>T stop verify:S move:S>D move:T>S resume"},
	{"shared, locked", RM_KIND_SHARED, RW, RM_VF_LOCKED, {.fixed = true}, 0,
		"twin: dup:S>T unlock:T empty:T stop verify:S apart:T move:S>D move:T>S resume"},
	{"shared, late", RM_KIND_SHARED, RW, 0, {.fixed = true, .variant = LATE}, 0,
		"twin-late: stop verify:S move:S>D dup:D>S resume"},
	{"shared, locked, late", RM_KIND_SHARED, RW, RM_VF_LOCKED, {.fixed = true, .variant = LATE},
		0, "twin-late: stop verify:S unlock:S move:S>D dup:D>S lock:D resume"},
	{"shared, locked on fault, late", RM_KIND_SHARED, RW, RM_VF_LOCKED | RM_VF_LOCKONFAULT,
		{.fixed = true, .variant = LATE}, 0,
		"twin-late: stop verify:S unlock:S move:S>D dup:D>S lock:D=onfault resume"},
	{"shared, armed", RM_KIND_SHARED, RW, RM_VF_UFFD_MISSING, {.fixed = true, .armed = true}, 0,
		"twin: dup:S>T stop verify:S disarm:S move:S>D move:T>S arm:S resume"},
	{"shared, EVENT_REMAP: its twin is made disarmed", RM_KIND_SHARED, RW, RM_VF_UFFD_MISSING,
		{.fixed = true, .armed = true, .features = UFFD_FEATURE_EVENT_REMAP}, 0,
		"twin: stop verify:S disarm:S dup:S>T arm:S told:S>D move:T>S arm:S resume await"},
	{"shared, nobody can be stopped", RM_KIND_SHARED, RW, 0, {.variant = DUPLICATE}, 0,
		"duplicate: dup:S>D empty:S"},
	{"shared, nobody can be stopped, fixed", RM_KIND_SHARED, RW, 0,
		{.fixed = true, .variant = DUPLICATE}, 0, "duplicate: dup:S>D empty:S"},
	{"shared, nobody can be stopped, hint", RM_KIND_SHARED, RW, 0,
		{.hint = true, .variant = DUPLICATE}, 0, "duplicate: reserve:D dup:S>D empty:S"},
	{"shared, nobody can be stopped, locked", RM_KIND_SHARED, RW, RM_VF_LOCKED,
		{.fixed = true, .variant = DUPLICATE}, 0,
		"duplicate: unlock:S dup:S>D lock:D empty:S"},
	{"shared, nobody can be stopped, locked on fault", RM_KIND_SHARED, RW,
		RM_VF_LOCKED | RM_VF_LOCKONFAULT, {.variant = DUPLICATE}, 0,
		"duplicate: unlock:S dup:S>D lock:D=onfault empty:S"},
	{"shared, nobody need be stopped", RM_KIND_SHARED, RW, 0,
		{.fixed = true, .variant = RUNNING}, 0,
		"running: present:S verify:S dup:S>D bring:D empty:S"},
	{"shared, nobody need be stopped, hint", RM_KIND_SHARED, RW, 0,
		{.hint = true, .variant = RUNNING}, 0,
		"running: present:S reserve:D verify:S dup:S>D bring:D empty:S"},
	/* --- native --- */
	{"anon, native", RM_KIND_ANON, RW, AC, {.natives = NATIVE_ANON}, 0, "native: native:S>D"},
	{"anon, native, the middle", RM_KIND_ANON, RW, AC,
		{.natives = NATIVE_ANON, .start_off = -0x5000, .end_off = 0x3000}, 0,
		"native: native:S>D"},
	{"anon, the others native", RM_KIND_ANON, RW, AC,
		{.fixed = true, .natives = NATIVE_SHARED | NATIVE_FILE}, 0,
		"twin: map:T=none unlock:T protect:T=rw- stop verify:S move:S>D move:T>S resume"},
	{"shared, native", RM_KIND_SHARED, RW, 0, {.natives = NATIVE_SHARED}, 0,
		"native: native:S>D"},
	{"file, native", RM_KIND_FILE, RW, AC, {.natives = NATIVE_FILE}, 0, "native: native:S>D"},
	{"anon, native, EVENT_REMAP", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING,
		{.natives = NATIVE_ANON, .armed = true, .features = UFFD_FEATURE_EVENT_REMAP}, 0,
		"native: native:S>D"},
	/* one mapping's part of a move without DONTUNMAP is the kernel's, whatever it is */
	{"anon, moved only", RM_KIND_ANON, RW, AC, {.plain_move = true, .fixed = true}, 0,
		"native: native:S>D"},
	{"special, moved only", RM_KIND_SPECIAL, RO, RM_VF_DONTEXPAND,
		{.plain_move = true, .fixed = true}, 0, "native: native:S>D"},
	{"memory tags, moved only", RM_KIND_ANON, RW, AC | RM_VF_MTE,
		{.plain_move = true, .fixed = true}, 0, "native: native:S>D"},
	{"sealed, moved only", RM_KIND_ANON, RW, AC | RM_VF_SEALED,
		{.plain_move = true, .fixed = true}, -EPERM, NULL},
	/* --- refused as every kernel does, whatever is native --- */
	{"hugetlb", RM_KIND_HUGETLB, RW, RM_VF_HUGETLB | RM_VF_DONTEXPAND, {.name = NULL}, -EINVAL,
		NULL},
	{"hugetlb, all native", RM_KIND_HUGETLB, RW, RM_VF_HUGETLB, {.natives = 7}, -EINVAL, NULL},
	{"special", RM_KIND_SPECIAL, RO, RM_VF_DONTEXPAND, {.natives = 7}, -EINVAL, NULL},
	{"sealed", RM_KIND_ANON, RW, AC | RM_VF_SEALED, {.name = NULL}, -EPERM, NULL},
	{"sealed and special: EPERM comes first", RM_KIND_SPECIAL, RO, RM_VF_SEALED, {.name = NULL},
		-EPERM, NULL},
	{"beyond the end", RM_KIND_ANON, RW, AC, {.end_off = -0x1000}, -EFAULT, NULL},
	{"beyond the end of hugetlb: EINVAL comes first", RM_KIND_HUGETLB, RW, 0,
		{.end_off = -0x1000}, -EINVAL, NULL},
	{"sealed, and beyond the end: EPERM comes first", RM_KIND_ANON, RW, RM_VF_SEALED,
		{.end_off = -0x1000}, -EPERM, NULL},
	{"begins above the source", RM_KIND_ANON, RW, AC | RM_VF_SEALED, {.start_off = 0x1000},
		-EFAULT, NULL},
	/* --- relocation --- */
	{"relocate", RM_KIND_ANON, RW, AC, {.plain_move = true, .unlocked = true, .variant = RELOCATE}, 0,
		"relocate: reserve:D open reserve:A map:T=prot stop verify:S move:T>D touch:D empty:D "
		"transfer:S>D move:S>A resume"},
	{"relocate, fixed", RM_KIND_ANON, RW, AC,
		{.plain_move = true, .unlocked = true, .fixed = true, .variant = RELOCATE}, 0,
		"relocate: open reserve:A map:T=prot stop verify:S move:T>D touch:D empty:D transfer:S>D "
		"move:S>A resume"},
	{"relocate, fixed over a mapping: on trial first", RM_KIND_ANON, RW, AC,
		{.plain_move = true, .fixed = true, .target_mapped = true, .variant = RELOCATE}, 0,
		"relocate: open reserve:A unlock:A protect:A=rw- map:T=none unlock:T protect:T=rw- stop "
		"verify:S transfer:S>A move:T>D touch:D empty:D transfer:A>D move:S>A resume"},
	{"relocate, dontunmap", RM_KIND_ANON, RW, AC,
		{.unlocked = true, .fixed = true, .variant = RELOCATE}, 0,
		"relocate: open map:T=prot stop verify:S move:T>D touch:D empty:D transfer:S>D resume"},
	{"relocate, read-only, locked", RM_KIND_ANON, RO, AC | RM_VF_LOCKED,
		{.plain_move = true, .unlocked = true, .fixed = true, .variant = RELOCATE}, 0,
		"relocate: open reserve:A map:T=prot protect:T=rw- stop verify:S unlock:S protect:S=rw- "
		"move:T>D touch:D empty:D transfer:S>D protect:D=r-- lock:D move:S>A resume"},
	{"relocate, no access, dontunmap, onto a mapping", RM_KIND_ANON, 0, AC,
		{.unlocked = true, .fixed = true, .target_mapped = true, .variant = RELOCATE}, 0,
		"relocate: open reserve:A protect:A=rw- map:T=prot protect:T=rw- stop verify:S "
		"protect:S=rw- transfer:S>A move:T>D touch:D empty:D transfer:A>D protect:D=--- "
		"protect:S=--- resume"},
	{"relocate, key", RM_KIND_ANON, RW, AC,
		{.plain_move = true, .unlocked = true, .fixed = true, .pkey = 2, .variant = RELOCATE}, 0,
		"relocate: open reserve:A map:T=prot protect:T=rw- stop verify:S move:T>D touch:D empty:D "
		"transfer:S>D move:S>A resume"},
	{"relocate before 6.8: what has no pages", RM_KIND_ANON, RW, AC | RM_VF_LOCKED,
		{.plain_move = true,
			.unlocked = true,
			.fixed = true,
			.target_mapped = true,
			.no_uffd_move = true,
			.variant = RELOCATE},
		0,
		"relocate: reserve:A map:T=prot stop verify:S none:S unlock:S move:T>D touch:D empty:D "
		"lock:D move:S>A resume"},
	{"relocate, shared", RM_KIND_SHARED, RW, 0, {.variant = RELOCATE}, -EFAULT, "only private anonymous"},
	{"relocate, file", RM_KIND_FILE, RW, AC, {.variant = RELOCATE}, -EFAULT, "only private anonymous"},
	{"relocate, hugetlb", RM_KIND_HUGETLB, RW, 0, {.plain_move = true, .variant = RELOCATE}, -EFAULT,
		"only private anonymous"},
	{"relocate, hugetlb, dontunmap: the kernel's answer", RM_KIND_HUGETLB, RW, 0, {.variant = RELOCATE},
		-EINVAL, NULL},
	{"relocate, sealed: the kernel's answer", RM_KIND_ANON, RW, AC | RM_VF_SEALED, {.variant = RELOCATE},
		-EPERM, NULL},
	{"relocate, beyond the end: the kernel's answer", RM_KIND_ANON, RW, AC,
		{.end_off = -0x1000, .variant = RELOCATE}, -EFAULT, NULL},
	{"relocate, armed", RM_KIND_ANON, RW, AC | RM_VF_UFFD_WP, {.armed = true, .variant = RELOCATE}, -EFAULT,
		"userfaultfd"},
	{"relocate, onto an armed mapping", RM_KIND_ANON, RW, AC,
		{.fixed = true, .target_mapped = true, .target_armed = true, .variant = RELOCATE}, -EFAULT,
		"userfaultfd watches the destination"},
	{"relocate, grows down", RM_KIND_ANON, RW, AC | RM_VF_GROWSDOWN, {.variant = RELOCATE}, -EFAULT,
		"a stack that grows"},
	{"relocate, droppable", RM_KIND_ANON, RW, RM_VF_DROPPABLE, {.variant = RELOCATE}, -EFAULT,
		"droppable"},
	/* --- refused by libremap --- */
	{"EVENT_REMAP and EVENT_UNMAP", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING,
		{.armed = true, .features = UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP},
		-EINVAL, "EVENT_REMAP and EVENT_UNMAP"},
	{"somebody else's userfaultfd", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING,
		{.uffd_error = -ENOENT}, -EINVAL, "only another process"},
	{"nobody knows whose userfaultfd", RM_KIND_SHARED, RW, RM_VF_UFFD_MISSING,
		{.uffd_error = -EMFILE}, -EINVAL, "/proc/self/fd"},
	{"shadow stack", RM_KIND_ANON, RW, AC | RM_VF_SHADOWSTACK, {.name = NULL}, -EINVAL,
		"shadow stack"},
	{"memory tags", RM_KIND_ANON, RW, AC | RM_VF_MTE, {.name = NULL}, -EINVAL, "memory tags"},
	{"memory tags, native", RM_KIND_ANON, RW, AC | RM_VF_MTE, {.natives = 1}, 0,
		"native: native:S>D"},
	{"sealed and memory tags: the kernel's answer", RM_KIND_ANON, RW, RM_VF_SEALED | RM_VF_MTE,
		{.name = NULL}, -EPERM, NULL},
};

static void set_up(const struct row *row, struct rm_facts *facts, struct rm_request *piece,
	struct rm_features *features)
{
	memset(facts, 0, sizeof(*facts));
	facts->kind = row->kind;
	facts->vma.start = SRC + (uintptr_t)row->x.start_off;
	facts->vma.end = SRC + LEN + (uintptr_t)row->x.end_off;
	facts->vma.prot = row->prot;
	facts->vma.shared = row->kind == RM_KIND_SHARED;
	facts->vma.vmflags = row->vmflags;
	facts->vma.have_flags = true;
	facts->vma.pkey = row->x.pkey;
	if (row->x.name)
		strcpy(facts->vma.name, row->x.name);
	facts->policy.set = row->x.policy;
	facts->policy.mode = 2;
	facts->uffd.fd = row->x.armed ? 5 : -1;
	facts->uffd.features = row->x.features;
	facts->uffd_error = row->x.uffd_error;
	facts->target_armed = row->x.target_armed;
	facts->lock_future = !row->x.unlocked;
	facts->moved = row->x.moved;
	facts->moved_along = row->x.along;
	facts->unsure = row->x.unsure;
	facts->apart_before = row->x.apart;
	facts->apart_behind = row->x.apart_behind;
	facts->touched = row->x.touched;
	facts->target_mapped = row->x.target_mapped;
	piece->source = (struct rm_range){SRC, LEN};
	piece->grown = 0;
	piece->target = row->x.fixed || row->x.hint ? DST : 0;
	piece->flags = RM_MAYMOVE | (row->x.plain_move ? 0 : RM_DONTUNMAP) |
		       (row->x.fixed ? RM_FIXED : 0);
	memset(features, 0, sizeof(*features));
	features->native_anon = row->x.natives & NATIVE_ANON;
	features->native_shared = row->x.natives & NATIVE_SHARED;
	features->native_file = row->x.natives & NATIVE_FILE;
	features->task_size = 1UL << 47;
	features->uffd_move = !row->x.no_uffd_move;
}

/* The plan in the short form. */
static void write_short(const struct rm_plan *plan, char *out, size_t size)
{
	static const char *const names[] = {[RM_OP_NATIVE] = "native",
		[RM_OP_RESERVE] = "reserve",
		[RM_OP_MAP] = "map",
		[RM_OP_UNLOCK] = "unlock",
		[RM_OP_LOCK] = "lock",
		[RM_OP_PROTECT] = "protect",
		[RM_OP_CHARGE] = "charge",
		[RM_OP_ADVISE] = "advise",
		[RM_OP_BIND] = "bind",
		[RM_OP_NAME] = "name",
		[RM_OP_APART] = "apart",
		[RM_OP_TOUCH] = "touch",
		[RM_OP_STOP] = "stop",
		[RM_OP_VERIFY] = "verify",
		[RM_OP_DISARM] = "disarm",
		[RM_OP_MOVE] = "move",
		[RM_OP_MOVE_TOLD] = "told",
		[RM_OP_ARM] = "arm",
		[RM_OP_GROW] = "grow",
		[RM_OP_HEAL] = "heal",
		[RM_OP_JOIN] = "join",
		[RM_OP_REJOIN] = "rejoin",
		[RM_OP_PART] = "part",
		[RM_OP_RESUME] = "resume",
		[RM_OP_AWAIT] = "await",
		[RM_OP_DUPLICATE] = "dup",
		[RM_OP_EMPTY] = "empty",
		[RM_OP_PRESENT] = "present",
		[RM_OP_BRING] = "bring",
		[RM_OP_OPEN] = "open",
		[RM_OP_TRANSFER] = "transfer",
		[RM_OP_NONE] = "none"};
	static const char places[] = {[RM_NOWHERE] = '-',
		[RM_SOURCE] = 'S',
		[RM_TARGET] = 'D',
		[RM_TWIN] = 'T',
		[RM_SCRATCH] = 'P',
		[RM_ASIDE] = 'A'};
	size_t at = (size_t)snprintf(out, size, "%s:", plan->strategy);

	for (unsigned int i = 0; i < plan->nsteps; i++) {
		const struct rm_step *s = &plan->steps[i];
		char described[160];

		at += (size_t)snprintf(out + at, size - at, " %s", names[s->op]);
		if (s->place)
			at += (size_t)snprintf(out + at, size - at, ":%c", places[s->place]);
		if (s->other)
			at += (size_t)snprintf(out + at, size - at, ">%c", places[s->other]);
		if (s->op == RM_OP_MAP)
			at += (size_t)snprintf(out + at, size - at, "=%s",
				s->arg == RM_MAP_NONE ? "none" : "prot");
		if (s->op == RM_OP_PROTECT)
			at += (size_t)snprintf(out + at, size - at, "=%c%c%c",
				s->arg & PROT_READ ? 'r' : '-', s->arg & PROT_WRITE ? 'w' : '-',
				s->arg & PROT_EXEC ? 'x' : '-');
		if (s->op == RM_OP_MOVE && s->arg)
			at += (size_t)snprintf(out + at, size - at, "=grow");
		if (s->op == RM_OP_REJOIN)
			at += (size_t)snprintf(out + at, size - at, "=%s%s",
				s->arg & RM_REJOIN_MERGE ? "m" : "",
				s->arg & RM_REJOIN_COUNT ? "c" : "");
		if (s->op == RM_OP_LOCK && s->arg)
			at += (size_t)snprintf(out + at, size - at, "=onfault");
		if (s->op == RM_OP_ADVISE) {
			rm_plan_describe(plan, i, described, sizeof(described));
			at += (size_t)snprintf(
				out + at, size - at, "=%s", strstr(described, "MADV_") + 5);
		}
	}
}

static void exactly_these_steps(void **state)
{
	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct rm_features features;
		struct rm_request piece;
		struct rm_facts facts;
		struct rm_plan plan;
		char text[1000];

		set_up(row, &facts, &piece, &features);
		memset(&plan, 0xa5, sizeof(plan));
		rm_plan_build(&piece, &facts, &features, row->x.variant, &plan);
		print_message("# %s\n", row->what);
		assert_int_equal(plan.error, row->error);
		if (!row->error) {
			write_short(&plan, text, sizeof(text));
			assert_string_equal(text, row->wanted);
			assert_null(plan.reason);
		} else {
			assert_int_equal(plan.nsteps, 0);
			if (row->wanted)
				assert_non_null(strstr(plan.reason, row->wanted));
			else
				assert_null(plan.reason);
		}
	}
}

#define ADVICE                                                                                     \
	(RM_VF_HUGEPAGE | RM_VF_NOHUGEPAGE | RM_VF_MERGEABLE | RM_VF_DONTFORK | RM_VF_WIPEONFORK | \
		RM_VF_DONTDUMP | RM_VF_SEQUENTIAL | RM_VF_RANDOM)

/* Direct is for what one call makes again, with everything that it has, or one and two more. */
static void what_is_direct(void **state)
{
	static const struct row direct[] = {
		{"anon", RM_KIND_ANON, RW, AC, {.unlocked = true}, 1, NULL},
		{"not charged", RM_KIND_ANON, RW, RM_VF_NORESERVE, {.unlocked = true}, 1, NULL},
		{"never writable", RM_KIND_ANON, RO, 0, {.unlocked = true}, 1, NULL},
		{"locked itself", RM_KIND_ANON, RW, AC | RM_VF_LOCKED, {.unlocked = true}, 0, NULL},
		{"armed", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING,
			{.unlocked = true, .armed = true}, 1, NULL},
		{"the heap", RM_KIND_ANON, RW, AC, {.unlocked = true, .name = "[heap]"}, 1, NULL},
		{"shared", RM_KIND_SHARED, RW, RM_VF_DONTFORK, {.policy = true}, 1, NULL},
		{"beside one that it does not merge with", RM_KIND_ANON, RW, AC,
			{.unlocked = true, .apart = true}, 0, NULL},
		{"the future locked", RM_KIND_ANON, RW, AC, {.name = NULL}, 0, NULL},
		{"once writable", RM_KIND_ANON, RO, AC, {.unlocked = true}, 0, NULL},
		{"once writable, which would be forgotten", RM_KIND_ANON, RO, AC,
			{.unlocked = true, .touched = true}, 1, NULL},
		{"writable, not charged", RM_KIND_ANON, RW, 0, {.unlocked = true}, 0, NULL},
		{"key", RM_KIND_ANON, RW, AC, {.unlocked = true, .pkey = 1}, 0, NULL},
		{"policy", RM_KIND_ANON, RW, AC, {.unlocked = true, .policy = true}, 1, NULL},
		{"name", RM_KIND_ANON, RW, AC, {.unlocked = true, .name = "[anon:x]"}, 1, NULL},
		{"policy, name", RM_KIND_ANON, RW, AC,
			{.unlocked = true, .policy = true, .name = "[anon:x]"}, 1, NULL},
		{"policy, name, advice", RM_KIND_ANON, RW, AC | RM_VF_HUGEPAGE,
			{.unlocked = true, .policy = true, .name = "[anon:x]"}, 0, NULL},
		{"two pieces of advice", RM_KIND_ANON, RW, AC | RM_VF_HUGEPAGE | RM_VF_DONTFORK,
			{.unlocked = true}, 1, NULL},
		{"three", RM_KIND_ANON, RW, AC | RM_VF_HUGEPAGE | RM_VF_DONTFORK | RM_VF_DONTDUMP,
			{.unlocked = true}, 0, NULL},
		{"EVENT_REMAP", RM_KIND_ANON, RW, AC | RM_VF_UFFD_MISSING,
			{.unlocked = true, .armed = true, .features = UFFD_FEATURE_EVENT_REMAP}, 0,
			NULL},
		{"file", RM_KIND_FILE, RW, AC, {.unlocked = true}, 0, NULL},
		{"shared, locked", RM_KIND_SHARED, RW, RM_VF_LOCKED, {.unlocked = true}, 0, NULL},
	};
	struct rm_features features;
	struct rm_request piece;
	struct rm_facts facts;

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(direct); i++) {
		print_message("# %s\n", direct[i].what);
		set_up(&direct[i], &facts, &piece, &features);
		assert_int_equal(rm_plan_first_variant(&facts) == DIRECT, direct[i].error);
	}
	for (uint32_t advice = 1; advice; advice <<= 1) {
		const struct row row = {"", RM_KIND_ANON, RW, AC | (advice & ADVICE), {.unlocked = true}, 0, NULL};

		set_up(&row, &facts, &piece, &features);
		assert_true(rm_plan_first_variant(&facts) == DIRECT);
	}
}

/* Nobody need be stopped for a readable mapping of shmem that nobody watches and nothing locks. */
static void who_may_run_on(void **state)
{
	struct rm_facts all;

	(void)state;
	memset(&all, 0, sizeof(all));
	all.kind = RM_KIND_SHARED;
	all.shmem = true;
	all.vma.prot = PROT_READ;
	all.uffd.fd = -1;
	assert_true(rm_plan_may_run_on(&all));
	all.lock_future = true; /* a second view is locked if the first one is */
	assert_true(rm_plan_may_run_on(&all));
	for (int i = 0; i < 7; i++) {
		struct rm_facts facts = all;

		facts.kind = i == 0 ? RM_KIND_ANON : facts.kind;
		facts.shmem = i != 1;
		facts.vma.prot = i == 2 ? PROT_NONE : facts.vma.prot;
		facts.uffd.fd = i == 3 ? 5 : -1;
		facts.target_armed = i == 4;
		facts.vma.vmflags = i == 5 ? RM_VF_LOCKED : i == 6 ? RM_VF_UFFD_WP : 0;
		assert_false(rm_plan_may_run_on(&facts));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_direct),
		cmocka_unit_test(exactly_these_steps),
		cmocka_unit_test(who_may_run_on),
	};

	return unit_run(tests);
}
