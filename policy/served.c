/*
 * What rsync and git start at the far end, read.  The words are a job's.  An
 * option that is not in the tables is refused: what a newer client sends is
 * not known to be harmless.
 */
#include "config.h"

#include "policy/served.h"

#include <string.h>

#include "policy/model.h"

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static enum served_is
bad(struct served *s, size_t word, const char *what, const char *hint)
{
	s->word = word;
	s->what = what;
	s->hint = hint;
	return SERVED_BAD;
}

/* -- rsync's options ---------------------------------------------------------
 */

/* On which side an option may stand: bits. */
enum { RECEIVER = 1, SENDER = 2, BOTH = 3 };

/* What rsync says with more than two of them: the filters, line by line, and
 * they can be told to come from any file. */
#define VERBOSE_MAX 2

/* Letters of one word.  What is missing here: `s` (the words come on the
 * stream), `L` and `k` of a sender and `K` of a receiver (they go where links
 * of the target lead), `T` (a folder elsewhere), `M`. */
static const struct letter {
	char c;
	unsigned int side;
} letters[] = {
	{ 'A', BOTH },
	{ 'D', BOTH },
	{ 'E', BOTH },
	{ 'H', BOTH },
	{ 'I', BOTH },
	{ 'J', BOTH },
	{ 'L', RECEIVER },
	{ 'N', BOTH },
	{ 'O', BOTH },
	{ 'R', BOTH },
	{ 'S', BOTH },
	{ 'U', BOTH },
	{ 'W', BOTH },
	{ 'X', BOTH },
	{ 'b', BOTH },
	{ 'c', BOTH },
	{ 'd', BOTH },
	{ 'g', BOTH },
	{ 'k', RECEIVER },
	{ 'l', BOTH },
	{ 'm', BOTH },
	{ 'n', BOTH },
	{ 'o', BOTH },
	{ 'p', BOTH },
	{ 'q', BOTH },
	{ 'r', BOTH },
	{ 't', BOTH },
	{ 'u', BOTH },
	{ 'v', BOTH },
	{ 'x', BOTH },
	{ 'y', BOTH },
	{ 'z', BOTH },
};

/* Long options; with a value, the characters that it may be made of. */
static const struct option {
	const char *name; /* ends with `=`: the value follows in the word;
			     with ` `: it is the next word */
	unsigned int side;
	const char *value;
	bool deletes;
} options[] = {
	{ "--append", BOTH, NULL, false },
	{ "--bwlimit=", BOTH, DIGITS, false },
	{ "--checksum-choice=", BOTH, LETTERS DIGITS ",", false },
	{ "--checksum-seed=", BOTH, DIGITS, false },
	{ "--compress-choice=", BOTH, LETTERS DIGITS, false },
	{ "--compress-level=", BOTH, DIGITS "-", false },
	{ "--delay-updates", BOTH, NULL, false },
	{ "--delete", RECEIVER, NULL, true },
	{ "--delete-after", RECEIVER, NULL, true },
	{ "--delete-before", RECEIVER, NULL, true },
	{ "--delete-delay", RECEIVER, NULL, true },
	{ "--delete-during", RECEIVER, NULL, true },
	{ "--delete-excluded", RECEIVER, NULL, true },
	{ "--delete-missing-args", BOTH, NULL, true },
	{ "--dirs", BOTH, NULL, false }, { "--existing", BOTH, NULL, false },
	{ "--force", RECEIVER, NULL, true }, { "--fsync", BOTH, NULL, false },
	{ "--fuzzy", BOTH, NULL, false },
	{ "--groupmap=", BOTH, LETTERS DIGITS "*:,._-@", false },
	{ "--ignore-errors", BOTH, NULL, false },
	{ "--ignore-existing", BOTH, NULL, false },
	{ "--ignore-missing-args", BOTH, NULL, false },
	{ "--info=", BOTH, LETTERS DIGITS ",", false },
	{ "--inplace", BOTH, NULL, false },
	{ "--list-only", BOTH, NULL, false },
	{ "--log-format=", BOTH, LETTERS "%", false },
	{ "--max-delete=", BOTH, DIGITS "-", false },
	{ "--max-size=", BOTH, DIGITS, false },
	{ "--min-size=", BOTH, DIGITS, false },
	{ "--mkpath", BOTH, NULL, false },
	{ "--modify-window=", BOTH, DIGITS "-", false },
	{ "--msgs2stderr", BOTH, NULL, false },
	{ "--munge-links", BOTH, NULL, false },
	{ "--new-compress", BOTH, NULL, false },
	/* a receiver before 3.5 goes where links in its folder lead */
	{ "--no-implied-dirs", SENDER, NULL, false },
	{ "--no-msgs2stderr", BOTH, NULL, false },
	{ "--numeric-ids", BOTH, NULL, false },
	{ "--old-compress", BOTH, NULL, false },
	{ "--open-noatime", BOTH, NULL, false },
	{ "--partial", BOTH, NULL, false },
	/* what has its name already, file or folder, is removed */
	{ "--partial-dir ", BOTH, LETTERS DIGITS "._-~", true },
	{ "--preallocate", BOTH, NULL, false },
	{ "--safe-links", BOTH, NULL, false },
	{ "--size-only", BOTH, NULL, false },
	{ "--skip-compress=", BOTH, LETTERS DIGITS "./[]-", false },
	{ "--stats", BOTH, NULL, false },
	{ "--stop-after=", BOTH, DIGITS, false },
	{ "--suffix=", BOTH, LETTERS DIGITS "._-~", false },
	{ "--timeout=", BOTH, DIGITS, false },
	{ "--usermap=", BOTH, LETTERS DIGITS "*:,._-@", false },
	{ "-B", BOTH, DIGITS, false }, /* the block's size behind it */
};

