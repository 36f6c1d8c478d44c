/*
 * Landlock's system calls.  Runs in every confined process, before its seccomp
 * filter; its input are the tables of lib/sandbox.c.  What a kernel's ABI
 * does not know cannot be asked of it, so each is asked for what it has.
 */
#include "config.h"

#include "lib/landlock.h"

#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "lib/err.h"

/* linux/landlock.h, of which distributions' headers know a part only. */
#define LL_VERSION 1u
#define LL_PATH_BENEATH 1
#define LL_NET_PORT 2
#define LL_NET_BIND (UINT64_C(1) << 0)
#define LL_NET_CONNECT (UINT64_C(1) << 1)
#define LL_SCOPE_ALL UINT64_C(3) /* abstract sockets, signals */

struct ll_ruleset {
	uint64_t fs, net, scoped;
};

struct ll_beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

struct ll_port {
	uint64_t allowed, port;
};

/* What each ABI has: rights to files (a number of low bits), and the ruleset's
 * size with them. */
static const struct {
	unsigned int bits;
	size_t size;
} landlock_abis[] = {
	{ 13, 8 },  /* 1: opening, making, removing */
	{ 14, 8 },  /* 2: linking and renaming between folders */
	{ 15, 8 },  /* 3: truncating */
	{ 15, 16 }, /* 4: TCP */
	{ 16, 16 }, /* 5: ioctl on devices */
	{ 16, 24 }, /* 6: abstract sockets, signals */
};
#define NABIS ((int)(sizeof(landlock_abis) / sizeof(landlock_abis[0])))

static uint64_t
landlock_rights(int abi)
{
	return (UINT64_C(1) << landlock_abis[abi - 1].bits) - 1;
}

int
landlock_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION);
}

int
landlock_open(struct landlock *l, int any_port)
{
	struct ll_ruleset want = { .net = LL_NET_BIND | LL_NET_CONNECT,
		.scoped = LL_SCOPE_ALL };
	int abi;

	*l = (struct landlock){ .abi = 0, .set = -1 };
	if ((abi = landlock_abi()) < 1)
		return 0;
	l->abi = abi < NABIS ? abi : NABIS;
	want.fs = landlock_rights(l->abi);
	if (any_port)
		want.net = LL_NET_BIND;
	l->set = (int)syscall(SYS_landlock_create_ruleset, &want,
	    landlock_abis[l->abi - 1].size, 0);
	return l->set == -1 ? ERR_SYS : 0;
}

int
landlock_allow(
    const struct landlock *l, int at, const char *path, uint64_t allowed)
{
	struct ll_beneath b;
	int r = 0;

	if (l->abi == 0)
		return 0;
	b.allowed = allowed & landlock_rights(l->abi);
	b.fd = openat(at, path, O_PATH | O_CLOEXEC);
	if (b.fd == -1)
		return at == AT_FDCWD && (errno == ENOENT || errno == EACCES)
			   ? 0
			   : ERR_SYS;
	if (syscall(SYS_landlock_add_rule, l->set, LL_PATH_BENEATH, &b, 0) ==
	    -1)
		r = ERR_SYS;
	(void)close(b.fd);
	return r;
}

int
landlock_allow_port(const struct landlock *l, uint16_t port)
{
	const struct ll_port p = { LL_NET_CONNECT, port };

	if (l->abi < 4)
		return 0;
	return syscall(SYS_landlock_add_rule, l->set, LL_NET_PORT, &p, 0) == 0
		   ? 0
		   : ERR_SYS;
}

int
landlock_close(struct landlock *l, int r)
{
	if (l->abi == 0)
		return r;
	if (r == 0 && syscall(SYS_landlock_restrict_self, l->set, 0) == -1)
		r = ERR_SYS;
	(void)close(l->set);
	l->set = -1;
	return r;
}
