/*
 * Signed notes (C2SP signed-note) with Ed25519 keys, and the checkpoints of a
 * log that are such notes (C2SP tlog-checkpoint).  Keys are written as
 * NAME+ID+BASE64, ID being the first four bytes of SHA-256(NAME \n 01 KEY) in
 * hexadecimal, BASE64 being of 01 and the 32 bytes of the key.
 */
#ifndef POSTERN_AUDIT_NOTE_H
#define POSTERN_AUDIT_NOTE_H

#include <stddef.h>
#include <stdint.h>

#include "audit/tree.h"
#include "lib/secret.h"

struct buf;

#define NOTE_MAX 8192 /* bytes of a note that is read at all */
#define NOTE_NAME_MAX 63
#define NOTE_KEY_MAX 160 /* a key as text, and its NUL */
#define NOTE_KEY_LEN 32
#define NOTE_SIGNATURES_MAX 16

struct note_key {
	char name[NOTE_NAME_MAX + 1];
	uint8_t id[4];
	uint8_t pub[NOTE_KEY_LEN];
};

struct note_signer {
	struct note_key key;
	struct secret seed;
};

/* A name is printable ASCII without blank and `+`.  ERR_FORMAT: text is not a
 * key, or its ID is another's. */
int note_key_parse(const char *text, struct note_key *k);
void note_key_text(const struct note_key *k, char text[NOTE_KEY_MAX]);

/* A new key; one from the text of its file, PRIVATE+KEY+NAME+ID+BASE64, where
 * BASE64 is of 01 and the seed; that text.  *s may be uninitialised. */
int note_signer_new(struct note_signer *s, const char *name);
int note_signer_parse(struct note_signer *s, const struct secret *text);
int note_signer_text(const struct note_signer *s, struct secret *text);
void note_signer_clear(struct note_signer *s);

/* Appends the note: text, which ends with a newline, and our signature. */
int note_sign(
    const struct note_signer *s, const void *text, size_t n, struct buf *note);
/* Is it signed by k?  *textlen bytes of it are the text.  ERR_FORMAT: not a
 * note; ERR_NOTFOUND: no signature of k's; ERR_CRYPTO: one that is wrong. */
int note_verify(
    const void *note, size_t n, const struct note_key *k, size_t *textlen);

struct checkpoint {
	char origin[NOTE_NAME_MAX + 1];
	uint64_t size;
	struct tree_hash root;
	const char *more; /* further lines, inside the text */
	size_t more_len;
};

/* The text of a checkpoint; more is "" or lines. */
int checkpoint_text(const char *origin, uint64_t size,
    const struct tree_hash *root, const char *more, struct buf *text);
/* From the text of a note, or a whole note.  ERR_FORMAT. */
int checkpoint_parse(const void *text, size_t n, struct checkpoint *c);

#endif
