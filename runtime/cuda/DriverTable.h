// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The entry points of the driver, as a list that is expanded where it is needed: name of the member, symbol,
// parameters. The functions that name errors come first, so that every later failure can be reported by name.
// clang-format off
// FOVEA_CUDA_REQUIRED(member, symbol, parameters); FOVEA_CUDA_OPTIONAL: may be missing in older drivers.
// (No include guard: the list is expanded several times.)
FOVEA_CUDA_REQUIRED(getErrorName, cuGetErrorName, (CUresult, const char **))
FOVEA_CUDA_REQUIRED(getErrorString, cuGetErrorString, (CUresult, const char **))
FOVEA_CUDA_REQUIRED(init, cuInit, (unsigned))
FOVEA_CUDA_REQUIRED(driverGetVersion, cuDriverGetVersion, (int *))
FOVEA_CUDA_REQUIRED(deviceGetCount, cuDeviceGetCount, (int *))
FOVEA_CUDA_REQUIRED(deviceGet, cuDeviceGet, (CUdevice *, int))
FOVEA_CUDA_REQUIRED(deviceGetName, cuDeviceGetName, (char *, int, CUdevice))
FOVEA_CUDA_REQUIRED(deviceGetAttribute, cuDeviceGetAttribute, (int *, int, CUdevice))
FOVEA_CUDA_REQUIRED(deviceTotalMem, cuDeviceTotalMem_v2, (size_t *, CUdevice))
FOVEA_CUDA_REQUIRED(primaryContextRetain, cuDevicePrimaryCtxRetain, (CUcontext *, CUdevice))
FOVEA_CUDA_REQUIRED(primaryContextRelease, cuDevicePrimaryCtxRelease_v2, (CUdevice))
FOVEA_CUDA_REQUIRED(contextPush, cuCtxPushCurrent_v2, (CUcontext))
FOVEA_CUDA_REQUIRED(contextPop, cuCtxPopCurrent_v2, (CUcontext *))
FOVEA_CUDA_REQUIRED(contextSynchronize, cuCtxSynchronize, ())
FOVEA_CUDA_REQUIRED(memAlloc, cuMemAlloc_v2, (CUdeviceptr *, size_t))
FOVEA_CUDA_REQUIRED(memFree, cuMemFree_v2, (CUdeviceptr))
FOVEA_CUDA_REQUIRED(copyHostToDevice, cuMemcpyHtoD_v2, (CUdeviceptr, const void *, size_t))
FOVEA_CUDA_REQUIRED(copyDeviceToHost, cuMemcpyDtoH_v2, (void *, CUdeviceptr, size_t))
FOVEA_CUDA_REQUIRED(memsetBytes, cuMemsetD8_v2, (CUdeviceptr, unsigned char, size_t))
FOVEA_CUDA_REQUIRED(memsetBytesAsync, cuMemsetD8Async, (CUdeviceptr, unsigned char, size_t, CUstream))
FOVEA_CUDA_REQUIRED(moduleLoad, cuModuleLoadDataEx, (CUmodule *, const void *, unsigned, int *, void **))
FOVEA_CUDA_REQUIRED(moduleUnload, cuModuleUnload, (CUmodule))
FOVEA_CUDA_REQUIRED(moduleGetFunction, cuModuleGetFunction, (CUfunction *, CUmodule, const char *))
FOVEA_CUDA_REQUIRED(functionSetAttribute, cuFuncSetAttribute, (CUfunction, int, int))
FOVEA_CUDA_REQUIRED(launchKernel, cuLaunchKernel, (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **, void **))
FOVEA_CUDA_REQUIRED(eventCreate, cuEventCreate, (CUevent *, unsigned))
FOVEA_CUDA_REQUIRED(eventDestroy, cuEventDestroy_v2, (CUevent))
FOVEA_CUDA_REQUIRED(eventRecord, cuEventRecord, (CUevent, CUstream))
FOVEA_CUDA_REQUIRED(eventSynchronize, cuEventSynchronize, (CUevent))
FOVEA_CUDA_REQUIRED(eventElapsed, cuEventElapsedTime, (float *, CUevent, CUevent))
FOVEA_CUDA_OPTIONAL(launchKernelEx, cuLaunchKernelEx, (const CUlaunchConfig *, CUfunction, void **, void **))
FOVEA_CUDA_OPTIONAL(linkCreate, cuLinkCreate_v2, (unsigned, int *, void **, CUlinkState *))
FOVEA_CUDA_OPTIONAL(linkAddData, cuLinkAddData_v2, (CUlinkState, int, void *, size_t, const char *, unsigned, int *, void **))
FOVEA_CUDA_OPTIONAL(linkComplete, cuLinkComplete, (CUlinkState, void **, size_t *))
FOVEA_CUDA_OPTIONAL(linkDestroy, cuLinkDestroy, (CUlinkState))
// clang-format on
