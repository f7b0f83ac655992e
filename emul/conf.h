/* SPDX-License-Identifier: MIT */
/*
 * LIBREMAP_CONF: the settings, their names and values in one table.
 */
#ifndef RM_CONF_H
#define RM_CONF_H

#include "emul/types.h"

enum rm_mirror_private { RM_MIRROR_CONVERT, RM_MIRROR_EINVAL };
enum rm_mirror_fork { RM_FORK_SNAPSHOT, RM_FORK_SHARE, RM_FORK_DROP };
enum rm_facts_mode { RM_FACTS_CACHED, RM_FACTS_EXACT };
enum rm_raw { RM_RAW_AUTO, RM_RAW_ON, RM_RAW_OFF };

struct rm_conf {
	int native;	    /* 0: never use the kernel's own flag */
	int quiesce;	    /* enum remap_quiesce */
	int mirror_private; /* enum rm_mirror_private: MIRROR of private memory */
	int mirror_fork;    /* enum rm_mirror_fork: what a child has of converted memory */
	int facts;	    /* enum rm_facts_mode */
	int raw;	    /* accepted, without effect yet */
	int maps_view;	    /* likewise */
};

extern const struct rm_conf rm_conf_default;

/*
 * Parses "key:value,key:value" over *conf. 0, or -EINVAL at the first item that is not understood:
 * what is wrong with it goes into message, everything before it has been taken and what follows has
 * not. Pure.
 */
int rm_conf_parse(const char *text, struct rm_conf *conf, char *message, size_t size);

/* "native:yes|no, quiesce:stop|guard|caller, ...": all settings, for --help. The length. Pure. */
size_t rm_conf_describe(char *buf, size_t size);

/*
 * The settings of this process: read once from LIBREMAP_CONF by secure_getenv; wrong items give a
 * warning.
 */
const struct rm_conf *rm_conf(void);

/* LIBREMAP_DISABLE is set to anything but "" and "0". */
bool rm_conf_disabled(void);

#endif
