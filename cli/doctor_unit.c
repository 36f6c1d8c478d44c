/*
 * postern doctor: does the service manager let the broker write where
 * postern.conf says, and do both units run what is installed?  Runs as root;
 * what systemctl prints is root's.
 */
#include "config.h"

#include "cli/doctor.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/spawn.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/str.h"

#define SSHD_UNIT "postern-sshd.service"
#define UNIT "postern.service"
#define UNIT_MS 10000
#define PATH_SIZE 512

/* Is one of the paths (separated by blanks, perhaps behind `-' or `+') the
 * folder, or does it hold it? */
static bool
lists(const char *paths, const char *folder)
{
	size_t n;

	while (*(paths += strspn(paths, " \n-+")) != '\0') {
		n = strcspn(paths, " \n");
		if (strncmp(folder, paths, n) == 0 &&
		    (folder[n] == '\0' || folder[n] == '/' ||
			paths[n - 1] == '/'))
			return true;
		paths += n;
	}
	return false;
}

/* What is set for the unit; without systemd, or without the unit, nothing. */
static bool
unit_shows(const char *unit, const char *property, struct buf *out)
{
	const char *const argv[] = { "systemctl", "show", "--value", "-p",
		property, unit, NULL };
	int code = 1;

	buf_reset(out);
	return spawn_read(argv, SPAWN_OUT, UNIT_MS, out, &code) == 0 &&
	       code == 0 && buf_cstr(out) != NULL;
}

static void
check_folder(struct doctor *d, const char *setting, const char *folder,
    const char *usual, const char *paths)
{
	/* Where it usually is, the unit has it by other words, too. */
	if (strcmp(folder, usual) == 0 || lists(paths, folder))
		return;
	doctor_find(d, DOCTOR_BAD, folder,
	    "it is not where " UNIT " may write: the broker does not start",
	    "systemctl edit " UNIT ", with [Service] and ReadWritePaths=%s, "
	    "as %s in postern.conf has it; then restart postern",
	    folder, setting);
}

static void
check_folders(struct doctor *d)
{
	struct buf strict, paths;
	const char *s;

	buf_init(&strict, 256);
	buf_init(&paths, 64 * 1024);
	if (!unit_shows(UNIT, "ProtectSystem", &strict) ||
	    !unit_shows(UNIT, "ReadWritePaths", &paths))
		goto out;
	s = buf_cstr(&strict);
	if (strncmp(s, "strict", 6) != 0)
		goto out;
	check_folder(d, "state-folder", d->conf->state_folder, POSTERN_STATEDIR,
	    buf_cstr(&paths));
	check_folder(d, "run-folder", d->conf->run_folder, POSTERN_RUNDIR,
	    buf_cstr(&paths));
out:
	buf_clear(&strict);
	buf_clear(&paths);
}

/* A program that was replaced on the disk runs on as it was. */
static void
check_program(
    struct doctor *d, const char *unit, const char *fix, struct buf *out)
{
	static const char gone[] = " (deleted)";
	char link[64], exe[PATH_MAX];
	const char *s;
	uint64_t pid;
	ssize_t n;

	if (!unit_shows(unit, "MainPID", out) || (s = buf_cstr(out)) == NULL)
		return;
	(void)snprintf(link, sizeof(link), "%.*s", (int)strcspn(s, "\n"), s);
	if (num_parse(link, 1, INT_MAX, &pid) != 0)
		return; /* 0: it does not run */
	(void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, exe, sizeof(exe));
	if (n < (ssize_t)sizeof(gone) || (size_t)n >= sizeof(exe) ||
	    memcmp(exe + n - (sizeof(gone) - 1), gone, sizeof(gone) - 1) != 0)
		return;
	doctor_find(d, DOCTOR_BAD, unit,
	    "its program was replaced since it was started, and the old one "
	    "still runs",
	    "%s: what runs goes on", fix);
}

/* The way in, where the broker's unit runs and this one does not. */
static void
check_way_in(struct doctor *d, struct buf *out)
{
	const char *s;

	if (!unit_shows(UNIT, "ActiveState", out) ||
	    (s = buf_cstr(out)) == NULL || strncmp(s, "active", 6) != 0 ||
	    !unit_shows(SSHD_UNIT, "ActiveState", out) ||
	    (s = buf_cstr(out)) == NULL)
		return;
	if (strncmp(s, "failed", 6) == 0 || strncmp(s, "inactive", 8) == 0)
		doctor_find(d, DOCTOR_BAD, SSHD_UNIT,
		    "it does not run, though the broker does: no job gets in",
		    "systemctl start postern-sshd; if that fails, journalctl "
		    "-u postern-sshd says why");
}

void
doctor_unit(struct doctor *d)
{
	struct buf out;

	check_folders(d);
	buf_init(&out, 4096);
	check_way_in(d, &out);
	check_program(d, UNIT,
	    "systemctl kill --kill-whom=main --signal=SIGUSR2 postern", &out);
	check_program(d, SSHD_UNIT, "systemctl restart postern-sshd", &out);
	buf_clear(&out);
}
