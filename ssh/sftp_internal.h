/*
 * What the parts of the SFTP filter share.
 *
 *	sftp.c		bytes into packets, both ways; start and end
 *	sftp_start.c	where the server is, and the folders of the rules
 *	sftp_msg.c	fields, attributes, paths, the queues that go out
 *	sftp_handle.c	open files: what passed through them
 *	sftp_judge.c	may this path be used so?
 *	sftp_req.c	requests under way: slots, numbers, refused, reported
 *
 *	sftp_request.c	a job's request: which it is
 *	sftp_file.c	... that names an open file
 *	sftp_names.c	... that names paths: read, made plain
 *	sftp_access.c	what such a request needs: granted, asked about
 *	sftp_path.c	their order: asked about, held, sent
 *	sftp_answer.c	a target's answer: fits the question, goes to the job
 */
#ifndef POSTERN_SSH_SFTP_INTERNAL_H
#define POSTERN_SSH_SFTP_INTERNAL_H

#include "lib/buf.h"
#include "ssh/sftp.h"

/* draft-ietf-secsh-filexfer-02, section 3 */
enum sftp_type {
	FXP_INIT = 1,
	FXP_VERSION = 2,
	FXP_OPEN = 3,
	FXP_CLOSE = 4,
	FXP_READ = 5,
	FXP_WRITE = 6,
	FXP_LSTAT = 7,
	FXP_FSTAT = 8,
	FXP_SETSTAT = 9,
	FXP_FSETSTAT = 10,
	FXP_OPENDIR = 11,
	FXP_READDIR = 12,
	FXP_REMOVE = 13,
	FXP_MKDIR = 14,
	FXP_RMDIR = 15,
	FXP_REALPATH = 16,
	FXP_STAT = 17,
	FXP_RENAME = 18,
	FXP_READLINK = 19,
	FXP_SYMLINK = 20,
	FXP_STATUS = 101,
	FXP_HANDLE = 102,
	FXP_DATA = 103,
	FXP_NAME = 104,
	FXP_ATTRS = 105,
	FXP_EXTENDED = 200,
	FXP_EXTENDED_REPLY = 201,
};

/* OpenSSH's extensions.  Numbers of our own, beyond the wire's. */
enum sftp_extension {
	EXT_POSIX_RENAME = 256,
	EXT_STATVFS,
	EXT_FSTATVFS,
	EXT_HARDLINK,
	EXT_FSYNC,
	EXT_LSETSTAT,
	EXT_LIMITS,
	EXT_EXPAND_PATH,
	EXT_COPY_DATA,
	EXT_HOME_DIRECTORY,
	EXT_USERS_GROUPS,
};

/* section 7 */
enum sftp_status {
	FX_OK = 0,
	FX_EOF = 1,
	FX_NO_SUCH_FILE = 2,
	FX_PERMISSION_DENIED = 3,
	FX_FAILURE = 4,
	FX_BAD_MESSAGE = 5,
	FX_OP_UNSUPPORTED = 8,
};

/* section 6.3 */
enum {
	FXF_READ = 1,
	FXF_WRITE = 2,
	FXF_APPEND = 4,
	FXF_CREAT = 8,
	FXF_TRUNC = 16,
	FXF_EXCL = 32,
	FXF_ALL = 63,
};

/* section 5 */
#define ATTR_SIZE 1U
#define ATTR_UIDGID 2U
#define ATTR_PERM 4U
#define ATTR_TIMES 8U
#define ATTR_EXTENDED 0x80000000U
#define SFTP_MODE_MASK 07777U

struct sftp_attrs {
	uint32_t flags;
	uint64_t size;
	uint32_t uid, gid, perm, atime, mtime;
};

#define SFTP_HANDLE_MAX 256 /* bytes of a target's */
#define SFTP_HANDLE_LEN 8   /* of ours */
#define SFTP_ROOM 32768     /* nothing more is taken while so much waits */
#define SFTP_HELD_MAX 65536 /* and while paths of so many bytes wait */
#define SFTP_DATA_MAX 32768 /* what we tell a client to put in a packet */

