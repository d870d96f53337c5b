// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches a plan on the device that does nothing, by the archive of the runtime library.
#include <fovea/fovea.h>

#include <stdio.h>

#define TRY(call)                                                                                                      \
  if ((call) != FOVEA_OK) {                                                                                            \
    fprintf(stderr, "%s\n", fovea_last_error());                                                                       \
    return 1;                                                                                                          \
  }

int main(int argc, char **argv) {
  fovea_plan *plan = NULL;
  fovea_device *device = NULL;
  fovea_kernel *kernel = NULL;
  fovea_call *call = NULL;
  fovea_device_options options = {0};
  options.struct_size = sizeof options;
  options.kind = FOVEA_DEVICE_NULL;
  const char *names[] = {"x", "h", "y"};
  const int64_t shape[] = {64};
  fovea_tensor tensors[3] = {{0}};

  TRY(fovea_plan_load(argc > 1 ? argv[1] : "", &plan))
  TRY(fovea_device_open(&options, &device))
  TRY(fovea_prepare(plan, device, &kernel))
  TRY(fovea_bind(kernel, names, 3, &call))
  for (int i = 0; i < 3; ++i) {
    tensors[i].type = FOVEA_F32;
    tensors[i].rank = 1;
    tensors[i].shape = shape;
    TRY(fovea_device_allocate(device, 256, &tensors[i].data))
  }
  TRY(fovea_launch(call, NULL, tensors, 3, NULL, 0))
  printf("%s: launched\n", fovea_plan_name(plan));
  fovea_call_close(call);
  fovea_kernel_close(kernel);
  fovea_device_close(device);
  fovea_plan_close(plan);
  return 0;
}
