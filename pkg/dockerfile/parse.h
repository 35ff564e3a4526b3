/* parse.h - private to dockerfile: what lex, split, heredoc, instr and dockerfile share. */
#ifndef DOCKERFILE_PARSE_H
#define DOCKERFILE_PARSE_H

#include "dockerfile/dockerfile.h"
#include "dockerfile/runes.h"

/* ---- lex.c: a file to logical lines ---- */

enum directive { DIRECTIVE_SYNTAX, DIRECTIVE_ESCAPE, DIRECTIVE_CHECK, DIRECTIVE_COUNT };

struct lex {
    const char *p, *end; /* what was not read yet */
    int line;            /* number of the last physical line that was read */
    char escape;
    bool directives_over, seen[DIRECTIVE_COUNT];

    /* of the logical line: as in struct df_instr */
    int empty_line, check_line, comment_line;
    char *check, *comment;
};

void lex_init(struct lex *lx, const char *text, size_t len);
void lex_release(struct lex *lx);
/* The next physical line with its end; *ret_more is false at the end of the file. */
MUST_USE struct err *lex_physical(struct lex *lx, struct span *ret_line, bool *ret_more);
/* The next instruction's text: continuations joined, comments gone. *ret_first is its first line; lx->line the last. */
MUST_USE struct err *lex_logical(struct lex *lx, struct buf *ret_text, int *ret_first, bool *ret_more);
/* The value of a directive at the top of the file (a shebang line may precede) and its line, NULL if it is not there.
 */
char *lex_directive(const char *text, size_t len, enum directive which, int *ret_line);

/* ---- split.c: a logical line to keyword, flags and arguments ---- */

/* Up to n_max pieces between runs of blanks; n_max 0 = no limit. */
void split_blanks(struct span text, size_t n_max, struct strs *ret_pieces);
/* Words with quotes and escapes kept, as ENV, LABEL and ARG have them. */
void split_quoted(const char *text, char escape, struct strs *ret_words);
/* Takes the --flags off the front of text, quotes removed; *ret_rest is what follows. */
void split_flags(struct span text, char escape, struct strs *ret_flags, struct span *ret_rest);

/* ---- jsonlist.c ---- */

enum json_list { JSON_LIST_NO, JSON_LIST_OK, JSON_LIST_NOT_STRINGS, JSON_LIST_NUL };
/* ["a", "b"]; no JSON array at all is JSON_LIST_NO: then the text is an ordinary line. */
enum json_list json_list_parse(const char *text, struct strs *ret_items);

/* ---- heredoc.c ---- */

/* Reads the bodies of all here-documents that the line announces. */
MUST_USE struct err *heredocs_read(struct lex *lx, const char *line, struct df_instr *instr);
void heredoc_release(struct df_heredoc *h);

/* ---- instr.c ---- */

/* One logical line to an instruction; here-documents are not read yet. Errors name what they blame. */
MUST_USE struct err *instr_parse(const char *line, char escape, struct df_instr *ret_instr);
void instr_release(struct df_instr *i);

/* ---- csv.c ---- */

/* One line of comma-separated fields with "quotes". */
MUST_USE struct err *csv_fields(const char *text, struct strs *ret_fields);

/* ---- mount.c ---- */

/* What can be said of RUN's flags before expansion. */
MUST_USE struct err *mount_precheck(const char *text);
MUST_USE struct err *device_check(const char *text);
/* strconv.ParseBool and ParseUint of the reference implementation. */
bool parse_bool(const char *text, bool *ret_value);
bool parse_uint(const char *text, int base, uint64_t max, uint64_t *ret_value);

#endif
