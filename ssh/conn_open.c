/*
 * From a connected socket to a running command.  Runs in the hop, confined.
 * Distrusts the target, every byte of it, until its host key matched; after
 * that it is the target the policy means, which may still be hostile.
 */
#include "config.h"

#include "ssh/conn.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <libssh/libssh.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/secret.h"
#include "lib/str.h"
#include "ssh/cert.h"
#include "ssh/conn_internal.h"

#define OPEN_NOWHERE "/nonexistent"
#define OPEN_WIPE_SIZES 8 /* steps of malloc's 16 bytes below a text's length */
#define OPEN_WIPE_EACH 8  /* glibc keeps 7 freed blocks of a size at hand */

/* gcm first: with AES in hardware it moves bulk faster than libssh's default,
 * chacha20. */
static const char open_ciphers[] =
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com,"
    "chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr";
static const char open_macs[] =
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
    "hmac-sha2-256,hmac-sha2-512";

/* Key types that a pin may name, and the signatures they make. */
static const struct {
	const char *type, *algorithms;
} open_types[] = {
	{ "ssh-ed25519", "ssh-ed25519" },
	{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256" },
	{ "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384" },
	{ "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521" },
	{ "ssh-rsa", "rsa-sha2-512,rsa-sha2-256" },
};

static int
open_add_type(struct buf *list, const char *type)
{
	size_t n = sizeof(open_types) / sizeof(open_types[0]);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(open_types[i].type, type) == 0)
			return buf_putf(list, "%s%s",
			    buf_len(list) > 0 ? "," : "",
			    open_types[i].algorithms);
	}
	return ERR_CONFIG;
}

/* Only the pinned types are negotiated: the target's other keys would be
 * refused afterwards anyway. */
static int
open_hostkey_types(struct conn *c)
{
	const struct conn_want *w = c->want;
	const char *text;
	struct buf list;
	int r = ERR_CONFIG;

	buf_init(&list, 1024);
	if (w->npin == 0 || w->npin > CONN_PINS_MAX)
		goto out;
	for (size_t i = 0; i < w->npin; i++) {
		if ((r = open_add_type(&list, w->pin[i].type)) != 0)
			goto out;
	}
	if ((text = buf_cstr(&list)) == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	r = ssh_options_set(c->session, SSH_OPTIONS_HOSTKEYS, text) == SSH_OK ?
	    0 : ERR_CONFIG;
out:
	buf_clear(&list);
	return r;
}

/* MUST name SSH_DIR, USER and the known_hosts files: what is not set libssh
 * looks up in the account database and the home directory.  MUST switch the
 * configuration off: a ProxyCommand there would be run. */
int
conn_options(struct conn *c)
{
	const bool no = false;
	const struct {
		enum ssh_options_e option;
		const void *value;
	} options[] = {
		{ SSH_OPTIONS_PROCESS_CONFIG, &no },
		{ SSH_OPTIONS_SSH_DIR, OPEN_NOWHERE },
		{ SSH_OPTIONS_USER, c->want->login },
		{ SSH_OPTIONS_HOST, "target" },
		{ SSH_OPTIONS_KNOWNHOSTS, OPEN_NOWHERE },
		{ SSH_OPTIONS_GLOBAL_KNOWNHOSTS, OPEN_NOWHERE },
		{ SSH_OPTIONS_CIPHERS_C_S, open_ciphers },
		{ SSH_OPTIONS_CIPHERS_S_C, open_ciphers },
		{ SSH_OPTIONS_HMAC_C_S, open_macs },
		{ SSH_OPTIONS_HMAC_S_C, open_macs },
		{ SSH_OPTIONS_COMPRESSION, "no" },
		{ SSH_OPTIONS_FD, &c->fd },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (ssh_options_set(c->session, options[i].option,
		    options[i].value) != SSH_OK)
			return ERR_CONFIG;
	}
	ssh_set_blocking(c->session, 0);
	return open_hostkey_types(c);
}

static int
open_kex(struct conn *c)
{
	switch (ssh_connect(c->session)) {
	case SSH_OK:
		break;
	case SSH_AGAIN:
		return ERR_AGAIN;
	default:
		return ERR_PROTO;
	}
	/* libssh made the socket blocking; a target that stops reading must
	 * not stop us. */
	return fcntl(c->fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0 ? 0 : ERR_SYS;
}

static int
open_see_hostkey(struct conn *c)
{
	unsigned char *hash = NULL;
	char *text = NULL;
	ssh_key key = NULL;
	size_t n = 0;
	int r = ERR_PROTO;

	if (ssh_get_server_publickey(c->session, &key) != SSH_OK ||
	    ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash,
	    &n) != 0 ||
	    (text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash,
	    n)) == NULL)
		goto out;
	if ((r = str_copy(c->hostkey, sizeof(c->hostkey), text)) != 0)
		goto out;
	r = str_copy(c->hostkey_type, sizeof(c->hostkey_type),
	    ssh_key_type_to_char(ssh_key_type(key)));
out:
	ssh_string_free_char(text);
	ssh_clean_pubkey_hash(&hash);
	ssh_key_free(key);
	return r;
}

static int
open_hostkey(struct conn *c)
{
	const struct conn_want *w = c->want;
	int r;

	if ((r = open_see_hostkey(c)) != 0)
		return r;
	for (size_t i = 0; i < w->npin; i++) {
		if (strcmp(w->pin[i].type, c->hostkey_type) == 0 &&
		    strcmp(w->pin[i].fingerprint, c->hostkey) == 0)
			return 0;
	}
	ssh_silent_disconnect(c->session); /* not even a good-bye */
	return ERR_DENIED;
}

