// SPDX-License-Identifier: Apache-2.0
/* The virtio network device: binding, rings, control queue, link. Spec: VIRTIO 1.2 5.1. */
#include "virtio_net.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/world.h"

#define LOG_MODULE "virtio_net"

STAT(resets, "virtio_net.resets", "device resets");

#define VNET_WANTED                                                                            \
	(VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC |   \
	 VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_HOST_TSO4 |          \
	 VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_STATUS |               \
	 VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_MQ | VIRTIO_F_ANY_LAYOUT | \
	 VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)

/* Large receive needs buffers that can be merged, and somebody who understands what came. */
static int negotiate(struct vnet *n)
{
	int err = virtio_negotiate(&n->virtio, VNET_WANTED);
	uint64_t has = n->virtio.features, tso = VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6;

	if (!err && has & tso &&
	    (!(has & VIRTIO_NET_F_MRG_RXBUF) || !(has & VIRTIO_NET_F_GUEST_CSUM)))
		err = virtio_negotiate(&n->virtio, VNET_WANTED & ~tso);
	return err;
}

/* Sends one command and waits; -EIO when the device refuses it. In a world, ctrl_mutex held. */
static int control(struct vnet *n, uint8_t class, uint8_t command, uint32_t len)
{
	struct vnet_ctrl *c = n->command;
	struct virtq_buf buf[] = { { n->command_iova + offsetof(struct vnet_ctrl, class), 2 },
		                   { n->command_iova + offsetof(struct vnet_ctrl, data), len },
		                   { n->command_iova + offsetof(struct vnet_ctrl, ack), 1 } };
	ns_t deadline = time_now() + VNET_CTRL_TIMEOUT;
	uint32_t written;

	if (!n->ctrl.memory)
		return -EOPNOTSUPP;
	c->class = class;
	c->command = command;
	/* No answer of the specification, so that one which was not written counts as a refusal. */
	c->ack = 0xff;
	int err = virtq_add(&n->ctrl, buf, 2, 1, c);

	if (err)
		return err;
	virtq_kick(&n->ctrl);
	/* The queue has no interrupt: commands are rare and answered at once. */
	while (!virtq_get(&n->ctrl, &written)) {
		/*
		 * The chain stays with the device; an answer that comes later would be taken for
		 * the next command's.
		 */
		if (n->ctrl.broken || time_now() >= deadline)
			return -ETIMEDOUT;
		world_sleep_until(time_now() + NS_PER_MS / 10);
	}
	return READ_ONCE(c->ack) == VIRTIO_NET_OK ? 0 : -EIO;
}

static bool filters(const struct vnet *n)
{
	return n->ctrl.memory && n->virtio.features & VIRTIO_NET_F_CTRL_RX;
}

static int set_flag(struct vnet *n, uint8_t command, bool on)
{
	n->command->data[0] = on;
	return control(n, VIRTIO_NET_CTRL_RX, command, 1);
}

static int apply_mode(struct vnet *n)
{
	if (!filters(n))
		return 0; /* such a device passes everything, 5.1.6.5.1 */
	int err = set_flag(n, VIRTIO_NET_CTRL_RX_PROMISC, n->promisc);

	return err ? err : set_flag(n, VIRTIO_NET_CTRL_RX_ALLMULTI, n->allmulti);
}

static int vnet_set_mode(struct uplink *u, bool promisc, bool allmulti)
{
	struct vnet *n = u->drvdata;

	mutex_lock(&n->ctrl_mutex);
	n->promisc = promisc;
	n->allmulti = allmulti;
	int err = apply_mode(n);

	mutex_unlock(&n->ctrl_mutex);
	return err;
}

/* 5.1.6.5.2: a table of unicast addresses (none) and one of multicast. */
static int vnet_set_multicast(struct uplink *u, const uint8_t (*mac)[ETH_ALEN], unsigned count)
{
	struct vnet *n = u->drvdata;

	if (!filters(n))
		return 0;
	if (count > VNET_MACS_MAX)
		return vnet_set_mode(u, false, true);
	mutex_lock(&n->ctrl_mutex);
	n->allmulti |= count; /* after a reset: the table is not kept */
	memset(n->command->data, 0, 8);
	memcpy(n->command->data + 4, &count, 4);
	memcpy(n->command->data + 8, mac, (size_t)count * ETH_ALEN);
	int err = control(n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET,
	                  8 + count * ETH_ALEN);

	mutex_unlock(&n->ctrl_mutex);
	return err;
}

