/*
 * The table of known ways out of programs (GTFOBins, manuals, the CVEs of those
 * who let them through), and which of them a line leaves open.  Runs in the
 * command line tools.
 */
#include "config.h"

#include "policy/lint_escape.h"

#include <string.h>

#include "policy/model.h"

/* When a line leaves it open: */
enum {
	OPTION,    /* it spells a word that begins so */
	WORD,      /* it spells that word */
	SLOT,      /* it has a slot that takes nearly anything */
	TEXT,      /* and one that is no path */
	TEXT_OF,   /* in the word, or in the one behind */
	TEXT_WITH, /* somewhere behind the word */
	WHOLE,     /* which is a word of its own */
	AT_HOST,   /* behind https://HOST, without a / between */
	AT_COLON,  /* behind HOST: */
};

static const struct escape escapes[] = {
	{ "7z 7za 7zr zip", "", "reads the file that `@` names", TEXT },
	{ "apt apt-get dnf yum zypper", "",
	    "installs a file, too, and runs its scripts as root", TEXT },
	{ "awk gawk mawk nawk", "", "runs its program text", TEXT },
	{ "bash dash ksh sh zsh", "-c", "runs what follows", OPTION },
	{ "busybox", "", "is every other program", SLOT },
	{ "chroot", "", "runs what follows", SLOT },
	{ "chmod", "", "gives any mode, u+s too", TEXT },
	{ "crontab at batch", "", "runs what a file says", SLOT },
	{ "curl", "-K", "reads options from a file", OPTION },
	{ "curl", "--config", "reads options from a file", OPTION },
	{ "curl", "-o", "writes any file", OPTION },
	{ "curl", "--output", "writes any file", OPTION },
	{ "curl", "-d", "sends the file that `@` names", TEXT_OF },
	{ "curl", "--data", "sends the file that `@` names", TEXT_OF },
	{ "curl", "--data-binary", "sends the file that `@` names", TEXT_OF },
	{ "curl", "--data-urlencode", "sends the file that `@` names",
	    TEXT_OF },
	{ "curl", "--json", "sends the file that `@` names", TEXT_OF },
	{ "curl", "-F", "sends the file that `@` names", TEXT_OF },
	{ "curl", "--form", "sends the file that `@` names", TEXT_OF },
	{ "curl", "-H", "sends the file that `@` names", TEXT_OF },
	{ "curl", "-T", "sends any file", TEXT_OF },
	{ "curl wget", "", "takes any URL, file: of curl too", WHOLE },
	{ "curl wget", "", "asks any host that begins so: put a / before it",
	    AT_HOST },
	{ "dd", "of=", "writes any file", OPTION },
	{ "docker podman", "--privileged", "gives the host away", OPTION },
	{ "docker podman", "-v", "mounts any folder", OPTION },
	{ "docker podman", "--volume", "mounts any folder", OPTION },
	{ "docker podman", "--mount", "mounts any folder", OPTION },
	{ "docker podman", "exec", "runs what follows", WORD },
	{ "docker podman", "cp", "reads and writes any file", WORD },
	{ "docker podman", "run", "runs any image, and what follows",
	    TEXT_WITH },
	{ "docker podman", "build", "runs what a file says", TEXT_WITH },
	{ "dpkg rpm", "-i", "runs the scripts of a file as root", OPTION },
	{ "env", "", "runs what follows", SLOT },
	{ "find", "-delete", "removes files", OPTION },
	{ "find", "-exec", "runs what follows", OPTION },
	{ "find", "-execdir", "runs what follows", WORD },
	{ "find", "-files0-from", "reads any file", OPTION },
	{ "find", "-fls", "writes any file", OPTION },
	{ "find", "-fprint", "writes any file", OPTION },
	{ "find", "-ok", "runs what follows", OPTION },
	{ "gdb", "", "runs what it is told", SLOT },
	{ "git", "--exec", "runs its value", OPTION },
	{ "git", "--output", "writes any file", OPTION },
	{ "git", "--receive-pack", "runs its value", OPTION },
	{ "git", "--upload-pack", "runs its value", OPTION },
	{ "git", "-c", "sets options that run programs", OPTION },
	{ "git", "ext::", "runs its value", OPTION },
	{ "git", "clone", "takes any URL or folder", TEXT_WITH },
	{ "git", "fetch",
	    "takes any URL, and a ref to be overwritten behind :", TEXT_WITH },
	{ "git", "pull",
	    "takes any URL, and a ref to be overwritten behind :", TEXT_WITH },
	{ "git", "push",
	    "takes any URL, and a ref to be overwritten behind :", TEXT_WITH },
	{ "git", "remote", "takes any URL", TEXT_WITH },
	{ "kubectl", "exec", "runs what follows", WORD },
	{ "kubectl", "cp", "reads and writes any file", WORD },
	{ "kubectl", "debug", "gives a node away", WORD },
	{ "kubectl", "run", "runs any image, and what follows", TEXT_WITH },
	{ "kubectl", "get", "shows secrets, too", TEXT_WITH },
	{ "kubectl", "describe", "shows anything there is", TEXT_WITH },
	{ "kubectl", "-f", "does what any file or URL says", TEXT_OF },
	{ "kubectl", "-o", "reads the file that a template names", TEXT_OF },
	{ "ln", "", "makes a name for any file", SLOT },
	{ "make gmake", "", "takes NAME=VALUE, SHELL too, which it runs",
	    TEXT },
	{ "mysql", "-e", "runs what `system` says", TEXT_OF },
	{ "nice ionice nohup setsid stdbuf taskset chrt watch strace ltrace "
	  "unshare flock parallel script runuser su doas pkexec systemd-nspawn "
	  "setpriv capsh unbuffer",
	    "", "runs what follows", SLOT },
	{ "npm npx pip pip3 gem cargo", "",
	    "installs from a folder or URL, too, and runs what is there",
	    TEXT },
	{ "nsenter", "", "runs what follows", SLOT },
	{ "perl ruby node", "-e", "runs what follows", OPTION },
	{ "php", "-r", "runs what follows", OPTION },
	{ "psql", "-c", "runs what \\! and PROGRAM say", TEXT_OF },
	{ "python python3", "-c", "runs what follows", OPTION },
	{ "rsync", "--files-from", "reads any file", OPTION },
	{ "rsync", "--log-file", "writes any file", OPTION },
	{ "rsync", "--remote-option", "passes any option on", OPTION },
	{ "rsync", "--rsh", "runs its value", OPTION },
	{ "rsync", "--rsync-path", "runs its value", OPTION },
	{ "rsync", "--write-batch", "writes any file", OPTION },
	{ "rsync", "-M", "passes any option on", OPTION },
	{ "rsync", "-e", "runs its value", OPTION },
	{ "rsync scp", "", "takes HOST: for another machine", WHOLE },
	{ "rsync scp", "",
	    "gives this to a shell on the other machine, if either is old",
	    AT_COLON },
	{ "scp sftp", "-F", "reads options that run programs", OPTION },
	{ "scp sftp", "-S", "runs its value", OPTION },
	{ "scp sftp", "-o", "sets options that run programs", OPTION },
	{ "sed", "", "runs and writes what its script says", TEXT },
	{ "sed", "-i", "writes files", OPTION },
	{ "socat", "", "runs what EXEC: says", TEXT },
	{ "sqlite3", "", "runs what .shell says", TEXT },
	{ "ssh", "-F", "reads options that run programs", OPTION },
	{ "ssh", "-o", "sets options that run programs", OPTION },
	{ "ssh", "",
	    "gives its words to a shell on the other machine, which runs what "
	    "is behind `;` or in `$( )`",
	    SLOT },
	{ "sudo", "", "runs what follows", SLOT },
	{ "systemctl", "", "takes a pattern for many units: write an enum",
	    TEXT },
	{ "systemctl", "edit", "runs an editor", WORD },
	{ "systemctl", "enable", "makes a unit of any file", TEXT_WITH },
	{ "systemctl", "link", "makes a unit of any file", WORD },
	{ "systemctl", "set-environment", "decides what services load", WORD },
	{ "systemd-run", "", "runs what follows", SLOT },
	{ "tar", "--checkpoint-action", "runs its value", OPTION },
	{ "tar", "--files-from", "reads any file", OPTION },
	{ "tar", "--info-script", "runs its value", OPTION },
	{ "tar", "--new-volume-script", "runs its value", OPTION },
	{ "tar", "--rmt-command", "runs its value", OPTION },
	{ "tar", "--rsh-command", "runs its value", OPTION },
	{ "tar", "--to-command", "runs its value", OPTION },
	{ "tar", "--use-compress-program", "runs its value", OPTION },
	{ "tar", "-F", "runs its value", OPTION },
	{ "tar", "-I", "runs its value", OPTION },
	{ "tar", "-P", "writes outside its folder", OPTION },
	{ "tee", "", "writes any file", SLOT },
	{ "timeout", "", "runs what follows", SLOT },
	{ "vi view vim nvim ex", "-c", "runs what follows", OPTION },
	{ "wget", "-O", "writes any file", OPTION },
	{ "wget", "-i", "shows the lines of any file", OPTION },
	{ "xargs", "", "runs what follows", SLOT },
};
#define ESCAPES (sizeof(escapes) / sizeof(escapes[0]))

