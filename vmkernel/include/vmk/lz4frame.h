// SPDX-License-Identifier: Apache-2.0
/*
 * LZ4 frames (LZ4 Frame Format Description 1.6.3) whose blocks are independent and whose header
 * tells the size of the content, as `lz4 --content-size` writes them. Nothing in them is trusted;
 * checksums are skipped.
 */
#ifndef VMK_LZ4FRAME_H
#define VMK_LZ4FRAME_H
#include "vmk/types.h"

/* Whether an LZ4 frame begins here, of whatever kind. */
bool lz4frame_here(const void *frame, size_t len);
/* Bytes of the content; 0: the header does not say, or is not of the kind above. */
uint64_t lz4frame_size(const void *frame, size_t len);
/*
 * Unpacks the whole content to out, which has room for size bytes, its size. -EINVAL: the frame is
 * broken.
 */
int __must_check lz4frame_unpack(const void *frame, size_t len, void *out, size_t size);
#endif
