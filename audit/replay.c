/*
 * The replay filter: a parser for terminal output (after the state diagram of
 * Paul Williams, https://vt100.net/emu/dec_ansi_parser) that passes on only
 * what stands in its tables.  Runs in the command line, in front of an
 * auditor's terminal, on bytes that a target chose: every sequence is taken
 * apart and written anew from its numbers, none is copied.
 */
#include "config.h"

#include "audit/replay.h"

#include <string.h>

#include "lib/err.h"
#include "lib/str.h"

#define REPLAY_PARAMS_MAX 32
#define REPLAY_NUMBER_MAX 9999 /* of a motion; terminals clamp, too */
#define REPLAY_REPEAT_MAX 1000 /* CSI b */
#define ESC "\033"

enum replay_state {
	REPLAY_GROUND = 0,
	REPLAY_ESCAPE,      /* after ESC */
	REPLAY_ESCAPE_SKIP, /* ESC and an intermediate: up to its final */
	REPLAY_CSI,
	REPLAY_CSI_SKIP, /* too long: up to its final byte */
	REPLAY_STRING,   /* OSC, DCS, SOS, PM, APC: up to ST */
};

/* How a CSI sequence's numbers are bounded. */
enum replay_kind {
	KIND_NONE = 0, /* does not pass */
	KIND_MOVE,     /* up to `params` numbers */
	KIND_ERASE,    /* one number, 0 to 2 */
	KIND_REPEAT,
	KIND_BARE, /* no number at all */
	KIND_SGR,
};

static const struct replay_row {
	char final;
	enum replay_kind kind;
	size_t params;
} replay_table[] = {
	{ '@', KIND_MOVE, 1 },   /* ICH */
	{ 'A', KIND_MOVE, 1 },   /* CUU */
	{ 'B', KIND_MOVE, 1 },   /* CUD */
	{ 'C', KIND_MOVE, 1 },   /* CUF */
	{ 'D', KIND_MOVE, 1 },   /* CUB */
	{ 'E', KIND_MOVE, 1 },   /* CNL */
	{ 'F', KIND_MOVE, 1 },   /* CPL */
	{ 'G', KIND_MOVE, 1 },   /* CHA */
	{ 'H', KIND_MOVE, 2 },   /* CUP */
	{ 'I', KIND_MOVE, 1 },   /* CHT */
	{ 'J', KIND_ERASE, 1 },  /* ED; 3 would wipe the scroll-back */
	{ 'K', KIND_ERASE, 1 },  /* EL */
	{ 'L', KIND_MOVE, 1 },   /* IL */
	{ 'M', KIND_MOVE, 1 },   /* DL */
	{ 'P', KIND_MOVE, 1 },   /* DCH */
	{ 'S', KIND_MOVE, 1 },   /* SU */
	{ 'T', KIND_MOVE, 1 },   /* SD; with five numbers a mouse mode */
	{ 'X', KIND_MOVE, 1 },   /* ECH */
	{ 'Z', KIND_MOVE, 1 },   /* CBT */
	{ '`', KIND_MOVE, 1 },   /* HPA */
	{ 'a', KIND_MOVE, 1 },   /* HPR */
	{ 'b', KIND_REPEAT, 1 }, /* REP */
	{ 'd', KIND_MOVE, 1 },   /* VPA */
	{ 'e', KIND_MOVE, 1 },   /* VPR */
	{ 'f', KIND_MOVE, 2 },   /* HVP */
	{ 'm', KIND_SGR, REPLAY_PARAMS_MAX },
	{ 'r', KIND_MOVE, 2 }, /* DECSTBM */
	{ 's', KIND_BARE, 0 }, /* save; with numbers DECSLRM */
	{ 'u', KIND_BARE, 0 }, /* restore */
};

void
replay_init(struct replay_filter *f, bool ascii)
{
	*f = (struct replay_filter){ .ascii = ascii };
}

static int
replay_text(struct buf *out, const char *s)
{
	return buf_put(out, s, strlen(s));
}

/* -- characters ---------------------------------------------------------- */

