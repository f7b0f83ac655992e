/* SPDX-License-Identifier: MIT */
/*
 * What watch.c, waits.c and sockets.c take over goes on to the next definition in the search
 * order: libc's, or that of another library that has the name as well (UCX, allocators,
 * profilers): it must go on seeing the calls. Found by dlsym in the constructor, the only use of
 * dlsym; a call that comes earlier, or a name that this libc has not, is the bare system call.
 */
#include "shim/next.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>

#include "emul/sys.h"
#include "shim/shim.h"

#define DEFINE(type, name, parameters, arguments) static type(*next_##name) parameters;
RM_NEXT_LIST(DEFINE)
#undef DEFINE

static int (*next_posix_madvise)(void *, size_t, int);
static void (*next_closefrom)(int);
static int (*next_execvpe)(const char *, char *const *, char *const *);

void rm_next_find(void)
{
	/* POSIX's way to turn an object pointer into a function pointer */
#define FIND(type, name, parameters, arguments) *(void **)&next_##name = dlsym(RTLD_NEXT, #name);
	RM_NEXT_LIST(FIND)
#undef FIND
	*(void **)&next_posix_madvise = dlsym(RTLD_NEXT, "posix_madvise");
	*(void **)&next_closefrom = dlsym(RTLD_NEXT, "closefrom");
	*(void **)&next_execvpe = dlsym(RTLD_NEXT, "execvpe");
}

