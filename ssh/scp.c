/*
 * The filter for scp's own protocol.  Runs in the hop, confined.  Distrusts
 * both sides: whoever sends chooses names and sizes, whoever receives chooses
 * answers, and either may send what it likes when it likes.
 *
 * The sender says C (a file), D (into a folder), E (out of it) or T (times), a
 * line each, and waits for one byte: 0, or 1 or 2 and a line of text.  Behind C
 * come the file's bytes and such a byte of its own, and again one is awaited.
 * The receiver begins, with a 0.
 */
#include "config.h"

#include "ssh/scp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "lib/err.h"
#include "lib/str.h"

#define OUT_MAX 65536
#define SHA256_HEX 64
#define MODE_MAX 0777 /* neither setuid nor setgid nor sticky */

enum turn {
	TURN_READY,  /* the receiver's: its first byte */
	TURN_LINE,   /* the sender's */
	TURN_ANSWER, /* the receiver's, to a line */
	TURN_DATA,   /* the sender's: a file's bytes */
	TURN_STATUS, /* the sender's: how it could read them */
	TURN_STORED, /* the receiver's: how it could write them */
	TURN_BROKEN,
};

struct out {
	uint8_t d[OUT_MAX];
	size_t at, n;
};

/* Where we are, and where we are if the path that was asked for is a folder:
 * the sender does not know, and neither do we. */
struct place {
	char path[SCP_PATH_MAX + 1];
	char alt[SCP_PATH_MAX + 1]; /* "": there is no other */
};

struct scp {
	struct scp_want want;
	enum turn turn;
	struct out out[2];
	char line[SCP_LINE_MAX];
	size_t nline;
	char kind; /* of the line that waits for its answer */
	struct place at[SCP_DEPTH_MAX + 1];
	size_t depth;
	size_t tops; /* files and folders at the top */
	struct place file;
	const char *rule;
	bool open; /* a file is under way */
	bool bad;  /* one side could not read or write it */
	uint64_t left, passed;
	EVP_MD_CTX *md;
	size_t entries;
	char error[160];
};

static enum scp_side
sender(const struct scp *s)
{
	return s->want.write ? SCP_JOB : SCP_TARGET;
}

static enum scp_side
receiver(const struct scp *s)
{
	return s->want.write ? SCP_TARGET : SCP_JOB;
}

int
scp_new(const struct scp_want *w, struct scp **out)
{
	struct scp *s;

	if (!path_is_plain(w->path, strlen(w->path)))
		return ERR_FORMAT;
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ERR_NOMEM;
	s->want = *w;
	(void)str_copy(s->at[0].path, sizeof(s->at[0].path), w->path);
	if ((s->md = EVP_MD_CTX_new()) == NULL) {
		free(s);
		return ERR_NOMEM;
	}
	*out = s;
	return 0;
}

void
scp_free(struct scp *s)
{
	if (s == NULL)
		return;
	EVP_MD_CTX_free(s->md);
	free(s);
}

static int
broke(struct scp *s, enum scp_side side, const char *words)
{
	s->turn = TURN_BROKEN;
	(void)snprintf(s->error, sizeof(s->error),
	    "%s broke scp's protocol: %s",
	    side == SCP_JOB ? "the job" : "the target", words);
	return ERR_PROTO;
}

/* -- what goes out -----------------------------------------------------------
 */

static size_t
room(const struct scp *s, enum scp_side side)
{
	return OUT_MAX - s->out[side].n;
}

static void
put(struct scp *s, enum scp_side side, const void *p, size_t n)
{
	struct out *o = &s->out[side];

	if (o->at > 0) {
		memmove(o->d, o->d + o->at, o->n);
		o->at = 0;
	}
	memcpy(o->d + o->n, p, n); /* scp_wants saw to it that there is room */
	o->n += n;
}

const uint8_t *
scp_out(const struct scp *s, enum scp_side side, size_t *n)
{
	*n = s->out[side].n;
	return s->out[side].d + s->out[side].at;
}

void
scp_sent(struct scp *s, enum scp_side side, size_t n)
{
	s->out[side].at += n;
	s->out[side].n -= n;
}

static bool
is_turn_of(const struct scp *s, enum scp_side side)
{
	switch (s->turn) {
	case TURN_LINE:
	case TURN_DATA:
	case TURN_STATUS:
		return side == sender(s);
	case TURN_READY:
	case TURN_ANSWER:
	case TURN_STORED:
		return side == receiver(s);
	case TURN_BROKEN:
		break;
	}
	return false;
}

