/*
 * What is said of an ssh-agent that does not sign.  Runs in the signer, whose
 * jobs read it, and in posternd, for the ledger.
 */
#include "config.h"

#include "broker/agent_trouble.h"

#include <stddef.h>

static const char *const texts[NAGENT_TROUBLE] = {
	[AGENT_WELL] = "the bastion's ssh-agent signs",
	[AGENT_ABSENT] = "the bastion's ssh-agent cannot be connected to",
	[AGENT_VANISHED] = "the bastion's ssh-agent has closed its connection",
	[AGENT_STALLED] = "the bastion's ssh-agent does not answer",
	[AGENT_REFUSED] = "the bastion's ssh-agent refuses to sign with the CA "
			  "key: it has not got it, or it is locked",
	[AGENT_LIED] = "the bastion's ssh-agent gave a signature that is not "
		       "the CA key's",
	[AGENT_BROKE] = "the bastion's ssh-agent gave an answer that is none",
};

const char *
agent_trouble_text(enum agent_trouble t)
{
	return (size_t)t < NAGENT_TROUBLE ? texts[t] : "";
}

const char *
ca_name(enum ca_which which)
{
	return which == CA_TARGET ? "target" : "job";
}
