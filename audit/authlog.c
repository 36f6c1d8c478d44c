/*
 * A target's log as a file: lines, or the entries of a journal as
 * `journalctl -o export` and `-o json` write them (systemd's "Journal Export
 * Formats").  Which of them it is each line says itself, so files of several
 * kinds may be put one behind the other.  Runs in tools; distrusts every byte.
 */
#include "config.h"

#include "audit/authlog.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "audit/authlog_internal.h"
#include "lib/err.h"
#include "lib/str.h"

struct authlog {
	FILE *f; /* borrowed */
	uint64_t ref_ms, line;
	char d[AUTHLOG_LINE_MAX + 1];
	size_t n;
	/* of the journal's entry under way */
	char message[AUTHLOG_LINE_MAX + 1];
	size_t nmessage;
	char ident[AUTHLOG_NAME_MAX], comm[AUTHLOG_NAME_MAX];
	char uid[16], stamp[24];
};

int
authlog_new(FILE *f, uint64_t ref_ms, struct authlog **out)
{
	struct authlog *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return ERR_NOMEM;
	a->f = f;
	a->ref_ms = ref_ms;
	*out = a;
	return 0;
}

void
authlog_free(struct authlog *a)
{
	free(a);
}

/* A line without its end.  ERR_TOOBIG: it was longer, and is skipped. */
static int
take_line(struct authlog *a)
{
	bool big = false;
	int c = EOF;

	a->n = 0;
	while ((c = getc_unlocked(a->f)) != EOF && c != '\n') {
		if (a->n < AUTHLOG_LINE_MAX)
			a->d[a->n++] = (char)c;
		else
			big = true;
	}
	if (c == EOF && ferror_unlocked(a->f))
		return ERR_SYS;
	if (c == EOF && a->n == 0)
		return ERR_NOTFOUND;
	a->line++;
	a->d[a->n] = '\0';
	return big ? ERR_TOOBIG : 0;
}

/* -- a journal's entry ---------------------------------------------------- */

static void
journal_begin(struct authlog *a)
{
	a->nmessage = 0;
	a->ident[0] = a->comm[0] = a->uid[0] = a->stamp[0] = '\0';
}

static void
journal_field(struct authlog *a, const char *name, const char *p, size_t n)
{
	const struct {
		const char *name;
		char *to;
		size_t size;
	} texts[] = {
		{ "SYSLOG_IDENTIFIER", a->ident, sizeof(a->ident) },
		{ "_COMM", a->comm, sizeof(a->comm) },
		{ "_UID", a->uid, sizeof(a->uid) },
		{ "__REALTIME_TIMESTAMP", a->stamp, sizeof(a->stamp) },
	};

	if (strcmp(name, "MESSAGE") == 0 && n <= AUTHLOG_LINE_MAX) {
		memcpy(a->message, p, n);
		a->nmessage = n;
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(name, texts[i].name) != 0 || n >= texts[i].size)
			continue;
		memcpy(texts[i].to, p, n);
		texts[i].to[n] = '\0';
	}
}

/* _UID and _COMM are journald's own words; whoever has a shell can send the
 * identifier and the text. */
static void
journal_end(struct authlog *a, struct authlog_entry *e)
{
	uint64_t us;

	if (num_parse(a->stamp, 0, UINT64_MAX, &us) == 0) {
		e->has_time = true;
		e->time_ms = us / 1000;
	}
	if (!authlog_is_sshd(a->ident) && !authlog_is_sshd(a->comm))
		return;
	authlog_read_message(a->message, a->nmessage, e);
	if (e->kind != AUTHLOG_OTHER &&
	    ((a->uid[0] != '\0' && strcmp(a->uid, "0") != 0) ||
		(a->comm[0] != '\0' && !authlog_is_sshd(a->comm))))
		e->kind =
		    e->kind == AUTHLOG_LOGIN ? AUTHLOG_OTHER : AUTHLOG_FOREIGN;
}

/* A field's text, or its bytes as an array of numbers. */
static void
journal_json_field(struct authlog *a, const char *name, const json_t *v)
{
	char bytes[AUTHLOG_LINE_MAX];
	size_t n = 0;

	if (json_is_string(v)) {
		journal_field(
		    a, name, json_string_value(v), json_string_length(v));
		return;
	}
	if (!json_is_array(v) || json_array_size(v) > sizeof(bytes))
		return;
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *b = json_array_get(v, i);

		if (!json_is_integer(b))
			return;
		bytes[n++] = (char)json_integer_value(b);
	}
	journal_field(a, name, bytes, n);
}

/* false: this is no journal's entry. */
static bool
journal_json(struct authlog *a, struct authlog_entry *e)
{
	json_t *o = json_loadb(a->d, a->n, JSON_ALLOW_NUL, NULL), *v;
	const char *name;
	bool is = json_is_object(o);

	journal_begin(a);
	if (is) {
		json_object_foreach(o, name, v)
		{
			journal_json_field(a, name, v);
		}
		journal_end(a, e);
	}
	json_decref(o);
	return is;
}

/* A field whose value is bytes: its length (64 bits, little-endian), they
 * themselves, a newline. */
static int
export_bytes(struct authlog *a, const char *name)
{
	uint8_t size[8];
	uint64_t n = 0;
	size_t keep;
	int c;

	if (fread(size, 1, sizeof(size), a->f) != sizeof(size))
		return ERR_FORMAT;
	for (size_t i = 0; i < sizeof(size); i++)
		n |= (uint64_t)size[i] << 8 * i;
	a->n = 0;
	for (keep = 0; n > 0; n--) {
		if ((c = getc_unlocked(a->f)) == EOF)
			return ERR_FORMAT;
		if (keep < AUTHLOG_LINE_MAX)
			a->d[keep] = (char)c;
		keep++;
	}
	if (getc_unlocked(a->f) != '\n')
		return ERR_FORMAT;
	if (keep <= AUTHLOG_LINE_MAX)
		journal_field(a, name, a->d, keep);
	return 0;
}

/* The line at hand is the first of an entry. */
static int
export_entry(struct authlog *a, struct authlog_entry *e)
{
	char name[64], *is;
	int r = 0;

	journal_begin(a);
	while (r == ERR_TOOBIG || (r == 0 && a->n > 0)) {
		is = r == 0 ? memchr(a->d, '=', a->n) : NULL;
		if (r == 0 && is == NULL &&
		    str_copy(name, sizeof(name), a->d) == 0) {
			if ((r = export_bytes(a, name)) != 0)
				return r;
		} else if (is != NULL) {
			*is = '\0';
			journal_field(
			    a, a->d, is + 1, a->n - (size_t)(is + 1 - a->d));
		}
		r = take_line(a);
	}
	journal_end(a, e);
	return r == ERR_SYS || r == ERR_NOMEM ? r : 0;
}

/* -- entries -------------------------------------------------------------- */

int
authlog_next(struct authlog *a, struct authlog_entry *e)
{
	static const char *const first[] = { "__CURSOR=",
		"__REALTIME_TIMESTAMP=" };
	int r;

	*e = (struct authlog_entry){ 0 };
	r = take_line(a);
	e->line = a->line;
	if (r != 0)
		return r;
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		if (strncmp(a->d, first[i], strlen(first[i])) == 0)
			return export_entry(a, e);
	}
	if (a->d[0] != '{' || !journal_json(a, e))
		authlog_read_line(a->d, a->n, a->ref_ms, e);
	return 0;
}
