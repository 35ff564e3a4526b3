#include "json/json_priv.h"

#include <string.h>

enum json_type json_type(const struct json *v)
{
    return v ? v->type : JSON_NULL;
}

const struct json *json_get(const struct json *object, const char *name)
{
    if (json_type(object) != JSON_OBJECT)
        return NULL;
    for (size_t i = object->n; i-- > 0;) /* of members with the same name the last one counts, as in Go */
        if (strcmp(object->keys[i], name) == 0)
            return &object->items[i];
    return NULL;
}

const char *json_string(const struct json *v)
{
    return json_type(v) == JSON_STRING ? v->text : NULL;
}

const char *json_get_string(const struct json *object, const char *name)
{
    return json_string(json_get(object, name));
}

bool json_get_bool(const struct json *object, const char *name)
{
    const struct json *v = json_get(object, name);

    return json_type(v) == JSON_BOOL && v->boolean;
}

bool json_int(const struct json *v, int64_t *ret_int)
{
    if (json_type(v) != JSON_NUMBER)
        return false;
    char *end = NULL;
    errno = 0;
    long long i = strtoll(v->text, &end, 10);
    if (errno || *end != '\0')
        return false;
    *ret_int = i;
    return true;
}

bool json_get_int(const struct json *object, const char *name, int64_t *ret_int)
{
    return json_int(json_get(object, name), ret_int);
}

size_t json_count(const struct json *v)
{
    enum json_type type = json_type(v);

    return type == JSON_ARRAY || type == JSON_OBJECT ? v->n : 0;
}

const struct json *json_at(const struct json *array, size_t i)
{
    return json_type(array) == JSON_ARRAY && i < array->n ? &array->items[i] : NULL;
}

const char *json_member(const struct json *object, size_t i, const struct json **ret_value)
{
    if (json_type(object) != JSON_OBJECT || i >= object->n)
        return NULL;
    if (ret_value)
        *ret_value = &object->items[i];
    return object->keys[i];
}