/* Words for those that people do use; what begins alike is the same. */
static const struct refusal {
	const char *begin, *what, *hint;
} refusals[] = {
	{ "--files-from",
	    "the list of files would come on the stream, where no rule sees it",
	    "name the folder and use --include and --exclude" },
	{ "--remove-source-files", "this deletes files that are only read",
	    "leave it out, and delete with a command that a rule allows" },
	{ "--copy-unsafe-links", "this follows links out of the folder",
	    "leave it out: links are copied as links (-l)" },
	{ "--copy-links", "this follows links out of the folder",
	    "leave it out: links are copied as links (-l)" },
	{ "--no-implied-dirs", "this follows links that are in the folder",
	    "leave it out" },
	{ "--log-file", "this writes a file of the job's choice on the target",
	    "leave it out (-M, --remote-option): the ledger has the transfer" },
	{ "--backup-dir", "this writes into another folder", "leave it out" },
	{ "--temp-dir", "this writes into another folder", "leave it out" },
	{ "--link-dest", "this reads another folder", "leave it out" },
	{ "--copy-dest", "this reads another folder", "leave it out" },
	{ "--compare-dest", "this reads another folder", "leave it out" },
	{ "--debug", "this shows what is in files of any name",
	    "leave it out" },
};

static enum served_is
bad_option(struct served *s, size_t word, const char *text)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		if (strncmp(text, refusals[i].begin,
			strlen(refusals[i].begin)) == 0)
			return bad(s, word, refusals[i].what, refusals[i].hint);
	}
	return bad(s, word, "this option of rsync is not known to be harmless",
	    "leave it out");
}

static unsigned int
side_of(const struct served *s)
{
	return s->kind == REQUEST_READ ? SENDER : RECEIVER;
}

/* Behind `e`: the client's version and what it can do, to the word's end.
 * Nothing there would make the next word a program. */
static bool
is_capabilities(const char *p)
{
	size_t version = strspn(p, DIGITS ".");

	return version > 0 && p[version + strspn(p + version, LETTERS)] == '\0';
}

static enum served_is
read_letters(struct served *s, size_t word, const char *text)
{
	const size_t n = sizeof(letters) / sizeof(letters[0]);
	size_t i;

	for (const char *p = text + 1; *p != '\0'; p++) {
		if (*p == 'e' && is_capabilities(p + 1))
			return SERVED_YES;
		if (*p == 's')
			return bad(s, word,
			    "the paths would come on the stream, where no "
			    "rule sees them",
			    "use --no-secluded-args");
		for (i = 0; i < n && letters[i].c != *p; i++)
			;
		s->links |= *p == 'l';
		if (*p == 'v' && ++s->verbose > VERBOSE_MAX)
			return bad(s, word,
			    "this shows what is in files of any name",
			    "use -v or -vv");
		if (i < n && (letters[i].side & side_of(s)) != 0)
			continue;
		if (strchr("LkK", *p) != NULL)
			return bad(s, word,
			    "this goes where links on the target lead",
			    "leave out -L, -k, -K and their long forms");
		return bad_option(s, word, text);
	}
	return text[1] != '\0' ? SERVED_YES : bad_option(s, word, text);
}

/* Is the word this option, and what is its value?  One that is a word of its
 * own is the next. */
static bool
is_option(const struct option *o, const char *text, const char *next,
    const char **value)
{
	size_t n = strlen(o->name);

	if (o->value == NULL)
		return strcmp(text, o->name) == 0;
	if (o->name[n - 1] == ' ') {
		*value = next != NULL ? next : "";
		return strlen(text) == n - 1 &&
		       strncmp(text, o->name, n - 1) == 0;
	}
	*value = text + n;
	return strncmp(text, o->name, n) == 0;
}

/* No value is a folder above, or nothing. */
static bool
value_fits(const struct option *o, const char *v)
{
	return *v != '\0' && strcmp(v, ".") != 0 && strncmp(v, "..", 2) != 0 &&
	       v[strspn(v, o->value)] == '\0';
}

