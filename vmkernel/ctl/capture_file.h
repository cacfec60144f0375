// SPDX-License-Identifier: Apache-2.0
/* A capture of frames as an open file. */
#ifndef CTL_CAPTURE_FILE_H
#define CTL_CAPTURE_FILE_H
#include "vmk/file.h"

/* The capture (vmk/vswitch.h) runs while the file is open. -ENOENT: no such port or uplink. */
int __must_check capture_file(const char *what, unsigned snap, struct file **out);
#endif
