/*
 * postern ca krl: what targets and postern-sshd are to believe no more: the CA
 * keys that were retired, and single certificates.  Runs as root.  The list is
 * made by ssh-keygen, whose format it is; what it is made from is kept beside
 * the keys, so that each list holds all that the ones before did:
 *
 *	retired/NAME-TIME.pub	a CA key
 *	revoked			certificates: `target SERIAL`, `job SERIAL`
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/spawn.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/str.h"
#include "lib/ulid.h"

#define RETIRED_MAX 64
#define REVOKED_MAX 4096 /* certificates */
#define REVOKED_TEXT_MAX (REVOKED_MAX * 32)
#define KRL_MS 20000

static const char *const ca_names[] = { "target", "job" };
#define NCAS (sizeof(ca_names) / sizeof(ca_names[0]))

struct retired {
	char path[RETIRED_MAX][512];
	size_t n;
};

/* Certificates, by the CA that signed them and their serial. */
struct revoked {
	struct {
		size_t ca;
		uint64_t serial;
	} at[REVOKED_MAX];
	size_t n, added;
};

static int
list_retired(struct retired *t)
{
	char folder[400];
	const struct dirent *e;
	DIR *dir;
	int len, r = 0;

	(void)snprintf(
	    folder, sizeof(folder), "%s/retired", cli_conf()->ca_folder);
	if ((dir = opendir(folder)) == NULL)
		return errno == ENOENT ? 0 : ERR_SYS;
	while ((e = readdir(dir)) != NULL && r == 0) {
		if (strstr(e->d_name, ".pub") == NULL)
			continue;
		if (t->n == RETIRED_MAX) {
			r = ERR_TOOBIG;
			break;
		}
		len = snprintf(t->path[t->n], sizeof(t->path[0]), "%s/%s",
		    folder, e->d_name);
		if (len < 0 || (size_t)len >= sizeof(t->path[0]))
			r = ERR_TOOBIG;
		t->n++;
	}
	(void)closedir(dir);
	return r;
}

/* -- certificates ---------------------------------------------------------- */

static int
add_revoked(struct revoked *v, size_t ca, uint64_t serial)
{
	for (size_t i = 0; i < v->n; i++) {
		if (v->at[i].ca == ca && v->at[i].serial == serial)
			return 0;
	}
	if (v->n == REVOKED_MAX)
		return ERR_TOOBIG;
	v->at[v->n].ca = ca;
	v->at[v->n].serial = serial;
	v->n++;
	v->added++;
	return 0;
}

static int
take_line(struct revoked *v, const char *line)
{
	uint64_t serial;
	size_t n;

	for (size_t i = 0; i < NCAS; i++) {
		n = strlen(ca_names[i]);
		if (strncmp(line, ca_names[i], n) != 0 || line[n] != ' ')
			continue;
		if (num_parse(line + n + 1, 1, UINT64_MAX, &serial) != 0)
			return ERR_FORMAT;
		return add_revoked(v, i, serial);
	}
	return ERR_FORMAT;
}

/* What was revoked before; a line that is not understood is one certificate
 * that would be believed again, so it ends this. */
static int
read_revoked(struct revoked *v)
{
	const struct safeopen_want want = {
		.owner = 0, .forbid = 022, .max = REVOKED_TEXT_MAX
	};
	char path[512], line[64];
	const char *p, *why = "";
	struct buf b;
	size_t n;
	int r;

	buf_init(&b, REVOKED_TEXT_MAX + 1);
	(void)snprintf(path, sizeof(path), "%s/revoked", cli_conf()->ca_folder);
	r = safeopen_slurp(AT_FDCWD, path, &want, &b, &why);
	if (r == ERR_SYS && errno == ENOENT)
		r = 0;
	p = r == 0 ? buf_cstr(&b) : NULL;
	for (; p != NULL && *p != '\0' && r == 0; p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		r = ERR_FORMAT;
		if (n < sizeof(line)) {
			memcpy(line, p, n);
			line[n] = '\0';
			r = take_line(v, line);
		}
	}
	if (r != 0)
		cli_error("%s %s: %s", path, why, err_text(r));
	v->added = 0;
	buf_clear(&b);
	return r;
}

