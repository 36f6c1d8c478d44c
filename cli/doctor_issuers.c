/*
 * postern doctor: can issuers be asked for their keys, and what is the time?
 * Runs as no longer root.  Distrusts issuers: what they send is bounded and
 * taken apart by libraries.
 */
#include "config.h"

#include "cli/doctor.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>
#include <jansson.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/str.h"
#include "policy/policy.h"

#define FETCH_S 10L
#define FETCH_MAX (1024 * 1024)
#define CLOCK_OFF_S 30 /* half of the leeway that tokens have */
#define WHAT_MAX 400

struct fetch {
	struct buf body;
	long date; /* the server's, Unix seconds; -1: it gives none */
	bool long_;
	char why[CURL_ERROR_SIZE];
};

static size_t
on_body(char *p, size_t one, size_t n, void *arg)
{
	struct fetch *f = arg;

	if (buf_put(&f->body, p, one * n) == 0)
		return n;
	f->long_ = true;
	return 0;
}

static size_t
on_header(char *p, size_t one, size_t n, void *arg)
{
	struct fetch *f = arg;
	char text[64];
	size_t len = one * n;

	if (len > 6 && len < sizeof(text) && strncasecmp(p, "date: ", 6) == 0) {
		memcpy(text, p + 6, len - 6);
		text[len - 6] = '\0';
		f->date = (long)curl_getdate(text, NULL);
	}
	return n;
}

/* The document, or why not. */
static int
fetch(struct doctor *d, const char *url, struct fetch *f)
{
	struct curl_blob ca = { .data =
				    (void *)(uintptr_t)buf_ptr(&d->issuer_ca),
		.len = buf_len(&d->issuer_ca),
		.flags = CURL_BLOB_NOCOPY };
	CURL *c = curl_easy_init();
	long status = 0;
	CURLcode e;

	buf_init(&f->body, FETCH_MAX);
	f->date = -1;
	f->why[0] = '\0';
	if (c == NULL)
		return ERR_NOMEM;
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	(void)curl_easy_setopt(c, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT, FETCH_S);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->why);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
	(void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(c, CURLOPT_HEADERDATA, f);
	if (d->conf->issuer_ca != NULL)
		(void)curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca);
	e = curl_easy_perform(c);
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(c);
	if (e != CURLE_OK && f->why[0] == '\0')
		(void)str_copy(f->why, sizeof(f->why), curl_easy_strerror(e));
	if (f->long_)
		(void)str_copy(f->why, sizeof(f->why), "it is over 1 MiB");
	else if (e == CURLE_OK && status != 200)
		(void)snprintf(f->why, sizeof(f->why),
		    "it is answered with status %ld", status);
	return e == CURLE_OK && status == 200 ? 0 : ERR_NOTFOUND;
}

/* The keys of a set that could verify a token of those algorithms. */
static size_t
usable_keys(const json_t *set, const struct issuer *is)
{
	const char *kty, *use, *alg, *want;
	size_t n = 0, i;
	json_t *k;

	json_array_foreach(json_object_get(set, "keys"), i, k)
	{
		kty = json_string_value(json_object_get(k, "kty"));
		use = json_string_value(json_object_get(k, "use"));
		alg = json_string_value(json_object_get(k, "alg"));
		if (kty == NULL || (use != NULL && strcmp(use, "sig") != 0))
			continue;
		for (size_t a = 0; a < is->nalgorithm; a++) {
			want = is->algorithm[a];
			if ((alg != NULL && strcmp(alg, want) != 0) ||
			    strcmp(kty, want[0] == 'E'
					    ? (want[1] == 'd' ? "OKP" : "EC")
					    : "RSA") != 0)
				continue;
			n++;
			break;
		}
	}
	return n;
}

static bool
is_private(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;
		uint32_t a = ntohl(in->sin_addr.s_addr);

		return a >> 24 == 10 || a >> 24 == 127 || a >> 20 == 0xac1 ||
		       a >> 16 == 0xc0a8 || a >> 16 == 0xa9fe;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)sa;

		return (in->sin6_addr.s6_addr[0] & 0xfe) == 0xfc ||
		       IN6_IS_ADDR_LINKLOCAL(&in->sin6_addr) ||
		       IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
	}
	return false;
}

/* Its host has an address, and one that oidc connects to. */
static bool
resolves(struct doctor *d, const struct issuer *is, const char *url)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai = NULL;
	char host[256], where[320];
	const char *at = strstr(url, "://");
	bool private;
	size_t n;
	int r;

	if (at == NULL)
		return false;
	at += 3;
	n = strcspn(at, "/:?#");
	if (n >= sizeof(host))
		return false;
	memcpy(host, at, n);
	host[n] = '\0';
	(void)snprintf(where, sizeof(where), "%s (issuer %s)", host, is->name);
	if ((r = getaddrinfo(host, NULL, &hints, &ai)) != 0) {
		doctor_find(d, DOCTOR_BAD, where, gai_strerror(r),
		    "is the name right? /etc/resolv.conf and /etc/hosts say "
		    "who is asked");
		return false;
	}
	private = is_private(ai->ai_addr);
	freeaddrinfo(ai);
	if (!private || d->conf->issuer_address.n > 0)
		return true;
	doctor_find(d, DOCTOR_BAD, where,
	    "it has a private address, which the bastion connects to only "
	    "where postern.conf names it",
	    "issuer-address ADDRESS in postern.conf, if that is right");
	return false;
}