struct sftp_queue {
	uint8_t *d;
	size_t off, len, cap;
	size_t start; /* of the packet that is being written */
	bool failed;  /* no memory: the session ends */
};

/* What passed through a file in one direction. */
struct sftp_track {
	bool used;
	uint32_t begun; /* its number; 0: no line says so yet */
	bool broken; /* not in order, or not from the beginning */
	void *md;    /* EVP_MD_CTX */
	uint64_t bytes;
	uint64_t next; /* the first byte that has not passed, in order */
	uint64_t eof;  /* the first offset with nothing there */
	struct sftp_range range[SFTP_RANGES_MAX];
	size_t nrange;
	bool more;
};

struct sftp_handle {
	bool used; /* from OPEN to the answer to CLOSE */
	bool open; /* the job may name it */
	bool dir, rd, wr, append;
	bool fresh; /* empty when it was opened */
	uint16_t gen;
	int rd_root, wr_root;
	char *path;
	size_t ntarget;
	uint8_t target[SFTP_HANDLE_MAX];
	uint64_t end;    /* of what was written, and charged */
	uint64_t cut;    /* its size was set to that, successfully */
	uint32_t status; /* the first failure */
	struct sftp_track get, put;
};

/* What is asked of the target about a request's paths before it is sent. */
enum sftp_ask {
	ASK_ITSELF = 0, /* not a question: the request */
	ASK_REAL,       /* where its path leads */
	ASK_FOLDER,     /* where its folder is */
	ASK_REAL_TO,
	ASK_FOLDER_TO,
	ASK_NAME_TO, /* is there something of that name? */
	ASK_N,
	ASK_START = 7, /* at the start: a rule's folder, or where we are */
};
#define ASK_BIT(ask) (1U << (ask))

struct sftp_paths {
	char *path, *to;
	char *content; /* of a symbolic link, as it is sent */
	char *answer[ASK_N];
	unsigned int asks; /* bits of sftp_ask: before it is sent */
	uint32_t failed;   /* one of them, with this status */
	uint32_t pflags;
	struct sftp_attrs attrs;
	int rd_root, wr_root;
	size_t held; /* bytes of path, to and content */
};

struct sftp_req {
	bool used;
	uint16_t gen;
	unsigned int type; /* sftp_type or sftp_extension */
	uint32_t id;       /* the job's */
	int handle;        /* -1: none */
	uint16_t handle_gen;
	uint64_t offset;
	uint32_t len;
	unsigned int wait, asked; /* bits of sftp_ask */
	bool cut;                 /* the answer to a FSETSTAT of a size */
	bool sent;
	bool changes;             /* names on the target */
	struct sftp_paths *paths; /* NULL: a request without */
};

/* A rule, and where its folder really is. */
struct sftp_root {
	const struct sftp_rule *rule;
	char *real;
	uint64_t used; /* bytes, of its max */
};

enum sftp_phase {
	PHASE_INIT,    /* waits for the job's INIT */
	PHASE_VERSION, /* waits for the target's answer */
	PHASE_START,   /* asks for the folders of the rules */
	PHASE_RUN,
	PHASE_BROKEN,
};

/* The packet that is being received from one side. */
struct sftp_packet {
	uint8_t *d;
	size_t n, cap;
	uint64_t left; /* bytes of file contents that follow */
	bool pass;     /* they go on; otherwise nowhere */
	int handle;    /* whose they are */
	uint64_t offset;
};