static int vnet_set_mtu(struct uplink *u, unsigned mtu)
{
	if (mtu > u->mtu_max)
		return -EINVAL;
	u->mtu = (uint16_t)mtu;
	return 0;
}

/*
 * The rings run from probe to remove; what arrives while it is down is dropped by uplink_receive.
 */
static int vnet_set_up(struct uplink *u, bool up)
{
	u->admin_up = up;
	return 0;
}

static const struct uplink_ops vnet_ops = { .xmit = vnet_xmit,
	                                    .set_mode = vnet_set_mode,
	                                    .set_multicast = vnet_set_multicast,
	                                    .set_mtu = vnet_set_mtu,
	                                    .set_up = vnet_set_up };

static void read_link(struct vnet *n)
{
	bool up = !(n->virtio.features & VIRTIO_NET_F_STATUS) ||
	          virtio_config(&n->virtio, VIRTIO_NET_CONFIG(status), 2) & VIRTIO_NET_S_LINK_UP;

	uplink_link(&n->up, up, 10000, true); /* nominal: the device does not say */
}

static int pair_create(struct vnet *n, unsigned i)
{
	struct virtio *v = &n->virtio;
	struct vnet_rx *rx = &n->rx[i];
	struct vnet_tx *tx = &n->tx[i];

	rx->vq.bottom = &rx->bottom;
	tx->vq.bottom = &tx->bottom;
	rx->vq.cpu = tx->vq.cpu = (int)i;
	int err = virtq_create(v, &rx->vq, 2 * i, VNET_RING, false);

	if (!err)
		err = virtq_create(v, &tx->vq, 2 * i + 1, VNET_RING, true);
	if (err)
		return err;
	tx->free = 0;
	tx->inflight = 0;
	for (unsigned h = 0; h < VNET_RING; h++)
		tx->next[h] = (uint16_t)(h + 1);
	return 0;
}

static void pair_live(struct vnet_rx *rx, struct vnet_tx *tx, bool live)
{
	uint64_t flags = spin_lock_irq(&rx->lock);

	rx->live = live;
	/* A frame that came before this asked for its interrupt in vain. */
	if (live && virtq_irq_after(&rx->vq, 1))
		bottom_raise(&rx->bottom);
	/* One lock at a time; senders and receivers look at their own `live`. */
	spin_unlock_irq(&rx->lock, flags);
	flags = spin_lock_irq(&tx->lock);
	tx->live = live;
	spin_unlock_irq(&tx->lock, flags);
}

/*
 * From negotiated features to running rings; also after a reset. In probe, or with ctrl_mutex held.
 */
static int device_start(struct vnet *n)
{
	struct virtio *v = &n->virtio;
	unsigned device_pairs = v->features & VIRTIO_NET_F_MQ
	                                ? (unsigned)virtio_config(
						  v, VIRTIO_NET_CONFIG(max_virtqueue_pairs), 2)
	                                : 1;

	v->config_bottom = &n->config_bottom;
	int err = virtio_irqs(v, 2 * n->pairs);

	for (unsigned i = 0; !err && i < n->pairs; i++)
		err = pair_create(n, i);
	/* The control queue stands behind all pairs that the device has, 5.1.2. */
	if (!err && v->features & VIRTIO_NET_F_CTRL_VQ && 2 * device_pairs < VIRTIO_QUEUES_MAX)
		err = virtq_create(v, &n->ctrl, 2 * device_pairs, 16, false);
	if (!err)
		err = virtio_irqs_attach(v);
	for (unsigned i = 0; !err && i < n->pairs; i++)
		err = vnet_rx_fill(&n->rx[i]);
	if (err)
		return err;
	pci_set_master(v->pci, true);
	virtio_ready(v);
	for (unsigned i = 0; i < n->pairs; i++) {
		pair_live(&n->rx[i], &n->tx[i], true);
		n->rx[i].vq.kicked = (uint16_t)(n->rx[i].vq.avail_idx -
		                                1); /* told before it listened */
		virtq_kick(&n->rx[i].vq);
	}
	if (n->pairs == 1)
		return 0;
	memcpy(n->command->data, &(uint16_t){ (uint16_t)n->pairs }, 2);
	return control(n, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2);
}

static void device_stop(struct vnet *n)
{
	for (unsigned i = 0; i < n->pairs; i++)
		pair_live(&n->rx[i], &n->tx[i], false);
	/* Only now do the pages in the rings belong to us again. */
	virtio_reset(&n->virtio);
	pci_set_master(n->virtio.pci, false);
	for (unsigned i = 0; i < n->pairs; i++) {
		vnet_rx_drain(&n->rx[i]);
		vnet_tx_drain(&n->tx[i]);
	}
	virtio_close(&n->virtio);
	n->ctrl.memory = NULL;
}

