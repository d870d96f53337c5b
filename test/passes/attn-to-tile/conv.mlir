// Depthwise convolutions: shifted rows, and on a grid rows shifted along the whole where both places exist.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file | FileCheck %s

// CHECK-LABEL: tile.program @causal
// The row itself is read as it is, the three before it as tiles that begin earlier.
// CHECK-COUNT-3: arith.addi %{{.*}}, %c-{{[123]}} : index
// CHECK: math.fma
attn.attention @causal causal axes [B, T, D : 64, W : 4] {
  %x = attn.input "x" [B, T, D] : real [B, T, D]
  %w = attn.input "w" param [D, W] : real [D, W]
  %y = attn.conv %x, %w along [T] taps [W] : real [B, T, D], real [D, W]
  attn.output "y" %y [B, T, D] : real [B, T, D]
}