/* Whole, or as it was. */
static int
write_revoked(const struct revoked *v)
{
	char path[512], new[576];
	struct buf b;
	int r = 0;

	(void)snprintf(path, sizeof(path), "%s/revoked", cli_conf()->ca_folder);
	(void)snprintf(new, sizeof(new), "%s.%ld.new", path, (long)getpid());
	buf_init(&b, REVOKED_TEXT_MAX);
	for (size_t i = 0; i < v->n && r == 0; i++)
		r = buf_putf(&b, "%s %" PRIu64 "\n", ca_names[v->at[i].ca],
		    v->at[i].serial);
	if (r == 0)
		r = cli_write_new(
		    AT_FDCWD, new, 0644, buf_ptr(&b), buf_len(&b));
	if (r == 0 && rename(new, path) == -1) {
		r = ERR_SYS;
		(void)unlink(new);
	}
	if (r != 0)
		cli_error("%s: %s", path, err_text(r));
	buf_clear(&b);
	return r;
}

/* -- which one is meant ---------------------------------------------------- */

struct found {
	const char *id;
	bool operation;
	uint64_t serial;
};

/* The id's own row: a session or a broker shell has those of its operations
 * behind it. */
static int
take_row(void *arg, const char *json, size_t n, int fd)
{
	json_t *o = json_loadb(json, n, 0, NULL);
	const char *id = json_string_value(json_object_get(o, "operation"));
	const char *serial = json_string_value(json_object_get(o, "serial"));
	struct found *f = arg;

	if (fd != -1)
		(void)close(fd);
	if (id != NULL && strcmp(id, f->id) == 0 && serial != NULL &&
	    num_parse(serial, 1, UINT64_MAX, &f->serial) == 0)
		f->operation = true;
	json_decref(o);
	return 0;
}

/* An operation's certificate has a serial of its own, which the ledger knows.
 */
static int
revoke_operation(struct revoked *v, const char *id)
{
	const struct cli_param param = { "id", id };
	struct found f = { .id = id };
	int r;

	if ((r = cli_query("show", &param, 1, take_row, &f)) != 0)
		return r;
	if (!f.operation) {
		cli_error("%s is no operation that got a certificate", id);
		return CLI_EX_FAILED;
	}
	return add_revoked(v, 0, f.serial);
}

/* All certificates that a session's jobs got have the last 64 bits of its id
 * for a serial. */
static int
revoke_session(struct revoked *v, const char *id)
{
	if (!ulid_valid(id)) {
		cli_error("%s is no session's id", id);
		return CLI_EX_FAILED;
	}
	return add_revoked(v, 1, ulid_low(id));
}

static int
revoke_serial(struct revoked *v, size_t ca, const char *text)
{
	uint64_t serial;

	if (num_parse(text, 1, UINT64_MAX, &serial) != 0) {
		cli_error("%s is no serial", text);
		return CLI_EX_FAILED;
	}
	return add_revoked(v, ca, serial);
}

/* -- the list -------------------------------------------------------------- */

static int
run_keygen(const char *const *argv)
{
	struct buf out;
	int code = 0, r;

	buf_init(&out, 64 * 1024);
	r = spawn_read(argv, SPAWN_BOTH, KRL_MS, &out, &code);
	if (r == 0 && code != 0) {
		cli_print_lines_safe(
		    stderr, buf_cstr(&out) == NULL ? "" : buf_cstr(&out));
		r = ERR_SYS;
	}
	buf_clear(&out);
	return r;
}

static int
put_keys(const struct retired *t, const char *to)
{
	const char *argv[RETIRED_MAX + 6] = { "ssh-keygen", "-q", "-k", "-f",
		to };

	for (size_t i = 0; i < t->n; i++)
		argv[5 + i] = t->path[i];
	return run_keygen(argv);
}

/* The serials of one CA, whose key may have been replaced since: both of its
 * keys are named.  A retired one's certificates are revoked with it. */
