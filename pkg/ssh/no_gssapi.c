/* no_gssapi.c - libssh can log in by GSSAPI (Kerberos), of which Debian has no static library. These symbols stand for
 * it in the link; we never ask for that way of logging in, and each of them says that it is not available. */

#include "ssh/ssh_priv.h"

#define GSS_S_UNAVAILABLE (16U << 16)

#define NOT_HERE(name)                                                                                                 \
    unsigned name(void);                                                                                               \
    unsigned name(void)                                                                                                \
    {                                                                                                                  \
        return GSS_S_UNAVAILABLE;                                                                                      \
    }

NOT_HERE(gss_accept_sec_context)
NOT_HERE(gss_acquire_cred)
NOT_HERE(gss_add_oid_set_member)
NOT_HERE(gss_create_empty_oid_set)
NOT_HERE(gss_display_name)
NOT_HERE(gss_display_status)
NOT_HERE(gss_get_mic)
NOT_HERE(gss_import_name)
NOT_HERE(gss_indicate_mechs)
NOT_HERE(gss_init_sec_context)
NOT_HERE(gss_inquire_cred)
NOT_HERE(gss_inquire_cred_by_mech)
NOT_HERE(gss_release_buffer)
NOT_HERE(gss_release_cred)
NOT_HERE(gss_release_name)
NOT_HERE(gss_release_oid_set)
NOT_HERE(gss_test_oid_set_member)
NOT_HERE(gss_verify_mic)

void ssh_without_gssapi(void)
{
}

extern void *GSS_C_NT_HOSTBASED_SERVICE, *GSS_C_NT_USER_NAME;
void *GSS_C_NT_HOSTBASED_SERVICE, *GSS_C_NT_USER_NAME;
