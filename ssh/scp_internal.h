/*
 * What the two parts of the filter of scp's protocol share.
 *
 *	scp.c		turns, bytes in and out, the manifest
 *	scp_line.c	a line of the sender's: taken apart, judged
 */
#ifndef POSTERN_SSH_SCP_INTERNAL_H
#define POSTERN_SSH_SCP_INTERNAL_H

#include "ssh/scp.h"

#define SCP_OUT_MAX 65536

enum scp_turn {
	SCP_TURN_READY,  /* the receiver's: its first byte */
	SCP_TURN_LINE,   /* the sender's */
	SCP_TURN_ANSWER, /* the receiver's, to a line */
	SCP_TURN_DATA,   /* the sender's: a file's bytes */
	SCP_TURN_STATUS, /* the sender's: how it could read them */
	SCP_TURN_STORED, /* the receiver's: how it could write them */
	SCP_TURN_BROKEN,
};

struct scp_queue {
	uint8_t d[SCP_OUT_MAX];
	size_t at, n;
};

/* Where we are, and where we are if the path that was asked for is a folder:
 * the sender does not know, and neither do we. */
struct scp_place {
	char path[SCP_PATH_MAX + 1];
	char alt[SCP_PATH_MAX + 1]; /* "": there is no other */
};

struct scp {
	struct scp_want want;
	enum scp_turn turn;
	struct scp_queue out[2];
	char line[SCP_LINE_MAX];
	size_t nline;
	char kind; /* of the line that waits for its answer */
	struct scp_place at[SCP_DEPTH_MAX + 1];
	size_t depth;
	size_t tops; /* files and folders at the top */
	struct scp_place file;
	const char *rule;
	bool open; /* a file is under way */
	bool bad;  /* one side could not read or write it */
	uint64_t left, passed;
	void *md; /* EVP_MD_CTX */
	size_t entries;
	uint32_t begun; /* lines that say so */
	bool begins;    /* the file's has no other line yet */
	char error[160];
};

/* -- scp.c */
enum scp_side scp_sender(const struct scp *s);
enum scp_side scp_receiver(const struct scp *s);
/* Ends the session: words without foreign bytes.  Always ERR_PROTO. */
int scp_broke(struct scp *s, enum scp_side side, const char *words);
/* For that side; there MUST be room (scp_wants). */
void scp_put(struct scp *s, enum scp_side side, const void *p, size_t n);
/* The file is about to be passed on: a line says so before its receiver knows.
 */
void scp_begin(struct scp *s, const struct scp_place *p);
/* A line of the manifest. */
int scp_report(struct scp *s, const struct scp_place *p, bool folder,
    enum scp_result result, const char *sha256);

/* -- scp_line.c */
/* s->line has come whole. */
int scp_line(struct scp *s);
/* A complaint, without control characters. */
void scp_pass_text(struct scp *s, enum scp_side to, const char *line);

#endif
