/*
 * Lines of an answer's header.  Runs in postern-oidc; they are the words of a
 * web server.
 */
#include "config.h"

#include "broker/http_head.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "lib/err.h"

/* The number behind name in a list of directives, -1 when it is not there. */
static int64_t
http_number(const char *s, size_t n)
{
	int64_t v = 0;

	if (n == 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		if (v <
		    INT32_MAX) /* RFC 9111 section 1.2.2: larger is as good */
			v = v * 10 + (s[i] - '0');
	}
	return v < INT32_MAX ? v : INT32_MAX;
}

/* Cuts blanks off both ends. */
static void
http_trim(const char **s, size_t *n)
{
	while (*n > 0 && strchr(" \t\r\n", **s) != NULL) {
		(*s)++;
		(*n)--;
	}
	while (*n > 0 && strchr(" \t\r\n", (*s)[*n - 1]) != NULL)
		(*n)--;
}

static bool
http_word(const char *s, size_t n, const char *word)
{
	return n == strlen(word) && strncasecmp(s, word, n) == 0;
}

int64_t
http_cache_control(const char *s, size_t n)
{
	const char *end = s + n, *comma, *part;
	int64_t age = -1;
	size_t len;

	for (; s < end; s = comma + 1) {
		if ((comma = memchr(s, ',', (size_t)(end - s))) == NULL)
			comma = end;
		part = s;
		len = (size_t)(comma - s);
		http_trim(&part, &len);
		if (http_word(part, len, "no-store") ||
		    http_word(part, len, "no-cache"))
			return 0;
		if (len > 8 && strncasecmp(part, "max-age=", 8) == 0)
			age = http_number(part + 8, len - 8);
		if (comma == end)
			break;
	}
	return age;
}

/* The value of a header line when it is that header's. */
static bool
http_header_is(
    const char *line, size_t n, const char *name, const char **v, size_t *vn)
{
	size_t k = strlen(name);

	if (n <= k || strncasecmp(line, name, k) != 0 || line[k] != ':')
		return false;
	*v = line + k + 1;
	*vn = n - k - 1;
	http_trim(v, vn);
	return true;
}

/* An entity tag that may go back as it came: W/ or not, and in quotes no other
 * byte than those of a tag, none that could end a header's line. */
static bool
http_etag_ok(const char *s, size_t n)
{
	if (n > 2 && memcmp(s, "W/", 2) == 0) {
		s += 2;
		n -= 2;
	}
	if (n < 2 || s[0] != '"' || s[n - 1] != '"')
		return false;
	for (size_t i = 1; i < n - 1; i++) {
		if (s[i] < 0x21 || s[i] > 0x7e || s[i] == '"')
			return false;
	}
	return true;
}

void
http_head_init(struct http_head *h)
{
	*h = (struct http_head){ .max_age = -1, .age = -1 };
}

int
http_head_line(struct http_head *h, const char *line, size_t n)
{
	const char *v;
	size_t vn;

	if (h->bytes + n > HTTP_HEADERS_MAX)
		return ERR_TOOBIG;
	h->bytes += n;
	if (http_header_is(line, n, "Cache-Control", &v, &vn)) {
		h->max_age = http_cache_control(v, vn);
	} else if (http_header_is(line, n, "Age", &v, &vn)) {
		h->age = http_number(v, vn);
	} else if (http_header_is(line, n, "ETag", &v, &vn)) {
		h->etag[0] = '\0';
		if (vn <= HTTP_ETAG_MAX && http_etag_ok(v, vn)) {
			memcpy(h->etag, v, vn);
			h->etag[vn] = '\0';
		}
	}
	return 0;
}

int64_t
http_head_lives(const struct http_head *h)
{
	if (h->max_age <= 0 || h->age <= 0)
		return h->max_age;
	return h->age < h->max_age ? h->max_age - h->age : 0;
}