static int
open_credential(struct conn *c)
{
	return c->key == NULL ? ERR_AGAIN : 0;
}

static int
open_auth(struct conn *c)
{
	switch (ssh_userauth_publickey(c->session, NULL, c->key)) {
	case SSH_AUTH_SUCCESS:
		ssh_key_free(c->key); /* wipes it: it has done its work */
		c->key = NULL;
		return 0;
	case SSH_AUTH_AGAIN:
		return ERR_AGAIN;
	case SSH_AUTH_DENIED:
	case SSH_AUTH_PARTIAL:
		return ERR_DENIED;
	default:
		return ERR_PROTO;
	}
}

/* The target's answer to a request: a refusal leaves the connection alive. */
static int
open_answer(struct conn *c, int rc)
{
	if (rc == SSH_OK)
		return 0;
	if (rc == SSH_AGAIN)
		return ERR_AGAIN;
	return ssh_is_connected(c->session) ? ERR_DENIED : ERR_PROTO;
}

static int
open_channel(struct conn *c)
{
	int r;

	if (c->channel == NULL) {
		if ((c->channel = ssh_channel_new(c->session)) == NULL)
			return ERR_NOMEM;
		if ((r = conn_callbacks(c)) != 0)
			return r;
	}
	return open_answer(c, ssh_channel_open_session(c->channel));
}

static int
open_pty(struct conn *c)
{
	const struct conn_want *w = c->want;
	const char *term = w->term;

	if (!w->pty)
		return 0;
	if (term == NULL || term[0] == '\0')
		term = "dumb";
	return open_answer(c, ssh_channel_request_pty_size(c->channel, term,
	    (int)w->columns, (int)w->rows));
}

static int
open_exec(struct conn *c)
{
	const struct conn_want *w = c->want;

	if (w->subsystem != NULL)
		return open_answer(
		    c, ssh_channel_request_subsystem(c->channel, w->subsystem));
	return open_answer(c, ssh_channel_request_exec(c->channel, w->command));
}

/* From here on ssh_event moves the bytes: it reads without libssh's own wait
 * loop around each packet. */
static int
open_event(struct conn *c)
{
	if ((c->event = ssh_event_new()) == NULL)
		return ERR_NOMEM;
	return ssh_event_add_session(c->event, c->session) == SSH_OK ? 0 :
	    ERR_INTERNAL;
}

/* The kernel delays acknowledgements by up to 40 ms and forgets this wish at
 * its own will; the target's sshd, without NODELAY, waits for each of them. */
static void
open_quickack(const struct conn *c)
{
	const int on = 1;

	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

int
conn_open(struct conn *c)
{
	static int (*const steps[])(struct conn *) = {
		[CONN_KEX] = open_kex,
		[CONN_HOSTKEY] = open_hostkey,
		[CONN_CREDENTIAL] = open_credential,
		[CONN_AUTH] = open_auth,
		[CONN_CHANNEL] = open_channel,
		[CONN_PTY] = open_pty,
		[CONN_EXEC] = open_exec,
	};
	int r = 0;

	open_quickack(c);
	while (c->state < CONN_RUNNING) {
		if ((r = steps[c->state](c)) != 0)
			break;
		c->state++;
	}
	if (r == 0)
		r = open_event(c);
	else if (r == ERR_AGAIN)
		open_quickack(c);
	return r;
}

/*
 * libssh frees its copy of the key's text without wiping it.  A freed block of
 * that size is what malloc gives out next: take a few of about that size, wipe
 * them, give them back.
 */
static void
open_wipe_freed(size_t len)
{
	char *block[OPEN_WIPE_SIZES * OPEN_WIPE_EACH];
	size_t n = sizeof(block) / sizeof(block[0]), size;

	for (size_t i = 0; i < n; i++) {
		size = len - 16 * (i / OPEN_WIPE_EACH);
		if ((block[i] = malloc(size)) != NULL)
			explicit_bzero(block[i], size);
	}
	for (size_t i = 0; i < n; i++)
		free(block[i]);
}

int
conn_credential(struct conn *c, const struct secret *key, const void *cert,
    size_t ncert)
{
	ssh_key priv = NULL, pub = NULL;
	const char *text;
	struct buf b64;
	int r = ERR_INTERNAL;

	buf_init(&b64, CERT_BLOB_MAX / 3 * 4 + 8);
	if (c->key != NULL)
		goto out;
	if ((r = b64_encode(B64_STD, cert, ncert, &b64)) != 0)
		goto out;
	if ((text = buf_cstr(&b64)) == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	r = ERR_CRYPTO;
	if (ssh_pki_import_privkey_base64((const char *)key->d, NULL, NULL,
	    NULL, &priv) != SSH_OK ||
	    ssh_pki_import_cert_base64(text, SSH_KEYTYPE_ED25519_CERT01,
	    &pub) != SSH_OK ||
	    ssh_pki_copy_cert_to_privkey(pub, priv) != SSH_OK)
		goto out;
	c->key = priv;
	priv = NULL;
	r = 0;
out:
	ssh_key_free(priv);
	ssh_key_free(pub);
	buf_clear(&b64);
	if (key->len > 16 * OPEN_WIPE_SIZES)
		open_wipe_freed(key->len);
	return r;
}
