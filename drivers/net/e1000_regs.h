// SPDX-License-Identifier: Apache-2.0
/*
 * Intel Gigabit Ethernet: 8254x (e1000) and 82574L (e1000e) registers and descriptors. Spec:
 * PCI/PCI-X Family of Gigabit Ethernet Controllers SDM 4.0 (317453-006); 82574 Datasheet 3.4. Bare
 * section numbers are the SDM's.
 */
#ifndef E1000_REGS_H
#define E1000_REGS_H
#include "vmk/types.h"

/* 13.4 */
enum {
	E1000_CTRL = 0x0000,
	E1000_STATUS = 0x0008,
	E1000_EERD = 0x0014,
	E1000_MDIC = 0x0020,
	E1000_VET = 0x0038,
	E1000_ICR = 0x00c0,
	E1000_ITR = 0x00c4,
	E1000_IMS = 0x00d0,
	E1000_IMC = 0x00d8,
	E1000_IVAR = 0x00e4, /* 82574 */
	E1000_EITR = 0x00e8, /* 82574: five, one a vector */
	E1000_RCTL = 0x0100,
	E1000_TCTL = 0x0400,
	E1000_TIPG = 0x0410,
	E1000_RDBAL = 0x2800,
	E1000_RDBAH = 0x2804,
	E1000_RDLEN = 0x2808,
	E1000_RDH = 0x2810,
	E1000_RDT = 0x2818,
	E1000_TDBAL = 0x3800,
	E1000_TDBAH = 0x3804,
	E1000_TDLEN = 0x3808,
	E1000_TDH = 0x3810,
	E1000_TDT = 0x3818,
	E1000_RXCSUM = 0x5000,
	E1000_RFCTL = 0x5008, /* 82574 */
	E1000_MTA = 0x5200,   /* 128 words */
	E1000_RAL = 0x5400,
	E1000_RAH = 0x5404,
	E1000_CRCERRS = 0x4000,
	E1000_MPC = 0x4010,
	E1000_RLEC = 0x4040,
	E1000_REGS_SIZE = 0x20000,
	E1000_MTA_WORDS = 128,
};
#define E1000_CTRL_SLU         BIT(6) /* set link up */
#define E1000_CTRL_ASDE        BIT(5)
#define E1000_CTRL_RST         BIT(26)
#define E1000_CTRL_VME         BIT(30) /* VLAN tags out of and into frames */
#define E1000_CTRL_GIO_DISABLE BIT(2)  /* 82574 */
#define E1000_STATUS_FD        BIT(0)
#define E1000_STATUS_LU        BIT(1)
#define E1000_STATUS_SPEED     BITS(7, 6) /* 10, 100, 1000, 1000 */
#define E1000_STATUS_GIO       BIT(19)
#define E1000_EERD_START       BIT(0)
#define E1000_EERD_DONE        BIT(4)
#define E1000_EERD_DONE_82574  BIT(1)

/* Interrupt causes, 13.4.17 */
#define E1000_ICR_TXDW   BIT(0)
#define E1000_ICR_LSC    BIT(2)
#define E1000_ICR_RXDMT0 BIT(4)
#define E1000_ICR_RXO    BIT(6)
#define E1000_ICR_RXT0   BIT(7)
#define E1000_ICR_RXQ0   BIT(20) /* 82574 with MSI-X */
#define E1000_ICR_TXQ0   BIT(22)
#define E1000_ICR_OTHER  BIT(24)
#define E1000_IMS_WANTED \
	(E1000_ICR_TXDW | E1000_ICR_LSC | E1000_ICR_RXDMT0 | E1000_ICR_RXO | E1000_ICR_RXT0)

#define E1000_RCTL_EN         BIT(1)
#define E1000_RCTL_UPE        BIT(3)
#define E1000_RCTL_MPE        BIT(4)
#define E1000_RCTL_LPE        BIT(5) /* long packets */
#define E1000_RCTL_BAM        BIT(15)
#define E1000_RCTL_BSIZE_2048 0
#define E1000_RCTL_SECRC      BIT(26)
#define E1000_TCTL_EN         BIT(1)
#define E1000_TCTL_PSP        BIT(3)
#define E1000_TCTL_CT         BITS(11, 4)
#define E1000_TCTL_COLD       BITS(21, 12)
enum { E1000_TCTL_CT_VALUE = 15, E1000_TCTL_COLD_FD = 64 };
enum { E1000_TIPG_VALUE = 10 | 8 << 10 | 6 << 20 }; /* 13.4.34 */
#define E1000_RXCSUM_IP  BIT(8)
#define E1000_RXCSUM_TCP BIT(9)
#define E1000_RAH_VALID  BIT(31)

struct e1000_rx_desc { /* 3.2.3 */
	uint64_t addr;
	uint16_t length, checksum;
	uint8_t status, errors;
	uint16_t special; /* VLAN tag */
};
ASSERT_SIZE(struct e1000_rx_desc, 16);
#define E1000_RXD_DD       BIT(0)
#define E1000_RXD_EOP      BIT(1)
#define E1000_RXD_IXSM     BIT(2)
#define E1000_RXD_VP       BIT(3)
#define E1000_RXD_TCPCS    BIT(5)
#define E1000_RXD_ERR_CE   BIT(0)
#define E1000_RXD_ERR_TCPE BIT(5)
#define E1000_RXD_ERR_IPE  BIT(6)
#define E1000_RXD_ERR_FRAME \
	(BIT(0) | BIT(1) | BIT(2) | BIT(4) | BIT(7)) /* CRC, symbol, sequence, carrier, data */

/* Data and context descriptors, 3.3.6 and 3.3.7: command and type in one dword */
struct e1000_tx_desc {
	uint64_t addr;
	uint32_t command; /* with the length of the piece in bits 19:0 */
	uint8_t status, options;
	uint16_t special;
};
ASSERT_SIZE(struct e1000_tx_desc, 16);
#define E1000_TXD_LENGTH BITS(19, 0)
#define E1000_TXD_DATA   BIT(20) /* type: 0 context, 1 data */
#define E1000_TXD_EOP    BIT(24)
#define E1000_TXD_IFCS   BIT(25)
#define E1000_TXD_TSE    BIT(26)
#define E1000_TXD_RS     BIT(27)
#define E1000_TXD_DEXT   BIT(29)
#define E1000_TXD_VLE    BIT(30)
#define E1000_TXD_DD     BIT(0)
#define E1000_TXD_TXSM   BIT(1) /* options */
#define E1000_TXD_IXSM   BIT(0)

struct e1000_tx_context { /* 3.3.6 */
	uint8_t ipcss, ipcso;
	uint16_t ipcse;
	uint8_t tucss, tucso;
	uint16_t tucse;
	uint32_t command; /* with the payload length in bits 19:0 */
	uint8_t status, hdr_len;
	uint16_t mss;
};
ASSERT_SIZE(struct e1000_tx_context, 16);
#define E1000_TXC_TCP BIT(24)
#define E1000_TXC_IP  BIT(25)
#endif
