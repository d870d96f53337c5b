// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/*
 * The runtime of Fovea for C: loads plans, which `fovea compile` wrote, and launches their kernels in the caller's
 * memory and queues. It links neither a compiler nor CUDA; the CUDA driver is found when a device is opened.
 * docs/runtime.md has examples. The order of a program: fovea_plan_load, fovea_device_open, fovea_prepare, fovea_bind,
 * then fovea_launch as often as wanted.
 *
 * Ownership. Every fovea_X_open, _load, _parse, fovea_prepare and fovea_bind gives a handle that the caller closes once
 * with fovea_X_close; closing NULL does nothing. What a handle was made of may be closed before it: it lives on as long
 * as something needs it. Names, shapes, strides and options are read during a call and never kept, but for the user
 * pointer of a log function. Memory of tensors and workspaces stays the caller's, and must stay valid until the work
 * launched on it has ended.
 *
 * Threads. Different handles may be used by different threads at once. So may one plan, one kernel, one device, and one
 * call: fovea_launch changes nothing but the memory of tensors and workspaces, which two launches that run at the same
 * time must not share where they write. A handle is closed when no thread is in a function with it. fovea_call_reserve
 * and fovea_call_set_axis change a call: no launch of it at the same time.
 *
 * Errors. A function that returns a fovea_status gives FOVEA_OK or what kind of thing went wrong; fovea_last_error()
 * then has the sentence for people. Out parameters are written on success only. No exception leaves the library, and
 * it writes nothing to the terminal: it speaks through fovea_set_log alone.
 *
 * Versions. Enumerations grow too; each has 32 bits, which is what its last name is for. Structures with `struct_size`
 * grow at their end; the caller sets it to sizeof of the structure it knows. Zero in every other field is the default.
 */
#ifndef FOVEA_FOVEA_H
#define FOVEA_FOVEA_H

/* A header of C. NOLINTBEGIN(modernize-deprecated-headers,modernize-use-using) */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FOVEA_API __attribute__((visibility("default")))
#else
#define FOVEA_API
#endif

/* Grows with each addition to this header; what is there stays. */
#define FOVEA_API_VERSION 3

/* Of the library that is loaded, perhaps newer than the header. */
FOVEA_API int32_t fovea_api_version(void);

typedef enum fovea_status {
  FOVEA_OK = 0,
  FOVEA_INVALID_ARGUMENT = 1,  /* a value, shape, type or option that cannot be used */
  FOVEA_NOT_FOUND = 2,         /* a file, name or symbol that does not exist */
  FOVEA_IO = 3,                /* reading or writing failed */
  FOVEA_CORRUPT = 4,           /* data that is truncated, edited or not of the expected kind */
  FOVEA_UNSUPPORTED = 5,       /* legal, but not in this version, by this plan or on this device */
  FOVEA_NO_DEVICE = 6,         /* no usable device */
  FOVEA_OUT_OF_MEMORY = 7,     /* a size that cannot be allocated */
  FOVEA_LAUNCH_FAILED = 8,     /* the device or the emulator reported a fault */
  FOVEA_INTERNAL = 9,          /* a defect of the library */
  FOVEA_SELF_TEST_FAILED = 10, /* a device gives wrong numbers for the self-test of a plan */
  FOVEA_STATUS_32_BITS = 0x7fffffff
} fovea_status;

/* "FOVEA_INVALID_ARGUMENT"; "?" for other numbers. */
FOVEA_API const char *fovea_status_name(fovea_status status);

/* What went wrong in the last function of this thread that failed; "" if none did. Valid until the next function of
 * this library in this thread. */
FOVEA_API const char *fovea_last_error(void);

typedef enum fovea_log_level {
  FOVEA_LOG_INFO = 0,
  FOVEA_LOG_WARNING = 1,
  FOVEA_LOG_LEVEL_32_BITS = 0x7fffffff
} fovea_log_level;

/* Called from any thread, perhaps by several at once; it must not call this library. `text` has no newline at its end.
 */
typedef void (*fovea_log_function)(fovea_log_level level, const char *text, void *user);

