/*
 * A server of SFTP (draft-ietf-secsh-filexfer-02) that refuses everything.
 * Runs in postern-shell and in the hop, on what a job sends: of a packet it
 * reads length, type and number, and skips the rest.
 */
#include "config.h"

#include "lib/sftprefuse.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/msg.h"

#define FXP_INIT 1
#define FXP_VERSION 2
#define FXP_STATUS 101
#define FX_PERMISSION_DENIED 3
#define SFTP_VERSION 3

/* What read or write answered; false: the end, or an error. */
static bool
went(ssize_t k, size_t *at)
{
	if (k > 0)
		*at += (size_t)k;
	return k > 0 || (k == -1 && (errno == EINTR || errno == EAGAIN));
}

/* All n bytes; false: the end, an error, or it is too late. */
static bool
get(int fd, uint8_t *p, size_t n, int64_t end_ms)
{
	for (size_t at = 0; at < n;) {
		if (msg_wait(fd, POLLIN, end_ms) != 0 ||
		    !went(read(fd, p + at, n - at), &at))
			return false;
	}
	return true;
}

static bool
skip(int fd, size_t n, int64_t end_ms)
{
	uint8_t d[4096];
	size_t k;

	for (; n > 0; n -= k) {
		k = n < sizeof(d) ? n : sizeof(d);
		if (!get(fd, d, k, end_ms))
			return false;
	}
	return true;
}

static bool
put(int fd, const struct buf *b, int64_t end_ms)
{
	for (size_t at = 0; at < buf_len(b);) {
		if (msg_wait(fd, POLLOUT, end_ms) != 0 ||
		    !went(write(fd, buf_ptr(b) + at, buf_len(b) - at), &at))
			return false;
	}
	return true;
}

/* Its whole last lines, without the last newline. */
static void
shorten(const char **text, size_t *n)
{
	const char *nl;

	while (*n > 0 && (*text)[*n - 1] == '\n')
		(*n)--;
	while (*n > SFTPREFUSE_TEXT_MAX &&
	       (nl = memchr(*text, '\n', *n)) != NULL) {
		*n -= (size_t)(nl + 1 - *text);
		*text = nl + 1;
	}
	if (*n > SFTPREFUSE_TEXT_MAX)
		*n = SFTPREFUSE_TEXT_MAX;
}

static uint32_t
number(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

/* The answer to one packet of that type and number. */
static int
answer(struct buf *b, uint8_t type, uint32_t id, const char *text, size_t n)
{
	int r;

	buf_reset(b);
	if (type == FXP_INIT) {
		if ((r = buf_put_u32(b, 1 + 4)) != 0 ||
		    (r = buf_put_u8(b, FXP_VERSION)) != 0)
			return r;
		return buf_put_u32(b, SFTP_VERSION);
	}
	if ((r = buf_put_u32(b, (uint32_t)(1 + 4 + 4 + 4 + n + 4))) != 0 ||
	    (r = buf_put_u8(b, FXP_STATUS)) != 0 ||
	    (r = buf_put_u32(b, id)) != 0 ||
	    (r = buf_put_u32(b, FX_PERMISSION_DENIED)) != 0 ||
	    (r = buf_put_str(b, text, n)) != 0)
		return r;
	return buf_put_cstr(b, ""); /* in no language that has a tag */
}

void
sftprefuse(int in, int out, const char *text, size_t n, int64_t ms)
{
	int64_t end_ms = msg_now_ms() + ms;
	uint8_t head[9]; /* length, type, number (of INIT: version) */
	struct buf b;
	uint32_t len;

	shorten(&text, &n);
	buf_init(&b, SFTPREFUSE_TEXT_MAX + 64);
	for (size_t i = 0; i < 1 + SFTPREFUSE_TIMES; i++) {
		if (!get(in, head, sizeof(head), end_ms))
			break;
		len = number(head);
		if (len < 5 || len > SFTPREFUSE_PACKET_MAX ||
		    !skip(in, len - 5, end_ms) ||
		    answer(&b, head[4], number(head + 5), text, n) != 0 ||
		    !put(out, &b, end_ms))
			break;
	}
	buf_clear(&b);
}