bool
scp_wants(const struct scp *s, enum scp_side side)
{
	return is_turn_of(s, side) && room(s, SCP_JOB) > 2 * SCP_LINE_MAX &&
	       room(s, SCP_TARGET) > 2 * SCP_LINE_MAX;
}

/* -- the manifest ------------------------------------------------------------
 */

static int
report(struct scp *s, const struct place *p, bool folder,
    enum scp_result result, const char *sha256)
{
	if (++s->entries > SCP_ENTRIES_MAX)
		return broke(s, sender(s), "more files than a manifest holds");
	s->want.entry(s->want.arg, &(struct scp_entry){ .write = s->want.write,
				       .folder = folder,
				       .result = result,
				       .path = p->path,
				       .to = p->alt[0] == '\0' ? NULL : p->alt,
				       .rule = s->rule,
				       .bytes = folder ? 0 : s->passed,
				       .sha256 = sha256 });
	return 0;
}

static int
report_file(struct scp *s, enum scp_result result)
{
	uint8_t md[EVP_MAX_MD_SIZE];
	char hex[SHA256_HEX + 1];
	unsigned int n = 0;
	bool whole = result == SCP_DONE &&
		     EVP_DigestFinal_ex(s->md, md, &n) == 1 &&
		     n * 2 == SHA256_HEX;

	if (whole)
		hex_encode(md, n, hex);
	s->open = false;
	return report(s, &s->file, false, result, whole ? hex : NULL);
}

void
scp_end(struct scp *s)
{
	if (s->open)
		(void)report_file(s, SCP_CUT);
	s->turn = TURN_BROKEN;
}

const char *
scp_error(const struct scp *s)
{
	return s->error;
}

/* -- names and paths ---------------------------------------------------------
 */

static bool
name_ok(const char *name)
{
	const uint8_t *p = (const uint8_t *)name;
	size_t n = strlen(name), k;
	uint32_t cp;

	if (n == 0 || n > 255 || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0 || strchr(name, '/') != NULL)
		return false;
	for (; n > 0; p += k, n -= k) {
		if ((k = utf8_next(p, n, &cp)) == 0 || utf8_is_control(cp))
			return false;
	}
	return true;
}

static int
join(char dst[SCP_PATH_MAX + 1], const char *folder, const char *name)
{
	int n = snprintf(dst, SCP_PATH_MAX + 1, "%s/%s", folder, name);

	return n > 0 && n <= SCP_PATH_MAX ? 0 : ERR_TOOBIG;
}

/* Where a name of the sender's is on the target. */
static int
locate(const struct scp *s, const char *name, struct place *p)
{
	const struct place *in = &s->at[s->depth];
	bool top = s->depth == 0;
	int r;

	*p = (struct place){ .alt = "" };
	if (top && !s->want.write) /* the name that was asked for */
		return str_copy(p->path, sizeof(p->path), s->want.path);
	if (top && s->want.into)
		return join(p->path, s->want.path, name);
	if (top) {
		if ((r = join(p->alt, s->want.path, name)) != 0)
			return r;
		return str_copy(p->path, sizeof(p->path), s->want.path);
	}
	if (in->alt[0] != '\0' && (r = join(p->alt, in->alt, name)) != 0)
		return r;
	return join(p->path, in->path, name);
}

/* NULL: it may be. */
static const char *
judge(struct scp *s, const struct place *p, uint64_t bytes)
{
	const char *why = NULL;

	s->rule = NULL;
	if (p->alt[0] != '\0' &&
	    s->want.judge(s->want.arg, p->alt, 0, &why) == NULL)
		return why;
	s->rule = s->want.judge(s->want.arg, p->path, bytes, &why);
	return s->rule == NULL ? why : NULL;
}

/* The sender is told, as if by the receiver; whoever sends nothing of it. */
static int
refuse(struct scp *s, const struct place *p, bool folder, const char *why)
{
	char text[512];
	int n = snprintf(
	    text, sizeof(text), "\001postern: %.300s: %.100s\n", p->path, why);
	int r;

	if (n <= 0 || (size_t)n >= sizeof(text))
		return ERR_INTERNAL;
	s->passed = 0;
	if ((r = report(s, p, folder, SCP_REFUSED, NULL)) != 0)
		return r;
	put(s, sender(s), text, (size_t)n);
	if (!s->want.write) /* and the job hears why something is missing */
		put(s, SCP_JOB, text, (size_t)n);
	s->turn = TURN_LINE;
	return 0;
}

