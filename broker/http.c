/*
 * HTTPS requests in the poll loop.  Runs in postern-oidc.  The server at the
 * other end is one that the policy names, once TLS has shown that it is; until
 * then it is anybody, and afterwards it may still send too much, too slowly or
 * too long.
 */
#include "config.h"

#include "broker/http.h"

#include <sys/socket.h>

#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "broker/http_head.h"
#include "broker/loop.h"
#include "broker/reach.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/str.h"

#define HTTP_ADDRESS_MAX 64 /* an address as text */

struct http_req {
	struct http_req *next, **prev;
	struct http *http;
	CURL *easy;
	struct curl_slist *headers;
	http_cb cb;
	void *arg;
	struct buf body;
	struct http_head head;
	bool conditional; /* a tag was sent */
	char why[CURL_ERROR_SIZE];
	/* an address that was not connected to; "" for none */
	char refused[HTTP_ADDRESS_MAX];
};

struct http {
	struct loop *loop;
	CURLM *multi;
	struct timer *timer;
	struct http_req *reqs;
	size_t nreqs;
	struct buf ca;
	struct reach reach;
};

/* -- what the answer says ------------------------------------------------ */

static size_t
http_on_header(char *line, size_t one, size_t n, void *arg)
{
	struct http_req *q = arg;

	(void)one; /* always 1 */
	return http_head_line(&q->head, line, n) == 0 ? n : 0;
}

static size_t
http_on_body(char *p, size_t one, size_t n, void *arg)
{
	struct http_req *q = arg;

	(void)one; /* always 1 */
	/* CURLOPT_MAXFILESIZE believes the header; this counts */
	return buf_put(&q->body, p, n) == 0 ? n : 0;
}

/* -- the loop ------------------------------------------------------------ */

static void
http_free_req(struct http_req *q)
{
	if ((*q->prev = q->next) != NULL)
		q->next->prev = q->prev;
	q->http->nreqs--;
	(void)curl_multi_remove_handle(q->http->multi, q->easy);
	curl_easy_cleanup(q->easy);
	curl_slist_free_all(q->headers);
	buf_clear(&q->body);
	free(q);
}

static void
http_finish(struct http_req *q, CURLcode code)
{
	struct http_answer a = { .r = ERR_SYS,
		.why = q->why,
		.max_age = http_head_lives(&q->head),
		.etag = q->head.etag };
	char text[HTTP_WHY_MAX];
	long status = 0;

	(void)curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
	/* ours, or curl's own word for the same */
	if (code == CURLE_WRITE_ERROR || code == CURLE_FILESIZE_EXCEEDED) {
		a.r = ERR_TOOBIG;
		a.why = "the answer is too long";
	} else if (code != CURLE_OK && q->refused[0] != '\0') {
		a.r = ERR_DENIED;
		(void)snprintf(text, sizeof(text),
		    "%s is not an address of "
		    "the public internet: if it is the issuer's, postern.conf "
		    "names it with issuer-address",
		    q->refused);
		a.why = text;
	} else if (code != CURLE_OK) {
		a.r = code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_SYS;
		if (q->why[0] == '\0')
			a.why = curl_easy_strerror(code);
	} else if (status == 304 && q->conditional) {
		a.r = 0;
		a.same = true;
	} else if (status != 200) {
		a.r = ERR_DENIED;
		(void)snprintf(text, sizeof(text), "the answer is HTTP %ld",
		    status);
		a.why = text;
	} else {
		a.r = 0;
		a.body = buf_ptr(&q->body);
		a.len = buf_len(&q->body);
	}
	q->cb(q->arg, &a);
	http_free_req(q);
}

static void
http_collect(struct http *h)
{
	struct http_req *q;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		if (curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE,
		    &q) == CURLE_OK)
			http_finish(q, code);
	}
}

static void
http_on_event(void *arg, int fd, short revents)
{
	struct http *h = arg;
	int what = 0, running;

	if ((revents & POLLIN) != 0)
		what |= CURL_CSELECT_IN;
	if ((revents & POLLOUT) != 0)
		what |= CURL_CSELECT_OUT;
	if ((revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
		what |= CURL_CSELECT_ERR;
	(void)curl_multi_socket_action(h->multi, fd, what, &running);
	http_collect(h);
}

static void
http_on_timer(void *arg)
{
	struct http *h = arg;
	int running;

	h->timer = NULL;
	(void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0,
	    &running);
	http_collect(h);
}

/* libcurl wants to be woken for a socket. */
static int
http_want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock)
{
	struct http *h = arg;
	struct watch *w = sock;
	short events;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		watch_free(w);
		(void)curl_multi_assign(h->multi, fd, NULL);
		return 0;
	}
	events = what == CURL_POLL_IN ? POLLIN :
	    what == CURL_POLL_OUT ? POLLOUT : POLLIN | POLLOUT;
	if (w != NULL) {
		watch_set_events(w, events);
		return 0;
	}
	if ((w = loop_watch(h->loop, fd, events, http_on_event, h)) == NULL)
		fatal(ERR_NOMEM, "https"); /* see http_want_timer */
	(void)curl_multi_assign(h->multi, fd, w);
	return 0;
}

