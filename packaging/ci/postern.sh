#!/bin/sh
# The job's side of a Postern bastion, for any POSIX shell.  Source it:
#
#	POSTERN_BASTION=bastion.acme.example
#	POSTERN_HOSTKEY='ssh-ed25519 AAAA…'
#	. ./postern.sh && postern_login
#	ssh web-1@bastion.acme.example systemctl restart web
#
# postern_login asks the CI system for its token, shows it to the bastion once,
# and gets a certificate for a key that was made for this job alone.  From then
# on ssh, scp, sftp, rsync, git and ansible of this job use it: a folder of
# wrappers is put in front of PATH, and nothing is written outside of one
# temporary folder.  postern_logout, or the end of the shell, removes it.
#
#	POSTERN_BASTION    HOST or HOST:PORT
#	POSTERN_HOSTKEY    the bastion's host key, TYPE BLOB, one a line
#	POSTERN_AUDIENCE   what the token is for, if not HOST
#	POSTERN_TOKEN      the token, where the CI system puts it in a variable;
#	POSTERN_TOKEN_FILE or in a file, as Kubernetes does
#	POSTERN_ISSUER     google, aws, spiffe: where to ask, if nothing tells
#	POSTERN_MODE       token: no certificate; each connection shows the token
#	POSTERN_MULTIPLEX  yes: connections to one target share one
#	POSTERN_RENEW      minutes, if certificates live shorter than 15
#	POSTERN_KEEP       yes: the end of this shell is not the end of the job
#
# The token is never an argument of a program and never in a file.

postern__say()
{
	printf 'postern: %s\n' "$*" >&2
}

# -- the token ------------------------------------------------------------------

# The string member of that name of a small JSON object.
postern__json()
{
	sed -n 's/.*"'"$1"'" *: *"\([^"\\]*\)".*/\1/p'
}

# From an address that wants a bearer: URL BEARER MEMBER OPTION…
postern__fetch()
{
	_p_url=$1 _p_bearer=$2 _p_member=$3
	shift 3
	# printf is the shell's own: the bearer is no argument of a process.
	printf 'Authorization: bearer %s\n' "$_p_bearer" |
	    curl -sSf --retry 3 -H @- "$@" "$_p_url" | postern__json "$_p_member"
	unset _p_bearer
}

# Of clouds and clusters, where POSTERN_ISSUER says whom to ask.
postern__token_of()
{
	case $1 in
	google)
		curl -sSf --retry 3 -H 'Metadata-Flavor: Google' \
		    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity?audience=$2&format=full"
		;;
	aws)
		# Version 1 of the tool does not read AWS_REGION by itself.
		aws sts get-web-identity-token --audience "$2" \
		    --signing-algorithm RS256 --query WebIdentityToken \
		    --output text ${AWS_REGION:+--region "$AWS_REGION"}
		;;
	spiffe)
		spire-agent api fetch jwt -audience "$2" |
		    sed -n '2{s/[[:space:]]//g;p;}'
		;;
	*)
		postern__say "POSTERN_ISSUER is google, aws or spiffe, not $1"
		;;
	esac
}

