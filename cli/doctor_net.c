/*
 * postern doctor: what is reached from here, and how others see this host:
 * issuers, the clock, targets, the sshd beside us, our addresses.  Distrusts
 * issuers and targets: what they send is bounded and taken apart by libraries.
 */
#include "config.h"

#include "cli/doctor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "cli/cli.h"
#include "cli/spawn.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "policy/policy.h"

#define FETCH_S 10L
#define FETCH_MAX (1024 * 1024)
#define CLOCK_OFF_S 30 /* half of the leeway that tokens have */
#define SSHD_MS 20000
#define WHAT_MAX 400

/* -- the broker ------------------------------------------------------------ */

void
doctor_broker(struct doctor *d)
{
	char path[512];
	struct msg q, a;
	json_t *o = NULL;
	char *text = NULL;
	int fd, r;

	(void)snprintf(path, sizeof(path), "%s/ctl.sock", d->conf->run_folder);
	if (msg_connect(path, &fd) != 0) {
		doctor_find(d, DOCTOR_NOTE, path,
		    "posternd does not answer: what only a running bastion "
		    "knows was not looked at",
		    "systemctl start postern postern-sshd, when the rest is "
		    "well");
		return;
	}
	msg_init(&q, MSG_STATUS);
	q.id = 1;
	r = msg_call(fd, &q, MSG_STATUS_IS, &a, msg_now_ms() + 10000);
	if (r == 0 && buf_get_cstr(&a.body, MSG_BODY_MAX, &text) == 0)
		o = json_loads(text, 0, NULL);
	msg_clear(&q);
	msg_clear(&a);
	(void)close(fd);
	if (o == NULL)
		doctor_find(d, DOCTOR_BAD, path, "posternd gives no answer",
		    "look into its log: journalctl -u postern");
	if (o != NULL && !json_is_true(json_object_get(o, "audit")))
		doctor_find(d, DOCTOR_BAD, "postern-audit",
		    "it does not run: no operation starts",
		    "look into its log: journalctl -u postern");
	if (o != NULL && !json_is_true(json_object_get(o, "signer")))
		doctor_find(d, DOCTOR_BAD, "postern-signer",
		    "it does not run: no operation starts",
		    "are the CA keys there? journalctl -u postern says more");
	if (o != NULL && json_is_true(json_object_get(o, "locked")))
		doctor_find(d, DOCTOR_NOTE, "postern",
		    "the bastion is locked: nothing new begins",
		    "`postern unlock' takes the lock off");
	json_decref(o);
	free(text);
}

/* -- sshd ------------------------------------------------------------------ */

static void
sshd_version(struct doctor *d)
{
	const char *const argv[] = { "sshd", "-V", NULL };
	const char *at, *text;
	unsigned long major, minor;
	struct buf out;
	char *end = NULL;
	int code = 0;

	buf_init(&out, 4096);
	if (spawn_read(argv, SPAWN_BOTH, SSHD_MS, &out, &code) != 0)
		goto out;
	if (code == 127) {
		doctor_find(d, DOCTOR_BAD, "sshd", "it is not installed",
		    "apt install openssh-server, or dnf install "
		    "openssh-server");
		goto out;
	}
	text = buf_cstr(&out);
	if (text == NULL || (at = strstr(text, "OpenSSH_")) == NULL) {
		doctor_find(d, DOCTOR_NOTE, "sshd",
		    "its version is not to be found out",
		    "Postern is tried with OpenSSH 9.2 to 10.0");
		goto out;
	}
	major = strtoul(at + 8, &end, 10);
	minor = end != NULL && *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	if (major < 9 || (major == 9 && minor < 2))
		doctor_find(d, DOCTOR_BAD, "sshd",
		    "it is older than OpenSSH 9.2, the oldest that Postern is "
		    "tried with",
		    "use a host with a newer release");
out:
	buf_clear(&out);
}

/* The script's line, without what sshd said before. */
static const char *
own_words(struct buf *out)
{
	static const char name[] = "postern-sshd-start: ";
	const char *text = buf_cstr(out), *at;

	at = text == NULL ? NULL : strstr(text, name);
	return at == NULL ? "postern-sshd does not start"
			  : at + sizeof(name) - 1;
}

/* What the start of postern-sshd would say. */
void
doctor_sshd(struct doctor *d)
{
	static const char start[] = POSTERN_LIBEXECDIR "/postern-sshd-start";
	static const char key[] = POSTERN_SYSCONFDIR "/sshd/host_ed25519";
	const char *const argv[] = { start, "-c", NULL };
	struct stat st;
	struct buf out;
	int code = 0;

	sshd_version(d);
	if (stat(key, &st) == -1) {
		doctor_find(d, DOCTOR_NOTE, key,
		    "the bastion has no host key yet",
		    "the first start of postern-sshd makes it");
		return; /* nor shall this try make it */
	}
	buf_init(&out, 64 * 1024);
	if (spawn_read(argv, SPAWN_BOTH, SSHD_MS, &out, &code) != 0 ||
	    code == 127)
		doctor_find(d, DOCTOR_BAD, start,
		    "it cannot be run, so postern-sshd does not start",
		    "install the package again");
	else if (code != 0)
		doctor_find(d, DOCTOR_BAD, start, own_words(&out),
		    "mend what it names; `%s -c' says all of it", start);
	buf_clear(&out);
}

