// SPDX-License-Identifier: Apache-2.0
/* Everything that Python parses, in one preprocessed text (its SHA-256 is the ABI digest). */
#include "abi/ctl.h"
#include "abi/device.h"
#include "abi/hcl.h"
#include "abi/host.h"
#include "abi/net.h"
#include "abi/sched.h"
#include "abi/storage.h"
#include "abi/vm.h"
