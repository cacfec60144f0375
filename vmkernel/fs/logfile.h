// SPDX-License-Identifier: Apache-2.0
/* The log as files below /var/log. */
#ifndef FS_LOGFILE_H
#define FS_LOGFILE_H
void logfile_init(void);
void logfile_flush(void); /* before power off */
#endif
