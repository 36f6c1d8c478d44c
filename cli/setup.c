/*
 * postern setup: from an installed package to a first policy.  Makes the CA
 * keys or finds them, shows the host key of one target, writes a policy that
 * was loaded before it is written, and says what to do next.  It overwrites
 * nothing, and asks only a person at a terminal, and only for what was not
 * said.
 */
#include "config.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/spawn.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/str.h"
#include "policy/policy.h"

#define WORDS_MAX 16
#define ANSWER_MAX 256
#define POLICY_TEXT_MAX (16 * 1024)
#define FILE_NAME "first.postern"

struct setup {
	char target[ANSWER_MAX], address[ANSWER_MAX], hostkey[ANSWER_MAX];
	char issuer[ANSWER_MAX], url[ANSWER_MAX], audience[ANSWER_MAX];
	char identity[ANSWER_MAX];
	char claim[WORDS_MAX][ANSWER_MAX], run[WORDS_MAX][ANSWER_MAX];
	size_t nclaim, nrun;
	/* of the address */
	char host[ANSWER_MAX];
	uint16_t port;
	struct hostkey_seen key; /* that is pinned */
};

/* -- what is wanted -------------------------------------------------------- */

/* A line of the person's; without a person the option is missing. */
static int
need(char *dst, const char *option, const char *question, const char *example)
{
	size_t n;

	if (dst[0] != '\0')
		return 0;
	if (!isatty(STDIN_FILENO)) {
		cli_error("--%s is missing, for example %s", option, example);
		return POSTERN_EX_USAGE;
	}
	(void)printf("%s (for example %s): ", question, example);
	(void)fflush(stdout);
	if (fgets(dst, ANSWER_MAX, stdin) == NULL)
		return POSTERN_EX_USAGE;
	n = strcspn(dst, "\n");
	dst[n] = '\0';
	if (n > 0)
		return 0;
	cli_error("nothing was said, so nothing is done");
	return POSTERN_EX_USAGE;
}

static int
take_options(struct setup *s, int argc, char **argv)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' },
		{ "address", required_argument, NULL, 'a' },
		{ "hostkey", required_argument, NULL, 'k' },
		{ "issuer", required_argument, NULL, 'i' },
		{ "url", required_argument, NULL, 'u' },
		{ "audience", required_argument, NULL, 'A' },
		{ "identity", required_argument, NULL, 'I' },
		{ "claim", required_argument, NULL, 'c' },
		{ "run", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	char *dst;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 't':
			dst = s->target;
			break;
		case 'a':
			dst = s->address;
			break;
		case 'k':
			dst = s->hostkey;
			break;
		case 'i':
			dst = s->issuer;
			break;
		case 'u':
			dst = s->url;
			break;
		case 'A':
			dst = s->audience;
			break;
		case 'I':
			dst = s->identity;
			break;
		case 'c':
			dst = s->nclaim < WORDS_MAX ? s->claim[s->nclaim++]
						    : NULL;
			break;
		case 'r':
			dst = s->nrun < WORDS_MAX ? s->run[s->nrun++] : NULL;
			break;
		default:
			return cli_usage();
		}
		if (dst == NULL || str_copy(dst, ANSWER_MAX, optarg) != 0) {
			cli_error("that is more than setup takes: write the "
				  "policy yourself, postern-policy(5)");
			return POSTERN_EX_USAGE;
		}
	}
	return optind == argc ? 0 : cli_usage();
}

/* LOGIN@HOST[:PORT], [HOST]:PORT for IPv6. */
static int
take_address(struct setup *s)
{
	const char *at = strchr(s->address, '@'), *end;
	uint64_t port = 22;
	size_t n;

	if (at == NULL || at == s->address)
		goto bad;
	at++;
	if (*at == '[') {
		at++;
		if ((end = strchr(at, ']')) == NULL)
			goto bad;
		n = (size_t)(end - at);
		end++;
	} else {
		n = strcspn(at, ":");
		end = at + n;
	}
	if (n == 0 || n >= sizeof(s->host) ||
	    (*end != '\0' &&
		(*end != ':' || num_parse(end + 1, 1, 65535, &port) != 0)))
		goto bad;
	memcpy(s->host, at, n);
	s->host[n] = '\0';
	s->port = (uint16_t)port;
	/* The policy wants the port written out. */
	if (*end != '\0')
		return 0;
	n = strlen(s->address);
	if (str_copy(s->address + n, sizeof(s->address) - n, ":22") == 0)
		return 0;
bad:
	cli_error("`%s' is not LOGIN@HOST or LOGIN@HOST:PORT", s->address);
	return POSTERN_EX_USAGE;
}