static bool
is_among(const char *names, const char *name)
{
	size_t n;

	for (; *names != '\0'; names += n + (names[n] == ' ')) {
		n = strcspn(names, " ");
		if (strlen(name) == n && strncmp(names, name, n) == 0)
			return true;
	}
	return false;
}

bool
escape_knows(const char *program)
{
	for (size_t i = 0; i < ESCAPES; i++) {
		if (is_among(escapes[i].programs, program))
			return true;
	}
	return false;
}

bool
escape_wraps(const char *program)
{
	return is_among("sudo doas env nice ionice nohup setsid stdbuf timeout "
			"taskset chrt time flock unbuffer runuser setpriv",
	    program);
}

bool
escape_obeys_folder(const char *program)
{
	return is_among("git make gmake docker docker-compose podman npm npx "
			"yarn composer bundle rake ansible ansible-playbook "
			"terraform cargo mvn gradle python python3 node",
	    program);
}

/* -- words ----------------------------------------------------------------- */

static bool
is_slot(const struct item *it, bool path)
{
	const struct slot *slot = it->piece[it->npiece - 1].slot;

	return slot != NULL &&
	       (slot->kind == SLOT_ANY || slot->kind == SLOT_TEXT ||
		   (path && slot->kind == SLOT_PATH));
}

