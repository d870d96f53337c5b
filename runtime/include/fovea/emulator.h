// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/*
 * The emulator as a device: the same plans on any x86-64 processor, slowly, with every access of the kernels checked.
 * It is a library of its own (Fovea::emulator), used only where a program asks for it here.
 */
#ifndef FOVEA_EMULATOR_H
#define FOVEA_EMULATOR_H

/* A header of C. NOLINTBEGIN(modernize-deprecated-headers,modernize-use-using) */

#include "fovea/fovea.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fovea_emulator_options {
  size_t struct_size;
  int32_t multiprocessors; /* what plans see as device.sms; 0: 108 */
  int32_t unchecked;       /* 1: without the checks of accesses and races, about twice as fast */
  int64_t memory_bytes;    /* allocations beyond it are refused; 0: 8 GiB */
} fovea_emulator_options;

/* NULL: the defaults. Launches run at once, in the order of the calls, whatever their stream. Tensors must lie in
 * memory of fovea_device_allocate. A kernel that reads or writes elsewhere, or races, is FOVEA_LAUNCH_FAILED with the
 * place. FOVEA_UNSUPPORTED where this processor cannot run it. */
FOVEA_API fovea_status fovea_emulator_open(const fovea_emulator_options *options, fovea_device **device);

#ifdef __cplusplus
}
#endif

/* NOLINTEND(modernize-deprecated-headers,modernize-use-using) */
#endif