static void config_bottom(struct bottom *b)
{
	work_queue(&container_of(b, struct vnet, config_bottom)->config_work);
}

/* Any context: the device is reset by its work. */
void vnet_stuck(struct vnet *n)
{
	WRITE_ONCE(n->stuck, true);
	work_queue(&n->config_work);
}

/* ctrl_mutex held. A device that is broken again and again is given up. */
static int restart(struct vnet *n)
{
	uint64_t before = n->virtio.features;

	n->resets = time_now() - n->last_reset < VNET_RESET_QUIET ? n->resets + 1 : 1;
	n->last_reset = time_now();
	stat_inc(resets);
	log_warn("%s: resetting the device", n->up.name);
	device_stop(n);
	int err = n->resets > VNET_RESETS_MAX ? -EIO : negotiate(n);

	/* Those above were told of the first set: offloads that vanish would break packets. */
	if (!err && n->virtio.features != before)
		err = -EPROTO;
	if (!err)
		err = device_start(n);
	if (!err && (n->promisc || n->allmulti))
		err = apply_mode(n);
	return err;
}

/* Link changes, a device that asks for a reset (2.1.1), and one that needs it. */
static void config_work(struct work *w)
{
	struct vnet *n = container_of(w, struct vnet, config_work);
	uint8_t status = virtio_status(&n->virtio);

	if (!n->registered || n->removing || status == 0xff)
		return;
	if (status & VIRTIO_DEVICE_NEEDS_RESET || READ_ONCE(n->stuck)) {
		mutex_lock(&n->ctrl_mutex);
		int err = n->dead ? -ENODEV : restart(n);

		n->stuck = false;
		n->dead = err;
		mutex_unlock(&n->ctrl_mutex);
		if (err) {
			log_err("%s: the device does not come back: error %d", n->up.name, -err);
			uplink_link(&n->up, false, 0, false);
			return;
		}
	}
	if (!n->dead)
		read_link(n);
}

static int pairs_alloc(struct vnet *n)
{
	struct virtio *v = &n->virtio;
	struct device *dev = &v->pci->dev;
	bool many = v->features & VIRTIO_NET_F_MQ && v->features & VIRTIO_NET_F_CTRL_VQ;
	unsigned most = many ? (unsigned)virtio_config(v, VIRTIO_NET_CONFIG(max_virtqueue_pairs), 2)
	                     : 1;

	if (2 * most >= VIRTIO_QUEUES_MAX) /* the control queue would be out of reach */
		most = 1;
	n->pairs = MAX(1u, MIN(MIN(most, cpu_count()), (unsigned)VNET_PAIRS_MAX));
	/* A pair for each CPU, if the device has as many. */
	n->rx = kcalloc(n->pairs, sizeof(*n->rx));
	n->tx = kcalloc(n->pairs, sizeof(*n->tx));
	n->command = dma_alloc(dev, sizeof(*n->command), &n->command_iova);
	if (!n->rx || !n->tx || !n->command) {
		n->pairs = 0; /* nothing to stop */
		return -ENOMEM;
	}
	int err = 0;

	for (unsigned i = 0; i < n->pairs; i++) {
		n->rx[i].dev = n->tx[i].dev = n;
		spin_init(&n->rx[i].lock, "virtio_net receive", RANK_DEVICE);
		spin_init(&n->tx[i].lock, "virtio_net send", RANK_DEVICE);
		bottom_init(&n->rx[i].bottom, vnet_rx_bottom);
		bottom_init(&n->tx[i].bottom, vnet_tx_bottom);
		n->tx[i].header = dma_alloc(dev, VNET_RING * sizeof(struct virtio_net_hdr),
		                            &n->tx[i].header_iova);
		if (!n->tx[i].header)
			err = -ENOMEM;
	}
	return err;
}

static void release(struct vnet *n)
{
	struct device *dev = &n->virtio.pci->dev;

	for (unsigned i = 0; n->tx && i < n->pairs; i++)
		dma_free(dev, n->tx[i].header, VNET_RING * sizeof(struct virtio_net_hdr));
	dma_free(dev, n->command, sizeof(*n->command));
	kfree(n->rx);
	kfree(n->tx);
	dev->drvdata = NULL;
	kfree(n);
}

