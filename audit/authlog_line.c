/*
 * One line of a target's log: its stamp, who wrote it, and what sshd says of
 * an accepted login (auth.c, auth_log; auth2-pubkey.c, format_key).  A key id
 * stands in the line as it is and may hold anything but what sshd escapes, so
 * the end is read from the right; and where the line is cut, or is only the
 * beginning of what sshd said, its end is the key id's own and nobody's word.
 * Runs in tools; distrusts every byte.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "audit/authlog_internal.h"
#include "audit/utc.h"
#include "lib/err.h"
#include "lib/str.h"

#define DAY_MS (86400ULL * 1000)

struct span {
	const char *p;
	size_t n;
};

static bool
span_begins(const struct span *s, const char *word)
{
	size_t n = strlen(word);

	return s->n >= n && memcmp(s->p, word, n) == 0;
}

/* Drops word from the front; false: it is not there. */
static bool
span_skip(struct span *s, const char *word)
{
	if (!span_begins(s, word))
		return false;
	s->p += strlen(word);
	s->n -= strlen(word);
	return true;
}

/* Up to the first occurrence of word, which is dropped. */
static bool
span_until(struct span *s, const char *word, struct span *out)
{
	const char *at = memmem(s->p, s->n, word, strlen(word));

	if (at == NULL)
		return false;
	*out = (struct span){ s->p, (size_t)(at - s->p) };
	s->n -= out->n + strlen(word);
	s->p = at + strlen(word);
	return true;
}

/* Up to the last occurrence; what follows it is *end. */
static bool
span_until_last(struct span *s, const char *word, struct span *end)
{
	size_t n = strlen(word);

	for (size_t i = s->n < n ? 0 : s->n - n + 1; i-- > 0;) {
		if (memcmp(s->p + i, word, n) != 0)
			continue;
		*end = (struct span){ s->p + i + n, s->n - i - n };
		s->n = i;
		return true;
	}
	return false;
}

/* A copy without NUL bytes in it. */
static bool
span_copy(const struct span *s, char *dst, size_t dstsize)
{
	if (s->n >= dstsize || memchr(s->p, '\0', s->n) != NULL)
		return false;
	memcpy(dst, s->p, s->n);
	dst[s->n] = '\0';
	return true;
}

static bool
span_num(const struct span *s, uint64_t max, uint64_t *n)
{
	char text[24];

	return span_copy(s, text, sizeof(text)) &&
	       num_parse(text, 0, max, n) == 0;
}

/* -- what sshd says ------------------------------------------------------- */

/* "SHA256:" and 32 bytes in base64 without padding. */
static bool
is_fingerprint(const char *s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";

	return strncmp(s, "SHA256:", 7) == 0 && strlen(s + 7) == 43 &&
	       strspn(s + 7, digits) == 43;
}

/* "SHA256:… ID KEYID (serial N) CA TYPE SHA256:…" */
static bool
read_certificate(struct span s, struct authlog_entry *e)
{
	struct span key, type, ca, serial;

	if (!span_until(&s, " ID ", &key) ||
	    !span_until_last(&s, ") CA ", &ca) ||
	    !span_until(&ca, " ", &type) || type.n == 0 ||
	    !span_copy(&ca, e->ca, sizeof(e->ca)) || !is_fingerprint(e->ca) ||
	    !span_until_last(&s, " (serial ", &serial) ||
	    !span_num(&serial, UINT64_MAX, &e->serial))
		return false;
	return span_copy(&s, e->key_id, sizeof(e->key_id));
}

/* What follows "Accepted ". */
static bool
read_accepted(struct span s, struct authlog_entry *e)
{
	struct span method, login, address, port, type;
	uint64_t n;

	if (!span_until(&s, " for ", &method) ||
	    !span_until(&s, " from ", &login) ||
	    !span_until(&s, " port ", &address) ||
	    !span_until(&s, " ssh2", &port))
		return false;
	e->kind = AUTHLOG_LOGIN;
	if (!span_skip(&s, ": ") || !span_until(&s, " ", &type) || type.n < 5 ||
	    memcmp(type.p + type.n - 5, "-CERT", 5) != 0)
		return true;
	e->kind = AUTHLOG_UNREADABLE;
	if (!span_copy(&login, e->login, sizeof(e->login)) ||
	    !span_copy(&address, e->address, sizeof(e->address)) ||
	    !span_num(&port, 65535, &n) || !read_certificate(s, e))
		return true;
	e->port = (uint32_t)n;
	e->kind = AUTHLOG_CERT;
	return true;
}

