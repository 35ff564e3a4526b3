#include "auth/cloud.h"

#include <stddef.h>
#include <string.h>

static const struct cloud clouds[] = {
    { .name = "the public Azure cloud",
      .registry_suffix = ".azurecr.io",
      .authorities = { "login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net" },
      .arm_host = "management.azure.com",
      .arm_resource = "https://management.azure.com",
      .portal = "portal.azure.com",
      .federation = "api://AzureADTokenExchange" },
    { .name = "Azure US Government",
      .registry_suffix = ".azurecr.us",
      .authorities = { "login.microsoftonline.us", "login.usgovcloudapi.net" },
      .arm_host = "management.usgovcloudapi.net",
      .arm_resource = "https://management.core.usgovcloudapi.net",
      .portal = "portal.azure.us",
      .federation = "api://AzureADTokenExchangeUSGov" },
    { .name = "Azure China",
      .registry_suffix = ".azurecr.cn",
      .authorities = { "login.chinacloudapi.cn", "login.partner.microsoftonline.cn" },
      .arm_host = "management.chinacloudapi.cn",
      .arm_resource = "https://management.core.chinacloudapi.cn",
      .portal = "portal.azure.cn",
      .federation = "api://AzureADTokenExchangeChina" },
};

/* Labels of lower-case letters, digits and hyphens, with single dots between them. */
static bool is_host_part(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool dot = s[i] == '.';

        if (dot && (i == 0 || i + 1 == n || s[i - 1] == '.'))
            return false;
        if (!dot && s[i] != '-' && !(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= '0' && s[i] <= '9'))
            return false;
    }
    return n > 0;
}

const struct cloud *cloud_of_registry(const char *host)
{
    size_t len = strlen(host);

    for (size_t i = 0; i < sizeof(clouds) / sizeof(clouds[0]); i++) {
        size_t n = strlen(clouds[i].registry_suffix);

        if (len > n && strcmp(host + len - n, clouds[i].registry_suffix) == 0 && is_host_part(host, len - n))
            return &clouds[i];
    }
    return NULL;
}

const struct cloud *cloud_of_authority(const char *host)
{
    for (size_t i = 0; i < sizeof(clouds) / sizeof(clouds[0]); i++)
        for (size_t k = 0; clouds[i].authorities[k]; k++)
            if (strcmp(host, clouds[i].authorities[k]) == 0)
                return &clouds[i];
    return NULL;
}

bool cloud_same_registry(const char *a, const char *b)
{
    size_t n = strcspn(a, ".");
    const struct cloud *cloud = cloud_of_registry(a);

    return cloud && cloud == cloud_of_registry(b) && n == strcspn(b, ".") && strncmp(a, b, n) == 0;
}