/* What shows text that is not there, or none where there is some.  The joiners
 * stay: scripts and emoji need them, and a screen has no two texts to compare.
 */
static bool
replay_hides(uint32_t cp)
{
	return utf8_is_hidden(cp) && cp != 0x200c && cp != 0x200d;
}

static int
replay_unknown(const struct replay_filter *f, struct buf *out)
{
	return replay_text(out, f->ascii ? "?" : "\xef\xbf\xbd");
}

/* A whole character above U+007F. */
static int
replay_wide(const struct replay_filter *f, const uint8_t *p, size_t n,
    uint32_t cp, struct buf *out)
{
	if (utf8_is_control(cp) || replay_hides(cp))
		return replay_unknown(f, out);
	/* In a terminal of another character set its bytes could be C1. */
	if (f->ascii)
		return replay_text(out, "?");
	return buf_put(out, p, n);
}

/* A byte above 0x7f: collects a character. */
static int
replay_utf8(struct replay_filter *f, uint8_t c, struct buf *out)
{
	uint32_t cp;
	size_t n, want;
	int r = 0;

	/* A byte that does not go on what is there ends it. */
	if (f->nutf8 > 0 && (c & 0xc0) != 0x80) {
		f->nutf8 = 0;
		if ((r = replay_unknown(f, out)) != 0)
			return r;
	}
	f->utf8[f->nutf8++] = c;
	want = f->utf8[0] >= 0xf0 ? 4 : f->utf8[0] >= 0xe0 ? 3 : 2;
	if ((f->utf8[0] & 0xc0) == 0x80 || f->utf8[0] > 0xf4)
		want = 1;
	if (f->nutf8 < want)
		return 0;
	n = f->nutf8;
	f->nutf8 = 0;
	if (utf8_next(f->utf8, n, &cp) != n)
		return replay_unknown(f, out);
	return replay_wide(f, f->utf8, n, cp, out);
}

static int
replay_ascii(uint8_t c, struct buf *out)
{
	switch (c) {
	case '\r':
	case '\n':
	case '\b':
	case '\t':
		return buf_put(out, &c, 1);
	case '\v':
	case '\f':
		return buf_put(out, "\n", 1); /* as terminals take them */
	default:
		return c < 0x20 || c == 0x7f ? 0 : buf_put(out, &c, 1);
	}
}

/* -- CSI ----------------------------------------------------------------- */

struct replay_param {
	uint32_t n; /* clamped */
	bool given;
	bool sub; /* came after a colon */
};

/* Numbers between ';' and ':'; false for anything else. */
static bool
replay_params(const char *s, size_t n, struct replay_param *p, size_t *np)
{
	size_t k = 0;

	p[0] = (struct replay_param){ 0 };
	for (size_t i = 0; i < n; i++) {
		if (s[i] >= '0' && s[i] <= '9') {
			p[k].given = true;
			if (p[k].n <= REPLAY_NUMBER_MAX)
				p[k].n = p[k].n * 10 + (uint32_t)(s[i] - '0');
			continue;
		}
		if ((s[i] != ';' && s[i] != ':') || ++k == REPLAY_PARAMS_MAX)
			return false;
		p[k] = (struct replay_param){ .sub = s[i] == ':' };
	}
	for (size_t i = 0; i <= k; i++) {
		if (p[i].n > REPLAY_NUMBER_MAX)
			p[i].n = REPLAY_NUMBER_MAX;
	}
	*np = n == 0 ? 0 : k + 1;
	return true;
}

static int
replay_put_params(
    const struct replay_param *p, size_t n, char final, struct buf *out)
{
	int r = replay_text(out, ESC "[");

	for (size_t i = 0; i < n && r == 0; i++) {
		if (i > 0)
			r = replay_text(out, p[i].sub ? ":" : ";");
		if (r == 0 && p[i].given)
			r = buf_putf(out, "%u", (unsigned int)p[i].n);
	}
	return r != 0 ? r : buf_put(out, &final, 1);
}

/* How many parameters belong to the one at p: 38, 48 and 58 (colours) take
 * `;5;n` or `;2;r;g;b`; a colon binds what follows it.  0: malformed. */