# Whoever is asked, what comes is on standard output.
postern__token()
{
	if [ -n "${POSTERN_TOKEN:-}" ]; then
		printf '%s\n' "$POSTERN_TOKEN"
	elif [ -n "${POSTERN_TOKEN_FILE:-}" ]; then
		cat "$POSTERN_TOKEN_FILE"
	elif [ -n "${POSTERN_ISSUER:-}" ]; then
		postern__token_of "$POSTERN_ISSUER" "$1"
	elif [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ]; then
		postern__fetch "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$1" \
		    "${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-}" value
	elif [ -n "${CIRCLECI:-}" ]; then
		circleci run oidc get --claims "{\"aud\":\"$1\"}"
	elif [ -n "${BUILDKITE:-}" ]; then
		buildkite-agent oidc request-token --audience "$1" \
		    --claim organization_id,pipeline_id
	elif [ -n "${BITBUCKET_STEP_OIDC_TOKEN:-}" ]; then
		printf '%s\n' "$BITBUCKET_STEP_OIDC_TOKEN"
	elif [ -n "${SYSTEM_OIDCREQUESTURI:-}" ]; then
		postern__fetch \
		    "$SYSTEM_OIDCREQUESTURI?api-version=7.1-preview.1" \
		    "${SYSTEM_ACCESSTOKEN:-}" oidcToken \
		    -X POST -H 'Content-Length: 0'
	elif [ -n "${TFC_WORKLOAD_IDENTITY_TOKEN:-}" ]; then
		printf '%s\n' "$TFC_WORKLOAD_IDENTITY_TOKEN"
	elif [ -n "${SPACELIFT_OIDC_TOKEN:-}" ]; then
		printf '%s\n' "$SPACELIFT_OIDC_TOKEN"
	else
		postern__say "no token: this CI system gives none, or the job" \
		    "has not asked for one (POSTERN_TOKEN; GitHub:" \
		    "permissions: id-token: write)"
	fi
}

# -- files ----------------------------------------------------------------------

# A name that stands in files of other languages than the shell's.
postern__plain()
{
	case $2 in
	"" | *[!A-Za-z0-9.-]* | -* | .*)
		postern__say "$1 is no host name: '$2'"
		return 1
		;;
	esac
}

postern__known_hosts()
{
	_p_name=$_p_host
	[ "$_p_port" = 22 ] || _p_name="[$_p_host]:$_p_port"
	# shellcheck disable=SC2015 # either of the two may have failed
	printf '%s\n' "${POSTERN_HOSTKEY:-}" | while read -r _p_type _p_blob _p_rest; do
		case $_p_type$_p_blob in
		"") continue ;;
		*[!A-Za-z0-9+/=@.-]*) exit 1 ;;
		esac
		[ -n "$_p_blob" ] || exit 1
		printf '%s %s %s\n' "$_p_name" "$_p_type" "$_p_blob"
	done >"$POSTERN_DIR/known_hosts" && [ -s "$POSTERN_DIR/known_hosts" ] ||
	    {
		postern__say "POSTERN_HOSTKEY wants lines of TYPE BLOB, as in" \
		    "/etc/ssh/ssh_host_ed25519_key.pub"
		return 1
	}
}

# Answers this bastion's questions for the token, and nobody else's: any host
# that ssh is sent to can ask something.
postern__askpass()
{
	cat >"$POSTERN_DIR/askpass" <<EOF
#!/bin/sh
case \$1 in
*")"*")"*) exit 1 ;;
"("*"@$_p_host) token part "*:) n=\${1##* }; n=\${n%:} ;;
*) exit 1 ;;
esac
case \$n in "" | *[!0-9]* | ????*) exit 1 ;; esac
printf %s "\$POSTERN_TOKEN" | cut -c\$((n * 1000 - 999))-\$((n * 1000))
EOF
	chmod 700 "$POSTERN_DIR/askpass"
}

# $1: how to authenticate.
postern__config()
{
	_p_mux=no
	[ "${POSTERN_MULTIPLEX:-}" != yes ] || _p_mux=auto
	cat >"$POSTERN_DIR/config" <<EOF
Host $_p_host
	Port $_p_port
	UserKnownHostsFile "$POSTERN_DIR/known_hosts"
	GlobalKnownHostsFile /dev/null
	StrictHostKeyChecking yes
	UpdateHostKeys no
	IdentityFile "$POSTERN_DIR/key"
	CertificateFile "$POSTERN_DIR/key-cert.pub"
	IdentitiesOnly yes
	IdentityAgent none
	PreferredAuthentications $1
	NumberOfPasswordPrompts 1
	ForwardAgent no
	ForwardX11 no
	ControlMaster $_p_mux
	ControlPath "$POSTERN_DIR/%C"
	ControlPersist $([ $_p_mux = no ] && echo no || echo 60)
Match all
	Include ~/.ssh/config
	Include /etc/ssh/ssh_config
EOF
}

