// SPDX-License-Identifier: Apache-2.0
/*
 * AHCI registers and structures, and the ATA commands that are sent. Spec: AHCI 1.3.1; ATA8-ACS;
 * SATA 3.0 (FIS).
 */
#ifndef AHCI_REGS_H
#define AHCI_REGS_H
#include "vmk/types.h"

/* Global registers, 3.1 */
enum {
	AHCI_BAR = 5,
	AHCI_CAP = 0x00,
	AHCI_GHC = 0x04,
	AHCI_IS = 0x08,
	AHCI_PI = 0x0c,
	AHCI_CAP2 = 0x24,
	AHCI_BOHC = 0x28,
	AHCI_PORTS = 0x100,
	AHCI_PORT_SIZE = 0x80,
	AHCI_PORTS_MAX = 32
};
#define AHCI_CAP_NCS   BITS(12, 8) /* slots minus one */
#define AHCI_CAP_SSS   BIT(27)
#define AHCI_CAP_SNCQ  BIT(30)
#define AHCI_CAP_64    BIT(31)
#define AHCI_GHC_RESET BIT(0)
#define AHCI_GHC_IE    BIT(1)
#define AHCI_GHC_AE    BIT(31)
#define AHCI_CAP2_BOH  BIT(0)
#define AHCI_BOHC_BIOS BIT(0) /* 10.6: semaphores */
#define AHCI_BOHC_OS   BIT(1)

/* Port registers, 3.3 */
enum {
	PORT_CLB = 0x00,
	PORT_CLBU = 0x04,
	PORT_FB = 0x08,
	PORT_FBU = 0x0c,
	PORT_IS = 0x10,
	PORT_IE = 0x14,
	PORT_CMD = 0x18,
	PORT_TFD = 0x20,
	PORT_SIG = 0x24,
	PORT_SSTS = 0x28,
	PORT_SCTL = 0x2c,
	PORT_SERR = 0x30,
	PORT_SACT = 0x34,
	PORT_CI = 0x38
};
#define PORT_IS_DHRS   BIT(0)
#define PORT_IS_PSS    BIT(1)
#define PORT_IS_DSS    BIT(2)
#define PORT_IS_SDBS   BIT(3)
#define PORT_IS_PCS    BIT(6)
#define PORT_IS_IFS    BIT(27)
#define PORT_IS_HBDS   BIT(28)
#define PORT_IS_HBFS   BIT(29)
#define PORT_IS_TFES   BIT(30)
#define PORT_IS_ERRORS (PORT_IS_IFS | PORT_IS_HBDS | PORT_IS_HBFS | PORT_IS_TFES)
#define PORT_IS_WANTED \
	(PORT_IS_ERRORS | PORT_IS_DHRS | PORT_IS_PSS | PORT_IS_DSS | PORT_IS_SDBS | PORT_IS_PCS)
#define PORT_CMD_ST  BIT(0)
#define PORT_CMD_SUD BIT(1)
#define PORT_CMD_POD BIT(2)
#define PORT_CMD_FRE BIT(4)
#define PORT_CMD_FR  BIT(14)
#define PORT_CMD_CR  BIT(15)
#define PORT_CMD_ICC BITS(31, 28)
enum { PORT_ICC_ACTIVE = 1 };
#define PORT_TFD_ERR   BIT(0)
#define PORT_TFD_DRQ   BIT(3)
#define PORT_TFD_BSY   BIT(7)
#define PORT_TFD_ERROR BITS(15, 8)
enum { PORT_SIG_ATA = 0x00000101 };
#define PORT_SSTS_DET BITS(3, 0)
#define PORT_SCTL_DET BITS(3, 0)
enum { PORT_DET_PRESENT = 3, PORT_DET_RESET = 1, PORT_DET_SEEN = 1 };

/* Command list entry, 4.2.2 */
struct ahci_header {
	uint16_t flags, prdt_length;
	uint32_t prd_bytes;
	uint32_t table, table_hi;
	uint32_t reserved[4];
};
ASSERT_SIZE(struct ahci_header, 32);
#define AHCI_HEADER_CFL   BITS(4, 0) /* length of the FIS in dwords */
#define AHCI_HEADER_WRITE BIT(6)

struct ahci_prd {                                /* 4.2.3.3 */
	uint32_t addr, addr_hi, reserved, bytes; /* minus one; even */
};
ASSERT_SIZE(struct ahci_prd, 16);
enum { AHCI_PRDS = 56, AHCI_PRD_BYTES = 4 << 20, AHCI_SLOTS = 32 };

struct ahci_table { /* 4.2.3: 128-byte aligned */
	uint8_t cfis[64], acmd[16], reserved[48];
	struct ahci_prd prd[AHCI_PRDS];
};
ASSERT_SIZE(struct ahci_table, 1024);
ASSERT_OFFSET(struct ahci_table, prd, 128);

/* Everything of a port that the device reads and writes: list 1 KiB aligned, received FIS 256. */
struct ahci_memory {
	struct ahci_header list[AHCI_SLOTS];
	uint8_t received[256];
	uint8_t pad[768];
	uint8_t identify[512];
	uint8_t log[512];
	uint8_t pad2[1024];
	struct ahci_table table[AHCI_SLOTS];
};
ASSERT_OFFSET(struct ahci_memory, received, 1024);
ASSERT_OFFSET(struct ahci_memory, table, 4096);

/* Register FIS, host to device */
enum {
	FIS_H2D = 0x27,
	FIS_H2D_COMMAND = 0x80,
	FIS_H2D_DWORDS = 5,
	ATA_DEVICE_LBA = 0x40,
	ATA_DEVICE_FUA = 0x80
};

enum ata_command {
	ATA_DSM = 0x06,
	ATA_READ_DMA_EXT = 0x25,
	ATA_READ_LOG_EXT = 0x2f,
	ATA_WRITE_DMA_EXT = 0x35,
	ATA_READ_FPDMA = 0x60,
	ATA_WRITE_FPDMA = 0x61,
	ATA_FLUSH_EXT = 0xea,
	ATA_IDENTIFY = 0xec,
};
enum { ATA_DSM_TRIM = 1, ATA_LOG_NCQ_ERROR = 0x10, ATA_NCQ_NOT_QUEUED = 0x80, ATA_NCQ_TAG = 0x1f };
#define ATA_ERR_ABRT BIT(2)
#define ATA_ERR_IDNF BIT(4)

/* IDENTIFY DEVICE, words */
enum {
	ATA_ID_SERIAL = 10,
	ATA_ID_FIRMWARE = 23,
	ATA_ID_MODEL = 27,
	ATA_ID_QUEUE_DEPTH = 75,
	ATA_ID_SATA = 76,
	ATA_ID_FEATURES_82 = 82,
	ATA_ID_FEATURES_83 = 83,
	ATA_ID_ENABLED_85 = 85,
	ATA_ID_SECTORS = 100,
	ATA_ID_SECTOR_INFO = 106,
	ATA_ID_SECTOR_WORDS = 117,
	ATA_ID_TRIM = 169,
	ATA_ID_ROTATION = 217
};
#define ATA_ID_83_LBA48  BIT(10)
#define ATA_ID_82_CACHE  BIT(5)
#define ATA_ID_76_NCQ    BIT(8)
#define ATA_ID_106_VALID BITS(15, 14) /* 01: the word says something */
#define ATA_ID_106_LONG  BIT(12)      /* logical sectors longer than 512 */
enum { ATA_SECTORS_MAX = 65536 };
#endif