/* "… (serial N) CA TYPE SHA256:…", whatever stands before it. */
static bool
ends_as_certificate(struct span s)
{
	struct span ca, type;
	char text[AUTHLOG_KEY_MAX];

	return span_until_last(&s, ") CA ", &ca) &&
	       span_until(&ca, " ", &type) &&
	       span_copy(&ca, text, sizeof(text)) && is_fingerprint(text) &&
	       span_until_last(&s, " (serial ", &ca);
}

/* sshd's own words are shorter where a certificate is Postern's. */
static bool
is_cut(size_t n)
{
	return n == AUTHLOG_CUT_SYSLOG || n >= AUTHLOG_CUT_FILE;
}

void
authlog_read_message(const char *p, size_t n, struct authlog_entry *e)
{
	struct span s = { p, n };

	/* syslogd's words for a line that came again and again */
	if (span_begins(&s, "message repeated ") &&
	    memmem(p, n, "[ Accepted publickey for ", 25) != NULL &&
	    memmem(p, n, "-CERT SHA256:", 13) != NULL)
		e->kind = AUTHLOG_UNREADABLE;
	while (s.n > 0 && (s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n' ||
			      s.p[s.n - 1] == ' '))
		s.n--;
	if (span_skip(&s, "Accepted "))
		(void)read_accepted(s, e);
	if (e->kind == AUTHLOG_CERT && is_cut(n))
		e->kind = AUTHLOG_UNREADABLE;
}

bool
authlog_is_sshd(const char *ident)
{
	return strncmp(ident, "sshd", 4) == 0;
}

/* -- stamps --------------------------------------------------------------- */

/* ".123456": milliseconds, dropped from the front. */
static uint64_t
take_fraction(struct span *s)
{
	uint64_t ms = 0, unit = 100;

	if (s->n < 2 || (*s->p != '.' && *s->p != ',') || s->p[1] < '0' ||
	    s->p[1] > '9')
		return 0;
	for (s->p++, s->n--; s->n > 0 && *s->p >= '0' && *s->p <= '9';
	     s->p++, s->n--) {
		ms += (uint64_t)(*s->p - '0') * unit;
		unit /= 10;
	}
	return ms;
}

/* Z, +01:00, +0100; false: there is none. */
static bool
take_zone(struct span *s, int64_t *offset_ms)
{
	struct span h, m;
	uint64_t hours, minutes;
	size_t n;

	*offset_ms = 0;
	if (span_skip(s, "Z"))
		return true;
	if (s->n < 5 || (*s->p != '+' && *s->p != '-'))
		return false;
	n = s->n > 5 && s->p[3] == ':' ? 1 : 0;
	h = (struct span){ s->p + 1, 2 };
	m = (struct span){ s->p + 3 + n, 2 };
	/* num_parse knows no leading zero */
	if (*h.p == '0')
		h = (struct span){ h.p + 1, 1 };
	if (*m.p == '0')
		m = (struct span){ m.p + 1, 1 };
	if (!span_num(&h, 23, &hours) || !span_num(&m, 59, &minutes))
		return false;
	*offset_ms = (int64_t)(hours * 60 + minutes) * 60000;
	if (*s->p == '-')
		*offset_ms = -*offset_ms;
	s->p += 5 + n;
	s->n -= 5 + n;
	return true;
}

/* 2026-11-26T21:38:23.123456+00:00 */
static bool
take_iso(struct span *s, struct authlog_entry *e)
{
	const size_t len = sizeof("2026-11-26T21:38:23") - 1;
	char text[32];
	struct span rest, head = { s->p, len };
	int64_t offset;
	uint64_t ms;
	bool zone;

	if (s->n <= len || (s->p[10] != 'T' && s->p[10] != ' ') ||
	    !span_copy(&head, text, sizeof(text) - 1))
		return false;
	text[10] = 'T';
	text[len] = 'Z';
	text[len + 1] = '\0';
	if (utc_parse(text, &ms) != 0)
		return false;
	rest = (struct span){ s->p + len, s->n - len };
	ms += take_fraction(&rest);
	zone = take_zone(&rest, &offset);
	if (offset > 0 && ms < (uint64_t)offset)
		return false;
	e->local = !zone;
	e->time_ms = (uint64_t)((int64_t)ms - offset);
	e->has_time = true;
	*s = rest;
	return true;
}