# ssh and what calls it find the configuration by these.
postern__wrappers()
{
	mkdir "$POSTERN_DIR/bin" || return 1
	_p_ssh=$(command -v ssh) || return 1
	# The next certificate, by the one that there is, while it still lives.
	cat >"$POSTERN_DIR/renew" <<EOF
[ -z "\$(find '$POSTERN_DIR/key-cert.pub' -mmin +${POSTERN_RENEW:-10} 2>/dev/null)" ] ||
    {
	n='$POSTERN_DIR/cert'.\$\$
	'$_p_ssh' -F '$POSTERN_DIR/config' -o BatchMode=yes -o ControlPath=none \\
	    'postern@$_p_host' login <'$POSTERN_DIR/key.pub' >"\$n" 2>/dev/null &&
	    [ -s "\$n" ] && mv -f "\$n" '$POSTERN_DIR/key-cert.pub'
	rm -f "\$n"
}
EOF
	[ -e "$POSTERN_DIR/key-cert.pub" ] || : >"$POSTERN_DIR/renew"
	for _p_tool in ssh scp sftp; do
		_p_path=$(command -v $_p_tool) || continue
		cat >"$POSTERN_DIR/bin/$_p_tool" <<EOF
#!/bin/sh
. '$POSTERN_DIR/renew'
exec '$_p_path' -F '$POSTERN_DIR/config' "\$@"
EOF
		chmod 700 "$POSTERN_DIR/bin/$_p_tool"
	done
	# for the steps behind the one that logged in
	cat >"$POSTERN_DIR/bin/postern-logout" <<EOF
#!/bin/sh
exec rm -rf '$POSTERN_DIR'
EOF
	chmod 700 "$POSTERN_DIR/bin/postern-logout"
	PATH=$POSTERN_DIR/bin:$PATH
	export PATH
}

# -- in and out -----------------------------------------------------------------

postern__check()
{
	case ${POSTERN_BASTION:-} in
	*:*) _p_host=${POSTERN_BASTION%:*} _p_port=${POSTERN_BASTION##*:} ;;
	*) _p_host=${POSTERN_BASTION:-} _p_port=22 ;;
	esac
	postern__plain POSTERN_BASTION "$_p_host" || return 1
	case $_p_port in
	"" | *[!0-9]*)
		postern__say "POSTERN_BASTION has no port behind its colon"
		return 1
		;;
	esac
	_p_aud=${POSTERN_AUDIENCE:-$_p_host}
	case $_p_aud in
	*[!A-Za-z0-9./:_-]*)
		postern__say "POSTERN_AUDIENCE has a character that no" \
		    "address has"
		return 1
		;;
	esac
	case ${POSTERN_RENEW:-10} in
	*[!0-9]*)
		postern__say "POSTERN_RENEW wants minutes"
		return 1
		;;
	esac
	_p_tmp=${RUNNER_TEMP:-${TMPDIR:-/tmp}}
	case $_p_tmp in
	*[!A-Za-z0-9/._+@-]*)
		postern__say "the temporary folder has a name that ssh_config" \
		    "cannot hold; set TMPDIR"
		return 1
		;;
	esac
}

# A token is three parts of base64url, and has its bound.
postern__take_token()
{
	_p_token=$(postern__token "$_p_aud") || _p_token=
	case $_p_token in
	"") postern__say "there is no token to log in with" ;;
	*[!A-Za-z0-9_.-]*) postern__say "what the CI system gave is no token" ;;
	*.*.*)
		[ ${#_p_token} -gt 16384 ] || return 0
		postern__say "the token is longer than 16 KiB"
		;;
	*) postern__say "what the CI system gave is no token" ;;
	esac
	return 1
}

