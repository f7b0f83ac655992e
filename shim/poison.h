/* SPDX-License-Identifier: MIT */
/*
 * Include last in every file of shim/ but init.c: names that must not be used there do not compile.
 */
#ifndef RM_POISON_H
#define RM_POISON_H

#pragma GCC poison malloc calloc realloc free
#pragma GCC poison printf fprintf snprintf fopen fputs
#pragma GCC poison dlsym dlopen getenv secure_getenv
#pragma GCC poison sigaction sigprocmask pthread_sigmask

#endif