struct sftp {
	struct sftp_want want;
	enum sftp_phase phase;
	struct sftp_packet in[2];
	struct sftp_queue out[2];
	struct sftp_queue later[2]; /* behind a packet that is half sent */
	struct sftp_root root[SFTP_RULES_MAX];
	char *start;          /* where the target's server starts */
	size_t starting;      /* questions of PHASE_START without an answer */
	unsigned int offered; /* extensions, as 1 << (ext - 256) */
	struct sftp_req req[SFTP_REQUESTS_MAX];
	size_t nreq;
	size_t held;                      /* by the paths of all */
	uint16_t line[SFTP_REQUESTS_MAX]; /* requests with paths, in order */
	size_t nline;
	size_t changing; /* such that were sent and change names */
	struct sftp_handle handle[SFTP_HANDLES_MAX];
	uint16_t gen;
	uint32_t begun; /* lines of the manifest that say so */
	char error[128];
	char text[SFTP_PATH_MAX + 512]; /* why something was refused */
	const char *rule;               /* that did, or NULL */
};

/* -- sftp.c */
/* Ends the session: words without foreign bytes.  Always ERR_PROTO. */
int sftp_broke(struct sftp *s, const char *words);

/* Where the next packet to that side is written. */
struct sftp_queue *sftp_to(struct sftp *s, enum sftp_side side);

/* -- sftp_msg.c */
void sftp_begin(struct sftp_queue *q, unsigned int type);
void sftp_put(struct sftp_queue *q, const void *p, size_t n);
void sftp_put_u32(struct sftp_queue *q, uint32_t v);
void sftp_put_u64(struct sftp_queue *q, uint64_t v);
void sftp_put_str(struct sftp_queue *q, const void *p, size_t n);
void sftp_put_cstr(struct sftp_queue *q, const char *p);
void sftp_put_attrs(struct sftp_queue *q, const struct sftp_attrs *a);
/* The packet is complete; `more` bytes of it follow by sftp_put. */
void sftp_finish(struct sftp_queue *q, size_t more);
size_t sftp_waiting(const struct sftp_queue *q);
void sftp_status(struct sftp *s, uint32_t id, uint32_t code, const char *text);
/* A NAME with one path. */
void sftp_name(struct sftp *s, uint32_t id, const char *path);
int sftp_get_attrs(struct buf *b, struct sftp_attrs *a);
/* A path as it was sent, made absolute and plain.  ERR_FORMAT: a NUL;
 * ERR_TOOBIG; ERR_DENIED: not UTF-8, or a control character in it. */
int sftp_path_plain(const char *start, const uint8_t *p, size_t n, char **out);
/* The folder of an absolute path, and its last part. */
char *sftp_path_folder(const char *path);
const char *sftp_path_name(const char *path);
/* folder/name; NULL: no memory. */
char *sftp_path_join(const char *folder, const char *name);

/* -- sftp_judge.c */
enum sftp_access { ACCESS_STAT, ACCESS_READ, ACCESS_WRITE, ACCESS_DELETE };

/*
 * Does a rule grant it?  real is NULL as long as it is not known.  *root is the
 * rule (of the real path, where that counts), *ask: only if the real path is
 * granted, too.  False: s->text and s->rule say why.
 */
bool sftp_judge(struct sftp *s, enum sftp_access access, const char *path,
    const char *real, int *root, bool *ask);
/* May the name `to` come to mean what `from` means?  Both were granted.  real:
 * both are real paths. */
bool sftp_judge_moves(
    struct sftp *s, bool real, const char *from, const char *to);
/* Is it a folder above one that a rule grants? */
bool sftp_judge_above(const struct sftp *s, const char *path);
/* May an existing name vanish at `path` because of what becomes of it? */
bool sftp_judge_keeps(const struct sftp *s, const char *path);
/* May they be set? */
bool sftp_judge_attrs(
    struct sftp *s, const struct sftp_attrs *a, const char *path);