static int
put_serials(const struct revoked *v, size_t ca, const char *to)
{
	static const char *const which[] = { ".pub", ".old.pub" };
	char pub[512], spec[576];
	const char *const argv[] = { "ssh-keygen", "-q", "-k", "-u", "-f", to,
		"-s", pub, spec, NULL };
	struct stat st;
	struct buf b;
	int r = 0;

	buf_init(&b, REVOKED_TEXT_MAX);
	for (size_t i = 0; i < v->n && r == 0; i++) {
		if (v->at[i].ca == ca)
			r = buf_putf(
			    &b, "serial: %" PRIu64 "\n", v->at[i].serial);
	}
	(void)snprintf(spec, sizeof(spec), "%s.serials", to);
	if (r != 0 || buf_len(&b) == 0 ||
	    (r = cli_write_new(
		 AT_FDCWD, spec, 0600, buf_ptr(&b), buf_len(&b))) != 0)
		goto out;
	for (size_t i = 0; i < 2 && r == 0; i++) {
		(void)snprintf(pub, sizeof(pub), "%s/%s%s",
		    cli_conf()->ca_folder, ca_names[ca], which[i]);
		if (stat(pub, &st) == 0)
			r = run_keygen(argv);
	}
	(void)unlink(spec);
out:
	buf_clear(&b);
	return r;
}

static int
make_krl(const struct retired *t, const struct revoked *v, const char *path)
{
	char new[512];
	int n, r;

	n = snprintf(new, sizeof(new), "%s.%ld.new", path, (long)getpid());
	if (n < 0 || (size_t)n >= sizeof(new))
		return ERR_TOOBIG;
	r = put_keys(t, new);
	for (size_t i = 0; i < NCAS && r == 0; i++)
		r = put_serials(v, i, new);
	if (r == 0 && rename(new, path) == -1)
		r = ERR_SYS;
	if (r != 0)
		(void)unlink(new);
	return r;
}

/* -- the command ----------------------------------------------------------- */

static int
take_options(int argc, char **argv, struct revoked *v)
{
	static const struct option options[] = {
		{ "job", no_argument, NULL, 'j' },
		{ "serial", required_argument, NULL, 'n' },
		{ "operation", required_argument, NULL, 'o' },
		{ "session", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	size_t ca = 0;
	int c, r = 0;

	while (
	    r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			ca = 1;
			break;
		case 'n':
			r = revoke_serial(v, ca, optarg);
			break;
		case 'o':
			r = revoke_operation(v, optarg);
			break;
		case 's':
			r = revoke_session(v, optarg);
			break;
		default:
			return cli_usage();
		}
	}
	if (r == ERR_TOOBIG)
		cli_error("%s/revoked holds %d certificates, which is all it "
			  "can; take out those that are long over",
		    cli_conf()->ca_folder, REVOKED_MAX);
	if (r != 0)
		return r < 0 ? CLI_EX_FAILED : r;
	return optind != argc - 1 ? cli_usage() : 0;
}

int
cli_ca_krl(int argc, char **argv)
{
	static struct retired t; /* too big for a stack, as the next */
	static struct revoked v;
	const char *path;
	int r;

	if (read_revoked(&v) != 0)
		return CLI_EX_FAILED;
	if ((r = take_options(argc, argv, &v)) != 0)
		return r;
	path = argv[optind];
	if (v.added > 0 && write_revoked(&v) != 0)
		return CLI_EX_FAILED;
	if ((r = list_retired(&t)) != 0 || (r = make_krl(&t, &v, path)) != 0) {
		cli_error("%s cannot be made: %s", path, err_text(r));
		return CLI_EX_FAILED;
	}
	(void)printf(
	    "%s revokes %zu retired CA key%s", path, t.n, t.n == 1 ? "" : "s");
	if (v.n > 0)
		(void)printf(
		    " and %zu certificate%s", v.n, v.n == 1 ? "" : "s");
	(void)printf("; on a target: RevokedKeys %s\n", path);
	return 0;
}