/* libcurl wants to be woken in ms; it must not be called from in here. */
static int
http_want_timer(CURLM *multi, long ms, void *arg)
{
	struct http *h = arg;

	(void)multi;
	timer_free(h->timer);
	h->timer = NULL;
	if (ms < 0)
		return 0;
	h->timer = loop_timer(h->loop, ms, http_on_timer, h);
	/* An error said here would end every transfer, now and later: libcurl
	 * gives such a handle up for good.  Another life does not. */
	if (h->timer == NULL)
		fatal(ERR_NOMEM, "https");
	return 0;
}

/* The one place where a socket is made: what it is about to be connected to is
 * an address, whatever name that came from and however often it was resolved.
 */
static curl_socket_t
http_open_socket(void *arg, curlsocktype what, struct curl_sockaddr *a)
{
	struct http_req *q = arg;

	if (what != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	if (!reach_allows(&q->http->reach, &a->addr, a->addrlen)) {
		if (getnameinfo(&a->addr, a->addrlen, q->refused,
			sizeof(q->refused), NULL, 0, NI_NUMERICHOST) != 0)
			(void)str_copy(
			    q->refused, sizeof(q->refused), "its address");
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* -- requests ------------------------------------------------------------ */

struct http *
http_new(struct loop *l)
{
	struct http *h;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (h = calloc(1, sizeof(*h))) == NULL)
		return NULL;
	h->loop = l;
	buf_init(&h->ca, 4 * 1024 * 1024);
	if ((h->multi = curl_multi_init()) == NULL ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION,
	    http_want_socket) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION,
	    http_want_timer) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 8L) != CURLM_OK) {
		http_free(h);
		return NULL;
	}
	return h;
}

void
http_free(struct http *h)
{
	if (h == NULL)
		return;
	while (h->reqs != NULL)
		http_free_req(h->reqs);
	if (h->multi != NULL)
		(void)curl_multi_cleanup(h->multi);
	timer_free(h->timer);
	buf_clear(&h->ca);
	free(h);
}

int
http_set_ca(struct http *h, const void *pem, size_t n)
{
	buf_reset(&h->ca);
	return n == 0 ? ERR_FORMAT : buf_put(&h->ca, pem, n);
}

void
http_set_reach(struct http *h, const struct reach *r)
{
	h->reach = *r;
}

#define HTTP_SET(q, option, value) \
	(curl_easy_setopt((q)->easy, option, value) == CURLE_OK)