/* Takes n bytes of what the rule grants; false: they are not there. */
bool sftp_judge_charge(struct sftp *s, int root, uint64_t n);
/* s->text := words, which say why `path` is refused. */
void sftp_refuse(struct sftp *s, const char *rule, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* -- sftp_handle.c */
/* A free one, or -1. */
int sftp_handle_new(struct sftp *s);
void sftp_handle_free(struct sftp *s, int h);
/* What the job calls it. */
void sftp_handle_put(struct sftp_queue *q, const struct sftp *s, int h);
/* Which it names; -1: none that is open. */
int sftp_handle_find(const struct sftp *s, const uint8_t *p, size_t n);
int sftp_track_add(struct sftp_track *t, uint64_t at, const void *p, size_t n);
/* Bytes that nobody here has seen. */
void sftp_track_unseen(struct sftp_track *t, uint64_t at, uint64_t n);
/* Its contents are about to pass, into the file (wr) or out of it: a line says
 * so, once, and MUST be written before the target is asked. */
void sftp_handle_begin(struct sftp *s, int h, bool wr);
/* Its lines of the manifest. */
void sftp_handle_report(struct sftp *s, int h, enum sftp_result result);

/* -- sftp_req.c */
/* A free slot; there MUST be one. */
struct sftp_req *sftp_req_new(struct sftp *s, unsigned int type, uint32_t id);
void sftp_req_free(struct sftp *s, struct sftp_req *q);
uint32_t sftp_req_wire(
    const struct sftp *s, const struct sftp_req *q, enum sftp_ask ask);
/* Begins a request of that type with its number. */
struct sftp_queue *sftp_req_begin(struct sftp *s, const struct sftp_req *q);
/* Refused: the job is told, and q is gone. */
void sftp_req_refuse(struct sftp *s, struct sftp_req *q, uint32_t code);
/* Its line of the manifest, if it has one. */
void sftp_req_report(struct sftp *s, const struct sftp_req *q,
    enum sftp_result result, uint32_t status);
/* The job is told; always 0. */
int sftp_malformed(struct sftp *s, uint32_t id);
int sftp_refused(struct sftp *s, uint32_t id); /* s->text says why */
const char *sftp_extension_name(unsigned int ext, const char **version);
unsigned int sftp_extension_find(const uint8_t *p, size_t n);

/* -- sftp_request.c */
/* A request whose type and number were read. */
struct sftp_call {
	struct buf *b; /* the rest */
	unsigned int type;
	uint32_t id;
	struct sftp_packet *k;
};

int sftp_request(struct sftp *s, struct sftp_packet *k);

/* -- sftp_file.c */
int sftp_file_request(struct sftp *s, const struct sftp_call *x);

/* -- sftp_names.c */
int sftp_names_request(struct sftp *s, const struct sftp_call *x);

/* -- sftp_access.c */
bool sftp_open_reads(uint32_t pflags);
bool sftp_open_writes(uint32_t pflags);
/* Does it change names? */
bool sftp_type_changes(unsigned int type);
enum sftp_access sftp_access_of(unsigned int type);
/* By its paths as written.  *asks: bits of sftp_ask, to be answered before it
 * is sent.  False: s->text and s->rule say why. */
bool sftp_access_written(
    struct sftp *s, struct sftp_req *q, unsigned int *asks);
/* By what was answered. */
bool sftp_access_answered(struct sftp *s, struct sftp_req *q);

/* -- sftp_path.c */
/* q's paths are read: judges, asks, and sends it when it is its turn. */
int sftp_path_request(struct sftp *s, struct sftp_req *q);
/* Whose turn is it? */
int sftp_path_turns(struct sftp *s);
/* An answer to a question of ours. */
int sftp_path_answer(struct sftp *s, struct sftp_req *q, enum sftp_ask ask,
    unsigned int type, struct buf *b);

/* -- sftp_start.c */
/* PHASE_START */
int sftp_start_ask(struct sftp *s);
int sftp_start_answer(
    struct sftp *s, unsigned int which, unsigned int type, struct buf *b);

/* -- sftp_answer.c */
int sftp_answer(struct sftp *s, struct sftp_packet *k);
/* The one path of a NAME, absolute and plain, or ERR_PROTO. */
int sftp_answer_path(struct buf *b, char **out);

#endif
