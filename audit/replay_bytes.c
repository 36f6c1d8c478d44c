/*
 * What was shown, byte for byte, out of a recording.  Runs in the command line,
 * on a file that a hop wrote: bytes that do not give the text beside them are
 * taken for damage, so that a recording tells its player and this reader the
 * same.
 */
#include "config.h"

#include "audit/replay.h"

#include <string.h>

#include "audit/cast.h"
#include "audit/castread.h"
#include "lib/err.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define BYTES_MAX (CASTREAD_LINE_MAX / 2)

struct copy {
	int out_fd;
	bool pty;
	bool held; /* `bytes` belong to the next output event */
	struct buf bytes;
	struct buf out;
	struct replay_bytes *found;
};

/* An event's hexadecimal digits. */
static int
copy_hold(struct copy *c, const struct castread_event *ev)
{
	uint8_t d[BYTES_MAX];
	size_t n = ev->len / 2;
	int r;

	buf_reset(&c->bytes);
	if (ev->len % 2 != 0 || n > sizeof(d))
		return ERR_FORMAT;
	if ((r = hex_decode((const char *)ev->data, d, n)) != 0)
		return r;
	return buf_put(&c->bytes, d, n);
}

/* As the recorder makes text of bytes: U+FFFD for each that is none. */
static bool
copy_agrees(const struct buf *bytes, const struct castread_event *ev)
{
	static const char unknown[] = "\xef\xbf\xbd";
	const uint8_t *p = buf_ptr(bytes), *as;
	size_t n = buf_len(bytes), at = 0, take, len, k;
	uint32_t cp;

	for (size_t i = 0; i < n; i += take) {
		k = utf8_next(p + i, n - i, &cp);
		take = k == 0 ? 1 : k;
		len = k == 0 ? sizeof(unknown) - 1 : k;
		as = k == 0 ? (const uint8_t *)unknown : p + i;
		if (len > ev->len - at || memcmp(ev->data + at, as, len) != 0)
			return false;
		at += len;
	}
	return at == ev->len;
}

/* Without a terminal "\n" was recorded as "\r\n". */
static int
copy_put(struct copy *c, const uint8_t *p, size_t n)
{
	const uint8_t *nl;
	size_t k;
	int r = 0;

	if (c->pty)
		return write_all(c->out_fd, p, n);
	buf_reset(&c->out);
	while (n > 0 && r == 0) {
		nl = memchr(p, '\n', n);
		k = nl == NULL ? n : (size_t)(nl - p) + 1;
		if (nl != NULL && k > 1 && p[k - 2] == '\r') {
			if ((r = buf_put(&c->out, p, k - 2)) == 0)
				r = buf_put(&c->out, "\n", 1);
		} else {
			r = buf_put(&c->out, p, k);
		}
		p += k;
		n -= k;
	}
	return r != 0
		   ? r
		   : write_all(c->out_fd, buf_ptr(&c->out), buf_len(&c->out));
}

static int
copy_output(struct copy *c, const struct castread_event *ev)
{
	bool held = c->held;

	c->held = false;
	if (!held)
		return copy_put(c, ev->data, ev->len);
	if (copy_agrees(&c->bytes, ev))
		return copy_put(c, buf_ptr(&c->bytes), buf_len(&c->bytes));
	c->found->damaged++;
	return copy_put(c, ev->data, ev->len);
}

static int
copy_event(struct copy *c, const struct castread_event *ev)
{
	static const char ours[] = "postern:";

	if (ev->code == 'o')
		return copy_output(c, ev);
	if (c->held)
		c->found->damaged++;
	c->held = false;
	if (ev->code == CAST_BYTES) {
		if (copy_hold(c, ev) != 0)
			c->found->damaged++;
		else
			c->held = true;
	} else if (ev->code == 'm' && ev->len >= sizeof(ours) - 1 &&
		   memcmp(ev->data, ours, sizeof(ours) - 1) == 0) {
		c->found->left_out = true;
	}
	return 0;
}

int
replay_bytes(int fd, int out_fd, struct replay_bytes *found)
{
	struct copy c = { .out_fd = out_fd, .found = found };
	struct castread *cr = NULL;
	struct castread_event ev;
	int r;

	*found = (struct replay_bytes){ 0 };
	buf_init(&c.bytes, BYTES_MAX);
	buf_init(&c.out, CASTREAD_LINE_MAX);
	if ((r = castread_open(fd, &cr)) != 0)
		goto out;
	c.pty = castread_header(cr)->pty;
	for (;;) {
		r = castread_next(cr, &ev);
		if (r == ERR_FORMAT || r == ERR_TOOBIG) {
			found->damaged++;
			c.held = false;
			continue;
		}
		if (r != 0 || (r = copy_event(&c, &ev)) != 0)
			break;
	}
	r = r == ERR_NOTFOUND ? 0 : r;
	found->cut = castread_cut(cr);
out:
	castread_free(cr);
	buf_clear(&c.out);
	buf_clear(&c.bytes);
	return r;
}
