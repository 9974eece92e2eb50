/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A 16550's registers at 0x3F8: the transmitter is always ready, nothing is ever received. A write that makes the transmitter's interrupt
 * due (enabled, and empty again) is passed on to Python, which drives the interrupt line. Bytes written are collected and handed
 * over at a newline, when 256 have come together, or when a run ends.
 */
#include "machine.h"
#include "state.h"
#include <stdlib.h>

enum { BASE = 0x3f8, BUFFER = 256, LCR_DLAB = 0x80, LSR_EMPTY = 0x60, MSR_READY = 0xb0, MCR_LOOP = 0x10, IER_THRE = 2, IIR_NONE = 1, IIR_THRE = 2 };

struct serial { uint8_t ier, lcr, mcr, scratch, fifo, divisor[2], buffer[BUFFER]; uint32_t n; bool thre; };

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

uint32_t serial_read(struct machine *m, uint32_t port)
{
    struct serial *s = m->serial;
    switch (port - BASE) {
    case 0: return s->lcr & LCR_DLAB ? s->divisor[0] : 0;
    case 1: return s->lcr & LCR_DLAB ? s->divisor[1] : s->ier;
    case 2: {
        bool pending = s->thre && (s->ier & IER_THRE);
        s->thre = s->thre && !pending;                /* reading it acknowledges */
        return (s->fifo & 1 ? 0xc0u : 0u) | (pending ? IIR_THRE : IIR_NONE);
    }
    case 3: return s->lcr;
    case 4: return s->mcr;
    case 5: return LSR_EMPTY;
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

bool serial_write(struct machine *m, struct vcpu *v, uint32_t port, uint32_t value)
{
    struct serial *s = m->serial;
    uint8_t byte = (uint8_t)value;
    bool was_due = s->thre && (s->ier & IER_THRE), written = false;
    switch (port - BASE) {
    case 0:
        if (s->lcr & LCR_DLAB) { s->divisor[0] = byte; break; }
        if (s->mcr & MCR_LOOP) break;
        s->thre = written = true;
        s->buffer[s->n++] = byte;
        if (byte == '\n' || s->n == BUFFER) serial_flush(m, vcpu_ps(v, v->clock));
        break;
    case 1:
        if (s->lcr & LCR_DLAB) { s->divisor[1] = byte; break; }
        if ((byte & IER_THRE) && !(s->ier & IER_THRE)) s->thre = true;
        s->ier = byte & 0xf;
        break;
    case 2: s->fifo = byte; break;
    case 3: s->lcr = byte; break;
    case 4: s->mcr = byte & 0x1f; break;
    case 7: s->scratch = byte; break;
    default: break;
    }
    return s->thre && (s->ier & IER_THRE) && (written || !was_due);
}

void serial_state(struct state *s, struct machine *m)    /* the buffer is empty between runs */
{
    struct serial *p = m->serial;
    state_begin(s, "UART");
    STATE(s, p->ier); STATE(s, p->lcr); STATE(s, p->mcr); STATE(s, p->scratch); STATE(s, p->fifo); STATE(s, p->divisor); state_bool(s, &p->thre);
}
