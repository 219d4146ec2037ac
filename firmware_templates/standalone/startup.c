/* Start-up of the stand-alone build: vector table, memory initialisation, FPU, main().
 *
 * The boot ROM starts the application at the vector table at the beginning of flash
 * (public MAX78000 SDK, startup_max78000.S and max78000.ld).
 * SPDX-License-Identifier: MIT
 */
#include "max78000_registers.h"

extern uint32_t __stack_top[];
extern uint32_t __data_start[], __data_end[], __data_load[];
extern uint32_t __bss_start[], __bss_end[];

int main(void);
void Reset_Handler(void);
void Default_Handler(void);
void Fault_Handler(void);

/* The application overrides a handler by defining a function of its name. */
#define WEAK_HANDLER(name) void name(void) __attribute__((weak, alias("Default_Handler")))
WEAK_HANDLER(PendSV_Handler);
WEAK_HANDLER(SysTick_Handler);
WEAK_HANDLER(UART0_IRQHandler);
WEAK_HANDLER(DMA0_IRQHandler);
WEAK_HANDLER(DMA1_IRQHandler);
WEAK_HANDLER(DMA2_IRQHandler);
WEAK_HANDLER(PCIF_IRQHandler);
WEAK_HANDLER(CNN_IRQHandler);

typedef void (*vector_t)(void);

/* 16 core exceptions, then the external interrupts of max78000.h. */
__attribute__((section(".vectors"), used)) static const vector_t vectors[16 + IRQ_COUNT] = {
    [0] = (vector_t)(uintptr_t)__stack_top,
    [1] = Reset_Handler,
    [2] = Fault_Handler,
    [3] = Fault_Handler,
    [4] = Fault_Handler,
    [5] = Fault_Handler,
    [6] = Fault_Handler,
    [11] = Default_Handler,
    [12] = Default_Handler,
    [14] = PendSV_Handler,
    [15] = SysTick_Handler,
    [16 ... 16 + IRQ_UART0 - 1] = Default_Handler,
    [16 + IRQ_UART0] = UART0_IRQHandler,
    [16 + IRQ_UART0 + 1 ... 16 + IRQ_DMA0 - 1] = Default_Handler,
    [16 + IRQ_DMA0] = DMA0_IRQHandler,
    [16 + IRQ_DMA1] = DMA1_IRQHandler,
    [16 + IRQ_DMA2] = DMA2_IRQHandler,
    [16 + IRQ_DMA2 + 1 ... 16 + IRQ_PCIF - 1] = Default_Handler,
    [16 + IRQ_PCIF] = PCIF_IRQHandler,
    [16 + IRQ_PCIF + 1 ... 16 + IRQ_CNN - 1] = Default_Handler,
    [16 + IRQ_CNN] = CNN_IRQHandler,
    [16 + IRQ_CNN + 1 ... 16 + IRQ_COUNT - 1] = Default_Handler,
};

void Reset_Handler(void)
{
    SCB_VTOR = (uint32_t)(uintptr_t)vectors;
    SCB_CPACR |= 0xFu << 20; /* full access to the FPU (coprocessors 10 and 11) */
    __asm volatile("dsb\n\tisb" ::: "memory");

    const uint32_t *from = __data_load;
    for (uint32_t *to = __data_start; to < __data_end; ++to) *to = *from++;
    for (uint32_t *to = __bss_start; to < __bss_end; ++to) *to = 0;

    (void)main();
    for (;;) __asm volatile("wfi");
}

/* An interrupt nobody asked for: stay here so that a debugger shows it. */
void Default_Handler(void)
{
    for (;;) __asm volatile("bkpt #1");
}

/* A bus, usage or memory fault. */
void Fault_Handler(void)
{
    for (;;) __asm volatile("bkpt #2");
}