static size_t
replay_sgr_len(const struct replay_param *p, size_t n)
{
	size_t k = 1;

	if (n > 1 && p[1].sub) {
		while (k < n && p[k].sub)
			k++;
		return k;
	}
	if (p[0].n != 38 && p[0].n != 48 && p[0].n != 58)
		return 1;
	k = n > 1 && p[1].n == 5 ? 3 : n > 1 && p[1].n == 2 ? 5 : 0;
	for (size_t i = 1; i < k && i < n; i++) {
		if (p[i].sub)
			return 0;
	}
	return k <= n ? k : 0;
}

static int
replay_sgr(const struct replay_param *p, size_t n, struct buf *out)
{
	struct replay_param keep[REPLAY_PARAMS_MAX];
	size_t k = 0, len;

	for (size_t i = 0; i < n; i += len) {
		if ((len = replay_sgr_len(p + i, n - i)) == 0)
			break;
		if (p[i].n == 8 || p[i].n > 107)
			continue; /* concealed text is for nobody's good */
		memcpy(keep + k, p + i, len * sizeof(*keep));
		k += len;
	}
	if (n > 0 && k == 0)
		return 0; /* an empty SGR would be a reset */
	return replay_put_params(keep, k, 'm', out);
}

/* CSI ? n ; n h or l */
static int
replay_mode(struct replay_filter *f, const struct replay_param *p, size_t n,
    char final, struct buf *out)
{
	bool on = final == 'h';
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (p[i].sub)
			break;
		if (p[i].n == 7 || p[i].n == 25) {
			r = buf_putf(
			    out, ESC "[?%u%c", (unsigned int)p[i].n, final);
		} else if ((p[i].n == 47 || p[i].n == 1047 || p[i].n == 1049) &&
			   f->alt != on) {
			f->alt = on;
			r = buf_putf(out, ESC "[?1049%c", final);
		}
	}
	return r;
}

static int
replay_known(const struct replay_row *row, const struct replay_param *p,
    size_t n, struct buf *out)
{
	if (row->kind == KIND_SGR)
		return replay_sgr(p, n, out);
	if (n > row->params)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i].sub)
			return 0;
	}
	if (row->kind == KIND_ERASE && n > 0 && p[0].n > 2)
		return 0;
	if (row->kind == KIND_REPEAT && n > 0 && p[0].n > REPLAY_REPEAT_MAX)
		return 0;
	return replay_put_params(p, n, row->final, out);
}

static int
replay_csi(struct replay_filter *f, char final, struct buf *out)
{
	struct replay_param p[REPLAY_PARAMS_MAX];
	bool private = f->ncsi > 0 && f->csi[0] == '?';
	size_t from = private ? 1 : 0, n;

	if (!replay_params(f->csi + from, f->ncsi - from, p, &n))
		return 0; /* other private marks, intermediates */
	if (private)
		return final == 'h' || final == 'l'
			   ? replay_mode(f, p, n, final, out)
			   : 0;
	for (size_t i = 0; i < sizeof(replay_table) / sizeof(replay_table[0]);
	     i++) {
		if (replay_table[i].final == final)
			return replay_known(&replay_table[i], p, n, out);
	}
	return 0;
}

/* -- escapes and strings ------------------------------------------------- */

static int
replay_escape(struct replay_filter *f, uint8_t c, struct buf *out)
{
	f->state = REPLAY_GROUND;
	switch (c) {
	case '[':
		f->state = REPLAY_CSI;
		f->ncsi = 0;
		return 0;
	case ']':
	case 'P':
	case 'X':
	case '^':
	case '_':
		f->state = REPLAY_STRING;
		f->osc = c == ']';
		f->string = 0;
		return 0;
	case '7':
	case '8':
	case 'D':
	case 'E':
	case 'M':
		return buf_putf(out, ESC "%c", c);
	case 'c':
		/* A full reset would change more than the picture. */
		return replay_text(out, ESC "[0m" ESC "[r" ESC "[H" ESC "[2J");
	default:
		if (c >= 0x20 && c <= 0x2f)
			f->state = REPLAY_ESCAPE_SKIP;
		return 0;
	}
}

