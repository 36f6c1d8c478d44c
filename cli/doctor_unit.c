/*
 * postern doctor: does the service manager let the broker write where
 * postern.conf says?  Runs as root; what systemctl prints is root's.
 */
#include "config.h"

#include "cli/doctor.h"

#include <stdio.h>
#include <string.h>

#include "cli/spawn.h"
#include "lib/buf.h"
#include "lib/conf.h"

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
unit_shows(const char *property, struct buf *out)
{
	const char *const argv[] = { "systemctl", "show", "--value", "-p",
		property, UNIT, NULL };
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

void
doctor_unit(struct doctor *d)
{
	struct buf strict, paths;
	const char *s;

	buf_init(&strict, 256);
	buf_init(&paths, 64 * 1024);
	if (!unit_shows("ProtectSystem", &strict) ||
	    !unit_shows("ReadWritePaths", &paths))
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
