/* pack.c - packs: tars whose files are chunks, compressed, sent as soon as they are full. */
#include "stash/stash_priv.h"
#include "sys/file.h"
#include "tar/tar.h"

#include <string.h>

struct packer {
    const struct stash_opts *o;
    struct stash_index *x;
    int fd; /* of the pack under way; -1: none */
    struct sink to_file;
    struct compressor *compressor;
    struct tar_writer *tar;
    uint64_t bytes; /* in it */
    uint64_t sent;
};

void stash_id_text(const uint8_t id[STASH_ID_BYTES], char ret[2 * STASH_ID_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < STASH_ID_BYTES; i++) {
        ret[2 * i] = digits[id[i] >> 4];
        ret[2 * i + 1] = digits[id[i] & 15];
    }
    ret[2 * STASH_ID_BYTES] = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool stash_id_parse(const char *text, uint8_t ret[STASH_ID_BYTES])
{
    if (strlen(text) != 2 * (size_t)STASH_ID_BYTES)
        return false;
    for (int i = 0; i < STASH_ID_BYTES; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void stash_chunk_id(const void *data, size_t len, uint8_t ret[STASH_ID_BYTES])
{
    const struct digest d = digest_bytes(data, len);

    memset(ret, 0, STASH_ID_BYTES);
    (void)stash_id_parse(digest_hex(&d), ret); /* a digest of ours: it is one */
}

struct packer *packer_new(const struct stash_opts *o, struct stash_index *x)
{
    struct packer *p = xcalloc(1, sizeof(*p));

    p->o = o;
    p->x = x;
    p->fd = -1;
    return p;
}

static void drop_pack(struct packer *p)
{
    tar_writer_free(p->tar);
    compress_free(p->compressor);
    p->tar = NULL;
    p->compressor = NULL;
    p->bytes = 0;
    close_fd(&p->fd);
}

static struct err *begin_pack(struct packer *p)
{
    const struct compress_opts c = { COMPRESSION_ZSTD, .threads = p->o->threads, .cancel = p->o->cancel };

    if (p->fd >= 0)
        return NULL;
    if (p->x->packs.n >= LIMIT_LAYERS - 1)
        return err_new(ERR_REGISTRY, "it has more than %d parts", LIMIT_LAYERS - 1);
    TRY(remote_temp(p->o, &p->fd));
    p->to_file = file_sink(&p->fd);
    TRY(compress_new(&c, p->to_file, &p->compressor));
    p->tar = tar_writer_new(compress_sink(p->compressor));
    return NULL;
}

struct err *packer_end(struct packer *p)
{
    struct compress_result r;

    if (p->fd < 0)
        return NULL;
    TRY(tar_writer_end(p->tar));
    TRY(compress_end(p->compressor, &r));
    TRY(remote_send(p->o, &r, p->fd, &p->sent));
    const struct stash_pack pack = { .blob = r.digest, .diff_id = r.diff_id, .size_bytes = r.size_bytes };
    vec_push(&p->x->packs, pack);
    drop_pack(p);
    return NULL;
}

/* Into the pack under way, whose number will be the next. */
static struct err *write_chunk(struct packer *p, const uint8_t id[STASH_ID_BYTES], const void *data, size_t len)
{
    char name[2 * STASH_ID_BYTES + 1];

    TRY(begin_pack(p));
    stash_id_text(id, name);
    const struct tar_entry e = { .path = name, .mode = S_IFREG | 0644, .size_bytes = len };
    TRY(tar_write_entry(p->tar, &e));
    TRY(tar_write_data(p->tar, data, len));
    p->bytes += len;
    return NULL;
}

struct err *packer_add(struct packer *p, const void *data, size_t len, uint32_t *ret_chunk)
{
    uint8_t id[STASH_ID_BYTES];

    stash_chunk_id(data, len, id);
    uint32_t at = stash_find_chunk(p->x, id, (uint32_t)len);
    if (at == STASH_NONE) {
        TRY(write_chunk(p, id, data, len));
        at = stash_add_chunk(p->x, id, (uint32_t)len, (uint32_t)p->x->packs.n);
    }
    *ret_chunk = at;
    return p->bytes >= STASH_PACK_BYTES ? packer_end(p) : NULL;
}

struct err *packer_move(struct packer *p, uint32_t chunk, const void *data, size_t len)
{
    struct stash_chunk *c = &p->x->chunks.items[chunk];
    uint8_t id[STASH_ID_BYTES];

    stash_chunk_id(data, len, id);
    if (len != c->len || memcmp(id, c->id, sizeof(id)) != 0)
        return NULL;
    TRY(write_chunk(p, id, data, len));
    c->pack = (uint32_t)p->x->packs.n;
    return p->bytes >= STASH_PACK_BYTES ? packer_end(p) : NULL;
}

uint64_t packer_sent(const struct packer *p)
{
    return p->sent;
}

void packer_free(struct packer *p)
{
    if (!p)
        return;
    drop_pack(p);
    free(p);
}
