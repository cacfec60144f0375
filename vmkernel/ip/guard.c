// SPDX-License-Identifier: Apache-2.0
/*
 * The guarded functions of guard.h. A row names the function, what it returns when lwIP asserted,
 * and the types of its parameters; from these the macros make the carrier of the arguments, the
 * function that ip_guarded calls with it, and the guarded function itself. The result lies in the
 * carrier, which the long jump out of lwIP leaves as it is.
 */
#include "guard.h"

#include "ip.h"
#include "lwip/dhcp.h"

#define GUARDED1(R, fn, failed, A)                     \
	struct fn##_call {                             \
		A a;                                   \
		R result;                              \
	};                                             \
	static void fn##_run(void *arg)                \
	{                                              \
		struct fn##_call *call = arg;          \
                                                       \
		call->result = fn(call->a);            \
	}                                              \
	R ip_##fn(A a)                                 \
	{                                              \
		struct fn##_call call = { a, failed }; \
                                                       \
		(void)ip_guarded(fn##_run, &call);     \
		return call.result;                    \
	}

#define GUARDED2(R, fn, failed, A, B)                     \
	struct fn##_call {                                \
		A a;                                      \
		B b;                                      \
		R result;                                 \
	};                                                \
	static void fn##_run(void *arg)                   \
	{                                                 \
		struct fn##_call *call = arg;             \
                                                          \
		call->result = fn(call->a, call->b);      \
	}                                                 \
	R ip_##fn(A a, B b)                               \
	{                                                 \
		struct fn##_call call = { a, b, failed }; \
                                                          \
		(void)ip_guarded(fn##_run, &call);        \
		return call.result;                       \
	}

#define GUARDED3(R, fn, failed, A, B, C)                      \
	struct fn##_call {                                    \
		A a;                                          \
		B b;                                          \
		C c;                                          \
		R result;                                     \
	};                                                    \
	static void fn##_run(void *arg)                       \
	{                                                     \
		struct fn##_call *call = arg;                 \
                                                              \
		call->result = fn(call->a, call->b, call->c); \
	}                                                     \
	R ip_##fn(A a, B b, C c)                              \
	{                                                     \
		struct fn##_call call = { a, b, c, failed };  \
                                                              \
		(void)ip_guarded(fn##_run, &call);            \
		return call.result;                           \
	}

#define GUARDED4(R, fn, failed, A, B, C, D)                            \
	struct fn##_call {                                             \
		A a;                                                   \
		B b;                                                   \
		C c;                                                   \
		D d;                                                   \
		R result;                                              \
	};                                                             \
	static void fn##_run(void *arg)                                \
	{                                                              \
		struct fn##_call *call = arg;                          \
                                                                       \
		call->result = fn(call->a, call->b, call->c, call->d); \
	}                                                              \
	R ip_##fn(A a, B b, C c, D d)                                  \
	{                                                              \
		struct fn##_call call = { a, b, c, d, failed };        \
                                                                       \
		(void)ip_guarded(fn##_run, &call);                     \
		return call.result;                                    \
	}

#define GUARDED_VOID1(fn, A)                       \
	struct fn##_call {                         \
		A a;                               \
	};                                         \
	static void fn##_run(void *arg)            \
	{                                          \
		struct fn##_call *call = arg;      \
                                                   \
		fn(call->a);                       \
	}                                          \
	void ip_##fn(A a)                          \
	{                                          \
		struct fn##_call call = { a };     \
                                                   \
		(void)ip_guarded(fn##_run, &call); \
	}

#define GUARDED_VOID2(fn, A, B)                    \
	struct fn##_call {                         \
		A a;                               \
		B b;                               \
	};                                         \
	static void fn##_run(void *arg)            \
	{                                          \
		struct fn##_call *call = arg;      \
                                                   \
		fn(call->a, call->b);              \
	}                                          \
	void ip_##fn(A a, B b)                     \
	{                                          \
		struct fn##_call call = { a, b };  \
                                                   \
		(void)ip_guarded(fn##_run, &call); \
	}

#define GUARDED_VOID3(fn, A, B, C)                   \
	struct fn##_call {                           \
		A a;                                 \
		B b;                                 \
		C c;                                 \
	};                                           \
	static void fn##_run(void *arg)              \
	{                                            \
		struct fn##_call *call = arg;        \
                                                     \
		fn(call->a, call->b, call->c);       \
	}                                            \
	void ip_##fn(A a, B b, C c)                  \
	{                                            \
		struct fn##_call call = { a, b, c }; \
                                                     \
		(void)ip_guarded(fn##_run, &call);   \
	}

#define GUARDED_VOID4(fn, A, B, C, D)                   \
	struct fn##_call {                              \
		A a;                                    \
		B b;                                    \
		C c;                                    \
		D d;                                    \
	};                                              \
	static void fn##_run(void *arg)                 \
	{                                               \
		struct fn##_call *call = arg;           \
                                                        \
		fn(call->a, call->b, call->c, call->d); \
	}                                               \
	void ip_##fn(A a, B b, C c, D d)                \
	{                                               \
		struct fn##_call call = { a, b, c, d }; \
                                                        \
		(void)ip_guarded(fn##_run, &call);      \
	}

GUARDED1(struct tcp_pcb *, tcp_new_ip_type, NULL, u8_t)
GUARDED3(err_t, tcp_bind, ERR_ABRT, struct tcp_pcb *, const ip_addr_t *, u16_t)
GUARDED3(struct tcp_pcb *, tcp_listen_with_backlog_and_err, NULL, struct tcp_pcb *, u8_t, err_t *)
GUARDED4(err_t, tcp_connect, ERR_ABRT, struct tcp_pcb *, const ip_addr_t *, u16_t, tcp_connected_fn)
GUARDED4(err_t, tcp_write, ERR_ABRT, struct tcp_pcb *, const void *, u16_t, u8_t)
GUARDED1(err_t, tcp_output, ERR_ABRT, struct tcp_pcb *)
GUARDED_VOID2(tcp_recved, struct tcp_pcb *, u16_t)
/* "Closed": what is left of the control block must not be touched again. */
GUARDED1(err_t, tcp_close, ERR_OK, struct tcp_pcb *)
GUARDED3(err_t, tcp_shutdown, ERR_OK, struct tcp_pcb *, int, int)
GUARDED_VOID1(tcp_abort, struct tcp_pcb *)
GUARDED_VOID1(tcp_backlog_accepted, struct tcp_pcb *)
GUARDED1(struct udp_pcb *, udp_new_ip_type, NULL, u8_t)
GUARDED3(err_t, udp_bind, ERR_ABRT, struct udp_pcb *, const ip_addr_t *, u16_t)
GUARDED3(err_t, udp_connect, ERR_ABRT, struct udp_pcb *, const ip_addr_t *, u16_t)
GUARDED_VOID1(udp_disconnect, struct udp_pcb *)
GUARDED2(err_t, udp_send, ERR_ABRT, struct udp_pcb *, struct pbuf *)
GUARDED4(err_t, udp_sendto, ERR_ABRT, struct udp_pcb *, struct pbuf *, const ip_addr_t *, u16_t)
GUARDED_VOID1(udp_remove, struct udp_pcb *)
GUARDED2(struct raw_pcb *, raw_new_ip_type, NULL, u8_t, u8_t)
GUARDED2(err_t, raw_bind, ERR_ABRT, struct raw_pcb *, const ip_addr_t *)
GUARDED2(err_t, raw_connect, ERR_ABRT, struct raw_pcb *, const ip_addr_t *)
GUARDED_VOID1(raw_disconnect, struct raw_pcb *)
GUARDED2(err_t, raw_send, ERR_ABRT, struct raw_pcb *, struct pbuf *)
GUARDED3(err_t, raw_sendto, ERR_ABRT, struct raw_pcb *, struct pbuf *, const ip_addr_t *)
GUARDED_VOID1(raw_remove, struct raw_pcb *)
GUARDED2(err_t, igmp_joingroup, ERR_ABRT, const ip4_addr_t *, const ip4_addr_t *)
GUARDED2(err_t, igmp_leavegroup, ERR_ABRT, const ip4_addr_t *, const ip4_addr_t *)
GUARDED2(err_t, igmp_joingroup_netif, ERR_ABRT, struct netif *, const ip4_addr_t *)
GUARDED2(err_t, igmp_leavegroup_netif, ERR_ABRT, struct netif *, const ip4_addr_t *)
GUARDED2(err_t, mld6_joingroup_netif, ERR_ABRT, struct netif *, const ip6_addr_t *)
GUARDED2(err_t, mld6_leavegroup_netif, ERR_ABRT, struct netif *, const ip6_addr_t *)
GUARDED_VOID4(netif_set_addr, struct netif *, const ip4_addr_t *, const ip4_addr_t *,
              const ip4_addr_t *)
GUARDED_VOID1(netif_set_up, struct netif *)
GUARDED_VOID1(netif_set_down, struct netif *)
GUARDED_VOID1(netif_remove, struct netif *)
GUARDED3(err_t, netif_add_ip6_address, ERR_ABRT, struct netif *, const ip6_addr_t *, s8_t *)
GUARDED_VOID3(netif_ip6_addr_set_state, struct netif *, s8_t, u8_t)
GUARDED1(err_t, dhcp_start, ERR_ABRT, struct netif *)
GUARDED_VOID1(dhcp_release_and_stop, struct netif *)
GUARDED_VOID1(dhcp_cleanup, struct netif *)
