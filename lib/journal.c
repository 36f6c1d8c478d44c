/*
 * Entries of systemd's journal, by its native protocol.  Runs in the broker's
 * processes, which log; nothing is read.
 */
#include "config.h"

#include "lib/journal.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"

#define JOURNAL_STDOUT "/run/systemd/journal/stdout"
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* The service manager's stream for a unit's output has the journal at its other
 * end, and that has a name; a file, a terminal or a pipe has not. */
static bool
journal_is_stderr(void)
{
	struct sockaddr_un sa = { 0 };
	socklen_t n = sizeof(sa) - 1;

	return getpeername(STDERR_FILENO, (struct sockaddr *)&sa, &n) == 0 &&
	       sa.sun_family == AF_UNIX &&
	       strcmp(sa.sun_path, JOURNAL_STDOUT) == 0;
}

int
journal_open(void)
{
	static const struct sockaddr_un sa = { .sun_family = AF_UNIX,
		.sun_path = JOURNAL_SOCKET };
	int fd;

	if (!journal_is_stderr())
		return -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd != -1 &&
	    connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == -1) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

/* The form with a length: a line break in a value begins no field. */
int
journal_put(struct buf *b, const char *name, const void *value, size_t n)
{
	const uint64_t len = htole64(n);
	int r;

	if ((r = buf_put(b, name, strlen(name))) != 0 ||
	    (r = buf_put(b, "\n", 1)) != 0 ||
	    (r = buf_put(b, &len, sizeof(len))) != 0 ||
	    (r = buf_put(b, value, n)) != 0)
		return r;
	return buf_put(b, "\n", 1);
}

int
journal_send(int fd, const struct buf *entry)
{
	const ssize_t n = (ssize_t)buf_len(entry);

	return n > 0 && write(fd, buf_ptr(entry), (size_t)n) == n ? 0 : ERR_SYS;
}