static int
take_all(struct setup *s)
{
	int r;

	if ((r = need(s->target, "target", "The target's name", "web-1")) !=
		0 ||
	    (r = need(s->address, "address", "How is it reached",
		 "deploy@10.0.0.7")) != 0 ||
	    (r = take_address(s)) != 0 ||
	    (r = need(s->issuer, "issuer", "Which CI system's tokens",
		 "github")) != 0 ||
	    (r = need(s->audience, "audience",
		 "This bastion's name in tokens (aud)",
		 "bastion.example.com")) != 0 ||
	    (r = need(s->identity, "identity", "A name for the job", "shop")) !=
		0)
		return r;
	if (s->nclaim == 0)
		r = need(s->claim[s->nclaim++], "claim",
		    "A claim that only its tokens have",
		    "repository_id=7712345");
	if (r == 0 && s->nrun == 0)
		r = need(s->run[s->nrun++], "run", "A command that it may run",
		    "'/usr/bin/systemctl restart shop'");
	return r;
}

/* -- the host key ---------------------------------------------------------- */

static const struct hostkey_seen *
best_key(const struct setup *s, const struct hostkey_seen *key, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s->hostkey[0] != '\0'
			? strcmp(key[i].fingerprint, s->hostkey) == 0
			: strcmp(key[i].type, "ssh-ed25519") == 0)
			return &key[i];
	}
	return s->hostkey[0] != '\0' ? NULL : &key[0];
}

static int
confirm_key(struct setup *s)
{
	char answer[8] = "";

	(void)printf(
	    "%s shows the host key\n"
	    "    %s %s\n"
	    "Compare it with what the target itself says, on its console:\n"
	    "    ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub\n",
	    s->host, s->key.type, s->key.fingerprint,
	    strcmp(s->key.type, "ssh-ed25519") == 0 ? "ed25519"
	    : strcmp(s->key.type, "ssh-rsa") == 0   ? "rsa"
						    : "ecdsa");
	if (s->hostkey[0] != '\0')
		return 0;
	if (!isatty(STDIN_FILENO)) {
		(void)fflush(stdout);
		cli_error("nothing is written before somebody has compared it: "
			  "then say all again, and --hostkey %s",
		    s->key.fingerprint);
		return CLI_EX_FAILED;
	}
	(void)fputs("Are they the same (yes/no)? ", stdout);
	(void)fflush(stdout);
	if (fgets(answer, sizeof(answer), stdin) != NULL &&
	    strcmp(answer, "yes\n") == 0)
		return 0;
	cli_error("then nothing is written");
	return CLI_EX_FAILED;
}

static int
take_key(struct setup *s)
{
	struct hostkey_seen key[HOSTKEYS_MAX];
	const struct hostkey_seen *k;
	size_t n = 0;
	int r;

	if ((r = hostkeys_scan(s->host, s->port, key, &n)) != 0) {
		cli_error("%s port %u: no ssh server shows a host key there "
			  "(%s)",
		    s->host, (unsigned int)s->port, err_text(r));
		return POSTERN_EX_UNAVAILABLE;
	}
	if ((k = best_key(s, key, n)) == NULL) {
		cli_error("%s has no host key %s; it shows %s %s: either is "
			  "wrong, find out which",
		    s->host, s->hostkey, key[0].type, key[0].fingerprint);
		return CLI_EX_FAILED;
	}
	s->key = *k;
	return confirm_key(s);
}

/* -- the policy ------------------------------------------------------------ */

/* In quotes, as the policy's lexer reads it. */
static int
put_quoted(struct buf *b, const char *s)
{
	int r;

	if ((r = buf_put(b, "\"", 1)) != 0)
		return r;
	for (; *s != '\0' && r == 0; s++) {
		if (*s == '"' || *s == '\\')
			r = buf_put(b, "\\", 1);
		if (r == 0)
			r = buf_put(b, s, 1);
	}
	return r != 0 ? r : buf_put(b, "\"", 1);
}

static int
put_claims(struct buf *b, const struct setup *s)
{
	const char *value;
	int r = 0;

	for (size_t i = 0; i < s->nclaim && r == 0; i++) {
		if ((value = strchr(s->claim[i], '=')) == NULL) {
			cli_error("`%s' is not NAME=VALUE", s->claim[i]);
			return ERR_FORMAT;
		}
		r = buf_putf(b, "    claim %.*s = ", (int)(value - s->claim[i]),
		    s->claim[i]);
		if (r == 0)
			r = put_quoted(b, value + 1);
		if (r == 0)
			r = buf_put(b, "\n", 1);
	}
	return r;
}

