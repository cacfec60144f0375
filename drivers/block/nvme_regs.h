// SPDX-License-Identifier: Apache-2.0
/* NVM Express registers, commands and identify data. Spec: NVMe 1.4; bare section numbers. */
#ifndef NVME_REGS_H
#define NVME_REGS_H
#include "vmk/types.h"

/* Controller registers, 3.1 */
enum {
	NVME_CAP = 0x00,
	NVME_VS = 0x08,
	NVME_INTMS = 0x0c,
	NVME_INTMC = 0x10,
	NVME_CC = 0x14,
	NVME_CSTS = 0x1c,
	NVME_AQA = 0x24,
	NVME_ASQ = 0x28,
	NVME_ACQ = 0x30,
	NVME_DOORBELLS = 0x1000
};
#define NVME_CAP_MQES    BITS(15, 0)  /* entries minus one */
#define NVME_CAP_TO      BITS(31, 24) /* 500 ms */
#define NVME_CAP_DSTRD   BITS(35, 32)
#define NVME_CAP_CSS_NVM BIT(37)
#define NVME_CAP_MPSMIN  BITS(51, 48) /* 2^(12 + n) */
#define NVME_CC_EN       BIT(0)
#define NVME_CC_SHN      BITS(15, 14)
#define NVME_CC_IOSQES   BITS(19, 16)
#define NVME_CC_IOCQES   BITS(23, 20)
enum { NVME_SHN_NORMAL = 1 };
#define NVME_CSTS_RDY  BIT(0)
#define NVME_CSTS_CFS  BIT(1)
#define NVME_CSTS_SHST BITS(3, 2)
enum { NVME_SHST_COMPLETE = 2 };
#define NVME_AQA_ASQS BITS(11, 0)
#define NVME_AQA_ACQS BITS(27, 16)

/* Submission queue entry, 4.2 */
struct nvme_sqe {
	uint8_t opcode, flags;
	uint16_t cid;
	uint32_t nsid;
	uint64_t reserved, mptr, prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
ASSERT_SIZE(struct nvme_sqe, 64);
ASSERT_OFFSET(struct nvme_sqe, prp1, 24);
ASSERT_OFFSET(struct nvme_sqe, cdw10, 40);
enum { NVME_SQE_SHIFT = 6, NVME_CQE_SHIFT = 4 };

/* Completion queue entry, 4.6 */
struct nvme_cqe {
	uint32_t result, reserved;
	uint16_t sq_head, sq_id, cid, status;
};
ASSERT_SIZE(struct nvme_cqe, 16);
ASSERT_OFFSET(struct nvme_cqe, status, 14);
#define NVME_STATUS_PHASE BIT(0)
#define NVME_STATUS_CODE  BITS(11, 1) /* type and code together, as the enumerators below */
#define NVME_STATUS_DNR   BIT(15)

/* Status, 4.6.1: type << 8 | code */
enum nvme_status {
	NVME_SC_SUCCESS = 0x000,
	NVME_SC_INVALID_OPCODE = 0x001,
	NVME_SC_INVALID_FIELD = 0x002,
	NVME_SC_INTERNAL = 0x006,
	NVME_SC_ABORT_REQUESTED = 0x007,
	NVME_SC_SQ_DELETED = 0x008,
	NVME_SC_INVALID_NS = 0x00b,
	NVME_SC_WRITE_PROTECTED = 0x020,
	NVME_SC_LBA_RANGE = 0x080,
	NVME_SC_CAPACITY = 0x081,
	NVME_SC_NS_NOT_READY = 0x082,
	NVME_SC_READ_ONLY = 0x182,
};

enum nvme_admin_opcode { /* 5 */
	                 NVME_ADMIN_CREATE_SQ = 0x01,
	                 NVME_ADMIN_CREATE_CQ = 0x05,
	                 NVME_ADMIN_IDENTIFY = 0x06,
	                 NVME_ADMIN_ABORT = 0x08,
	                 NVME_ADMIN_SET_FEATURES = 0x09,
};
#define NVME_QUEUE_CONTIGUOUS BIT(0) /* 5.3, 5.4: cdw11 */
#define NVME_CQ_INTERRUPTS    BIT(1)
#define NVME_CQ_VECTOR        BITS(31, 16)
#define NVME_SQ_CQID          BITS(31, 16)
enum { NVME_FEATURE_QUEUES = 0x07 };
enum {
	NVME_CNS_NAMESPACE = 0,
	NVME_CNS_CONTROLLER = 1,
	NVME_CNS_ACTIVE = 2,
	NVME_IDENTIFY_SIZE = 4096
};

enum nvme_opcode { /* 6 */
	           NVME_FLUSH = 0x00,
	           NVME_WRITE = 0x01,
	           NVME_READ = 0x02,
	           NVME_WRITE_ZEROES = 0x08,
	           NVME_DSM = 0x09,
};
enum { NVME_BLOCKS_MAX = 0x10000 }; /* of one command, 6.15: cdw12 15:0, minus one */
#define NVME_RW_FUA      BIT(30)    /* cdw12 */
#define NVME_DSM_DISCARD BIT(2)     /* cdw11 */
struct nvme_dsm_range {             /* 6.7.1.1 */
	uint32_t attributes, blocks;
	uint64_t lba;
};
ASSERT_SIZE(struct nvme_dsm_range, 16);

/* Identify controller, figure 247: what the driver reads */
struct nvme_id_ctrl {
	uint16_t vid, ssvid;
	char sn[20], mn[40], fr[8];
	uint8_t rab, ieee[3], cmic, mdts;
	uint16_t cntlid;
	uint32_t ver;
	uint8_t skip1[512 - 84];
	uint8_t sqes, cqes;
	uint16_t maxcmd;
	uint32_t nn;
	uint16_t oncs, fuses;
	uint8_t fna, vwc;
	uint8_t skip2[4096 - 526];
};
ASSERT_SIZE(struct nvme_id_ctrl, NVME_IDENTIFY_SIZE);
ASSERT_OFFSET(struct nvme_id_ctrl, mdts, 77);
ASSERT_OFFSET(struct nvme_id_ctrl, nn, 516);
ASSERT_OFFSET(struct nvme_id_ctrl, vwc, 525);
#define NVME_ONCS_DSM    BIT(2)
#define NVME_ONCS_ZEROES BIT(3)
#define NVME_VWC_PRESENT BIT(0)

struct nvme_lbaf {
	uint16_t ms;   /* bytes of metadata */
	uint8_t lbads; /* 2^n bytes */
	uint8_t rp;
};
/* Identify namespace, figure 245 */
struct nvme_id_ns {
	uint64_t nsze, ncap, nuse;
	uint8_t nsfeat, nlbaf, flbas, mc, dpc, dps;
	uint8_t skip1[99 - 30];
	uint8_t nsattr;
	uint8_t skip2[128 - 100];
	struct nvme_lbaf lbaf[16];
	uint8_t skip3[4096 - 192];
};
ASSERT_SIZE(struct nvme_id_ns, NVME_IDENTIFY_SIZE);
ASSERT_OFFSET(struct nvme_id_ns, flbas, 26);
ASSERT_OFFSET(struct nvme_id_ns, lbaf, 128);
#define NVME_FLBAS_FORMAT     BITS(3, 0)
#define NVME_NSATTR_READ_ONLY BIT(0)
#endif
