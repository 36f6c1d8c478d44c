/*
 * GET over HTTPS for the issuers' documents, by libcurl, in the poll loop.
 * https alone, to public addresses and those that the settings name,
 * certificate and host name checked, no redirects, no proxy, no cookies, no
 * compression; bounded in time and in size.
 */
#ifndef POSTERN_BROKER_HTTP_H
#define POSTERN_BROKER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;
struct http_req;
struct loop;
struct reach;

#define HTTP_BODY_MAX (256 * 1024)
#define HTTP_CONNECT_MS 4000
#define HTTP_TOTAL_MS 7000 /* under the default login deadline */
#define HTTP_REQS_MAX 128
#define HTTP_WHY_MAX 256

struct http_answer {
	int r;            /* 0: a whole answer with status 200, or same */
	bool same;        /* 304: what the tag was of is still so; no body */
	const char *why;  /* what went wrong; partly the server's words */
	const void *body; /* valid during the callback */
	size_t len;
	int64_t max_age;  /* s, Cache-Control less Age; -1: it did not say */
	const char *etag; /* its tag, as http_ask takes it; "" or NULL: none */
};
typedef void (*http_cb)(void *arg, const struct http_answer *a);

struct http_ask {
	const char *url;
	const char *etag; /* of what is at hand; "" or NULL: nothing is */
	http_cb cb;
	void *arg;
};

struct http *http_new(struct loop *l);
/* Ends everything that runs; nothing is called back. */
void http_free(struct http *h);
/* Trusts exactly the certificates of this PEM bundle (copied); without it the
 * system's. */
int http_set_ca(struct http *h, const void *pem, size_t n);

/* Where else than in the public internet servers may be (copied). */
void http_set_reach(struct http *h, const struct reach *r);

/* Starts a request.  Its cb is called once, later, from the loop, unless the
 * request is cancelled.  ask is not kept. */
int http_get(struct http *h, const struct http_ask *ask, struct http_req **out);
/* Takes NULL.  Not inside its own cb. */
void http_cancel(struct http_req *q);

/* https, a host, no user, no fragment. */
bool http_url_ok(const char *url);
/* Both are such URLs, of the same host and port. */
bool http_same_origin(const char *a, const char *b);

#endif
