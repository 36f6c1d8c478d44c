/*
 * What the parts of the filter for git share:
 *
 *	git.c		bytes in, lines out: who is listened to, and when
 *	git_adv.c	what the target offers: refs and capabilities
 *	git_fetch.c	what the job asks for, of a fetch or an archive
 *	git_push.c	what the job sends, and the target's report of it
 */
#ifndef POSTERN_SSH_GIT_INTERNAL_H
#define POSTERN_SSH_GIT_INTERNAL_H

#include "lib/buf.h"
#include "ssh/git.h"
#include "ssh/pktline.h"

#define GIT_OUT_LOW (64UL * 1024)       /* waits for a side: no more is taken */
#define GIT_OUT_MAX (8UL * 1024 * 1024) /* a list and its refusal */
#define GIT_HELD_MAX (2UL * 1024 * 1024)
#define GIT_NAMES_MAX (8UL * 1024 * 1024)
#define GIT_CAPS_MAX 4096UL
#define GIT_ALIKE_MAX 16 /* refs that are named for one object */

enum git_phase {
	GIT_QUIET,   /* nothing of this side is taken for now */
	GIT_LIST,    /* lines, each looked at */
	GIT_OPTIONS, /* of a push: lines, behind its list */
	GIT_REPORT,  /* of a push: the target's */
	GIT_PASS,    /* bytes */
	GIT_DRAIN,   /* bytes that go nowhere */
	GIT_OVER,
};

/* A ref that the job was told of. */
struct git_seen {
	char oid[PKT_OID_MAX + 1];
	uint32_t name; /* in names */
};

/* One of a push. */
struct git_command {
	char old[PKT_OID_MAX + 1], new[PKT_OID_MAX + 1];
	uint32_t name; /* in names */
	const char *rule;
	bool refused, told;
};

struct git {
	struct git_want want;
	enum git_phase phase[2];
	struct buf in[2];  /* a line that is not all there */
	struct buf out[2]; /* to that side */
	struct buf names;  /* NUL-terminated, one after the other */
	char error[PKT_REF_MAX + 2 * GIT_WHY_MAX];
	bool refused;
	/* what the target offered */
	struct buf caps;
	bool offered;    /* caps are there */
	bool caps_sent;  /* and on their way to the job */
	bool hid;        /* some ref */
	bool last_shown; /* the ref before: what is peeled follows it */
	char last[PKT_REF_MAX + 1];
	size_t oid_len;
	struct git_seen *seen;
	size_t nseen, capseen;
	/* a fetch */
	char (*wanted)[PKT_OID_MAX + 1];
	size_t nwanted, capwanted;
	/* an archive */
	struct buf held; /* of a push, too: until all is judged */
	size_t nargs;
	bool value_next; /* of an option */
	char tree[PKT_REF_MAX + 1];
	const char *tree_rule;
	/* a push */
	struct git_command *command;
	size_t ncommand, capcommand, nrefused;
	bool packs;  /* one of them needs a pack */
	bool passed; /* the list was */
	bool report, band, options;
	struct buf inner; /* of the report: a line that is not all there */
	size_t next;      /* that the report will speak of */
	bool unpacked;
	size_t drained;
};

/* git.c */
/* That side is at fault. */
int git_broke(struct git *g, enum git_side side, const char *words);
int git_put(struct git *g, enum git_side side, const struct pkt *k);
int git_put_flush(struct git *g, enum git_side side);
/* Its place in names; UINT32_MAX: there is no room. */
uint32_t git_name(struct git *g, const char *name);
const char *git_name_at(const struct git *g, uint32_t at);
/* One more element. */
int git_grow(void *vp, size_t n, size_t *cap, size_t max, size_t size);

/* git_adv.c */
int git_adv_line(struct git *g, const struct pkt *k);
/* Writes those of the words that are known, with a space before each. */
int git_caps_put(struct git *g, const struct pkt_text *words, struct buf *out);
bool git_caps_have(const struct pkt_text *words, const char *name);
/* The refs that the job was told of by this object's name: the first, and how
 * many. */
const struct git_seen *git_seen_find(
    const struct git *g, const char *oid, size_t *n);

/* git_fetch.c */
int git_fetch_line(struct git *g, const struct pkt *k);
int git_archive_line(struct git *g, const struct pkt *k);

/* git_push.c */
int git_push_line(struct git *g, const struct pkt *k);
int git_option_line(struct git *g, const struct pkt *k);
int git_report_line(struct git *g, const struct pkt *k);
/* What the report did not speak of. */
void git_push_end(struct git *g);

#endif
