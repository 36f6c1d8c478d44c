/*
 * A recording, or a shell with its operations, as one asciicast v2
 * (https://docs.asciinema.org/manual/asciicast/v2/) for other players: no key
 * and no event but that format's.  Runs in the command line; the text is as a
 * target sent it.
 */
#include "config.h"

#include "audit/replay.h"

#include <inttypes.h>

#include "audit/castread.h"
#include "audit/splice.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/safeopen.h"

/* A line that was read may grow sixfold in escapes. */
#define CAST_LINE_MAX (6 * CASTREAD_LINE_MAX + 64)

static int
put_header(const struct castread_header *h, uint64_t idle_ms, struct buf *b)
{
	struct json j;
	int r;

	json_init(&j, b);
	json_open(&j, '{');
	json_kv_num(&j, "version", 2);
	json_kv_num(&j, "width", h->columns);
	json_kv_num(&j, "height", h->rows);
	if (h->timestamp != 0)
		json_kv_num(&j, "timestamp", h->timestamp);
	if (h->title != NULL)
		json_kv_str(&j, "title", h->title);
	if ((r = json_end(&j)) != 0)
		return r;
	if (idle_ms != 0 &&
	    (r = buf_putf(b, ",\"idle_time_limit\":%" PRIu64 ".%03" PRIu64,
		 idle_ms / 1000, idle_ms % 1000)) != 0)
		return r;
	return buf_put(b, "}\n", 2);
}

static int
put_event(const struct castread_event *ev, struct buf *b)
{
	struct json j;
	int r;

	if ((r = buf_putf(b, "[%" PRIu64 ".%06" PRIu64 ",\"%c\",",
		 ev->at_us / 1000000, ev->at_us % 1000000, ev->code)) != 0)
		return r;
	json_init(&j, b);
	json_strn(&j, (const char *)ev->data, ev->len);
	if ((r = json_end(&j)) != 0)
		return r;
	return buf_put(b, "]\n", 2);
}

static bool
is_of_format(char code)
{
	return code == 'o' || code == 'r' || code == 'm';
}

static int
next_event(struct castread *cr, struct splice *s, struct castread_event *ev)
{
	return s != NULL ? splice_next(s, ev) : castread_next(cr, ev);
}

static int
write_line(int out_fd, struct buf *b)
{
	int r = write_all(out_fd, buf_ptr(b), buf_len(b));

	buf_reset(b);
	return r;
}

static int
copy_events(struct castread *cr, struct splice *s, int out_fd,
    const struct replay_options *o, struct replay_cast *found, struct buf *b)
{
	struct castread_event ev;
	int r = 0;

	while (r == 0 && (o->stop == NULL || *o->stop == 0)) {
		r = next_event(cr, s, &ev);
		if (r == ERR_NOTFOUND)
			return 0;
		if (r == ERR_FORMAT || r == ERR_TOOBIG) {
			found->damaged++;
			r = 0;
			continue;
		}
		if (r != 0 || !is_of_format(ev.code))
			continue;
		if ((r = put_event(&ev, b)) == 0)
			r = write_line(out_fd, b);
	}
	return r;
}

int
replay_cast(struct castread *cr, struct splice *s, int out_fd,
    const struct replay_options *o, struct replay_cast *found)
{
	struct buf b;
	int r;

	*found = (struct replay_cast){ 0 };
	buf_init(&b, CAST_LINE_MAX);
	if ((r = put_header(s != NULL ? splice_header(s) : castread_header(cr),
		 o->idle_ms, &b)) == 0 &&
	    (r = write_line(out_fd, &b)) == 0)
		r = copy_events(cr, s, out_fd, o, found, &b);
	found->cut = s != NULL ? splice_cut(s) : castread_cut(cr);
	buf_clear(&b);
	return r;
}