# The token once; a certificate of one line comes back.  64: the bastion does
# not know the word.
postern__certificate()
{
	_p_cert=$(POSTERN_TOKEN=$_p_token SSH_ASKPASS=$POSTERN_DIR/askpass \
	    SSH_ASKPASS_REQUIRE=force ssh -F "$POSTERN_DIR/config" \
	    -o PreferredAuthentications=keyboard-interactive \
	    -o ControlPath=none "postern@$_p_host" login \
	    <"$POSTERN_DIR/key.pub" 2>"$POSTERN_DIR/said") || {
		_p_failed=$?
		[ $_p_failed = 64 ] || cat "$POSTERN_DIR/said" >&2
		return $_p_failed
	}
	case $_p_cert in
	*"
"* | *[!A-Za-z0-9+/=@.\ -]*) ;;
	"ssh-ed25519-cert-v01@openssh.com "*)
		printf '%s\n' "$_p_cert" >"$POSTERN_DIR/key-cert.pub"
		return 0
		;;
	esac
	postern__say "the bastion's answer is no certificate"
	return 1
}

# Without certificates each connection shows the token: it stays in the
# environment, as the variables of CI systems do.
postern__by_token()
{
	if [ "${POSTERN_KEEP:-}" = yes ]; then
		postern__say "this bastion gives no certificates, and another" \
		    "step would not have the token"
		return 1
	fi
	postern__config keyboard-interactive
	POSTERN_TOKEN=$_p_token SSH_ASKPASS=$POSTERN_DIR/askpass
	SSH_ASKPASS_REQUIRE=force
	export POSTERN_TOKEN SSH_ASKPASS SSH_ASKPASS_REQUIRE
}

postern__enter()
{
	ssh-keygen -q -t ed25519 -N '' -C postern-job -f "$POSTERN_DIR/key" &&
	    postern__known_hosts && postern__askpass &&
	    postern__config publickey && postern__take_token || return 1
	_p_got=64
	if [ "${POSTERN_MODE:-}" != token ]; then
		_p_got=0
		postern__certificate || _p_got=$?
	fi
	case $_p_got in
	0) unset POSTERN_TOKEN ;;
	64) postern__by_token || return 1 ;;
	*) return $_p_got ;;
	esac
	postern__wrappers
}

postern__login()
{
	postern__check || return 1
	[ -z "${POSTERN_DIR:-}" ] || postern_logout
	POSTERN_DIR=$(umask 077 && mktemp -d "$_p_tmp/postern.XXXXXX") ||
	    return 1
	export POSTERN_DIR
	_p_r=0
	postern__enter || _p_r=$?
	unset _p_token _p_cert
	if [ $_p_r != 0 ]; then
		postern_logout
		return $_p_r
	fi
	[ "${POSTERN_KEEP:-}" != yes ] || return 0
	trap postern_logout EXIT
	# dash does not run the one for EXIT when a signal ends it
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# No trace shows the token; the caller's own goes on afterwards.
postern_login()
{
	case $- in
	*x*) set +x; _p_trace=x ;;
	*) _p_trace= ;;
	esac
	_p_code=0
	postern__login || _p_code=$?
	[ -z "$_p_trace" ] || set -x
	return $_p_code
}

postern_logout()
{
	[ -n "${POSTERN_DIR:-}" ] || return 0
	for _p_sock in "$POSTERN_DIR"/????????????????????????????????????????; do
		[ ! -S "$_p_sock" ] || ssh -F "$POSTERN_DIR/config" -O exit \
		    -o ControlPath="$_p_sock" postern 2>/dev/null || :
	done
	_p_all=:$PATH:
	case $_p_all in
	*":$POSTERN_DIR/bin:"*)
		_p_all="${_p_all%%:"$POSTERN_DIR/bin":*}:${_p_all#*:"$POSTERN_DIR/bin":}"
		_p_all=${_p_all#:}
		PATH=${_p_all%:}
		;;
	esac
	rm -rf "$POSTERN_DIR"
	case ${SSH_ASKPASS:-} in
	"$POSTERN_DIR/askpass")
		unset POSTERN_TOKEN SSH_ASKPASS SSH_ASKPASS_REQUIRE
		;;
	esac
	unset POSTERN_DIR
}
