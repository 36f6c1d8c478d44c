/*
 * postern status: the alarms of late, from the end of the ledger.  Runs as
 * whoever asks; who may not read the ledger is not told of them.  The lines are
 * audit's, yet they are only counted and shown: nothing is decided by them.
 */
#include "config.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "audit/utc.h"
#include "cli/cli.h"
#include "cli/status.h"
#include "lib/buf.h"
#include "lib/conf.h"

/* Bytes of the ledger's end that are looked at. */
#define TAIL_MAX (4 * 1024 * 1024)
#define DAY_MS ((uint64_t)86400 * 1000)

/* The last bytes of the ledger. */
static int
read_tail(struct buf *b)
{
	char path[512];
	struct stat st;
	uint8_t *p;
	ssize_t n = -1;
	off_t from;
	int fd, len;

	len = snprintf(path, sizeof(path), "%s/ledger/ledger.jsonl",
	    cli_conf()->state_folder);
	if (len < 0 || (size_t)len >= sizeof(path))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		from = st.st_size > TAIL_MAX ? st.st_size - TAIL_MAX : 0;
		len = (int)(st.st_size - from);
		if (buf_reserve(b, (size_t)len, &p) == 0)
			n = pread(fd, p, (size_t)len, from);
		if (n >= 0)
			b->len = (size_t)n;
	}
	(void)close(fd);
	return n < 0 ? -1 : 0;
}

/* The line of an alarm that is not older than a day: counted, and the last. */
static void
take_line(json_t *o, const char *line, size_t n, uint64_t since_ms)
{
	static const char *const fields[] = { "time", "process", "reason" };
	json_t *alarm = json_loadb(line, n, 0, NULL), *v;
	const char *when = json_string_value(json_object_get(alarm, "time"));
	uint64_t ms;
	char key[32];

	if (when != NULL && utc_parse(when, &ms) == 0 && ms >= since_ms) {
		(void)json_object_set_new(o, "alarms_day",
		    json_integer(
			json_integer_value(json_object_get(o, "alarms_day")) +
			1));
		for (size_t i = 0; i < 3; i++) {
			(void)snprintf(key, sizeof(key), "alarm_%s", fields[i]);
			v = json_object_get(alarm, fields[i]);
			(void)json_object_set(
			    o, key, v == NULL ? json_null() : v);
		}
	}
	json_decref(alarm);
}

void
cli_status_alarms(json_t *o)
{
	static const char what[] = "\"event\":\"alarm\"";
	const char *p, *end, *nl;
	struct buf b;
	uint64_t now = utc_now_ms();

	buf_init(&b, TAIL_MAX);
	if (read_tail(&b) != 0)
		goto out;
	(void)json_object_set_new(o, "alarms_day", json_integer(0));
	p = (const char *)buf_ptr(&b);
	end = p + buf_len(&b);
	for (; p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL)
			break; /* half a line: it is being written */
		if (memmem(p, (size_t)(nl - p), what, sizeof(what) - 1) != NULL)
			take_line(o, p, (size_t)(nl - p),
			    now > DAY_MS ? now - DAY_MS : 0);
	}
out:
	buf_clear(&b);
}
