# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""recurrence-numbers.py EXAMPLES TARGET SIZES SYSTEM..: what the kernel of a recurrence costs memory. Sectors are asked for at
most 1.1 times, no access waits for banks; where ptxas is there, nothing is spilled."""

import json
import subprocess
import sys

examples, target, sizes, *systems = sys.argv[1:]
failed = False
for system in systems:
    command = ["fovea-measure", "counters", f"{examples}/{system}.attn", *sizes.split(","), "--target", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{system}: {done.stderr}")
    out = json.loads(done.stdout)
    launch = max(out["launches"], key=lambda launch: launch["warp_instructions"])
    ratio = launch["sectors_requested"] / launch["sectors_unique"]
    conflicts = launch["shared_wavefronts"] - launch["shared_wavefronts_without_conflicts"]
    spills = out.get("kernels", {}).get(launch["kernel"], {}).get("spill_bytes", 0)
    good = ratio <= 1.1 and conflicts == 0 and spills == 0
    failed |= not good
    print(f"{system} {target}: {'ok' if good else 'BAD'}: sectors {ratio:.3f}, conflicts {conflicts}, spills {spills}")
sys.exit(failed)
