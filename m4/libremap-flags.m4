# LIBREMAP_COMPILER_FLAGS
#
# RM_CFLAGS: warnings and visibility for all our own code. --enable-werror makes warnings errors (CI does),
# --enable-sanitizers builds with AddressSanitizer and UBSan (engine and tests; not for LD_PRELOAD use).
AC_DEFUN([LIBREMAP_COMPILER_FLAGS], [
AC_ARG_ENABLE([werror],
	[AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])],
	[], [enable_werror=no])
AC_ARG_ENABLE([sanitizers],
	[AS_HELP_STRING([--enable-sanitizers], [build with AddressSanitizer and UndefinedBehaviorSanitizer])],
	[], [enable_sanitizers=no])
RM_CFLAGS="-std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith"
RM_CFLAGS="$RM_CFLAGS -Wvla -Wundef -Wformat=2 -fvisibility=hidden -fno-strict-aliasing"
AS_IF([test "x$enable_werror" = xyes], [RM_CFLAGS="$RM_CFLAGS -Werror"])
AS_IF([test "x$enable_sanitizers" = xyes], [
	RM_CFLAGS="$RM_CFLAGS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
	AC_SUBST([RM_SAN_LDFLAGS], ["-fsanitize=address,undefined"])
])
AM_CONDITIONAL([SANITIZERS], [test "x$enable_sanitizers" = xyes])
AC_SUBST([RM_CFLAGS])
])
