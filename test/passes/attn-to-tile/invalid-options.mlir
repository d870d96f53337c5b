// RUN: not fovea-opt %s --attn-to-tile=sizes=D 2>&1 | FileCheck %s --check-prefix=FORM
// RUN: not fovea-opt %s --attn-to-tile=sizes=D=0 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not fovea-opt %s --attn-to-tile=sizes=D=99999999999 2>&1 | FileCheck %s --check-prefix=LARGE
// RUN: not fovea-opt %s --attn-to-tile='sizes=D=64,D=64' 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: not fovea-opt %s --attn-to-tile=sizes=X=64 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not fovea-opt %s --attn-to-tile=sizes=E=64 2>&1 | FileCheck %s --check-prefix=OTHER
// RUN: not fovea-opt %s --attn-to-tile=sizes=j=64 2>&1 | FileCheck %s --check-prefix=WALK
// RUN: not fovea-opt %s --attn-to-tile=query-tile=40 2>&1 | FileCheck %s --check-prefix=QUERIES
// RUN: not fovea-opt %s --attn-to-tile=key-tile=512 2>&1 | FileCheck %s --check-prefix=KEYS
// RUN: not fovea-opt %s --attn-to-tile=type=f64 2>&1 | FileCheck %s --check-prefix=TYPE
// RUN: not fovea-opt %s --attn-to-tile=precision=f64 2>&1 | FileCheck %s --check-prefix=PRECISION
// RUN: not fovea-opt %s --attn-to-tile=alignment=3 2>&1 | FileCheck %s --check-prefix=ALIGNMENT
// RUN: not fovea-opt %s --attn-to-tile=value-tile=24 2>&1 | FileCheck %s --check-prefix=VALUES
// VALUES: parts of 24 features are not possible; take a multiple of 16 from 16 to 256, or 0 for all
// FORM: 'D' is no size; expected NAME=SIZE with a size from 1 to 2147483647, as in D=64
// ZERO: 'D=0' is no size
// LARGE: 'D=99999999999' is no size
// TWICE: the axis 'D' has two sizes
// UNKNOWN: a size is given for 'X', which is no axis of this attention
// OTHER: the size 64 is given for the axis 'E', whose size is 32
// WALK: the size of the axis 'j' follows from other axes; give those
// QUERIES: a tile of 40 queries is not possible; take a multiple of 16 from 16 to 256
// KEYS: a tile of 512 keys is not possible; take a multiple of 16 from 16 to 256
// TYPE: the element type 'f64' is not supported; take bf16, f16 or f32
// PRECISION: the precision 'f64' is not one of tf32, 3xtf32 and fma
// ALIGNMENT: an alignment of 3 bytes is not possible; take 16, or 1 for that of an element
attn.attention @options none axes [T, D, E : 32, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  attn.output "o" %q [T, D] : real [T, D]
}