/* Of the whole process. NULL, as in the beginning: silence. */
FOVEA_API void fovea_set_log(fovea_log_function function, void *user);

/* ---- Plans: what a variant computes and by which kernels ---- */

typedef struct fovea_plan fovea_plan;

/* Reads P.json and the files beside it. A plan is checked as untrusted data, but its kernels are programs: run only
 * plans from sources that you trust. FOVEA_NOT_FOUND, FOVEA_IO, FOVEA_CORRUPT, FOVEA_UNSUPPORTED (a newer format). */
FOVEA_API fovea_status fovea_plan_load(const char *path, fovea_plan **plan);

/* The same from memory: the text of a plan whose modules are inline. */
FOVEA_API fovea_status fovea_plan_parse(const char *json, size_t size, fovea_plan **plan);

FOVEA_API void fovea_plan_close(fovea_plan *plan);

/* These strings live as long as the plan. */
FOVEA_API const char *fovea_plan_name(const fovea_plan *plan);
FOVEA_API const char *fovea_plan_target(const fovea_plan *plan);    /* "sm_80" */
FOVEA_API const char *fovea_plan_signature(const fovea_plan *plan); /* equal: plans can replace one another */

typedef enum fovea_type {
  FOVEA_ABSENT = 0, /* the type of a tensor that is left out, so that a zeroed fovea_tensor is one */
  FOVEA_F32 = 1,
  FOVEA_F16 = 2,
  FOVEA_BF16 = 3,
  FOVEA_I32 = 4,
  FOVEA_TYPE_32_BITS = 0x7fffffff
} fovea_type;

typedef enum fovea_role {
  FOVEA_INPUT = 0,
  FOVEA_PARAM = 1,
  FOVEA_OUTPUT = 2,
  FOVEA_CARRY = 3, /* read and written in place: what one call leaves there, the next one finds */
  FOVEA_ROLE_32_BITS = 0x7fffffff
} fovea_role;

enum { FOVEA_MAX_RANK = 16 };

typedef struct fovea_tensor_info {
  size_t struct_size;
  const char *name; /* strings live as long as the plan */
  fovea_role role;
  fovea_type type;
  int32_t rank;
  int32_t optional;                     /* 1: may be left out */
  const char *dims[FOVEA_MAX_RANK];     /* outermost first: "B", "T", "H", "D" */
  int64_t static_sizes[FOVEA_MAX_RANK]; /* the size that the plan was compiled for; 0: any */
} fovea_tensor_info;

FOVEA_API size_t fovea_plan_tensor_count(const fovea_plan *plan);
/* In order of declaration. */
FOVEA_API fovea_status fovea_plan_tensor_info(const fovea_plan *plan, size_t index, fovea_tensor_info *info);

/* ---- Tensors ---- */

/* Memory of the device as the kernels see it. This structure never changes. */
typedef struct fovea_tensor {
  void *data;             /* address of the first element in the device's memory; a multiple of the element size */
  int32_t type;           /* fovea_type */
  int32_t rank;           /* at most FOVEA_MAX_RANK */
  const int64_t *shape;   /* outermost first */
  const int64_t *strides; /* in elements, at least 0; NULL: without gaps, the last dimension innermost */
} fovea_tensor;

/* ---- Devices ---- */

typedef struct fovea_device fovea_device;

typedef enum fovea_device_kind {
  FOVEA_DEVICE_CUDA = 0,
  FOVEA_DEVICE_NULL = 1, /* does nothing and takes no time, to measure the host's part; its addresses cannot be read */
  FOVEA_DEVICE_KIND_32_BITS = 0x7fffffff
} fovea_device_kind; /* the emulator is a library of its own: fovea/emulator.h */

typedef struct fovea_device_options {
  size_t struct_size;
  fovea_device_kind kind;
  int32_t ordinal;         /* of the CUDA device, as the driver counts */
  const char *library;     /* path of the CUDA driver; NULL: libcuda.so.1 */
  void *context;           /* a CUcontext of the caller, which outlives the device; NULL: the primary context */
  int32_t sm_version;      /* FOVEA_DEVICE_NULL: 80, 90; 0: takes every plan */
  int32_t multiprocessors; /* FOVEA_DEVICE_NULL; 0: 108 */
} fovea_device_options;

