/*
 * What judges a session of files, or with a repository, on its way, whichever
 * protocol it speaks, and writes its manifest.  Bytes of a side go in, what may
 * pass comes out on the other.
 */
#ifndef POSTERN_BROKER_HOP_FILTER_H
#define POSTERN_BROKER_HOP_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hop;
struct hop_filter;

enum filter_side { FILTER_JOB = 0, FILTER_TARGET = 1 };

/* For what h->run grants. */
int hop_filter_new(struct hop *h, struct hop_filter **out);
/* Takes NULL. */
void hop_filter_free(struct hop_filter *f);

/* As sftp.h's and scp.h's. */
int hop_filter_take(struct hop_filter *f, enum filter_side side, const void *p,
    size_t n, size_t *took);
bool hop_filter_wants(const struct hop_filter *f, enum filter_side side);
const uint8_t *hop_filter_out(
    const struct hop_filter *f, enum filter_side side, size_t *n);
void hop_filter_sent(struct hop_filter *f, enum filter_side side, size_t n);
/* All that the job said was passed on. */
bool hop_filter_idle(const struct hop_filter *f);
/* What is still open goes into the manifest. */
void hop_filter_end(struct hop_filter *f);
const char *hop_filter_error(const struct hop_filter *f);
/* Nothing more will pass, and the job has its answer; eof: it says nothing
 * more.
 */
bool hop_filter_refused(const struct hop_filter *f, bool eof);

struct hop *hop_filter_hop(const struct hop_filter *f);
/* A manifest is whole, or the session ends: what writing one of its lines
 * answered. */
void hop_filter_wrote(struct hop_filter *f, int r);
/* Where they go, and how many bytes there are. */
int hop_filter_sidecar(struct hop_filter *f, uint64_t **bytes);

/* hop_git.c */
struct git;
int hop_git_new(struct hop_filter *f, struct git **out);

#endif
