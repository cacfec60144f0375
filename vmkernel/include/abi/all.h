// SPDX-License-Identifier: Apache-2.0
/* Everything that Python parses, in one preprocessed text (its SHA-256 is the ABI digest). */
#include "abi/hcl.h"
#include "abi/ctl.h"
