/* json_priv.h - the tree's layout, shared by the reader and the getters. */
#ifndef JSON_JSON_PRIV_H
#define JSON_JSON_PRIV_H

#include "json/json.h"

struct json {
    enum json_type type;
    bool boolean;
    char *text;         /* of a string; of a number as it was spelt */
    struct json *items; /* of an array or object */
    char **keys;        /* of an object, beside items */
    size_t n;
};

#define LIMIT_TEXT_(x) #x
#define LIMIT_TEXT(x)  LIMIT_TEXT_(x)

#endif
