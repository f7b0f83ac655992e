/* SPDX-License-Identifier: MIT */
/*
 * The name of an errno, as in "EINVAL". Valid until the next call.
 */
#ifndef RM_ERRNAME_H
#define RM_ERRNAME_H

const char *rm_errname(int err);

#endif
