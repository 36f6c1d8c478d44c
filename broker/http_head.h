/*
 * What we read of an answer's header: how long it may be used (RFC 9111), and
 * its entity tag (RFC 9110 section 8.8.3).
 */
#ifndef POSTERN_BROKER_HTTP_HEAD_H
#define POSTERN_BROKER_HTTP_HEAD_H

#include <stddef.h>
#include <stdint.h>

#define HTTP_HEADERS_MAX (32 * 1024)
#define HTTP_ETAG_MAX 256 /* bytes; a longer one is none */

struct http_head {
	size_t bytes;
	int64_t max_age, age;         /* s; -1: it did not say */
	char etag[HTTP_ETAG_MAX + 1]; /* as it is sent back; "": none */
};

void http_head_init(struct http_head *h);
/* One line more.  ERR_TOOBIG: more than HTTP_HEADERS_MAX of them. */
int http_head_line(struct http_head *h, const char *line, size_t n);
/* Cache-Control less Age, in seconds; -1: it did not say. */
int64_t http_head_lives(const struct http_head *h);
/* What a Cache-Control value says: seconds, 0 for no-store and no-cache, -1
 * when it says nothing we understand. */
int64_t http_cache_control(const char *s, size_t n);

#endif
