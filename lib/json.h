/*
 * Writing JSON: one escape rule for the ledger, recordings, sidecars and every
 * --json.  Reading is jansson's work.
 *
 *	json_init(&j, &b);
 *	json_open(&j, '{'); json_key(&j, "exit"); json_num(&j, 0);
 *	json_close(&j, '}'); r = json_end(&j);
 *
 * Errors stick: the first one is what json_end returns.
 */
#ifndef POSTERN_LIB_JSON_H
#define POSTERN_LIB_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

struct json {
	struct buf *b;
	int r;
	bool comma;
};

void json_init(struct json *j, struct buf *b);
void json_open(struct json *j, char bracket);	/* '{' or '[' */
void json_close(struct json *j, char bracket);	/* '}' or ']' */
void json_key(struct json *j, const char *key);
void json_str(struct json *j, const char *s);
/* n bytes; each invalid UTF-8 sequence becomes U+FFFD.  Control characters,
 * DEL, C1, bidi controls and U+2028/2029 are escaped, so that a line of JSON
 * is harmless on a terminal. */
void json_strn(struct json *j, const void *p, size_t n);
void json_num(struct json *j, uint64_t n);
void json_int(struct json *j, int64_t n);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);
/* A member in one call. */
void json_kv_str(struct json *j, const char *key, const char *s);
void json_kv_num(struct json *j, const char *key, uint64_t n);
void json_kv_bool(struct json *j, const char *key, bool v);
void json_kv_open(struct json *j, const char *key, char bracket);
int json_end(const struct json *j);

#endif
