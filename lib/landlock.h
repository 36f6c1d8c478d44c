/*
 * Landlock, as far as the kernel has it: rights to files, and from later ABIs
 * on to TCP ports, abstract sockets and signals (landlock(7)).
 */
#ifndef POSTERN_LIB_LANDLOCK_H
#define POSTERN_LIB_LANDLOCK_H

#include <stdint.h>

#define LL_FS_WRITE_FILE (UINT64_C(1) << 1)
#define LL_FS_READ_FILE (UINT64_C(1) << 2)
#define LL_FS_READ_DIR (UINT64_C(1) << 3)
#define LL_FS_REMOVE_FILE (UINT64_C(1) << 5)
#define LL_FS_MAKE_DIR (UINT64_C(1) << 7)
#define LL_FS_MAKE_REG (UINT64_C(1) << 8)
#define LL_FS_TRUNCATE (UINT64_C(1) << 14)

#define LL_READ (LL_FS_READ_FILE | LL_FS_READ_DIR)
#define LL_KEEP                                                                \
	(LL_READ | LL_FS_WRITE_FILE | LL_FS_REMOVE_FILE | LL_FS_MAKE_DIR |     \
	    LL_FS_MAKE_REG | LL_FS_TRUNCATE)

struct landlock {
	int abi; /* 0: this kernel has none, and all below does nothing */
	int set;
};

/* The kernel's; below 1: it has none. */
int landlock_abi(void);
/* Nothing is allowed but what is said afterwards; any_port: TCP connections go
 * anywhere.  0, or ERR_SYS. */
int landlock_open(struct landlock *l, int any_port);
/* `allowed` below path, seen from the folder `at`; a path from AT_FDCWD that
 * is not there or not to be seen is left out. */
int landlock_allow(
    const struct landlock *l, int at, const char *path, uint64_t allowed);
int landlock_allow_port(const struct landlock *l, uint16_t port);
/* In force, for good, and closed; r: how it went so far. */
int landlock_close(struct landlock *l, int r);

#endif
