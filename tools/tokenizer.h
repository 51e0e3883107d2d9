// tokenizer.h: text to tokens and back, as a model was trained with.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_TOKENIZER_H
#define INGOT_TOOLS_TOKENIZER_H

#include "ir/base.h"

typedef Vec(int32_t) TokenList;

// One way in which a file describes tokens.
typedef struct Tokenizer Tokenizer;
struct Tokenizer {
  Arena *arena;
  int32_t count;      // tokens are 0 .. count-1
  int32_t bos, eos;   // -1: none
  const char **piece; // by token: its bytes; NULL: no such token
  size_t *length;
  Map *by_piece;  // -> token + 1
  bool add_bos;   // texts begin with bos
  bool add_space; // ... and with a space, which decoding takes away
  bool hex_bytes; // "<0x0A>" stands for a byte
  void (*encode)(Tokenizer *t, const char *text, size_t n, TokenList *out); // what is between special tokens
  void *own;                                                                // of that way
  TokenList special; // looked for in texts as they stand
};

// A llama2.c tokenizer (.bin) or a tokenizer.json of byte-level or sentencepiece-like BPE, told apart by content.
// NULL after reporting.
Tokenizer *tokenizer_open(Arena *a, Diag *d, const char *path);
// The tokens of a text; the first is bos where the model wants that.
void tokenizer_encode(Tokenizer *t, const char *text, TokenList *out);
// The bytes of `token` after `previous` (-1: it is the first). Bytes may be part of a character.
const char *tokenizer_piece(const Tokenizer *t, int32_t previous, int32_t token, size_t *n);

// ---- for the ways ------------------------------------------------------------------------------------------

void tokenizer_room(Tokenizer *t, int32_t count); // for tokens 0 .. count-1
// `key`: how the token is written in the file, by which it is found.
void tokenizer_add(Tokenizer *t, int32_t token, const char *key, const char *bytes, size_t n);
int32_t tokenizer_find(const Tokenizer *t, const char *key, size_t n);  // -1: none
bool llama2c_tokenizer(Tokenizer *t, const uint8_t *data, size_t size); // false: not in this form
bool json_tokenizer(Tokenizer *t, Diag *d, const char *path, const char *text,
                    size_t size);            // false after reporting
size_t utf8_length(const char *s, size_t n); // of the character at s, at least 1

#endif