/* The same day and time in the last year that is not after ref. */
static bool
stamp_year(const char *month_to_second, uint64_t ref_ms, uint64_t *ms)
{
	char day[UTC_DAY_LEN + 1], text[48];
	unsigned int year = 0;

	utc_format_day(ref_ms + DAY_MS, day);
	for (size_t i = 0; i < 4; i++)
		year = year * 10 + (unsigned int)(day[i] - '0');
	/* 29 February comes every four years, or eight. */
	for (unsigned int back = 0; back <= 8 && year > 1970 + back; back++) {
		(void)snprintf(text, sizeof(text), "%04u-%sZ", year - back,
		    month_to_second);
		if (utc_parse(text, ms) == 0 && *ms <= ref_ms + DAY_MS)
			return true;
	}
	return false;
}

/* Nov 26 21:38:23, with a blank or a zero before a day below 10; rsyslog's
 * and journalctl's forms with a fraction, too. */
static bool
take_bsd(struct span *s, uint64_t ref_ms, struct authlog_entry *e)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const size_t len = sizeof("Nov 26 21:38:23") - 1;
	char name[4], text[24];
	const char *m;
	struct span rest;

	if (s->n <= len || s->p[3] != ' ' || s->p[6] != ' ' ||
	    !span_copy(&(struct span){ s->p, 3 }, name, sizeof(name)) ||
	    (m = strstr(months, name)) == NULL || (m - months) % 3 != 0 ||
	    !span_copy(&(struct span){ s->p + 7, 8 }, text + 6, 9))
		return false;
	(void)snprintf(text, 4, "%02u-", (unsigned int)((m - months) / 3 + 1));
	text[3] = s->p[4] == ' ' ? '0' : s->p[4];
	text[4] = s->p[5];
	text[5] = 'T';
	if (!stamp_year(text, ref_ms, &e->time_ms))
		return false;
	rest = (struct span){ s->p + len, s->n - len };
	e->time_ms += take_fraction(&rest);
	e->has_time = e->local = true;
	*s = rest;
	return true;
}

/* -- lines ---------------------------------------------------------------- */

/* "HOST IDENT[PID]: " or without the host; what is left is the message. */
static bool
take_ident(struct span *s, char *ident, size_t size)
{
	struct span word;

	for (int i = 0; i < 2; i++) {
		if (!span_until(s, " ", &word))
			return false;
		if (word.n > 1 && word.p[word.n - 1] == ':') {
			word.n = strcspn(word.p, "[:");
			return span_copy(&word, ident, size);
		}
	}
	return false;
}

/* In lines that are no syslog's, or in JSON that is cut. */
static bool
hides_login(const char *line, size_t n)
{
	static const char *const login[] = { ": Accepted publickey for ",
		"\"Accepted publickey for " };
	bool found = false;

	for (size_t i = 0; i < sizeof(login) / sizeof(login[0]); i++)
		found |= memmem(line, n, login[i], strlen(login[i])) != NULL;
	return found && memmem(line, n, "-CERT SHA256:", 13) != NULL;
}

void
authlog_read_line(
    const char *line, size_t n, uint64_t ref_ms, struct authlog_entry *e)
{
	struct span s = { line, n };
	char ident[AUTHLOG_NAME_MAX];

	if (take_iso(&s, e) || take_bsd(&s, ref_ms, e)) {
		(void)span_skip(&s, " ");
		if (take_ident(&s, ident, sizeof(ident))) {
			if (authlog_is_sshd(ident))
				authlog_read_message(s.p, s.n, e);
			return;
		}
	} else if (span_begins(&s, "Accepted ")) {
		authlog_read_message(s.p, s.n, e);
		return;
	}
	/* A form that is not known may hide one, and so may a line that is the
	 * rest of one: a key id may have line ends. */
	if (hides_login(line, n) ||
	    ends_as_certificate((struct span){ line, n }))
		e->kind = AUTHLOG_UNREADABLE;
}
