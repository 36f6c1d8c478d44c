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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "lib/err.h"
#include "lib/str.h"
#include "ssh/scp_internal.h"

#define SHA256_HEX 64

enum scp_side
scp_sender(const struct scp *s)
{
	return s->want.write ? SCP_JOB : SCP_TARGET;
}

enum scp_side
scp_receiver(const struct scp *s)
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

int
scp_broke(struct scp *s, enum scp_side side, const char *words)
{
	s->turn = SCP_TURN_BROKEN;
	(void)snprintf(s->error, sizeof(s->error),
	    "%s broke scp's protocol: %s",
	    side == SCP_JOB ? "the job" : "the target", words);
	return ERR_PROTO;
}

/* -- what goes out -----------------------------------------------------------
 */

static size_t
scp_room(const struct scp *s, enum scp_side side)
{
	return SCP_OUT_MAX - s->out[side].n;
}

void
scp_put(struct scp *s, enum scp_side side, const void *p, size_t n)
{
	struct scp_queue *o = &s->out[side];

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
	case SCP_TURN_LINE:
	case SCP_TURN_DATA:
	case SCP_TURN_STATUS:
		return side == scp_sender(s);
	case SCP_TURN_READY:
	case SCP_TURN_ANSWER:
	case SCP_TURN_STORED:
		return side == scp_receiver(s);
	case SCP_TURN_BROKEN:
		break;
	}
	return false;
}

bool
scp_wants(const struct scp *s, enum scp_side side)
{
	return is_turn_of(s, side) && scp_room(s, SCP_JOB) > 2 * SCP_LINE_MAX &&
	       scp_room(s, SCP_TARGET) > 2 * SCP_LINE_MAX;
}

/* -- the manifest ------------------------------------------------------------
 */

void
scp_begin(struct scp *s, const struct scp_place *p)
{
	s->begins = true;
	s->want.entry(s->want.arg, &(struct scp_entry){ .write = s->want.write,
				       .result = SCP_BEGUN,
				       .path = p->path,
				       .to = p->alt[0] == '\0' ? NULL : p->alt,
				       .rule = s->rule,
				       .begun = ++s->begun });
}

int
scp_report(struct scp *s, const struct scp_place *p, bool folder,
    enum scp_result result, const char *sha256)
{
	uint32_t begun = s->begins ? s->begun : 0;

	s->begins = false;
	if (++s->entries > SCP_ENTRIES_MAX)
		return scp_broke(
		    s, scp_sender(s), "more files than a manifest holds");
	s->want.entry(s->want.arg, &(struct scp_entry){ .write = s->want.write,
				       .folder = folder,
				       .result = result,
				       .path = p->path,
				       .to = p->alt[0] == '\0' ? NULL : p->alt,
				       .rule = s->rule,
				       .bytes = folder ? 0 : s->passed,
				       .sha256 = sha256,
				       .begun = begun });
	return 0;
}

static int
scp_report_file(struct scp *s, enum scp_result result)
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
	return scp_report(s, &s->file, false, result, whole ? hex : NULL);
}

void
scp_end(struct scp *s)
{
	if (s->open || s->begins)
		(void)scp_report_file(s, SCP_CUT);
	s->turn = SCP_TURN_BROKEN;
}

const char *
scp_error(const struct scp *s)
{
	return s->error;
}

/* -- turns -------------------------------------------------------------------
 */

static int
begin_file(struct scp *s)
{
	s->open = true;
	s->bad = false;
	s->passed = 0;
	s->turn = s->left > 0 ? SCP_TURN_DATA : SCP_TURN_STATUS;
	return EVP_DigestInit_ex(s->md, EVP_sha256(), NULL) == 1 ? 0
								 : ERR_CRYPTO;
}

/* The receiver took the line. */
static int
on_taken(struct scp *s)
{
	char kind = s->kind;

	s->turn = SCP_TURN_LINE;
	if (kind == 'C')
		return begin_file(s);
	if (kind == 'E')
		s->depth--;
	if (kind != 'D')
		return 0;
	s->at[++s->depth] = s->file;
	return scp_report(s, &s->file, true, SCP_DONE, NULL);
}

/* It did not; the sender goes on with the next. */
static int
on_not_taken(struct scp *s)
{
	s->turn = SCP_TURN_LINE;
	s->passed = 0;
	if (s->kind == 'C' || s->kind == 'D')
		return scp_report(
		    s, &s->file, s->kind == 'D', SCP_FAILED, NULL);
	if (s->kind == 'E')
		return scp_broke(
		    s, scp_receiver(s), "it does not leave a folder");
	return 0;
}

/* A byte, or a line of text, of how something went. */
static int
on_answer(struct scp *s, bool good)
{
	enum scp_turn was = s->turn;

	switch (was) {
	case SCP_TURN_READY:
		s->turn = SCP_TURN_LINE;
		return 0; /* what it says was passed on */
	case SCP_TURN_ANSWER:
		return good ? on_taken(s) : on_not_taken(s);
	case SCP_TURN_STATUS:
		s->bad |= !good;
		s->turn = SCP_TURN_STORED;
		return 0;
	case SCP_TURN_STORED:
		s->turn = SCP_TURN_LINE;
		return scp_report_file(
		    s, s->bad || !good ? SCP_FAILED : SCP_DONE);
	case SCP_TURN_LINE:
	case SCP_TURN_DATA:
	case SCP_TURN_BROKEN:
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
	if (k > scp_room(s, scp_receiver(s)))
		k = scp_room(s, scp_receiver(s));
	scp_put(s, scp_receiver(s), p, k);
	if (EVP_DigestUpdate(s->md, p, k) != 1)
		*r = ERR_CRYPTO;
	s->left -= k;
	s->passed += k;
	if (s->left == 0)
		s->turn = SCP_TURN_STATUS;
	return k;
}

/* One byte of a line, or of an answer. */
static int
take_byte(struct scp *s, enum scp_side side, uint8_t c)
{
	enum scp_side other = side == SCP_JOB ? SCP_TARGET : SCP_JOB;
	bool answer = s->turn != SCP_TURN_LINE;

	if (answer && s->nline == 0 && c == 0) {
		scp_put(s, other, "", 1);
		return on_answer(s, true);
	}
	if (answer && s->nline == 0 && c != 1 && c != 2)
		return scp_broke(s, side, "an answer that is none");
	if (c == '\0')
		return scp_broke(s, side, "a NUL");
	if (c != '\n') {
		if (s->nline == sizeof(s->line) - 1)
			return scp_broke(s, side, "a line that is too long");
		s->line[s->nline++] = (char)c;
		return 0;
	}
	s->line[s->nline] = '\0';
	s->nline = 0;
	if (!answer)
		return scp_line(s);
	scp_pass_text(s, other, s->line);
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
		if (s->turn != SCP_TURN_DATA) {
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
