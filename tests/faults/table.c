/* SPDX-License-Identifier: MIT */
/*
 * The table of scenarios: at least one for every sort of plan, and for what changes a plan's steps.
 */
#include "tests/faults/faults.h"

const struct scenario scenarios[] = {
	{"twin, anywhere", KIND_ANON, TO_ANYWHERE, 0},
	{"twin, hint", KIND_ANON, TO_HINT, 0},
	{"twin, fixed", KIND_ANON, TO_HOLE, 0},
	{"twin, fixed over a mapping", KIND_ANON, TO_MAPPING, 0},
	{"twin, read-only, advice, policy, locked", KIND_ANON, TO_HOLE, READONLY | ADVICE | LOCKED},
	{"twin, part, locked", KIND_ANON, TO_MAPPING, PART | LOCKED},
	{"twin, executable", KIND_ANON, TO_ANYWHERE, EXECUTABLE},
	{"twin, armed", KIND_ANON, TO_ANYWHERE, ARMED},
	{"twin, armed with events, fixed over a mapping", KIND_ANON, TO_MAPPING, ARMED | EVENTS},
	{"twin, fixed over an armed mapping", KIND_ANON, TO_MAPPING, TARGET_ARMED},
	{"twin, told", KIND_ANON, TO_MAPPING, ARMED | TOLD},
	{"twin late, anywhere", KIND_ANON, TO_ANYWHERE, LATE},
	{"twin late, fixed over a mapping, advice", KIND_ANON, TO_MAPPING, LATE | ADVICE},
	{"twin late, armed, read-only", KIND_ANON, TO_HOLE, LATE | ARMED | READONLY},
	{"grow, anywhere", KIND_ANON, TO_ANYWHERE, PART},
	{"grow, hint, advice", KIND_ANON, TO_HINT, PART | ADVICE},
	{"grow, fixed over a mapping", KIND_ANON, TO_MAPPING, PART},
	{"grow, fixed over an armed mapping", KIND_ANON, TO_MAPPING, PART | TARGET_ARMED},
	{"grow, armed", KIND_ANON, TO_MAPPING, PART | ARMED},
	{"grow, armed with events", KIND_ANON, TO_HOLE, PART | ARMED | EVENTS},
	{"grow, file", KIND_FILE, TO_MAPPING, PART},
	{"file twin", KIND_FILE, TO_ANYWHERE, 0},
	{"file twin, fixed over a mapping, advice", KIND_FILE, TO_MAPPING, ADVICE},
	{"file twin, executable", KIND_FILE, TO_HOLE, EXECUTABLE},
	{"shared twin", KIND_SHARED, TO_ANYWHERE, 0},
	{"shared twin, part, hint", KIND_SHARED, TO_HINT, PART | ADVICE},
	{"shared twin, fixed over a mapping", KIND_SHARED, TO_MAPPING, 0},
	{"shared twin, locked", KIND_SHARED, TO_ANYWHERE, LOCKED},
	{"shared twin, part, armed", KIND_SHARED, TO_HOLE, ARMED | PART},
	{"shared twin, armed with events, locked", KIND_SHARED, TO_MAPPING,
		ARMED | EVENTS | LOCKED},
	{"shared twin, told", KIND_SHARED, TO_HOLE, ARMED | TOLD},
	{"shared twin late, fixed over a mapping", KIND_SHARED, TO_MAPPING, LATE},
	{"shared twin late, part, locked", KIND_SHARED, TO_ANYWHERE, LATE | LOCKED | PART},
	{"second view", KIND_SHARED, TO_ANYWHERE, SECOND_VIEW},
	{"second view, hint", KIND_SHARED, TO_HINT, SECOND_VIEW},
	{"second view, part, locked, fixed over a mapping", KIND_SHARED, TO_MAPPING,
		SECOND_VIEW | PART | LOCKED},
	{"several mappings, fixed over a mapping", KIND_SEVERAL, TO_MAPPING, 0},
	{"several mappings, fixed over an armed mapping", KIND_SEVERAL, TO_MAPPING, TARGET_ARMED},
};
const size_t scenario_count = sizeof(scenarios) / sizeof(scenarios[0]);