/* A control string is swallowed up to its end; one without an end must not
 * hide the rest of the recording for ever. */
static int
replay_string(struct replay_filter *f, uint8_t c, struct buf *out)
{
	if (c == '\a' && f->osc) {
		f->state = REPLAY_GROUND;
		return 0;
	}
	if (++f->string <= REPLAY_STRING_MAX)
		return 0;
	f->state = REPLAY_GROUND;
	return replay_unknown(f, out);
}

static int
replay_csi_byte(struct replay_filter *f, uint8_t c, struct buf *out)
{
	if (c >= 0x40 && c <= 0x7e) {
		bool whole = f->state == REPLAY_CSI;

		f->state = REPLAY_GROUND;
		return whole ? replay_csi(f, (char)c, out) : 0;
	}
	if (c < 0x20)
		return replay_ascii(c, out); /* terminals obey it in between */
	if (c == 0x7f)
		return 0;
	if (c > 0x7f) { /* not part of any sequence */
		f->state = REPLAY_GROUND;
		return replay_utf8(f, c, out);
	}
	if (f->ncsi == sizeof(f->csi))
		f->state = REPLAY_CSI_SKIP;
	else
		f->csi[f->ncsi++] = (char)c;
	return 0;
}

static int
replay_ground(struct replay_filter *f, uint8_t c, struct buf *out)
{
	int r;

	if (c >= 0x80)
		return replay_utf8(f, c, out);
	if (f->nutf8 > 0) { /* cut off by an ASCII character */
		f->nutf8 = 0;
		if ((r = replay_unknown(f, out)) != 0)
			return r;
	}
	return replay_ascii(c, out);
}

static int
replay_byte(struct replay_filter *f, uint8_t c, struct buf *out)
{
	/* From anywhere: ESC begins anew, CAN and SUB end what was begun. */
	if (c == 0x1b || c == 0x18 || c == 0x1a) {
		f->state = c == 0x1b ? REPLAY_ESCAPE : REPLAY_GROUND;
		if (f->nutf8 == 0)
			return 0;
		f->nutf8 = 0;
		return replay_unknown(f, out);
	}
	switch ((enum replay_state)f->state) {
	case REPLAY_GROUND:
		return replay_ground(f, c, out);
	case REPLAY_ESCAPE:
		if (c >= 0x80) {
			f->state = REPLAY_GROUND;
			return replay_ground(f, c, out);
		}
		return c < 0x20 ? replay_ascii(c, out)
				: replay_escape(f, c, out);
	case REPLAY_ESCAPE_SKIP:
		if (c >= 0x30 || c < 0x20)
			f->state = REPLAY_GROUND;
		if (c >= 0x30 && c < 0x80)
			return 0; /* its final byte */
		return c < 0x20 || c >= 0x80 ? replay_ground(f, c, out) : 0;
	case REPLAY_CSI:
	case REPLAY_CSI_SKIP:
		return replay_csi_byte(f, c, out);
	case REPLAY_STRING:
		return replay_string(f, c, out);
	}
	return ERR_INTERNAL;
}

int
replay_filter(struct replay_filter *f, const void *p, size_t n, struct buf *out)
{
	const uint8_t *s = p;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = replay_byte(f, s[i], out);
	return r;
}

int
replay_flush(struct replay_filter *f, struct buf *out)
{
	return f->nutf8 > 0 ? replay_unknown(f, out) : 0;
}

int
replay_end(struct replay_filter *f, struct buf *out)
{
	int r;

	r = replay_flush(f, out);
	if (r == 0 && f->alt)
		r = replay_text(out, ESC "[?1049l");
	/* Margins move the cursor: kept by save and restore. */
	if (r == 0)
		r = replay_text(out,
		    ESC "[0m" ESC "7" ESC "[r" ESC "8" ESC "[?7h" ESC "[?25h");
	replay_init(f, f->ascii);
	return r;
}