/* NULL: CUDA device 0. FOVEA_NO_DEVICE where there is no driver or no such device: nothing else is tried instead. */
FOVEA_API fovea_status fovea_device_open(const fovea_device_options *options, fovea_device **device);
FOVEA_API void fovea_device_close(fovea_device *device);

typedef struct fovea_target {
  size_t struct_size;
  int32_t sm_version;      /* compute capability times ten: 80, 90; 0: any */
  int32_t multiprocessors; /* 0: 108 */
  int64_t shared_bytes;    /* dynamic shared memory of a block, with opt-in; 0: that of the architecture */
} fovea_target;

typedef struct fovea_device_info {
  size_t struct_size;
  const char *name; /* lives as long as the device */
  int32_t emulated; /* 1: times mean nothing */
  int32_t sm_version;
  int32_t multiprocessors;
  int32_t driver_version; /* 12040: CUDA 12.4; 0: none */
  int64_t shared_bytes;
  int64_t memory_bytes;
} fovea_device_info;

FOVEA_API fovea_status fovea_device_get_info(const fovea_device *device, fovea_device_info *info);

/* Memory for programs that have no allocator of their own; each allocation starts at a multiple of 256. Copies happen
 * after all work launched before, and are done on return. */
FOVEA_API fovea_status fovea_device_allocate(fovea_device *device, size_t bytes, void **data);
FOVEA_API fovea_status fovea_device_free(fovea_device *device, void *data);
FOVEA_API fovea_status fovea_device_upload(fovea_device *device, void *to, const void *from, size_t bytes);
FOVEA_API fovea_status fovea_device_download(fovea_device *device, void *to, const void *from, size_t bytes);
FOVEA_API fovea_status fovea_device_synchronize(fovea_device *device);

/* `dl_tensor` is a DLTensor of DLPack (the member of a DLManagedTensor or DLManagedTensorVersioned). The result borrows
 * its shape and strides. FOVEA_INVALID_ARGUMENT where it lies on another device (the emulator and the null device are
 * kDLExtDev), has another element type than f32, f16, bf16 and i32, or more than FOVEA_MAX_RANK dimensions. */
FOVEA_API fovea_status fovea_tensor_from_dlpack(const fovea_device *device, const void *dl_tensor,
                                                fovea_tensor *tensor);

/* ---- Whether a plan serves some tensors ---- */

typedef struct fovea_support {
  size_t struct_size;
  int32_t supported;   /* 1: a launch of these tensors would start */
  int32_t entry;       /* of the plan, which would run; -1 if none */
  const char *reason;  /* why it runs so, or what is wrong */
  const char *nearest; /* not supported: the nearest call that is, "" if none was found */
} fovea_support;

/* Changes nothing and needs no device. `names` and `tensors` as for fovea_bind and fovea_launch; a tensor with NULL
 * data counts as aligned to 256 bytes. FOVEA_OK also where the answer is no; the strings are valid until the next
 * function of this library in this thread. `target` NULL: the plan's own, with 108 multiprocessors. */
FOVEA_API fovea_status fovea_supports(const fovea_plan *plan, const char *const *names, const fovea_tensor *tensors,
                                      size_t count, const fovea_target *target, fovea_support *answer);

/* ---- Launches ---- */

/* A plan whose modules are loaded in a device's context. Do this before a graph is captured. */
typedef struct fovea_kernel fovea_kernel;

/* Loads the plan's machine code where it has some for the device, else what the cache has, else has the driver assemble
 * the PTX, which takes about half a second a kernel, and keeps that in the cache. FOVEA_UNSUPPORTED where the plan is
 * for another target, FOVEA_LAUNCH_FAILED with the assembler's log. The same as fovea_prepare_with without options. */
FOVEA_API fovea_status fovea_prepare(const fovea_plan *plan, fovea_device *device, fovea_kernel **kernel);

