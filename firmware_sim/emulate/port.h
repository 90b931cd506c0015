/* What a main program needs of the machine it runs on: bytes in and out, and what a call costs. */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

int port_read(void *to, uint32_t size);
void port_write(const void *from, uint32_t size);
void port_begin_below(uint32_t *stack);
void port_end(char command);

/* Where the stack ends now, in the function that asks. */
static inline __attribute__((always_inline)) uint32_t *port_stack(void)
{
    uint32_t *at;
    __asm__ volatile("mov %0, sp" : "=r"(at));
    return at;
}

#define port_begin() port_begin_below(port_stack())

#endif
