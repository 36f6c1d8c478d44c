# Quoting alone: policy needs no crypto for it.
noinst_LTLIBRARIES += ssh/libquote.la
ssh_libquote_la_SOURCES = ssh/quote.c ssh/quote.h ssh/serve.c ssh/serve.h
ssh_libquote_la_LIBADD = lib/libbase.la

# Certificates: the signer, `postern`, tests.
noinst_LTLIBRARIES += ssh/libcert.la
ssh_libcert_la_SOURCES = \
	ssh/cert.c ssh/cert.h ssh/cert_internal.h \
	ssh/cert_ca.c ssh/cert_parse.c ssh/pubkey.c ssh/pubkey.h \
	ssh/sig.c ssh/sig.h
ssh_libcert_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
ssh_libcert_la_LIBADD = lib/libbase.la $(CRYPTO_LIBS)

# A CA key that is in an ssh-agent: the signer alone.
noinst_LTLIBRARIES += ssh/libagent.la
ssh_libagent_la_SOURCES = ssh/agent.c ssh/agent.h
ssh_libagent_la_LIBADD = ssh/libcert.la lib/libbase.la

# The outgoing connection: the hop alone.
noinst_LTLIBRARIES += ssh/libconn.la
ssh_libconn_la_SOURCES = \
	ssh/conn.c ssh/conn.h ssh/conn_internal.h \
	ssh/conn_open.c \
	ssh/key.c ssh/key.h
ssh_libconn_la_CFLAGS = $(AM_CFLAGS) $(LIBSSH_CFLAGS) $(CRYPTO_CFLAGS)
ssh_libconn_la_LIBADD = ssh/libcert.la lib/libbase.la $(LIBSSH_LIBS) \
	$(CRYPTO_LIBS)

# SFTP, judged: the hop alone.
noinst_LTLIBRARIES += ssh/libsftp.la
ssh_libsftp_la_SOURCES = \
	ssh/sftp.c ssh/sftp.h ssh/sftp_internal.h \
	ssh/sftp_access.c ssh/sftp_answer.c ssh/sftp_file.c \
	ssh/sftp_handle.c ssh/sftp_judge.c ssh/sftp_msg.c \
	ssh/sftp_names.c ssh/sftp_path.c ssh/sftp_req.c \
	ssh/sftp_request.c ssh/sftp_start.c
ssh_libsftp_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
ssh_libsftp_la_LIBADD = lib/libbase.la $(CRYPTO_LIBS)

# git, each ref judged: the hop alone.
noinst_LTLIBRARIES += ssh/libgit.la
ssh_libgit_la_SOURCES = \
	ssh/git.c ssh/git.h ssh/git_internal.h \
	ssh/git_adv.c ssh/git_fetch.c ssh/git_push.c \
	ssh/pktline.c ssh/pktline.h
ssh_libgit_la_LIBADD = lib/libbase.la

# scp -O, judged: the hop alone.
noinst_LTLIBRARIES += ssh/libscp.la
ssh_libscp_la_SOURCES = ssh/scp.c ssh/scp.h ssh/scp_internal.h ssh/scp_line.c
ssh_libscp_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
ssh_libscp_la_LIBADD = lib/libbase.la $(CRYPTO_LIBS)
