/*
 * What is known of the names of variables: which decide what runs, and which
 * never reach the bastion.  Runs in the command line tools.
 */
#include "config.h"

#include "policy/lint_env.h"

#include <string.h>

/* Variables by which whoever sets them decides what runs: a name, or with `*`
 * what it begins with. */
static const char *const loaders[] = { "BASHOPTS", "BASH_ENV", "BASH_FUNC*",
	"BROWSER", "CDPATH", "CLASSPATH", "DYLD_*", "EDITOR", "ENV", "FPATH",
	"GCONV_PATH", "GIT_*", "GLIBC_*", "GREP_OPTIONS", "HOME", "IFS",
	"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "LD_*", "LESSCLOSE",
	"LESSOPEN", "LOCPATH", "LUA_*", "MAKEFLAGS", "MANPAGER", "NLSPATH",
	"NODE_OPTIONS", "NODE_PATH", "OPENSSL_*", "PAGER", "PATH", "PERL*",
	"PROMPT_COMMAND", "PS4", "PYTHON*", "RSYNC_*", "RUBY*", "SHELL",
	"SHELLOPTS", "SSL_*", "SUDO_*", "SYSTEMD_*", "TAR_OPTIONS", "TERMINFO*",
	"TMPDIR", "VISUAL", "XDG_*", "ZDOTDIR", "_JAVA_OPTIONS", NULL };

/* What a job cannot send: postern-sshd takes none of these (AcceptEnv), or sets
 * them itself, or postern-shell leaves them behind. */
static const char *const never_sent[] = { "GL*", "HOME", "LD*", "LOGNAME",
	"MAIL", "PATH", "POSTERN_*", "SHELL", "SS*", "TERM", "USER", "_*",
	NULL };

/* Is the name, of n bytes, one of those? */
static bool
is_one_of(const char *const *v, const char *name, size_t n)
{
	size_t k;

	for (; *v != NULL; v++) {
		k = strlen(*v) - 1;
		if ((*v)[k] == '*' ? n >= k && strncmp(*v, name, k) == 0
				   : n == k + 1 && strncmp(*v, name, n) == 0)
			return true;
	}
	return false;
}

bool
lint_env_loads(const char *name, size_t n)
{
	return is_one_of(loaders, name, n);
}

bool
lint_env_comes(const char *name, size_t n)
{
	return !is_one_of(never_sent, name, n);
}