/* One option; *word goes on to its value if that is a word of its own. */
static enum served_is
read_option(const struct stage *g, size_t *word, struct served *s)
{
	const char *text = g->argv[*word], *value = NULL;
	const struct option *o;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		o = &options[i];
		if (!is_option(o, text, g->argv[*word + 1], &value))
			continue;
		if ((o->side & side_of(s)) == 0 ||
		    (o->value != NULL && !value_fits(o, value)))
			return bad_option(s, *word, text);
		if (o->value != NULL && value == g->argv[*word + 1])
			++*word;
		s->deletes |= o->deletes;
		return SERVED_YES;
	}
	return text[1] == '-' ? bad_option(s, *word, text)
			      : read_letters(s, *word, text);
}

/* -- paths -------------------------------------------------------------------
 */

bool
served_path(const char *word, char dst[PATH_LEN_MAX + 1])
{
	size_t n = strlen(word);

	if (n > 1 && word[n - 1] == '/')
		n--;
	if (n > PATH_LEN_MAX)
		return false;
	memcpy(dst, word, n);
	dst[n] = '\0';
	return true;
}

/* The rest of the words are paths, and nothing else. */
static enum served_is
read_paths(const struct stage *g, size_t first, size_t max, struct served *s)
{
	char path[PATH_LEN_MAX + 1];

	s->first = first;
	s->npath = g->argc - first;
	if (s->npath == 0)
		return bad(s, first, "here the path is missing",
		    "give an absolute path behind the colon");
	if (s->npath > max)
		return bad(s, first + max, "this is one path too many",
		    "use one command for each");
	for (size_t i = first; i < g->argc; i++) {
		if (g->argv[i][0] != '/')
			return bad(s, i, "the path is not absolute",
			    "write it from the root on: "
			    "web-1@bastion:/srv/...");
		if (!served_path(g->argv[i], path) ||
		    !path_is_plain(path, strlen(path)))
			return bad(s, i,
			    "a path has no empty, `.` or `..` parts",
			    "write the folder that is meant");
	}
	return SERVED_YES;
}

/* -- the programs ------------------------------------------------------------
 */

/* rsync --server [--sender] OPTION... . PATH... */
static enum served_is
read_rsync(const struct stage *g, struct served *s)
{
	size_t i = 2;
	enum served_is is;

	if (g->argc < 2 || strcmp(g->argv[1], "--server") != 0)
		return SERVED_NO; /* a person's, that a `run` line may allow */
	s->kind = REQUEST_WRITE;
	s->stream = STREAM_RSYNC_WRITE;
	s->how = BY_RSYNC;
	if (i < g->argc && strcmp(g->argv[i], "--sender") == 0) {
		s->kind = REQUEST_READ;
		s->stream = STREAM_RSYNC_READ;
		i++;
	}
	for (; i < g->argc && g->argv[i][0] == '-'; i++) {
		if ((is = read_option(g, &i, s)) != SERVED_YES)
			return is;
	}
	if (i == g->argc || strcmp(g->argv[i], ".") != 0)
		return bad(s, i < g->argc ? i : g->argc,
		    "rsync's server has a `.` in front of its paths",
		    "use rsync 3.1 or later as it is");
	return read_paths(
	    g, i + 1, s->kind == REQUEST_READ ? SERVED_PATHS_MAX : 1, s);
}

/* git-upload-pack PATH */
static enum served_is
read_git(const struct stage *g, struct served *s)
{
	if (s->redirected)
		return bad(s, g->argc,
		    "what git says here is its protocol, and goes nowhere else",
		    "leave out the redirection");
	if (g->argc > 1 && g->argv[1][0] == '-')
		return bad(
		    s, 1, "no option is taken here", "use git's own defaults");
	return read_paths(g, 1, 1, s);
}

static const struct program_form {
	const char *name, *path;
	enum request_kind kind;
	enum stream stream;
	enum served_is (*read)(const struct stage *g, struct served *s);
} forms[] = {
	{ "rsync", "/usr/bin/rsync", REQUEST_READ, STREAM_RSYNC_READ,
	    read_rsync },
	{ "git-upload-pack", "/usr/bin/git-upload-pack", REQUEST_GIT_READ,
	    STREAM_GIT_FETCH, read_git },
	{ "git-upload-archive", "/usr/bin/git-upload-archive", REQUEST_GIT_READ,
	    STREAM_GIT_ARCHIVE, read_git },
	{ "git-receive-pack", "/usr/bin/git-receive-pack", REQUEST_GIT_WRITE,
	    STREAM_GIT_PUSH, read_git },
};

enum served_is
served_read(const struct command *c, struct served *out)
{
	const struct stage *g = &c->stage[0];
	const struct program_form *f;

	*out = (struct served){ 0 };
	if (c->nstage != 1 || g->argc == 0)
		return SERVED_NO;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		f = &forms[i];
		if (strcmp(g->argv[0], f->name) != 0 &&
		    strcmp(g->argv[0], f->path) != 0)
			continue;
		if (c->dir != NULL || g->nassign > 0)
			return SERVED_NO;
		out->kind = f->kind;
		out->stream = f->stream;
		out->program = f->path;
		out->redirected = c->out_null || c->err_null || c->err_to_out;
		return f->read(g, out);
	}
	return SERVED_NO;
}