/* What the uplink can do, from the features that were agreed. */
static void describe(struct vnet *n)
{
	static const struct {
		uint64_t feature;
		uint32_t cap;
	} map[] = { { VIRTIO_NET_F_CSUM, UPLINK_TX_CSUM },
		    { VIRTIO_NET_F_GUEST_CSUM, UPLINK_RX_CSUM },
		    { VIRTIO_NET_F_HOST_TSO4, UPLINK_TSO4 },
		    { VIRTIO_NET_F_HOST_TSO6, UPLINK_TSO6 } };
	struct virtio *v = &n->virtio;
	struct uplink *u = &n->up;
	unsigned most = v->features & VIRTIO_NET_F_MRG_RXBUF
	                        /*
	 * A frame over several buffers needs mergeable ones; else it must fit the page behind its
	 * header.
	 */
	                        ? 9000
	                        : PAGE_SIZE - (unsigned)sizeof(struct virtio_net_hdr) - 18;

	if (v->features & VIRTIO_NET_F_MTU)
		most = MIN(most, (unsigned)virtio_config(v, VIRTIO_NET_CONFIG(mtu), 2));
	for (unsigned i = 0; i < ARRAY_SIZE(map); i++)
		u->caps |= v->features & map[i].feature ? map[i].cap : 0;
	for (unsigned i = 0; i < ETH_ALEN; i++)
		u->mac[i] = v->features & VIRTIO_NET_F_MAC
		                    ? (uint8_t)virtio_config(v, VIRTIO_NET_CONFIG(mac) + i, 1)
		                    : (uint8_t[]){
					      2, 0, 0, v->pci->bus, v->pci->slot, v->pci->func
				      }[i];
	device_set_vmk_name(&v->pci->dev, "vmnic");
	str_copy(u->name, v->pci->dev.vmk_name, sizeof(u->name));
	u->mtu_max = (uint16_t)most;
	u->mtu = (uint16_t)MIN(most, 1500u);
	u->tx_queues = u->rx_queues = (uint16_t)n->pairs;
	u->driver = "virtio_net";
	u->device = &v->pci->dev;
	u->ops = &vnet_ops;
	u->drvdata = n;
}

static int start(struct vnet *n)
{
	int err = virtio_open(&n->virtio, n->virtio.pci);

	if (!err)
		err = negotiate(n);
	if (!err)
		err = pairs_alloc(n);
	if (err)
		return err;
	bool merged = n->virtio.features & (VIRTIO_NET_F_MRG_RXBUF | VIRTIO_F_VERSION_1);

	n->header_len = merged ? sizeof(struct virtio_net_hdr) : VIRTIO_NET_HDR_LEGACY_SIZE;
	n->split_header = !merged && !(n->virtio.features & VIRTIO_F_ANY_LAYOUT);
	return device_start(n);
}

/*
 * On an error the device is stopped before its rings are freed. A control queue's memory tells
 * whether there is one.
 */
static int vnet_probe(struct device *dev)
{
	struct vnet *n = kzalloc(sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->virtio.pci = to_pci(dev);
	dev->drvdata = n;
	mutex_init(&n->ctrl_mutex, "virtio_net control");
	bottom_init(&n->config_bottom, config_bottom);
	work_init(&n->config_work, config_work);
	int err = start(n);

	if (!err) {
		describe(n);
		err = uplink_register(&n->up);
	}
	if (!err) {
		n->registered = true;
		read_link(n);
		return 0;
	}
	if (n->virtio.common || n->virtio.port)
		device_stop(n);
	release(n);
	return err;
}

static void vnet_remove(struct device *dev)
{
	struct vnet *n = dev->drvdata;

	WRITE_ONCE(n->removing, true);
	uplink_unregister(&n->up);
	device_stop(n);
	work_flush(&n->config_work);
	release(n);
}

static const struct hcl_match vnet_match[] = {
	PCI_DEV(VIRTIO_PCI_VENDOR, VIRTIO_PCI_DEVICE_BASE + VIRTIO_ID_NET, EMULATED,
	        "Virtio 1.0 network device"),
	PCI_DEV(VIRTIO_PCI_VENDOR, VIRTIO_PCI_TRANSITIONAL_NET, EMULATED,
	        "Virtio network device (transitional)"),
};
DRIVER(virtio_net, .desc = "Virtio network devices", .spec = "VIRTIO 1.1", .bus = HCL_BUS_PCI,
       .class = HCL_CLASS_NET, MATCH(vnet_match), .probe = vnet_probe, .remove = vnet_remove);
