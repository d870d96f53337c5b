// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/*
 * The compiler of Fovea in the caller's process: from the text of a specification to a plan, which fovea.h runs.
 * A library of its own (Fovea::compiler, libfovea). Its header says what its functions add; ownership, threads, errors
 * and versions are as in fovea.h. The symbols of LLVM are hidden where it is linked statically, so that other users of
 * LLVM may live in the same process.
 *
 * Plans are kept on disk by the meaning of what was compiled, as `fovea compile` keeps them, and found again there; the
 * variable FOVEA_CACHE says where, or `off`. Nothing else is written, nothing is sent anywhere.
 *
 * A compilation always comes to an end with diagnostics, which are data: FOVEA_OK says that there is a compilation to
 * look at, fovea_compilation_plan whether it has a plan.
 */
#ifndef FOVEA_COMPILER_H
#define FOVEA_COMPILER_H

/* A header of C. NOLINTBEGIN(modernize-deprecated-headers,modernize-use-using) */

#include "fovea/fovea.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Keeps what compilations share. One may be used by any number of threads at once. */
typedef struct fovea_compiler fovea_compiler;

FOVEA_API fovea_status fovea_compiler_open(fovea_compiler **compiler);
FOVEA_API void fovea_compiler_close(fovea_compiler *compiler);

typedef struct fovea_compile_options {
  size_t struct_size;
  const char *attention;   /* of the file; NULL: the only one */
  const char *target;      /* "sm_80", ..; NULL: sm_80, which every later GPU runs too */
  const char *type;        /* of arrays that state none: "bf16", "f16", "f32"; NULL: bf16 */
  const char *precision;   /* of products of f32: "tf32", "3xtf32", "fma"; NULL: 3xtf32 */
  const char *schedule;    /* "query_tile=64,..", any part of a schedule; NULL: the best that is known */
  const char *const *sets; /* "D=64": sizes of static axes, consts and options of the specification */
  size_t set_count;
  int32_t batch_invariant; /* 1: the bits of a row do not depend on the batch, nor on the device */
  const char *storage;     /* a storage of the file: where arrays lie; NULL: they are dense */
} fovea_compile_options;

typedef struct fovea_compilation fovea_compilation;

/* Compiles a file, or a text, which `name` stands for in messages and which imports are relative to. `options` NULL:
 * the defaults. FOVEA_INVALID_ARGUMENT for options that are none, FOVEA_NOT_FOUND and FOVEA_IO for the file. */
FOVEA_API fovea_status fovea_compile_file(fovea_compiler *compiler, const char *path,
                                          const fovea_compile_options *options, fovea_compilation **compilation);
FOVEA_API fovea_status fovea_compile_text(fovea_compiler *compiler, const char *text, size_t size, const char *name,
                                          const fovea_compile_options *options, fovea_compilation **compilation);
FOVEA_API void fovea_compilation_close(fovea_compilation *compilation);

/* Its strings live as long as the compilation. Lines and columns count from 1, columns in characters; 0 where a message
 * has no place in a text. */
typedef struct fovea_diagnostic {
  size_t struct_size;
  int32_t is_error; /* else a warning */
  const char *file;
  int32_t line, column, end_line, end_column; /* the end is behind the last character */
  const char *message;                        /* what is wrong */
  const char *expected;                       /* what would be right, in words; "" */
  const char *suggestion;                     /* text that would be right in that place; "" */
  const char *rendered;                       /* all of it with the line of the text, for a terminal */
} fovea_diagnostic;

FOVEA_API size_t fovea_compilation_diagnostic_count(const fovea_compilation *compilation);
FOVEA_API fovea_status fovea_compilation_diagnostic(const fovea_compilation *compilation, size_t index,
                                                    fovea_diagnostic *diagnostic);

/* The plan, a handle of its own. FOVEA_INVALID_ARGUMENT with the first error where the specification has one. */
FOVEA_API fovea_status fovea_compilation_plan(const fovea_compilation *compilation, fovea_plan **plan);

/* Text of the plan, as fovea_plan_parse reads it and a file may keep it: compiled elsewhere, run without a compiler.
 * Lives as long as the compilation. */
FOVEA_API fovea_status fovea_compilation_plan_text(const fovea_compilation *compilation, const char **text,
                                                   size_t *size);

/* What the compilation took, in milliseconds. */
FOVEA_API double fovea_compilation_milliseconds(const fovea_compilation *compilation);

#ifdef __cplusplus
}
#endif

/* NOLINTEND(modernize-deprecated-headers,modernize-use-using) */
#endif
