/* SPDX-License-Identifier: MIT */
/*
 * run.h - the pieces of remap-run besides --pretend
 *
 * run-conf.c merges LIBREMAP_CONF, run-preload.c finds the library and foretells whether it will
 * take effect. Explanations go to the caller's buffer of RM_RUN_WHY bytes, one line without a
 * newline.
 */
#ifndef REMAP_TOOLS_RUN_H
#define REMAP_TOOLS_RUN_H

#include <stdbool.h>

#define RM_RUN_WHY 1024

/*
 * rm_conf_merge - add the k:v items of @add to *@conf (malloc'ed, or NULL), a key's last value wins
 * @check: refuse unknown keys and values (the command line) instead of keeping them (the
 * environment) 0, or -EINVAL with @why and *@conf unchanged, or -ENOMEM.
 */
int rm_conf_merge(char **conf, const char *add, bool check, char *why);

/*
 * rm_preload_find - the path of libremap-preload.so, malloc'ed; or NULL, @why says where it was
 * looked for
 */
char *rm_preload_find(char *why);

/*
 * rm_preload_effective - will the dynamic linker load @library into @command (found as execvp
 * would)? @command NULL: look at the library only. False with @why when not; true when it will, or
 * when nothing can be told.
 */
bool rm_preload_effective(const char *library, const char *command, char *why);

/*
 * rm_command_foreign - is @command a program of another architecture, which --pretend leaves alone?
 */
bool rm_command_foreign(const char *command, char *why);

#endif
