#!/bin/sh
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Says that it is the ptxas which is there, but assembles nothing: what runs with it came from the cache.
if [ "$1" = --version ]; then
  PATH="$PATH:/usr/local/cuda/bin:/opt/cuda/bin" exec ptxas --version
fi
exit 1
