// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/* A program in C11 from plan to numbers: C11 PLAN. The headers must be C. */
#include <fovea/emulator.h>
#include <fovea/fovea.h>

#include <stdio.h>

#define COUNT 32

static int complain(const char *what) {
  fprintf(stderr, "%s: %s\n", what, fovea_last_error());
  return 1;
}

int main(int argc, char **argv) {
  fovea_plan *plan = NULL;
  fovea_device *device = NULL;
  fovea_kernel *kernel = NULL;
  fovea_call *call = NULL;
  const char *names[] = {"x", "h", "y"};
  const int64_t shape[] = {COUNT};
  fovea_tensor tensors[3];
  float x[COUNT], zero[COUNT] = {0}, y[COUNT];
  int i;

  if (argc != 2 || fovea_plan_load(argv[1], &plan) != FOVEA_OK)
    return complain("load");
  if (fovea_emulator_open(NULL, &device) != FOVEA_OK)
    return complain("open");
  if (fovea_prepare(plan, device, &kernel) != FOVEA_OK || fovea_bind(kernel, names, 3, &call) != FOVEA_OK)
    return complain("bind");
  for (i = 0; i < 3; ++i) {
    fovea_tensor tensor = {NULL, FOVEA_F32, 1, shape, NULL};
    if (fovea_device_allocate(device, sizeof x, &tensor.data) != FOVEA_OK)
      return complain("allocate");
    tensors[i] = tensor;
  }
  for (i = 0; i < COUNT; ++i)
    x[i] = (float)i;
  if (fovea_device_upload(device, tensors[0].data, x, sizeof x) != FOVEA_OK ||
      fovea_device_upload(device, tensors[1].data, zero, sizeof zero) != FOVEA_OK)
    return complain("upload");
  for (i = 0; i < 2; ++i)
    if (fovea_launch(call, NULL, tensors, 3, NULL, 0) != FOVEA_OK)
      return complain("launch");
  if (fovea_device_download(device, y, tensors[2].data, sizeof y) != FOVEA_OK)
    return complain("download");
  for (i = 0; i < COUNT; ++i)
    if (y[i] != 2 * x[i]) {
      fprintf(stderr, "y[%d] is %g\n", i, y[i]);
      return 1;
    }
  for (i = 0; i < 3; ++i)
    if (fovea_device_free(device, tensors[i].data) != FOVEA_OK)
      return complain("free");
  fovea_call_close(call);
  fovea_kernel_close(kernel);
  fovea_device_close(device);
  fovea_plan_close(plan);
  return 0;
}
