/* json.h - JSON text to a tree and back. Bounded by LIMIT_JSON_BYTES and LIMIT_JSON_DEPTH; knows no schema. The only
 * module that includes yajl. A tree is immutable once parsed and may be read by several threads. */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json;

/* Parses exactly one document (UTF-8). Errors are ERR_REGISTRY "... is not valid JSON" with the offset; callers set
 * their kind. */
MUST_USE struct err *json_parse(const char *text, size_t len, struct json **ret_tree);
void json_free(struct json *tree);
DEFINE_CLEANUP(struct json *, json_free);

/* All getters take NULL (and a value of another type) and then answer "not there": NULL, 0, false. Results are
 * borrowed. */
enum json_type json_type(const struct json *v); /* NULL counts as JSON_NULL */
const struct json *json_get(const struct json *object, const char *name);
const char *json_string(const struct json *v);                            /* NULL if it is not a string */
const char *json_get_string(const struct json *object, const char *name); /* NULL if it is not there or not a string */
bool json_get_bool(const struct json *object, const char *name);
bool json_int(const struct json *v, int64_t *ret_int);
bool json_get_int(const struct json *object, const char *name, int64_t *ret_int);
size_t json_count(const struct json *v); /* of an array or object */
const struct json *json_at(const struct json *array, size_t i);
/* The i-th member of an object, in the order of the text. */
const char *json_member(const struct json *object, size_t i, const struct json **ret_value);

/* Writing: compact text, members in call order, strings escaped as RFC 8259 wants and no more (as Go's encoder without
 * HTML escaping). Commas are the writer's business. */
struct json_writer;
struct json_writer *json_writer_new(void);
void json_object_begin(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, const char *name);
void json_put_string(struct json_writer *w, const char *s); /* NULL writes null */
void json_put_int(struct json_writer *w, int64_t i);
void json_put_bool(struct json_writer *w, bool b);
void json_put_null(struct json_writer *w);
/* Copies a parsed value as it is (numbers keep their spelling). */
void json_put_value(struct json_writer *w, const struct json *v);
/* The whole text; the caller frees. */
char *json_writer_steal(struct json_writer *w);
void json_writer_free(struct json_writer *w);
DEFINE_CLEANUP(struct json_writer *, json_writer_free);

#endif