static int
put_policy(struct buf *b, const struct setup *s)
{
	int r;

	if ((r = buf_putf(b,
		 "# The first policy, by `postern setup'.  postern-policy(5) "
		 "explains it.\npolicy 1\n\nissuer %s {\n    preset %s\n",
		 s->url[0] == '\0' ? s->issuer : "ci", s->issuer)) != 0 ||
	    (s->url[0] != '\0' && ((r = buf_putf(b, "    url ")) != 0 ||
				      (r = put_quoted(b, s->url)) != 0 ||
				      (r = buf_put(b, "\n", 1)) != 0)) ||
	    (r = buf_putf(b, "    audience ")) != 0 ||
	    (r = put_quoted(b, s->audience)) != 0 ||
	    (r = buf_putf(b, "\n}\n\nidentity %s from %s {\n", s->identity,
		 s->url[0] == '\0' ? s->issuer : "ci")) != 0 ||
	    (r = put_claims(b, s)) != 0 ||
	    (r = buf_putf(b, "}\n\ntarget %s {\n    ssh ", s->target)) != 0 ||
	    (r = put_quoted(b, s->address)) != 0 ||
	    (r = buf_putf(b, "\n    hostkey %s \"%s\"\n}\n\n", s->key.type,
		 s->key.fingerprint)) != 0 ||
	    (r = buf_putf(b, "allow first for %s on %s {\n", s->identity,
		 s->target)) != 0)
		return r;
	for (size_t i = 0; i < s->nrun && r == 0; i++)
		r = buf_putf(b, "    run %s\n", s->run[i]);
	if (r != 0)
		return r;
	/* Something to go on from. */
	return buf_putf(b,
	    "}\n\ntest \"the first rule\" as %s on %s {\n    deny \"rm -rf "
	    "/\"\n}\n",
	    s->identity, s->target);
}

/* What does not load is shown, and not written. */
static int
try_policy(struct buf *text)
{
	const char *name = FILE_NAME, *at = buf_cstr(text);
	size_t len = buf_len(text);
	struct diags *d = diags_new();
	struct policy *p = NULL;
	struct buf why;
	int r;

	if (d == NULL || at == NULL) {
		diags_free(d);
		return cli_no_memory();
	}
	r = policy_load_text(&name, &at, &len, 1, d, &p);
	buf_init(&why, 256 * 1024);
	if (r != 0 && diags_print(d, &why) == 0)
		(void)write_all(STDERR_FILENO, buf_ptr(&why), buf_len(&why));
	if (r != 0)
		cli_error("this does not make a policy; nothing is written");
	buf_clear(&why);
	policy_free(p);
	diags_free(d);
	return r == 0 ? 0 : CLI_EX_FAILED;
}

static int
write_policy(const struct buf *text)
{
	const char *folder = cli_conf()->policy_folder;
	int dir, r;

	if (mkdir(folder, 0755) == -1 && errno != EEXIST) {
		cli_error("%s: %s", folder, strerror(errno));
		return CLI_EX_FAILED;
	}
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = dir == -1 ? ERR_SYS
		      : cli_write_new(
			    dir, FILE_NAME, 0644, buf_ptr(text), buf_len(text));
	if (r != 0)
		cli_error("%s/%s: %s", folder, FILE_NAME, err_text(r));
	else
		(void)printf("Wrote %s/%s.\n", folder, FILE_NAME);
	if (dir != -1)
		(void)close(dir);
	return r == 0 ? 0 : CLI_EX_FAILED;
}

int
cli_policy_files(const char *folder, size_t *np)
{
	static const char suffix[] = ".postern";
	const size_t k = sizeof(suffix) - 1;
	const struct dirent *e;
	DIR *dir = opendir(folder);
	size_t n = 0, len;

	if (dir == NULL)
		return ERR_SYS;
	while ((e = readdir(dir)) != NULL) {
		len = strlen(e->d_name);
		n += len > k && strcmp(e->d_name + len - k, suffix) == 0;
	}
	(void)closedir(dir);
	*np = n;
	return 0;
}

/* One that is there is somebody's work. */
static int
no_policy_yet(void)
{
	const char *folder = cli_conf()->policy_folder;
	size_t n = 0;

	if (cli_policy_files(folder, &n) != 0 || n == 0)
		return 0;
	cli_error("there is a policy in %s already, which setup leaves as it "
		  "is; add to it by hand: postern-policy(5), and `postern "
		  "policy check'",
	    folder);
	return CLI_EX_FAILED;
}

static void
say_next(const struct setup *s)
{
	(void)printf("\nNext:\n"
		     "  1. put what follows on %s, and let its sshd reload\n"
		     "  2. postern policy check && systemctl restart postern "
		     "postern-sshd\n"
		     "  3. postern doctor\n"
		     "  4. in the job: ssh -p PORT %s@BASTION %s\n\n",
	    s->target, s->target, s->run[0]);
}

int
cli_setup(int argc, char **argv)
{
	struct setup *s = calloc(1, sizeof(*s));
	struct buf text;
	unsigned int made = 0;
	int r;

	if (s == NULL)
		return cli_no_memory();
	buf_init(&text, POLICY_TEXT_MAX);
	if ((r = take_options(s, argc, argv)) != 0 ||
	    (r = no_policy_yet()) != 0 || (r = take_all(s)) != 0 ||
	    (r = take_key(s)) != 0)
		goto out;
	r = CLI_EX_FAILED;
	if (put_policy(&text, s) != 0)
		goto out;
	if ((r = try_policy(&text)) != 0 || (r = cli_ca_make(&made)) != 0)
		goto out;
	(void)printf(made != 0 ? "Made the CA keys in %s.\n"
			       : "The CA keys in %s are there already.\n",
	    cli_conf()->ca_folder);
	if ((r = write_policy(&text)) != 0)
		goto out;
	say_next(s);
	r = cli_ca_show_target(s->target);
out:
	buf_clear(&text);
	free(s);
	return r;
}