/* -- issuers --------------------------------------------------------------- */

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

/* -- targets --------------------------------------------------------------- */

static bool
is_pinned(const struct target *t, const struct hostkey_seen *k)
{
	for (size_t i = 0; i < t->nhostkey; i++) {
		if (strcmp(t->hostkey[i].type, k->type) == 0 &&
		    strcmp(t->hostkey[i].fingerprint, k->fingerprint) == 0)
			return true;
	}
	return false;
}

static void
one_target(struct doctor *d, const struct target *t)
{
	struct hostkey_seen key[HOSTKEYS_MAX];
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai = NULL;
	char where[400], what[WHAT_MAX];
	size_t n = 0;
	int r;

	(void)snprintf(where, sizeof(where), "%s (%s port %u)", t->name,
	    t->host, (unsigned int)t->port);
	if ((r = getaddrinfo(t->host, NULL, &hints, &ai)) != 0) {
		doctor_find(d, DOCTOR_BAD, where, gai_strerror(r),
		    "is the name right? an address in the policy needs no "
		    "name server");
		return;
	}
	freeaddrinfo(ai);
	if (hostkeys_scan(t->host, t->port, key, &n) != 0) {
		doctor_find(d, DOCTOR_BAD, where, "no ssh server answers there",
		    "is it up, and the way open from here? ssh-keyscan -p %u "
		    "%s",
		    (unsigned int)t->port, t->host);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (is_pinned(t, &key[i]))
			return;
	}
	(void)snprintf(what, sizeof(what),
	    "it shows %s %s, and the policy pins another key: it is not "
	    "connected to",
	    key[0].type, key[0].fingerprint);
	doctor_find(d, DOCTOR_BAD, where, what,
	    "ask who runs it whether its key was changed; only then pin the "
	    "new one");
}

void
doctor_targets(struct doctor *d)
{
	for (size_t i = 0; d->policy != NULL && i < policy_ntargets(d->policy);
	     i++)
		one_target(d, policy_target(d->policy, i));
}

/* -- addresses ------------------------------------------------------------- */

/* Is that address, or one of that network, this host's?  Networks are taken for
 * what they begin with; that they are right is for the admin to know. */
static bool
is_ours(const struct ifaddrs *all, const char *text)
{
	uint8_t want[16], mask;
	const uint8_t *have;
	char addr[64];
	unsigned long bits;
	const char *slash = strchr(text, '/');
	size_t n = slash == NULL ? strlen(text) : (size_t)(slash - text), len;
	int family = strchr(text, ':') == NULL ? AF_INET : AF_INET6;

	if (n >= sizeof(addr))
		return false;
	memcpy(addr, text, n);
	addr[n] = '\0';
	if (inet_pton(family, addr, want) != 1)
		return false;
	len = family == AF_INET ? 4 : 16;
	bits = slash == NULL ? 8 * len : strtoul(slash + 1, NULL, 10);
	for (; all != NULL; all = all->ifa_next) {
		if (all->ifa_addr == NULL || all->ifa_addr->sa_family != family)
			continue;
		have = family == AF_INET
			   ? (const uint8_t *)&(
				 (const struct sockaddr_in *)(const void *)
				     all->ifa_addr)
				 ->sin_addr
			   : (const uint8_t *)&(
				 (const struct sockaddr_in6 *)(const void *)
				     all->ifa_addr)
				 ->sin6_addr;
		mask = (uint8_t)(0xff00 >> (bits % 8));
		if (memcmp(have, want, bits / 8) == 0 &&
		    (bits % 8 == 0 ||
			((have[bits / 8] ^ want[bits / 8]) & mask) == 0))
			return true;
	}
	return false;
}

/* Of a list that is separated by commas. */
static bool
any_is_ours(const struct ifaddrs *all, const char *list)
{
	char one[64];
	size_t n;

	for (; *list != '\0'; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n >= sizeof(one))
			return false;
		memcpy(one, list, n);
		one[n] = '\0';
		if (is_ours(all, one))
			return true;
	}
	return false;
}

static void
no_address(struct doctor *d, const char *where, const char *list)
{
	char what[WHAT_MAX];

	(void)snprintf(what, sizeof(what),
	    "certificates are good from %.200s, and this host has no such "
	    "address: targets refuse them unless something translates ours",
	    list);
	doctor_find(d, DOCTOR_NOTE, where, what,
	    "is it the address that targets see? their auth log names it");
}

void
doctor_addresses(struct doctor *d)
{
	const struct conf *c = d->conf;
	struct ifaddrs *all = NULL;
	const struct target *t;

	if (getifaddrs(&all) != 0)
		return;
	for (size_t i = 0; i < c->source_address.n; i++) {
		if (!is_ours(all, c->source_address.at[i]))
			no_address(d, "source-address in postern.conf",
			    c->source_address.at[i]);
	}
	for (size_t i = 0; d->policy != NULL && i < policy_ntargets(d->policy);
	     i++) {
		t = policy_target(d->policy, i);
		if (t->seen_from != NULL && !any_is_ours(all, t->seen_from))
			no_address(d, t->name, t->seen_from);
	}
	freeifaddrs(all);
}