#define RAW(type, name, parameters, ...)                                                           \
	type rm_next_##name parameters                                                             \
	{                                                                                          \
		return next_##name ? next_##name __VA_ARGS__                                       \
				   : (type)rm_shim_errno(raw_##name __VA_ARGS__);                  \
	}

/* The bare system calls, with the parameters of the list. */
#define raw_mmap(a, b, c, d, e, f)    rm_sys_mmap((uintptr_t)(a), b, c, d, e, f)
#define raw_munmap(a, b)	      rm_sys_munmap((uintptr_t)(a), b)
#define raw_mprotect(a, b, c)	      rm_sys_mprotect((uintptr_t)(a), b, c)
#define raw_pkey_mprotect(a, b, c, d) rm_sys_pkey_mprotect((uintptr_t)(a), b, c, d)
#define raw_madvise(a, b, c)	      rm_sys_madvise((uintptr_t)(a), b, c)
#define raw_mlock(a, b)		      rm_sys_mlock((uintptr_t)(a), b)
#define raw_mlock2(a, b, c)	      rm_sys_mlock2((uintptr_t)(a), b, (int)(c))
#define raw_munlock(a, b)	      rm_sys_munlock((uintptr_t)(a), b)
#define raw_mlockall(a)		      rm_syscall(SYS_mlockall, a, 0, 0, 0, 0, 0)
#define raw_munlockall()	      rm_syscall(SYS_munlockall, 0, 0, 0, 0, 0, 0)
#define raw_remap_file_pages(a, b, c, d, e)                                                        \
	rm_syscall(SYS_remap_file_pages, (long)(a), (long)(b), c, (long)(d), e, 0)
#define raw_shmat(a, b, c) rm_syscall(SYS_shmat, a, (long)(b), c, 0, 0, 0)
#define raw_shmdt(a)	   rm_syscall(SYS_shmdt, (long)(a), 0, 0, 0, 0, 0)
#define raw_prctl(a, b, c, d, e)                                                                   \
	rm_syscall(SYS_prctl, a, (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define raw_ioctl(a, b, c) rm_sys_ioctl(a, b, c)
#define raw_close(a)	   rm_sys_close(a)
#ifdef SYS_dup2
#define raw_dup2(a, b) rm_syscall(SYS_dup2, a, b, 0, 0, 0, 0)
#else
#define raw_dup2(a, b)                                                                             \
	((a) == (b) ? rm_syscall(SYS_fcntl, a, F_GETFD, 0, 0, 0, 0) < 0 ? -EBADF : (long)(b)       \
		    : rm_syscall(SYS_dup3, a, b, 0, 0, 0, 0))
#endif
#define raw_dup3(a, b, c)	 rm_syscall(SYS_dup3, a, b, c, 0, 0, 0)
#define raw_close_range(a, b, c) rm_syscall(436, a, b, c, 0, 0, 0) /* 5.9; else ENOSYS, as libc's */

#define raw_execve(a, b, c) rm_syscall(SYS_execve, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define raw_fexecve(a, b, c)                                                                       \
	rm_syscall(SYS_execveat, a, (long)"", (long)(b), (long)(c), AT_EMPTY_PATH, 0)
#define raw_execveat(a, b, c, d, e)                                                                \
	rm_syscall(SYS_execveat, a, (long)(b), (long)(c), (long)(d), e, 0)

#define SIGSET_SIZE		   8 /* the kernel's */
#define raw_epoll_wait(a, b, c, d) rm_syscall(SYS_epoll_pwait, a, (long)(b), c, d, 0, SIGSET_SIZE)
#define raw_epoll_pwait(a, b, c, d, e)                                                             \
	rm_syscall(SYS_epoll_pwait, a, (long)(b), c, d, (long)(e), SIGSET_SIZE)
#define raw_epoll_pwait2(a, b, c, d, e)                                                            \
	rm_syscall(441, a, (long)(b), c, (long)(d), (long)(e), SIGSET_SIZE) /* 5.11 */
#define raw_semtimedop(a, b, c, d)                                                                 \
	rm_syscall(SYS_semtimedop, a, (long)(b), (long)(c), (long)(d), 0, 0)
#define raw_sigtimedwait(a, b, c)                                                                  \
	rm_syscall(SYS_rt_sigtimedwait, (long)(a), (long)(b), (long)(c), SIGSET_SIZE, 0, 0)

#define raw_setsockopt(a, b, c, d, e) rm_syscall(SYS_setsockopt, a, b, c, (long)(d), e, 0)
#define raw_recvfrom(a, b, c, d, e, f)                                                             \
	rm_syscall(SYS_recvfrom, a, (long)(b), (long)(c), d, (long)(e), (long)(f))
#define raw_recv(a, b, c, d)	raw_recvfrom(a, b, c, d, NULL, NULL)
#define raw_recvmsg(a, b, c)	rm_syscall(SYS_recvmsg, a, (long)(b), c, 0, 0, 0)
#define raw_accept4(a, b, c, d) rm_syscall(SYS_accept4, a, (long)(b), (long)(c), d, 0, 0)
#define raw_accept(a, b, c)	raw_accept4(a, b, c, 0)
#define raw_connect(a, b, c)	rm_syscall(SYS_connect, a, (long)(b), c, 0, 0, 0)
#define raw_sendto(a, b, c, d, e, f)                                                               \
	rm_syscall(SYS_sendto, a, (long)(b), (long)(c), d, (long)(e), f)
#define raw_send(a, b, c, d)			raw_sendto(a, b, c, d, NULL, 0)
#define raw_sendmsg(a, b, c)			rm_syscall(SYS_sendmsg, a, (long)(b), c, 0, 0, 0)
#define raw_read(a, b, c)			rm_sys_read(a, b, c)
#define raw_readv(a, b, c)			rm_syscall(SYS_readv, a, (long)(b), c, 0, 0, 0)
#define raw_write(a, b, c)			rm_sys_write(a, b, c)
#define raw_writev(a, b, c)			rm_syscall(SYS_writev, a, (long)(b), c, 0, 0, 0)
#define raw___read_chk(a, b, c, d)		rm_sys_read(a, b, (c) < (d) ? (c) : (d))
#define raw___recv_chk(a, b, c, d, e)		raw_recv(a, b, (c) < (d) ? (c) : (d), e)
#define raw___recvfrom_chk(a, b, c, d, e, f, g) raw_recvfrom(a, b, (c) < (d) ? (c) : (d), e, f, g)

RM_NEXT_LIST(RAW)

/* It returns the error and leaves errno alone; DONTNEED is nothing, as in libc. */
int rm_next_posix_madvise(void *addr, size_t len, int advice)
{
	if (next_posix_madvise)
		return next_posix_madvise(addr, len, advice);
	return advice == MADV_DONTNEED ? 0 : (int)-rm_sys_madvise((uintptr_t)addr, len, advice);
}

/* One descriptor after the other if the kernel is older than 5.9. */
void rm_next_closefrom(int first)
{
	if (next_closefrom) {
		next_closefrom(first);
		return;
	}
	first = first < 0 ? 0 : first;
	if (!rm_syscall(436, first, ~0U, 0, 0, 0, 0))
		return;
	for (int fd = first; fd < 1 << 16; fd++)
		rm_sys_close(fd);
}

/* Without libc's nothing is searched for. */
int rm_next_execvpe(const char *file, char *const argv[], char *const envp[])
{
	return next_execvpe ? next_execvpe(file, argv, envp) : rm_next_execve(file, argv, envp);
}
