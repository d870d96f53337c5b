// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/*
 * A plan that is part of the program, in C11: embedded [--emulator]. Nothing is read from the disk. The optional state
 * is left out here, so that the plan takes a workspace in its place.
 */
#include <fovea/emulator.h>
#include <fovea/fovea.h>

#include "plan.inc"

#include <stdio.h>
#include <string.h>

#define COUNT 100

static int complain(const char *what, fovea_status status) {
  fprintf(stderr, "%s: %s: %s\n", what, fovea_status_name(status), fovea_last_error());
  return 1;
}

static void say(fovea_log_level level, const char *text, void *user) {
  (void)user;
  printf("%s: %s\n", level == FOVEA_LOG_WARNING ? "warning" : "fovea", text);
}

int main(int argc, char **argv) {
  fovea_plan *plan = NULL;
  fovea_device *device = NULL;
  fovea_kernel *kernel = NULL;
  fovea_call *call = NULL;
  const char *names[] = {"x", "y"};
  const int64_t shape[] = {COUNT};
  fovea_tensor tensors[2];
  size_t workspace = 0;
  float x[COUNT], y[COUNT];
  fovea_status status;
  int i;

  fovea_set_log(say, NULL);
  status = fovea_plan_parse((const char *)plan_text, sizeof plan_text, &plan);
  if (status != FOVEA_OK)
    return complain("plan", status);
  status = argc > 1 && strcmp(argv[1], "--emulator") == 0 ? fovea_emulator_open(NULL, &device)
                                                          : fovea_device_open(NULL, &device);
  if (status != FOVEA_OK)
    return complain("device", status);
  if ((status = fovea_prepare(plan, device, &kernel)) != FOVEA_OK)
    return complain("prepare", status);
  if ((status = fovea_bind(kernel, names, 2, &call)) != FOVEA_OK)
    return complain("bind", status);
  for (i = 0; i < 2; ++i) {
    fovea_tensor tensor = {NULL, FOVEA_F32, 1, NULL, NULL};
    tensor.shape = shape;
    if ((status = fovea_device_allocate(device, sizeof x, &tensor.data)) != FOVEA_OK)
      return complain("memory", status);
    tensors[i] = tensor;
  }
  /* The call keeps a workspace that serves all shapes up to these. */
  if ((status = fovea_workspace_size(call, tensors, NULL, 2, &workspace)) != FOVEA_OK ||
      (status = fovea_call_reserve(call, workspace)) != FOVEA_OK)
    return complain("workspace", status);
  for (i = 0; i < COUNT; ++i)
    x[i] = (float)i;
  if ((status = fovea_device_upload(device, tensors[0].data, x, sizeof x)) != FOVEA_OK ||
      (status = fovea_launch(call, NULL, tensors, 2, NULL, 0)) != FOVEA_OK ||
      (status = fovea_device_download(device, y, tensors[1].data, sizeof y)) != FOVEA_OK)
    return complain("run", status);
  for (i = 0; i < COUNT; ++i)
    if (y[i] != x[i]) {
      fprintf(stderr, "y[%d] is %g\n", i, y[i]);
      return 1;
    }
  for (i = 0; i < 2; ++i)
    (void)fovea_device_free(device, tensors[i].data);
  /* Handles may be closed in any order. */
  fovea_plan_close(plan);
  fovea_device_close(device);
  fovea_kernel_close(kernel);
  fovea_call_close(call);
  printf("a plan of %u bytes inside the program: good\n", (unsigned)sizeof plan_text);
  return 0;
}