/* MUST all succeed: a libcurl that lacks one is not the one we reasoned on. */
static bool
http_restrict(struct http_req *q)
{
	return HTTP_SET(q, CURLOPT_PROTOCOLS_STR, "https") &&
	       HTTP_SET(q, CURLOPT_REDIR_PROTOCOLS_STR, "https") &&
	       HTTP_SET(q, CURLOPT_FOLLOWLOCATION, 0L) &&
	       HTTP_SET(q, CURLOPT_SSL_VERIFYPEER, 1L) &&
	       HTTP_SET(q, CURLOPT_SSL_VERIFYHOST, 2L) &&
	       HTTP_SET(q, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
	       HTTP_SET(q, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       HTTP_SET(q, CURLOPT_PROXY, "") && /* nor the environment's */
	       HTTP_SET(q, CURLOPT_NOPROXY, "*") &&
	       HTTP_SET(q, CURLOPT_OPENSOCKETFUNCTION, http_open_socket) &&
	       HTTP_SET(q, CURLOPT_OPENSOCKETDATA, q) &&
	       HTTP_SET(q, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) &&
	       HTTP_SET(q, CURLOPT_NOSIGNAL, 1L) &&
	       HTTP_SET(q, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_MS) &&
	       HTTP_SET(q, CURLOPT_TIMEOUT_MS, (long)HTTP_TOTAL_MS) &&
	       HTTP_SET(q, CURLOPT_MAXFILESIZE, (long)HTTP_BODY_MAX);
}

static bool
http_trust(struct http_req *q)
{
	struct curl_blob ca = { .data = q->http->ca.d,
		.len = buf_len(&q->http->ca), .flags = CURL_BLOB_NOCOPY };

	if (ca.len == 0)
		return true;
	/* without the second, the system's folder would be trusted, too */
	return HTTP_SET(q, CURLOPT_CAINFO_BLOB, &ca) &&
	    HTTP_SET(q, CURLOPT_CAPATH, NULL);
}

static bool
http_add_header(struct http_req *q, const char *line)
{
	struct curl_slist *more = curl_slist_append(q->headers, line);

	if (more != NULL)
		q->headers = more;
	return more != NULL;
}

static bool
http_add_etag(struct http_req *q, const char *etag)
{
	char line[HTTP_ETAG_MAX + 32];
	int n;

	q->conditional = etag != NULL && *etag != '\0';
	if (!q->conditional)
		return true;
	n = snprintf(line, sizeof(line), "If-None-Match: %s", etag);
	return n > 0 && (size_t)n < sizeof(line) && http_add_header(q, line);
}

static bool
http_prepare(struct http_req *q, const struct http_ask *ask)
{
	return http_add_header(q, "Accept: application/json") &&
	       http_add_etag(q, ask->etag) &&
	       HTTP_SET(q, CURLOPT_URL, ask->url) &&
	       HTTP_SET(q, CURLOPT_HTTPHEADER, q->headers) &&
	       HTTP_SET(q, CURLOPT_USERAGENT, "postern") &&
	       HTTP_SET(q, CURLOPT_PRIVATE, q) &&
	       HTTP_SET(q, CURLOPT_ERRORBUFFER, q->why) &&
	       HTTP_SET(q, CURLOPT_HEADERFUNCTION, http_on_header) &&
	       HTTP_SET(q, CURLOPT_HEADERDATA, q) &&
	       HTTP_SET(q, CURLOPT_WRITEFUNCTION, http_on_body) &&
	       HTTP_SET(q, CURLOPT_WRITEDATA, q);
}

int
http_get(struct http *h, const struct http_ask *ask, struct http_req **out)
{
	struct http_req *q;

	if (h->nreqs >= HTTP_REQS_MAX)
		return ERR_TOOBIG;
	if (!http_url_ok(ask->url))
		return ERR_FORMAT;
	if ((q = calloc(1, sizeof(*q))) == NULL)
		return ERR_NOMEM;
	*q = (struct http_req){ .http = h,
		.cb = ask->cb,
		.arg = ask->arg,
		.next = h->reqs,
		.prev = &h->reqs };
	http_head_init(&q->head);
	buf_init(&q->body, HTTP_BODY_MAX);
	if (h->reqs != NULL)
		h->reqs->prev = &q->next;
	h->reqs = q;
	h->nreqs++;
	if ((q->easy = curl_easy_init()) == NULL || !http_restrict(q) ||
	    !http_trust(q) || !http_prepare(q, ask) ||
	    curl_multi_add_handle(h->multi, q->easy) != CURLM_OK) {
		http_free_req(q);
		return ERR_INTERNAL;
	}
	*out = q;
	return 0;
}

void
http_cancel(struct http_req *q)
{
	if (q != NULL)
		http_free_req(q);
}

/* -- addresses ----------------------------------------------------------- */

/* The parsed URL when it is one we fetch; the caller curl_url_cleanups it. */
static CURLU *
http_url(const char *url)
{
	CURLU *u;
	char *part = NULL;
	CURLUcode set;
	bool ok;

	/* libcurl would take one slash or three, too */
	if (strncasecmp(url, "https://", 8) != 0 || url[8] == '/')
		return NULL;
	/* Without memory a good issuer would look like one we cannot use, and
	 * nobody would look again. */
	u = curl_url();
	set = u == NULL ? CURLUE_OUT_OF_MEMORY
			: curl_url_set(u, CURLUPART_URL, url, 0);
	if (set == CURLUE_OUT_OF_MEMORY)
		fatal(ERR_NOMEM, "https");
	ok = set == CURLUE_OK &&
	     curl_url_get(u, CURLUPART_SCHEME, &part, 0) == CURLUE_OK &&
	     strcmp(part, "https") == 0;
	curl_free(part);
	part = NULL;
	ok = ok && curl_url_get(u, CURLUPART_HOST, &part, 0) == CURLUE_OK &&
	    *part != '\0';
	curl_free(part);
	part = NULL;
	ok = ok &&
	    curl_url_get(u, CURLUPART_USER, &part, 0) == CURLUE_NO_USER &&
	    curl_url_get(u, CURLUPART_FRAGMENT, &part, 0) ==
	    CURLUE_NO_FRAGMENT;
	curl_free(part);
	if (!ok) {
		curl_url_cleanup(u);
		return NULL;
	}
	return u;
}

bool
http_url_ok(const char *url)
{
	CURLU *u = http_url(url);

	curl_url_cleanup(u);
	return u != NULL;
}

static bool
http_same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *x = NULL, *y = NULL;
	bool same;

	same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	    curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	    strcasecmp(x, y) == 0;
	curl_free(x);
	curl_free(y);
	return same;
}

bool
http_same_origin(const char *a, const char *b)
{
	CURLU *x = http_url(a), *y = http_url(b);
	bool same;

	same = x != NULL && y != NULL &&
	    http_same_part(x, y, CURLUPART_HOST) &&
	    http_same_part(x, y, CURLUPART_PORT);
	curl_url_cleanup(x);
	curl_url_cleanup(y);
	return same;
}
