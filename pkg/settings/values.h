/* values.h - the texts that settings are made of: booleans and numbers as Go's strconv reads them, durations, lists.
 * Pure. */
#ifndef SETTINGS_VALUES_H
#define SETTINGS_VALUES_H

#include "base/strs.h"

#include <stdbool.h>
#include <stdint.h>

/* 1 t T TRUE true True, 0 f F FALSE false False. */
bool value_bool(const char *text, bool *ret);
/* Decimal, 0x, 0o or 0, 0b; a sign; underscores between digits after a prefix or in decimals. Must fit 64 bits. */
bool value_int(const char *text, int64_t *ret);
/* "1h30m", "90s", "1w2d", "250ms"; a plain number is seconds. Result in milliseconds, at most ten years. */
bool value_duration(const char *text, int64_t *ret_ms);
/* Bytes: "1048576", "512M", "2G"; K, M, G and T are powers of 1024, a B or iB may follow. */
bool value_size(const char *text, int64_t *ret_bytes);
/* The pieces between separators, blanks around them removed, empty ones left out; added to list. */
void value_list(const char *text, const char *separators, struct strs *list);

#endif
