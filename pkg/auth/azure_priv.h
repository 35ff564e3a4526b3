/* azure_priv.h - the step's identity at Azure, and the tokens that were made of it. */
#ifndef AUTH_AZURE_PRIV_H
#define AUTH_AZURE_PRIV_H

#include "auth/auth_priv.h"
#include "auth/cloud.h"
#include "base/map.h"
#include "digest/signer.h"
#include "json/json.h"

#include <pthread.h>
#include <stdint.h>

/* A token with the time when another should be asked for. */
struct timed_token {
    char *text;       /* owned, wiped */
    int64_t renew_at; /* CLOCK_BOOTTIME seconds */
};

struct azure {
    struct http *http;
    char *client_id, *tenant_id; /* these and the following: owned, NULL = not given */
    char *client_secret, *oidc_token, *federated_token_file;
    char *object_id, *resource_id, *identity_endpoint, *identity_header, *imds_endpoint;
    char *authority; /* without a slash at its end; NULL = the one of the registry's cloud */
    struct signer *signer;
    bool send_chain;
    pthread_mutex_t lock; /* of what follows; held while a token is asked for, so that it is asked for once */
    struct map *entra;    /* identity and audience -> struct timed_token */
    struct map *refresh;  /* registry -> struct timed_token */
    bool no_managed;      /* this machine has no service that gives identities */
};

/* One kind of identity. */
struct identity_ops {
    const char *name; /* "client secret" */
    bool (*given)(const struct azure *az);
    /* A new access token of Entra ID. *ret_unknown: it does not know that resource; the error says so. */
    struct err *(*token)(struct azure *az, const struct cloud *cloud, const char *resource, struct timed_token *ret,
                         bool *ret_unknown);
};
extern const struct identity_ops identity_oidc, identity_secret, identity_certificate, identity_federated,
    identity_managed;

/* ---- azure.c ---- */
void timed_token_release(struct timed_token *t);
/* Takes over nothing. margin_s: how long before its end to renew it (a short life keeps four fifths). */
struct timed_token timed_token_new(const char *text, int64_t lifetime_s, int64_t margin_s);
/* An access token for that resource, kept from before if there is one. */
MUST_USE struct err *azure_token(struct azure *az, const struct identity_ops *id, const struct cloud *cloud,
                                 const char *resource, const char **ret_text, bool *ret_unknown);
void azure_forget_token(struct azure *az, const struct identity_ops *id, const char *resource);
/* The identity that the table of methods would use for an Azure registry, NULL = none. */
const struct identity_ops *azure_identity(const struct azure *az);
/* What "the credentials" are in messages: "the client secret of application 'X'". The caller frees. */
char *azure_describe(const struct azure *az, const struct identity_ops *id);
/* Reads "expires_in" or "exp", which are numbers or strings. */
bool azure_get_seconds(const struct json *object, const char *name, int64_t *ret);
void azure_free(struct azure *az);

/* ---- entra.c ---- */
/* The URL of the token end point of that cloud. The caller frees. */
char *entra_endpoint(const struct azure *az, const struct cloud *cloud);
/* Reads the answer of Entra ID or of a service of the machine. */
MUST_USE struct err *entra_read_token(const struct http_response *a, const char *where, struct timed_token *ret);

/* ---- entra_advice.c ---- */
/* What to do about a refusal: by Entra ID's number in its text, else in general. assertion: the federated token that
 * was sent, or NULL. The caller frees. */
char *entra_advice(const struct http_response *a, const struct cloud *cloud, const char *assertion,
                   const struct signer *signer);

/* ---- assertion.c ---- */
/* A JWT for that end point, signed by the certificate (RFC 7523). The caller wipes and frees. */
MUST_USE struct err *assertion_new(const struct signer *s, bool send_chain, const char *client_id, const char *endpoint,
                                   char **ret);

/* ---- acr.c ---- */
/* A refresh token of that registry for the identity. */
MUST_USE struct err *acr_login(struct azure *az, const struct identity_ops *id, const struct cloud *cloud,
                               const char *host, struct timed_token *ret);

#endif
