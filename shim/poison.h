/* SPDX-License-Identifier: MIT */
/*
 * Include last in every file of shim/ but init.c and next.c: names that must not be used there do
 * not compile. signals.c defines some of them and says so.
 */
#ifndef RM_POISON_H
#define RM_POISON_H

#pragma GCC poison malloc calloc realloc free
#pragma GCC poison printf fprintf snprintf fopen fputs
#pragma GCC poison dlsym dlopen getenv secure_getenv
#ifndef RM_SHIM_SIGNALS
#pragma GCC poison sigaction sigprocmask pthread_sigmask
#endif

#endif
