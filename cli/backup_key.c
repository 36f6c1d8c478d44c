/*
 * Another key for a ledger that is restored from a backup without its own.
 * Runs as root.  Nobody can vouch for it: what the old key signed last is named
 * beside it in a line of the ledger, and whoever verifies is told.
 */
#include "config.h"

#include "cli/backup.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/note.h"
#include "audit/tlog.h"
#include "audit/utc.h"
#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/secret.h"

static int
read_checkpoint(int ledger, struct buf *note, struct checkpoint *at)
{
	int fd, r;

	fd = openat(ledger, TLOG_FOLDER "/" TLOG_CHECKPOINT,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_SYS;
	r = slurp_fd(fd, note);
	(void)close(fd);
	return r != 0 ? r : checkpoint_parse(buf_ptr(note), buf_len(note), at);
}

int
backup_signed(int ledger, uint64_t *lines)
{
	struct checkpoint at;
	struct buf note;
	int r;

	buf_init(&note, NOTE_MAX);
	if ((r = read_checkpoint(ledger, &note, &at)) == 0)
		*lines = at.size;
	buf_clear(&note);
	return r;
}

static int
write_key(int ledger, const struct note_signer *s)
{
	struct secret text = { 0 };
	int fd, r;

	if ((r = note_signer_text(s, &text)) != 0)
		goto out;
	fd = openat(ledger, TLOG_KEY,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = fd == -1 ? ERR_SYS : write_all(fd, text.d, text.len);
	if (r == 0 && fsync(fd) == -1)
		r = ERR_SYS;
	if (fd != -1)
		(void)close(fd);
out:
	secret_clear(&text);
	return r;
}

static int
write_line(int ledger, const char *key, struct buf *note)
{
	struct ledger l = { .fd = -1 };
	struct ledger_repair repair;
	struct ledger_line line;
	const char *text = buf_cstr(note);
	struct buf ev;
	int r;

	buf_init(&ev, LEDGER_EVENT_MAX);
	if (text == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	if ((r = event_start(&ev, EVENT_LEDGER_KEY)) == 0 &&
	    (r = event_str(&ev, EV_KEY, key)) == 0 &&
	    (r = event_str(&ev, EV_CHECKPOINT, text)) == 0 &&
	    (r = event_str(&ev, EV_REASON,
		 "restored from a backup without the ledger's key")) == 0 &&
	    (r = ledger_open(&l, ledger, &repair)) == 0)
		r = ledger_append(&l, &ev, utc_now_ms(), true, &line);
	ledger_close(&l);
out:
	buf_clear(&ev);
	return r;
}

int
backup_another_key(int ledger)
{
	struct note_signer s = { 0 };
	char key[NOTE_KEY_MAX];
	struct checkpoint at;
	struct buf note;
	int r;

	buf_init(&note, NOTE_MAX);
	if ((r = read_checkpoint(ledger, &note, &at)) == 0 &&
	    (r = note_signer_new(&s, at.origin)) == 0 &&
	    (r = write_key(ledger, &s)) == 0) {
		note_key_text(&s.key, key);
		r = write_line(ledger, key, &note);
	}
	note_signer_clear(&s);
	buf_clear(&note);
	if (r != 0) {
		cli_error("the ledger's new key: %s", err_text(r));
		return POSTERN_EX_IOERR;
	}
	(void)printf(
	    "the ledger goes on with another key, since the backup has "
	    "none. Note it outside of this host: `postern verify' "
	    "says `restored' until it is given this one with --key\n"
	    "%s\n",
	    key);
	return 0;
}
