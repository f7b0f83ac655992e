/* SPDX-License-Identifier: MIT */
/*
 * remap-probe --explain: a mapping described in words, and the plan that the engine would make for
 * it.
 */
#ifndef RM_EXPLAIN_H
#define RM_EXPLAIN_H

#include <stddef.h>
#include <stdio.h>

/* The attributes that explain_mapping knows, for --help. */
void explain_list(FILE *out);

/* Prints the plan. 0, or -EINVAL with the reason in problem and nothing printed. */
int explain_mapping(const char *description, FILE *out, char *problem, size_t size);

#endif