/* -- the sender's lines ------------------------------------------------------
 */

/* "C0644 123 name", taken apart: mode, size, name. */
static bool
split(char *line, uint64_t *mode, uint64_t *size, char **name)
{
	char *sp = strchr(line + 1, ' '), *sp2;

	if (sp == NULL || (sp2 = strchr(sp + 1, ' ')) == NULL ||
	    sp - line != 5) /* four digits */
		return false;
	*sp = *sp2 = '\0';
	*mode = 0;
	for (const char *c = line + 1; *c != '\0'; c++) {
		if (*c < '0' || *c > '7')
			return false;
		*mode = *mode * 8 + (uint64_t)(*c - '0');
	}
	*name = sp2 + 1;
	return num_parse(sp + 1, 0, INT64_MAX, size) == 0;
}

static void
pass_line(struct scp *s, char kind, const char *text)
{
	put(s, receiver(s), text, strlen(text));
	put(s, receiver(s), "\n", 1);
	s->kind = kind;
	s->turn = TURN_ANSWER;
}

/* At the top of what is read there is one thing: what was asked for. */
static bool
top_ok(const struct scp *s, const char *name)
{
	const char *want = strrchr(s->want.path, '/') + 1;

	return s->depth > 0 || s->want.write ||
	       (s->tops == 0 && strcmp(name, want) == 0);
}

static int
on_item(struct scp *s, bool folder)
{
	char again[SCP_LINE_MAX + 1], *name;
	uint64_t mode, size;
	const char *why;
	struct place p;

	if (!split(s->line, &mode, &size, &name) || !name_ok(name) ||
	    (folder && size != 0))
		return broke(s, sender(s), "a line that is none");
	if (!top_ok(s, name))
		return broke(
		    s, sender(s), "another name than the one asked for");
	if (folder && !s->want.recurse)
		return broke(s, sender(s), "a folder that was not asked for");
	if (folder && s->depth == SCP_DEPTH_MAX)
		return broke(s, sender(s), "too many folders in folders");
	if (locate(s, name, &p) != 0)
		return broke(s, sender(s), "a path that is too long");
	s->tops += s->depth == 0;
	if (mode > MODE_MAX)
		return refuse(s, &p, folder,
		    "setuid, setgid and sticky are "
		    "not passed on");
	if ((why = judge(s, &p, folder ? 0 : size)) != NULL)
		return refuse(s, &p, folder, why);
	s->file = p;
	s->left = size;
	(void)snprintf(again, sizeof(again), "%c%04o %llu %s",
	    folder ? 'D' : 'C', (unsigned int)mode, (unsigned long long)size,
	    name);
	pass_line(s, folder ? 'D' : 'C', again);
	return 0;
}

/* "T1700000000 0 1700000000 0" */
static int
on_times(struct scp *s)
{
	char again[SCP_LINE_MAX], *p = s->line + 1, *end;
	uint64_t n[4];

	for (size_t i = 0; i < 4; i++) {
		end = i < 3 ? strchr(p, ' ') : p + strlen(p);
		if (end == NULL)
			return broke(s, sender(s), "times that are none");
		if (*end == ' ')
			*end++ = '\0';
		if (num_parse(p, 0, i % 2 == 0 ? INT64_MAX : 999999, &n[i]) !=
		    0)
			return broke(s, sender(s), "times that are none");
		p = end;
	}
	(void)snprintf(again, sizeof(again), "T%llu %llu %llu %llu",
	    (unsigned long long)n[0], (unsigned long long)n[1],
	    (unsigned long long)n[2], (unsigned long long)n[3]);
	pass_line(s, 'T', again);
	return 0;
}

/* Its text, for people, without control characters. */
static void
pass_text(struct scp *s, enum scp_side to, const char *line)
{
	char text[SCP_LINE_MAX + 1];
	size_t n = 0;

	text[n++] = line[0];
	for (const char *c = line + 1; *c != '\0'; c++)
		text[n++] = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
	text[n++] = '\n';
	put(s, to, text, n);
}

