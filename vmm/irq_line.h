/* An interrupt line: how a device reaches an interrupt controller without knowing it. */
#ifndef VMM_IRQ_LINE_H
#define VMM_IRQ_LINE_H

#include <stdbool.h>

/* A line into input `pin` of a controller. The controller is not owned. */
struct irq_line {
    void (*set)(void *controller, unsigned pin, bool asserted);
    void *controller;
    unsigned pin;
};

/* Drives the line. Edge-triggered inputs act on the change from false to true. */
static inline void irq_line_set(const struct irq_line *line, bool asserted)
{
    line->set(line->controller, line->pin, asserted);
}

/* One edge: up and down again. */
static inline void irq_line_pulse(const struct irq_line *line)
{
    irq_line_set(line, true);
    irq_line_set(line, false);
}

#endif
