# Prints those lines of a kernel log (dmesg, or a console) that say the kernel itself went wrong.
#
# A program that dies of its own fault is no such line ("segfault at", "traps:"). Left out too:
# lockup and stall reports, which an emulated machine on a busy host produces by being slow; a true
# one shows as a test that runs out of time.
/soft lockup|workqueue lockup|rcu.*(stall|starved)|detected stalls/ { next }
/BUG:|kernel BUG at|WARNING:|Oops:|Kernel panic|general protection fault, |Internal error:/ ||
/INFO: task .* blocked for more than|Bad page (map|state)|Bad rss-counter|list_(add|del) corruption/ ||
/unable to handle|refcount_t: |Out of memory: Killed|oom-kill:/ {
	print
}
