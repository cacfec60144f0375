// SPDX-License-Identifier: Apache-2.0
/*
 * The PS/2 keyboard behind an 8042 controller (or what the firmware shows as one): US layout, scan
 * code set 1, turned into the bytes that a TERM=linux terminal sends. State belongs to the
 * interrupt handler.
 * Spec: IBM PS/2 technical reference (1987), keyboard and auxiliary device controller.
 */
#include "vmk/console.h"
#include "vmk/io.h"
#include "vmk/irq.h"
#include "vmk/log.h"
#include "vmk/platform.h"
#include "vmk/string.h"
#include "vmk/time.h"

#define LOG_MODULE "ps2"

enum { KBD_DATA = 0x60, KBD_COMMAND = 0x64, KBD_IRQ = 1, FLUSH_MAX = 64, IRQ_BYTES = 32 };
enum {
	READ_CONFIG = 0x20,
	WRITE_CONFIG = 0x60,
	DISABLE_MOUSE = 0xa7,
	DISABLE_KEYBOARD = 0xad,
	ENABLE_KEYBOARD = 0xae
};
#define STATUS_OUTPUT      BIT(0) /* a byte for us */
#define STATUS_INPUT       BIT(1) /* our last one is not taken yet */
#define STATUS_MOUSE       BIT(5)
#define CONFIG_IRQ         BIT(0)
#define CONFIG_MOUSE_IRQ   BIT(1)
#define CONFIG_NO_KEYBOARD BIT(4)
#define CONFIG_TRANSLATE   BIT(6)
#define POLL_TIMEOUT       (50 * NS_PER_MS)

enum { KEY_RELEASED = 0x80, KEY_EXTENDED = 0xe0 };
enum {
	KEY_CTRL = 0x1d,
	KEY_SHIFT_L = 0x2a,
	KEY_SHIFT_R = 0x36,
	KEY_ALT = 0x38,
	KEY_CAPS = 0x3a,
	KEY_F1 = 0x3b,
	KEY_F10 = 0x44,
	KEY_F11 = 0x57,
	KEY_F12 = 0x58
};

static const char plain[] =
	"\0\0331234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] =
	"\0\033!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

/* What is behind ESC for extended keys, by scan code. */
static const struct {
	uint8_t code;
	const char *text;
} sequences[] = {
	{ 0x48, "[A" },  { 0x50, "[B" },  { 0x4d, "[C" },  { 0x4b, "[D" },  { 0x47, "[1~" },
	{ 0x4f, "[4~" }, { 0x49, "[5~" }, { 0x51, "[6~" }, { 0x52, "[2~" }, { 0x53, "[3~" },
};
static const char *const function_keys[] = { "[[A",  "[[B",  "[[C",  "[[D",  "[[E",  "[17~",
	                                     "[18~", "[19~", "[20~", "[21~", "[23~", "[24~" };

static bool shift, ctrl, alt, caps, extended;

static void send(const char *text)
{
	console_input(CONSOLE_SCREEN, "\033", 1);
	console_input(CONSOLE_SCREEN, text, strlen(text));
}

static bool send_function(uint8_t code)
{
	if (code >= KEY_F1 && code <= KEY_F10)
		send(function_keys[code - KEY_F1]);
	else if (code == KEY_F11 || code == KEY_F12)
		send(function_keys[10 + code - KEY_F11]);
	else
		return false;
	return true;
}

static void send_extended(uint8_t code)
{
	for (unsigned i = 0; i < ARRAY_SIZE(sequences); i++)
		if (sequences[i].code == code)
			send(sequences[i].text);
	if (code == 0x1c)
		console_input(CONSOLE_SCREEN, "\r", 1); /* keypad Enter */
	if (code == 0x35)
		console_input(CONSOLE_SCREEN, "/", 1);
}

static void send_character(uint8_t code)
{
	char c = code < sizeof(plain) - 1 ? plain[code] : 0;

	if (c == 0)
		return;
	if (shift != (caps && c >= 'a' && c <= 'z'))
		c = shifted[code];
	if (ctrl && c >= '@')
		c &= 0x1f;
	else if (ctrl && c == ' ')
		c = 0;
	if (alt)
		console_input(CONSOLE_SCREEN, "\033", 1);
	console_input(CONSOLE_SCREEN, &c, 1);
}

static bool modifier(uint8_t code, bool pressed)
{
	switch (code) {
	case KEY_SHIFT_L:
	case KEY_SHIFT_R:
		/* An extended shift is part of another key's code. */
		if (!extended)
			shift = pressed;
		return true;
	case KEY_CTRL: ctrl = pressed; return true;
	case KEY_ALT: alt = pressed; return true;
	case KEY_CAPS: caps ^= pressed; return true;
	}
	return false;
}

static void handle_code(uint8_t code)
{
	bool pressed = !(code & KEY_RELEASED);

	if (code == KEY_EXTENDED) {
		extended = true;
		return;
	}
	code &= (uint8_t)~KEY_RELEASED;
	if (!modifier(code, pressed) && pressed) {
		if (extended)
			send_extended(code);
		else if (!send_function(code))
			send_character(code);
	}
	extended = false;
}

static enum irq_return ps2_irq(void *arg)
{
	enum irq_return r = IRQ_NONE;

	for (int i = 0; i < IRQ_BYTES; i++) {
		uint8_t status = in8(KBD_COMMAND), code;

		if (!(status & STATUS_OUTPUT))
			break;
		code = in8(KBD_DATA);
		if (!(status & STATUS_MOUSE))
			handle_code(code);
		r = IRQ_HANDLED;
	}
	return r;
}

static bool wait_status(uint8_t mask, bool set)
{
	ns_t end = time_now() + POLL_TIMEOUT;

	while (!(in8(KBD_COMMAND) & mask) == set)
		if (time_now() > end)
			return false;
	return true;
}

static bool command(uint8_t c)
{
	if (!wait_status(STATUS_INPUT, false))
		return false;
	out8(KBD_COMMAND, c);
	return true;
}

static void discard(void)
{
	for (int i = 0; i < FLUSH_MAX && (in8(KBD_COMMAND) & STATUS_OUTPUT); i++)
		in8(KBD_DATA);
}

/* Takes over the controller: keyboard on with interrupts and translation, mouse off. */
static bool set_up(void)
{
	uint8_t config;

	if (in8(KBD_COMMAND) == 0xff || !command(DISABLE_KEYBOARD) || !command(DISABLE_MOUSE))
		return false;
	discard();
	if (!command(READ_CONFIG) || !wait_status(STATUS_OUTPUT, true))
		return false;
	config = in8(KBD_DATA);
	config &= (uint8_t) ~(CONFIG_MOUSE_IRQ | CONFIG_NO_KEYBOARD);
	config |= CONFIG_IRQ | CONFIG_TRANSLATE;
	if (!command(WRITE_CONFIG) || !wait_status(STATUS_INPUT, false))
		return false;
	out8(KBD_DATA, config);
	return command(ENABLE_KEYBOARD);
}

void ps2_init(void)
{
	struct irq *irq;
	int err;

	if (!set_up()) {
		log_info("no keyboard controller");
		return;
	}
	err = irq_alloc_isa("ps2", KBD_IRQ, ps2_irq, NULL, &irq);
	if (err != 0)
		log_warn("no interrupt for the keyboard: error %d", -err);
	/*
	 * A byte that came before the line was open has made no interrupt, and keeps it up: no edge
	 * would follow.
	 */
	discard();
}
