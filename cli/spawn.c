/*
 * Running a program, and ssh-keyscan in particular.  What it prints of a target
 * is a stranger's: it is taken apart strictly, and kept only as a fingerprint.
 */
#include "config.h"

#include "cli/spawn.h"

#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/msg.h"
#include "ssh/cert.h"
#include "ssh/pubkey.h"

#define SCAN_MS 15000
#define SCAN_MAX (64 * 1024)

static int
start(const char *const *argv, enum spawn_what what, int out, pid_t *pid)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		    lang[] = "LC_ALL=C";
	char *const env[] = { path, lang, NULL };
	posix_spawn_file_actions_t a;
	union {
		const char *const *ro;
		char *const *rw;
	} arg = { .ro = argv }; /* never written through */
	int r;

	if (posix_spawn_file_actions_init(&a) != 0)
		return ERR_NOMEM;
	r = posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&a, out, 1);
	if (r == 0 && what == SPAWN_BOTH)
		r = posix_spawn_file_actions_adddup2(&a, out, 2);
	else if (r == 0)
		r = posix_spawn_file_actions_addopen(
		    &a, 2, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawnp(pid, argv[0], &a, NULL, arg.rw, env);
	(void)posix_spawn_file_actions_destroy(&a);
	return r == 0 ? 0 : r == ENOENT ? ERR_NOTFOUND : ERR_SYS;
}

static int
read_all(int fd, int64_t end_ms, struct buf *out)
{
	uint8_t chunk[4096];
	ssize_t n;
	int r;

	for (;;) {
		if ((r = msg_wait(fd, POLLIN, end_ms)) != 0)
			return r;
		n = read(fd, chunk, sizeof(chunk));
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? 0 : ERR_SYS;
		if ((r = buf_put(out, chunk, (size_t)n)) != 0)
			return r;
	}
}

int
spawn_read(const char *const *argv, enum spawn_what what, int64_t ms,
    struct buf *out, int *code)
{
	int fd[2], status = 0, r;
	pid_t pid = -1;

	if (pipe2(fd, O_CLOEXEC) == -1)
		return ERR_SYS;
	r = start(argv, what, fd[1], &pid);
	(void)close(fd[1]);
	if (r == ERR_NOTFOUND) {
		*code = 127;
		(void)close(fd[0]);
		return 0;
	}
	if (r == 0)
		r = read_all(fd[0], msg_now_ms() + ms, out);
	(void)close(fd[0]);
	if (pid > 0) {
		if (r != 0)
			(void)kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
			;
	}
	*code =
	    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return r;
}

/* "HOST TYPE BASE64": into one key.  Lines of other kinds are passed over. */
static int
scan_line(const char *line, size_t n, struct hostkey_seen *k)
{
	const char *type = memchr(line, ' ', n), *b64, *end = line + n;
	const struct pubkey_kind *kind;
	struct buf blob;
	int r;

	if (line[0] == '#' || type == NULL ||
	    (b64 = memchr(type + 1, ' ', (size_t)(end - type - 1))) == NULL)
		return ERR_FORMAT;
	type++;
	if ((size_t)(b64 - type) >= sizeof(k->type))
		return ERR_TOOBIG;
	memcpy(k->type, type, (size_t)(b64 - type));
	k->type[b64 - type] = '\0';
	b64++;
	buf_init(&blob, PUBKEY_BLOB_MAX);
	if ((r = b64_decode(B64_STD, b64, (size_t)(end - b64), &blob)) == 0 &&
	    (r = pubkey_check(buf_ptr(&blob), buf_len(&blob), &kind)) == 0)
		r = cert_fingerprint(buf_ptr(&blob), buf_len(&blob),
		    k->fingerprint, sizeof(k->fingerprint));
	if (r == 0 && strcmp(kind->name, k->type) != 0)
		r = ERR_FORMAT;
	buf_clear(&blob);
	return r;
}

int
hostkeys_scan(const char *host, uint16_t port,
    struct hostkey_seen key[HOSTKEYS_MAX], size_t *np)
{
	char number[8];
	const char *const argv[] = { "ssh-keyscan", "-T", "5", "-p", number,
		host, NULL };
	const char *at, *end;
	struct buf out;
	size_t n = 0;
	int code, r;

	if (host[0] == '-') /* its getopt knows no "--" in every release */
		return ERR_FORMAT;
	(void)snprintf(number, sizeof(number), "%u", (unsigned int)port);
	buf_init(&out, SCAN_MAX);
	if ((r = spawn_read(argv, SPAWN_OUT, SCAN_MS, &out, &code)) != 0)
		goto out;
	r = ERR_NOTFOUND;
	for (at = buf_cstr(&out); at != NULL && n < HOSTKEYS_MAX;
	     at = *end == '\0' ? NULL : end + 1) {
		end = at + strcspn(at, "\n");
		n += scan_line(at, (size_t)(end - at), &key[n]) == 0;
	}
	r = n == 0 ? ERR_NOTFOUND : 0;
	*np = n;
out:
	buf_clear(&out);
	return r;
}
