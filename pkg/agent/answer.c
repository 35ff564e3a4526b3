#include "agent/agent.h"

#include <string.h>

enum message {
    AGENT_FAILURE = 5,
    AGENT_REQUEST_IDENTITIES = 11,
    AGENT_IDENTITIES_ANSWER = 12,
    AGENT_SIGN_REQUEST = 13,
    AGENT_SIGN_RESPONSE = 14,
};

#define FLAG_RSA_SHA2_256 2
#define FLAG_RSA_SHA2_512 4

struct bytes {
    const unsigned char *p;
    size_t left;
};

static bool get_u32(struct bytes *b, uint32_t *ret)
{
    if (b->left < 4)
        return false;
    *ret = (uint32_t)b->p[0] << 24 | (uint32_t)b->p[1] << 16 | (uint32_t)b->p[2] << 8 | b->p[3];
    b->p += 4;
    b->left -= 4;
    return true;
}

static bool get_string(struct bytes *b, struct bytes *ret)
{
    uint32_t n;

    if (!get_u32(b, &n) || n > b->left)
        return false;
    *ret = (struct bytes){ b->p, n };
    b->p += n;
    b->left -= n;
    return true;
}

static void identities(const struct sign_key *key, struct buf *out)
{
    AUTO(buf_release) struct buf blob = BUF_INIT;

    sign_key_public(key, &blob);
    buf_putc(out, AGENT_IDENTITIES_ANSWER);
    ssh_put_u32(out, 1);
    ssh_put_string(out, buf_str(&blob), blob.len);
    ssh_put_string(out, "copyup", 6);
}

/* False: the request is not one that this key can answer. */
static bool signature(const struct sign_key *key, struct bytes in, struct buf *out)
{
    AUTO(buf_release) struct buf own = BUF_INIT;
    AUTO(buf_release) struct buf sig = BUF_INIT;
    struct bytes blob, data;
    uint32_t flags;

    sign_key_public(key, &own);
    if (!get_string(&in, &blob) || !get_string(&in, &data) || !get_u32(&in, &flags) || blob.left != own.len ||
        memcmp(blob.p, buf_str(&own), own.len) != 0)
        return false;
    bool rsa = own.len > 11 && memcmp(buf_str(&own) + 4, "ssh-rsa", 7) == 0;
    if (rsa && !(flags & (FLAG_RSA_SHA2_256 | FLAG_RSA_SHA2_512)))
        return false; /* SHA-1: no server of these days takes it */
    struct err *e = sign_key_sign(key, flags & FLAG_RSA_SHA2_512 ? 512 : 256, data.p, data.left, &sig);
    err_free(e);
    if (e)
        return false;
    buf_putc(out, AGENT_SIGN_RESPONSE);
    ssh_put_string(out, buf_str(&sig), sig.len);
    return true;
}

void agent_answer(const struct sign_key *key, const void *request, size_t len, struct buf *out)
{
    AUTO(buf_release) struct buf answer = BUF_INIT;
    struct bytes in = { request, len };
    unsigned char type = len ? *in.p : 0;
    bool ok = true;

    if (len) {
        in.p++;
        in.left--;
    }
    if (type == AGENT_REQUEST_IDENTITIES)
        identities(key, &answer);
    else
        ok = type == AGENT_SIGN_REQUEST && signature(key, in, &answer);
    if (!ok) {
        buf_clear(&answer);
        buf_putc(&answer, AGENT_FAILURE);
    }
    ssh_put_string(out, buf_str(&answer), answer.len);
}
