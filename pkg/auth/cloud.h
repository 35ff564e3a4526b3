/* cloud.h - Azure's clouds: which hosts are registries, login services and resource managers of which. It decides where
 * a token may be sent, so a name counts only as a whole: "shop.azurecr.io.example" is no registry. Pure. Source: the
 * endpoints of Microsoft's documentation of Entra ID and Azure Container Registry for each sovereign cloud. */
#ifndef AUTH_CLOUD_H
#define AUTH_CLOUD_H

#include <stdbool.h>

#define CLOUD_AUTHORITIES 6

struct cloud {
    const char *name;                               /* for messages */
    const char *registry_suffix;                    /* ".azurecr.io" */
    const char *authorities[CLOUD_AUTHORITIES + 1]; /* hosts; the first is the one to ask */
    const char *arm_host;
    const char *arm_resource; /* the audience of tokens for it */
    const char *portal;
    const char *federation; /* the audience of federated tokens */
};

/* The audience of tokens for registries; the same in all clouds. */
#define CLOUD_ACR_RESOURCE "https://containerregistry.azure.net"

/* The cloud of a registry's host as auth_host() writes it, NULL if it is not an Azure registry. */
const struct cloud *cloud_of_registry(const char *host);
/* The cloud that this host is a login service of, or NULL. */
const struct cloud *cloud_of_authority(const char *host);
/* Are both hosts the same registry? Its regional end points ("shop.westeurope.geo.azurecr.io") are. */
bool cloud_same_registry(const char *a, const char *b);

#endif
