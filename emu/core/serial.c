/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A 16550's registers at 0x3F8. The transmitter is always ready; bytes written are collected and handed over at a newline, when 256 have come
 * together, or when a run ends. What is received waits in a FIFO of 16 (one byte while FIFOs are off), where Python puts it (emu/platform/serial.py), byte by
 * byte at the line's rate: a byte that does not fit waits on the other side, as with flow control, so none is lost. Breaks and line errors do not occur.
 *
 * The interrupt line is high while anything enabled is pending. Its rising edges, and that a byte was taken or the receiver emptied, are passed on to Python.
 * Source: National Semiconductor PC16550D datasheet.
 */
#include "machine.h"
#include "state.h"
#include <stdlib.h>
#include <string.h>

enum { BASE = 0x3f8, BUFFER = 256, FIFO = 16, LCR_DLAB = 0x80, LSR_EMPTY = 0x60, LSR_DATA = 1, MSR_READY = 0xb0, MCR_LOOP = 0x10,
       IER_RDA = 1, IER_THRE = 2, IIR_NONE = 1, IIR_THRE = 2, IIR_RDA = 4, IIR_TIMEOUT = 12, FCR_ON = 1, FCR_EMPTY = 2 };

struct serial {
    uint8_t ier, lcr, mcr, scratch, fifo, divisor[2], buffer[BUFFER], received[FIFO];
    uint32_t n, nreceived; bool thre, timeout /* what was received lies there for four characters' time */;
};

int serial_new(struct machine *m)
{
    m->serial = calloc(1, sizeof *m->serial);
    return m->serial ? 0 : world_fail(m->world, "There is no memory for a serial port.");
}

void serial_free(struct machine *m)
{
    free(m->serial);
    m->serial = NULL;
}

bool serial_port(uint32_t port) { return port >= BASE && port < BASE + 8; }

static uint32_t room(const struct serial *s) { return s->fifo & FCR_ON ? FIFO : 1; }

/* What IIR says: the pending interrupt of highest priority. */
static uint32_t pending(const struct serial *s)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };
    uint32_t level = s->fifo & FCR_ON ? levels[s->fifo >> 6] : 1;
    if ((s->ier & IER_RDA) && s->nreceived >= level) return IIR_RDA;
    if ((s->ier & IER_RDA) && s->nreceived && s->timeout) return IIR_TIMEOUT;
    return s->thre && (s->ier & IER_THRE) ? IIR_THRE : IIR_NONE;
}

static void empty(struct serial *s)
{
    s->nreceived = 0;
    s->timeout = false;
}

static void receive(struct serial *s, uint8_t byte)
{
    if (s->nreceived < room(s)) s->received[s->nreceived++] = byte;
    s->timeout = false;
}

uint32_t serial_read(struct machine *m, uint32_t port, bool *taken)
{
    struct serial *s = m->serial;
    switch (port - BASE) {
    case 0: {
        if (s->lcr & LCR_DLAB) return s->divisor[0];
        if (!s->nreceived) return 0;
        uint8_t byte = s->received[0];
        memmove(s->received, s->received + 1, --s->nreceived);
        s->timeout = false;
        *taken = true;
        return byte;
    }
    case 1: return s->lcr & LCR_DLAB ? s->divisor[1] : s->ier;
    case 2: {
        uint32_t what = pending(s);
        if (what == IIR_THRE) s->thre = false;        /* reading it acknowledges */
        return (s->fifo & FCR_ON ? 0xc0u : 0u) | what;
    }
    case 3: return s->lcr;
    case 4: return s->mcr;
    case 5: return LSR_EMPTY | (s->nreceived ? LSR_DATA : 0);
    case 6: {                                         /* in loop-back the modem outputs come back as inputs */
        uint32_t c = s->mcr;
        return c & MCR_LOOP ? (c & 2) << 3 | (c & 1) << 5 | (c & 4) << 4 | (c & 8) << 4 : MSR_READY;
    }
    default: return s->scratch;
    }
}

void serial_flush(struct machine *m, int64_t now_ps)
{
    struct serial *s = m->serial;
    cs_world *w = m->world;
    if (!s || !s->n) return;
    uint32_t n = s->n;
    s->n = 0;
    if (w->cb.console && w->cb.console(m->index, s->buffer, n, now_ps)) world_stop(w, CS_CALLBACK, w->running, 0);
}

uint32_t serial_write(struct machine *m, struct vcpu *v, uint32_t port, uint32_t value)
{
    struct serial *s = m->serial;
    uint8_t byte = (uint8_t)value;
    bool high = pending(s) != IIR_NONE;
    switch (port - BASE) {
    case 0:
        if (s->lcr & LCR_DLAB) { s->divisor[0] = byte; break; }
        if (s->mcr & MCR_LOOP) { receive(s, byte); s->timeout = true; break; }
        s->thre = false;
        high = pending(s) != IIR_NONE;                /* full, for no time at all, and empty again */
        s->thre = true;
        s->buffer[s->n++] = byte;
        if (byte == '\n' || s->n == BUFFER) serial_flush(m, vcpu_ps(v, v->clock));
        break;
    case 1:
        if (s->lcr & LCR_DLAB) { s->divisor[1] = byte; break; }
        if ((byte & IER_THRE) && !(s->ier & IER_THRE)) s->thre = true;
        s->ier = byte & 0xf;
        break;
    case 2: {
        bool flush = s->nreceived && (byte & FCR_EMPTY || (byte ^ s->fifo) & FCR_ON);
        s->fifo = byte;
        if (!flush) break;
        empty(s);
        return port;
    }
    case 3: s->lcr = byte; break;
    case 4: s->mcr = byte & 0x1f; break;
    case 7: s->scratch = byte; break;
    default: break;
    }
    return !high && pending(s) != IIR_NONE ? BASE : 0;
}

int cs_serial_receive(cs_world *w, int machine, int byte)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    struct serial *s = m->serial;
    bool high = pending(s) != IIR_NONE;
    if (byte < 0) {
        s->timeout = s->nreceived && (s->fifo & FCR_ON);
    } else if (!(s->mcr & MCR_LOOP)) {                /* the line is not connected then */
        if (s->nreceived == room(s)) return CS_SERIAL_FULL;
        receive(s, (uint8_t)byte);
    }
    return !high && pending(s) != IIR_NONE ? CS_SERIAL_RISES : 0;
}

int cs_serial_look(cs_world *w, int machine, uint32_t out[4])
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    const struct serial *s = m->serial;
    out[0] = s->nreceived;
    out[1] = (s->ier & IER_RDA) != 0;
    out[2] = 1 + 5 + (s->lcr & 3u) + (s->lcr >> 3 & 1u) + 1 + (s->lcr >> 2 & 1u);     /* start, data, parity, stop */
    out[3] = s->divisor[0] | (uint32_t)s->divisor[1] << 8;
    return 0;
}

void serial_state(struct state *s, struct machine *m)    /* what is to be handed over is empty between runs */
{
    struct serial *p = m->serial;
    state_begin(s, "UART");
    STATE(s, p->ier); STATE(s, p->lcr); STATE(s, p->mcr); STATE(s, p->scratch); STATE(s, p->fifo); STATE(s, p->divisor); state_bool(s, &p->thre);
    STATE(s, p->received); STATE(s, p->nreceived); state_bool(s, &p->timeout);
    if (!state_is(s, p->nreceived <= room(p), "more received bytes than the serial port holds")) empty(p);
}
