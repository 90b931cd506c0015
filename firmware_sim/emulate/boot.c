/* Start of a Cortex-M program on QEMU's MPS2 boards, files of the host over semihosting, and
   counts of instructions and stack around what is measured. Needs `-icount shift=0`: an instruction
   is then a nanosecond of the clock. */
#include <stdint.h>

#include "port.h"

extern uint32_t bss_start[], bss_end[], data_start[], data_end[], data_load[];
extern uint32_t stack_bottom[], stack_top[];

int main(void);

static uint32_t wraps, begin_wraps, begin_tick, *begin_stack;
static int32_t in_file, out_file, count_file;

#define SYST_CSR (*(volatile uint32_t *)0xe000e010u)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014u)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018u)
#define CPACR (*(volatile uint32_t *)0xe000ed88u)
#define PAINT 0x5ca1ab1eu
#define OPEN 1u
#define WRITE 5u
#define READ 6u
#define EXIT_EXTENDED 0x20u
#define EXITED 0x20026u

static int32_t semihost(uint32_t operation, const void *arguments)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static int32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uint32_t arguments[3] = {(uint32_t)name, mode, length};
    return semihost(OPEN, arguments);
}

static void leave(uint32_t code)
{
    const uint32_t arguments[2] = {EXITED, code};
    for (;;)
        semihost(EXIT_EXTENDED, arguments);
}

int port_read(void *to, uint32_t size)
{
    const uint32_t arguments[3] = {(uint32_t)in_file, (uint32_t)to, size};
    return semihost(READ, arguments) == 0;
}

static void write_to(int32_t file, const void *from, uint32_t size)
{
    const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)from, size};
    if (semihost(WRITE, arguments) != 0)
        leave(2u);
}

void port_write(const void *from, uint32_t size)
{
    write_to(out_file, from, size);
}

void port_begin_below(uint32_t *stack)
{
    uint32_t *at;
    begin_stack = stack;
    for (at = stack_bottom; at < port_stack(); at++)
        *at = PAINT;
    begin_wraps = wraps;
    begin_tick = SYST_CVR;
}

void port_end(char command)
{
    const uint32_t tick = SYST_CVR, turns = wraps - begin_wraps;
    const uint64_t ticks = (uint64_t)turns * 0x1000000u + begin_tick - tick;
    uint32_t *at = stack_bottom;
    uint32_t counts[4];
    while (at < begin_stack && *at == PAINT)
        at++;
    counts[0] = (uint32_t)(unsigned char)command;
    counts[1] = (uint32_t)ticks;
    counts[2] = (uint32_t)(ticks >> 32);
    counts[3] = (uint32_t)((char *)begin_stack - (char *)at);
    write_to(count_file, counts, sizeof counts);
}

static void reset(void)
{
    uint32_t *from = data_load, *to;
#ifdef __ARM_FP
    CPACR |= 0xfu << 20;
    __asm__ volatile("dsb\n\tisb");
#endif
    for (to = data_start; to < data_end; to++)
        *to = *from++;
    for (to = bss_start; to < bss_end; to++)
        *to = 0u;
    SYST_RVR = 0xffffffu;
    SYST_CVR = 0u;
    SYST_CSR = 7u;
    in_file = open_file("in.bin", 6u, 1u);
    out_file = open_file("out.bin", 7u, 5u);
    count_file = open_file("counts.bin", 10u, 5u);
    leave((uint32_t)main());
}

static void fault(void)
{
    leave(3u);
}

static void tick(void)
{
    wraps++;
}

struct table {
    uint32_t *stack;
    void (*handlers[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct table table = {
    stack_top,
    {reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, tick},
};