/* Does the item begin with the option? */
static bool
begins_with(const struct item *it, const char *option)
{
	const char *s = it->piece[0].text;

	return s != NULL && strncmp(s, option, strlen(option)) == 0 &&
	       (s[strlen(option)] == '\0' || s[strlen(option)] == '=' ||
		   option[1] != '-');
}

static bool
is_word(const struct item *it, const char *word)
{
	return it->npiece == 1 && it->piece[0].text != NULL &&
	       strcmp(it->piece[0].text, word) == 0;
}

/* A slot right behind the end of this text. */
static bool
is_behind(const struct item *it, const char *mark, const char * not )
{
	const char *s = it->piece[0].text;

	if (s == NULL || it->npiece < 2 || !is_slot(it, true))
		return false;
	s = strstr(s, mark);
	return s != NULL &&
	       (not == NULL || strpbrk(s + strlen(mark), not ) == NULL);
}

static bool
has_text_behind(const struct run *run, size_t k)
{
	for (k++; k < run->nitem; k++) {
		const char *s = run->item[k].piece[0].text;

		if (is_slot(&run->item[k], false) && (s == NULL || *s != '-'))
			return true;
	}
	return false;
}

/* May one of the words that follow it be the value of `it`? */
static bool
has_text_of(const struct run *run, size_t k, const char *option)
{
	const struct item *it = &run->item[k];

	if (!begins_with(it, option))
		return false;
	if (it->npiece > 1)
		return is_slot(it, true);
	return is_word(it, option) && k + 1 < run->nitem &&
	       is_slot(&run->item[k + 1], true);
}

/* Is it the value of an option that is looked at by itself? */
static bool
is_value(const char *program, const struct run *run, size_t k)
{
	for (size_t i = 0; k > 1 && i < ESCAPES; i++) {
		if (escapes[i].when == TEXT_OF &&
		    is_among(escapes[i].programs, program) &&
		    is_word(&run->item[k - 1], escapes[i].word))
			return true;
	}
	return false;
}

static bool
is_open(const struct escape *e, const char *program, const struct run *run,
    size_t k)
{
	const struct item *it = &run->item[k];

	switch (e->when) {
	case OPTION:
		return begins_with(it, e->word);
	case WORD:
		return is_word(it, e->word);
	case SLOT:
		return is_slot(it, true);
	case TEXT:
		return is_slot(it, false);
	case TEXT_OF:
		return has_text_of(run, k, e->word);
	case TEXT_WITH:
		return is_word(it, e->word) && has_text_behind(run, k);
	case WHOLE:
		return it->npiece == 1 && is_slot(it, false) &&
		       !is_value(program, run, k);
	case AT_HOST:
		return is_behind(it, "://", "/");
	case AT_COLON:
		return is_behind(it, ":", NULL);
	default:
		return false;
	}
}

const struct escape *
escape_next(const char *program, const struct run *run, size_t from,
    size_t *next, const struct item **at)
{
	for (; *next < ESCAPES; (*next)++) {
		const struct escape *e = &escapes[*next];

		if (!is_among(e->programs, program))
			continue;
		for (size_t k = from + 1; k < run->nitem; k++) {
			if (!is_open(e, program, run, k))
				continue;
			*at = &run->item[k];
			(*next)++;
			return e;
		}
	}
	return NULL;
}