static int
on_line(struct scp *s)
{
	switch (s->line[0]) {
	case 'C':
		return on_item(s, false);
	case 'D':
		return on_item(s, true);
	case 'E':
		if (s->line[1] != '\0' || s->depth == 0)
			return broke(s, sender(s), "a line that is none");
		pass_line(s, 'E', "E");
		return 0;
	case 'T':
		return on_times(s);
	case 1: /* something could not be read there: no answer */
	case 2:
		pass_text(s, receiver(s), s->line);
		return 0;
	default:
		return broke(s, sender(s), "a line that is none");
	}
}

/* -- turns -------------------------------------------------------------------
 */

static int
begin_file(struct scp *s)
{
	s->open = true;
	s->bad = false;
	s->passed = 0;
	s->turn = s->left > 0 ? TURN_DATA : TURN_STATUS;
	return EVP_DigestInit_ex(s->md, EVP_sha256(), NULL) == 1 ? 0
								 : ERR_CRYPTO;
}

/* The receiver took the line. */
static int
on_taken(struct scp *s)
{
	char kind = s->kind;

	s->turn = TURN_LINE;
	if (kind == 'C')
		return begin_file(s);
	if (kind == 'E')
		s->depth--;
	if (kind != 'D')
		return 0;
	s->at[++s->depth] = s->file;
	return report(s, &s->file, true, SCP_DONE, NULL);
}

/* It did not; the sender goes on with the next. */
static int
on_not_taken(struct scp *s)
{
	s->turn = TURN_LINE;
	s->passed = 0;
	if (s->kind == 'C' || s->kind == 'D')
		return report(s, &s->file, s->kind == 'D', SCP_FAILED, NULL);
	if (s->kind == 'E')
		return broke(s, receiver(s), "it does not leave a folder");
	return 0;
}

/* A byte, or a line of text, of how something went. */
static int
on_answer(struct scp *s, bool good)
{
	enum turn was = s->turn;

	switch (was) {
	case TURN_READY:
		s->turn = TURN_LINE;
		return 0; /* what it says was passed on */
	case TURN_ANSWER:
		return good ? on_taken(s) : on_not_taken(s);
	case TURN_STATUS:
		s->bad |= !good;
		s->turn = TURN_STORED;
		return 0;
	case TURN_STORED:
		s->turn = TURN_LINE;
		return report_file(s, s->bad || !good ? SCP_FAILED : SCP_DONE);
	case TURN_LINE:
	case TURN_DATA:
	case TURN_BROKEN:
		break;
	}
	return ERR_INTERNAL;
}

static size_t
take_data(struct scp *s, const uint8_t *p, size_t n, int *r)
{
	size_t k = n;

	if (k > s->left)
		k = (size_t)s->left;
	if (k > room(s, receiver(s)))
		k = room(s, receiver(s));
	put(s, receiver(s), p, k);
	if (EVP_DigestUpdate(s->md, p, k) != 1)
		*r = ERR_CRYPTO;
	s->left -= k;
	s->passed += k;
	if (s->left == 0)
		s->turn = TURN_STATUS;
	return k;
}

/* One byte of a line, or of an answer. */
static int
take_byte(struct scp *s, enum scp_side side, uint8_t c)
{
	enum scp_side other = side == SCP_JOB ? SCP_TARGET : SCP_JOB;
	bool answer = s->turn != TURN_LINE;

	if (answer && s->nline == 0 && c == 0) {
		put(s, other, "", 1);
		return on_answer(s, true);
	}
	if (answer && s->nline == 0 && c != 1 && c != 2)
		return broke(s, side, "an answer that is none");
	if (c == '\0')
		return broke(s, side, "a NUL");
	if (c != '\n') {
		if (s->nline == sizeof(s->line) - 1)
			return broke(s, side, "a line that is too long");
		s->line[s->nline++] = (char)c;
		return 0;
	}
	s->line[s->nline] = '\0';
	s->nline = 0;
	if (!answer)
		return on_line(s);
	pass_text(s, other, s->line);
	return on_answer(s, false);
}

int
scp_take(
    struct scp *s, enum scp_side side, const void *data, size_t n, size_t *took)
{
	const uint8_t *p = data;
	size_t at = 0, k;
	int r = 0;

	while (at < n && r == 0 && scp_wants(s, side)) {
		if (s->turn != TURN_DATA) {
			r = take_byte(s, side, p[at++]);
			continue;
		}
		if ((k = take_data(s, p + at, n - at, &r)) == 0)
			break;
		at += k;
	}
	*took = at;
	return r;
}