static void
issuer_failed(
    struct doctor *d, const struct issuer *is, const char *url, const char *why)
{
	char what[WHAT_MAX];

	(void)snprintf(
	    what, sizeof(what), "%.120s cannot be had: %.250s", url, why);
	doctor_find(d, DOCTOR_BAD, is->name, what,
	    "is the way out open (firewall, uid _postern-oidc)? is its "
	    "certificate signed by %s?",
	    d->conf->issuer_ca != NULL ? d->conf->issuer_ca
				       : "a CA that this host trusts");
}

static void
look_at_clock(struct doctor *d, long date)
{
	struct timespec now = { 0 };
	long long off;
	const char *check = d->check;
	char what[128];

	if (date == -1 || d->clock_seen)
		return;
	d->clock_seen = true;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	off = (long long)now.tv_sec - date;
	if (off >= -CLOCK_OFF_S && off <= CLOCK_OFF_S)
		return;
	(void)snprintf(what, sizeof(what),
	    "it is %lld s %s the issuer's: tokens and certificates are "
	    "refused",
	    off < 0 ? -off : off, off < 0 ? "behind" : "ahead of");
	d->check = "clock";
	doctor_find(d, DOCTOR_BAD, "this host's clock", what,
	    "let it be set: timedatectl set-ntp true, then restart postern");
	d->check = check;
}

/* Where its keys are: said by the policy, or by itself.  doc owns the text. */
static const char *
keys_place(struct doctor *d, const struct issuer *is, json_t **doc)
{
	struct fetch f = { 0 };
	const char *uri = NULL, *iss;
	char url[600];

	if (is->keys_url != NULL)
		return is->keys_url;
	(void)snprintf(
	    url, sizeof(url), "%s/.well-known/openid-configuration", is->url);
	if (fetch(d, url, &f) != 0) {
		issuer_failed(d, is, url, f.why);
		goto out;
	}
	look_at_clock(d, f.date);
	*doc = json_loadb(
	    (const char *)buf_ptr(&f.body), buf_len(&f.body), 0, NULL);
	uri = json_string_value(json_object_get(*doc, "jwks_uri"));
	iss = json_string_value(json_object_get(*doc, "issuer"));
	if (uri != NULL && iss != NULL && strcmp(iss, is->url) == 0)
		goto out;
	issuer_failed(d, is, url,
	    uri == NULL ? "it is no discovery document"
			: "it is another issuer's");
	uri = NULL;
out:
	buf_clear(&f.body);
	return uri;
}

static void
one_issuer(struct doctor *d, const struct issuer *is)
{
	struct fetch k = { 0 };
	json_t *doc = NULL, *set = NULL;
	const char *uri;

	if (!resolves(d, is, is->keys_url != NULL ? is->keys_url : is->url) ||
	    (uri = keys_place(d, is, &doc)) == NULL)
		goto out;
	if (fetch(d, uri, &k) != 0) {
		issuer_failed(d, is, uri, k.why);
		goto out;
	}
	look_at_clock(d, k.date);
	set = json_loadb(
	    (const char *)buf_ptr(&k.body), buf_len(&k.body), 0, NULL);
	if (usable_keys(set, is) == 0)
		doctor_find(d, DOCTOR_BAD, is->name,
		    "none of its keys is for an algorithm that the policy "
		    "takes from it",
		    "look at `algorithms' of the issuer in the policy");
out:
	json_decref(doc);
	json_decref(set);
	buf_clear(&k.body);
}

void
doctor_issuers(struct doctor *d)
{
	const struct issuer *is;
	struct stat st;

	if (d->conf->issuer_ca != NULL && buf_len(&d->issuer_ca) == 0)
		doctor_find(d, DOCTOR_BAD, d->conf->issuer_ca,
		    "issuer-ca of postern.conf is not there, or others than "
		    "root may write it",
		    "put the certificates of the issuers' CA there");
	for (size_t i = 0; d->policy != NULL && i < policy_nissuers(d->policy);
	     i++) {
		is = policy_issuer(d->policy, i);
		if (is->keys_file == NULL)
			one_issuer(d, is);
		else if (stat(is->keys_file, &st) == -1 || st.st_uid != 0 ||
			 (st.st_mode & 022) != 0)
			doctor_find(d, DOCTOR_BAD, is->keys_file,
			    "keys-file is not there, or is not root's alone "
			    "to write: tokens of its issuer are refused",
			    "chown root and chmod 0644, or put it there");
	}
}

/* An issuer has told the time; without one, what is plainly wrong. */
void
doctor_clock(struct doctor *d)
{
	if (!d->clock_seen && time(NULL) < 1767225600) /* 2026 */
		doctor_find(d, DOCTOR_BAD, "this host's clock",
		    "it is years behind: tokens and certificates are refused",
		    "let it be set: timedatectl set-ntp true");
}
