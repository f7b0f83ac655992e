/* SPDX-License-Identifier: MIT */
/*
 * The next definition of each name that watch.c, exec.c, waits.c and sockets.c take over. next.c
 * finds them.
 */
#ifndef RM_NEXT_H
#define RM_NEXT_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

struct epoll_event;
struct iovec;
struct msghdr;
struct sembuf;
struct sockaddr;

/* return type, name, parameters, arguments; next.c has the bare system call of each */
#define RM_NEXT_LIST(X)                                                                            \
	X(void *, mmap, (void *a, size_t b, int c, int d, int e, off_t f), (a, b, c, d, e, f))     \
	X(int, munmap, (void *a, size_t b), (a, b))                                                \
	X(int, mprotect, (void *a, size_t b, int c), (a, b, c))                                    \
	X(int, pkey_mprotect, (void *a, size_t b, int c, int d), (a, b, c, d))                     \
	X(int, madvise, (void *a, size_t b, int c), (a, b, c))                                     \
	X(int, mlock, (const void *a, size_t b), (a, b))                                           \
	X(int, mlock2, (const void *a, size_t b, unsigned int c), (a, b, c))                       \
	X(int, munlock, (const void *a, size_t b), (a, b))                                         \
	X(int, mlockall, (int a), (a))                                                             \
	X(int, munlockall, (void), ())                                                             \
	X(int, remap_file_pages, (void *a, size_t b, int c, size_t d, int e), (a, b, c, d, e))     \
	X(void *, shmat, (int a, const void *b, int c), (a, b, c))                                 \
	X(int, shmdt, (const void *a), (a))                                                        \
	X(int, prctl, (int a, unsigned long b, unsigned long c, unsigned long d, unsigned long e), \
		(a, b, c, d, e))                                                                   \
	X(int, ioctl, (int a, unsigned long b, void *c), (a, b, c))                                \
	X(int, close, (int a), (a))                                                                \
	X(int, dup2, (int a, int b), (a, b))                                                       \
	X(int, dup3, (int a, int b, int c), (a, b, c))                                             \
	X(int, close_range, (unsigned int a, unsigned int b, int c), (a, b, c))                    \
	X(int, execve, (const char *a, char *const *b, char *const *c), (a, b, c))                 \
	X(int, fexecve, (int a, char *const *b, char *const *c), (a, b, c))                        \
	X(int, execveat, (int a, const char *b, char *const *c, char *const *d, int e),            \
		(a, b, c, d, e))                                                                   \
	X(int, epoll_wait, (int a, struct epoll_event *b, int c, int d), (a, b, c, d))             \
	X(int, epoll_pwait, (int a, struct epoll_event *b, int c, int d, const sigset_t *e),       \
		(a, b, c, d, e))                                                                   \
	X(int, epoll_pwait2,                                                                       \
		(int a, struct epoll_event *b, int c, const struct timespec *d,                    \
			const sigset_t *e),                                                        \
		(a, b, c, d, e))                                                                   \
	X(int, semtimedop, (int a, struct sembuf *b, size_t c, const struct timespec *d),          \
		(a, b, c, d))                                                                      \
	X(int, sigtimedwait, (const sigset_t *a, siginfo_t *b, const struct timespec *c),          \
		(a, b, c))                                                                         \
	X(int, setsockopt, (int a, int b, int c, const void *d, unsigned int e), (a, b, c, d, e))  \
	X(ssize_t, recv, (int a, void *b, size_t c, int d), (a, b, c, d))                          \
	X(ssize_t, recvfrom,                                                                       \
		(int a, void *b, size_t c, int d, struct sockaddr *e, unsigned int *f),            \
		(a, b, c, d, e, f))                                                                \
	X(ssize_t, recvmsg, (int a, struct msghdr *b, int c), (a, b, c))                           \
	X(int, accept, (int a, struct sockaddr *b, unsigned int *c), (a, b, c))                    \
	X(int, accept4, (int a, struct sockaddr *b, unsigned int *c, int d), (a, b, c, d))         \
	X(int, connect, (int a, const struct sockaddr *b, unsigned int c), (a, b, c))              \
	X(ssize_t, send, (int a, const void *b, size_t c, int d), (a, b, c, d))                    \
	X(ssize_t, sendto,                                                                         \
		(int a, const void *b, size_t c, int d, const struct sockaddr *e, unsigned int f), \
		(a, b, c, d, e, f))                                                                \
	X(ssize_t, sendmsg, (int a, const struct msghdr *b, int c), (a, b, c))                     \
	X(ssize_t, read, (int a, void *b, size_t c), (a, b, c))                                    \
	X(ssize_t, readv, (int a, const struct iovec *b, int c), (a, b, c))                        \
	X(ssize_t, write, (int a, const void *b, size_t c), (a, b, c))                             \
	X(ssize_t, writev, (int a, const struct iovec *b, int c), (a, b, c))                       \
	X(ssize_t, __read_chk, (int a, void *b, size_t c, size_t d), (a, b, c, d))                 \
	X(ssize_t, __recv_chk, (int a, void *b, size_t c, size_t d, int e), (a, b, c, d, e))       \
	X(ssize_t, __recvfrom_chk,                                                                 \
		(int a, void *b, size_t c, size_t d, int e, struct sockaddr *f, unsigned int *g),  \
		(a, b, c, d, e, f, g))

#define RM_NEXT_DECLARE(type, name, parameters, arguments) type rm_next_##name parameters;
RM_NEXT_LIST(RM_NEXT_DECLARE)
#undef RM_NEXT_DECLARE

/* Younger than the libcs that we are built with, 2.34 and 2.35: their headers may not have them. */
int close_range(unsigned int first, unsigned int last, int flags);
void closefrom(int first);
int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags);
int epoll_pwait2(int epoll, struct epoll_event *events, int max, const struct timespec *timeout,
	const sigset_t *mask);

int rm_next_posix_madvise(void *addr, size_t len, int advice);
void rm_next_closefrom(int first);
int rm_next_execvpe(const char *file, char *const argv[], char *const envp[]);

/* Looks all of them up, once; by the constructor. Before, the bare system calls do. */
void rm_next_find(void);

#endif
