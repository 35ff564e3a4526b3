/* ssh_priv.h - what the files of this module share. */
#ifndef SSH_SSH_PRIV_H
#define SSH_SSH_PRIV_H

/* no_gssapi.c: does nothing but bring that file into the link, before libssh. */
void ssh_without_gssapi(void);

#endif
