/*
 * What the tests of this folder need of the ssh room, on the command line:
 *
 *	tool ca				a new CA key, PEM
 *	tool public PEM			its public line
 *	tool sign PEM name=value...	a certificate, base64; names: key (hex),
 *					serial, id, principal (repeatable),
 *					after, before, force, source, pty
 *	tool parse < base64		0 when cert_parse takes it
 *	tool quote			commands to one quoted line each
 */
#include "config.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/secret.h"
#include "lib/str.h"
#include "ssh/cert.h"
#include "ssh/quote.h"

#define WORDS_MAX 4096

static void
check(int r, const char *what)
{
	if (r != 0)
		errx(1, "%s: %s", what, err_text(r));
}

static struct cert_ca *
ca_load(const char *path)
{
	FILE *f = fopen(path, "re");
	struct cert_ca *ca = NULL;
	char pem[4096];
	size_t n;

	if (f == NULL)
		err(1, "%s", path);
	n = fread(pem, 1, sizeof(pem), f);
	(void)fclose(f);
	check(cert_ca_from_pem(pem, n, &ca), path);
	return ca;
}

static int
tool_ca(void)
{
	struct secret pem = { 0 };

	check(cert_ca_generate(&pem), "generate");
	(void)fwrite(pem.d, 1, pem.len, stdout);
	secret_clear(&pem);
	return 0;
}

static int
tool_public(const char *path)
{
	struct cert_ca *ca = ca_load(path);
	struct buf b;

	buf_init(&b, 1000);
	check(cert_ca_public_line(ca, "test", &b), "public line");
	(void)puts(buf_cstr(&b));
	buf_clear(&b);
	cert_ca_free(ca);
	return 0;
}

static void
spec_set(struct cert_spec *s, const char *name, const char *value)
{
	if (strcmp(name, "key") == 0)
		check(hex_decode(value, s->key, sizeof(s->key)), "key");
	else if (strcmp(name, "serial") == 0)
		s->serial = strtoull(value, NULL, 10);
	else if (strcmp(name, "id") == 0)
		s->key_id = value;
	else if (strcmp(name, "principal") == 0 &&
	    s->nprincipal < CERT_PRINCIPALS_MAX)
		s->principal[s->nprincipal++] = value;
	else if (strcmp(name, "after") == 0)
		s->valid_after = strtoull(value, NULL, 10);
	else if (strcmp(name, "before") == 0)
		s->valid_before = strtoull(value, NULL, 10);
	else if (strcmp(name, "force") == 0)
		s->force_command = value;
	else if (strcmp(name, "source") == 0)
		s->source_address = value;
	else if (strcmp(name, "pty") == 0)
		s->permit_pty = true;
	else
		errx(1, "%s?", name);
}

static int
tool_sign(char **argv)
{
	struct cert_ca *ca = ca_load(*argv++);
	struct cert_spec s = { 0 };
	struct buf blob, text;
	char *eq;

	for (; *argv != NULL; argv++) {
		if ((eq = strchr(*argv, '=')) == NULL)
			errx(1, "%s: no value", *argv);
		*eq = '\0';
		spec_set(&s, *argv, eq + 1);
	}
	buf_init(&blob, CERT_BLOB_MAX);
	buf_init(&text, CERT_BLOB_MAX * 2);
	check(cert_sign(ca, &s, &blob), "sign");
	check(b64_encode(B64_STD, buf_ptr(&blob), buf_len(&blob), &text),
	    "base64");
	(void)puts(buf_cstr(&text));
	buf_clear(&blob);
	buf_clear(&text);
	cert_ca_free(ca);
	return 0;
}

static int
tool_parse(void)
{
	struct cert *c = NULL;
	struct buf text, blob;
	size_t n;
	int r;

	buf_init(&text, CERT_BLOB_MAX * 2);
	buf_init(&blob, CERT_BLOB_MAX);
	check(slurp_fd(STDIN_FILENO, &text), "stdin");
	n = buf_len(&text);
	while (n > 0 && buf_ptr(&text)[n - 1] == '\n')
		n--;
	check(b64_decode(B64_STD, buf_ptr(&text), n, &blob), "base64");
	r = cert_parse(buf_ptr(&blob), buf_len(&blob), &c);
	(void)puts(r == 0 ? "ok" : err_text(r));
	cert_free(c);
	buf_clear(&text);
	buf_clear(&blob);
	return r == 0 ? 0 : 1;
}

/* -- quoting -----------------------------------------------------------------
 */

static void
print_line(const struct quote_line *l)
{
	struct buf b;
	int r;

	buf_init(&b, PROTO_WIRE_MAX);
	r = quote_put(l, &b);
	if (r != 0)
		(void)printf("! %s\n", err_text(r));
	else
		(void)puts(buf_cstr(&b));
	buf_clear(&b);
}

/* The next word of the input, a copy; NULL at its end. */
static char *
take_word(void)
{
	char *word = NULL;
	size_t cap = 0;

	if (getdelim(&word, &cap, '\0', stdin) > 0)
		return word;
	free(word);
	return NULL;
}

static size_t
take_number(size_t max)
{
	char *word = take_word();
	size_t n = word == NULL ? 0 : strtoul(word, NULL, 10);

	if (word == NULL || n > max)
		errx(1, "no number up to %zu", max);
	free(word);
	return n;
}

static void
take_program(struct quote_program *p)
{
	const char **argv = calloc(WORDS_MAX + 1, sizeof(*argv));

	if (argv == NULL)
		err(1, NULL);
	p->argv = argv;
	p->argc = take_number(WORDS_MAX);
	for (size_t i = 0; i < p->argc; i++) {
		if ((argv[i] = take_word()) == NULL)
			errx(1, "words missing");
	}
}

static void
free_program(struct quote_program *p)
{
	union {
		const char *const *ro;
		char **rw;
	} u = { .ro = p->argv }; /* take_program's own */

	for (size_t i = 0; i < p->argc; i++)
		free(u.rw[i]);
	free(u.rw);
}

/* A command is its folder or nothing, how many programs it has, and of each
 * how many words and the words, all NUL-ended.  "!" and why is one that is
 * refused. */
static int
tool_quote(void)
{
	struct quote_program p[QUOTE_PROGRAMS_MAX];
	struct quote_line l = { .program = p };
	char *dir;

	while ((dir = take_word()) != NULL) {
		l.dir = *dir == '\0' ? NULL : dir;
		l.n = take_number(QUOTE_PROGRAMS_MAX);
		for (size_t i = 0; i < l.n; i++)
			take_program(&p[i]);
		print_line(&l);
		for (size_t i = 0; i < l.n; i++)
			free_program(&p[i]);
		free(dir);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "ca") == 0)
		return tool_ca();
	if (argc == 3 && strcmp(argv[1], "public") == 0)
		return tool_public(argv[2]);
	if (argc > 3 && strcmp(argv[1], "sign") == 0)
		return tool_sign(argv + 2);
	if (argc == 2 && strcmp(argv[1], "parse") == 0)
		return tool_parse();
	if (argc == 2 && strcmp(argv[1], "quote") == 0)
		return tool_quote();
	errx(2, "see the head of tool.c");
}
