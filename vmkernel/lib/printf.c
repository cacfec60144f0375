// SPDX-License-Identifier: Apache-2.0
/*
 * Formatted printing, ISO C11 7.21.6.1 without floating point, %n and wide characters. Pure; any
 * context.
 */
#include "vmk/string.h"

struct sink {
	char *buf;
	size_t size, len; /* len may pass size: what did not fit is only counted */
};

struct spec {
	bool left, zero, plus, space, alt;
	int width, precision; /* -1: none */
	char length;          /* 'H' hh, 'h', 'l' (also ll z t j), or 0: int */
};

static void put(struct sink *s, char c)
{
	if (s->len < s->size)
		s->buf[s->len] = c;
	s->len++;
}

static void pad(struct sink *s, char c, int n)
{
	for (; n > 0; n--)
		put(s, c);
}

static void put_text(struct sink *s, const struct spec *f, const char *text, size_t len)
{
	int fill = f->width > (int)len ? f->width - (int)len : 0;

	if (!f->left)
		pad(s, ' ', fill);
	for (size_t i = 0; i < len; i++)
		put(s, text[i]);
	if (f->left)
		pad(s, ' ', fill);
}

static void put_number(struct sink *s, const struct spec *f, uint64_t v, unsigned base, bool upper,
                       char sign)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[24], prefix[3];
	int n = 0, prefix_len = 0, zeros, fill;

	if (sign != 0)
		prefix[prefix_len++] = sign;
	if (f->alt && base == 16 && v != 0) {
		prefix[prefix_len++] = '0';
		prefix[prefix_len++] = upper ? 'X' : 'x';
	}
	/* Digits from the lowest on. Zero with precision 0 prints none (7.21.6.1 p8). */
	for (uint64_t rest = v; rest != 0; rest /= base)
		text[n++] = digits[rest % base];
	if (n == 0 && f->precision != 0)
		text[n++] = '0';
	zeros = f->precision > n ? f->precision - n : 0;
	/* "#o" raises the precision until the first digit is a 0. */
	if (f->alt && base == 8 && zeros == 0 && (n == 0 || text[n - 1] != '0'))
		zeros = 1;
	fill = f->width - prefix_len - zeros - n;
	/* A precision or "-" overrides the flag "0"; zeros go between the sign and the digits. */
	if (f->zero && !f->left && f->precision < 0 && fill > 0) {
		zeros += fill;
		fill = 0;
	}
	if (!f->left)
		pad(s, ' ', fill);
	for (int i = 0; i < prefix_len; i++)
		put(s, prefix[i]);
	pad(s, '0', zeros);
	while (n > 0)
		put(s, text[--n]);
	if (f->left)
		pad(s, ' ', fill);
}

static const char *parse_flags(const char *p, struct spec *f)
{
	for (;; p++) {
		switch (*p) {
		case '-': f->left = true; break;
		case '0': f->zero = true; break;
		case '+': f->plus = true; break;
		case ' ': f->space = true; break;
		case '#': f->alt = true; break;
		default: return p;
		}
	}
}

static const char *parse_number(const char *p, int *out)
{
	for (*out = 0; *p >= '0' && *p <= '9'; p++)
		if (*out < 100000)
			*out = *out * 10 + (*p - '0');
	return p;
}

static const char *parse_length(const char *p, struct spec *f)
{
	for (;; p++) {
		switch (*p) {
		case 'h': f->length = f->length == 'h' ? 'H' : 'h'; break;
		case 'l':
		case 'z':
		case 't':
		case 'j': f->length = 'l'; break;
		default: return p;
		}
	}
}

static void put_signed(struct sink *s, const struct spec *f, int64_t v)
{
	char sign = 0;

	if (f->length == 'h')
		v = (short)v;
	else if (f->length == 'H')
		v = (signed char)v;
	if (v < 0)
		sign = '-';
	else if (f->plus)
		sign = '+';
	else if (f->space)
		sign = ' ';
	put_number(s, f, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, false, sign);
}

static void put_unsigned(struct sink *s, const struct spec *f, uint64_t v, char conversion)
{
	unsigned base = conversion == 'o' ? 8 : conversion == 'u' ? 10 : 16;

	if (f->length == 'h')
		v = (unsigned short)v;
	else if (f->length == 'H')
		v = (unsigned char)v;
	put_number(s, f, v, base, conversion == 'X', 0);
}

/* va_list inside a structure: a pointer to it can be passed on whatever its type is. */
struct args {
	va_list ap;
};

static void convert(struct sink *s, struct spec *f, char conversion, struct args *a)
{
	const char *text;
	char c;

	switch (conversion) {
	case 'd':
	case 'i':
		put_signed(s, f, f->length == 'l' ? va_arg(a->ap, long) : va_arg(a->ap, int));
		break;
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		put_unsigned(s, f,
		             f->length == 'l' ? va_arg(a->ap, unsigned long)
		                              : va_arg(a->ap, unsigned),
		             conversion);
		break;
	case 'p':
		f->alt = true;
		put_number(s, f, (uintptr_t)va_arg(a->ap, void *), 16, false, 0);
		break;
	case 'c':
		c = (char)va_arg(a->ap, int);
		put_text(s, f, &c, 1);
		break;
	case 's':
		text = va_arg(a->ap, const char *);
		if (text == NULL)
			text = "(null)";
		put_text(s, f, text,
		         f->precision >= 0 ? strnlen(text, (size_t)f->precision) : strlen(text));
		break;
	default: put(s, conversion); /* %% and what is no conversion: itself */
	}
}

int vmk_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct sink s = { .buf = buf, .size = size };
	struct args a;

	va_copy(a.ap, ap);
	for (const char *p = fmt; *p != '\0'; p++) {
		struct spec f = { .precision = -1 };

		if (*p != '%') {
			put(&s, *p);
			continue;
		}
		p = parse_flags(p + 1, &f);
		if (*p == '*') {
			/* A negative width is the flag "-" and its absolute value (p5). */
			f.width = va_arg(a.ap, int);
			f.left |= f.width < 0;
			f.width = f.width < 0 ? -f.width : f.width;
			p++;
		} else {
			p = parse_number(p, &f.width);
		}
		if (*p == '.') {
			if (*++p == '*') {
				f.precision = va_arg(a.ap, int);
				p++;
			} else {
				p = parse_number(p, &f.precision);
			}
		}
		p = parse_length(p, &f);
		if (*p == '\0')
			break;
		convert(&s, &f, *p, &a);
	}
	va_end(a.ap);
	/* s.len counts what did not fit too: the result says how much room it would take. */
	if (size > 0)
		buf[MIN(s.len, size - 1)] = '\0';
	return (int)s.len;
}

int vmk_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vmk_vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
