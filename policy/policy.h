/*
 * A loaded policy: what ../doc/POLICY.md's files say, checked and resolved.
 * Immutable after loading.  Nothing here does I/O except policy_load_*.
 */
#ifndef POSTERN_POLICY_POLICY_H
#define POSTERN_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct claims;
struct diags; /* lib/diag.h */
struct policy;

#define POLICY_FILES_MAX 256
#define POLICY_FILE_MAX (16 * 1024 * 1024)
#define POLICY_IDENTITIES_MAX 4096
#define POLICY_LIST_MAX 64 /* audiences, host keys, logins of one block */

struct issuer {
	const char *name;
	const char *preset;	/* "github", "custom" */
	const char *url;	/* the exact `iss`; no trailing slash added */
	const char *const *audience;
	size_t naudience;
	const char *const *algorithm; /* the preset's when not written */
	size_t nalgorithm;
	uint32_t max_age_s;	/* now - iat, 0: the preset has no such bound */
	uint32_t max_life_s;    /* exp - iat, the preset's */
	uint32_t leeway_s;	/* at most 60 */
	bool once;		/* replay once */
	const char *keys_file;  /* the keys are in this file; NULL: asked for */
	const char *keys_url;   /* here; NULL: where the issuer says */
};

struct hostkey {
	const char *type;	 /* "ssh-ed25519" */
	const char *fingerprint; /* "SHA256:..." */
};

enum target_shell { TARGET_POSIX = 0, TARGET_CSH, TARGET_FISH };

struct target {
	const char *name;
	const char *login;	/* the login in the target's own address */
	const char *host;	/* numeric address or name */
	uint16_t port;
	const struct hostkey *hostkey;
	size_t nhostkey;	/* never 0 */
	const char *const *extra_login; /* `login root` */
	size_t nextra_login;
	bool plain_principal;	/* principals plain: LOGIN, not LOGIN+TARGET */
	const char *seen_from;	/* NULL: the bastion's own addresses */
	enum target_shell shell; /* of its logins */
	const char *sftp;        /* its server's path; "internal", NULL: sshd's
				    own */
	int64_t observe_until;   /* seconds since 1970; 0: not observed */
};

/* The claims that tie a session to a change; NULL where there is none.
 * pull_request is the number alone.  Not to be copied: actor may point to
 * actor_part. */
struct ties {
	const char *commit;
	char pull_request[24];
	const char *actor;
	char actor_part[64];
	const char *workflow;
	const char *run;
};

/* One `require` line. */
struct approval {
	const char *rule;
	const char *people;
	uint32_t n;		/* different people of them */
	uint32_t within_s;	/* to answer */
	uint32_t valid_s;	/* from the last approval to the start */
	bool with_stdin;	/* the input is part of what is approved */
};

enum mask_kind { MASK_CLASS, MASK_PATTERN, MASK_LITERAL };

struct mask {
	enum mask_kind kind;
	const char *text;	/* class, pattern, or path of a file */
	const char *name;	/* shown in place of what is masked */
};

/* Loads every *.postern of an opened folder in byte order of their names, runs
 * their tests.  On any error the diags say all of them and *out is untouched:
 * ERR_CONFIG; ERR_SYS or ERR_NOMEM when the system would not give us what we
 * needed, and another try may succeed.  Files must be regular, owned by root or
 * the caller, not writable by others. */
int policy_load_folder(int dirfd, const char *shown_path, struct diags *d,
    struct policy **out);
/* The same for named files, without the ownership check (a checkout). */
int policy_load_files(const char *const *path, size_t n, struct diags *d,
    struct policy **out);
/* The same for texts in memory. */
int policy_load_text(const char *const *name, const char *const *text,
    const size_t *len, size_t n, struct diags *d, struct policy **out);
/* The same without running its tests: for tools that judge one policy by
 * another. */
int policy_load_untested(const char *const *name, const char *const *text,
    const size_t *len, size_t n, struct diags *d, struct policy **out);
void policy_free(struct policy *p);

/* The i-th source file: its bytes are what the policy's hash is made of. */
int policy_source(const struct policy *p, size_t i, const char **name,
    const char **text, size_t *len); /* ERR_NOTFOUND past the last */

const struct issuer *policy_issuer(const struct policy *p, size_t i);
size_t policy_nissuers(const struct policy *p);
const struct issuer *policy_issuer_find(const struct policy *p,
    const char *name);
const struct target *policy_target(const struct policy *p, size_t i);
size_t policy_ntargets(const struct policy *p);
const struct target *policy_target_find(const struct policy *p,
    const char *name);
/* login "" or the target's own gives the target's own; ERR_NOTFOUND when the
 * target has no such login. */
int target_login(const struct target *t, const char *login, const char **out);
/* The certificate's principal for a login on a target, as doc/ says:
 * "LOGIN+TARGET", or "LOGIN" for `principals plain`. */
int target_principal(const struct target *t, const char *login, char *dst,
    size_t dstsize);

/* The i-th; NULL past the last. */
const struct approval *policy_approval(const struct policy *p, size_t i);
const struct mask *policy_mask(const struct policy *p, size_t i);

/* The largest number of all `limit rate`, and the longest time; 0 without. */
void policy_rates(const struct policy *p, uint32_t *most, uint32_t *longest_s);

size_t policy_nidentities(const struct policy *p);
const char *policy_identity_name(const struct policy *p, size_t i);
/* Sets set[i] for each identity of that issuer whose every condition the
 * claims meet; set has policy_nidentities entries.  Returns how many match. */
size_t policy_match(const struct policy *p, const char *issuer,
    const struct claims *cs, bool *set);
/* Why the nearest identity of the issuer did not match: one line for the
 * ledger, without claim values that were not expected to be public: names the
 * identity and the first claim that failed.  "" when there is none. */
void policy_match_explain(const struct policy *p, const char *issuer,
    const struct claims *cs, char *dst, size_t dstsize);

/* Why an identity is not matched, as policy_match_explain says it, and the
 * claim that it hangs on. */
struct other {
	const char *identity;
	const char *claim;
	char why[256];
};
/*
 * The i-th of the issuer's identities that the claims do not make and that are
 * about the same job: some value that it asks for holds, and every id that it
 * asks for does.  So a job hears of no identity that is another repository's.
 * ERR_NOTFOUND past the last.
 */
int policy_match_other(const struct policy *p, const char *issuer,
    const struct claims *cs, size_t i, struct other *out);

/* Called for each target and login that an allow rule of those identities
 * names, or that is observed at time now (0: unknown); set is policy_match's.
 * denied: a deny rule of theirs is for that place, too, and takes back what is
 * not said here: its part, or all.  What it returns, if it is not 0, ends the
 * walk and is returned. */
typedef int (*policy_reach_fn)(
    void *arg, const struct target *t, const char *login, bool denied);
int policy_reach(const struct policy *p, const bool *set, time_t now,
    policy_reach_fn fn, void *arg);

/* Values stay inside cs and *out.  A commit is hexadecimal, but for the preset
 * custom. */
void issuer_ties(const struct issuer *is, const struct claims *cs,
    struct ties *out);

#endif
