/* Docker config documents: accepted or refused, and what was accepted can be looked up. */
#include "auth/auth.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const hosts[] = { "docker.io", "reg.example", "a.wild.example:5000" };
    AUTO(auth_free) struct auth *a = auth_new();
    struct err *e = auth_add_docker_config(a, (const char *)data, size, "config.json");

    if (e && err_kind(e) != ERR_SETTING)
        abort();
    err_free(e);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        AUTO(credential_release) struct credential c = { 0 };

        e = auth_find(a, hosts[i], "team/app", AUTH_PULL, &c);
        if (e && err_kind(e) != ERR_AUTH)
            abort();
        err_free(e);
        char *basic = credential_basic(&c);
        free(basic);
    }
    return 0;
}
