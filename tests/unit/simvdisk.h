// SPDX-License-Identifier: Apache-2.0
#ifndef SIMVDISK_H
#define SIMVDISK_H
#include "vmk/vdisk.h"

struct ds;
struct vdisk *disk_open(struct ds *ds, uint64_t inode, unsigned flags, int *error);
/*
 * One request in pieces of `piece` bytes, each in a frame of its own; buf NULL: none. Its status.
 */
int disk_io(struct vdisk *d, unsigned op, uint64_t off, uint8_t *buf, uint64_t len, uint32_t piece);
extern pa_t disk_pa; /* the first piece of the last request */
#endif