typedef enum fovea_switch {
  FOVEA_AS_SET = 0, /* as the environment says */
  FOVEA_ON = 1,
  FOVEA_OFF = 2,
  FOVEA_SWITCH_32_BITS = 0x7fffffff
} fovea_switch;

/* Since API version 2. */
typedef struct fovea_prepare_options {
  size_t struct_size;
  fovea_switch cache;       /* of machine code by the driver; as set: unless FOVEA_CACHE is off */
  fovea_switch self_test;   /* of plans that have one; as set: where FOVEA_SELF_TEST is set, but to 0 or off */
  const char *cache_folder; /* NULL: as FOVEA_CACHE, XDG_CACHE_HOME and HOME say */
  /* Since API version 3. Launches of this kernel first copy back what the plan has a promise about and look at every
   * element: offsets of packed sequences, contracts of inputs, decays that are inputs. FOVEA_INVALID_ARGUMENT names the
   * first one that breaks it, and nothing is launched. As set: where FOVEA_CHECKED is set, but to 0 or off. Such a
   * launch waits for the device and cannot be captured in a graph. */
  fovea_switch checked;
} fovea_prepare_options;

/* The self-test runs each entry of the plan on small tensors of its own memory, on the default stream, and compares
 * with numbers in the plan: FOVEA_SELF_TEST_FAILED where they differ. That it passed is kept in the cache for this
 * driver. Whatever is wrong with the cache or with machine code made before is a warning (fovea_set_log), never an
 * error. */
FOVEA_API fovea_status fovea_prepare_with(const fovea_plan *plan, fovea_device *device,
                                          const fovea_prepare_options *options, fovea_kernel **kernel);
FOVEA_API void fovea_kernel_close(fovea_kernel *kernel);

/* A kernel with an order of arguments: tensor i of a launch is the one that names[i] names. */
typedef struct fovea_call fovea_call;

/* Every tensor of the plan but optional ones must be named, each once. */
FOVEA_API fovea_status fovea_bind(const fovea_kernel *kernel, const char *const *names, size_t count,
                                  fovea_call **call);
FOVEA_API void fovea_call_close(fovea_call *call);

/* The size of an axis that the shape of no tensor tells; at least 1. */
FOVEA_API fovea_status fovea_call_set_axis(fovea_call *call, const char *axis, int64_t size);

/* Bytes of workspace that are enough for every call whose sizes are at most those of `most` and at least those of
 * `least` (NULL: from 1 on), whatever the strides and alignments; both with shapes and types only, `data` is not read.
 * With least == most it is enough for that shape alone. May be 0. */
FOVEA_API fovea_status fovea_workspace_size(const fovea_call *call, const fovea_tensor *most, const fovea_tensor *least,
                                            size_t count, size_t *bytes);
enum { FOVEA_WORKSPACE_ALIGNMENT = 256 };

/* Allocates a workspace that belongs to the call and serves launches without one of their own. Launches that use it
 * must be in one queue. 0 frees it; the work that uses it must have ended. */
FOVEA_API fovea_status fovea_call_reserve(fovea_call *call, size_t bytes);

/* Starts the work in the queue `stream` (a CUstream, which is what a cudaStream_t is; NULL: the default stream) and
 * returns; faults of kernels show when the caller waits. Allocates nothing, may be captured in a graph. A tensor that
 * is left out has type FOVEA_ABSENT. Shapes, types, strides, alignment and overlap are checked: what is written shares
 * no memory with another tensor. The workspace needs no contents, is aligned to FOVEA_WORKSPACE_ALIGNMENT, and may be
 * used by the next launch of the same queue. NULL with 0 bytes: none, or that of fovea_call_reserve. */
FOVEA_API fovea_status fovea_launch(const fovea_call *call, void *stream, const fovea_tensor *tensors, size_t count,
                                    void *workspace, size_t workspace_bytes);

#ifdef __cplusplus
}
#endif

/* NOLINTEND(modernize-deprecated-headers,modernize-use-using) */
#endif
